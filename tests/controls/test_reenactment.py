# ruff: noqa: E402  (torch may be missing)
"""A video in LivePortrait's own numbers: held where no face is, not moved by the cut that follows the face."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import portrait_of, tiny_networks

from avatars.liveportrait.crop import cut_out, placed
from avatars.liveportrait.smoothing import STRONG, kalman_smooth, kalman_stream
from controls.reenactment import ReenactmentDriver, _Follow, _Read, held
from studio.errors import NoFaceError, UsageError
from studio.media import VideoWriter


def numbers(driver: ReenactmentDriver) -> np.ndarray:
    return np.concatenate([block.numbers for block in driver.stream()])


@pytest.fixture(scope="module")
def clip(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real portrait that glides through a larger picture; after a second two tenths without it."""
    image, _ = portrait_of(shared)
    path = tmp_path_factory.mktemp("clip") / "glide.mp4"
    with VideoWriter(path, 25, size=(640, 480)) as writer:
        for k in range(36):
            frame = np.full((480, 640, 3), 127, np.uint8)
            if not 25 <= k < 30:
                frame[:474, 2 * k : 2 * k + 474] = image
            writer.write(frame)
    return path


def test_a_face_that_glides(clip: Path) -> None:
    driver = ReenactmentDriver(clip, tiny_networks(), reference="first", smooth="off")
    blocks = list(driver.stream())
    got = np.concatenate([block.numbers for block in blocks])
    sure = np.concatenate([block.confidence for block in blocks])
    assert len(got) == 36 and all(block.fps == 25 for block in blocks)
    assert np.array_equal(got[0], blocks[0].first)
    # the cut follows the face, so what the networks read stays as it is, and the way it went is in t alone
    went = (got[24, 63] - got[0, 63]) * blocks[0].metres
    face_width = 0.09 / portrait_span(clip)
    assert went == pytest.approx(48 * face_width, rel=0.15)
    assert np.abs(got[:25, :63] - got[0, :63]).max() < 0.01 and np.abs(got[:25, 66] - got[0, 66]).max() < 0.03
    assert not sure[26:29].any() and sure[:25].all() and sure[34:].all()
    assert np.array_equal(got[27], got[26])  # held


def portrait_span(clip: Path) -> float:
    from controls.tracker import FaceTracker
    from studio.media import Clip

    first = next(Clip.open(clip).frames())
    return FaceTracker().observe(first.image)[0].eye_span


def test_another_rate_and_the_same_each_time(clip: Path) -> None:
    driver = ReenactmentDriver(clip, tiny_networks(), fps=Fraction(30))
    one = numbers(driver)
    assert len(one) == 43 and np.array_equal(one, numbers(driver))


def test_smoothing_takes_trembling_out(clip: Path) -> None:
    rng = np.random.default_rng(0)
    calm = np.sin(np.arange(75) / 12)[:, None] * np.linspace(0.02, 0.06, 73)
    rough = calm + rng.normal(0, 0.005, calm.shape)
    off = {}
    for how in ("off", "kalman", "one-euro"):
        driver = ReenactmentDriver(clip, tiny_networks(), smooth=how, observation=STRONG)
        track, sure = zip(*driver._smoothed((frame, float(k % 2)) for k, frame in enumerate(rough)))
        assert list(sure) == [k % 2 for k in range(75)]
        off[how] = np.abs(np.array(track) - calm)[5:-5, :63].mean()
    assert off["kalman"] < 0.6 * off["off"] and off["one-euro"] < 0.9 * off["off"]


def test_choosing_the_reference(clip: Path) -> None:
    known = [
        _Read(np.concatenate([np.zeros(70), [0.3, 0.3, lips]]), np.array([yaw, 0, 0]))
        for yaw, lips in ((0.5, 0.0), (0.02, 0.5), (0.05, 0.02), (0.2, 0.3))
    ]
    pick = lambda **options: known.index(ReenactmentDriver(clip, tiny_networks(), **options)._chosen(known))
    assert pick(reference="first") == 0 and pick(reference="frontal") == 2 and pick(reference="match") == 2
    with pytest.raises(UsageError, match="match, frontal, first"):
        pick(reference="best")


def test_a_clip_without_faces(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    with VideoWriter(path, 25, size=(64, 64)) as writer:
        for _ in range(3):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(NoFaceError, match="no face in 3 frames"):
        list(ReenactmentDriver(path, tiny_networks()).stream())


def test_a_lost_face_is_led_back() -> None:
    near, far = np.zeros(73), np.ones(73)
    reads = [_Read(None)] * 2 + [_Read(near)] * 2 + [_Read(None)] * 20 + [_Read(far)] * 20
    out = list(held(reads, near, Fraction(25)))
    track, sure = np.array([n[0] for n, _ in out]), np.array([s for _, s in out])
    assert not track[:24].any() and track[-1] == 1 and np.all(np.diff(track) >= 0)
    assert 4 <= np.sum((track > 0) & (track < 1)) <= 10
    assert np.array_equal(sure > 0, [False] * 2 + [True] * 2 + [False] * 20 + [True] * 20)
    short = list(held([_Read(near), _Read(None), _Read(far)], near, Fraction(25)))
    assert short[2][0][0] == 1  # a gap of a frame needs no leading


def test_the_cut_follows_slowly_and_jumps_at_cuts() -> None:
    follow = _Follow()
    first = placed((100, 100), 200)
    follow.now = follow.anchor = first
    from pipeline_fakes import face

    crops = [follow(face((x, 100.0), 52, (640, 480))) for x in (104, 104, 400)]
    steps = [b.centre[0] - a.centre[0] for a, b in pairwise([first, *crops])]
    assert 0 < abs(steps[1]) < 4 and steps[2] > 250


def test_a_cut_that_trembles_does_not_pump_the_head() -> None:
    """A square that stays as it is, in cuts whose size and place follow landmarks that tremble by a twentieth: what a
    network measures in them varies, size and place of what is driven don't."""
    from pipeline_fakes import face

    class Measures:
        """Width and middle of the bright part of each cut, in keypoints' units."""

        def raw(self, cuts: np.ndarray) -> dict[str, torch.Tensor]:
            bright = torch.from_numpy(cuts[..., 0] / 255.0).float()
            width = bright.mean((1, 2)).sqrt() * 2
            place = torch.linspace(-1, 1, 257)[:-1] + 1 / 256
            middle = [(bright.sum(axis) * place).sum(1) / bright.sum((1, 2)) for axis in (1, 2)]
            zeros = torch.zeros(len(cuts), 63)
            t = torch.stack([*middle, torch.zeros_like(width)], 1)
            angles = dict.fromkeys(("pitch", "yaw", "roll"), torch.zeros(len(cuts), 1))
            return {"kp": zeros, "exp": zeros, "t": t, "scale": width[:, None], **angles}

    rng, follow, seen = np.random.default_rng(4), _Follow(), []
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[160:320, 240:400] = 255
    for _ in range(30):
        size, shift = 52 * rng.uniform(0.95, 1.05), rng.uniform(-6, 6, 2)
        one = face((320 + shift[0], 240 + shift[1]), size, (640, 480))
        crop = follow(one)
        seen.append((cut_out(frame, crop, 256), crop, one))
    driver = ReenactmentDriver.__new__(ReenactmentDriver)
    driver.networks = Measures()
    got = driver._numbers(seen, follow.anchor)
    plain = driver.networks.raw(np.stack([small for small, _, _ in seen]))
    raw = plain["scale"].numpy()[:, 0]
    assert np.ptp(got[:, 66]) < 0.25 * np.ptp(raw) and np.ptp(got[:, 66]) < 0.01 * got[:, 66].mean()
    assert np.ptp(got[:, 63]) < 0.25 * np.ptp(plain["t"][:, 0].numpy()) and np.ptp(got[:, 63]) < 0.01


@pytest.mark.parametrize("observation", [3e-7, STRONG])
def test_smoothing_a_stream_is_smoothing_the_whole(observation: float) -> None:
    track = np.cumsum(np.random.default_rng(0).normal(0, 0.003, (331, 4)), 0)
    got = np.array(list(kalman_stream(iter(track), observation)))
    np.testing.assert_allclose(got, kalman_smooth(track, observation), atol=1e-9)
    assert [len(list(kalman_stream(iter(track[:n])))) for n in (0, 1, 79, 80, 81)] == [0, 1, 79, 80, 81]
