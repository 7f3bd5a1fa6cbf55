"""`face-studio stream`: motion sent live to Unreal and to VTuber programs."""

from __future__ import annotations

import argparse

from demos.cli.options import number, rate, say

EPILOG = """\
face-studio stream --audio mic --to livelink://192.168.1.20:11111      to Unreal, as the Live Link Face app sends
face-studio stream --audio speech.wav --to vmc://127.0.0.1:39539       to VSeeFace, Warudo, VNyan ...
face-studio stream --camera 0 --to livelink://127.0.0.1 --to vmc://127.0.0.1
face-studio stream --motion take.csv --to livelink://127.0.0.1

Ctrl-C ends it; a face at rest is sent last. VMC carries the 52 ARKit shapes by name ("perfect sync")."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "stream",
        help="send motion live to Unreal or VTuber programs",
        description="Send motion live: Live Link Face (UDP) or VMC (OSC).",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    source = verb.add_argument_group("source", "one of them")
    source.add_argument("--audio", metavar="mic|FILE", help="the microphone, or recorded speech")
    source.add_argument("--camera", type=int, metavar="N", help="a camera, the first is 0")
    source.add_argument("--motion", metavar="TAKE", help="a take: .csv, .npz or .json")
    verb.add_argument(
        "--to", action="append", required=True, metavar="URL", help="livelink://HOST:11111 or vmc://HOST:39539; several"
    )
    verb.add_argument("--fps", type=rate, help="frames per second (default: a take's own, 30 for a camera, else 60)")
    verb.add_argument("--subject", default="FaceStudio", metavar="NAME", help="the face's name in Unreal")
    lively = verb.add_argument_group("life", "added to speech; amounts from 0 to 1, 0 by default")
    for name, what in (
        ("blink", "blinks"),
        ("gaze-motion", "small movements of the eyes"),
        ("head-motion", "movement of the head"),
    ):
        lively.add_argument(f"--{name}", type=number(0, 1), default=0.0, metavar="0..1", help=what)
    lively.add_argument("--seed", type=int, default=0, help="another number gives other blinks (default 0)")
    shown = verb.add_argument_group("messages")
    shown.add_argument("--quiet", action="store_true", help="print nothing but errors")
    shown.add_argument("--debug", action="store_true", help="show where an error came from")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Send."""
    from pipelines.stream import StreamPipeline

    sent = StreamPipeline()(
        args.to,
        audio=args.audio,
        camera=args.camera,
        motion=args.motion,
        fps=args.fps,
        blink=args.blink,
        gaze_motion=args.gaze_motion,
        head_motion=args.head_motion,
        seed=args.seed,
        subject=args.subject,
    )
    late = f", the source was late {sent.stalls} times" if sent.stalls else ""
    say(args, f"{sent.frames} frames in {sent.seconds:.1f} s{late}")
