"""The sliders of an edit: which there are, and how their values become settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from demos.app.parts import read_face
from demos.app.recipes import Edit


@dataclass(frozen=True)
class Knob:
    """A slider: kind is "shapes", "aus", "emotion" or the name of a setting of its own."""

    kind: str
    name: str
    low: float
    high: float
    step: float = 0.05
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """Sliders under one heading."""

    title: str
    knobs: tuple[Knob, ...]
    open: bool = False


QUICK = ("smile", "frown", "jaw_open", "pucker", "show_teeth", "brow_up", "brow_down", "blink", "eyes_wide", "squint")
REGIONS = (("Eyes", ("eye",)), ("Brows", ("brow",)), ("Cheeks and nose", ("cheek", "nose")))
MOUTH = ("jaw", "mouth", "tongue")


def panels() -> list[Panel]:
    """All sliders in their order on the page."""
    from controls.expression_tables import ACTION_UNITS
    from controls.expressions import SHAPE_RANGE, emotion_names
    from pipelines.change import GAZE_LIMIT, HEAD_LIMIT
    from studio.arkit import ARKIT

    def shapes(names: Sequence[str], low: float, high: float) -> tuple[Knob, ...]:
        return tuple(Knob("shapes", name, low, high) for name in names)

    turns = (
        Knob("yaw", "yaw", -HEAD_LIMIT, HEAD_LIMIT, 1, "Turn °"),
        Knob("pitch", "pitch", -HEAD_LIMIT, HEAD_LIMIT, 1, "Nod °"),
        Knob("roll", "roll", -HEAD_LIMIT, HEAD_LIMIT, 1, "Tilt °"),
        Knob("gaze", "yaw", -GAZE_LIMIT[0], GAZE_LIMIT[0], 1, "Gaze right °"),
        Knob("gaze", "pitch", -GAZE_LIMIT[1], GAZE_LIMIT[1], 1, "Gaze down °"),
        Knob("neutralize", "neutralize", 0, 1, 0.05, "Neutralize"),
    )
    emotions = tuple(Knob("emotion", name, 0, 1) for name in emotion_names() if name != "neutral")
    found = [
        Panel("Head and gaze", turns, True),
        Panel("Face", shapes(QUICK, 0, 1), True),
        Panel("Emotions", emotions),
    ]
    for title, starts in (*REGIONS, ("Mouth and jaw", MOUTH)):
        names = [name for name in ARKIT if name.startswith(starts) and not name.startswith("eyeLook")]
        found.append(Panel(f"Blendshapes: {title.lower()}", shapes(names, *SHAPE_RANGE)))
    units = tuple(
        Knob("aus", name, 0, 1, 0.05, f"{name}: {words}")
        for unit, (words, shapes_of) in ACTION_UNITS.items()
        for name in ((f"L{unit}", f"R{unit}") if any(s.endswith("+") for s in shapes_of) else (f"AU{unit}",))
    )
    return [*found, Panel("Action units (FACS)", units)]


def read_knobs(knobs: Sequence[Knob], values: Sequence[float], *, camera: bool = False, face: object = "1") -> Edit:
    """The edit that slider positions mean; what stands at 0 is left out."""
    shapes: dict[str, float] = {}
    aus: dict[str, float] = {}
    emotion: dict[str, float] = {}
    tables = {"shapes": shapes, "aus": aus, "emotion": emotion}
    own: dict[str, float] = {}
    gaze = {"yaw": 0.0, "pitch": 0.0}
    for knob, value in zip(knobs, values, strict=True):
        number = round(float(value or 0), 4)
        if knob.kind == "gaze":
            gaze[knob.name] = number
        elif knob.kind not in tables:
            own[knob.kind] = number
        elif number:
            tables[knob.kind][knob.name] = number
    look = "camera" if camera else (gaze["yaw"], gaze["pitch"]) if any(gaze.values()) else None
    return Edit(shapes, aus, emotion, look, **own, face=read_face(face))
