"""`face-studio`: the command line. It parses and calls; the work is in `pipelines`.

One file a verb, each with `add(verbs)` (its options) and `run(args)` (its work). Nothing heavy is imported
before a verb runs, so that `--help` is immediate. Every error of ours ends as one line on stderr and as the
exit code of its class (`studio.errors`); Ctrl-C and SIGTERM end with 130 and leave no half-written file.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from demos.cli import animate, app, capture, doctor, edit, generate, models, reconstruct, refit, rig, stream
from demos.cli.options import LISTS, spread
from studio.errors import Cancelled, FaceStudioError, UsageError

VERBS = (animate, edit, generate, capture, reconstruct, rig, refit, stream, models, app, doctor)

DESCRIPTION = (
    "Portraits that talk, expressions that change, motion that is captured: on this computer, with no download."
)
EPILOG = """\
face-studio animate portrait.jpg --audio speech.wav -o talking.mp4
face-studio edit portrait.jpg --set smile=0.8 --yaw 10 -o out.png
face-studio generate "portrait, window light" --identity me.jpg --model FOLDER --adapter FILE -o out.png
face-studio capture talk.mp4 -o take.csv
face-studio reconstruct portrait.jpg -o head.glb
face-studio rig add my_head.glb -o rigged.glb
face-studio stream --audio mic --to livelink://127.0.0.1:11111
face-studio app

face-studio VERB --help tells what a verb can do."""


class _Parser(argparse.ArgumentParser):
    """argparse, with its complaints as `UsageError`."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


class _Version(argparse.Action):
    """Prints the version; asks for it only then."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from studio import __version__

        print(f"face-studio {__version__}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    form = argparse.RawDescriptionHelpFormatter
    top = _Parser(prog="face-studio", description=DESCRIPTION, epilog=EPILOG, formatter_class=form, allow_abbrev=False)
    top.add_argument("--version", action=_Version)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for verb in VERBS:
        verb.add(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    top = parser()
    if not words:
        top.print_help()
        return 0
    debug = "--debug" in words
    _stop_like_ctrl_c()
    try:
        args = top.parse_args(spread(words, LISTS))
        if args.verb is None:
            top.print_help()
            return 0
        args.run(args)
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        return _complain("stopped; no output was left behind", Cancelled.exit_code)
    except FaceStudioError as error:
        if debug:
            raise
        return _complain(str(error), error.exit_code)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except SystemExit as end:  # --help and --version
        return int(end.code or 0)
    except MemoryError:
        return _complain("not enough memory for this; try a smaller --size", FaceStudioError.exit_code)
    except Exception as error:
        if debug:
            raise
        what = f"{type(error).__name__}: {error}"
        return _complain(
            f"this is a bug of ours: {what} (run again with --debug to see where)", FaceStudioError.exit_code
        )


def _complain(message: str, code: int) -> int:
    print(f"face-studio: {' '.join(message.split())}", file=sys.stderr)
    return code


def _stop_like_ctrl_c() -> None:
    """A polite kill cleans up as Ctrl-C does."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread: whoever called us looks after signals
        return
