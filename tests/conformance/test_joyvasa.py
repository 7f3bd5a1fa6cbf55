# ruff: noqa: E402  (torch may be missing)
"""JoyVASA's generator with weights by recipe gives what the original gave."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from liveportrait_recipe import manifest, state, strided, vectors

torch = pytest.importorskip("torch", reason="JoyVASA runs on torch (extra: models)")


from avatars.liveportrait.keypoints import pose_of
from avatars.liveportrait.native import NativeMotion
from avatars.liveportrait.settings import TransferSettings
from avatars.liveportrait.transfer import generated
from controls.joyvasa.denoiser import sinusoid
from controls.joyvasa.diffusion import cosine_schedule
from controls.joyvasa.driver import JoyVasaDriver, JoyVasaSettings
from controls.joyvasa.generator import MotionGenerator, padded
from controls.joyvasa.template import Template
from studio.media import Audio

SYSTEM = "joyvasa"
PREVIOUS = (("motion", ""), ("audio", "_feat"))


def noise(tag: str) -> torch.Tensor:
    made = np.random.Generator(np.random.PCG64(zlib.crc32(f"joyvasa.noise.{tag}".encode())))
    return torch.from_numpy(made.standard_normal((51, 1, 100, 73)).astype(np.float32))


@pytest.fixture(scope="module")
def case(shared: Path):
    inputs, expected = vectors(shared, SYSTEM)
    weights = state(shared, SYSTEM, "motion_generator") | state(shared, SYSTEM, "audio_encoder_tiny")
    network = MotionGenerator.of(weights)

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(inputs[name])

    template = Template.of(
        {name.removeprefix("template."): v for name, v in inputs.items() if name.startswith("template.")}
    )
    with torch.no_grad():
        yield SimpleNamespace(
            inputs=inputs, expected=expected, network=network, tensor=tensor, template=template,
            views=manifest(shared, SYSTEM)["expected_views"], cases=manifest(shared, SYSTEM)["keypoint_cases"],
        )  # fmt: skip


def close(got, want: np.ndarray, within: float) -> None:
    got = np.asarray(got)
    assert got.shape == want.shape
    assert np.abs(got.astype(np.float64) - want.astype(np.float64)).max() <= within


def test_schedule(case) -> None:
    schedule = cosine_schedule()
    for name, ours in (
        ("betas", "betas"), ("alphas", "alphas"), ("alpha_bars", "alpha_bars"), ("sigmas_flex", "flexible"),
        ("sigmas_inflex", "inflexible"),
    ):  # fmt: skip
        close(getattr(schedule, ours), case.expected[f"sched.{name}"], 2e-6)


def test_rows(case) -> None:
    close(sinusoid(torch.tensor([110]), 256)[0], case.expected["pe.row110"], 2e-5)
    close(sinusoid(torch.tensor([50]), 256)[0], case.expected["te.row50"], 2e-5)


def test_hearing(case) -> None:
    sound = case.tensor("audio_4s_i16").float()[None] / 32768
    close(padded(sound)[0, -64:], case.expected["audio.padded_tail"], 1e-7)
    hidden = case.network.audio_encoder(padded(sound))
    close(strided(hidden.numpy(), case.views["audio.hidden"]), case.expected["audio.hidden"], 5e-5)
    features = case.network.listen(sound)
    close(strided(features.numpy(), case.views["audio.feat"]), case.expected["audio.feat"], 5e-5)


@pytest.mark.parametrize("positions", ["old", "new"])
def test_one_step(case, positions: str) -> None:
    net = case.network.denoising_net
    net.positions = positions
    try:
        heard = net.hear(torch.cat([case.tensor("prev_audio_feat"), case.tensor("audio_feat")], 1))
        for step in (50, 25, 1):
            out = net(case.tensor("motion"), case.tensor("prev_motion"), heard, step)
            close(out, case.expected[f"denoise.{positions}.t{step}"], 5e-5)
    finally:
        net.positions = "old"


def sample(case, tag: str = "sample", positions: str = "old", **options) -> dict[int, np.ndarray]:
    rows = noise(tag)
    audio = options.pop("audio", None)
    if audio is None:
        audio = case.network.listen(case.tensor("audio_4s_i16").float()[None] / 32768)
    case.network.denoising_net.positions = positions
    try:
        found = case.network.steps(audio, lambda step: rows[step], **options)
        # row 0 starts; row t is added at step t
        return {t: strided(x.numpy(), case.views["sample.*"]) for t, x in found}
    finally:
        case.network.denoising_net.positions = "old"


@pytest.mark.parametrize("positions", ["old", "new"])
def test_sampling(case, positions: str) -> None:
    got = sample(case, positions=positions)
    for t in (49, 25, 5, 1, 0):
        close(got[t], case.expected[f"sample.{positions}.t{t}"], 5e-4)


def test_more_noise(case) -> None:
    got = sample(case, guidance=1.15, flexibility=1.0)
    close(got[0], case.expected["sample.flex1.t0"], 5e-4)


def test_without_guidance(case) -> None:
    before = {f"previous_{name}": case.tensor(f"prev_{name}{end}")[:1] for name, end in PREVIOUS}
    got = sample(case, audio=case.tensor("audio_feat")[:1], guidance=None, **before)
    close(got[0], case.expected["sample.nocfg.t0"], 5e-4)


def test_a_frame_hears_its_own_sound_alone(case) -> None:
    layer = case.network.denoising_net.transformer.layers[0]
    audio = torch.cat([case.tensor("prev_audio_feat"), case.tensor("audio_feat")], 1)[:1]
    other = audio.clone()
    other[:, 50] += 1
    change = (layer.multihead_attn.own(other) - layer.multihead_attn.own(audio)).abs().amax((0, 2))
    assert np.array_equal(change > 1e-6, case.expected["locality.layer0_cross_change"] > 1e-6)


@pytest.fixture(scope="module")
def sequence(case):
    """The published long-sound example, through the driver in its original ways."""
    rows = noise("sequence")

    def drive(smooth: bool) -> NativeMotion:
        settings = JoyVasaSettings.original()
        driver = JoyVasaDriver(case.network, case.template, settings if smooth else replace(settings, head_seconds=0))
        driver._noise = lambda: lambda window, step: rows[step]
        sound = Audio.from_array(case.inputs["audio_5s3_i16"].astype(np.float32) / 32768, 16000)
        blocks = list(driver.native(sound, 25))
        return replace(blocks[0], numbers=np.concatenate([block.numbers for block in blocks]), confidence=None)

    return {"": drive(False), ".smooth": drive(True)}


@pytest.mark.slow
@pytest.mark.parametrize("end", ["", ".smooth"])
def test_long_sound(case, sequence, end: str) -> None:
    motion = sequence[end]
    assert len(motion) == int(case.expected["sequence.n_frames"][0])
    numbers = motion.numbers
    if not end:
        close(numbers[:, :63].reshape(-1, 21, 3), case.expected["sequence.exp"], 2e-5)
    close(numbers[:, 63:66], case.expected[f"sequence.t{end}"], 5e-4)
    close(numbers[:, 66:67], case.expected[f"sequence.scale{end}"], 5e-4)
    for k, name in enumerate(("pitch", "yaw", "roll")):
        close(numbers[:, 67 + k : 68 + k], case.expected[f"sequence.{name}{end}"], 0.1)
    close(motion.pose.R, case.expected[f"sequence.R{end}"], 1e-3)


@pytest.mark.slow
def test_onto_a_portrait(case, sequence) -> None:
    source = pose_of({name.removeprefix("source."): case.tensor(name) for name in case.inputs if "source." in name})
    motion = sequence[""][:12]
    rules = {rule["name"]: rule for rule in case.cases} | {"animal": {"animal": True}}
    named = {name.split(".")[1] for name in case.expected if name.startswith("keypoints.")}
    assert named == set(rules)
    for name, rule in rules.items():
        settings = TransferSettings(**{key: value for key, value in rule.items() if key not in ("name", "stitching")})
        x = generated(source, motion.pose, motion.reference, settings)
        x = source.x + settings.multiplier * (x - source.x)
        close(x, case.expected[f"keypoints.{name}.x_d"], 1e-3)
