"""A grid of expressions and strengths, with labels, as one picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.portrait import read_portrait
from pipelines.scene import Scene
from pipelines.take import Still

if TYPE_CHECKING:
    from pipelines.edit import ExpressionEditPipeline
    from pipelines.portrait import Portrait

BASIC = ("joy", "sadness", "anger", "fear", "disgust", "surprise", "contempt")
"""Rows of a sheet for which nothing else was asked."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)

TILE = 256
"""Pixels of a tile's longer side, at most."""

_LABEL, _HEADING, _GAP = 132, 30, 4


def rows_of(
    shapes: Mapping[str, float] | None, aus: Mapping[str, Any] | None, emotion: Mapping[str, float] | None
) -> list[tuple[str, dict[str, Any]]]:
    """(label, settings at full strength) of each row: one for each thing that was named, else the basic emotions."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for kind, given in (("emotion", emotion), ("shapes", shapes), ("aus", aus)):
        for name, value in (given or {}).items():
            rows.append(
                (
                    name if value == 1 else f"{name} {value:g}" if not isinstance(value, str) else f"{name} {value}",
                    {kind: {name: value}},
                )
            )
    return rows or [(name, {"emotion": {name: 1.0}}) for name in BASIC]


def expression_sheet(
    pipe: ExpressionEditPipeline,
    source: Any,
    *,
    shapes: Mapping[str, float] | None = None,
    aus: Mapping[str, Any] | None = None,
    emotion: Mapping[str, float] | None = None,
    strengths: tuple[float, ...] = STRENGTHS,
    face: int | str = 0,
    tile: int = TILE,
    progress: Callable[..., None] | None = None,
    **pose: Any,
) -> Still:
    """Rows: the named expressions (or the basic emotions); columns: the portrait itself, then each strength.

    pose  gaze, yaw, pitch, roll and neutralize hold for every tile. Raises as `ExpressionEditPipeline`.
    """
    from dataclasses import replace

    from PIL import Image, ImageDraw, ImageFont

    from pipelines.change import read_change

    rows = rows_of(shapes, aus, emotion)
    changes = [(label, read_change(**settings, **pose)) for label, settings in rows]
    began = time.monotonic()
    portrait = read_portrait(source, pipe.tracker, face=face)
    scene = Scene(portrait, pipe.avatar)
    box = _window(portrait)
    scale = tile / max(box[2] - box[0], box[3] - box[1])
    wide, high = max(8, round((box[2] - box[0]) * scale)), max(8, round((box[3] - box[1]) * scale))
    columns = 1 + len(strengths)
    size = (_LABEL + columns * (wide + _GAP), _HEADING + len(rows) * (high + _GAP))
    sheet = Image.new("RGB", size, (250, 250, 248))
    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(17), ImageFont.load_default(15)

    def put(image: np.ndarray, column: int, row: int) -> None:
        part = Image.fromarray(image[box[1] : box[3], box[0] : box[2]]).resize((wide, high), Image.Resampling.LANCZOS)
        sheet.paste(part, (_LABEL + column * (wide + _GAP), _HEADING + row * (high + _GAP)))

    def tiles() -> Any:
        for row, (label, full) in enumerate(changes):
            for column, strength in enumerate((0.0, *strengths)):
                yield row, column, label, replace(full, weights=full.weights * np.float32(strength))

    from studio.progress import track

    for column, heading in enumerate(("as it is", *(f"{100 * s:g} %" for s in strengths))):
        pen.text((_LABEL + column * (wide + _GAP) + wide / 2, _HEADING / 2), heading, (70, 70, 70), small, anchor="mm")
    for row, column, label, change in track(tiles(), "sheet", len(rows) * columns, progress):
        if column == 0:
            middle = _HEADING + row * (high + _GAP) + high / 2
            pen.multiline_text((10, middle), label.replace("_", "\n"), (30, 30, 30), font, anchor="lm")
        image = (
            portrait.over()
            if column == 0
            else scene.frame(
                [change.of(f, a.expression) for f, a in zip(portrait.faces, scene.avatars)],
                [change.head] * len(scene.avatars),
            )
        )
        put(image, column, row)
    return Still(np.asarray(sheet), None, portrait.faces, time.monotonic() - began)


def _window(portrait: Portrait) -> tuple[int, int, int, int]:
    """The part of the picture that a tile shows: the faces with hair and chin."""
    boxes = np.array([face.box for face in portrait.faces])
    x0, y0, x1, y1 = *boxes[:, :2].min(0), *boxes[:, 2:].max(0)
    side = 1.55 * max(x1 - x0, y1 - y0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2 - 0.06 * side
    width, height = portrait.size
    return (
        int(max(0, x - side / 2)),
        int(max(0, y - side / 2)),
        int(min(width, x + side / 2)),
        int(min(height, y + side / 2)),
    )
