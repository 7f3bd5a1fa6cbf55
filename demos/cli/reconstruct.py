"""`face-studio reconstruct`: a rigged and textured 3D head from a photo."""

from __future__ import annotations

import argparse
from pathlib import Path

from demos.cli.options import add_common, add_published, add_reduce, check_reduce, face, number, pairs, sample, say
from studio.errors import UsageError

EPILOG = """\
face-studio reconstruct portrait.jpg -o head.glb
face-studio reconstruct portrait.jpg -o head.glb --audio speech.wav          it speaks
face-studio reconstruct portrait.jpg -o head.usdz --motion take.csv
face-studio reconstruct portrait.jpg -o head.vrm --author "Ann Example"      VRM 1.0, for VTuber programs
face-studio reconstruct portrait.jpg -o take/%05d.ply --motion take.csv      a mesh a frame; also .obj
face-studio reconstruct portrait.jpg -o head.obj --turntable round.mp4
face-studio reconstruct portrait.jpg -o head.glb --shape nose_length=1 jaw_width=-0.5    deviations from the person
face-studio reconstruct portrait.jpg --model smirk --flame FLAME2020/generic_model.pkl -o head.glb

Heads have 52 ARKit shapes, correctives, joints for head, neck, jaw and eyes; metres, +Y up, facing +Z. What the photo
doesn't show is filled in: a side view is plausible rather than true. A VRM allows nobody but its author anything;
avatars.export.vrm.VrmMeta gives other terms."""


MAPS = {
    "overlay": "its shape on the photo",
    "normals": "its normals, as a ControlNet sees them",
    "depth": "its depth, the nearest white",
}
"""Pictures of a FLAME head as it lies on the photo."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "reconstruct",
        help="make a rigged 3D head of a photo",
        description="Make a rigged and textured 3D head of a photo.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("portrait", nargs="?", metavar="PORTRAIT", help="a picture with a face")
    verb.add_argument("--sample", action="store_true", help="use the portrait of the package")
    verb.add_argument("-o", "--output", metavar="OUT", help="the head: .glb, .vrm, .usdc, .usda, .usdz, .obj or .ply")
    verb.add_argument("--turntable", metavar="OUT", help="also, or only, a video of the head once round")
    verb.add_argument("--face", type=face, default=0, metavar="N", help="which face, the largest first (default 1)")
    verb.add_argument("--author", action="append", metavar="NAME", help="of a .vrm, who made it; may stand repeatedly")
    verb.add_argument(
        "--shape",
        action="append",
        metavar="AXIS=VALUE …",
        help="change who it is, in standard deviations: nose_length=1; a wrong name lists the axes",
    )
    published = add_published(verb, models="embedded (default), deca, smirk, teaser or mica")
    for name, what in MAPS.items():
        published.add_argument(f"--{name}", metavar="OUT", help=f"also a picture of the head: {what}")
    published.add_argument(
        "--detail", metavar="OUT", help="also DECA's head as a dense mesh with its wrinkles: .ply, .obj"
    )
    published.add_argument(
        "--crop", choices=("landmarks", "box"), default="landmarks", help="what DECA's crop is made round (landmarks)"
    )
    moves = verb.add_argument_group("animation")
    moves.add_argument("--motion", metavar="TAKE", help="a take that moves it: .csv, .npz or .json")
    moves.add_argument("--audio", metavar="SPEECH", help="speech that it says")
    moves.add_argument(
        "--life", type=number(0, 1), default=0.6, metavar="0..1", help="blinks and glances while it speaks (0.6)"
    )
    add_reduce(moves)
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the head."""
    from pipelines import CapturePipeline, ReconstructionPipeline
    from pipelines.output import check_output
    from studio.motion import FaceMotion

    portrait = args.portrait
    if args.sample:
        if portrait is not None:
            raise UsageError(f"two portraits: {portrait} and --sample; give one")
        portrait = sample("astronaut.jpg")
    if portrait is None:
        raise UsageError("which portrait? Give a picture, or --sample for the picture of the package")
    maps = {name: getattr(args, name) for name in MAPS if getattr(args, name)}
    if not (args.output or args.turntable or args.detail or maps):
        raise UsageError("where to? Give -o head.glb, or --turntable round.mp4")
    if args.motion and args.audio:
        raise UsageError("two motions: --motion and --audio; give one")
    if args.output:
        check_output(args.output, "head")
        _check_kind(args)
    elif args.motion or args.audio:
        raise UsageError("a motion goes into a head: give -o head.glb")
    if args.turntable:
        check_output(args.turntable, "video")
    for name, target in maps.items():
        if args.model == "embedded":
            raise UsageError(f"--{name} goes with --model deca, smirk, teaser or mica")
        check_output(target, "picture")
    if args.detail:
        check_output(args.detail, "head")
    pipeline = ReconstructionPipeline.from_pretrained(args.model, args.flame, device=args.device)
    for option, asked in (("--detail", args.detail), ("--crop box", args.crop == "box")):
        if asked and getattr(pipeline.engine, "name", None) != "deca":
            raise UsageError(f"{option} goes with --model deca")
    if args.crop == "box":
        pipeline.engine.boxes = True  # type: ignore[attr-defined]
    motion = None
    if args.motion:
        motion = FaceMotion.load(args.motion)
    elif args.audio:
        take = CapturePipeline()(args.audio, blink=args.life, gaze_motion=args.life, head_motion=args.life, fps=30)
        motion = take.motion
    head = pipeline(portrait, face=args.face)
    if args.shape:
        head = head.shaped(pairs(args.shape, "--shape"))
    if args.output:
        meta = None
        if args.author:
            from avatars.export.vrm import VrmMeta

            meta = VrmMeta(authors=tuple(args.author))
        say(args, str(head.save(args.output, motion, tolerance=args.reduce, meta=meta)))
    if args.turntable:
        say(args, str(head.turntable(args.turntable)))
    if args.detail:
        from avatars.export import save_rig

        save_rig(head.made.detailed(), args.detail)
        say(args, args.detail)
    for name, target in maps.items():
        from pipelines.portrait import read_picture
        from studio.picture import write_image

        write_image(target, head.made.picture(name, read_picture(portrait)[0]))
        say(args, target)


def _check_kind(args: argparse.Namespace) -> None:
    """Raise `UsageError` where an option doesn't go with the kind of file that is written."""
    from avatars.export import STILL
    from pipelines.output import is_meshes

    ending, moves = Path(args.output).suffix.lower(), args.motion or args.audio
    if is_meshes(args.output):
        if not moves:
            raise UsageError(f"{args.output}: a mesh a frame needs --motion or --audio; without one write head{ending}")
    elif ending in STILL and moves:
        raise UsageError(f"{args.output}: {ending[1:].upper()} holds no motion; write .glb or .usdc")
    if args.author and ending != ".vrm":
        raise UsageError(f"{args.output}: --author goes with .vrm")
    check_reduce(args)
