"""`face-studio capture`: the motion of a video or of speech, as a file for other programs."""

from __future__ import annotations

import argparse

from demos.cli.options import add_common, face, number, rate, reporter, say

EPILOG = """\
face-studio capture talk.mp4 -o take.csv
face-studio capture speech.wav --fps 60 --blink 1 -o take.npz

.csv is the format of Live Link Face (Unreal, Blender add-ons), .npz and .json are our own."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "capture",
        help="write the motion of a video or of speech to a file",
        description="Write the motion of a video or of speech to a file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("source", metavar="VIDEO|AUDIO", help="a performance, or speech")
    verb.add_argument("-o", "--output", required=True, metavar="OUT", help="the motion: .csv, .npz or .json")
    verb.add_argument("--fps", type=rate, help="frames per second (default: the video's own, 60 for sound)")
    verb.add_argument(
        "--face", type=face, default=0, metavar="N", help="which face of a video, the largest first (default 1)"
    )
    life = verb.add_argument_group("life", "added to speech; amounts from 0 to 1, 0 by default")
    for name, what in (
        ("blink", "blinks"),
        ("gaze-motion", "small movements of the eyes"),
        ("head-motion", "movement of the head"),
    ):
        life.add_argument(f"--{name}", type=number(0, 1), default=0.0, metavar="0..1", help=what)
    life.add_argument(
        "--seed", type=int, default=0, help="another number gives other blinks, glances and nods (default 0)"
    )
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the motion."""
    from pipelines import CapturePipeline
    from pipelines.output import check_output

    check_output(args.output, "motion")
    progress = reporter(args)
    take = CapturePipeline()(
        args.source,
        fps=args.fps,
        face=args.face,
        blink=args.blink,
        gaze_motion=args.gaze_motion,
        head_motion=args.head_motion,
        seed=args.seed,
        progress=progress,
    )
    say(args, str(take.save(args.output)))
