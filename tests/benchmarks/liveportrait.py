"""What LivePortrait's modules cost on this CPU, beside the published code's figures.

    python tests/benchmarks/liveportrait.py                     some minutes; needs the conformance folder
    python tests/benchmarks/liveportrait.py --threads 4 --rounds 5
    python tests/benchmarks/liveportrait.py --device cuda --dtype float16

CPU seconds of one picture, the best of a few rounds, with weights by recipe. Another machine and a busy one are slower
for both, so the speed of a plain matrix product stands beside: GFLOP/s of a module near that of the product means that
no time is lost. "as published", in the same run, is the warping network with its 7x7x7 convolution as one operator, and
the generator with convolutions of repeated pixels in full.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from liveportrait_recipe import state

from avatars.liveportrait import generator
from avatars.liveportrait.appearance import AppearanceFeatureExtractor
from avatars.liveportrait.generator import SpadeGenerator
from avatars.liveportrait.motion import MotionExtractor
from avatars.liveportrait.warping import DepthTapConv3d, WarpingNetwork

PUBLISHED = {"M": "0.15", "F": "0.32-0.4", "W": "1.8-2.2", "G": "4.3-5.4"}
"""CPU seconds of the original on one thread of a shared server CPU, as the conformance README gives them."""

PARTS = {
    "M": ("motion_extractor", MotionExtractor),
    "F": ("appearance_feature_extractor", AppearanceFeatureExtractor),
    "W": ("warping_module", WarpingNetwork),
    "G": ("spade_generator", SpadeGenerator),
}


def best(work: Callable[[], object], rounds: int, device: str) -> float:
    """Least seconds: of CPU time on the CPU, of the clock elsewhere."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    for _ in range(rounds + 1):  # the first one warms up
        began = clock()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(clock() - began)
    return min(times[1:])


def flops(work: Callable[[], object]) -> float:
    """Billions of multiplications and additions."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def in_full(x: torch.Tensor, conv: nn.Conv2d, factor: int) -> torch.Tensor:
    """What `generator.convolved_repeats` gives, as the published code makes it."""
    return conv(nn.functional.interpolate(x, scale_factor=factor, mode="nearest"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--rounds", type=int, default=2)
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

    with torch.no_grad():
        side = 1024
        a, b = place(side, side).to(dtype), place(side, side).to(dtype)
        speed = 2 * side**3 / best(lambda: a @ b, 10, device) / 1e9
        print(f"matrix product {speed:.0f} GFLOP/s, {args.dtype} on {device}, {args.threads} thread(s)")
        print(f"{'':28}{'seconds':>9}{'published':>11}{'GFLOP':>8}{'GFLOP/s':>9}{'of product':>12}")

        def show(name: str, published: str, work: Callable[[], object]) -> None:
            seconds, count = best(work, args.rounds, device), flops(work)
            rate = count / seconds
            print(f"{name:28}{seconds:9.3f}{published:>11}{count:8.0f}{rate:9.0f}{rate / speed:12.0%}", flush=True)

        image, points = place(1, 3, 256, 256).sigmoid(), 0.3 * place(1, 21, 3)
        feature, volume = place(1, 256, 64, 64).to(dtype), place(1, 32, 16, 64, 64).to(dtype)
        given = {"M": (image,), "F": (image,), "G": (feature,), "W": (volume,)}
        for letter, (part, make) in PARTS.items():
            network = make().eval()
            network.load_state_dict(state(shared, "liveportrait", part))
            network = network.to(device, dtype if letter in "WG" else torch.float32)
            more = {"kp_source": points, "kp_driving": points + 0.02} if letter == "W" else {}
            work = partial(network, *given[letter], **more)
            show(part, PUBLISHED[letter], work)
            if letter == "W":
                own, DepthTapConv3d.forward = DepthTapConv3d.forward, nn.Conv3d.forward
                show("  as published", PUBLISHED[letter], work)
                DepthTapConv3d.forward = own
            if letter == "G":
                ours, generator.convolved_repeats = generator.convolved_repeats, in_full
                show("  as published", PUBLISHED[letter], work)
                generator.convolved_repeats = ours


if __name__ == "__main__":
    main()
