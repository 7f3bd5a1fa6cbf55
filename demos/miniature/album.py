"""A set of pictures on disk with all that is known of them: what the miniature is trained and judged on."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from demos.miniature.people import random_moment, random_person
from demos.miniature.pictures import LIGHTS, Painter


@dataclass(frozen=True)
class Album:
    """N pictures.

    pictures (N, 64, 64, 3) uint8; normals (N, 64, 64, 3) uint8; points (N, 68, 2) float32 pixels; person (N, 12);
    weights (N, 52); head (N, 6); light (N,) index into `LIGHTS`; behind (N,) the background's name.
    """

    pictures: np.ndarray
    normals: np.ndarray
    points: np.ndarray
    person: np.ndarray
    weights: np.ndarray
    head: np.ndarray
    light: np.ndarray
    behind: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def open(cls, path: Path) -> Album:
        with np.load(path) as data:
            return cls(**{field.name: data[field.name] for field in fields(cls)})


def drawn(people: int, each: int, seed: int, report=lambda *_: None) -> Album:
    """`people` persons, `each` pictures of everyone; the same for the same seed."""
    pick = np.random.default_rng(seed)
    names, rows = list(LIGHTS), []
    for k in range(people):
        person = random_person(pick)
        painter = Painter(person)
        for _ in range(each):
            moment = random_moment(pick)
            seen = painter.draw(moment)
            known = (person, moment.weights, moment.head, names.index(moment.light), moment.behind)
            rows.append((seen.picture, seen.normals, seen.points, *known))
        report(k + 1, people)
    return Album(*(np.stack(column) for column in zip(*rows, strict=True)))


def album(path: Path, people: int, each: int, seed: int, report=lambda *_: None) -> Album:
    """The album of a file, drawn first where there is none."""
    try:
        return Album.open(path)
    except (FileNotFoundError, zipfile.BadZipFile):
        made = drawn(people, each, seed, report)
        made.save(path)
        return made
