"""A photo's head: its face measured, the photo laid on the skin, what it doesn't show filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from avatars.facemesh import IRIS_LEFT, IRIS_RIGHT, MEAN
from avatars.head import default_skin, head_of, textures
from avatars.head.cage import BOTTOM, COLUMN
from avatars.head.measure import measure, placed
from avatars.head.texels import texels as texels_of
from avatars.head.texels import with_margin
from avatars.pose import Pose, to_pixels
from avatars.rig import Rig
from avatars.shade3d import Fragments, rasterise, vertex_normals
from studio.arkit import INDEX
from studio.errors import NoFaceError
from studio.motion import EYE_SPAN, rotation_angles

SIZE = 1024
"""Pixels of the skin's picture, either side."""

SIDEWAYS = np.radians(62)
"""Faces turned further show too little to measure both sides."""

FACING, SURE = 0.18, 0.55
"""Cosine between skin and line of sight at which the photo begins to count, and from which it counts fully."""


@dataclass(frozen=True)
class PhotoHead:
    """rig      the person's head with the photo as texture.
    weights  (52,) the photo's own expression.
    pose     where the head is in the photo.
    error    root mean square distance between landmarks and the rig's points in the photo, in eye spans.
    """

    rig: Rig
    weights: np.ndarray
    pose: Pose
    error: float


def head_from_photo(image: np.ndarray, landmarks: np.ndarray) -> PhotoHead:
    """image (H, W, 3) uint8 RGB; landmarks (478, 3) pixels.

    Raises NoFaceError for a face turned too far to the side.
    """
    head = fit_head(landmarks, (image.shape[1], image.shape[0]))
    placed = to_pixels(head.rig.vertices(head.weights) / EYE_SPAN, head.pose)
    rig = head.rig.with_texture("skin", skin_of(image, head.rig, placed, head.pose))
    eye = textures.eye_picture(iris_colour(image, landmarks), sclera_colour(image, landmarks))
    return replace(head, rig=rig.with_texture("eye", eye))


def fit_head(landmarks: np.ndarray, size: tuple[int, int]) -> PhotoHead:
    """The head of landmarks (478, 3) in a picture of size (width, height), with painted skin.

    Raises NoFaceError for a face turned too far to the side.
    """
    landmarks = np.asarray(landmarks, np.float64)
    seen = measure(landmarks, size)
    rig, weights = head_of(seen.neutral), seen.weights
    shown = facemesh_points(rig, rig.vertices(weights)) / EYE_SPAN
    pose = placed(landmarks, shown, seen.pose.rotation, size)
    yaw = rotation_angles(pose.rotation)[0]
    if abs(yaw) > SIDEWAYS:
        raise NoFaceError(
            f"the face is turned {np.degrees(abs(yaw)):.0f} degrees to the side; a head is built from a picture that "
            "shows both eyes"
        )
    apart = np.linalg.norm(to_pixels(shown, pose)[:, :2] - landmarks[:468, :2], axis=1) / pose.scale
    return PhotoHead(rig, weights, pose, float(np.sqrt((apart**2).mean())))


def facemesh_points(rig: Rig, vertices: np.ndarray) -> np.ndarray:
    """(468, 3) where FaceMesh's points lie on posed vertices (V, 3)."""
    triangle, share = rig.facemesh
    return (vertices[rig.triangles[triangle]] * share[..., None]).sum(1)


def skin_of(image: np.ndarray, rig: Rig, placed: np.ndarray, pose: Pose) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8: the photo on the skin's picture. placed (V, 3) the rig's vertices in the photo's
    pixels."""
    import cv2

    texels = texels_of(rig, SIZE)
    triangles = rig.triangles
    where = texels.spread(placed[:, :2], triangles)
    normals = vertex_normals(placed * [1, -1, -1], triangles)
    facing = texels.spread(normals, triangles)[..., 2]
    seen = visible(texels, placed, triangles, image.shape)
    height, width = image.shape[:2]
    inside = (where[..., 0] > 0) & (where[..., 0] < width - 1) & (where[..., 1] > 0) & (where[..., 1] < height - 1)
    column, row = np.arange(SIZE)[None], np.arange(SIZE)[:, None]
    beside = (row < (1 - BOTTOM) * SIZE) & ((column < COLUMN * SIZE) | (column > (1 - COLUMN) * SIZE))
    apart = beside | ((row > 0.605 * SIZE) & (row < 0.695 * SIZE))
    face = texels.cover & ~apart  # ears, lids and mouth keep their own picture
    trust = (np.clip((facing - FACING) / (SURE - FACING), 0, 1) * seen * inside * face).astype(np.float32)
    x, y = where[..., 0].astype(np.float32), where[..., 1].astype(np.float32)
    photo = cv2.remap(image, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    places = texels.spread(rig.neutral / EYE_SPAN, triangles)
    tone = _skin_tone(photo, trust, places)
    trust *= 1 - _strange(photo, facing, places, tone)
    # what one side shows stands in for the other: the islands of face and skull are symmetric
    other = 0.35 * trust[:, ::-1] * (1 - trust)
    total = trust + other
    mixed = (trust[..., None] * photo + other[..., None] * photo[:, ::-1]) / np.maximum(total[..., None], 1e-4)
    known = cv2.GaussianBlur(total, (0, 0), SIZE / 40)
    far = np.clip(1 - known / 0.2, 0, 1)[..., None]
    filled = (1 - far) * pulled(mixed, total) + far * _unseen(photo, trust, places, tone)
    share = np.clip(total / 0.3, 0, 1)[..., None]
    skin = _without_lashes(share * mixed + (1 - share) * filled, rig, texels, face)
    skin = with_margin(skin, face, 16)
    made = np.clip(default_skin(SIZE) * (0.9 * tone / textures.SKIN), 0, 255)
    return np.clip(np.where(apart[..., None], made, skin) + 0.5, 0, 255).astype(np.uint8)


def _without_lashes(skin: np.ndarray, rig: Rig, texels: Fragments, face: np.ndarray) -> np.ndarray:
    """Skin (SIZE, SIZE, 3) whose upper lids are skin: lashes that an open eye's photo lays on them would be drawn out
    over the whole lid when it closes. What is darker there than the skin round it gives way to that and to a painted
    edge."""
    fall = np.maximum(*(-rig.deltas[INDEX[f"eyeBlink{side}"], :, 1] for side in ("Left", "Right")))
    lid = texels.spread(np.maximum(fall / fall.max(), 0)[:, None].astype(np.float32), rig.triangles)[..., 0]
    lid = np.clip((lid - 0.25) / 0.25, 0, 1) * face
    around = pulled(skin.astype(np.float32), (face & (lid <= 0)).astype(np.float32))
    darker = np.clip((0.92 - skin.mean(2) / np.maximum(around.mean(2), 1)) / 0.2, 0, 1)
    edge = np.minimum(default_skin(SIZE).mean(2) / textures.SKIN.mean(), 1)
    amount = (lid * darker)[..., None]
    return (1 - amount) * skin + amount * around * edge[..., None]


def _skin_tone(photo: np.ndarray, trust: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(3,) colour of cheeks and nose; that of painted skin where the photo shows none."""
    near = np.zeros(trust.shape, bool)
    for point in (50, 280, 205, 425, 5, 195):
        near |= ((places - MEAN[point]) ** 2).sum(2) < 0.08**2
    near &= trust > 0.6
    return np.median(photo[near], axis=0) if near.any() else textures.SKIN


def _strange(photo: np.ndarray, facing: np.ndarray, places: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(H, W) 0..1: how surely the photo shows something else than cheek or jaw where these turn away: hair that hangs
    before them, or what is behind. Seen from the side it would be a stripe."""
    light = photo.mean(2) / max(float(tone.mean()), 1.0)
    other = np.clip((0.72 - light) / 0.2, 0, 1) + np.clip((light - 1.25) / 0.2, 0, 1)
    x, y = np.abs(places[..., 0]), places[..., 1]
    cheek = np.clip((x - 0.4) / 0.1, 0, 1) * np.clip((y + 1.05) / 0.1, 0, 1) * np.clip((0.4 - y) / 0.15, 0, 1)
    return other * cheek * np.clip((0.8 - facing) / 0.2, 0, 1)


def _unseen(photo: np.ndarray, trust: np.ndarray, places: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(H, W, 3) what lies far from all that the photo shows: hair on the skull, as at its visible top, below it
    skin, and at the base of the neck what its front wears."""

    def usual(where: np.ndarray) -> np.ndarray:
        where = where & (trust > 0.3)
        return np.median(photo[where], axis=0) if where.sum() > 100 else tone

    y = places[..., 1]
    hair = usual(y > 0.70)
    clothes = np.clip((-1.45 - y) / 0.15, 0, 1)[..., None]
    neck = clothes * usual((y < -1.55) & (places[..., 2] > -1.1)) + (1 - clothes) * 0.88 * tone
    line = -0.62 + 0.55 * np.clip(places[..., 2] + 1.3, 0, 1)  # the nape's hair line rises towards the ears
    share = np.clip((y - line) / 0.25 + 0.5, 0, 1)[..., None]
    return share * hair + (1 - share) * neck


def visible(texels: Fragments, placed: np.ndarray, triangles: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(SIZE, SIZE) bool: texels that nothing hides in the photo."""
    scale = min(1.0, 700 / max(shape[:2]))
    span = np.ptp(placed[:, 2])
    far = 20 * span  # so far that the view is parallel
    pixels = np.column_stack([placed[:, :2] * scale, 1 / (far + placed[:, 2])])
    size = int(shape[1] * scale) + 1, int(shape[0] * scale) + 1
    nearest = rasterise(pixels, triangles, size).near
    at = texels.spread(pixels, triangles)
    x = np.clip(at[..., 0].astype(int), 0, size[0] - 1)
    y = np.clip(at[..., 1].astype(int), 0, size[1] - 1)
    return at[..., 2] > nearest[y, x] - 0.02 * span / far**2


def pulled(colours: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """(H, W, 3) colours where they are known, spread smoothly to where they are not (push and pull over a pyramid,
    Grossman and Dally 1998)."""
    import cv2

    weight, value = [trust], [colours * trust[..., None]]
    while min(weight[-1].shape) > 4:
        size = weight[-1].shape[1] // 2, weight[-1].shape[0] // 2
        weight.append(cv2.resize(weight[-1], size, interpolation=cv2.INTER_AREA))
        value.append(cv2.resize(value[-1], size, interpolation=cv2.INTER_AREA))
    out = value[-1] / np.maximum(weight[-1], 1e-6)[..., None]
    for w, v in zip(weight[-2::-1], value[-2::-1], strict=True):
        coarse = cv2.resize(out, w.shape[::-1], interpolation=cv2.INTER_LINEAR)
        sure = np.clip(w * 4, 0, 1)[..., None]
        out = sure * v / np.maximum(w, 1e-6)[..., None] + (1 - sure) * coarse
    return out


def iris_colour(image: np.ndarray, landmarks: np.ndarray) -> tuple[float, float, float]:
    """The eyes' colour: the median of a ring between pupil and rim, catch-lights left out."""
    height, width = image.shape[:2]
    found = []
    for ring in (IRIS_LEFT, IRIS_RIGHT):
        centre = landmarks[ring[0], :2]
        radius = np.linalg.norm(landmarks[ring[1:], :2] - centre, axis=1).mean()
        turn = np.linspace(0.15 * np.pi, 0.85 * np.pi, 24)  # the lower half: lids shade the upper
        for share in (0.55, 0.7):
            x = np.clip(np.round(centre[0] + share * radius * np.cos(turn)).astype(int), 0, width - 1)
            y = np.clip(np.round(centre[1] + share * radius * np.sin(turn)).astype(int), 0, height - 1)
            found.append(image[y, x])
    colours = np.concatenate(found).astype(float)
    dark = colours[colours.sum(1) <= np.percentile(colours.sum(1), 70)]
    return tuple(np.clip(np.median(dark, 0) * 1.15, 20, 200).tolist())


def sclera_colour(image: np.ndarray, landmarks: np.ndarray) -> tuple[float, float, float]:
    """How light the white of the eyes is in this photo's light: halfway from iris to corners, the lighter half.
    Where eyes are too narrow to show it, it is still lighter than dark skin."""
    height, width = image.shape[:2]
    found = []
    for ring, corners in ((IRIS_LEFT, (362, 263)), (IRIS_RIGHT, (133, 33))):
        centre = landmarks[ring[0], :2]
        radius = np.linalg.norm(landmarks[ring[1:], :2] - centre, axis=1).mean()
        for corner in corners:
            way = landmarks[corner, :2] - centre
            length = np.linalg.norm(way)
            for step in np.linspace(1.15 * radius, 0.8 * length, 6) / max(length, 1e-6):
                x, y = np.round(centre + step * way).astype(int)
                found.append(image[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)])
    colours = np.array(found, float)
    light = colours[colours.sum(1) >= np.median(colours.sum(1))]
    white = np.median(light, 0)
    cheeks = np.clip(np.round(landmarks[[50, 205, 280, 425], :2]).astype(int), 0, [width - 1, height - 1])
    least = 75 + 0.5 * float(np.median(image[cheeks[:, 1], cheeks[:, 0]]))
    white = white * max(1.0, least / max(white.mean(), 1.0))
    grey = white.mean()
    return tuple(np.clip(0.5 * white + 0.5 * grey, 70, 240).tolist())
