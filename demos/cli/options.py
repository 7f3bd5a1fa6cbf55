"""Options that several verbs share, and how their words become values."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from studio.errors import UsageError

ASSETS = Path(__file__).resolve().parent.parent / "assets"

LISTS = ("--set", "--au", "--emotion", "--slider", "--shape")
"""Options that take NAME=VALUE several times."""

_SIGNED = ("--gaze",)
"""Options whose value may start with a minus and is no plain number, which argparse would take for an option."""


def spread(words: Sequence[str], lists: Collection[str]) -> list[str]:
    """`--set a=1 b=2 file` as `--set=a=1 --set=b=2 file`: a list ends at the first word without `=`."""
    out: list[str] = []
    current = None
    words = list(words)
    for i, word in enumerate(words):
        if word in lists:
            current = word
            if i + 1 == len(words) or "=" not in words[i + 1] or words[i + 1].startswith("-"):
                raise UsageError(f"{word} takes NAME=VALUE, as in {word} {_example(word)}")
        elif current and "=" in word and not word.startswith("-"):
            out.append(f"{current}={word}")
        elif i and words[i - 1] in _SIGNED:
            out[-1] = f"{words[i - 1]}={word}"
        else:
            current = None
            out.append(word)
    return out


def _example(option: str) -> str:
    return {
        "--set": "smile=0.5 browInnerUp=0.3",
        "--au": "AU12=0.8 AU6=0.5",
        "--slider": "smile=0.8 wink=20",
        "--shape": "nose_length=1 jaw_width=-0.5",
    }.get(option, "joy=0.6")


def pairs(words: Sequence[str] | None, option: str) -> dict[str, Any]:
    """{name: value} of NAME=VALUE words; a name given twice is an error. Action units take A to E as well."""
    out: dict[str, Any] = {}
    for word in words or ():
        name, _, text = word.partition("=")
        name = name.strip()
        value: float | str
        try:
            value = float(text)
        except ValueError:
            if option != "--au" or not re.fullmatch(r"\s*[A-Ea-e]\s*", text):
                raise UsageError(
                    f"{option} {word}: {text!r} is not a number; write {option} {_example(option)}"
                ) from None
            value = text
        if not name or (isinstance(value, float) and math.isnan(value)):
            raise UsageError(f"{option} {word}: write {option} {_example(option)}")
        if name in out:
            raise UsageError(f"{option} sets {name} twice ({out[name]} and {value}); give it once")
        out[name] = value
    return out


def rate(text: str) -> Fraction:
    """Frames per second, exact: 25, 29.97 (30000/1001), 30000/1001."""
    from studio.clip import parse_fps

    try:
        return parse_fps(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def size(text: str) -> int | tuple[int, int]:
    """`N`, the long side, or `WxH`."""
    found = re.fullmatch(r"(\d+)(?:[xX×](\d+))?", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 1080 (the long side) or 1920x1080")
    sides = tuple(int(side) for side in found.groups() if side)
    if not all(16 <= side <= 8192 for side in sides):
        raise argparse.ArgumentTypeError(f"{text}: sides of 16 to 8192 pixels are possible")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def face(text: str) -> int | str:
    """`1`, `2` … (1 is the largest) or `all`; pipelines count from 0."""
    if text == "all":
        return text
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write 1 for the largest face, 2 for the next, or all")
    return int(text) - 1


def number(low: float, high: float) -> Any:
    """An argparse type: a float from `low` to `high`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is outside {low:g} to {high:g}")
        return value

    return convert


def add_expression(verb: argparse.ArgumentParser) -> None:
    """--set, --au and --emotion."""
    group = verb.add_argument_group("expression")
    several = {"action": "append", "metavar": "NAME=VALUE …"}
    group.add_argument("--set", **several, help="ARKit blendshapes and easy names: smile=0.5 browInnerUp=0.3")
    group.add_argument("--au", **several, help="facial action units (FACS): AU12=0.8 AU6=0.5")
    group.add_argument("--emotion", **several, help="joy, sadness, anger, fear, disgust, surprise … from 0 to 1")


def add_transcript(verb: Any) -> None:
    """What speech says, for a verb or a group of its options."""
    verb.add_argument(
        "--transcript",
        metavar="TEXT|FILE",
        help="what the speech says, where it is known: the words, or a .txt, .srt, .vtt or .TextGrid",
    )
    verb.add_argument(
        "--language",
        default="en-us",
        metavar="NAME",
        help="of the transcript, as espeak-ng names it: en-us, de, es, cmn, hi, ar, ... (default en-us)",
    )


def add_reduce(verb: Any) -> None:
    """The option that makes animations smaller."""
    verb.add_argument(
        "--reduce",
        type=number(1e-6, 1),
        metavar="TOLERANCE",
        help="of a .glb: drop keys that interpolation gives back this near, such as 0.001 (default: all are kept)",
    )


def check_reduce(args: argparse.Namespace) -> None:
    """Raise `UsageError` where there are no keys to drop."""
    if args.reduce is not None and Path(args.output).suffix.lower() != ".glb":
        raise UsageError(f"{args.output}: --reduce goes with .glb")


def add_published(verb: argparse.ArgumentParser, *, models: str) -> argparse._ArgumentGroup:
    """--model, --flame and --device; models: the names that there are."""
    group = verb.add_argument_group("published models")
    group.add_argument("--model", default="embedded", metavar="NAME|FILE", help=f"{models}, or a checkpoint of one")
    group.add_argument("--flame", metavar="FILE", help="FLAME's file, or its folder, for a model that needs it")
    group.add_argument("--device", default="cpu", metavar="NAME", help="where the model runs: cpu (default), cuda")
    return group


def add_common(verb: argparse.ArgumentParser) -> None:
    """How the work is shown."""
    group = verb.add_argument_group("messages")
    group.add_argument(
        "--progress",
        choices=("auto", "bar", "json", "off"),
        default="auto",
        help="auto: a bar on a terminal; json: one object a line on stderr",
    )
    group.add_argument("--quiet", action="store_true", help="print nothing but errors")
    group.add_argument("--debug", action="store_true", help="show where an error came from")


def expression(args: argparse.Namespace) -> dict[str, dict[str, Any] | None]:
    """The pipelines' `shapes`, `aus` and `emotion` of parsed options."""
    return {
        "shapes": pairs(args.set, "--set") or None,
        "aus": pairs(args.au, "--au") or None,
        "emotion": pairs(args.emotion, "--emotion") or None,
    }


def reporter(args: argparse.Namespace) -> Any:
    """What `--progress` asks for: a callback of progress events, or None."""
    import sys

    from studio.progress import JsonProgress, TerminalProgress

    if args.progress == "json":
        return JsonProgress()
    wanted = args.progress == "bar" or (args.progress == "auto" and sys.stderr.isatty())
    return TerminalProgress() if wanted and not args.quiet else None


def say(args: argparse.Namespace, text: str) -> None:
    """A line for the user on stdout, unless --quiet."""
    if not args.quiet:
        print(text)


def sample(name: str) -> Path:
    """A file that comes with the package."""
    path = ASSETS / name
    if not path.is_file():
        raise UsageError(f"the sample {name} is missing from this installation ({path})")
    return path
