"""`face-studio rig`: what is done to rigs: `rig add` gives a head its shapes."""

from __future__ import annotations

import argparse

from demos.cli.options import say

EPILOG = """\
face-studio rig add my_head.glb -o rigged.glb
face-studio rig add my_head.glb --landmarks points.json -o rigged.glb

The 52 ARKit shapes are carried over from the embedded head; everything else in the file stays as it is. The head has
to stand upright, face towards +Z, as glTF wants it. Its face is found in a picture of it; where it isn't, give
{"1": [x, y, z], ...}: numbers of FaceMesh's points and where they lie on the head in the scene, a dozen or more."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    form = argparse.RawDescriptionHelpFormatter
    verb = verbs.add_parser(
        "rig",
        help="give a head of your own its face shapes",
        description="What is done to rigs.",
        epilog=EPILOG,
        formatter_class=form,
        allow_abbrev=False,
    )
    acts = verb.add_subparsers(dest="act", metavar="add", required=True)
    act = acts.add_parser("add", help="add the 52 ARKit shapes to a head", epilog=EPILOG, formatter_class=form)
    act.add_argument("head", metavar="HEAD", help="a head: .glb or .vrm")
    act.add_argument("-o", "--output", required=True, metavar="OUT", help="the head with its shapes: .glb or .vrm")
    act.add_argument("--landmarks", metavar="JSON", help="where FaceMesh's points lie, if the face isn't found")
    act.add_argument("--quiet", action="store_true", help="print nothing but errors")
    act.add_argument("--debug", action="store_true", help="show where an error came from")
    act.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Add the shapes."""
    from pipelines.rig import add_shapes

    done = add_shapes(args.head, args.output, landmarks=args.landmarks)
    say(args, f"{done.path}: {done.shapes} shapes, {done.vertices} vertices, {done.landmarks} landmarks")
