"""Everything that can go wrong, with the exit code that the command line gives it.

FaceStudioError            1   anything of ours
├── UsageError             2   an argument is wrong: unknown name, out of range, two sources of one setting
├── MediaError             3   an input can't be read: truncated, not what its name says, empty
├── NoFaceError            4   nothing to animate: no face, or too small
├── OutputError            5   the result can't be written: folder missing, read-only, disk full
├── MissingExtraError      6   an optional package or system library is not installed
├── WeightsError           7   a checkpoint is unsafe, damaged or of another model
└── Cancelled            130   the user or a callback stopped the work
"""

from __future__ import annotations

import importlib
from types import ModuleType


class FaceStudioError(Exception):
    """Base of all our errors. `exit_code` is what `face-studio` exits with."""

    exit_code = 1


class UsageError(FaceStudioError, ValueError):
    """An argument is wrong: an unknown name, a value out of range, two sources of one setting."""

    exit_code = 2


class MediaError(FaceStudioError):
    """An input can't be read: truncated, not what its name says, or empty."""

    exit_code = 3


class NoFaceError(FaceStudioError):
    """No usable face was found."""

    exit_code = 4


class OutputError(FaceStudioError):
    """The result can't be written; nothing is left behind at its path."""

    exit_code = 5


class MissingExtraError(FaceStudioError, ImportError):
    """An optional package or system library is not installed; the message says how to get it."""

    exit_code = 6


class WeightsError(FaceStudioError):
    """A checkpoint is unsafe, damaged, or belongs to another model."""

    exit_code = 7


class Cancelled(FaceStudioError):
    """The user or a callback stopped the work. Partial output has been removed."""

    exit_code = 130


def require(module: str, *, extra: str) -> ModuleType:
    """Import `module`, or raise `MissingExtraError` naming the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # it is there, but broken: show why
        raise MissingExtraError(f"{module} is not installed. Run: pip install 'face-studio[{extra}]'") from error
