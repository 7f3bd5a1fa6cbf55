# ruff: noqa: E402  (torch may be missing)
"""JoyVASA as a driver: lips in time, exact lengths at any rate, the same each time, opened by the authors' names."""

from __future__ import annotations

import argparse
import pathlib
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="JoyVASA runs on torch (extra: models)")

from liveportrait_recipe import state, vectors

from controls.joyvasa.denoiser import MotionSizes
from controls.joyvasa.driver import JoyVasaDriver, JoyVasaSettings
from controls.joyvasa.template import Template
from studio.errors import MediaError, UsageError, WeightsError
from studio.media import Audio
from studio.motion import join


class Loudness(torch.nn.Module):
    """A generator whose first number is the loudness of a frame's own sound, and whose yaw is noise."""

    sizes = MotionSizes()

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    def windows(self, sound, noise, *, guidance, flexibility):
        for k, piece in enumerate(sound):
            motion = torch.zeros(100, 73)
            motion[:, 0] = piece[0].view(100, 640).abs().amax(1)
            motion[:, 68] = noise(k, 0)[0, :, 0] + 0 * noise(k, 50)[0, :, 0]
            yield motion


def driver(**settings) -> JoyVasaDriver:
    ends = {"scale": 1, "t": 3, "pitch": 1, "yaw": 1, "roll": 1}
    arrays = {f"min_{name}": np.zeros(n) for name, n in ends.items()} | {
        f"max_{n}": np.ones(k) for n, k in ends.items()
    }
    template = Template.of(arrays | {"mean_exp": np.zeros(63), "std_exp": np.ones(63)})
    return JoyVasaDriver(Loudness(), template, JoyVasaSettings(**settings))


def click(seconds: float, at: float) -> Audio:
    samples = np.zeros(round(seconds * 16000), np.float32)
    samples[round(at * 16000) : round((at + 0.04) * 16000)] = 0.5
    return Audio.from_array(samples, 16000)


def numbers(of: JoyVasaDriver, audio: Audio, fps=25) -> np.ndarray:
    blocks = list(of.native(audio, fps))
    assert [block.start for block in blocks] == [sum(map(len, blocks[:k])) for k in range(len(blocks))]
    return np.concatenate([block.numbers for block in blocks])


@pytest.mark.parametrize("at", [0.2, 1.0, 4.0, 7.96])
def test_lips_move_when_the_sound_does(at: float) -> None:
    assert numbers(driver(), click(9, at))[:, 0].argmax() == round(at * 25)
    late = numbers(driver(late=True), click(9, at))
    assert late[:, 0].argmax() == round(at * 25) + 2 and len(late) == 9 * 25 + 3


@pytest.mark.parametrize("fps", [24, 25, 30, 50, Fraction(30000, 1001), 60, 10])
@pytest.mark.parametrize("seconds", [0.03, 3.9, 4.0, 8.11])
def test_lengths_are_exact(fps, seconds: float) -> None:
    got = numbers(driver(), click(seconds, seconds / 2), fps)
    assert len(got) == max(1, round(seconds * fps))


def test_other_rates_keep_the_time() -> None:
    got = numbers(driver(), click(9, 4.4), 50)
    assert abs(got[:, 0].argmax() / 50 - 4.4) <= 0.03


def test_blocks_are_bounded() -> None:
    assert max(len(block) for block in driver().native(click(30, 2), 25)) <= 110


def test_seeds_and_windows() -> None:
    sound = click(8.5, 1)
    one, two = (numbers(driver(head_seconds=0), sound) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, numbers(driver(head_seconds=0, seed=1), sound))
    yaw = one[:, 68]
    np.testing.assert_array_equal(yaw[98:198], np.concatenate([yaw[198:], yaw[98 + len(yaw[198:]) : 198]]))


def test_the_head_is_smoothed_as_asked() -> None:
    sound = click(8, 1)
    yaw = {s: numbers(driver(head_seconds=s), sound)[:, 68] for s in (0.0, 0.2, 4.0)}
    spread = [np.diff(track).std() for track in yaw.values()]
    assert spread[0] > 2 * spread[1] > 10 * spread[2]


def test_silence_between_lips_counts_as_motion_zero() -> None:
    motion = join(driver().stream(click(2, 1), 25))
    assert motion.weights.shape == (50, 52) and np.isfinite(motion.weights).all()
    assert not motion.weights[0].any()


def test_sound_that_is_none() -> None:
    class Nothing:
        def blocks(self, rate: int, seconds: float) -> list[np.ndarray]:
            return []

    with pytest.raises(MediaError, match="no sound"):
        list(driver().native(Nothing()))
    with pytest.raises(UsageError, match="head_seconds"):
        JoyVasaSettings(head_seconds=-1)


def test_published_files(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = state(shared, "joyvasa", "motion_generator") | state(shared, "joyvasa", "audio_encoder_tiny")
    args = argparse.Namespace(n_motions=100, style_enc_ckpt=pathlib.PosixPath("/somewhere"))
    torch.save({"args": args, "model": weights, "iter": 1}, tmp_path / "motion_generator_hubert_chinese.pt")
    inputs = vectors(shared, "joyvasa")[0]
    template = {k.removeprefix("template."): v for k, v in inputs.items() if k.startswith("template.")}
    (tmp_path / "motion_template.pkl").write_bytes(pickle.dumps(template))
    made = JoyVasaDriver.from_pretrained(tmp_path, device="cpu")
    assert made.generator.sizes == MotionSizes() and made.terms.startswith("JoyVASA speech to motion: MIT")
    got = numbers(made, click(1, 0.5))
    assert got.shape == (25, 73) and np.isfinite(got).all()

    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(WeightsError, match="jdh-algo/JoyVASA"):
        JoyVasaDriver.from_pretrained()
    torch.save({"args": args, "model": {"x": torch.ones(1)}}, tmp_path / "motion_generator_hubert_chinese.pt")
    with pytest.raises(WeightsError, match="no JoyVASA motion generator"):
        JoyVasaDriver.from_pretrained(tmp_path)
