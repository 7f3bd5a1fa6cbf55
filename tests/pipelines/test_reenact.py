# ruff: noqa: E402  (torch may be missing)
"""A driving video onto a video: as the authors' rule for whole clips says, frame by frame, faces lost and found."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")

from liveportrait_parts import tiny_networks
from liveportrait_takes import images, picture, short, template, tone
from pipeline_fakes import Tracker, face

from avatars.liveportrait.avatar import LivePortraitAvatar
from avatars.liveportrait.keypoints import Pose
from avatars.liveportrait.native import NativeMotion
from avatars.liveportrait.settings import TransferSettings
from avatars.liveportrait.template import read_template
from avatars.liveportrait.transfer import Openings, transfer
from pipelines import TalkingPortraitPipeline
from pipelines.edit_video import FADE, Seen
from pipelines.reenact import aimed, drawn
from studio.errors import UsageError
from studio.media import Clip, VideoWriter


def avatar_under(**settings) -> LivePortraitAvatar:
    return LivePortraitAvatar(tiny_networks(), settings=TransferSettings(**settings))


def performance(count: int) -> NativeMotion:
    rng = np.random.default_rng(5)
    numbers = np.cumsum(rng.normal(0, 0.004, (count, 73)), 0).astype(np.float32)
    numbers[:, 66] += 1
    numbers[:, 67:70] *= 60
    numbers[:, 70:] = 0.3
    return NativeMotion(numbers, numbers[0], Fraction(25), measured=True)


def scene(count: int, without: range = range(0)) -> list[Seen]:
    """A picture that changes from frame to frame, with a face in the middle of it but in some frames."""
    rng = np.random.default_rng(2)
    low, high = (rng.integers(0, 255, (96, 128, 3)) for _ in range(2))
    mixed = [(low + (high - low) * k / count).astype(np.uint8) for k in range(count)]
    seen = face((64.0, 48.0), 20, (128, 96))
    return [Seen(image, {} if k in without else {0: seen}) for k, image in enumerate(mixed)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"relative": False},
        {"region": "lip"},
        {"region": "pose", "multiplier": 1.4},
        {"observation": 3e-5},
        {"source_eyes": True, "normalize_lip": True},
        {"eye_retargeting": True, "lip_retargeting": True},
    ],
    ids=str,
)
def test_frame_by_frame_is_the_whole_clip(settings: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 54 if "observation" in settings else 14  # more than are looked at to smooth a frame
    avatar, frames, motion = avatar_under(**settings), scene(count), performance(count)
    faces = [avatar(frame.image, frame.faces[0]) for frame in frames]
    stack = lambda parts: torch.cat(list(parts))
    source = Pose(*(stack(getattr(f.pose, name) for f in faces) for name in ("kp", "exp", "R", "t", "scale")))
    want = transfer(
        source,
        motion.pose,
        motion.reference,
        avatar.settings,
        correctors=avatar.networks.correctors,
        source_open=Openings(stack(f.openings.eyes for f in faces), stack(f.openings.lips for f in faces)),
        driving_open=motion.openings,
    )
    got, paint = [], avatar.networks.paint
    monkeypatch.setattr(avatar.networks, "paint", lambda v, s, x: got.append(x) or paint(v, s, x))
    assert (
        sum(1 for _ in drawn(aimed(iter(frames), iter([motion[:7], motion[7:]]), avatar, motion.fps), avatar)) == count
    )
    torch.testing.assert_close(stack(got), want, atol=2e-5, rtol=0)


@pytest.mark.parametrize("smooth", ["kalman", "one-euro", "off"])
def test_frames_without_a_face_pass_unchanged(smooth: str) -> None:
    avatar, frames = avatar_under(smooth=smooth), scene(40, without=range(15, 20))
    out = list(drawn(aimed(iter(frames), iter([performance(40)]), avatar, Fraction(25)), avatar))
    apart = np.array([np.abs(a.astype(int) - b.image).mean() for a, b in zip(out, frames)])
    assert len(out) == 40 and not apart[15:20].any() and apart[:15].all() and apart[20:].all()
    assert apart[14] < 0.2 * apart[14 - FADE] and apart[20] < 0.2 * apart[20 + FADE]  # fades out before, in after


def test_a_real_video(shared: Path, tmp_path: Path) -> None:
    pipe = TalkingPortraitPipeline(Tracker(), avatar=avatar_under())
    source = short(shared)
    take = pipe(source, driver=template(tmp_path), transfer=TransferSettings(region="exp"))
    frames = images(take)
    assert take.size == (256, 256) and take.fps == 25 and len(frames) == 6 == len(take.motion)
    assert all(np.array_equal(a, b) for a, b in zip(frames, images(take)))
    saved = take.save(tmp_path / "motion.safetensors")
    assert saved.frames == 6 == len(read_template(saved.path))
    by_video = pipe(source, driver=source, shapes={"jawOpen": 0.5})
    assert by_video.total == 6 and len(images(by_video)) == 6
    np.testing.assert_allclose(by_video.motion.curve("jawOpen")[0], 0.5, atol=0.2)


def test_the_shorter_of_both_ends_it(shared: Path, tmp_path: Path) -> None:
    pipe = TalkingPortraitPipeline(Tracker(), avatar=avatar_under())
    take = pipe(short(shared), driver=template(tmp_path, count=4))
    assert take.total == 4 == len(images(take))
    other = pipe(short(shared), driver=template(tmp_path, count=40), fps=50)
    assert other.fps == 50 and len(images(other)) == 12


def test_sound_is_the_drivers_or_else_the_sources(shared: Path, tmp_path: Path) -> None:
    sound = tone(0.3)
    spoken = tmp_path / "spoken.mp4"
    with VideoWriter(spoken, 25, size=(256, 256), audio=sound) as writer:
        for frame in Clip.open(short(shared)).frames():
            writer.write(frame.image)
    pipe = TalkingPortraitPipeline(Tracker(), avatar=avatar_under())
    assert pipe(spoken, driver=template(tmp_path)).audio is not None
    assert pipe(short(shared), driver=spoken).audio is not None
    assert pipe(short(shared), driver=short(shared)).audio is None


def test_what_a_video_needs(shared: Path, tmp_path: Path) -> None:
    driven = template(tmp_path)
    for parts, what in (
        ({"driver": driven}, TalkingPortraitPipeline(Tracker())),
        ({"audio": tone(0.2)}, TalkingPortraitPipeline(Tracker(), avatar=avatar_under())),
        ({"driver": driven}, TalkingPortraitPipeline(Tracker(), avatar=LivePortraitAvatar(tiny_networks(animal=True)))),
    ):
        with pytest.raises(UsageError, match="a video as the source needs"):
            what(short(shared), **parts)
    with pytest.raises(UsageError, match="for pictures"):
        TalkingPortraitPipeline(Tracker(), avatar=avatar_under())(short(shared), driver=driven, size=128)
    unmeasured = replace(performance(4), measured=False)
    with pytest.raises(UsageError, match="ratios"):
        transfer = TransferSettings(lip_retargeting=True)
        images(
            TalkingPortraitPipeline(Tracker(), avatar=avatar_under())(picture(), motion=unmeasured, transfer=transfer)
        )
