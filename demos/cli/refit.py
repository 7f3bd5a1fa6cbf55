"""`face-studio refit`: what ARKit's shapes are in LivePortrait's numbers, measured on the user's own weights."""

from __future__ import annotations

import argparse

from demos.cli.options import add_common, reporter, say

EPILOG = """\
face-studio refit portrait.jpg --weights pretrained_weights -o shapes.safetensors
face-studio animate other.jpg --audio speech.wav --engine liveportrait --blendshapes shapes.safetensors -o talk.mp4

The portrait is drawn under a few hundred expressions, each is tracked, and the map solved that makes the tracker say
one shape at a time. Minutes with a GPU, an hour or more without."""


def add(verbs: argparse._SubParsersAction) -> None:
    """Declare the verb and its options."""
    verb = verbs.add_parser(
        "refit",
        help="fit ARKit's shapes to LivePortrait's weights",
        description="Fit ARKit's shapes to LivePortrait's weights.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.add_argument("portrait", metavar="PORTRAIT", help="a frontal face at rest, large in its picture")
    verb.add_argument("-o", "--output", required=True, metavar="MAP", help="the map: .safetensors")
    verb.add_argument("--weights", metavar="FOLDER", help="where LivePortrait's files are")
    verb.add_argument("--pictures", type=int, default=240, metavar="N", help="that are drawn (default 240)")
    verb.add_argument("--seed", type=int, default=0, help="of the expressions tried (default 0)")
    add_common(verb)
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Fit and write the map."""
    from pipelines.engines import avatar_of
    from pipelines.refit import refit_blendshapes

    avatar = avatar_of("liveportrait", args.weights)
    found = refit_blendshapes(args.portrait, avatar, pictures=args.pictures, seed=args.seed, progress=reporter(args))
    path = found.map.save(args.output)
    say(
        args,
        f"{path}: {len(found.shapes)} shapes measured in {found.pictures} pictures; error of a shape "
        f"{found.before:.2f} before, {found.after:.2f} after",
    )
