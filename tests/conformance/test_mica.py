# ruff: noqa: E402  (torch may be missing)
"""MICA's networks with weights by recipe give what the original gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conformance import SEED, Vectors, recipe

torch = pytest.importorskip("torch", reason="MICA runs on torch (extra: models)")

from avatars.flame.asset import load_flame
from avatars.flame.layer import Flame
from avatars.mica import Mapping, MicaEncoder, aligned, alignment, normalised, now_landmarks
from studio.weights import load_into


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return Vectors("mica")


@pytest.fixture(scope="module")
def flame(tmp_path_factory):
    folder = recipe("flame_synthetic").write(tmp_path_factory.mktemp("flame"), SEED)
    return Flame(load_flame(Path(folder) / "generic_model.pkl"))


@pytest.fixture(scope="module")
def encoder(vectors: Vectors):
    made = MicaEncoder()
    load_into(made.arcface, vectors.arrays("arcface", "arcface."), what="recipe")
    load_into(made.regressor, vectors.arrays("flameModel", "flameModel.regressor."), what="recipe")
    return made.eval()


@torch.no_grad()
def test_from_face_to_head(vectors, encoder, flame) -> None:
    image = normalised(vectors.inputs["aligned_bgr"][..., ::-1])
    vectors.check("arcface_input_corner", image, 1e-6)
    arcface, seen = encoder.arcface, {}
    for name in ("prelu", "layer1", "layer2", "layer3", "layer4"):
        getattr(arcface, name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
    embedding = arcface(image)
    vectors.check("stem", seen["prelu"], 1e-4)
    for name in ("layer1", "layer2", "layer3", "layer4"):
        vectors.check(name, seen[name], 1e-3)
    vectors.check("arcface", embedding, 1e-4)
    vectors.check("arcface_normalised", torch.nn.functional.normalize(embedding), 1e-5)
    shape = encoder.shape_of(embedding)
    vectors.check("shape", shape, 1e-4)
    assert torch.equal(encoder(image), shape)
    head = flame(shape)
    vectors.check("vertices", head.vertices, 1e-5)
    vectors.check("landmarks68", flame.full_landmarks(head), 1e-5)
    vectors.check("landmarks7_mm", now_landmarks(flame, shape)[0], 1e-2)


@torch.no_grad()
def test_mapping(vectors, encoder, flame) -> None:
    shape = encoder.shape_of(torch.from_numpy(vectors.inputs["embedding"]))
    vectors.check("shape_from_embedding", shape, 1e-5)
    vectors.check("vertices_from_embedding", flame(shape).vertices, 1e-5)
    assert Mapping()(torch.zeros(0, 512)).shape == (0, 300)


def test_alignment(vectors) -> None:
    points = vectors.inputs["keypoints5"]
    vectors.check("align.matrix", alignment(points), 1e-4)
    got = aligned(vectors.inputs["picture_bgr"], points)
    vectors.check("align.image_bgr", got, 1)
    spread = np.zeros((478, 3))
    spread[[468, 473, 4, 61, 291], :2] = points
    assert np.array_equal(alignment(spread), alignment(points.astype(np.float64)))
