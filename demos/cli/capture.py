"""`face-studio capture`: the motion of a video or of speech, as a file for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from demos.cli.options import (
    add_common,
    add_published,
    add_reduce,
    add_transcript,
    check_reduce,
    face,
    number,
    rate,
    reporter,
    say,
)
from studio.errors import UsageError

EPILOG = """\
face-studio capture talk.mp4 -o take.csv
face-studio capture speech.wav --fps 60 --blink 1 -o take.npz
face-studio capture talk.mp4 -o take.glb                         a head that moves, for Blender, Unreal, three.js
face-studio capture talk.mp4 --rig my_head.glb --reduce 0.001 -o take.glb
face-studio capture talk.mp4 -o take/%05d.ply                    a mesh a frame; also .obj
face-studio capture talk.mp4 --model smirk --flame generic_model.pkl -o take.csv
face-studio capture speech.wav --events json -o take.csv        also take.visemes.json, as Rhubarb writes it

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
    verb.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="the motion: .csv, .npz or .json, or a head in motion: .glb, .usdc, .usda, .usdz, "
        "or a mesh a frame: take/%%05d.ply or .obj",
    )
    verb.add_argument(
        "--rig",
        metavar="HEAD",
        help="the head that moves: a GLB or VRM with ARKit's shapes, ICT-FaceKit's or GNM's .npz, FLAME's or SMPL-X's "
        "file (default: ours)",
    )
    add_reduce(verb)
    verb.add_argument("--fps", type=rate, help="frames per second (default: the video's own, 60 for sound)")
    verb.add_argument(
        "--face", type=face, default=0, metavar="N", help="which face of a video, the largest first (default 1)"
    )
    published = add_published(verb, models="of a video: embedded (default), deca, smirk or teaser")
    published.add_argument(
        "--smooth",
        type=number(0, 25),
        metavar="FRAMES",
        help="over which the model's crops are smoothed; 0 looks at each frame for itself (default 1)",
    )
    spoken = verb.add_argument_group("speech")
    add_transcript(spoken)
    spoken.add_argument(
        "--events",
        choices=("json", "tsv"),
        help="also write phones and visemes beside OUT (take.visemes.json) in the form of Rhubarb Lip Sync",
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
    from pipelines.output import ANIMATED, check_output, is_meshes
    from studio.picture import check_output as check_place

    check_output(args.output, "take")
    check_reduce(args)
    rig = None
    if args.rig:
        from pipelines.rig import open_rig

        if Path(args.output).suffix.lower() not in ANIMATED and not is_meshes(args.output):
            raise UsageError(f"{args.output}: --rig goes with {' '.join(ANIMATED)}; this is a motion alone")
        rig = open_rig(args.rig)
    progress = reporter(args)
    take = CapturePipeline(engine=_engine(args))(
        args.source,
        fps=args.fps,
        face=args.face,
        blink=args.blink,
        gaze_motion=args.gaze_motion,
        head_motion=args.head_motion,
        seed=args.seed,
        transcript=args.transcript,
        language=args.language,
        progress=progress,
    )
    beside = None
    if args.events:
        beside = Path(args.output).with_suffix(f".visemes.{args.events}")
        if take.hear is None:
            raise UsageError(f"--events {args.events}: visemes are heard in speech; give a sound, not a video")
        check_place(beside)
    say(args, str(take.save(args.output, rig=rig, tolerance=args.reduce)))
    if beside is not None:
        say(args, str(take.save_events(beside, args.events)))


def _engine(args: argparse.Namespace) -> Any:
    """What sees the faces of a video, None for the embedded fit."""
    from pipelines.output import is_video

    if args.model == "embedded":
        if args.flame or args.smooth is not None:
            raise UsageError(f"--{'flame' if args.flame else 'smooth'} goes with --model deca, smirk or teaser")
        return None
    if not is_video(args.source):
        raise UsageError(f"--model {args.model} sees the face of a video; {args.source} is none")
    from pipelines.flame import FlameEngine

    engine = FlameEngine.from_pretrained(args.model, args.flame, device=args.device)
    engine.smooth = engine.smooth if args.smooth is None else args.smooth
    return engine
