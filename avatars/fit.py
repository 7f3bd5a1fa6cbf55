"""A person's face from landmarks: its neutral shape, and the ARKit weights, gaze and pose of each frame.

What the landmarks of a frame show, once the head's pose is taken out, is the neutral shape plus the fields of
`avatars.fields`: weights by non-negative least squares, in turns with the pose. Three things are measured rather than
fitted, because landmarks show them better than the least squares do: the closing of the lids from their opening, the
gaze from the irises, and how far the jaw's zero is off from the smallest gap between the lips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from avatars.facemesh import BROW_LEFT, BROW_RIGHT, LIPS_INNER, LIPS_OUTER, MEAN, MIRROR
from avatars.fields import LIP_LOWER, LIP_UPPER, LIPS_PRESSED, displace, fields, fields_for, lid_opening
from avatars.pose import FOCAL, Pose, fit_pose, to_head, to_pixels
from studio.arkit import ARKIT, INDEX
from studio.motion import LOOK_LIMIT

RIDGE = 0.004
"""Spread of the landmarks, eye spans, against which a weight must earn its place."""

DEPTH = 0.3
"""Trust in detected depth relative to x and y."""

LIPS_COUNT, BROWS_COUNT = 5.0, 4.0
"""How often landmarks of lips and brows count: they are few, and eyes go there."""

GAP_COUNTS = 20.0
"""How often the height of the gap between the lips counts."""

LARGEST = 1.2
"""Largest weight."""

EYEBALL = 0.135
"""Radius of the eyeball, eye spans (12 of 90 mm)."""

SHUT = 0.12
"""Opening that landmarks still show for closed lids, as a part of the open eye's."""

FREE = np.array([i for i, name in enumerate(ARKIT) if not name.startswith(("eyeBlink", "eyeLook", "tongue"))])
"""Shapes that least squares decide; the others are measured, and a tongue is not among the landmarks."""

EYES = (("Left", 473, (362, 263)), ("Right", 468, (133, 33)))
"""Side, landmark of the iris, inner and outer corner."""


@dataclass(frozen=True)
class Neutral:
    """A person's face at rest.

    shape  (468, 3) float32 eye spans, head's frame.
    lids   (2,) openings of the left and right eye, eye spans.
    iris   (2, 2) x, y of left and right iris from the middle of the eye's corners, eye spans, looking ahead.
    """

    shape: np.ndarray
    lids: np.ndarray
    iris: np.ndarray

    @classmethod
    def from_frames(cls, frames: Sequence[np.ndarray]) -> Neutral:
        """From many frames of one person, landmarks (478, 3) pixels each: the median of the calm ones, with the jaw
        as far closed as the smallest gap between the lips shows."""
        heads = [to_head(p, fit_pose(p)) for p in frames]
        for _ in range(2):
            calm = _calm(heads)
            shape = np.median([heads[i][:468] for i in calm], 0)
            heads = [to_head(p, fit_pose(p, shape)) for p in frames]
        stack = np.array([heads[i] for i in calm])
        shape = np.median(stack, 0)[:468].astype(np.float32)
        gaps = np.array([_gap(h) for h in heads])
        excess = _gap(shape) - np.percentile(gaps, 5)
        if excess > 0:
            shape = _close(shape, excess, fields_for(shape)[INDEX["jawOpen"]])[0]
        lids = np.array([[lid_opening(h, side) for side, _, _ in EYES] for h in stack])
        iris = np.array([_irises(h) for h in heads])
        return cls(_centred(shape), np.median(lids, 0), np.median(iris, 0))

    @classmethod
    def from_photo(cls, landmarks: np.ndarray) -> Neutral:
        """The best guess from one picture (478, 3) pixels, whatever expression it wears."""
        return fit_photo(landmarks)[0]


def fit_photo(landmarks: np.ndarray) -> tuple[Neutral, np.ndarray]:
    """A person's neutral face and the weights (52,) of a single picture, landmarks (478, 3) pixels.

    Generalised least squares: a person differs from the mean face smoothly and much the same on both sides, an
    expression in the ways of the fields. What the weights leave over belongs to the person.
    """
    inverse = _identity_precision()
    neutral, weights, table = MEAN.copy(), np.zeros(len(ARKIT), np.float32), fields()
    for turn in range(4):
        if turn in (1, 3):
            table = fields_for(neutral)
        shown = displace(neutral, weights, table)
        head = to_head(landmarks, fit_pose(landmarks, shown))
        weights[_LOOK] = _look_weights(_gaze(_irises(head), IRIS))
        # Eyes of one picture count as half closed only below what anybody's opening might be.
        usual = [0.7 * lid_opening(MEAN, side) for side, _, _ in EYES]
        weights[_BLINK] = [max(0.0, 1 - lid_opening(head, e[0]) / least) for e, least in zip(EYES, usual)]
        bent = displace(neutral, weights, table) - neutral - np.tensordot(weights[FREE], table[FREE], 1)
        wanted = head[:468] - MEAN - bent
        basis = table[FREE].astype(np.float64)
        gram, right = np.diag(_photo_ridge()), np.zeros(len(FREE))
        for axis, trust in enumerate((1.0, 1.0, DEPTH**2)):
            columns = trust * basis[:, :, axis] @ inverse
            gram += columns @ basis[:, :, axis].T
            right += columns @ wanted[:, axis]
        weights[FREE] = _bounded(gram, right)
        neutral = head[:468].copy()
        for _ in range(3):  # the neutral that these weights take to what is seen
            neutral += head[:468] - displace(neutral, weights, table)
        gap = _gap(neutral)
        excess = gap - np.clip(gap, -0.004, 0.004)  # everybody's lips meet at rest
        neutral, more = _close(neutral, excess, table[INDEX["jawOpen"]])
        weights[INDEX["jawOpen"]] = np.clip(weights[INDEX["jawOpen"]] + more, 0, LARGEST)
        neutral = _centred(neutral)
    lids = np.array([lid_opening(neutral, side) for side, _, _ in EYES])
    return Neutral(neutral, lids, IRIS.copy()), weights


class ExpressionFit:
    """Weights, gaze and pose of one person, frame by frame.

        fit = ExpressionFit(Neutral.from_frames(calm))
        weights, pose, residual = fit(landmarks)

    Frames may come in any order; consecutive ones are solved faster. About 2 ms each on one core.
    """

    def __init__(self, neutral: Neutral, *, rounds: int = 2, ridge: float = RIDGE) -> None:
        self.neutral = neutral
        self.fields = fields_for(neutral.shape)
        self.rounds = rounds
        trust = _trust()
        basis = (self.fields[FREE] * trust).reshape(len(FREE), -1)
        self._basis = basis * trust.ravel()
        gram = basis.astype(np.float64) @ basis.T
        gram[np.diag_indices(len(FREE))] += 468 * ridge**2 * np.where(np.isin(FREE, _WIDE), 0.3, 1.0)
        # The gap between the lips, which everybody looks at, counts on its own: lips should close when they do.
        self._gaps = np.array([_gap(field) for field in self.fields[FREE]], np.float64)
        self._gram = gram + GAP_COUNTS * np.outer(self._gaps, self._gaps)
        self._free = self.fields[FREE].reshape(len(FREE), -1)
        self._weights = np.zeros(len(ARKIT), np.float32)
        self._shown = neutral.shape

    def __call__(self, landmarks: np.ndarray, size: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, Pose, np.ndarray]:
        """Weights (52,) float32, pose, and the residual (468, 3) float32: what the weights miss, eye spans in the
        head's frame. landmarks (478, 3) pixels of a picture of `size`."""
        neutral, table = self.neutral.shape, self.fields
        weights, shown = self._weights, self._shown
        for turn in range(self.rounds):
            pose = fit_pose(landmarks, shown, size, rounds=3 if turn == 0 else 2)
            head = to_head(landmarks, pose)
            if turn == 0:
                self._lids(weights, head, _gaze(_irises(head), self.neutral.iris))
                shown = displace(neutral, weights, table)
            # What displace does beyond adding fields up is taken as of the last round.
            linear = weights[FREE] @ self._free
            right = self._basis @ (head[:468] - shown).ravel() + self._basis @ linear
            right += GAP_COUNTS * (_gap(head) - _gap(shown) + weights[FREE] @ self._gaps) * self._gaps
            weights[FREE] = np.minimum(nnls(self._gram, right, weights[FREE] > 0), LARGEST)
            # Lips that don't part can't be brought together: beyond that the shape is idle and would stay for ever.
            weights[_CLOSE] = min(weights[_CLOSE], weights[_JAW] + LIPS_PRESSED)
            shown = displace(neutral, weights, table)
        self._shown = shown
        return weights.copy(), pose, head[:468] - shown

    def _lids(self, weights: np.ndarray, head: np.ndarray, gaze: np.ndarray) -> None:
        """Sets blinks from the lids' opening and looks from the irises."""
        opening = np.array([lid_opening(head, side) for side, _, _ in EYES]) / self.neutral.lids
        sure = np.clip((opening.max() - 0.3) / 0.4, 0, 1)  # the iris of an eye that closes is a guess
        weights[_LOOK] = _look_weights(gaze * sure)
        for i, (side, _, _) in enumerate(EYES):
            lowered = 1 - _LOOK_DOWN_CLOSES * weights[INDEX[f"eyeLookDown{side}"]]
            weights[_BLINK[i]] = np.clip((lowered - opening[i]) / (lowered - SHUT), 0, 1)


def nnls(gram: np.ndarray, right: np.ndarray, active: np.ndarray | None = None) -> np.ndarray:
    """x >= 0 that minimises x' gram x / 2 - right' x; gram (N, N) positive definite.

    Block principal pivoting (Kim and Park 2011), started from the given active set.
    """
    n = len(right)
    inside = np.zeros(n, bool) if active is None else active.copy()
    patience, fewest = 3, n + 1
    x, y = np.zeros(n), -right
    for _ in range(5 * n):
        x[:] = 0
        if inside.any():
            rows = np.flatnonzero(inside)
            x[rows] = np.linalg.solve(gram[np.ix_(rows, rows)], right[rows])
        y = gram @ x - right
        y[inside] = 0
        wrong = (inside & (x < 0)) | (~inside & (y < -1e-9))
        count = int(wrong.sum())
        if count == 0:
            break
        if count < fewest:
            fewest, patience = count, 3
        elif patience:
            patience -= 1
        else:  # exchanging all at once runs in circles: one at a time does not
            last = np.flatnonzero(wrong)[-1]
            wrong[:] = False
            wrong[last] = True
        inside ^= wrong
    return np.maximum(x, 0)


def _bounded(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    """As `nnls`, with no weight above `LARGEST`: what exceeds it stays there, and the others make up for it."""
    x, full = np.zeros(len(right)), np.zeros(len(right), bool)
    for _ in range(4):
        rest = np.flatnonzero(~full)
        x[full] = LARGEST
        x[rest] = nnls(gram[np.ix_(rest, rest)], (right - gram @ (LARGEST * full))[rest])
        if not (x > LARGEST).any():
            break
        full |= x > LARGEST
    return np.minimum(x, LARGEST)


_JAW, _CLOSE = INDEX["jawOpen"], INDEX["mouthClose"]
_BLINK = np.array([INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]])
_WIDE = np.array([INDEX["eyeWideLeft"], INDEX["eyeWideRight"]])
"""Moves few points by little: the common ridge would hide it."""

_LOOK = np.array([i for i, name in enumerate(ARKIT) if name.startswith("eyeLook")])
_LOOK_DOWN_CLOSES = 0.5
"""How much of the opening the lids lose in a full look down."""

IRIS = np.array([[0.010, 0.018], [-0.010, 0.018]])
"""Where irises of people who look ahead are, as `Neutral.iris`: the median of portraits and talking people."""

_SHY = {
    # what a single picture may hold of each shape before it is taken for the person's own features
    "jaw": 0.06,
    "mouthLeft": 0.15,
    "mouthRight": 0.15,
    "cheekPuff": 0.1,
    "mouthClose": 0.05,
    "mouthRoll": 0.15,
    "mouthShrug": 0.15,
    "mouthPress": 0.15,
    "mouthPucker": 0.25,
    "mouthFunnel": 0.25,
    "jawOpen": 0.5,
    "mouthSmile": 0.5,
}


@lru_cache(maxsize=1)
def _trust() -> np.ndarray:
    """(468, 3) how much each coordinate of each landmark counts, square roots."""
    out = np.ones((468, 3), np.float32)
    out[np.concatenate([LIPS_OUTER, LIPS_INNER])] *= LIPS_COUNT**0.5
    out[np.concatenate([BROW_LEFT, BROW_RIGHT])] *= BROWS_COUNT**0.5
    out *= [1, 1, DEPTH]
    return out


def _gap(head: np.ndarray) -> float:
    """Height of the gap between the lips, eye spans."""
    return float(np.mean(head[LIP_UPPER[3:6], 1] - head[LIP_LOWER[3:6], 1]))


def _close(shape: np.ndarray, excess: float, field: np.ndarray) -> tuple[np.ndarray, float]:
    """The shape with its lips closer by `excess`, moved along the jaw's field, and how much of the field that took."""
    weight = excess / max(_gap(shape + field) - _gap(shape), 1e-3)
    return shape - weight * field, weight


def _calm(heads: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of the frames with a closed mouth and open eyes."""
    lids = np.array([np.mean([lid_opening(h, side) for side, _, _ in EYES]) for h in heads])
    opened = lids > 0.75 * np.percentile(lids, 80)
    typical = np.median(np.array([h[:468] for h in heads])[opened], 0)
    lips = np.unique(np.concatenate([LIP_UPPER, LIP_LOWER, [61, 291, 0, 17, 152]]))
    unrest = np.array([_gap(h) + 0.3 * np.abs(h[lips, :2] - typical[lips, :2]).mean() for h in heads])
    unrest[~opened] = np.inf
    return np.argsort(unrest)[: max(1, int(np.ceil(opened.sum() / 4)))]


def _irises(head: np.ndarray) -> np.ndarray:
    """(2, 2) x, y of the left and right iris from the middle of the eye's corners, eye spans."""
    return np.array([(head[iris] - (head[a] + head[b]) / 2)[:2] for _, iris, (a, b) in EYES])


def _gaze(irises: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """(2,) radians, yaw and pitch that both eyes share."""
    shift = np.clip((irises - rest).mean(0) / EYEBALL, -0.8, 0.8)
    return np.array([np.arcsin(shift[0]), -np.arcsin(shift[1])])


def _look_weights(gaze: np.ndarray) -> np.ndarray:
    """The eyeLook weights, in the order of `_LOOK`, of a gaze that both eyes share; as `FaceMotion.with_gaze`."""
    out = []
    for i in _LOOK:
        left = ARKIT[i].endswith("Left")
        direction = ARKIT[i][7:].removesuffix("Left").removesuffix("Right")
        outward = gaze[0] if left else -gaze[0]
        value = {"Out": outward, "In": -outward, "Down": gaze[1], "Up": -gaze[1]}[direction]
        out.append(max(0.0, value) / LOOK_LIMIT[direction])
    return np.minimum(np.array(out, np.float32), 1.0)


def _centred(shape: np.ndarray) -> np.ndarray:
    """The shape moved and scaled so that its outer eye corners lie as the frame says."""
    span = np.linalg.norm(shape[263] - shape[33])
    return ((shape - (shape[33] + shape[263]) / 2) / span).astype(np.float32)


@lru_cache(maxsize=1)
def _photo_ridge() -> np.ndarray:
    """What each of the `FREE` shapes costs in a single picture."""
    out = np.empty(len(FREE))
    for k, i in enumerate(FREE):
        fits = [key for key in _SHY if ARKIT[i].startswith(key)]
        out[k] = 1 / _SHY.get(max(fits, key=len), 0.35) ** 2 if fits else 1 / 0.35**2
    return out


@lru_cache(maxsize=1)
def _identity_precision() -> np.ndarray:
    """(468, 468) inverse covariance of how a person's coordinate differs from the mean face's: smooth over a third
    of an eye span, .04 eye spans large, nine tenths of it symmetric, and .008 of its own at each point."""
    apart = np.linalg.norm(MEAN[:, None] - MEAN[None], axis=2)
    smooth = np.exp(-0.5 * (apart / 0.35) ** 2)
    smooth = 0.9 * (smooth + smooth[:, MIRROR]) / 2 + 0.1 * smooth
    covariance = 0.04**2 * smooth + 0.008**2 * np.eye(len(MEAN))
    return np.linalg.inv(covariance)


__all__ = ["FOCAL", "ExpressionFit", "Neutral", "Pose", "fit_photo", "fit_pose", "nnls", "to_head", "to_pixels"]
