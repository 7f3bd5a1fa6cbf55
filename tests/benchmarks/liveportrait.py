"""What LivePortrait's modules cost on this CPU, beside the published code's figures.

    python tests/benchmarks/liveportrait.py                     some minutes; needs the conformance folder
    python tests/benchmarks/liveportrait.py --threads 4 --rounds 5
    python tests/benchmarks/liveportrait.py --device cuda --dtype float16

CPU seconds of one picture, the best of a few rounds, with weights by recipe. Another machine and a busy one are slower
for both, so the speed of a plain matrix product stands beside: GFLOP/s of a module near that of the product means that
no time is lost. "as published" is the same network with its operators as the original has them (the 7x7x7 convolution
in one piece, convolutions of repeated pixels in full, each step of the response norm on its own), run in turns with
ours; "ratio" is ours over it. --memory-format channels_last tries the other order of numbers.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from liveportrait_recipe import state

from avatars.liveportrait import blocks, convnext, generator, warping
from avatars.liveportrait.appearance import AppearanceFeatureExtractor
from avatars.liveportrait.generator import SpadeGenerator
from avatars.liveportrait.motion import MotionExtractor
from avatars.liveportrait.warping import WarpingNetwork

PUBLISHED = {"M": "0.15", "F": "0.32-0.4", "W": "1.8-2.2", "G": "4.3-5.4"}
"""CPU seconds of the original on one thread of a shared server CPU, as the conformance README gives them."""

PARTS = {
    "M": ("motion_extractor", MotionExtractor),
    "F": ("appearance_feature_extractor", AppearanceFeatureExtractor),
    "W": ("warping_module", WarpingNetwork),
    "G": ("spade_generator", SpadeGenerator),
}


def best(works: Sequence[Callable[[], object]], rounds: int, device: str) -> list[float]:
    """Least seconds of each, run in turns: of CPU time on the CPU, of the clock elsewhere."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times: list[list[float]] = [[] for _ in works]
    for _ in range(rounds + 1):  # the first one warms up
        for work, seconds in zip(works, times):
            began = clock()
            work()
            if device != "cpu":
                torch.cuda.synchronize()
            seconds.append(clock() - began)
    return [min(seconds[1:]) for seconds in times]


def flops(work: Callable[[], object]) -> float:
    """Billions of multiplications and additions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def in_full(x: torch.Tensor, conv: nn.Conv2d | nn.Conv3d, factor: int) -> torch.Tensor:
    """What `blocks.convolved_repeats` gives, as the published code makes it."""
    times = (1, factor, factor) if x.ndim == 5 else factor
    return conv(nn.functional.interpolate(x, scale_factor=times, mode="nearest"))


def response(self: convnext.GlobalResponseNorm, x: torch.Tensor) -> torch.Tensor:
    """The published steps of `convnext.GlobalResponseNorm`."""
    energy = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
    return self.gamma * (x * (energy / (energy.mean(-1, keepdim=True) + convnext.EPS))) + self.beta + x


@contextmanager
def as_published() -> Iterator[None]:
    """Networks run with the original's operators."""
    changes = [
        (warping.DepthTapConv3d, "forward", nn.Conv3d.forward),
        (convnext.GlobalResponseNorm, "forward", response),
        (blocks, "convolved_repeats", in_full),
        (generator, "convolved_repeats", in_full),
    ]
    before = [getattr(where, name) for where, name, _ in changes]
    for where, name, other in changes:
        setattr(where, name, other)
    try:
        yield
    finally:
        for (where, name, _), own in zip(changes, before):
            setattr(where, name, own)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--memory-format", default="contiguous", choices=("contiguous", "channels_last"))
    options.add_argument("--device", default="cpu")
    options.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    args = options.parse_args()
    shared = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    if not (shared / "conformance" / "liveportrait").is_dir():
        raise SystemExit(f"no conformance folder at {shared}; FACE_STUDIO_SHARED names another place")
    torch.set_num_threads(args.threads)
    dtype, device = getattr(torch, args.dtype), args.device
    draw = torch.Generator().manual_seed(0)
    place = lambda *shape: torch.randn(*shape, generator=draw).to(device)

    form = {2: torch.channels_last, 3: torch.channels_last_3d} if args.memory_format == "channels_last" else {}

    with torch.no_grad():
        side = 1024
        a, b = place(side, side).to(dtype), place(side, side).to(dtype)
        speed = 2 * side**3 / best([lambda: a @ b], 10, device)[0] / 1e9
        print(f"matrix product {speed:.0f} GFLOP/s, {args.dtype} on {device}, {args.threads} thread(s)")
        heads = ("seconds", "as published", "ratio", "README", "GFLOP", "GFLOP/s", "of product")
        print(f"{'':28}" + "".join(f"{head:>14}" for head in heads))

        image, points = place(1, 3, 256, 256).sigmoid(), 0.3 * place(1, 21, 3)
        feature, volume = place(1, 256, 64, 64).to(dtype), place(1, 32, 16, 64, 64).to(dtype)
        given = {"M": (image,), "F": (image,), "G": (feature,), "W": (volume,)}
        frame = [0.0, 0.0]
        for letter, (part, make) in PARTS.items():
            network = make().eval()
            network.load_state_dict(state(shared, "liveportrait", part))
            network = network.to(device, dtype if letter in "WG" else torch.float32)
            for layer in network.modules():
                if isinstance(layer, (nn.Conv2d, nn.Conv3d)) and form:
                    layer.weight.data = layer.weight.data.contiguous(memory_format=form[layer.weight.ndim - 2])
            more = {"kp_source": points, "kp_driving": points + 0.02} if letter == "W" else {}
            work = partial(network, *given[letter], **more)

            def published(work: Callable[[], object] = work) -> None:
                with as_published():
                    work()

            ours, theirs = best([work, published], args.rounds, device)
            if letter in "WG":
                frame = [frame[0] + ours, frame[1] + theirs]
            with as_published():
                count = flops(work)
            values = (f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}", PUBLISHED[letter], f"{count:.0f}")
            rate = f"{count / theirs:.0f}", f"{count / theirs / speed:.0%}"
            print(f"{part:28}" + "".join(f"{value:>14}" for value in (*values, *rate)), flush=True)
        ours, theirs = frame
        print(f"{'a frame (warping, generator)':28}{ours:14.3f}{theirs:14.3f}{ours / theirs:14.2f}{'6-7.5':>14}")


if __name__ == "__main__":
    main()
