"""`face-studio animate`: a portrait speaks, or repeats a performance."""

from __future__ import annotations

import argparse
from pathlib import Path

from demos.cli import engine
from demos.cli.options import (
    add_common,
    add_expression,
    add_transcript,
    expression,
    face,
    number,
    rate,
    reporter,
    sample,
    say,
    size,
)
from studio.errors import UsageError

EPILOG = """\
face-studio animate --sample -o talking.mp4
face-studio animate portrait.jpg --audio speech.wav --emotion joy=0.4 -o talking.mp4
face-studio animate portrait.jpg --driver performance.mp4 -o out.mp4
face-studio animate portrait.jpg --driver take.mp4 --engine liveportrait --weights pretrained_weights -o out.mp4
face-studio animate cat.jpg --driver take.mp4 --engine liveportrait-animals --box 120,40,300,300 -o cat.mp4
face-studio animate source.mp4 --driver take.mp4 --engine liveportrait -o out.mp4
face-studio animate portrait.jpg --driver take.mp4 --engine liveportrait -o take.safetensors    the motion alone
face-studio animate portrait.jpg --driver take.safetensors --engine liveportrait -o out.mp4
face-studio animate portrait.jpg --motion take.csv --fps 30 -o out.webm
face-studio animate --rig head.glb --audio speech.wav --background transparent -o talk.webm

Motion comes from --driver or --motion where one is given, else from --audio. The sound is --audio's where
given, else the driver's own. The ending of -o chooses the format: .mp4 .mov .webm .gif, or a new folder
(frames/ or frames/%05d.png) for pictures. .webm, .mov and pictures keep a transparent background. The motion
alone is written to .csv, .npz, .json, or as LivePortrait's template to .safetensors or .pkl. With LivePortrait
the source may be a video too, and the driver a template, the authors' own among them."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "animate",
        help="make a portrait talk, from speech or from a performance",
        description="Make a portrait talk, from speech or from a performance.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument(
        "portrait", nargs="?", metavar="PORTRAIT", help="a picture with a face; for LivePortrait also a video"
    )
    verb.add_argument("--sample", action="store_true", help="use the portrait and the speech of the package")
    verb.add_argument("-o", "--output", required=True, metavar="OUT", help="video, GIF, folder of pictures, or motion")
    solid = verb.add_argument_group("a 3D head instead of a portrait")
    solid.add_argument(
        "--rig",
        metavar="HEAD",
        help="a .glb, .gltf or .vrm with ARKit-named shapes, ICT-FaceKit's or GNM's .npz, FLAME's or SMPL-X's file, or "
        "the word embedded",
    )
    solid.add_argument("--view-yaw", type=number(-180, 180), metavar="DEGREES", help="look at its left side (> 0)")
    solid.add_argument("--view-pitch", type=number(-89, 89), metavar="DEGREES", help="look from above (> 0)")
    solid.add_argument("--zoom", type=number(0.1, 20), metavar="TIMES", help="1 shows the whole head (default 1)")
    source = verb.add_argument_group("what moves it")
    source.add_argument("--audio", metavar="SPEECH", help="speech; a video's sound works as well")
    source.add_argument(
        "--driver", metavar="VIDEO", help="a performance to copy: expression, gaze, blinks, head; or a .pkl template"
    )
    source.add_argument("--motion", metavar="TAKE", help="a recorded motion: .csv (Live Link Face), .npz or .json")
    add_transcript(source)
    add_expression(verb)
    life = verb.add_argument_group(
        "life", "amounts from 0 to 1; by default 1 under --audio and 0 under --driver and --motion"
    )
    for name, what in (
        ("blink", "blinks"),
        ("gaze-motion", "small movements of the eyes"),
        ("head-motion", "movement of the head"),
    ):
        life.add_argument(f"--{name}", type=number(0, 1), metavar="0..1", help=what)
    life.add_argument(
        "--seed", type=int, default=0, help="another number gives other blinks, glances and nods (default 0)"
    )
    copy = verb.add_argument_group("copying a performance (--driver, --motion)")
    copy.add_argument(
        "--intensity",
        type=number(0, 2),
        default=1.0,
        metavar="0..2",
        help="how strongly expressions are copied (default 1)",
    )
    copy.add_argument(
        "--driver-head",
        choices=("relative", "absolute", "off"),
        help="head pose as change from the reference frame (default for portraits), as it is (default for --rig), or "
        "not at all",
    )
    copy.add_argument(
        "--reference",
        choices=("match", "first", "frontal"),
        default="match",
        help="the driver's frame that stands for the portrait as it is (default: the one most like it)",
    )
    copy.add_argument(
        "--residual",
        choices=("auto", "on", "off"),
        default="auto",
        help="also copy what the 52 shapes miss; auto: when both show the same person",
    )
    engine.add_transfer(verb)
    picture = verb.add_argument_group("picture")
    picture.add_argument(
        "--neutralize",
        type=number(0, 1),
        metavar="0..1",
        help="take the portrait's own expression out first (under --audio its mouth always is)",
    )
    picture.add_argument(
        "--background",
        metavar="COLOUR|PICTURE",
        help="white, #204060, a picture, or transparent (default: the portrait's; grey for --rig)",
    )
    picture.add_argument(
        "--fps", type=rate, help="frames per second, exact: 24, 25, 29.97 … (default 25, or the driver's)"
    )
    picture.add_argument(
        "--size",
        type=size,
        metavar="N|WxH",
        help="long side, or width and height (default: the portrait's; 512x512 for --rig)",
    )
    picture.add_argument(
        "--face", type=face, default=0, metavar="N|all", help="which face, the largest first (default 1)"
    )
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the video."""
    portrait, audio = args.portrait, args.audio
    if args.sample and args.rig:
        audio = audio or (None if args.driver or args.motion else sample("speech.wav"))
    elif args.sample:
        if portrait is not None:
            raise UsageError(f"two portraits: {portrait} and --sample; give one")
        portrait = sample("astronaut.jpg")
        if not (audio or args.driver or args.motion):
            audio = sample("speech.wav")
    _check_source(args, portrait)
    options = dict(
        audio=audio,
        driver=args.driver,
        motion=args.motion,
        **expression(args),
        blink=args.blink,
        gaze_motion=args.gaze_motion,
        head_motion=args.head_motion,
        seed=args.seed,
        transcript=args.transcript,
        language=args.language,
        intensity=args.intensity,
        driver_head=args.driver_head,
        reference=args.reference,
        residual=args.residual,
        neutralize=args.neutralize,
        fps=args.fps,
        size=args.size,
        face=args.face,
        box=args.box,
    )
    from pipelines import TalkingPortraitPipeline
    from pipelines.output import MOTIONS, TEMPLATES, check_output

    ending = Path(args.output).suffix.lower()
    kind = "motion" if ending in MOTIONS else "template" if ending in TEMPLATES else "video"
    check_output(args.output, kind, transparent=args.background == "transparent")
    if args.rig:
        portrait = _head(args)
        options["size"] = None
    elif args.background is not None:
        options["background"] = args.background
    progress = reporter(args)
    speaker = engine.speaker(args)
    pipe = TalkingPortraitPipeline(driver=speaker, avatar=engine.avatar(args))
    take = pipe(portrait, **options, transfer=engine.transfer(args, speaker), progress=progress)
    saved = take.save(args.output, progress=progress)
    say(args, str(saved))


def _check_source(args: argparse.Namespace, portrait: object) -> None:
    """Either a portrait or a rig, and the options of one alone."""
    solid = {"--zoom": args.zoom, "--view-yaw": args.view_yaw, "--view-pitch": args.view_pitch}
    if args.rig is None:
        if portrait is None:
            raise UsageError("which portrait? Give a picture, --sample for the one of the package, or --rig HEAD")
        for option, value in solid.items():
            if value is not None:
                raise UsageError(f"{option} goes with --rig")
        return
    if portrait is not None:
        raise UsageError(f"a portrait and a 3D head: {portrait} and --rig {args.rig}; give one")
    flat = {"--face": args.face, "--neutralize": args.neutralize}
    for option, value in flat.items():
        if value:
            raise UsageError(f"{option} is for portraits, not for --rig")


def _head(args: argparse.Namespace) -> object:
    """The avatar of --rig and the options of its picture."""
    from avatars.head import embedded_head
    from avatars.rig_avatar import EMBEDDED, RigAvatar, View
    from pipelines.backdrop import read_background
    from pipelines.rig import open_rig

    sides = (512, 512) if args.size is None else (args.size, args.size) if isinstance(args.size, int) else args.size
    options = {} if args.background is None else {"background": read_background(args.background)}
    view = View(args.view_yaw or 0.0, args.view_pitch or 0.0, args.zoom or 1.0)
    rig = embedded_head() if args.rig == EMBEDDED else open_rig(args.rig)
    if rig.missing():
        say(args, f"{args.rig}: has no shape for {', '.join(rig.missing())}")
    return RigAvatar(rig, sides, view=view, **options)
