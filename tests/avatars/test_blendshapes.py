"""ARKit's weights in LivePortrait's numbers: there and back, and refitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avatars.liveportrait.blendshapes import DEFAULT, WITHOUT, BlendshapeMap
from avatars.liveportrait.native import NativeMotion
from avatars.liveportrait.refit import rescaled, solve, trials
from avatars.liveportrait.sliders import slider_change
from studio.arkit import ARKIT, INDEX, mirror
from studio.errors import UsageError, WeightsError
from studio.motion import FaceMotion

DISTINCT = {
    "jawOpen": 0.02, "mouthLeft": 0.02, "mouthRight": 0.02, "eyeLookInLeft": 0.02, "eyeLookInRight": 0.02,
    "eyeLookOutLeft": 0.02, "eyeLookOutRight": 0.02, "eyeBlinkLeft": 0.05, "eyeBlinkRight": 0.05, "browInnerUp": 0.02,
    "mouthClose": 0.02, "mouthSmileLeft": 0.12, "mouthSmileRight": 0.12, "eyeLookUpLeft": 0.15, "eyeWideRight": 0.05,
    "mouthFrownLeft": 0.1, "cheekSquintLeft": 0.1,
}  # fmt: skip
"""Shapes with a direction of their own, and how exactly each comes back."""


def test_published_sliders_are_in_it() -> None:
    jaw, brow = DEFAULT.expression(np.eye(52)[[INDEX["jawOpen"], INDEX["browInnerUp"]]])
    np.testing.assert_allclose(jaw, slider_change({"lip3": 120}), atol=1e-6)
    np.testing.assert_allclose(brow, slider_change({"eyebrow": 25}), atol=1e-6)
    both = np.zeros((1, 52))
    both[0, [INDEX["mouthSmileLeft"], INDEX["mouthSmileRight"]]] = 1
    np.testing.assert_allclose(DEFAULT.expression(both)[0], slider_change({"smile": 1}), atol=1e-6)
    np.testing.assert_allclose(
        DEFAULT.expression(np.eye(52)[[INDEX["eyeLookOutLeft"]]] + np.eye(52)[[INDEX["eyeLookInRight"]]])[0],
        slider_change({"gaze_x": 20}),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", DISTINCT)
def test_a_shape_comes_back(name: str) -> None:
    weights = np.zeros((1, 52), np.float32)
    weights[0, INDEX[name]] = 0.7
    back = DEFAULT.weights(DEFAULT.expression(weights))[0]
    assert back[INDEX[name]] == pytest.approx(0.7, abs=DISTINCT[name])


def test_an_expression_comes_back() -> None:
    """Whatever weights are found draw what was there."""
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 0.5, (60, 52)) * (rng.random((60, 52)) < 0.15)
    shown = DEFAULT.expression(weights)
    again = DEFAULT.expression(DEFAULT.weights(shown))
    assert np.sqrt(((again - shown) ** 2).mean() / (shown**2).mean()) < 0.05
    assert not DEFAULT.weights(np.zeros((3, 21, 3))).any()


def test_sides_are_mirrored() -> None:
    """The same points of the other side, or the same points, move as far."""
    for name in ARKIT:
        mine, other = DEFAULT.table[INDEX[name]], DEFAULT.table[INDEX[mirror(name)]]
        np.testing.assert_allclose(np.sort(np.abs(mine)), np.sort(np.abs(other)), atol=1e-6)
    assert set(WITHOUT) >= {"tongueOut", "cheekPuff"} and "jawOpen" not in WITHOUT


def test_motion_there_and_back() -> None:
    motion = np.zeros((5, 52), np.float32)
    motion[:, INDEX["jawOpen"]] = np.linspace(0, 0.8, 5)
    motion[:, INDEX["eyeBlinkLeft"]] = np.linspace(0.5, 0, 5)
    head = np.zeros((5, 6), np.float32)
    head[:, :3] = np.linspace(0, 0.3, 5)[:, None] * [1, -0.5, 0.2]
    rest = np.zeros(73, np.float32)
    rest[66] = 1.0
    native = NativeMotion(np.repeat(rest[None], 5, 0), rest, 25).changed(motion, head, DEFAULT)
    back: FaceMotion = native.face_motion(DEFAULT)
    np.testing.assert_allclose(back.weights[:, INDEX["jawOpen"]], motion[:, INDEX["jawOpen"]], atol=0.02)
    np.testing.assert_allclose(back.weights[:, INDEX["eyeBlinkLeft"]], motion[:, INDEX["eyeBlinkLeft"]], atol=0.05)
    np.testing.assert_allclose(back.head, head, atol=1e-5)


def test_files(tmp_path: Path) -> None:
    path = DEFAULT.save(tmp_path / "map.safetensors")
    np.testing.assert_array_equal(BlendshapeMap.load(path).table, DEFAULT.table)
    np.savez(tmp_path / "other.npz", table=np.zeros((3, 3)))
    with pytest.raises(WeightsError, match="face-studio refit"):
        BlendshapeMap.load(tmp_path / "other.npz")
    with pytest.raises(UsageError, match="finite"):
        BlendshapeMap(np.full((52, 63), np.nan))


def chain(seed: int):
    """A small chain with random weights: expression -> keypoints in space -> what a tracker would say; and the map that
    is planted in it."""
    torch = pytest.importorskip("torch", reason="keypoints are made by torch (extra: models)")
    from avatars.liveportrait.keypoints import rotation, transform

    rng = np.random.default_rng(seed)
    kp = torch.from_numpy(rng.normal(0, 0.3, (1, 21, 3))).float()
    R = rotation(*(torch.tensor([[angle]]) for angle in (5.0, -8.0, 3.0)))
    scale, t = torch.tensor([[1.3]]), torch.tensor([[0.1, -0.2, 0.0]])
    planted = rng.normal(0, 0.02, (52, 63))
    read = np.linalg.pinv(planted) / 1.3  # keypoints scale what the expression adds

    def respond(change: np.ndarray) -> np.ndarray:
        rest = torch.zeros(1, 21, 3)
        x = transform(kp, R, torch.from_numpy(change), scale, t) - transform(kp, R, rest, scale, t)
        said = x.flatten(1).numpy() @ read
        return said - 0.02 * said**3 + rng.normal(0, 0.002, said.shape)

    return planted, respond


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_planted_map_is_recovered(seed: int) -> None:
    planted, respond = chain(seed)
    start = BlendshapeMap(planted * np.random.default_rng(seed + 9).uniform(0.6, 1.4, planted.shape))
    changes = trials(400, seed, start)
    found = solve(changes, respond(changes), start, trust=1e-5)
    said = respond(found.map.expression(0.7 * np.eye(52)))
    before = respond(start.expression(0.7 * np.eye(52)))
    off = np.abs(said - 0.7 * np.eye(52))
    assert off.max() < 0.06 and off.mean() < 0.006
    assert np.abs(before - 0.7 * np.eye(52)).mean() > 5 * off.mean()
    assert found.told.min() > 0.9 and len(found.seen) == 52
    # of the 63 numbers the tracker sees 52 directions: in these the planted map itself comes back
    seen = np.linalg.pinv(planted) @ planted
    np.testing.assert_allclose(found.map.table @ seen, planted, atol=0.1 * np.abs(planted).max())


def test_where_the_tracker_is_blind_the_start_is_kept() -> None:
    changes = trials(200)
    blind = np.zeros((200, 52))
    blind[:, INDEX["jawOpen"]] = changes.reshape(-1, 63)[:, 19 * 3 + 1] / 0.06
    found = solve(changes, blind).map
    np.testing.assert_allclose(found.table[INDEX["browInnerUp"]], DEFAULT.table[INDEX["browInnerUp"]], atol=2e-3)
    assert found.table[INDEX["jawOpen"], 19 * 3 + 1] == pytest.approx(0.06, rel=0.15)  # half the default's


def test_shapes_become_as_strong_as_they_are_told_to_be() -> None:
    said = np.full(52, np.nan)
    said[:4] = 0.35, 1.4, 0.01, 0.1
    np.testing.assert_allclose(rescaled(DEFAULT, said, 0.7).table[0], 2.0 * DEFAULT.table[0])
    np.testing.assert_allclose(rescaled(DEFAULT, said, 0.7).table[1], 0.5 * DEFAULT.table[1])
    np.testing.assert_allclose(rescaled(DEFAULT, said, 0.7).table[2:], DEFAULT.table[2:])


def test_too_few_pictures() -> None:
    with pytest.raises(UsageError, match="70 tracked pictures"):
        solve(np.zeros((9, 21, 3)), np.zeros((9, 52)))
