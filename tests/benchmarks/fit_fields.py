"""Fits the muscles of `avatars/data/muscles.json` to measured displacements.

The anatomy below says which muscles a shape has, where they insert and what kind of action they have; least squares
then moves insertions and reaches a little and finds the pulls. The yardstick is ICT-FaceKit on FaceMesh points
(``../shared/ict-facemesh.npz``); none of its numbers are shipped.

    python -m tests.benchmarks.fit_fields [SHAPE ...]
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from avatars import fields_anatomy as anatomy
from avatars.fields_anatomy import Muscle
from studio.arkit import INDEX, mirror
from tests.benchmarks.anatomy import MILLIMETRES, agreement, yardstick

TABLE = Path(anatomy.__file__).parent / "data" / "muscles.json"
RIDGE = 4e-3

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
    ("levator labii alaeque nasi", "pull", "above mouth", (0.17, -0.52), (0.20, 0.18)),
    ("depressor septi nasi", "pull", "above mouth", (0.06, -0.43), (0.22, 0.18)),
    ("mentalis, chin boss", "pull", "below mouth", (0.10, -1.20), (0.35, 0.22)),
    ("platysma at the jaw line", "pull", "face", (0.80, -0.80), (0.40, 0.35)),
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
        ("depressor septi nasi", "pull", "above mouth", (0.06, -0.53), (0.22, 0.15)),
        ("buccinator", "pull", "face", (0.42, -0.65), (0.30, 0.30)),
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
        ("mentalis", "pull", "below mouth", (0.05, -1.02), (0.30, 0.25)),
        ("nasalis, alar part", "pull", "above mouth", (0.17, -0.45), (0.22, 0.18)),
        ("malar fat pad", "pull", "above mouth", (0.42, -0.42), (0.30, 0.25)),
        ("platysma at the jaw line", "pull", "below mouth", (0.45, -1.05), (0.35, 0.30)),
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
        ("procerus, stretched", "pull", "face", (0.06, 0.02), (0.20, 0.20)),
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
        ("orbicularis oculi, upper orbital part", "pull", "above eye", (0.48, 0.16), (0.30, 0.22)),
        ("zygomaticus major", "pull", "face", (0.42, -0.90), (0.35, 0.30)),
        ("platysma at the jaw line", "pull", "face", (0.80, -0.80), (0.40, 0.35)),
    ],
    "noseSneerLeft": [
        ("levator labii alaeque nasi", "pull", "above mouth", (0.13, -0.45), (0.22, 0.25)),
        ("nasalis", "pull", "face", (0.10, -0.25), (0.20, 0.25)),
        ("procerus", "pull", "face", (0.04, 0.05), (0.20, 0.25)),
        ("corrugator", "pull", "above eye", (0.18, 0.14), (0.28, 0.22)),
        ("levator labii superioris", "pull", "above mouth", (0.16, -0.68), (0.30, 0.25)),
        ("nasolabial fold", "pull", "above mouth", (0.30, -0.52), (0.30, 0.30)),
        ("orbicularis oculi, inner", "pull", "below eye", (0.28, -0.15), (0.30, 0.22)),
        ("lower lip, carried along", "pull", "below mouth", (0.22, -0.84), (0.25, 0.22)),
        ("cheek, carried along", "pull", "face", (0.65, -0.65), (0.45, 0.50)),
        ("platysma at the jaw line", "pull", "below mouth", (0.55, -1.00), (0.40, 0.35)),
    ],
}

LACKING = {
    # Measured lips come forward but hardly narrow: people's narrow by a quarter, and round up to an O.
    "mouthPucker": [
        Muscle("incisivus labii", "ring", "face", (0.0, -0.79), (0.55, 0.35), 0.0, (0.25, 0.0, 0.0), both=True),
    ],
    "mouthFunnel": [
        Muscle("incisivus labii", "ring", "face", (0.0, -0.79), (0.55, 0.35), 0.0, (0.12, 0.0, 0.0), both=True),
        Muscle("levator labii", "pull", "above mouth", (0.0, -0.74), (0.26, 0.18), 0.0, (0.0, 0.03, 0.0), both=True),
    ],
}
"""Muscles that the yardstick does not have."""

SYMMETRIC = {s for s in ANATOMY if mirror(s) == s and s not in ("jawLeft", "mouthLeft")}


def columns(seeds: list[Seed], theta: np.ndarray, both: bool) -> np.ndarray:
    """Component fields (3 per muscle, 468, 3) at ``theta`` (5 per muscle: across, up, log reaches, tilt)."""
    parts = []
    for (_, action, territory, *_), p in zip(seeds, theta.reshape(-1, 5)):
        at, reach = (0.0 if abs(p[0]) < 1e-6 else float(p[0]), float(p[1])), (float(np.exp(p[2])), float(np.exp(p[3])))
        muscle = Muscle("", action, territory, at, reach, float(p[4]), (0, 0, 0), both)
        parts.append(anatomy.muscle_columns(muscle))
    return np.concatenate(parts)


def solve(seeds: list[Seed], theta: np.ndarray, target: np.ndarray, both: bool) -> tuple[np.ndarray, np.ndarray]:
    """Residual and pulls (3 per muscle) that fit ``target`` best with insertions held at ``theta``. Small motions count
    nearly as much as large ones; a ridge keeps muscles from pulling against each other."""
    a = columns(seeds, theta, both)
    weight = ((np.linalg.norm(target, axis=1) + 1.2 / MILLIMETRES) ** -0.75)[:, None]
    m, wanted = (a * weight).reshape(len(a), -1).T, (target * weight).ravel()
    scale = np.sqrt((m * m).sum(0))
    dead = scale < 1e-2  # twins on the middle line cancel sideways
    m = np.where(dead, 0.0, m / np.where(dead, 1.0, scale))
    ridge = RIDGE**0.5 * np.eye(len(a))
    pulls = np.linalg.lstsq(np.concatenate([m, ridge]), np.concatenate([wanted, np.zeros(len(a))]), rcond=None)[0]
    return np.concatenate([m @ pulls - wanted, RIDGE**0.5 * pulls]), np.where(
        dead, 0.0, pulls / np.where(dead, 1, scale)
    )


def place(seeds: list[Seed], target: np.ndarray, both: bool) -> np.ndarray:
    """Insertions and reaches near the anatomy's that fit best (variable projection: pulls are solved for inside)."""
    start = np.array([[*at, *np.log(reach), 0.0] for *_, at, reach in seeds])
    slack = np.tile([0.15, 0.15, 0.55, 0.55, 0.9], (len(seeds), 1))
    low, high = start - slack, start + slack
    if both:  # what starts on the middle line stays there, twins stay apart
        middle = start[:, 0] == 0
        low[middle, 0], low[middle, 4] = -1e-9, -1e-9
        high[middle, 0], high[middle, 4] = 1e-9, 1e-9
        low[~middle, 0] = np.maximum(low[~middle, 0], 0.05)
    low, high = low.ravel(), high.ravel()
    best = least_squares(
        lambda x: solve(seeds, x, target, both)[0], start.ravel(), bounds=(low, high), max_nfev=25, diff_step=1e-3
    )
    return best.x


def fit(shape: str, target: np.ndarray) -> list[Muscle]:
    """The fewest muscles of ``ANATOMY[shape]`` that agree with ``target`` nearly as well as all of them."""
    seeds, both = ANATOMY[shape], shape in SYMMETRIC
    best: list[Muscle] = []
    floor = 0.0
    while True:
        theta = place(seeds, target, both)
        pulls = solve(seeds, theta, target, both)[1].reshape(-1, 3)
        muscles = [
            Muscle(
                name,
                action,
                territory,
                tuple(np.round(p[:2], 3).tolist()),
                tuple(np.round(np.exp(p[2:4]), 3).tolist()),
                round(float(p[4]), 2),
                tuple(np.round(pull, 4).tolist()),
                both,
            )
            for (name, action, territory, *_), p, pull in zip(seeds, theta.reshape(-1, 5), pulls)
        ]
        muscles = [replace(m, at=(m.at[0] + 0.0, m.at[1]), tilt=m.tilt + 0.0) for m in muscles]  # no -0.0
        found = agreement(sum(map(anatomy.muscle_field, muscles)), target)[0]
        floor = floor or min(found - 0.015, 0.95)
        if best and found < floor:
            return best
        best = muscles
        if len(seeds) <= 3:
            return best
        spare = []
        for k in range(len(seeds)):
            rest = np.delete(theta.reshape(-1, 5), k, 0).ravel()
            residual = solve(seeds[:k] + seeds[k + 1 :], rest, target, both)[0]
            spare.append(float(residual @ residual))
        k = int(np.argmin(spare))
        seeds = seeds[:k] + seeds[k + 1 :]


def main(shapes: list[str]) -> None:
    target = yardstick()
    table = anatomy.load_muscles() if TABLE.exists() else {}
    for shape in shapes or ANATOMY:
        table[shape] = [*fit(shape, target[INDEX[shape]]), *LACKING.get(shape, [])]
        figures = agreement(sum(map(anatomy.muscle_field, table[shape])), target[INDEX[shape]])
        words = "{:22s} {} muscles  cosine {:.3f}  size {:.2f}  at rest {:.2f} mm"
        print(words.format(shape, len(table[shape]), *figures), flush=True)
    rows = {shape: [json.dumps(asdict(m)) for m in table[shape]] for shape in ANATOMY if shape in table}
    blocks = [f'  "{shape}": [\n    ' + ",\n    ".join(muscles) + "\n  ]" for shape, muscles in rows.items()]
    TABLE.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
