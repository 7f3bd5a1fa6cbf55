"""Which sliders an edit and a head have, and how the positions of an edit's become settings.

A key is "shapes.", "aus.", "emotion." or "gaze." and a name, or the name of a setting of its own; a head's keys are
axes of identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demos.app.parts import read_face
from demos.app.recipes import Edit
from demos.app.sliders import Group, Slider

QUICK = ("smile", "frown", "jaw_open", "pucker", "show_teeth", "brow_up", "brow_down", "blink", "eyes_wide", "squint")
REGIONS = (("Eyes", ("eye",)), ("Brows", ("brow",)), ("Cheeks and nose", ("cheek", "nose")))
MOUTH = ("jaw", "mouth", "tongue")
HEAD_REGIONS = (
    ("Face and skull", ("head", "face", "upper_face", "lower_face", "cranium", "neck")),
    ("Forehead and brows", ("forehead", "temple", "brow")),
    ("Eyes", ("eye", "inner_corner", "upper_lid")),
    ("Nose", ("nose", "nostril", "columella")),
    ("Cheeks", ("cheek", "nasolabial")),
    ("Mouth", ("mouth", "upper_lip", "lower_lip", "lip_corner", "philtrum", "cupid")),
    ("Chin and jaw", ("chin", "jaw", "double_chin")),
    ("Ears", ("ear",)),
)
HEAD_RANGE = 3.0
"""Standard deviations to either side."""


def edit_sliders() -> list[Group]:
    """All sliders of an edit in their order on the page."""
    from controls.expression_tables import ACTION_UNITS
    from controls.expressions import SHAPE_RANGE, emotion_names
    from pipelines.change import GAZE_LIMIT, HEAD_LIMIT
    from studio.arkit import ARKIT

    def shapes(names: Sequence[str], low: float, high: float) -> tuple[Slider, ...]:
        return tuple(Slider(f"shapes.{name}", words(name), low, high) for name in names)

    turns = (
        Slider("yaw", "Turn\u00a0°", -HEAD_LIMIT, HEAD_LIMIT, 1),
        Slider("pitch", "Nod\u00a0°", -HEAD_LIMIT, HEAD_LIMIT, 1),
        Slider("roll", "Tilt\u00a0°", -HEAD_LIMIT, HEAD_LIMIT, 1),
        Slider("gaze.yaw", "Gaze right\u00a0°", -GAZE_LIMIT[0], GAZE_LIMIT[0], 1),
        Slider("gaze.pitch", "Gaze down\u00a0°", -GAZE_LIMIT[1], GAZE_LIMIT[1], 1),
        Slider("neutralize", "Neutralize", 0, 1),
    )
    emotions = tuple(Slider(f"emotion.{name}", words(name), 0, 1) for name in emotion_names() if name != "neutral")
    found = [
        Group("Head and gaze", turns, True),
        Group("Face", shapes(QUICK, 0, 1), True),
        Group("Emotions", emotions),
    ]
    for title, starts in (*REGIONS, ("Mouth and jaw", MOUTH)):
        names = [name for name in ARKIT if name.startswith(starts) and not name.startswith("eyeLook")]
        found.append(Group(f"Blendshapes: {title.lower()}", shapes(names, *SHAPE_RANGE)))
    units = tuple(
        Slider(f"aus.{name}", f"{name}: {said}", 0, 1)
        for unit, (said, shapes_of) in ACTION_UNITS.items()
        for name in ((f"L{unit}", f"R{unit}") if any(s.endswith("+") for s in shapes_of) else (f"AU{unit}",))
    )
    return [*found, Group("Action units (FACS)", units)]


def head_sliders() -> list[Group]:
    """All axes of identity, in standard deviations from the person of the photo."""
    from avatars.head.identity import AXES

    groups: dict[str, list[Slider]] = {title: [] for title, _ in HEAD_REGIONS}
    for axis in AXES:
        title = next(title for title, starts in HEAD_REGIONS if axis.name.startswith(starts))
        groups[title].append(Slider(axis.name, words(axis.name), -HEAD_RANGE, HEAD_RANGE, 0.1))
    return [Group(title, tuple(sliders), title == HEAD_REGIONS[0][0]) for title, sliders in groups.items()]


def read_positions(positions: Mapping[str, float], *, camera: bool = False, face: object = "1") -> Edit:
    """The edit that positions of `edit_sliders` mean."""
    tables: dict[str, dict[str, float]] = {"shapes": {}, "aus": {}, "emotion": {}, "gaze": {}}
    own: dict[str, float] = {}
    for key, position in positions.items():
        kind, dot, name = key.partition(".")
        (tables[kind] if dot else own)[name or kind] = position
    gaze = tables.pop("gaze")
    look = "camera" if camera else (gaze.get("yaw", 0.0), gaze.get("pitch", 0.0)) if gaze else None
    return Edit(**tables, gaze=look, **own, face=read_face(face))


def words(name: str) -> str:
    """A name for people."""
    plain = name.replace("_", " ")
    return plain[:1].upper() + plain[1:]
