"""Fits the muscles of `avatars/data/muscles.json` to measured displacements.

The anatomy below says which muscles a shape has, where they insert and what kind of action they have; least squares
then moves insertions and reaches a little and finds the pulls. The yardstick is ICT-FaceKit on FaceMesh points
(``../shared/ict-facemesh.npz``); none of its numbers are shipped.

    python -m tests.benchmarks.fit_fields [SHAPE ...]
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from avatars import fields_anatomy as anatomy
from avatars.facemesh import MEAN, MIRROR
from studio.arkit import ARKIT, INDEX, mirror

SHARED = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TABLE = Path(anatomy.__file__).parent / "data" / "muscles.json"
MILLIMETRES = 90.0
"""Per eye span."""

Seed = tuple[str, str, str, tuple[float, float], tuple[float, float]]

# Where muscles insert on the unrolled mean face (subject's left side), and how far they reach.
SMILE: list[Seed] = [
    ("zygomaticus major", "pull", "face", (0.30, -0.75), (0.30, 0.30)),
    ("zygomaticus major, upper lip", "pull", "above mouth", (0.18, -0.72), (0.30, 0.25)),
    ("zygomaticus major, lower lip", "pull", "below mouth", (0.16, -0.84), (0.30, 0.25)),
    ("zygomaticus minor", "pull", "above mouth", (0.42, -0.50), (0.35, 0.35)),
    ("malar fat pad", "pull", "face", (0.42, -0.28), (0.35, 0.25)),
    ("nasolabial fold", "pull", "above mouth", (0.30, -0.58), (0.25, 0.25)),
    ("buccinator", "pull", "face", (0.55, -0.75), (0.35, 0.40)),
    ("orbicularis oris, upper", "pull", "above mouth", (0.00, -0.72), (0.25, 0.20)),
]
CORNER: list[Seed] = [
    ("corner of the mouth", "pull", "face", (0.29, -0.79), (0.20, 0.20)),
    ("upper lip", "pull", "above mouth", (0.17, -0.75), (0.25, 0.20)),
    ("lower lip", "pull", "below mouth", (0.17, -0.85), (0.25, 0.20)),
    ("skin below", "pull", "below mouth", (0.28, -1.00), (0.30, 0.25)),
    ("skin above", "pull", "above mouth", (0.36, -0.65), (0.30, 0.25)),
]


def corner(*names: str) -> list[Seed]:
    return [(name, *seed[1:]) for name, seed in zip(names, CORNER)]


def lids(upper: str, lower: str) -> list[Seed]:
    return [
        (f"{upper}, margin", "pull", "above eye", (0.37, 0.03), (0.28, 0.10)),
        (f"{upper}, skin", "pull", "above eye", (0.37, 0.10), (0.28, 0.12)),
        (f"{upper}, outer third", "pull", "above eye", (0.47, 0.03), (0.15, 0.10)),
        (f"{lower}, margin", "pull", "below eye", (0.37, -0.05), (0.28, 0.12)),
        (f"{lower}, skin", "pull", "below eye", (0.37, -0.12), (0.30, 0.15)),
        (f"{lower}, outer third", "pull", "below eye", (0.46, -0.04), (0.15, 0.10)),
    ]


JAW: list[Seed] = [
    ("mandible", "turn", "below mouth", (0.00, -1.15), (0.95, 0.75)),
    ("chin", "pull", "below mouth", (0.00, -1.15), (0.45, 0.40)),
    ("lower lip", "pull", "below mouth", (0.00, -0.85), (0.40, 0.20)),
    ("corner of the mouth", "pull", "face", (0.28, -0.80), (0.25, 0.25)),
    ("buccinator", "pull", "face", (0.55, -0.75), (0.45, 0.55)),
    ("masseter", "pull", "face", (0.95, -0.75), (0.50, 0.60)),
    ("upper lip", "pull", "above mouth", (0.15, -0.74), (0.35, 0.20)),
]
RING: list[Seed] = [
    ("orbicularis oris, upper ring", "ring", "above mouth", (0.00, -0.80), (0.45, 0.35)),
    ("orbicularis oris, lower ring", "ring", "below mouth", (0.00, -0.80), (0.45, 0.35)),
    ("upper lip, roll", "roll", "above mouth", (0.00, -0.79), (0.40, 0.25)),
    ("lower lip, roll", "roll", "below mouth", (0.00, -0.79), (0.40, 0.25)),
    ("philtrum", "pull", "above mouth", (0.08, -0.66), (0.25, 0.20)),
    ("mentalis", "pull", "below mouth", (0.08, -1.02), (0.30, 0.25)),
    ("buccinator", "pull", "face", (0.50, -0.75), (0.45, 0.45)),
    ("corner of the mouth", "pull", "face", (0.28, -0.79), (0.20, 0.18)),
]

ANATOMY: dict[str, list[Seed]] = {
    "eyeBlinkLeft": lids("orbicularis oculi, upper", "orbicularis oculi, lower"),
    "eyeLookDownLeft": lids("levator palpebrae released", "lower lid retractors"),
    "eyeLookInLeft": lids("upper lid over the cornea", "lower lid over the cornea"),
    "eyeLookOutLeft": lids("upper lid over the cornea", "lower lid over the cornea"),
    "eyeLookUpLeft": lids("levator palpebrae", "lower lid over the cornea"),
    "eyeSquintLeft": [
        *lids("orbicularis oculi, upper", "orbicularis oculi, lower"),
        ("orbicularis oculi, orbital part", "pull", "below eye", (0.42, -0.22), (0.40, 0.22)),
        ("orbicularis oculi, outer corner", "pull", "face", (0.58, -0.02), (0.20, 0.20)),
    ],
    "eyeWideLeft": lids("levator palpebrae", "lower lid retractors"),
    "jawForward": JAW,
    "jawLeft": [
        ("mandible", "turn", "below mouth", (0.00, -1.15), (0.95, 0.75)),
        ("chin", "pull", "below mouth", (0.00, -1.15), (0.50, 0.45)),
        ("lower lip", "pull", "below mouth", (0.00, -0.85), (0.40, 0.20)),
        ("corner of the mouth, leading", "pull", "face", (0.28, -0.80), (0.25, 0.25)),
        ("corner of the mouth, trailing", "pull", "face", (-0.28, -0.80), (0.25, 0.25)),
        ("buccinator, leading", "pull", "face", (0.55, -0.80), (0.45, 0.50)),
        ("buccinator, trailing", "pull", "face", (-0.55, -0.80), (0.45, 0.50)),
    ],
    "jawOpen": JAW,
    "mouthClose": [
        ("lower lip, held", "pull", "below mouth", (0.00, -0.85), (0.45, 0.30)),
        ("lower lip, roll", "roll", "below mouth", (0.00, -0.82), (0.40, 0.25)),
        ("mentalis", "pull", "below mouth", (0.00, -1.02), (0.45, 0.30)),
        ("corner of the mouth", "pull", "face", (0.28, -0.80), (0.22, 0.22)),
        ("upper lip, lowered", "pull", "above mouth", (0.00, -0.76), (0.40, 0.20)),
        ("buccinator", "pull", "face", (0.42, -0.85), (0.35, 0.35)),
    ],
    "mouthFunnel": RING,
    "mouthPucker": RING,
    "mouthLeft": [
        ("orbicularis oris, upper", "pull", "above mouth", (0.00, -0.75), (0.60, 0.40)),
        ("orbicularis oris, lower", "pull", "below mouth", (0.00, -0.85), (0.60, 0.40)),
        ("corner of the mouth, leading", "pull", "face", (0.29, -0.79), (0.25, 0.25)),
        ("corner of the mouth, trailing", "pull", "face", (-0.29, -0.79), (0.25, 0.25)),
        ("risorius, leading", "pull", "face", (0.55, -0.75), (0.45, 0.50)),
        ("buccinator, trailing", "pull", "face", (-0.55, -0.75), (0.45, 0.50)),
        ("mentalis", "pull", "below mouth", (0.00, -1.10), (0.45, 0.35)),
        ("zygomaticus, leading", "pull", "above mouth", (0.40, -0.50), (0.35, 0.35)),
        ("zygomaticus, trailing", "pull", "above mouth", (-0.40, -0.50), (0.35, 0.35)),
    ],
    "mouthSmileLeft": SMILE,
    "mouthFrownLeft": corner("depressor anguli oris", "upper lip", "lower lip", "skin of the chin", "nasolabial fold"),
    "mouthDimpleLeft": corner("buccinator", "upper lip", "lower lip", "depressor side", "nasolabial fold"),
    "mouthStretchLeft": corner("risorius", "upper lip", "lower lip", "platysma", "nasolabial fold"),
    "mouthRollLower": [
        ("lower lip, roll", "roll", "below mouth", (0.00, -0.82), (0.40, 0.25)),
        ("lower lip", "pull", "below mouth", (0.00, -0.86), (0.35, 0.20)),
        ("mentalis", "pull", "below mouth", (0.00, -1.00), (0.35, 0.25)),
        ("corner of the mouth", "pull", "face", (0.28, -0.79), (0.20, 0.20)),
        ("upper lip", "pull", "above mouth", (0.00, -0.76), (0.35, 0.15)),
    ],
    "mouthRollUpper": [
        ("upper lip, roll", "roll", "above mouth", (0.00, -0.76), (0.40, 0.25)),
        ("upper lip", "pull", "above mouth", (0.00, -0.73), (0.35, 0.20)),
        ("philtrum", "pull", "above mouth", (0.00, -0.62), (0.35, 0.20)),
        ("corner of the mouth", "pull", "face", (0.28, -0.79), (0.20, 0.20)),
        ("lower lip", "pull", "below mouth", (0.00, -0.84), (0.35, 0.15)),
    ],
    "mouthShrugLower": [
        ("mentalis", "pull", "below mouth", (0.00, -1.02), (0.40, 0.35)),
        ("lower lip", "pull", "below mouth", (0.00, -0.87), (0.40, 0.20)),
        ("lower lip, roll", "roll", "below mouth", (0.00, -0.82), (0.40, 0.25)),
        ("corner of the mouth", "pull", "face", (0.28, -0.80), (0.20, 0.20)),
        ("chin boss", "pull", "below mouth", (0.00, -1.18), (0.35, 0.25)),
    ],
    "mouthShrugUpper": [
        ("upper lip", "pull", "above mouth", (0.00, -0.74), (0.40, 0.20)),
        ("upper lip, roll", "roll", "above mouth", (0.00, -0.77), (0.40, 0.25)),
        ("levator labii", "pull", "above mouth", (0.12, -0.64), (0.30, 0.20)),
        ("corner of the mouth", "pull", "face", (0.28, -0.79), (0.20, 0.20)),
    ],
    "mouthPressLeft": [
        *corner("corner of the mouth", "upper lip", "lower lip", "depressor side", "nasolabial fold"),
        ("upper lip, roll", "roll", "above mouth", (0.15, -0.77), (0.30, 0.20)),
        ("lower lip, roll", "roll", "below mouth", (0.15, -0.81), (0.30, 0.20)),
    ],
    "mouthLowerDownLeft": [
        ("depressor labii inferioris", "pull", "below mouth", (0.12, -0.88), (0.28, 0.22)),
        ("lower lip, roll", "roll", "below mouth", (0.12, -0.82), (0.30, 0.20)),
        ("depressor labii, origin", "pull", "below mouth", (0.18, -1.02), (0.28, 0.22)),
        ("corner of the mouth", "pull", "face", (0.28, -0.80), (0.18, 0.18)),
    ],
    "mouthUpperUpLeft": [
        ("levator labii superioris", "pull", "above mouth", (0.12, -0.72), (0.28, 0.22)),
        ("upper lip, roll", "roll", "above mouth", (0.12, -0.77), (0.30, 0.20)),
        ("nasolabial fold", "pull", "above mouth", (0.28, -0.60), (0.28, 0.25)),
        ("levator labii alaeque nasi", "pull", "above mouth", (0.14, -0.50), (0.20, 0.22)),
        ("malar fat pad", "pull", "above mouth", (0.38, -0.38), (0.35, 0.30)),
        ("corner of the mouth", "pull", "face", (0.28, -0.78), (0.18, 0.18)),
    ],
    "browDownLeft": [
        ("corrugator", "pull", "above eye", (0.16, 0.15), (0.22, 0.22)),
        ("depressor supercilii", "pull", "above eye", (0.28, 0.20), (0.28, 0.20)),
        ("orbicularis oculi, orbital part", "pull", "above eye", (0.45, 0.22), (0.30, 0.20)),
        ("procerus", "pull", "face", (0.06, 0.08), (0.18, 0.22)),
        ("upper lid fold", "pull", "above eye", (0.35, 0.10), (0.25, 0.12)),
    ],
    "browInnerUp": [
        ("frontalis, inner", "pull", "above eye", (0.12, 0.20), (0.28, 0.28)),
        ("frontalis, middle", "pull", "above eye", (0.32, 0.22), (0.30, 0.25)),
        ("frontalis, forehead", "pull", "face", (0.12, 0.38), (0.40, 0.30)),
        ("frontalis, outer", "pull", "above eye", (0.52, 0.20), (0.30, 0.25)),
        ("upper lid fold", "pull", "above eye", (0.25, 0.10), (0.25, 0.12)),
    ],
    "browOuterUpLeft": [
        ("frontalis, outer", "pull", "above eye", (0.50, 0.25), (0.30, 0.25)),
        ("frontalis, middle", "pull", "above eye", (0.32, 0.22), (0.30, 0.25)),
        ("frontalis, temple", "pull", "face", (0.55, 0.38), (0.35, 0.30)),
        ("upper lid fold", "pull", "above eye", (0.45, 0.10), (0.25, 0.12)),
    ],
    "cheekPuff": [
        ("buccinator, blown", "pull", "face", (0.52, -0.70), (0.50, 0.50)),
        ("buccinator, upper", "pull", "above mouth", (0.42, -0.55), (0.40, 0.35)),
        ("buccinator, lower", "pull", "below mouth", (0.42, -0.95), (0.40, 0.35)),
        ("orbicularis oris, upper", "pull", "above mouth", (0.00, -0.70), (0.35, 0.25)),
        ("orbicularis oris, lower", "pull", "below mouth", (0.00, -0.88), (0.35, 0.25)),
        ("corner of the mouth", "pull", "face", (0.28, -0.79), (0.20, 0.20)),
        ("masseter", "pull", "face", (0.85, -0.65), (0.45, 0.50)),
    ],
    "cheekSquintLeft": [
        ("orbicularis oculi, malar", "pull", "below eye", (0.42, -0.28), (0.40, 0.28)),
        ("zygomaticus minor", "pull", "above mouth", (0.45, -0.48), (0.40, 0.30)),
        ("lower lid", "pull", "below eye", (0.38, -0.10), (0.28, 0.14)),
        ("orbicularis oculi, outer corner", "pull", "below eye", (0.60, -0.08), (0.25, 0.25)),
        ("tear trough", "pull", "below eye", (0.20, -0.18), (0.20, 0.18)),
    ],
    "noseSneerLeft": [
        ("levator labii alaeque nasi", "pull", "above mouth", (0.13, -0.45), (0.22, 0.25)),
        ("nasalis", "pull", "face", (0.10, -0.25), (0.20, 0.25)),
        ("procerus", "pull", "face", (0.04, 0.05), (0.20, 0.25)),
        ("corrugator", "pull", "above eye", (0.18, 0.14), (0.28, 0.22)),
        ("levator labii superioris", "pull", "above mouth", (0.16, -0.68), (0.30, 0.25)),
        ("nasolabial fold", "pull", "above mouth", (0.30, -0.52), (0.30, 0.30)),
        ("orbicularis oculi, inner", "pull", "below eye", (0.28, -0.15), (0.30, 0.22)),
    ],
}  # fmt: skip

SYMMETRIC = {s for s in ANATOMY if mirror(s) == s and s not in ("jawLeft", "mouthLeft")}


def align(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """Scale and rotation (column vectors) that bring ``a`` (N, 3) nearest to ``b`` (Umeyama 1991)."""
    a, b = a - a.mean(0), b - b.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    return float((s * d).sum() / (a * a).sum()), (u * d) @ vt


def yardstick(path: Path | None = None) -> np.ndarray:
    """Measured displacements (52, 468, 3) in eye spans and the head's frame, made left-right symmetric."""
    with np.load(path or SHARED / "ict-facemesh.npz") as data:
        neutral, delta = data["neutral"] / 0.09, data["arkit_delta"] / 0.09
    neutral = 0.5 * (neutral + anatomy.mirrored(neutral))
    _, turn = align(neutral, MEAN)
    delta = delta @ turn.T
    other = np.stack([anatomy.mirrored(delta[INDEX[mirror(name)]]) for name in ARKIT])
    return 0.5 * (delta + other)


def columns(seeds: list[Seed], theta: np.ndarray, both: bool) -> np.ndarray:
    parts = []
    for (_, action, territory, *_), p in zip(seeds, theta.reshape(-1, 5)):
        muscle = anatomy.Muscle("", action, territory, (p[0], p[1]), (np.exp(p[2]), np.exp(p[3])), p[4], (0, 0, 0), both)
        parts.append(anatomy.muscle_columns(muscle))
    return np.concatenate(parts)


def fit(shape: str, target: np.ndarray, ridge: float = 2e-3) -> list[dict]:
    """Muscles of one shape as JSON-ready dicts."""
    seeds, both = ANATOMY[shape], shape in SYMMETRIC
    size = np.linalg.norm(target, axis=1)
    loss_weight = (1 / (size + 1.2 / MILLIMETRES) ** 0.75)[:, None]
    start = np.array([[*at, *np.log(reach), 0.0] for *_, at, reach in seeds])
    slack = np.tile([0.15, 0.15, 0.55, 0.55, 0.9], (len(seeds), 1))
    if both:
        slack[np.abs(start[:, 0]) < 1e-9, 0] = 1e-6  # on the middle line it stays
        slack[np.abs(start[:, 0]) < 1e-9, 4] = 1e-6

    def solve(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = columns(seeds, theta, both)
        m = (a * loss_weight).reshape(len(a), -1).T
        scale = np.maximum(np.sqrt((m * m).sum(0)), 1e-3)  # a twin pair on the middle line has no sideways pull
        pulls = np.linalg.lstsq(
            np.concatenate([m / scale, ridge ** 0.5 * np.eye(len(a))]),
            np.concatenate([(target * loss_weight).ravel(), np.zeros(len(a))]),
            rcond=None,
        )[0]
        residual = np.concatenate([(m / scale) @ pulls - (target * loss_weight).ravel(), ridge ** 0.5 * pulls])
        return residual, pulls / scale

    flat = start.ravel()
    best = least_squares(
        lambda x: solve(x)[0], flat, bounds=((start - slack).ravel(), (start + slack).ravel()), max_nfev=25, diff_step=1e-3
    )
    theta, pulls = best.x.reshape(-1, 5), solve(best.x)[1].reshape(-1, 3)
    return [
        {
            "name": name,
            "action": action,
            "territory": territory,
            "at": [round(float(v), 3) for v in p[:2]],
            "reach": [round(float(v), 3) for v in np.exp(p[2:4])],
            "tilt": round(float(p[4]), 3),
            "pull": [round(float(v), 4) for v in pull],
            **({"both": True} if both else {}),
        }
        for (name, action, territory, *_), p, pull in zip(seeds, theta, pulls)
    ]


def cosine(field: np.ndarray, target: np.ndarray) -> tuple[float, float, float]:
    """Mean cosine over points that move more than 1 mm, ratio of norms, largest motion (mm) of points at rest."""
    size = np.linalg.norm(target, axis=1) * MILLIMETRES
    own = np.linalg.norm(field, axis=1) * MILLIMETRES
    moving, still = size > 1, size < 0.3
    dots = (field * target).sum(1)[moving] * MILLIMETRES**2
    return (
        float((dots / (size * own + 1e-9)[moving]).mean()),
        float(np.linalg.norm(field) / (np.linalg.norm(target) + 1e-12)),
        float(np.percentile(own[still], 99)) if still.any() else 0.0,
    )


def main(shapes: list[str]) -> None:
    target = yardstick()
    table = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    for shape in shapes or ANATOMY:
        table[shape] = fit(shape, target[INDEX[shape]])
        field = sum(
            anatomy.muscle_field(anatomy.Muscle(**{k: tuple(v) if isinstance(v, list) else v for k, v in m.items()}))
            for m in table[shape]
        )
        print(f"{shape:22s} cosine {{:.3f}}  size {{:.2f}}  at rest {{:.2f}} mm".format(*cosine(field, target[INDEX[shape]])), flush=True)
    lines = [
        f'  "{shape}": [\n    ' + ",\n    ".join(json.dumps(m) for m in table[shape]) + "\n  ]" for shape in ANATOMY if shape in table
    ]
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
