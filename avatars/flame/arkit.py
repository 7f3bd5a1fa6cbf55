"""FLAME's expression, jaw and eyelids as ARKit's 52 shapes, and back.

FLAME ships no ARKit shapes. Those of another head are carried to its mesh (`avatars.transfer`); then the coefficients
that move FLAME most like each of them are fitted (ridge least squares, the jaw by Gauss-Newton steps). Both ways are
linear; the way back keeps weights within 0..1. How much of each shape FLAME can't say is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from avatars.flame.asset import IDENTITY, FlameAsset
from avatars.flame.correspondence import eyeballs, facemesh_landmarks
from avatars.flame.numpy_layer import axis_angle_matrices, flame_vertices
from studio.arkit import ARKIT
from studio.errors import UsageError
from studio.motion import FaceMotion, rotation_angles, rotation_matrix

if TYPE_CHECKING:
    from avatars.flame.codes import FlameCodes
    from avatars.rig import Rig

RIDGE = 2e-5
"""Metres (root mean square over what a shape moves) that a standard deviation of a coefficient must be worth."""

_DAMPING = 1e-3  # of weights that shapes alike would share at will
_PRICE = 0.01  # of the whole motion, that a shape must be worth: few are chosen rather than many (Tibshirani 1996)
_STEP = 0.05  # radians, for the jaw's derivative
_ROUNDS = 3
_CLOSING = ("eyeBlink", "eyeSquint", "eyeLookDown")
_UNSEEN = np.array([name.startswith("eyeLook") or name == "tongueOut" for name in ARKIT])
"""Shapes that coefficients don't tell: gaze is the eyeballs', and FLAME has no tongue."""


@dataclass(frozen=True)
class ArkitMap:
    """coefficients  (52, E + 5): of each shape at weight 1: expression (E, standard deviations), jaw (3, axis-angle in
                  radians), eyelids (2, left and right).
    deltas        (52, V, 3) float32 metres: what FLAME does with them.
    error         (52,): root mean square of what FLAME misses over that of the shape; 0 says all, 1 nothing. NaN for a
                  shape that the other head hasn't.
    metric        (E + 5, E + 5): how far coefficients move the skin, in squared metres.
    """

    coefficients: np.ndarray
    deltas: np.ndarray
    error: np.ndarray
    metric: np.ndarray = field(repr=False)

    @property
    def expressions(self) -> int:
        """E."""
        return self.coefficients.shape[1] - 5

    def on(self, person: FlameAsset) -> ArkitMap:
        """The same coefficients, with what they move on another person's head (`person_of`)."""
        rest = _moved(person, np.zeros((1, self.coefficients.shape[1])))[0]
        return replace(self, deltas=(_moved(person, self.coefficients) - rest).astype(np.float32))

    def to_flame(self, motion: FaceMotion) -> dict[str, np.ndarray]:
        """A motion as arguments of `Flame` (float32, T frames): expression, jaw, eyelids, neck (the head's turn, which
        FLAME makes in the neck) and eyes, from the gaze.
        """
        whole = motion.weights @ self.coefficients.astype(np.float32)
        expression, jaw, eyelids = np.split(whole, [self.expressions, self.expressions + 3], 1)
        turns = np.array([rotation_matrix(*angles) for angles in motion.head[:, :3].astype(np.float64)])
        looks = [rotation_matrix(yaw, pitch, 0.0) for eyes in motion.gaze for yaw, pitch in eyes[:, :2]]
        eyes = _axis_angles(np.array(looks).reshape(-1, 3, 3)).reshape(-1, 6)
        neck = _axis_angles(turns.reshape(-1, 3, 3))
        return {
            "expression": expression,
            "jaw": jaw,
            "eyelids": np.clip(eyelids, 0, 1),
            "neck": neck.astype(np.float32),
            "eyes": eyes.astype(np.float32),
        }

    def weights_of(self, expression: np.ndarray, jaw: np.ndarray, eyelids: np.ndarray | None = None) -> np.ndarray:
        """(T, 52) float32 ARKit weights, 0..1, that move the skin most like coefficients: expression (T, up to E), jaw
        (T, 3), eyelids (T, 2) or None. Sums of four shapes of ICT-FaceKit's come back .012 off in the mean,
        correlated by .97, where the map knows the embedded head's alone (tests/benchmarks/flame_arkit.py). Gaze and
        tongue stay 0; lids that follow a gaze down count as closing.
        """
        given = np.zeros((len(expression), self.coefficients.shape[1]))
        if expression.ndim != 2 or expression.shape[1] > self.expressions or jaw.shape != (len(expression), 3):
            raise UsageError(
                f"expression {expression.shape}, jaw {jaw.shape}: (T, up to {self.expressions}), (T, 3) expected"
            )
        given[:, : expression.shape[1]] = expression
        given[:, self.expressions : self.expressions + 3] = jaw
        if eyelids is not None:
            given[:, self.expressions + 3 :] = eyelids
        moving = self.coefficients * ~_UNSEEN[:, None]
        normal = moving @ self.metric @ moving.T
        size = np.sqrt(np.einsum("ti,ij,tj->t", given, self.metric, given).clip(0))
        price = _PRICE * size[:, None] * np.sqrt(np.diag(normal))
        normal[np.diag_indices_from(normal)] *= 1 + _DAMPING
        weights = bounded(normal, given @ self.metric @ moving.T - price)
        weights[:, ~np.any(moving, axis=1)] = 0
        return weights.astype(np.float32)

    def to_motion(
        self, codes: FlameCodes, fps: Fraction | int, *, head: np.ndarray | None = None, start: int = 0
    ) -> FaceMotion:
        """What an encoder saw, frame by frame, as a motion.

        The head's angles are the codes'; its place (T, 3 or 6; metres) is taken from `head`, a tracker's, whose last
        three columns count, and is 0 without it.
        """
        codes = codes.detach()
        arrays = [codes.expression, codes.jaw, codes.eyelids]
        weights = self.weights_of(*(None if value is None else value.numpy() for value in arrays))  # type: ignore[arg-type]
        turns = axis_angle_matrices(codes.rotation.double().numpy())
        pose = np.zeros((len(weights), 6), np.float32)
        pose[:, :3] = [rotation_angles(turn) for turn in turns] or np.zeros((0, 3))
        if head is not None:
            pose[:, 3:] = np.asarray(head)[:, -3:]
        return FaceMotion(weights, Fraction(fps), head=pose, start=start)


def fit_arkit(asset: FlameAsset, *, expressions: int = 100, source: Rig | None = None) -> ArkitMap:
    """The map, fitted on the mean head: FLAME's expressions are the same for everybody.

    source  the head whose ARKit shapes are carried over; the embedded one by default. Takes about two seconds.

    Raises UsageError for an asset without landmarks or with fewer expressions.
    """
    from avatars.transfer import transfer_shapes

    if source is None:
        from avatars.head import embedded_head

        source = embedded_head()
    points, numbers = facemesh_landmarks(asset)
    wanted = transfer_shapes(source, asset.template, asset.faces, points, numbers).astype(np.float64)
    return fitted(asset, wanted, expressions)


def fitted(person: FlameAsset, wanted: np.ndarray, expressions: int = 100) -> ArkitMap:
    """The map to shapes (52, V, 3), metres, that are known on FLAME's own mesh. Eyeballs don't count."""
    if not 0 < expressions <= person.shapedirs.shape[2] - IDENTITY:
        raise UsageError(f"{expressions} expressions: this FLAME has {person.shapedirs.shape[2] - IDENTITY}")
    skin = ~eyeballs(person)
    target = wanted[:, skin]
    rest = _moved(person, np.zeros((1, expressions + 5)))[0]
    basis = _basis(person, expressions)[:, skin]
    moving = np.linalg.norm(target, axis=2).max(0) > 1e-4
    ridge = np.r_[np.full(expressions, moving.sum() * RIDGE**2), np.full(5, 1e-9)]
    flat = basis.reshape(len(basis), -1)
    metric, pull = flat @ flat.T, target.reshape(len(target), -1) @ flat.T
    found = np.zeros((len(target), len(basis)))
    used = _allowed(expressions)
    for k in range(len(found)):
        found[k] = _ridge(metric, ridge, pull[k], used[k])
        if (found[k, -2:] < 0).any():  # lids close, they don't open
            used[k, -2:] = False
            found[k] = _ridge(metric, ridge, pull[k], used[k])
    turning = np.flatnonzero(np.abs(found[:, expressions : expressions + 3]).max(1) > _STEP)
    for _ in range(_ROUNDS if len(turning) else 0):  # the jaw turns: its derivative is another one where it is open
        here = found[turning]
        reached = (_moved(person, here) - rest)[:, skin]
        left = (target[turning] - reached).reshape(len(here), -1)
        slopes = []
        for axis in range(3):
            ahead = here.copy()
            ahead[:, expressions + axis] += _STEP
            slopes.append((((_moved(person, ahead) - rest)[:, skin] - reached) / _STEP).reshape(len(here), -1))
        for i, k in enumerate(turning):
            own = flat.copy()
            own[expressions : expressions + 3] = [slope[i] for slope in slopes]
            found[k] += _ridge(own @ own.T, ridge, own @ left[i] - ridge * found[k], used[k])
    found[~target.any((1, 2))] = 0
    deltas = _moved(person, found) - rest
    size = np.sqrt((target**2).sum((1, 2)))
    missed = np.sqrt(((deltas[:, skin] - target) ** 2).sum((1, 2)))
    error = np.divide(missed, size, out=np.full(len(size), np.nan), where=size > 0)
    return ArkitMap(found, deltas.astype(np.float32), error, metric)


def bounded(normal: np.ndarray, pull: np.ndarray, rounds: int = 300) -> np.ndarray:
    """(T, N) within 0..1 that minimise w normal w / 2 - pull w, for normal (N, N) and pull (T, N).

    Accelerated projected gradient (Nesterov 1983; Beck and Teboulle 2009).
    """
    size = np.sqrt(np.where(np.diag(normal) > 0, np.diag(normal), 1))  # so that shapes that move little converge too
    normal, pull = normal / size / size[:, None], pull / size
    step = 1 / max(float(np.linalg.eigvalsh(normal)[-1]), 1e-30)
    out = ahead = np.zeros_like(pull)
    speed = 1.0
    for _ in range(rounds):
        before, out = out, np.clip(ahead - step * (ahead @ normal - pull), 0, size)
        faster = (1 + np.sqrt(1 + 4 * speed**2)) / 2
        ahead, speed = out + (speed - 1) / faster * (out - before), faster
    return out / size


def _ridge(normal: np.ndarray, ridge: np.ndarray, pull: np.ndarray, used: np.ndarray) -> np.ndarray:
    """(N,) ridge least squares over the used coefficients; the others are 0."""
    out = np.zeros(len(pull))
    out[used] = np.linalg.solve(normal[np.ix_(used, used)] + np.diag(ridge[used]), pull[used])
    return out


def _allowed(expressions: int) -> np.ndarray:
    """(52, E + 5) bool: which coefficients a shape may use. The jaw is for jaw and mouth; a lid for what closes it."""
    out = np.zeros((len(ARKIT), expressions + 5), bool)
    out[:, :expressions] = True
    for k, name in enumerate(ARKIT):
        out[k, expressions : expressions + 3] = name.startswith(("jaw", "mouth"))
        if name.startswith(_CLOSING):
            out[k, -2 + name.endswith("Right")] = True
    return out


def _moved(person: FlameAsset, coefficients: np.ndarray) -> np.ndarray:
    """(N, V, 3) vertices of coefficients (N, E + 5)."""
    expressions = coefficients.shape[1] - 5
    pose = np.zeros((len(coefficients), 15))
    pose[:, 6:9] = coefficients[:, expressions : expressions + 3]
    lids = coefficients[:, expressions + 3 :] if person.eyelids is not None else None
    return flame_vertices(person, np.zeros((len(pose), 0)), coefficients[:, :expressions], pose, lids)[0]


def _basis(person: FlameAsset, expressions: int) -> np.ndarray:
    """(E + 5, V, 3): what each coefficient moves at rest."""
    jaw = np.zeros((6, expressions + 5))
    for axis in range(3):
        jaw[2 * axis : 2 * axis + 2, expressions + axis] = (_STEP, -_STEP)
    turned = _moved(person, jaw)
    lids = person.eyelids if person.eyelids is not None else np.zeros((2, *person.template.shape))
    columns = person.shapedirs[:, :, IDENTITY : IDENTITY + expressions].transpose(2, 0, 1)
    return np.concatenate([columns, (turned[::2] - turned[1::2]) / (2 * _STEP), lids])


def _axis_angles(turns: np.ndarray) -> np.ndarray:
    """(N, 3, 3) -> (N, 3) axis-angle, radians, for turns of less than half a circle."""
    axis = np.stack(
        [turns[:, 2, 1] - turns[:, 1, 2], turns[:, 0, 2] - turns[:, 2, 0], turns[:, 1, 0] - turns[:, 0, 1]], 1
    )
    sine = np.linalg.norm(axis, axis=1) / 2
    angle = np.arctan2(sine, (np.trace(turns, axis1=1, axis2=2) - 1) / 2)
    return axis / 2 * (angle / np.maximum(sine, 1e-12))[:, None]
