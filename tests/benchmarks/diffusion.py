"""Time and peak memory of the portrait pipelines beside diffusers' own with the same random weights.

    python tests/benchmarks/diffusion.py                                   some minutes on one core
    python tests/benchmarks/diffusion.py --only PortraitPipeline --rounds 9
    python tests/benchmarks/diffusion.py --full --device cuda --dtype float16 --compile

Shapes are Stable Diffusion 1.5's and SDXL's at 512 x 512, narrower (--full for their own widths). Times are of one
call, in turns in one process, the least of the rounds, as what is above it is the machine's doing: CPU seconds on the
CPU, those of the clock on a GPU. Memory is the peak of a process of its own that makes one call: resident on the CPU,
allocated on a GPU. Wanted: none of ours more than 1.03 without an adapter. Rows "+ identity" and "+ control" are for
information.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

WANTED = 1.03
SIDE = 512
NAMES = ("PortraitPipeline", "PortraitImg2ImgPipeline", "PortraitInpaintPipeline")
NAMES = (*NAMES, *(name.replace("Portrait", "PortraitXL") for name in NAMES))
WAYS = ("plain", "ours", "ours + identity", "ours + control")


def parts(xl: bool, full: bool) -> dict[str, Any]:
    """Random components in the family's shape; a tenth as wide without `full`."""
    import tiny
    import torch
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    part = 1 if full else 10
    widths = (320, 640, 1280) if xl else (320, 640, 1280, 1280)
    plain, cross = "DownBlock2D", "CrossAttnDownBlock2D"
    down = (plain, cross, cross) if xl else (cross, cross, cross, plain)
    more: dict[str, Any] = {"attention_head_dim": 8 if full else 2, "cross_attention_dim": 768}
    if xl:
        more = dict(
            attention_head_dim=(5, 10, 20) if full else (1, 1, 2),
            cross_attention_dim=2048,
            transformer_layers_per_block=(1, 2, 10) if full else (1, 1, 2),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=6 * 256 + 1280,
        )
    unet = UNet2DConditionModel(
        sample_size=SIDE // 8,
        block_out_channels=tuple(w // part for w in widths),
        down_block_types=down,
        up_block_types=tuple(name.replace("Down", "Up") for name in reversed(down)),
        **more,
    )
    vae = AutoencoderKL(
        block_out_channels=tuple(w // (1 if full else 8) for w in (128, 256, 512, 512)),
        norm_num_groups=32 if full else 16,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=2,
        sample_size=SIDE,
        force_upcast=False,
    )
    made = tiny.xl_parts() if xl else tiny.sd_parts()
    text = {"text_encoder": tiny.text_encoder(768)}
    if xl:
        text["text_encoder_2"] = tiny.text_encoder(1280, CLIPTextModelWithProjection)
    return made | text | {"unet": unet.eval(), "vae": vae.eval()}


def identity_of(unet: Any) -> Any:
    """A random FaceID adapter for a UNet."""
    import numpy as np

    from controls.identity.adapter import Adapter
    from controls.identity.attention import layers_of
    from controls.identity.faceid import FaceId, FaceIdProjection

    width, draw = unet.config.cross_attention_dim, np.random.default_rng(0)
    arrays = {}
    for n, name in enumerate(layers_of(unet)):
        layer = unet.get_submodule(name.removesuffix(".processor"))
        if layer.is_cross_attention:
            for part in "kv":
                made = draw.standard_normal((layer.inner_dim, width), np.float32)
                arrays[f"{n}.to_{part}_ip.weight"] = made / width**0.5
    parameter = next(unet.parameters())
    projection = FaceIdProjection(512, 1024, 4, width).to(parameter.device, parameter.dtype)
    return FaceId(projection, Adapter.of(arrays, unet, what="random weights"))


def call_of(name: str, way: str, components: dict[str, Any], args: argparse.Namespace) -> Callable[[], Any]:
    """One call of a pipeline, plain or ours; components are shared."""
    import numpy as np
    import torch
    from PIL import Image

    more: dict[str, Any] = {} if "XL" in name else {"requires_safety_checker": False}
    given: dict[str, Any] = {}
    if way == "plain":
        import diffusers

        kind = getattr(diffusers, name.replace("Portrait", "StableDiffusion"))
        components = {k: v for k, v in components.items() if k != "controlnet"}
    else:
        from pipelines.diffusion import families

        kind = getattr(families, name)
    if way == "ours + control":
        from diffusers import ControlNetModel

        net = ControlNetModel.from_unet(components["unet"]).eval()
        components = components | {"controlnet": net}
        given["control_image"] = Image.new("RGB", (SIDE, SIDE), "grey")
    pipe = kind(**components, **more).to(args.device)
    if args.dtype != "float32":
        pipe.to(getattr(torch, args.dtype))
    pipe.set_progress_bar_config(disable=True)
    if way == "ours + identity":
        pipe.load_identity(identity_of(pipe.unet))
        given["identity_embeds"] = np.random.default_rng(1).standard_normal((1, 512))
    if args.compile:
        pipe.unet = torch.compile(pipe.unet)
    steps = args.steps
    if "Img2Img" in name or "Inpaint" in name:
        given |= {"image": Image.new("RGB", (SIDE, SIDE), "grey"), "strength": 1.0}
    else:
        given |= {"height": SIDE, "width": SIDE}
    if "Inpaint" in name:
        mask = np.zeros((SIDE, SIDE), np.uint8)
        mask[128:384, 128:384] = 255
        given |= {"mask_image": Image.fromarray(mask), "height": SIDE, "width": SIDE}

    def call() -> Any:
        draw = torch.Generator("cpu").manual_seed(0)
        out = pipe("a face", generator=draw, num_inference_steps=steps, output_type="np", **given).images
        if args.device != "cpu":
            torch.cuda.synchronize()
        return out

    return call


def seconds(name: str, ways: tuple[str, ...], args: argparse.Namespace) -> dict[str, float]:
    """{way: least seconds of a call}."""
    components = parts("XL" in name, args.full)
    clock = time.process_time if args.device == "cpu" else time.perf_counter
    spent: dict[str, list[float]] = {way: [] for way in ways}
    # an adapter is in the UNet for good, so those rows have one of their own
    calls = {w: call_of(name, w, parts("XL" in name, args.full) if "+" in w else components, args) for w in ways}
    for call in calls.values():
        call()
    for turn in range(args.rounds):
        for way in ways if turn % 2 else reversed(ways):
            began = clock()
            calls[way]()
            spent[way].append(clock() - began)
    return {way: min(took) for way, took in spent.items()}


def peak(args: argparse.Namespace) -> float:
    """MiB that this process took at most for one call."""
    name, way = args.child
    call = call_of(name, way, parts("XL" in name, args.full), args)
    call()
    if args.device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def peaks(name: str, way: str, args: argparse.Namespace) -> float:
    """The same of a process of its own; the median of a few."""
    words = [sys.executable, __file__, "--child", name, way, "--device", args.device, "--dtype", args.dtype]
    words += ["--threads", str(args.threads), "--steps", str(args.steps), *(["--full"] if args.full else [])]
    words += ["--compile"] if args.compile else []
    found = []
    for _ in range(args.children):
        run = subprocess.run(words, capture_output=True, text=True)
        if run.returncode:
            raise SystemExit(f"{name}, {way}: {run.stderr.strip()}")
        found.append(json.loads(run.stdout.splitlines()[-1]))
    return statistics.median(found)


def main() -> int:
    """Print the table; 1 where ours is worse than wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=NAMES, action="append", help="may stand repeatedly")
    parser.add_argument("--full", action="store_true", help="the families' own widths")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--children", type=int, default=3, help="processes for each figure of memory")
    parser.add_argument("--bare", action="store_true", help="without the rows for information")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    if args.child:
        print(json.dumps(peak(args)))
        return 0
    ways = WAYS[:2] if args.bare else WAYS
    print(f"{args.dtype} on {args.device}, {SIDE} x {SIDE}, {args.steps} steps, torch {torch.__version__}")
    print(f"{'':42}{'seconds':>10}{'ratio':>8}{'MiB':>10}{'ratio':>8}")
    reached = True
    for name in args.only or NAMES:
        times = seconds(name, ways, args)
        plain = 0.0
        for way in ways:
            took, ratio = times[way], times[way] / times["plain"]
            most = peaks(name, way, args)
            plain = most if way == "plain" else plain
            reached &= "+" in way or max(ratio, most / plain) <= WANTED
            print(f"{name + ', ' + way:42}{took:10.3f}{ratio:8.3f}{most:10.1f}{most / plain:8.3f}", flush=True)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
