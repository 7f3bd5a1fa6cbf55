"""An edit's settings as the command and as the Python that make the same picture."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Edit:
    """Settings of an edit; what stands at its default is left out of what is written.

    gaze is None, "camera" or (yaw, pitch) in degrees; face counts from 0, or is "all"; engine is what draws.
    """

    shapes: Mapping[str, float] = field(default_factory=dict)
    aus: Mapping[str, float] = field(default_factory=dict)
    emotion: Mapping[str, float] = field(default_factory=dict)
    gaze: tuple[float, float] | str | None = None
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    neutralize: float = 0.0
    face: int | str = 0
    engine: str = "photo"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `ExpressionEditPipeline`."""
        settings = {name: value for name, value in vars(self).items() if name != "engine"}
        return {name: value for name, value in settings.items() if value not in ({}, None) and not _zero(value)}

    def command(self, source: str, output: str) -> str:
        """The `face-studio edit` command."""
        words = ["face-studio", "edit", source]
        for option, given in (("--set", self.shapes), ("--au", self.aus), ("--emotion", self.emotion)):
            if given:
                words += [option, *(f"{name}={value:g}" for name, value in given.items())]
        if self.gaze is not None:
            words += ["--gaze", self.gaze if isinstance(self.gaze, str) else "{:g},{:g}".format(*self.gaze)]
        for name in ("yaw", "pitch", "roll", "neutralize"):
            if getattr(self, name):
                words += [f"--{name}", f"{getattr(self, name):g}"]
        if self.face != 0:
            words += ["--face", self.face if isinstance(self.face, str) else str(self.face + 1)]
        if self.engine != "photo":
            words += ["--engine", self.engine]
        return shlex.join([*words, "-o", output])

    def python(self, source: str, output: str) -> str:
        """A program of three lines."""
        settings = "".join(f", {name}={_written(value)}" for name, value in self.arguments().items())
        engine = "" if self.engine == "photo" else f"engine={self.engine!r}"
        call = f"edited = ExpressionEditPipeline({engine})({source!r}{settings})"
        return f"from pipelines import ExpressionEditPipeline\n\n{call}\nedited.save({output!r})\n"


def _zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name!r}: {number:g}" for name, number in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(f"{number:g}" for number in value) + ")"
    return repr(value) if isinstance(value, (str, int)) else f"{value:g}"
