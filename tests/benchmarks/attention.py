"""studio.attention beside every single backend called directly, at the shapes of the models that use it.

    python tests/benchmarks/attention.py                                  some minutes on one core
    python tests/benchmarks/attention.py --only own --seconds 20
    python tests/benchmarks/attention.py --device cuda --dtype float16 --compile

CPU milliseconds of a call on the CPU, those of the clock on a GPU. All are run in turns on the same numbers, each in
the order of axes that it wants. Given is the least of the rounds: what is above it is the machine's doing. "ratio" is
ours over the fastest of the others. Wanted: none above 1.02. --compile adds rows of both sides by torch.compile.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from studio.attention import BACKENDS, attention
from studio.attention.choice import _FOUND

WANTED = 1.02
NEAR = 1.3
"""Rivals slower than the fastest by more than this are not raced again."""


@dataclass(frozen=True)
class Shape:
    """(B, heads, queries, width) looks at (B, heads, keys, width); causal: a token sees those up to itself."""

    batch: int
    heads: int
    queries: int
    keys: int
    width: int
    causal: bool = False


def levels(*rows: tuple[int, int, int], batch: int) -> dict[str, Shape]:
    """Self and cross attention of a UNet at (tokens, heads, width); the text has 77 tokens."""
    out = {}
    for tokens, heads, width in rows:
        out[f"self {tokens}"] = Shape(batch, heads, tokens, tokens, width)
        out[f"cross {tokens}"] = Shape(batch, heads, tokens, 77, width)
    return out


SHAPES = {
    "SD 1.5": levels((4096, 8, 40), (1024, 8, 80), (256, 8, 160), (64, 8, 160), batch=2),
    "SDXL": levels((4096, 10, 64), (1024, 20, 64), batch=1),
    "own": {
        "CLIP text": Shape(2, 12, 77, 77, 64, causal=True),
        "FaceID resampler": Shape(2, 12, 4, 261, 64),
        "InstantID resampler": Shape(2, 20, 16, 17, 64),
        "HuBERT, 4 s": Shape(1, 12, 199, 199, 64),
        "JoyVASA, 110 frames": Shape(2, 8, 110, 110, 64),
        "VAE at 512": Shape(1, 1, 4096, 4096, 512),
    },
}

Call = Callable[..., torch.Tensor]
"""(q, k, v, causal) as (B, heads, tokens, width)."""


def ours(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    return attention(q, k, v, causal=causal)


def torchs(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
    return scaled_dot_product_attention(q, k, v, is_causal=causal)


def rivals(device: str) -> dict[str, tuple[Call, Callable[[], AbstractContextManager]]]:
    """{name: (call, what it runs within)}: all single backends that are here."""
    out: dict[str, tuple[Call, Callable[[], AbstractContextManager]]] = {"torch": (torchs, nullcontext)}
    kernels = {"math": SDPBackend.MATH}
    if device != "cpu":
        kernels |= {"flash": SDPBackend.FLASH_ATTENTION, "efficient": SDPBackend.EFFICIENT_ATTENTION}
        kernels["cudnn"] = SDPBackend.CUDNN_ATTENTION
        for name in ("xformers", "flash-attn", "flash-attn-3"):
            if BACKENDS[name].installed:
                run = BACKENDS[name].run
                out[name] = (lambda q, k, v, causal, run=run: run(q, k, v, None, causal, None), nullcontext)
    for name, kernel in kernels.items():
        out[name] = (torchs, lambda kernel=kernel: sdpa_kernel(kernel))
    try:
        from diffusers.models.attention_dispatch import dispatch_attention_fn
    except ImportError:
        return out

    def diffusers(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool) -> torch.Tensor:
        turned = (x.transpose(1, 2) for x in (q, k, v))
        return dispatch_attention_fn(*turned, is_causal=causal, backend="native")

    return out | {"diffusers": (diffusers, nullcontext)}


def seconds(call: Callable[[], object], within: AbstractContextManager, times: int, device: str) -> float:
    """Of one call, out of `times`: of CPU time on the CPU, of the clock elsewhere."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    with within:
        began = clock()
        for _ in range(times):
            call()
        if device != "cpu":
            torch.cuda.synchronize()
        return (clock() - began) / times


def race(shape: Shape, args: argparse.Namespace, compiled: bool) -> tuple[dict[str, float], float, str]:
    """Least seconds of each, the ratio of ours to the fastest other, and that one's name."""
    dtype = getattr(torch, args.dtype)
    draw = torch.Generator(args.device).manual_seed(0)
    q, k, v = (
        torch.randn(shape.batch, n, shape.heads, shape.width, generator=draw, device=args.device, dtype=dtype)
        for n in (shape.queries, shape.keys, shape.keys)
    )
    given = (*(x.transpose(1, 2) for x in (q, k, v)), shape.causal)  # as projections leave them
    runs: dict[str, tuple[Call, Callable[[], AbstractContextManager]]] = {"studio": (ours, nullcontext)}
    runs |= rivals(args.device)
    if compiled:
        runs = {name: (torch.compile(call), within) for name, (call, within) in runs.items() if name in PLAIN}
    calls = {}
    for name, (call, within) in runs.items():
        try:
            with within():
                call(*given)
            calls[name] = (lambda call=call: call(*given), within)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            if name == "studio":
                raise
            print(f"    {name}: {str(error).strip().splitlines()[0]}", file=sys.stderr)
    first = {name: seconds(call, within(), 2, args.device) for name, (call, within) in calls.items()}
    best = min(took for name, took in first.items() if name != "studio")
    times = max(1, round((0.0005 if args.device == "cpu" else 0.02) / best))
    raced = [name for name, took in first.items() if name == "studio" or took < NEAR * best]
    spent: dict[str, list[float]] = {name: [] for name in raced}
    ends = time.perf_counter() + args.seconds
    order = random.Random(0)
    while time.perf_counter() < ends or len(spent["studio"]) < 5:
        for name in order.sample(raced, len(raced)):  # who comes after whom tells, at the shortest
            call, within = calls[name]
            spent[name].append(seconds(call, within(), times, args.device))
    least = first | {name: min(took) for name, took in spent.items()}
    fastest = min((name for name in raced if name != "studio"), key=least.__getitem__)
    return least, least["studio"] / least[fastest], fastest


PLAIN = ("studio", "torch", "diffusers")
"""What torch.compile is tried on."""


def main() -> int:
    """Print the table; 1 where ours is slower than wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each row")
    parser.add_argument("--only", choices=list(SHAPES), action="append", help="may stand repeatedly")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = ["studio", *rivals(args.device)]
    print(f"{args.dtype} on {args.device}, torch {torch.__version__}")
    print(f"{'':34}" + "".join(f"{name:>13}" for name in names) + f"{'ratio':>8}  against")
    reached = True
    with torch.inference_mode():
        for model in args.only or SHAPES:
            for name, shape in SHAPES[model].items():
                for compiled in (False, True) if args.compile else (False,):
                    least, ratio, fastest = race(shape, args, compiled)
                    reached &= ratio <= WANTED
                    title = f"{model}, {name}{', compiled' if compiled else ''}"
                    cells = [f"{1e3 * least[n]:13.4f}" if n in least else f"{'-':>13}" for n in names]
                    print(f"{title:34}{''.join(cells)}{ratio:8.3f}  {fastest}", flush=True)
    for key, chosen in _FOUND.items():
        print(f"auto chose {chosen} for {str(key[1]).removeprefix('torch.')} {key[3]}x{key[2]}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
