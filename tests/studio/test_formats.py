"""What people's files are like: odd pixels, odd times, odd colours, late sound; and what ours must keep."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from studio.clip import Clip, parse_fps
from studio.errors import UsageError
from studio.media import Audio, VideoWriter, read_image, write_image
from studio.sinks import sound_rate

COLOURS = np.array(
    [(230, 20, 20), (20, 200, 30), (30, 40, 220), (200, 150, 120), (128, 128, 128), (240, 240, 235)], np.uint8
)


def patches(size: int = 40) -> np.ndarray:
    """(size, 6 * size, 3): one patch of each colour."""
    return np.repeat(np.repeat(COLOURS[None], size, 0), size, 1)


def patch_error(image: np.ndarray, size: int = 40) -> int:
    middle = image[size // 2, size // 2 :: size][: len(COLOURS)]
    return int(np.abs(middle.astype(int) - COLOURS).max())


def encode(path: Path, images: list[np.ndarray], pts: list[int], time_base: Fraction, **tags: object) -> None:
    """A file as other programs make it: given time stamps, and attributes of the codec."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], "yuv420p"
        stream.codec_context.time_base = time_base
        stream.options = {"crf": "5"}
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for image, at in zip(images, pts, strict=True):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = at, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# ---- colours ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix,error", [(".mp4", 4), (".webm", 5), (".gif", 8)])
def test_colours_survive(tmp_path: Path, suffix: str, error: int) -> None:
    with VideoWriter(tmp_path / f"a{suffix}", 25) as writer:
        for _ in range(4):
            writer.write(patches())
    for frame in Clip.open(tmp_path / f"a{suffix}").frames():
        assert patch_error(frame.image) <= error


def test_mp4_says_how_its_colours_are_made(tmp_path: Path) -> None:
    import av

    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(patches())
    with av.open(str(tmp_path / "a.mp4")) as container:
        codec = container.streams.video[0].codec_context
        assert (codec.colorspace, codec.color_primaries, codec.color_trc, codec.color_range) == (1, 1, 1, 1)


def test_a_gif_renews_its_palette_at_a_cut(tmp_path: Path) -> None:
    grey = np.repeat(np.linspace(0, 255, 240).astype(np.uint8)[None, :, None], 40, 0).repeat(3, 2)
    with VideoWriter(tmp_path / "a.gif", 25) as writer:
        for image in (grey, grey, patches(), patches()):
            writer.write(image)
    frames = [frame.image for frame in Clip.open(tmp_path / "a.gif").frames()]
    assert len(frames) == 4 and patch_error(frames[3]) <= 8
    assert np.abs(frames[1].astype(int) - grey).mean() < 3


@pytest.mark.parametrize("fps,shown", [(30, 30), (60, 50)])
def test_a_gif_lasts_as_long_as_its_frames(tmp_path: Path, fps: int, shown: int) -> None:
    """Browsers show no more than 50 frames a second: of 60, ten are left out, and nothing plays slower."""
    with VideoWriter(tmp_path / "a.gif", fps) as writer:
        for k in range(2 * fps):
            writer.write(np.full((16, 16, 3), 2 * k, np.uint8))
    with Image.open(tmp_path / "a.gif") as image:
        durations = []
        for k in range(image.n_frames):
            image.seek(k)
            durations.append(image.info["duration"])
    assert len(durations) == 2 * shown
    assert abs(sum(durations) - 2000) <= 30


def test_profiles_are_kept(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(patches()).save(tmp_path / "a.png", icc_profile=profile)
    read = read_image(tmp_path / "a.png")
    assert read.icc == profile and np.array_equal(read.rgb, patches())
    for name in ("b.png", "b.jpg", "b.webp"):
        write_image(tmp_path / name, read.rgb, icc=read.icc)
        assert read_image(tmp_path / name).icc == profile


# ---- pixels and time --------------------------------------------------------------------------------


def test_wide_pixels_become_square(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [patches()] * 2, [0, 1], Fraction(1, 25), sample_aspect_ratio=Fraction(4, 3))
    clip = Clip.open(tmp_path / "a.mp4")
    assert clip.size == (320, 40)
    assert all(frame.image.shape == (40, 320, 3) for frame in clip.frames())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_rotation_is_obeyed(tmp_path: Path, turns: int) -> None:
    """A file's display matrix, written into its bytes: quarter turns, counter-clockwise for the picture."""
    encode(tmp_path / "a.mp4", [patches()] * 2, [0, 1], Fraction(1, 25))
    one = 1 << 16
    matrices = {0: (one, 0, 0, one), 1: (0, -one, one, 0), 2: (-one, 0, 0, -one), 3: (0, one, -one, 0)}
    packed = [np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes() for a, b, c, d in matrices.values()]
    data = (tmp_path / "a.mp4").read_bytes()
    at = data.index(packed[0], data.index(b"tkhd"))
    (tmp_path / "b.mp4").write_bytes(data[:at] + packed[turns] + data[at + 36 :])
    image = next(iter(Clip.open(tmp_path / "b.mp4").frames())).image
    assert image.shape[:2] == ((240, 40) if turns % 2 else (40, 240))
    assert patch_error(np.rot90(image, -turns)) <= 6


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    ticks = [0, 100, 133, 400, 433, 466, 900, 933]
    images = [np.full((32, 32, 3), 20 + 25 * k, np.uint8) for k in range(len(ticks))]
    encode(tmp_path / "a.mp4", images, ticks, Fraction(1, 1000))
    clip = Clip.open(tmp_path / "a.mp4")
    assert [round(frame.time * 1000) for frame in clip.frames()] == ticks
    shown = [round((int(frame.image.mean()) - 20) / 25) for frame in clip.frames_at(10)]
    middles = 50 + 100 * np.arange(len(shown))
    assert shown == [int(np.searchsorted(ticks, m, side="right")) - 1 for m in middles]
    assert abs(len(shown) - 10) <= 1


def test_a_part_of_a_clip(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [patches()] * 10, list(range(10)), Fraction(1, 10))
    part = list(Clip.open(tmp_path / "a.mp4").frames(0.25, 0.7))
    assert [(frame.index, frame.time) for frame in part] == [(k, Fraction(k, 10)) for k in range(3, 7)]


def test_rates_fit_into_containers() -> None:
    odd = parse_fps("22.123456789123456789")
    assert max(odd.numerator, odd.denominator) < 2**31 and abs(odd - Fraction("22.123456789123456789")) < 1e-8


def test_broadcast_rates_of_files_are_exact(tmp_path: Path) -> None:
    encode(tmp_path / "a.mp4", [patches()] * 60, [round(k * 1001 / 30) for k in range(60)], Fraction(1, 1000))
    assert abs(Clip.open(tmp_path / "a.mp4").fps - Fraction(30000, 1001)) < Fraction(1, 20)


# ---- sound ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [-0.48, 0.0, 0.76])
def test_sound_counts_from_the_first_picture(tmp_path: Path, delay: float) -> None:
    """A click 1 s after the sound's begin, the sound beginning `delay` after the picture."""
    import av

    samples = np.zeros((1, 32000), np.float32)
    samples[0, 16000:16020] = 0.9
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        video, audio = (
            container.add_stream("libx264", rate=25),
            container.add_stream("pcm_s16le", rate=16000, layout="mono"),
        )
        video.width = video.height = 32
        video.pix_fmt = "yuv420p"
        shift = max(0.0, -delay)
        for k in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round((shift + k / 25) * 1000), Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        sound = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.time_base, sound.pts = 16000, Fraction(1, 1000), round((shift + delay) * 1000)
        container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    heard = Audio.open(tmp_path / "a.mkv").samples(16000)
    assert abs(int(np.abs(heard).argmax()) / 16000 - (1 + delay)) < 0.005


def test_missing_sound_is_silence_in_its_place(tmp_path: Path) -> None:
    """Half a second lost between two portions: what follows keeps its time."""
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        audio = container.add_stream("pcm_s16le", rate=16000, layout="mono")
        for at, level in ((0, 0.0), (1500, 0.8)):
            block = np.full((1, 16000), level * 32767, np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 1000), at
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    heard = Audio.open(tmp_path / "a.mkv").samples(16000)
    assert len(heard) == 40000 and abs(int((heard > 0.4).argmax()) - 24000) < 40


def test_a_cover_is_no_video(tmp_path: Path) -> None:
    import av

    from studio.errors import MediaError

    Image.fromarray(patches()).save(tmp_path / "cover.png")
    with av.open(str(tmp_path / "plain.mp3"), "w") as container:
        audio = container.add_stream("libmp3lame", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 16000, 0, Fraction(1, 16000)
        for packet in audio.encode(frame) + audio.encode(None):
            container.mux(packet)
    picture = b"\0image/png\0\3\0" + (tmp_path / "cover.png").read_bytes()
    tag = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
    size = bytes(len(tag) >> 7 * k & 127 for k in (3, 2, 1, 0))
    (tmp_path / "a.mp3").write_bytes(b"ID3\3\0\0" + size + tag + (tmp_path / "plain.mp3").read_bytes())
    with av.open(str(tmp_path / "a.mp3")) as container:
        assert len(container.streams.video) == 1
    assert abs(Audio.open(tmp_path / "a.mp3").duration - 1) < 0.1
    with pytest.raises(MediaError, match="no video"):
        Clip.open(tmp_path / "a.mp3")


@pytest.mark.parametrize("rate,wanted", [(8000, 48000), (16000, 48000), (22050, 44100), (44100, 44100), (48000, 48000)])
def test_low_rates_are_raised_for_aac(rate: int, wanted: int) -> None:
    assert sound_rate(rate, opus=False) == wanted and sound_rate(rate, opus=True) == 48000


@pytest.mark.parametrize("channels", [1, 2])
def test_channels_stay_apart(tmp_path: Path, channels: int) -> None:
    import av

    t = np.arange(48000) / 48000
    samples = np.stack([np.sin(2 * np.pi * f * t) for f in (440, 880)][:channels], 1).astype(np.float32) * 0.5
    with VideoWriter(tmp_path / "a.mp4", 25, audio=Audio.from_array(samples, 48000)) as writer:
        for _ in range(25):
            writer.write(patches())
    audio = Audio.open(tmp_path / "a.mp4")
    assert audio.channels == channels
    heard = np.concatenate(list(audio.wide_blocks(48000, channels)))[4800:43200]
    for k, hertz in enumerate((440, 880)[:channels]):
        spectrum = np.abs(np.fft.rfft(heard[:, k] * np.hanning(len(heard))))
        assert abs(spectrum.argmax() * 48000 / len(heard) - hertz) < 3
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.audio[0].start_time in (0, None)


def test_a_frame_is_checked(tmp_path: Path) -> None:
    for frame in (np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((1, 8, 3), np.uint8)):
        with pytest.raises(UsageError), VideoWriter(tmp_path / "a.mp4", 25) as writer:
            writer.write(frame)
    assert not list(tmp_path.iterdir())
