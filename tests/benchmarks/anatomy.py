"""How well the authored displacement fields agree with measured ones.

    python -m tests.benchmarks.anatomy

The yardstick is ICT-FaceKit on FaceMesh points (``../shared/ict-facemesh.npz``; FACE_STUDIO_SHARED says where else).
For each shape: the cosine between authored and measured motion, averaged over points that move more than 1 mm; the
ratio of their sizes; and the motion of points that should rest (measured below 0.3 mm), 99th percentile.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from avatars.facemesh import MEAN
from avatars.fields import fields
from avatars.fields_anatomy import mirrored
from studio.arkit import ARKIT, INDEX, mirror

SHARED = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
MILLIMETRES = 90.0
"""Per eye span."""

MAIN = tuple(
    name
    for name in ARKIT
    if not name.endswith("Right") and name not in ("tongueOut", "mouthClose")  # mouthClose only undoes jawOpen
)
"""The thirty main shapes, one of each pair."""


def turn_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rotation (for column vectors) that brings ``a`` (N, 3) nearest to ``b``, place and size aside (Kabsch 1976)."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    return (u * [1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt


def yardstick(path: Path | None = None) -> np.ndarray:
    """Measured displacements (52, 468, 3) in eye spans and the head's frame, made left-right symmetric."""
    with np.load(path or SHARED / "ict-facemesh.npz") as data:
        neutral, delta = data["neutral"] / 0.09, data["arkit_delta"] / 0.09
    delta = delta @ turn_between(0.5 * (neutral + mirrored(neutral)), MEAN).T
    other = np.stack([mirrored(delta[INDEX[mirror(name)]]) for name in ARKIT])
    return 0.5 * (delta + other)


def agreement(field: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Mean cosine over points that move more than 1 mm, ratio of norms, motion in mm (99th percentile) of points at
    rest; of fields (468, 3) in eye spans."""
    size, own = (np.linalg.norm(f, axis=1) * MILLIMETRES for f in (target, field))
    moving, still = size > 1, size < 0.3
    cosines = (field * target).sum(1)[moving] * MILLIMETRES**2 / (size * own + 1e-9)[moving]
    return (
        float(cosines.mean()),
        float(np.linalg.norm(field) / np.linalg.norm(target)),
        float(np.percentile(own[still], 99)),
    )


def main() -> None:
    measured, authored = yardstick(), fields()
    rows = {name: agreement(authored[INDEX[name]], measured[INDEX[name]]) for name in (*MAIN, "mouthClose")}
    print(f"{'shape':18s} cosine  size  at rest, mm")
    for name, row in sorted(rows.items(), key=lambda item: -item[1][0]):
        print("{:18s} {:6.3f} {:5.2f}  {:.2f}".format(name, *row))
    table = np.array([rows[name] for name in MAIN])
    (cosine, size, rest), low, high = table.mean(0), table.min(0), table.max(0)
    print(f"{len(MAIN)} main shapes: mean cosine {cosine:.3f}, least {low[0]:.3f}")
    print(f"mean size {size:.2f} ({low[1]:.2f} to {high[1]:.2f}); at rest {rest:.2f} mm, at most {high[2]:.2f} mm")


if __name__ == "__main__":
    main()
