"""Transparent video: what is written with alpha comes back with it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from pipelines.output import check_output
from studio.clip import Clip
from studio.errors import UsageError
from studio.media import Audio, VideoWriter

SIZE = 96


def moving(frames: int = 6) -> list[np.ndarray]:
    """An orange disc with a soft rim that wanders over nothing, whose colour is black where it is clear."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    out = []
    for k in range(frames):
        alpha = np.clip((30 - np.hypot(x - 40 - 3 * k, y - 48)) / 8 + 0.5, 0, 1)
        colour = np.where(alpha[..., None] > 0, [230, 120, 40], 0)
        out.append(np.dstack([colour, np.rint(255 * alpha)]).astype(np.uint8))
    return out


def decoded(path: Path, codec: str) -> list[np.ndarray]:
    """(H, W, 4) of each frame, by a decoder that knows of alpha."""
    reader = av.CodecContext.create(codec, "r")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.extradata:
            reader.extradata = stream.codec_context.extradata
        reader.width, reader.height = stream.width, stream.height
        reader.codec_tag = stream.codec_context.codec_tag
        packets = [p for p in container.demux(stream) if p.size]
        frames = [f for p in packets for f in reader.decode(p)]
    frames += reader.decode(None)
    colours = {"src_colorspace": "ITU709", "dst_colorspace": "ITU709"}
    return [f.reformat(format="rgba", **colours).to_ndarray() for f in frames]


@pytest.mark.parametrize("ending,codec,error", [(".webm", "libvpx-vp9", 6), (".mov", "prores", 2)])
def test_alpha_comes_back(tmp_path, ending, codec, error):
    frames = moving()
    sound = Audio.from_array(np.zeros(16000, np.float32), 16000)
    with VideoWriter(tmp_path / f"a{ending}", 25, audio=sound) as writer:
        for frame in frames:
            writer.write(frame)
    back = decoded(tmp_path / f"a{ending}", codec)
    assert len(back) == len(frames)
    for was, now in zip(frames, back):
        assert np.abs(was[..., 3].astype(int) - now[..., 3]).mean() < error
        solid, clear = was[..., 3] == 255, was[..., 3] == 0
        assert now[solid][:, 3].min() > 240 and now[clear][:, 3].max() < 40
        rim = (was[..., 3] > 100) & ~solid  # no black comes in from where it is clear
        assert np.abs(now[rim][:, :3].astype(int) - was[rim][:, :3]).mean() < 12
    clip = Clip.open(tmp_path / f"a{ending}")
    assert clip.has_audio and clip.size == (SIZE, SIZE) and clip.fps == 25


@pytest.mark.parametrize("name", ["frames", "frames/f_%03d.png", "frames/%d.webp"])
def test_pictures_keep_alpha(tmp_path, name):
    frames = moving(3)
    with VideoWriter(tmp_path / name, 25) as writer:
        for frame in frames:
            writer.write(frame)
    files = sorted((tmp_path / "frames").iterdir())
    assert len(files) == 3
    for was, path in zip(frames, files):
        assert np.array_equal(np.asarray(Image.open(path))[..., 3], was[..., 3])


@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "a.mkv"])
def test_other_videos_refuse_alpha(tmp_path, name):
    with pytest.raises(UsageError, match="transparen"):
        check_output(tmp_path / name, "video", transparent=True)
    with pytest.raises(UsageError, match="transparent"), VideoWriter(tmp_path / name, 25) as writer:
        for frame in moving():
            writer.write(frame)
    assert not list(tmp_path.iterdir())


def test_channels_do_not_change_on_the_way(tmp_path):
    with pytest.raises(UsageError, match="channels"), VideoWriter(tmp_path / "a.webm", 25) as writer:
        writer.write(moving(1)[0])
        writer.write(moving(1)[0][..., :3])
    assert not list(tmp_path.iterdir())
