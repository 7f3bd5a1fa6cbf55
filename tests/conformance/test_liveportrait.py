# ruff: noqa: E402  (torch may be missing)
"""LivePortrait's networks with weights by recipe give what the original gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from liveportrait_recipe import manifest, recipe, state, strided, vectors

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from avatars.liveportrait import keypoints as kpts
from avatars.liveportrait import retargeting
from avatars.liveportrait.appearance import AppearanceFeatureExtractor
from avatars.liveportrait.blocks import convolved_repeats
from avatars.liveportrait.convnext import GlobalResponseNorm
from avatars.liveportrait.generator import Spade, SpadeGenerator
from avatars.liveportrait.motion import MotionExtractor
from avatars.liveportrait.warping import WarpingNetwork

SYSTEM = "liveportrait"


class Case:
    """Networks made once, their inputs, and what must come out."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.inputs, self.expected = vectors(shared, SYSTEM)
        self._made: dict = {}

    def network(self, part: str, make) -> torch.nn.Module:
        if part not in self._made:
            network = make().eval()
            network.load_state_dict(state(self.shared, SYSTEM, part))
            self._made[part] = network
        return self._made[part]

    @property
    def warp(self):
        return self.network("warping_module", WarpingNetwork)

    @property
    def generate(self):
        return self.network("spade_generator", SpadeGenerator)

    def tensor(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.inputs[name])

    def image(self) -> torch.Tensor:
        return self.tensor("image_u8").permute(0, 3, 1, 2).float() / 255

    def generated(self, name: str) -> torch.Tensor:
        rule = manifest(self.shared, SYSTEM)["generated_inputs"][name]
        filled = recipe(self.shared).fill(rule["fill_key"], tuple(rule["shape"]), rule["rule"])
        return torch.from_numpy(filled * np.float32(rule["multiply"]))

    def check(self, name: str, got: torch.Tensor | np.ndarray, within: float) -> None:
        got = np.asarray(got)
        view = manifest(self.shared, SYSTEM)["expected_views"].get(name)
        got = strided(got, view.split(" of ")[0]) if view else got
        want = self.expected[name]
        assert got.shape == want.shape, name
        assert np.abs(got.astype(np.float64) - want.astype(np.float64)).max() <= within, name


@pytest.fixture(scope="module")
def case(shared: Path):
    with torch.no_grad():
        yield Case(shared)


def test_appearance(case: Case) -> None:
    volume = case.network("appearance_feature_extractor", AppearanceFeatureExtractor)(case.image())
    case.check("f.feature_3d", volume, 2e-5)
    stats = torch.stack([volume.mean((1, 2, 3, 4)), volume.std((1, 2, 3, 4))], 1)
    assert np.allclose(stats, case.expected["f.mean_std"], atol=1e-4)


def test_motion(case: Case) -> None:
    raw = case.network("motion_extractor", MotionExtractor)(case.image())
    for name in ("kp", "exp", "t", "scale", "pitch", "yaw", "roll"):
        case.check(f"m.raw.{name}", raw[name], 5e-5)
    case.check("m.pool", raw["pool"], 5e-5)
    fine = kpts.refine(raw)
    for name in ("pitch", "yaw", "roll"):
        case.check(f"m.{name}", fine[name], 5e-4)
    for name in ("kp", "exp", "t", "scale"):
        case.check(f"m.{name}", fine[name], 1e-5)
    case.check("m.x_s", kpts.pose_of(raw).x, 1e-5)


def test_angles_and_rotations(case: Case) -> None:
    bins = kpts.degrees(case.tensor("pose_bins"))
    case.check("geo.degrees", bins[:, 0], 5e-4)
    euler = case.tensor("euler_deg")
    case.check("geo.rotation", kpts.rotation(*(euler[:, i : i + 1] for i in range(3))), 1e-6)
    assert torch.equal(kpts.degrees(torch.tensor([[7.0]])), torch.tensor([[7.0]]))  # degrees already


def test_warping(case: Case) -> None:
    source, driving = case.tensor("w.kp_source"), case.tensor("w.kp_driving")
    out = case.warp(case.generated("w.feature_3d"), kp_source=source, kp_driving=driving)
    case.check("w.out", out["out"], 1e-4)
    for name, within in (("deformation", 2e-5), ("mask", 2e-5), ("occlusion_map", 2e-5)):
        case.check(f"w.{name}", out[name], within)


def test_generator(case: Case) -> None:
    case.check("g.image", case.generate(case.generated("g.feature")), 2e-4)


def test_stitching_and_retargeting(case: Case) -> None:
    source, driving = case.tensor("w.kp_source"), case.tensor("w.kp_driving")
    stitching = case.network("stitching", lambda: retargeting.KeypointMLP(retargeting.STITCHING))
    case.check("s.delta", stitching(torch.cat([source.flatten(1), driving.flatten(1)], 1)), 1e-5)
    case.check("s.kp", retargeting.stitch(stitching, source, driving), 1e-5)
    eye = case.network("eye", lambda: retargeting.KeypointMLP(retargeting.EYE))
    case.check("r.eye_delta", retargeting.retarget(eye, source, case.tensor("eye_ratio")), 1e-5)
    lip = case.network("lip", lambda: retargeting.KeypointMLP(retargeting.LIP))
    case.check("r.lip_delta", retargeting.retarget(lip, source, case.tensor("lip_ratio")), 1e-5)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # seconds where nothing else runs, many minutes where much does
def test_from_picture_to_picture(case: Case) -> None:
    image = case.image()
    volume = case.network("appearance_feature_extractor", AppearanceFeatureExtractor)(image)
    source = kpts.pose_of(case.network("motion_extractor", MotionExtractor)(image)).x
    warped = case.warp(volume, kp_source=source, kp_driving=source + case.tensor("chain.kp_offset"))
    painted = case.generate(warped["out"])
    case.check("chain.deformation", warped["deformation"], 2e-5)
    case.check("chain.occlusion_map", warped["occlusion_map"], 2e-5)
    case.check("chain.image", painted, 2e-4)
    levels = (painted.clamp(0, 1) * 255).to(torch.uint8).permute(0, 2, 3, 1)
    case.check("chain.image_u8", levels.numpy(), 1)


def test_the_painting_networks_in_bfloat16(case: Case) -> None:
    """Nothing overflows, places and the mask keep their bits, nothing is far off."""
    feature = case.generated("g.feature")[:1, :, :4, :4]
    source, driving = (case.tensor(f"w.kp_{who}")[:1] for who in ("source", "driving"))
    volume = case.generated("w.feature_3d")[:1]
    image, whole = case.generate(feature), case.warp(volume, kp_source=source, kp_driving=driving)
    try:
        half = case.generate.bfloat16()(feature.bfloat16())
        moved = case.warp.bfloat16()(volume.bfloat16(), kp_source=source, kp_driving=driving)
    finally:
        case._made.pop("spade_generator")
        case._made.pop("warping_module")
    assert half.dtype == moved["out"].dtype == torch.bfloat16 and moved["deformation"].dtype == torch.float32
    assert (half.float() - image).abs().max() < 0.1
    for name, within in (("out", 0.05), ("deformation", 0.002), ("mask", 0.02), ("occlusion_map", 0.01)):
        assert (moved[name].float() - whole[name]).abs().max() < within, name


@pytest.mark.slow
def test_the_generator_in_float16(case: Case) -> None:
    """A small part of the picture, since a CPU is slow at it: nothing overflows."""
    feature = case.generated("g.feature")[:1, :, :4, :4]
    whole = case.generate(feature)
    try:
        half = case.generate.half()(feature.half()).float()
    finally:
        case._made.pop("spade_generator")
    assert torch.isfinite(half).all() and (half - whole).abs().max() < 0.02


def test_norms_over_pictures_pass_the_largest_float16() -> None:
    """What sums over a whole picture would overflow in half precision, whose largest number is 65504."""
    norm, spade = GlobalResponseNorm(4).half(), Spade(8).half()
    with torch.no_grad():
        norm.gamma.fill_(1)
        large = torch.full((1, 16, 16, 4), 200.0, dtype=torch.half)
        torch.testing.assert_close(norm(large), 2 * large, atol=0.5, rtol=0)
        picture = 300 * torch.randn(1, 8, 8, 8).half()
        assert torch.isfinite(spade(picture, torch.zeros(1, 256, 8, 8).half())).all()


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("solid", [False, True])
def test_repeated_pixels_are_multiplied_once(factor: int, solid: bool) -> None:
    torch.manual_seed(0)
    make, depth = (torch.nn.Conv3d, (3,)) if solid else (torch.nn.Conv2d, ())
    conv, x = make(5, 7, 3, padding=1), torch.randn(2, 5, *depth, 6, 4)
    with torch.no_grad():
        whole = conv(x.repeat_interleave(factor, -1).repeat_interleave(factor, -2))
        torch.testing.assert_close(convolved_repeats(x, conv, factor), whole, atol=1e-6, rtol=1e-5)
