"""Engines that a user may choose: the embedded ones, and published networks on files that are already here.

What is opened stays open for the next call. Where files or packages are missing the errors say how to get them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from studio.errors import UsageError

DRAWS = (("Embedded photo avatar", "photo"), ("LivePortrait", "liveportrait"))
SPEAKS = (
    ("Embedded lips", "lips"),
    ("JoyVASA, lips in time", "joyvasa"),
    ("JoyVASA as published", "joyvasa-original"),
)
SEES = (("Embedded", "embedded"), ("SMIRK", "smirk"), ("DECA", "deca"), ("TEASER", "teaser"))
HEADS = (*SEES, ("MICA (shape alone)", "mica"))


def avatar(engine: str) -> Callable[..., Any] | None:
    """What draws; None for the embedded avatar."""
    return None if _known(engine, DRAWS) == "photo" else _avatar(engine)


def speaker(engine: str, seed: int = 0) -> Any:
    """What turns sound into motion; None for the embedded network."""
    if _known(engine, SPEAKS) == "lips":
        return None
    from controls.joyvasa.driver import JoyVasaDriver, JoyVasaSettings

    original = engine == "joyvasa-original"
    return JoyVasaDriver.from_pretrained(None, JoyVasaSettings.original(seed) if original else JoyVasaSettings(seed))


def watcher(model: str) -> Any:
    """What sees the face of a video; None for the embedded fit."""
    return None if _known(model, SEES) == "embedded" else _flame(model)


def builder(model: str) -> Any:
    """What makes a head of a photo; None for the embedded head."""
    return None if _known(model, HEADS) == "embedded" else _flame(model)


def _known(name: str, choices: tuple[tuple[str, str], ...]) -> str:
    names = [value for _, value in choices]
    if name not in names:
        raise UsageError(f"engine {name!r}: choose one of {', '.join(names)}")
    return name


@lru_cache(maxsize=1)
def _avatar(engine: str) -> Callable[..., Any]:
    from pipelines.engines import avatar_of

    return avatar_of(engine)


@lru_cache(maxsize=1)
def _flame(model: str) -> Any:
    from pipelines.flame import FlameEngine

    return FlameEngine.from_pretrained(model)
