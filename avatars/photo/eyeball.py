"""What one eye of a photo is made of: eyeball without iris, iris without what hides it, lid skin, lashes.

Everything is measured in the eye's local frame: x along the line of its corners (picture left to right),
y down, in eye widths, origin midway between the corners.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from avatars.facemesh import EYE_RIGHT, MIRROR

SPAN = 0.85
"""Half width of what is kept round an eye, eye widths."""
RISE, DROP = 0.75, 0.45
"""How far it reaches up and down."""

# Left to right in the picture for the right eye; the left eye has their mirror points, reversed.
_UPPER = np.r_[EYE_RIGHT[0], EYE_RIGHT[:7:-1]]
_LOWER = EYE_RIGHT[:9]
_ABOVE = np.array([130, 247, 30, 29, 27, 28, 56, 190, 243])
_BROW = np.array([46, 53, 52, 65, 55])


@dataclass(frozen=True)
class Rim:
    """Landmark numbers round one eye, each row from picture left to right."""

    upper: np.ndarray
    lower: np.ndarray
    above: np.ndarray
    brow: np.ndarray
    iris: np.ndarray

    @cached_property
    def around(self) -> np.ndarray:
        return np.r_[self.upper, self.lower[1:-1], self.above]

    @cached_property
    def lids(self) -> np.ndarray:
        return np.r_[self.upper, self.lower]


def _mirrored(points: np.ndarray) -> np.ndarray:
    return MIRROR[points][::-1]


RIM_RIGHT = Rim(_UPPER, _LOWER, _ABOVE, _BROW, np.arange(468, 473))
RIM_LEFT = Rim(_mirrored(_UPPER), _mirrored(_LOWER), _mirrored(_ABOVE), _mirrored(_BROW), np.arange(473, 478))


@dataclass(frozen=True)
class Patch:
    """The photo round one eye, resampled into the local frame.

    colour (h, w, 3) f32 0..255; to_plate (2, 3) local -> pixel of the patch; x, y (h, w) local coordinates;
    scale: pixels per eye width; zoom: patch pixels per photo pixel.
    """

    colour: np.ndarray
    to_plate: np.ndarray
    x: np.ndarray
    y: np.ndarray
    scale: float
    zoom: float


@dataclass(frozen=True)
class Eyeball:
    """Plates and figures of one eye; local frame.

    ball (h, w, 3), iris (h, w, 8) as `eye_shader.shade` wants them; centre (2,), radius: the iris in the photo;
    turn: how far the iris moves for a turn of one radian; gaze (2,) where it looks in the photo, radians;
    shadow, reach: the upper lid's shadow 1 - shadow * exp(-depth / reach); seen: 0 blank or shut .. 1 plain.
    """

    ball: np.ndarray
    iris: np.ndarray
    centre: np.ndarray
    radius: float
    turn: float
    gaze: np.ndarray
    shadow: float
    reach: float
    seen: float


def local_frame(points: np.ndarray, rim: Rim) -> tuple[np.ndarray, float]:
    """(2, 3) map of picture pixels to local coordinates, and the eye's width in pixels."""
    a, b = points[rim.upper[0], :2].astype(np.float64), points[rim.upper[-1], :2].astype(np.float64)
    width = max(float(np.hypot(*(b - a))), 1e-3)
    axis = (b - a) / width
    turn = np.array([[axis[0], axis[1]], [-axis[1], axis[0]]]) / width
    return np.hstack([turn, (-turn @ ((a + b) / 2))[:, None]]), width


def cut(image: np.ndarray, to_local: np.ndarray, width: float) -> Patch:
    """Resample the photo round an eye. Small eyes are enlarged so that a disc has an edge."""
    import cv2

    scale = float(np.clip(width, 160, 640))
    size = int(2 * SPAN * scale), int((RISE + DROP) * scale)
    to_plate = np.array([[scale, 0, SPAN * scale - 0.5], [0, scale, RISE * scale - 0.5]])
    inverse = cv2.invertAffineTransform(to_local)
    back = np.linalg.inv(np.vstack([to_plate, [0, 0, 1]]))
    to_photo = np.vstack([inverse, [0, 0, 1]]) @ back
    # INTER_AREA does not exist for warps: shrink a huge eye first
    colour = cv2.warpAffine(
        image, to_photo[:2], size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    x = (np.arange(size[0]) + 0.5) / scale - SPAN
    y = (np.arange(size[1]) + 0.5) / scale - RISE
    x, y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return Patch(colour.astype(np.float32), to_plate, x, y, scale, scale / width)


def luminance(colour: np.ndarray) -> np.ndarray:
    return colour @ np.array([0.3, 0.59, 0.11], np.float32)


def fill(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Spread known colours smoothly over unknown places (push-pull pyramid).

    colour (h, w, c), weight (h, w) 0..1. Returns (h, w, c): as colour where weight is 1.
    """
    import cv2

    weight = np.where(weight < 0.01, 0, weight).astype(np.float32)
    levels = [(colour * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        c, w = levels[-1]
        c, w = cv2.pyrDown(c), cv2.pyrDown(w)
        more = np.minimum(w * 4, 1) / np.maximum(w, 1e-4)
        levels.append((c * more[..., None], w * more))
    c, w = levels[-1]
    out = c / np.maximum(w, 1e-6)[..., None]
    for c, w in levels[-2::-1]:
        up = cv2.resize(out, (c.shape[1], c.shape[0]), interpolation=cv2.INTER_LINEAR)
        out = c + (1 - w[..., None]) * up.reshape(c.shape)
    return out


def smoothstep(t: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    t = np.clip((t - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def find_iris(
    patch: Patch, guess: np.ndarray, radius: float, upper: np.ndarray, lower: np.ndarray, trust: float = 1.0
) -> tuple[np.ndarray, float, float]:
    """Refine the iris circle: where brightness grows most from inside to outside along its visible arcs.

    upper, lower (w,): the lids' edges, local y per patch column. Returns centre (2,), radius, and the edge's
    contrast on its weaker side (0..50). trust: in the guess; below 1 the search goes farther.
    """
    import cv2

    lum = cv2.GaussianBlur(luminance(patch.colour), (0, 0), max(0.02 * patch.scale, 0.5 * patch.zoom))
    angles = np.concatenate([np.linspace(-0.9, 0.9, 15), np.pi + np.linspace(-0.9, 0.9, 15)])
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    shifts = np.linspace(-0.3, 0.3, 1 + 2 * round(3 / trust)) * radius / trust
    grid = np.array([(dx, dy) for dx in shifts for dy in shifts * 0.6])
    tried = []
    for k in np.linspace(0.8, 1.4, 13):
        r = radius * k
        rings = []
        for factor in (0.9, 1.1):
            p = guess + grid[:, None, :] + around[None] * r * factor
            u = (p @ patch.to_plate[:, :2].T + patch.to_plate[:, 2]).astype(np.float32)
            value = cv2.remap(lum, u[..., 0], u[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            column = np.clip(u[..., 0].astype(int), 0, len(upper) - 1)
            seen = (p[..., 1] > upper[column] + 0.05) & (p[..., 1] < lower[column] - 0.02)
            rings.append((value, seen))
        both = rings[0][1] & rings[1][1]
        step = np.clip(rings[1][0] - rings[0][0], -50, 50) * both
        left, right = (step[:, part].sum(1) / (both[:, part].sum(1) + 0.5) for part in (slice(15, None), slice(0, 15)))
        moved = (grid**2).sum(1) / radius**2
        score = left + right + 0.5 * np.minimum(left, right) - trust**2 * (50 * moved + 120 * (k - 1) ** 2)
        # where the guess is poor, the pupil's edge may pass for the iris's: outside that it isn't white
        score += (1 - trust) * (rings[1][0] * both).sum(1) / (both.sum(1) + 0.5)
        tried.append(np.c_[score, guess + grid, np.full(len(grid), r), np.minimum(left, right)])
    tried = np.concatenate(tried)
    weight = np.exp((tried[:, 0] - tried[:, 0].max()) / 2)  # near ties meet in the middle
    found = weight @ tried[:, 1:] / weight.sum()
    return found[:2], float(found[2]), float(found[3])


def iris_evidence(
    patch: Patch, centre: np.ndarray, radius: float, edge: float, upper: np.ndarray, lower: np.ndarray
) -> float:
    """How plainly an iris shows: about 0 on blank eyes, over 0.2 on painted ones. `edge`: as `find_iris` measured."""
    lum = luminance(patch.colour)
    rho = np.hypot(patch.x - centre[0], patch.y - centre[1]) / radius
    inside = (patch.y - upper > 0.05) & (lower - patch.y > 0.03)
    outer, middle = inside & (rho > 1.15) & (rho < 1.5), inside & (rho > 0.5) & (rho < 0.85)
    core = inside & (rho < 0.35)
    if min(outer.sum(), middle.sum(), core.sum()) < 20:
        return 0.0
    white = max(float(np.median(lum[outer])), 1.0)
    return edge / white + float(np.clip((np.median(lum[middle]) - np.median(lum[core])) / white, 0, 0.12))


def analyse(
    patch: Patch,
    centre: np.ndarray,
    radius: float,
    upper: np.ndarray,
    lower: np.ndarray,
    depth_scale: float,
    seen: float,
) -> Eyeball:
    """Take the eyeball of a patch apart.

    centre, radius: the iris; upper, lower (w,): the lids' edges (local y per patch column); depth_scale: true
    eye width over its width in the picture (> 1 for an eye seen from the side); seen: how far there is an iris to move.
    """
    colour, x, y = patch.colour, patch.x, patch.y
    lum = luminance(colour)
    below, above = y - upper[None], lower[None] - y
    rho = np.hypot(x - centre[0], y - centre[1]) / radius
    inside = smoothstep(below, 0.0, 0.03) * smoothstep(above, 0.0, 0.03)

    white = inside * (rho > 1.15) * (below > 0.05) * (np.abs(x) < 0.46)
    skin = np.median(colour[(y < -0.25) & (np.abs(x) < 0.4)], axis=0)
    typical = 0.35 * skin + 0.65 * luminance(skin)
    if (white > 0.5).sum() > 20:
        white = white * smoothstep(lum / max(float(np.quantile(lum[white > 0.5], 0.7)), 1.0), 0.45, 0.75)
        if (white > 0.5).sum() > 20:
            typical = np.median(colour[white > 0.5], axis=0)
    shadow, reach = lid_shadow(lum, white, below), 0.09
    shade = 1 - shadow * np.exp(-np.maximum(below, 0) / reach)
    plain = colour / shade[..., None]
    known = np.clip(white, 0, 1)
    far = np.hypot(x, y) > 0.7  # the pyramid needs something to hold on to where no white is seen
    spread = fill(np.where(far[..., None], typical, plain), np.maximum(known, 0.05 * far))
    trust = np.clip(known.sum() / (0.03 * patch.scale**2), 0, 1)
    ball = known[..., None] * plain + (1 - known[..., None]) * (trust * spread + (1 - trust) * typical)
    # what is seen beside the iris stays as it is (lashes are the lids'), and so does all of a blank eye
    level = max(float(luminance(typical)), 1.0)
    slit = smoothstep(below, 0.03, 0.06) * smoothstep(above, -0.05, -0.01)
    still = slit * smoothstep(rho, 1.15, 1.3) * smoothstep(lum / level, 0.08, 0.2)
    still = np.maximum(still, (1 - seen) * inside)
    ball = ball + still[..., None] * (plain - ball)

    disc = inside * smoothstep(below, 0.04, 0.07) * smoothstep(above, 0.04, 0.07)
    wet = inside * smoothstep(below, 0.0, 0.02) * smoothstep(above, 0.06, 0.09)  # the lower lid's edge glints too
    plate, light = iris_plate(plain, rho, disc, wet, x - centre[0], y - centre[1], patch)
    coverage = (1 - smoothstep(rho, 1.0, 1.15)) * seen
    iris = np.dstack([plate, coverage, light * seen, np.zeros_like(lum)]).astype(np.float32)
    turn = float(np.clip(1.75 * radius, 0.24 * depth_scale, 0.42 * depth_scale))
    gaze = np.clip((centre - [0, -0.02]) / turn, -0.5, 0.5)
    return Eyeball(
        np.ascontiguousarray(ball, np.float32),
        np.ascontiguousarray(iris),
        centre,
        radius,
        turn,
        gaze,
        shadow,
        reach,
        seen,
    )


def borrowed(patch: Patch, centre: np.ndarray, source: Eyeball, at: Patch) -> Eyeball:
    """An eyeball for a shut eye: its open neighbour's (in patch `at`), mirrored."""
    import cv2

    def taken(plate: np.ndarray, shift: np.ndarray) -> np.ndarray:
        u = (shift[0] - patch.x) * at.scale + at.to_plate[0, 2]
        v = (patch.y + shift[1]) * at.scale + at.to_plate[1, 2]
        u, v = u.astype(np.float32), v.astype(np.float32)
        return cv2.remap(plate, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    shift = np.array([source.centre[0] + centre[0], source.centre[1] - centre[1]])
    iris = np.dstack([taken(source.iris[..., :4], shift), taken(source.iris[..., 4:], shift)])
    gaze = source.gaze * [-1, 1]
    return replace(
        source,
        ball=np.ascontiguousarray(taken(source.ball, np.zeros(2))),
        iris=np.ascontiguousarray(iris),
        centre=centre,
        gaze=gaze,
    )


def lid_shadow(lum: np.ndarray, white: np.ndarray, below: np.ndarray) -> float:
    """Strength of the upper lid's shadow on the white of the eye."""
    near, far = (white > 0.5) & (below < 0.1), (white > 0.5) & (below > 0.16)
    if near.sum() < 30 or far.sum() < 30:
        return 0.25
    ratio = float(np.median(lum[near]) / max(np.median(lum[far]), 1))
    return float(np.clip((1 - ratio) / 0.42, 0.1, 0.45))


def iris_plate(
    plain: np.ndarray, rho: np.ndarray, disc: np.ndarray, wet: np.ndarray, dx: np.ndarray, dy: np.ndarray, patch: Patch
) -> tuple[np.ndarray, np.ndarray]:
    """The whole iris (h, w, 3), hidden parts and catch-lights replaced, and the catch-lights (h, w, 3) alone.

    rho (h, w): distance from its centre, radii; disc, wet (h, w) 0..1: where the iris is plainly seen, and where
    catch-lights may lie; dx, dy: local distance from its centre.
    """
    import cv2

    edges = np.linspace(0, 1.25, 26)
    number = np.clip((rho / 0.05).astype(int), 0, 24)
    lum = luminance(plain)
    profile = np.zeros((25, 3), np.float32)
    have = np.zeros(25)
    spread = np.zeros(25)
    for k in range(25):
        where = (number == k) & (disc > 0.5)
        if where.sum() >= 4:
            dark = where & (lum <= np.quantile(lum[where], 0.7))
            profile[k] = np.median(plain[dark], axis=0)
            have[k] = 1
            spread[k] = np.median(np.abs(lum[where] - luminance(profile[k])))
    if not have.any():
        blank = np.broadcast_to(np.float32(60), plain.shape).copy()
        return blank, np.zeros_like(plain)
    middle = (edges[:-1] + edges[1:]) / 2
    known = have > 0
    for c in range(3):
        profile[:, c] = np.interp(middle, middle[known], profile[known, c])
        profile[:, c] = np.convolve(np.pad(profile[:, c], 1, "edge"), [0.25, 0.5, 0.25], "valid")
    t = np.clip(rho / 0.05 - 0.5, 0, 24)
    i = np.minimum(t.astype(int), 23)
    radial = profile[i] + (t - i)[..., None] * (profile[i + 1] - profile[i])
    noise = float(np.median(spread[known]))
    extra = lum - luminance(radial)
    hot = (extra > max(28.0, 4 * noise)) & (wet > 0.5) & (rho < 0.95)
    seed = np.zeros_like(plain)
    if 0 < hot.sum() < 0.3 * (rho < 1).sum():
        wide = cv2.dilate(hot.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, int(0.02 * patch.scale)))
        soft = cv2.GaussianBlur(wide.astype(np.float32), (0, 0), 0.01 * patch.scale) * wet
        seed = np.maximum(plain - radial, 0) * (soft * (1 - smoothstep(rho, 0.9, 1.05)))[..., None]
    clean = plain - seed
    mirrored = cv2.remap(
        np.dstack([clean, disc]).astype(np.float32),
        *_mirror_map(dx, dy, patch),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    other = mirrored[..., 3:] * (rho < 1.02)[..., None]
    hidden = radial + 0.7 * other * (mirrored[..., :3] - radial)
    seen = cv2.GaussianBlur(disc, (0, 0), 0.01 * patch.scale)
    seen = np.minimum(seen, disc)[..., None]
    return hidden + seen * (clean - hidden), seed


def _mirror_map(dx: np.ndarray, dy: np.ndarray, patch: Patch) -> tuple[np.ndarray, np.ndarray]:
    """Where in the patch the vertical mirror image of each pixel about the iris centre lies."""
    rows, columns = np.indices(dx.shape)
    return np.asarray(columns, np.float32), np.asarray(rows - 2 * dy * patch.scale, np.float32)
