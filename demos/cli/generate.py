"""`face-studio generate`: new portraits of a prompt, a person, an expression and a pose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from demos.cli.engine import hush
from demos.cli.options import add_common, add_expression, expression, number, pairs, reporter, say, size
from studio.errors import UsageError

EPILOG = """\
face-studio generate "portrait, window light, 85mm" --model stable-diffusion-v1-5 -o out.png
face-studio generate "…" --model FOLDER --adapter ip-adapter-faceid_sd15.bin --identity me.jpg -o me_new.png
face-studio generate "…" --model FOLDER --controlnet control_normals --expression smile.jpg --pose ref.jpg -o out.png
face-studio generate --model FOLDER --adapter encoder --adapter exp_adapter.bin --identity me.jpg -o out.png   Arc2Face
face-studio generate "…" --model FOLDER --lora style.safetensors=0.8 --count 4 --seed 7 -o out.png
face-studio generate "a portrait, smiling broadly" -o out.png           the miniature of the package, 64 x 64

--model is a folder as diffusers saves it, or one .safetensors, of Stable Diffusion 1.5 or SDXL; nothing is downloaded.
Give --expression a picture of anybody: what that face does is measured and carried over. --set, --au, --emotion and the
angles come on top. Only make pictures of people who agreed to it, and say that they are made."""

KINDS = ("normals", "landmarks", "depth", "segmentation", "render")


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "generate",
        help="make new portraits of a prompt, a person, an expression and a pose",
        description="Make new portraits of a prompt, a person, an expression and a pose, by a diffusion model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("prompt", nargs="?", default="a portrait of a person", metavar="PROMPT", help="what is wanted")
    verb.add_argument("-o", "--output", metavar="OUT", help="the picture; several get numbers")
    verb.add_argument("--negative", metavar="TEXT", help="what is not wanted")
    face = verb.add_argument_group("who, with which face")
    face.add_argument(
        "--identity",
        action="append",
        metavar="PHOTO",
        help="the person: a photo or embeddings (.npy); several are averaged",
    )
    face.add_argument("--identity-scale", type=number(0, 2), metavar="0..2", help="how much the person counts")
    face.add_argument(
        "--expression",
        metavar="PICTURE",
        help="whose expression is carried over; or a file of 52 ARKit weights or SMIRK's 55 numbers (.npy, .json)",
    )
    face.add_argument("--pose", metavar="PICTURE", help="whose turn of the head is taken over")
    add_expression(verb)
    face.add_argument(
        "--gaze", metavar="YAW,PITCH", help="turn of the eyes in degrees, or left, right, up, down, camera"
    )
    for name, what in (("yaw", "turn to the picture's right"), ("pitch", "turn down"), ("roll", "tilt clockwise")):
        face.add_argument(f"--{name}", type=number(-45, 45), default=0.0, metavar="DEGREES", help=what)
    face.add_argument("--no-words", action="store_true", help="don't say expression and pose in the prompt as well")
    face.add_argument("--push", type=number(0, 20), default=0.0, metavar="0..20", help="semantic guidance (5 is usual)")
    model = verb.add_argument_group("model")
    model.add_argument("--model", metavar="FOLDER", help="a checkpoint (default: the miniature of the package)")
    model.add_argument("--config", metavar="FOLDER", help="for one .safetensors: a folder of the same family")
    model.add_argument(
        "--adapter",
        action="append",
        metavar="FILE",
        help="of identity: IP-Adapter FaceID, InstantID, Arc2Face's encoder; and Arc2Face's Expression Adapter",
    )
    model.add_argument("--controlnet", action="append", metavar="FOLDER", help="may stand repeatedly")
    model.add_argument(
        "--condition", action="append", choices=KINDS, help="what that ControlNet sees (default normals)"
    )
    model.add_argument("--control", type=number(0, 2), default=1.0, metavar="0..2", help="strength of the ControlNets")
    model.add_argument("--lora", action="append", metavar="FILE[=WEIGHT]", help="may stand repeatedly")
    model.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default), cuda")
    model.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), help="default: float32 on a CPU")
    more = verb.add_argument_group("pictures")
    more.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed gives the same picture")
    more.add_argument("--count", type=int, default=1, metavar="N", help="how many, each with the next seed")
    more.add_argument("--size", type=size, metavar="WxH", help="multiples of 8 (default: the model's own)")
    more.add_argument("--steps", type=int, default=30, metavar="N", help="of denoising (default 30)")
    more.add_argument("--guidance", type=number(0, 50), metavar="N", help="how strictly the prompt is followed")
    more.add_argument("--save-condition", metavar="OUT", help="also write what the ControlNet saw")
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the pictures."""
    if not args.output:
        raise UsageError("where to? Give -o out.png")
    for name, low, high in (("seed", 0, 2**63 - 1), ("count", 1, 64), ("steps", 1, 1000)):
        if not low <= getattr(args, name) <= high:
            raise UsageError(f"--{name} {getattr(args, name)}: {low} to {high} are possible")
    for place in (*(args.identity or ()), args.expression, args.pose):
        if place and not Path(place).is_file():
            raise UsageError(f"{place}: there is no such file")
    from pipelines.generate import check_places

    check_places(args.output, args.count)
    if args.save_condition:
        check_places(args.save_condition, 1)
    make = maker(args)
    if args.save_condition and make.pipe.controlnet is None:
        raise UsageError("--save-condition goes with --controlnet")
    made = make(
        args.prompt,
        negative=args.negative,
        identity=args.identity,
        identity_scale=args.identity_scale,
        expression=args.expression,
        pose=args.pose,
        **expression(args),
        gaze=args.gaze,
        yaw=args.yaw,
        pitch=args.pitch,
        roll=args.roll,
        words=not args.no_words,
        push=args.push,
        control=args.control,
        seed=args.seed,
        count=args.count,
        size=args.size,
        steps=args.steps,
        guidance=args.guidance,
        progress=reporter(args),
    )
    for saved in made.save(args.output):
        say(args, str(saved))
    if args.save_condition:
        from studio.media import write_image

        if made.condition is None:
            raise UsageError("--save-condition: nothing was asked of the face, so the ControlNet saw nothing")
        write_image(args.save_condition, made.condition)
        say(args, args.save_condition)


def maker(args: argparse.Namespace) -> Any:
    """The `GenerationPipeline` that the options name."""
    if args.model is None:
        given = [f"--{name}" for name in ("adapter", "controlnet", "condition", "config") if getattr(args, name)]
        if given:
            raise UsageError(f"{given[0]} goes with --model")
        from demos.cli.miniature import open_maker

        hush()
        opened = open_maker(loras(args.lora))
        say(args, "No --model: this is the package's miniature, 64 x 64 pixels, which knows our own 3D heads alone.")
        return opened
    from pipelines.generate import GenerationPipeline

    hush()
    return GenerationPipeline.from_pretrained(
        args.model,
        controlnet=_one(args.controlnet),
        condition=args.condition or "normals",
        identity=args.adapter,
        lora=loras(args.lora),
        device=args.device,
        dtype=args.dtype,
        config=args.config,
    )


def _one(values: list[str] | None) -> Any:
    return None if not values else values[0] if len(values) == 1 else values


def loras(words: list[str] | None) -> dict[str, float]:
    """{file: weight} of FILE or FILE=WEIGHT words. Raises UsageError for a file that is named twice."""
    out: dict[str, float] = {}
    for word in words or ():
        file, _, weight = word.rpartition("=") if not Path(word).exists() and "=" in word else (word, "", "1")
        out |= {k: float(v) for k, v in pairs([f"{file}={weight}"], "--lora").items() if not _twice(k, out)}
    return out


def _twice(file: str, seen: dict[str, float]) -> bool:
    if file in seen:
        raise UsageError(f"--lora names {file} twice; give it once")
    return False
