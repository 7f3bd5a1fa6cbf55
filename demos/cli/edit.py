"""`face-studio edit`: another expression, gaze or head pose, in a picture or a video."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from demos.cli import engine
from demos.cli.options import (
    add_common,
    add_expression,
    add_published,
    expression,
    face,
    number,
    pairs,
    reporter,
    sample,
    say,
)
from studio.errors import UsageError

if TYPE_CHECKING:
    from pipelines.take import Still

EPILOG = """\
face-studio edit portrait.jpg --set smile=0.8 --yaw 10 -o out.png
face-studio edit portrait.jpg --au AU12=0.8 AU6=0.5 --gaze left -o out.png
face-studio edit portrait.jpg --sheet expressions.png
face-studio edit talk.mp4 --emotion joy=0.6 -o happy.mp4
face-studio edit portrait.jpg --engine diffusion --model FOLDER --set smile=0.8 --yaw 15 -o out.png
face-studio edit portrait.jpg --engine liveportrait --slider smile=0.8 wink=20 -o out.png
face-studio edit portrait.jpg --model smirk --flame FLAME2020 --set smile=0.8 -o out.png

Angles are degrees as seen in the picture: --yaw 15 turns the face to the picture's right, --pitch 10 down,
--roll 8 tilts it clockwise. --gaze takes YAW,PITCH with the same signs, or left, right, up, down (sides of the
picture), or camera."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "edit",
        help="change expression, gaze or head pose in a picture or a video",
        description="Change expression, gaze or head pose in a picture or a video.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("source", nargs="?", metavar="PORTRAIT", help="a picture or a video with a face")
    verb.add_argument("--sample", action="store_true", help="use the portrait of the package")
    verb.add_argument("-o", "--output", metavar="OUT", help="the edited picture or video")
    verb.add_argument("--sheet", metavar="OUT", help="write a grid of expressions and strengths as one picture")
    add_expression(verb)
    pose = verb.add_argument_group("gaze and head")
    pose.add_argument(
        "--gaze", metavar="YAW,PITCH", help="turn of the eyes in degrees, or left, right, up, down, camera"
    )
    for name, what in (("yaw", "turn to the picture's right"), ("pitch", "turn down"), ("roll", "tilt clockwise")):
        pose.add_argument(f"--{name}", type=number(-45, 45), default=0.0, metavar="DEGREES", help=what)
    group = engine.add_engine(verb, "diffusion")
    engine.add_diffusion(verb)
    group.add_argument(
        "--slider",
        action="append",
        metavar="NAME=VALUE …",
        help="LivePortrait's own: smile brow wink blink pupil_x pupil_y a i u e o aaa eee woo move_x zoom eyes lips",
    )
    add_published(
        verb,
        models="embedded (default), smirk, whose neural renderer paints the expression, or with --engine "
        "diffusion the folder of Stable Diffusion 1.5 or SDXL",
    )
    more = verb.add_argument_group("picture")
    more.add_argument(
        "--neutralize", type=number(0, 1), default=0.0, metavar="0..1", help="take the present expression out first"
    )
    more.add_argument("--face", type=face, default=0, metavar="N|all", help="which face, the largest first (default 1)")
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the edited picture, video or sheet."""
    source = args.source
    if args.sample:
        if source is not None:
            raise UsageError(f"two portraits: {source} and --sample; give one")
        source = sample("astronaut.jpg")
    if source is None:
        raise UsageError("which portrait? Give a picture or a video, or --sample for the picture of the package")
    if not args.output and not args.sheet:
        raise UsageError(
            "where to? Give -o out.png for the edited picture, or --sheet grid.png for a grid of expressions"
        )
    if args.model != "embedded" and args.engine != "diffusion":
        say(args, str(_painted(args, source).save(args.output)))
        return
    if args.flame is not None:
        raise UsageError("--flame goes with --model smirk")
    options = dict(
        **expression(args),
        gaze=args.gaze,
        yaw=args.yaw,
        pitch=args.pitch,
        roll=args.roll,
        neutralize=args.neutralize,
        face=args.face,
        **({"sliders": pairs(args.slider, "--slider")} if args.slider else {}),
    )
    from pipelines import ExpressionEditPipeline
    from pipelines.output import check_output, is_video

    if args.output:
        check_output(args.output, "video" if is_video(source) else "picture")
    if args.sheet:
        check_output(args.sheet, "picture")
    pipe, progress = ExpressionEditPipeline(avatar=engine.avatar(args)), reporter(args)
    if args.sheet:
        say(args, str(pipe.sheet(source, **options, progress=progress).save(args.sheet)))
    if args.output:
        say(args, str(pipe(source, **options, progress=progress).save(args.output, progress=progress)))


def _painted(args: argparse.Namespace, source: Any) -> Still:
    """The picture as --model's renderer paints it."""
    from pipelines import NeuralEditPipeline
    from pipelines.output import check_output, is_video

    others = {
        "--gaze": args.gaze,
        "--yaw": args.yaw,
        "--pitch": args.pitch,
        "--roll": args.roll,
        "--slider": args.slider,
        "--sheet": args.sheet,
        "--weights": args.weights,
        "--blendshapes": args.blendshapes,
    }
    given = [option for option, value in others.items() if value]
    if given or args.engine != "photo":
        raise UsageError(f"{given[0] if given else '--engine'} doesn't go with --model, which paints expressions alone")
    if is_video(source):
        raise UsageError(f"{source}: --model paints a picture; for a video leave it out")
    check_output(args.output, "picture")
    path = None if args.model == "smirk" else args.model
    pipe = NeuralEditPipeline.from_pretrained(path, args.flame, device=args.device)
    return pipe(source, **expression(args), neutralize=args.neutralize, face=args.face)
