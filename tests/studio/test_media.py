"""Pictures, sound and video: exact counts and times, and clear errors that leave nothing behind."""

from __future__ import annotations

import os
import wave
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.clip import ahead
from studio.errors import MediaError, OutputError, UsageError
from studio.media import Audio, Clip, VideoWriter, check_output, parse_fps, read_image, write_image

RATES = ["24", "25", "30", "50", "60", "29.97", "23.976"]


def picture(width: int = 64, height: int = 48, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture: codecs keep it nearly exactly."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3 + seed, y * 4, 90 + 0 * x], -1).clip(0, 255).astype(np.uint8)


def write_video(path: Path, frames: int, fps: Fraction, audio: Audio | None = None, size=(64, 48)) -> None:
    with VideoWriter(path, fps, audio=audio) as writer:
        for k in range(frames):
            image = picture(*size)
            image[:8, :8] = 255 if k % 2 else 0
            writer.write(image)


def tone(seconds: float, rate: int = 16000, hertz: float = 440) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


# ---- pictures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "CMYK", "I;16"])
def test_every_kind_of_picture_reads(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    if mode == "I;16":
        Image.fromarray(picture()[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Image.fromarray(picture()).convert(mode).save(path)
    read = read_image(path)
    assert read.rgb.shape == (48, 64, 3) and read.rgb.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        assert np.array_equal(read.rgb, picture())
    if mode == "I;16":
        assert np.abs(read.rgb[..., 0].astype(int) - picture()[..., 0]).max() <= 1


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    image = Image.fromarray(picture())
    exif = image.getexif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    image.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png").rgb, np.rot90(picture(), -1))


def test_alpha_round_trip_and_jpeg_over_white(tmp_path: Path) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, :32] = 255
    write_image(tmp_path / "a.png", picture(), alpha)
    read = read_image(tmp_path / "a.png")
    assert np.array_equal(read.rgb, picture()) and np.array_equal(read.alpha, alpha)
    write_image(tmp_path / "a.jpg", picture(), alpha)
    assert read_image(tmp_path / "a.jpg").rgb[:, 48:].min() > 240


def test_bad_pictures_say_what_is_wrong(tmp_path: Path) -> None:
    good = tmp_path / "good.jpg"
    write_image(good, np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8))
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:2000])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    for name, what in (
        ("cut.jpg", "cut short"),
        ("text.png", "not a picture"),
        ("empty.png", "empty"),
        ("no.png", "no such file"),
    ):
        with pytest.raises(MediaError, match=what):
            read_image(tmp_path / name)
    with pytest.raises(MediaError, match="folder"):
        read_image(tmp_path)


def test_outputs_are_checked_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="no such folder"):
        check_output(tmp_path / "missing" / "a.mp4")
    real = os.statvfs(tmp_path)
    full = os.statvfs_result((*real[:4], 0, *real[5:10]))
    monkeypatch.setattr(os, "statvfs", lambda path: full)
    with pytest.raises(OutputError, match="disk is full"):
        check_output(tmp_path / "a.mp4")


# ---- sound ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate,channels", [(8000, 1), (16000, 2), (44100, 2), (48000, 6), (22050, 1)])
def test_any_rate_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    import soundfile

    samples = np.repeat(tone(1.5, rate)[:, None], channels, 1)
    soundfile.write(tmp_path / "a.wav", samples, rate)
    audio = Audio.open(tmp_path / "a.wav")
    assert (audio.rate, audio.channels) == (rate, channels) and abs(audio.duration - 1.5) < 1e-3
    mono = audio.samples(16000)
    assert abs(len(mono) - 24000) <= 32
    middle = mono[4000:20000]
    peak = np.abs(np.fft.rfft(middle * np.hanning(len(middle)))).argmax() * 16000 / len(middle)
    assert abs(peak - 440) < 2


def test_blocks_are_the_samples() -> None:
    audio = Audio.from_array(tone(1.03), 16000)
    parts = list(audio.blocks(16000, 0.25))
    assert [len(p) for p in parts[:-1]] == [4000] * 4
    np.testing.assert_array_equal(np.concatenate(parts), tone(1.03))


def test_bad_sound_says_so(tmp_path: Path) -> None:
    import soundfile

    broken = tone(0.5)
    broken[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    with pytest.raises(MediaError, match="not numbers"):
        Audio.open(tmp_path / "nan.wav").samples()
    with wave.open(str(tmp_path / "none.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    with pytest.raises(MediaError):
        Audio.open(tmp_path / "none.wav").samples()
    (tmp_path / "text.wav").write_text("la la la")
    with pytest.raises(MediaError, match=r"text\.wav"):
        Audio.open(tmp_path / "text.wav")
    with pytest.raises(MediaError, match="0 seconds"):
        Audio.from_array(np.zeros(0), 16000)


# ---- video ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text,fps",
    [
        ("29.97", Fraction(30000, 1001)),
        ("23.976", Fraction(24000, 1001)),
        ("25", Fraction(25)),
        ("30000/1001", Fraction(30000, 1001)),
        ("59.94", Fraction(60000, 1001)),
        ("12.5", Fraction(25, 2)),
    ],
)
def test_rates_are_exact(text: str, fps: Fraction) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["zero", "0", "-25", "1000", "1/0"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(UsageError):
        parse_fps(text)


@pytest.mark.parametrize("rate", RATES)
def test_counts_times_and_durations(tmp_path: Path, rate: str) -> None:
    fps = parse_fps(rate)
    frames = ceil(2.4 * fps)
    write_video(tmp_path / "a.mp4", frames, fps, Audio.from_array(tone(2.4), 16000))
    clip = Clip.open(tmp_path / "a.mp4")
    read = list(clip.frames())
    assert clip.fps == fps and clip.size == (64, 48) and len(read) == frames and clip.has_audio
    assert all(abs(frame.time - frame.index / fps) < Fraction(1, 10000) for frame in read)
    assert np.abs(read[5].image[16:, 16:].astype(int) - picture()[16:, 16:]).mean() < 3
    sound = Audio.open(tmp_path / "a.mp4").samples(16000)
    assert abs(len(sound) / 16000 - frames / fps) <= 1 / fps + 0.022  # AAC comes in portions of 1024 samples


def test_sound_keeps_its_place(tmp_path: Path) -> None:
    """A click at 1.000 s is at 1.000 s in the file."""
    samples = np.zeros(32000, np.float32)
    samples[16000:16040] = 0.9
    write_video(tmp_path / "a.mp4", 50, Fraction(25), Audio.from_array(samples, 16000))
    back = Audio.open(tmp_path / "a.mp4").samples(16000)
    assert abs(int(np.abs(back).argmax()) - 16020) < 80


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
def test_containers(tmp_path: Path, suffix: str) -> None:
    write_video(
        tmp_path / f"a{suffix}", 10, Fraction(25), None if suffix == ".gif" else Audio.from_array(tone(0.4), 16000)
    )
    clip = Clip.open(tmp_path / f"a{suffix}")
    assert len(list(clip.frames())) == 10
    assert [p.name for p in tmp_path.iterdir()] == [f"a{suffix}"]


def test_mp4_plays_in_browsers(tmp_path: Path) -> None:
    import av

    write_video(tmp_path / "a.mp4", 5, Fraction(25), Audio.from_array(tone(0.2), 44100))
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt, audio.codec_context.name) == (
            "h264",
            "yuv420p",
            "aac",
        )
        assert audio.rate == 44100


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", 3, Fraction(25), size=(65, 47))
    assert Clip.open(tmp_path / "a.mp4").size == (64, 46)


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    write_video(tmp_path / "out", 3, Fraction(25))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["00000.png", "00001.png", "00002.png"]
    with pytest.raises(OutputError, match="not an empty folder"):
        write_video(tmp_path / "out", 3, Fraction(25))


def test_resampled_in_time(tmp_path: Path) -> None:
    """Each frame of a 10 fps clip lasts three frames of 30."""
    with VideoWriter(tmp_path / "a.mp4", 10) as writer:
        for k in range(10):
            writer.write(np.full((32, 32, 3), 20 * k + 20, np.uint8))
    clip = Clip.open(tmp_path / "a.mp4")
    levels = [round((int(f.image.mean()) - 20) / 20) for f in clip.frames_at(30)]
    assert levels == [k // 3 for k in range(30)]
    assert [round((int(f.image.mean()) - 20) / 20) for f in clip.frames_at(5)] == [1, 3, 5, 7, 9]


def test_no_half_files(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(picture())
        raise KeyboardInterrupt
    with pytest.raises(MediaError), VideoWriter(tmp_path / "b.mp4", 25):
        pass
    with pytest.raises(UsageError, match="the first was"), VideoWriter(tmp_path / "c.mp4", 25) as writer:
        writer.write(picture())
        writer.write(picture(32, 32))
    with pytest.raises(UsageError, match="can't write"):
        VideoWriter(tmp_path / "a.avi", 25)
    assert not list(tmp_path.iterdir())


def test_bad_videos_say_so(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    with pytest.raises(MediaError, match=r"text\.mp4"):
        Clip.open(tmp_path / "text.mp4")
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 16000)
    with pytest.raises(MediaError, match="no video"):
        Clip.open(tmp_path / "sound.wav")


def test_work_ahead_stops_when_nobody_takes() -> None:
    made = []

    def numbers():
        for k in range(10**6):
            made.append(k)
            yield k

    stream = ahead(numbers, room=3)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    stream.close()
    count = len(made)
    assert count < 20


def test_errors_arrive_from_the_thread() -> None:
    def broken():
        yield 1
        raise MediaError("half way")

    stream = ahead(broken, room=2)
    assert next(stream) == 1
    with pytest.raises(MediaError, match="half way"):
        next(stream)


def test_real_clips(shared: Path) -> None:
    counts = {"talk_suit_22fps.mp4": 135, "talk_412px_audio_first.mp4": 169, "stage_cuts_faces_lost.mp4": 275}
    for name, frames in counts.items():
        clip = Clip.open(shared / "data" / "videos" / name)
        seen = sum(1 for _ in clip.frames())
        assert seen == frames
