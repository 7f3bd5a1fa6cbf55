"""FLAME's layer against smplx's own class, in one run and in turns, so that a busy machine slows both.

    python tests/benchmarks/flame.py [--frames 10000] [--threads 1] [--flame generic_model.pkl's folder]

One identity's sequence in blocks (memory must not grow with it), and batches of 1 and 64 different people. Vertices and
68 landmarks on both sides, which must agree. Wanted: 3 times as fast for the sequence, 1.3 times for the batches.
Without --flame the synthetic head of the conformance vectors is used (FACE_STUDIO_CONFORMANCE names their folder).
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

BLOCK = 64
SIZES = {"shape": 300, "expression": 100, "rotation": 3, "neck": 3, "jaw": 3, "eyes": 6}
WANTED = {"sequence": 3.0, "batch of 1": 1.3, "batch of 64": 1.3}


def drawn(count: int) -> dict:
    """Coefficients and poses of `count` heads, as tensors."""
    import torch

    rng = np.random.default_rng(count)
    return {k: torch.from_numpy((0.3 * rng.standard_normal((count, n))).astype(np.float32)) for k, n in SIZES.items()}


def theirs(folder: Path, batch: int) -> Callable[[dict], tuple]:
    """smplx's FLAME for a batch: coefficients -> vertices, landmarks."""
    import smplx

    layer = smplx.FLAME(
        str(folder), num_betas=300, num_expression_coeffs=100, use_face_contour=True, batch_size=batch
    ).eval()

    def run(given: dict) -> tuple:
        out = layer(
            betas=given["shape"],
            expression=given["expression"],
            global_orient=given["rotation"],
            neck_pose=given["neck"],
            jaw_pose=given["jaw"],
            leye_pose=given["eyes"][:, :3],
            reye_pose=given["eyes"][:, 3:],
            transl=given["eyes"].new_zeros(len(given["eyes"]), 3),
        )
        return out.vertices, out.joints[:, 5:]

    return run


def in_turns(ours: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, after one round that doesn't count."""
    spent: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for which, call in enumerate((ours, other)):
            began = time.perf_counter()
            call()
            if turn:
                spent[which].append(time.perf_counter() - began)
    return statistics.median(spent[0]), statistics.median(spent[1])


def resident() -> float:
    """MiB that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def sequence(flame: object, other: Callable[[dict], tuple], frames: int) -> tuple[float, float, float]:
    """Seconds of ours and theirs for one person's frames, and MiB that ours grew by after its first tenth."""
    import torch

    given = drawn(frames)
    shape = given.pop("shape")[:1]
    part = max(BLOCK, frames // 10 // BLOCK * BLOCK)
    mine = other_time = 0.0
    first, largest = 0.0, 0.0
    for at in range(0, frames, part):
        here = {name: value[at : at + part] for name, value in given.items()}
        began = time.perf_counter()
        for out in flame.sequence(shape, here["expression"], block=BLOCK, **{k: here[k] for k in list(SIZES)[2:]}):
            marks = flame.landmarks(out, "smplx")
        mine += time.perf_counter() - began
        last = out.vertices
        began = time.perf_counter()
        for k in range(0, len(here["expression"]), BLOCK):
            block = {name: value[k : k + BLOCK] for name, value in here.items()}
            count = len(block["expression"])
            with torch.inference_mode():
                vertices, points = other({**block, "shape": shape.expand(count, -1)})
        other_time += time.perf_counter() - began
        worst = max(float((last - vertices).abs().max()), float((marks - points).abs().max()))
        if worst > 1e-5:
            raise SystemExit(f"ours and smplx's differ by {worst:.2g} m")
        gc.collect()
        largest = max(largest, resident())
        first = first or largest
    return mine, other_time, largest - first


def main() -> int:
    """Print the table; the exit code says whether all that is wanted was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--flame", type=Path)
    args = parser.parse_args()
    import torch

    from avatars.flame.asset import load_flame
    from avatars.flame.layer import Flame

    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    folder = args.flame
    if folder is None:
        from conformance import SEED, recipe

        folder = Path(recipe("flame_synthetic").write(tempfile.mkdtemp(), SEED))
    flame = Flame(load_flame(folder)).eval()
    print(f"{'':14}{'ours':>12}{'smplx':>12}{'ratio':>8}{'wanted':>8}")
    reached = True

    def tell(name: str, mine: float, other: float, heads: int) -> None:
        nonlocal reached
        ratio, wanted = other / mine, WANTED[name]
        reached &= ratio >= wanted
        print(
            f"{name:14}{1e3 * mine / heads:9.3f} ms{1e3 * other / heads:9.3f} ms{ratio:8.2f}{wanted:8.1f}", flush=True
        )

    for count in (1, 64):
        given = drawn(count)
        other = theirs(folder, count)

        def ours(given: dict = given) -> None:
            with torch.inference_mode():
                flame.landmarks(flame(**given), "smplx")

        def smplx_(given: dict = given, other: Callable[[dict], tuple] = other) -> None:
            with torch.inference_mode():
                other(given)

        mine, them = in_turns(ours, smplx_, 60 if count == 1 else 15)
        tell(f"batch of {count}", mine, them, count)
    mine, them, grown = sequence(flame, theirs(folder, BLOCK), args.frames)
    tell("sequence", mine, them, args.frames)
    print(f"{args.frames} frames in blocks of {BLOCK}: memory grew by {grown:.0f} MiB after the first tenth")
    return 0 if reached and grown < 64 else 1


if __name__ == "__main__":
    sys.exit(main())
