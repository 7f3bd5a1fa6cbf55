"""Smoothing: no delay, no dependence on blocks, lids untouched."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from controls.smoothing import LIDS, OneEuro, eased_return, zero_phase
from studio.arkit import INDEX
from studio.motion import FaceMotion, join


def noisy(frames: int = 61, seed: int = 0) -> FaceMotion:
    random = np.random.default_rng(seed)
    return FaceMotion(
        random.random((frames, 52)),
        Fraction(25),
        random.normal(size=(frames, 6)),
        residual=random.normal(size=(frames, 468, 3)),
    )


def cut(motion: FaceMotion, sizes: list[int]):
    at = 0
    for size in sizes:
        yield motion[at : at + size]
        at += size


def test_blocks_make_no_difference():
    motion = noisy()
    whole = join(zero_phase([motion]))
    for sizes in ([61], [10] * 6 + [1], [1] * 61, [25, 1, 1, 34], [3, 58]):
        parts = list(zero_phase(cut(motion, sizes)))
        assert sum(len(p) for p in parts) == 61
        assert [p.start for p in parts] == list(np.cumsum([0] + [len(p) for p in parts[:-1]]))
        again = join(parts)
        np.testing.assert_allclose(again.weights, whole.weights, atol=1e-6)
        np.testing.assert_allclose(again.head, whole.head, atol=1e-6)
        np.testing.assert_allclose(again.residual, whole.residual, atol=1e-5)


def test_a_peak_stays_where_it_is():
    weights = np.zeros((31, 52))
    weights[15, INDEX["jawOpen"]] = 1
    smooth = join(zero_phase([FaceMotion(weights, Fraction(25))])).curve("jawOpen")
    assert smooth.argmax() == 15
    np.testing.assert_allclose(smooth, smooth[::-1], atol=1e-6)
    np.testing.assert_allclose(smooth.sum(), 1, atol=1e-5)


def test_lids_are_left_alone_and_noise_sinks():
    motion = noisy()
    smooth = join(zero_phase([motion]))
    np.testing.assert_array_equal(smooth.weights[:, LIDS], motion.weights[:, LIDS])
    jitter = lambda m: np.abs(np.diff(m.curve("jawOpen"), 2)).mean()
    assert jitter(smooth) < 0.4 * jitter(motion)


def test_a_still_face_stays_still():
    still = FaceMotion.still(20, 25, {"mouthSmileLeft": 0.4})
    np.testing.assert_allclose(join(zero_phase([still])).weights, still.weights, atol=1e-6)


def test_a_face_that_was_long_away_comes_back_without_a_jump():
    head = np.zeros((60, 6), np.float32)
    head[40:] = 0.3
    sure = np.ones(60, np.float32)
    sure[20:40] = 0
    away = FaceMotion(np.zeros((60, 52)), Fraction(25), head, sure)
    back = join(eased_return(cut(away, [13, 25, 22])))
    assert np.abs(np.diff(back.head, axis=0)).max() < 0.06
    np.testing.assert_array_equal(back.head[48:], head[48:])
    sure[20:35] = 1  # lost for five frames only: whatever it did meanwhile, it does
    brief = FaceMotion(np.zeros((60, 52)), Fraction(25), head, sure)
    np.testing.assert_array_equal(join(eased_return([brief])).head, head)


def test_one_euro_calms_and_follows():
    random = np.random.default_rng(5)
    calm = OneEuro(Fraction(30))
    out = np.array([calm(0.5 + 0.02 * random.normal(size=3)) for _ in range(200)])
    assert out[50:].std() < 0.01
    step = OneEuro(Fraction(30))
    out = np.array([step(np.array([float(k >= 10)]))[0] for k in range(40)])
    assert out[9] == 0 and out[16] > 0.8 and abs(out[39] - 1) < 0.02
    step.reset()
    assert step(np.array([7.0]))[0] == 7.0
