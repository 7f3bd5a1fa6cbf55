"""Ears: a disc of rings whose height is drawn as ridges and hollows: helix and its crus, scapha, antihelix, concha,
tragus, antitragus, lobe. Lengths in eye spans; a place of the disc is (forward, up) from its middle."""

from __future__ import annotations

import numpy as np

from avatars.head.mesh import Cage

EAR = np.array([0.835, -0.14, -0.845])
"""Where the middle of the left ear hangs."""

AROUND = 22
FRONT = (0.14, 0.28, 0.41, 0.53, 0.64, 0.74, 0.83, 0.91, 0.97, 1.0)
"""Radii of the rings that one sees from the side; the last is the outline."""

BACK = ((1.0, 0.040, 1.05), (0.90, 0.075, 1.12), (0.72, 0.15, 1.22), (0.55, 0.26, 1.32))
"""Rings behind: radius, how far under the outline's height, radius in the texture."""

HEIGHT, WIDTH, STAND_OFF = 0.33, 0.205, 0.15


def add_ear(
    cage: Cage, side: int, shift: np.ndarray, grow: np.ndarray, corner: tuple[float, float], size: float
) -> None:
    """Puts an ear in: side 1 the subject's left, -1 the right; shift (3,) and growth (3,) of this head against the mean
    one; its texture's middle and half height."""
    turn = 2 * np.pi * np.arange(AROUND) / AROUND
    rings = [(radius, 0.0, radius) for radius in FRONT] + list(BACK)
    loops, places = [], []
    for radius, under, spread in rings:
        forward, up = _outline(turn, radius)
        x = _height(forward, up, radius, turn) - under
        if under > 0.1:
            x = np.minimum(x, -0.02)
        points = np.stack([side * x, up, forward - 0.20 * up], 1)
        loops.append(cage.add(EAR * [side, 1, 1] + shift + grow * points))
        flat = np.stack(_outline(turn, spread), 1) / HEIGHT / 1.4
        places.append(np.array(corner) + size * flat * [side, 1])
    for number in range(len(loops) - 1):
        uv = np.stack([np.concatenate([p, p[:1]]) for p in places[number : number + 2]])
        if side > 0:
            cage.strip(loops[number], loops[number + 1], uv, "ear")
        else:
            cage.strip(loops[number + 1], loops[number], uv[::-1], "ear")
    order = slice(None, None, -1) if side > 0 else slice(None)
    cage.put(tuple(loops[0][order]), places[0][order], "ear")


def _outline(turn: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """(forward, up) of a ring; turn 0 is in front, a quarter up."""
    cos, sin = np.cos(turn), np.sin(turn)
    lobe = np.clip(-sin, 0, 1)
    forward = WIDTH * cos * np.where(cos > 0, 0.78, 1.0) * (1 - 0.30 * lobe**3)
    up = HEIGHT * sin * np.where(sin > 0, 0.97, 0.93)
    return radius * forward + 0.03 * lobe * radius, radius * up


def _height(forward: np.ndarray, up: np.ndarray, radius: float, turn: np.ndarray) -> np.ndarray:
    """How far a place stands out from the side of the head."""
    cos, sin = np.cos(turn), np.sin(turn)
    lobe = np.clip(-sin - 0.45, 0, 1) / 0.55
    back = np.clip((1 - forward / WIDTH) / 2, 0, 1)
    out = 0.012 + STAND_OFF * back**1.2
    ridge = lambda at, wide: np.exp(-(((radius - at) / wide) ** 2))
    spot = lambda f, u, wide: np.exp(-((forward - f) ** 2 + (up - u) ** 2) / wide**2)
    front = np.clip(cos - 0.55, 0, 1) / 0.45 * (np.abs(sin) < 0.9)
    rim = (1 - np.clip(lobe * 1.3, 0, 1)) * (1 - 0.75 * front * (sin < 0.25))
    out += 0.050 * rim * ridge(0.93, 0.075)  # helix
    out -= 0.030 * rim * ridge(0.77, 0.075)  # scapha
    behind = np.clip((0.62 - cos) / 0.5, 0, 1) * np.clip((sin + 0.75) / 0.4, 0, 1)
    out += 0.050 * behind * ridge(0.58, 0.10)  # antihelix
    out -= 0.085 * spot(-0.005, -0.055, 0.105)  # concha
    out -= 0.030 * spot(0.02, 0.09, 0.075)  # cymba and triangular fossa
    along = np.clip((0.15 - forward) / 0.16, 0, 1)  # crus of the helix, from the front edge into the concha
    out += 0.040 * np.exp(-(((up - 0.055 + 0.06 * along) / 0.028) ** 2)) * np.clip(forward / 0.05 + 0.6, 0, 1)
    out += 0.058 * spot(0.125, -0.075, 0.048)  # tragus
    out += 0.040 * spot(0.010, -0.190, 0.050)  # antitragus
    out += 0.015 * spot(0.0, -0.28, 0.07)  # lobe
    return out
