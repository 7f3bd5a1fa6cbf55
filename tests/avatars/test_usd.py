"""USD: what was written is what USD itself computes, at three times; its own checker finds nothing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

pxr = pytest.importorskip("pxr", reason="usd-core is not installed")

from pxr import Usd, UsdGeom, UsdSkel  # noqa: E402

from avatars.export import save_rig  # noqa: E402
from avatars.head import embedded_head  # noqa: E402
from studio.arkit import INDEX  # noqa: E402
from studio.motion import FaceMotion  # noqa: E402


@pytest.fixture(scope="module")
def motion():
    weights = np.zeros((7, 52), np.float32)
    weights[:, INDEX["jawOpen"]] = np.linspace(0, 0.6, 7)
    weights[:, INDEX["mouthPucker"]] = np.linspace(0.5, 0, 7)
    weights[:, INDEX["eyeLookUpLeft"]] = np.linspace(0, 1, 7)
    head = np.zeros((7, 6), np.float32)
    head[:, 0] = np.linspace(-0.4, 0.4, 7)
    head[:, 1] = 0.1
    return FaceMotion(weights, Fraction(30000, 1001), head)


@pytest.mark.parametrize("ending", ["usdc", "usda", "usdz"])
def test_usd_skins_as_the_rig_does(tmp_path, motion, ending):
    rig = embedded_head()
    path = save_rig(rig, tmp_path / f"head.{ending}", motion)
    stage = Usd.Stage.Open(str(path))
    assert UsdGeom.GetStageMetersPerUnit(stage) == 1.0 and UsdGeom.GetStageUpAxis(stage) == "Y"
    assert stage.GetTimeCodesPerSecond() == pytest.approx(30000 / 1001)
    root = UsdSkel.Root(stage.GetDefaultPrim())
    assert UsdSkel.BakeSkinning(root.GetPrim().IsValid() and Usd.PrimRange(root.GetPrim()))
    points = UsdGeom.Mesh(stage.GetPrimAtPath("/Head/Mesh")).GetPointsAttr()
    for frame in (0, 3, 6):
        wanted = rig.vertices(motion.weights[frame], motion.head[frame])
        assert np.abs(np.array(points.Get(frame)) - wanted).max() < 2e-5


def test_usds_own_validators_find_nothing(tmp_path, motion):
    validation = pytest.importorskip("pxr.UsdValidation", reason="this usd-core has no validators")
    for name, take in (("head.usdz", None), ("take.usdz", motion), ("take.usdc", motion), ("take.usda", motion)):
        stage = Usd.Stage.Open(str(save_rig(embedded_head(), tmp_path / name, take)))
        context = validation.ValidationContext(validation.ValidationRegistry().GetOrLoadAllValidators())
        assert [error.GetMessage() for error in context.Validate(stage)] == []


def test_weights_come_back(tmp_path, motion):
    path = save_rig(embedded_head(), tmp_path / "head.usdc", motion)
    assert (tmp_path / "head_textures" / "skin.png").is_file()
    stage = Usd.Stage.Open(str(path))
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/Head/Animation"))
    names = list(animation.GetBlendShapesAttr().Get())
    for frame in range(7):
        got = np.array(animation.GetBlendShapeWeightsAttr().Get(frame))
        assert abs(got[names.index("jawOpen")] - motion.weights[frame, INDEX["jawOpen"]]) < 1e-6
