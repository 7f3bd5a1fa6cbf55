"""How fast and in how much memory: `animate` end to end, first frame, warm edits.

    python tests/benchmarks/speed.py                     about two minutes
    python tests/benchmarks/speed.py --long 600          memory at 10 minutes against 10 seconds

Every rate stands beside that of a reference in the same run, encoding alone of the same frames, because
a busy machine slows both. `frames/s` is from the call of the pipeline to the closed file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
from judges import REPOSITORY, row

FPS = Fraction(25)
SIZES = {"512²": (512, 512), "1080p": (1920, 1080)}


def speech(seconds: float) -> object:
    """The package's speech, repeated to a length, as `Audio`."""
    from studio.media import Audio

    sound = Audio.open(REPOSITORY / "demos" / "assets" / "speech.wav")
    samples = sound.samples(16000)
    return Audio.from_array(np.resize(samples, int(seconds * 16000)), 16000)


def portrait() -> np.ndarray:
    """The package's portrait."""
    from studio.media import read_image

    return read_image(REPOSITORY / "demos" / "assets" / "astronaut.jpg").rgb


def end_to_end(pipe: object, size: tuple[int, int], seconds: float, out: Path) -> tuple[float, float, float]:
    """(frames per second of animate, of encoding alone, milliseconds to the first encoded frame)."""
    from studio.media import VideoWriter

    picture, sound = portrait(), speech(seconds)
    first: list[float] = []
    began = time.perf_counter()
    take = pipe(picture, audio=sound, size=size, fps=FPS)
    saved = take.save(out / "animate.mp4", progress=lambda _: first or first.append(time.perf_counter() - began))
    rate = saved.frames / (time.perf_counter() - began)

    some = [frame.image.copy() for frame, _ in zip(take.frames, range(50), strict=False)]
    began = time.perf_counter()
    with VideoWriter(out / "encode.mp4", FPS, size=take.size, audio=sound) as writer:
        for k in range(saved.frames):
            back_and_forth = k % (2 * len(some))
            writer.write(some[min(back_and_forth, 2 * len(some) - 1 - back_and_forth)])
    reference = saved.frames / (time.perf_counter() - began)

    began = time.perf_counter()
    take = pipe(picture, audio=sound, size=size, fps=FPS)
    with VideoWriter(out / "first.mp4", FPS, size=take.size, audio=sound) as writer:
        for image in take.draw():
            writer.write(image)
            latency = time.perf_counter() - began
            break
    return rate, reference, 1000 * latency


def peak_memory(seconds: float, size: int, out: Path) -> float:
    """Most resident megabytes of `face-studio animate` in a process of its own."""
    import soundfile

    voice = out / f"voice_{seconds:g}.wav"
    soundfile.write(voice, speech(seconds).samples(16000), 16000)
    words = [
        sys.executable,
        "-m",
        "demos.cli",
        "animate",
        "--sample",
        "--audio",
        str(voice),
        "--size",
        str(size),
        "--quiet",
        "-o",
        str(out / f"memory_{seconds:g}.mp4"),
    ]
    child = os.posix_spawn(sys.executable, words, {**os.environ, "PYTHONPATH": str(REPOSITORY)})
    _, status, usage = os.wait4(child, 0)
    if status:
        sys.exit(f"animate failed for {seconds:g} s")
    return usage.ru_maxrss / 1024


def warm_edit(out: Path) -> float:
    """Seconds of one edit of a 1024 x 1024 picture, from path to saved file, in a warm process."""
    import cv2
    from PIL import Image

    from pipelines import ExpressionEditPipeline

    path = out / "1024.png"
    Image.fromarray(cv2.resize(portrait(), (1024, 1024), interpolation=cv2.INTER_CUBIC)).save(path)
    pipe = ExpressionEditPipeline()
    times = []
    for k in range(4):
        began = time.perf_counter()
        pipe(path, shapes={"smile": 0.5 + 0.1 * k}, yaw=10).save(out / "edited.png")
        times.append(time.perf_counter() - began)
    return float(np.median(times[1:]))


def main() -> int:
    """Print the tables."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--seconds", type=float, default=10.0, help="length of the timed clips")
    parse.add_argument("--long", type=float, default=60.0, help="length of the long clip for memory")
    parse.add_argument("--skip-memory", action="store_true")
    args = parse.parse_args()
    from pipelines import TalkingPortraitPipeline

    pipe = TalkingPortraitPipeline()
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        out = Path(folder)
        pipe(portrait(), audio=speech(1.0), fps=FPS).save(out / "warm.mp4")
        widths = [8, 10, 14, 12, 14]
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        print(row(["animate", "frames/s", "encoding alone", "of it", "first frame"], widths), flush=True)
        for name, size in SIZES.items():
            rate, reference, latency = end_to_end(pipe, size, args.seconds, out)
            print(
                row(
                    [name, f"{rate:.1f}", f"{reference:.1f}", f"{100 * rate / reference:.0f} %", f"{latency:.0f} ms"],
                    widths,
                ),
                flush=True,
            )
        print(f"\nwarm edit of 1024 x 1024: {warm_edit(out):.2f} s", flush=True)
        if not args.skip_memory:
            short, long = (peak_memory(s, 512, out) for s in (args.seconds, args.long))
            print(
                f"peak memory: {short:.0f} MB for {args.seconds:g} s, {long:.0f} MB for {args.long:g} s, "
                f"ratio {long / short:.3f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
