"""Options of the engines: which one draws, where its files are, and how LivePortrait copies."""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
from dataclasses import replace
from typing import Any

from studio.errors import UsageError

ANIMALS = "liveportrait-animals"
ENGINES = ("photo", "liveportrait")
SPEAKERS = ("lips", "joyvasa", "joyvasa-original")


def add_engine(verb: argparse.ArgumentParser, *more: str) -> argparse._ArgumentGroup:
    """--engine (with `more` names), --weights and --blendshapes; returns their group."""
    group = verb.add_argument_group("engine")
    group.add_argument(
        "--engine",
        choices=(*ENGINES, *more),
        default="photo",
        help="what draws: the embedded photo avatar (default), LivePortrait"
        + (f", of animals too ({ANIMALS})" if ANIMALS in more else "")
        + (", or a diffusion model that paints the face anew" if "diffusion" in more else ""),
    )
    group.add_argument("--weights", metavar="FOLDER", help="where the files of LivePortrait and JoyVASA are")
    group.add_argument("--blendshapes", metavar="MAP", help="a map of your own, as `face-studio refit` writes it")
    group.add_argument(
        "--precision",
        choices=("auto", "float32", "float16", "bfloat16"),
        default="auto",
        help="of LivePortrait's painting; auto: float16 on a GPU, else float32 (bfloat16 is faster on some CPUs)",
    )
    group.add_argument(
        "--compile",
        choices=("off", "on", "graphs"),
        default="off",
        help="LivePortrait by torch.compile, and with CUDA graphs; the first frame waits, others come sooner on a GPU",
    )
    return group


def add_transfer(verb: argparse.ArgumentParser) -> None:
    """What LivePortrait's users know, and the model of speech."""
    group = add_engine(verb, ANIMALS)
    group.add_argument(
        "--box",
        action="append",
        type=box,
        metavar="X,Y,W,H",
        help="LivePortrait: where a head is that can't be found, in pixels; again for another (default for animals: "
        "the largest square in the middle)",
    )
    group.add_argument(
        "--driver-model",
        choices=SPEAKERS,
        default="lips",
        help="what speaks: the embedded network (default), or JoyVASA, its lips in time or as published",
    )
    copy = verb.add_argument_group("copying a performance with LivePortrait (--intensity is its multiplier)")
    copy.add_argument("--region", choices=("all", "exp", "pose", "lip", "eyes"), default="all", help="what is copied")
    copy.add_argument("--absolute", action="store_true", help="the driver's own expression and pose, not their change")
    copy.add_argument("--no-stitching", action="store_true", help="let the shoulders move")
    copy.add_argument("--normalize-lip", action="store_true", help="close the portrait's lips first")
    copy.add_argument("--retarget-eyes", action="store_true", help="open the eyes as far as the driver's, and no more")
    copy.add_argument("--retarget-lips", action="store_true", help="open the lips as far as the driver's, and no more")
    copy.add_argument(
        "--smooth", choices=("kalman", "one-euro", "off"), default="kalman", help="of the driver's motion"
    )


def box(text: str) -> tuple[float, ...]:
    """`X,Y,W,H` in pixels."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"{text!r}: write X,Y,WIDTH,HEIGHT in pixels, as in 120,40,300,300")
    return numbers


def add_diffusion(verb: argparse.ArgumentParser) -> None:
    """What goes with --engine diffusion; --model and --device are those of `add_published`."""
    more = verb.add_argument_group("with --engine diffusion")
    more.add_argument("--controlnet", metavar="FOLDER", help="follows the edited head")
    more.add_argument("--condition", default="normals", help="what the ControlNet sees (default normals)")
    more.add_argument("--adapter", metavar="FILE", help="keeps the person: FaceID's or InstantID's")
    more.add_argument("--strength", type=float, default=0.6, metavar="0..1", help="how much is painted anew (0.6)")
    more.add_argument("--steps", type=int, default=30, metavar="N", help="of denoising (default 30)")
    more.add_argument("--seed", type=int, default=0, metavar="N")


def hush() -> None:
    """Keeps what diffusers and transformers tell while they load off the command's terminal: bars of a moment, and
    advice on packages that nothing here needs. Errors are heard; who sets TRANSFORMERS_VERBOSITY hears what they want.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if importlib.util.find_spec("diffusers") is not None:
        from diffusers.utils import logging

        logging.disable_progress_bar()


def _diffusion(args: argparse.Namespace) -> Any:
    if args.model == "embedded":
        raise UsageError("--engine diffusion needs --model FOLDER: a checkpoint of Stable Diffusion 1.5 or SDXL")
    from avatars.conditions import KINDS
    from pipelines.diffusion.edit import DiffusionEngine, DiffusionSettings

    if args.condition not in KINDS:
        raise UsageError(f"--condition {args.condition}: choose one of {', '.join(KINDS)}")
    hush()
    settings = DiffusionSettings(strength=args.strength, steps=args.steps, seed=args.seed, condition=args.condition)
    return DiffusionEngine.from_pretrained(
        args.model, controlnet=args.controlnet, identity=args.adapter, settings=settings, device=args.device
    )


def avatar(args: argparse.Namespace) -> Any:
    """The maker of avatars that the options name; None for the default."""
    if args.engine == "diffusion":
        return _diffusion(args)
    if args.engine == "photo":
        if args.compile != "off" or args.precision != "auto":
            raise UsageError("--compile and --precision go with --engine liveportrait")
        if args.blendshapes is not None or (
            args.weights is not None and getattr(args, "driver_model", "lips") == "lips"
        ):
            raise UsageError("--weights and --blendshapes go with --engine liveportrait")
        return None
    from pipelines.engines import avatar_of

    options = {} if args.blendshapes is None else {"blendshapes": args.blendshapes}
    if args.compile != "off":
        options["compiled"] = args.compile
    if args.precision != "auto":
        options["dtype"] = args.precision
    return avatar_of(args.engine, args.weights, **options)


def speaker(args: argparse.Namespace) -> Any:
    """The driver that --driver-model names; None for the default."""
    if args.driver_model == "lips":
        return None
    if args.transcript is not None:
        raise UsageError("--transcript is for the embedded network; JoyVASA hears the sound alone")
    from controls.joyvasa.driver import JoyVasaDriver, JoyVasaSettings

    original = args.driver_model == "joyvasa-original"
    settings = JoyVasaSettings.original(args.seed) if original else JoyVasaSettings(seed=args.seed)
    return JoyVasaDriver.from_pretrained(args.weights, settings)


def transfer(args: argparse.Namespace, speaker: Any = None) -> Any:
    """`TransferSettings` of the options, over the speaker's own; None where nothing was asked for."""
    from avatars.liveportrait.settings import ANIMALS as ANIMALS_RULE
    from avatars.liveportrait.settings import TransferSettings

    if args.engine == ANIMALS:
        asked = [option for option, given in _people_alone(args).items() if given]
        if asked:
            raise UsageError(f"{asked[0]} is for people: an animal takes the driver's head and expression as they are")
        settings = replace(ANIMALS_RULE, smooth=args.smooth)
        return None if settings == ANIMALS_RULE or speaker is not None else settings
    base = getattr(speaker, "transfer", TransferSettings())
    settings = replace(
        base,
        relative=base.relative and not args.absolute,
        region=args.region,
        stitching=base.stitching and not args.no_stitching,
        normalize_lip=args.normalize_lip,
        eye_retargeting=args.retarget_eyes,
        lip_retargeting=args.retarget_lips,
        smooth=args.smooth,
    )
    return None if settings == base else settings


def _people_alone(args: argparse.Namespace) -> dict[str, Any]:
    """What is given of the options that the animals' rule doesn't know."""
    return {
        "--region": args.region != "all",
        "--absolute": args.absolute,
        "--no-stitching": args.no_stitching,
        "--normalize-lip": args.normalize_lip,
        "--retarget-eyes": args.retarget_eyes,
        "--retarget-lips": args.retarget_lips,
        "--driver-head": args.driver_head not in (None, "relative"),
    }
