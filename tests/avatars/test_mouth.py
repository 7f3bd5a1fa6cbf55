"""The inside of the mouth, drawn into synthetic portraits whose lips, skin and pose are known."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, LIPS_INNER, LIPS_OUTER, MEAN, MIRROR, OVAL
from avatars.photo.mouth import JAW_FULL, MouthInterior
from avatars.photo.mouth_lips import mouth_hole

SIZE = 360
SKIN, LIP, WHITE = (214, 160, 134), (176, 92, 88), (226, 220, 214)
HINGE = np.array([0.0, -26.0, -75.0]) / 90.0
CHIN = np.array([17, 84, 314, 181, 405, 91, 321, 146, 375, 95, 88, 178, 87, 14, 317, 402, 318, 324, 152, 148, 377, 200])


def mesh(jaw: float = 0.0, *, yaw: float = 0.0, size: int = SIZE, gap: float = 0.0) -> np.ndarray:
    """The mean face in pixels, the lower lip and chin turned with the jaw, the head turned by yaw (degrees)."""
    shape = MEAN.astype(np.float64)
    shape = 0.5 * (shape + shape[MIRROR] * [-1, 1, 1])
    low, high = LIPS_INNER[1:10], LIPS_INNER[:10:-1]
    middle = 0.5 * (shape[low] + shape[high])
    apart = np.array([0.0, 0.5 * gap, 0.0])
    shape[low], shape[high] = middle - apart, middle + apart
    a = JAW_FULL * jaw
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    shape[CHIN] = (shape[CHIN] - HINGE) @ turn.T + HINGE
    y = np.radians(yaw)
    shape = shape @ np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]]).T
    scale = 0.44 * size
    return shape * [scale, -scale, -scale] + [0.5 * size - 0.5, 0.42 * size, 0.0]


def portrait(points: np.ndarray, size: int = SIZE, grey: bool = False, inside: bool = False) -> np.ndarray:
    """A face of flat colours; `inside` paints upper teeth, a dark gap and a tongue between the lips."""
    image = np.full((size, size, 3), 120, np.uint8)

    def fill(loop: np.ndarray, colour: tuple[int, int, int]) -> None:
        cv2.fillPoly(image, [np.round(points[loop, :2] * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)

    fill(OVAL, SKIN)
    fill(LIPS_OUTER, LIP)
    for eye in (EYE_LEFT, EYE_RIGHT):
        fill(eye, WHITE)
    if inside:
        hole = mouth_hole(points, image.shape, 0)[..., None]
        top, bottom = points[13, 1], points[14, 1]
        rows = (np.arange(size)[:, None, None] - top) / (bottom - top)
        mouth = np.where(rows < 0.35, (228, 220, 206), np.where(rows < 0.6, (50, 26, 24), (190, 110, 104)))
        image = np.where(hole > 0.5, mouth, image).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    return np.repeat(image.mean(-1, keepdims=True).astype(np.uint8), 3, -1) if grey else image


def painted(mouth: MouthInterior, image: np.ndarray, points: np.ndarray, **how: Any) -> np.ndarray:
    canvas = image.copy()
    mouth.paint(canvas, points, **how)
    return canvas


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return portrait(mesh())


@pytest.fixture(scope="module")
def mouth(photo: np.ndarray) -> MouthInterior:
    return MouthInterior.from_photo(photo, mesh())


@pytest.fixture(scope="module")
def open_photo() -> np.ndarray:
    return portrait(mesh(0.6), inside=True)


@pytest.fixture(scope="module")
def open_mouth(open_photo: np.ndarray) -> MouthInterior:
    return MouthInterior.from_photo(open_photo, mesh(0.6), jaw=0.6)


def test_closed_lips_show_nothing(mouth: MouthInterior, photo: np.ndarray) -> None:
    assert np.array_equal(painted(mouth, photo, mesh(), jaw=0), photo)


def test_lips_detected_apart_in_a_closed_photo_show_nothing() -> None:
    points = mesh(gap=0.012)  # one millimetre: what the detector reports for shut lips
    image = portrait(points)
    mouth = MouthInterior.from_photo(image, points)
    assert np.array_equal(painted(mouth, image, points, jaw=0), image)


@pytest.mark.parametrize("jaw", [0.1, 0.4, 1.0])
def test_only_the_hole_changes(mouth: MouthInterior, photo: np.ndarray, jaw: float) -> None:
    points = mesh(jaw)
    changed = (painted(mouth, photo, points, jaw=jaw) != photo).any(-1)
    assert changed.any()
    assert not (changed & (mouth.hole(points, photo.shape) <= 0.002)).any()


def test_a_given_hole_is_obeyed(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5)
    hole = mouth_hole(points, photo.shape)
    hole[:, : SIZE // 2] = 0
    changed = (painted(mouth, photo, points, jaw=0.5, hole=hole) != photo).any(-1)
    assert changed[:, SIZE // 2 :].any() and not changed[:, : SIZE // 2].any()


def test_small_steps_make_small_changes(mouth: MouthInterior, photo: np.ndarray) -> None:
    frames = []
    for jaw in np.arange(0.0, 1.0, 0.01):
        canvas = photo.astype(np.float32)
        mouth.paint(canvas, mesh(jaw, yaw=8 * jaw), jaw=float(jaw), tongue=float(jaw))
        frames.append(canvas)
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(frames)])
    assert steps.max() < 6 * np.median(steps)


def test_same_call_same_picture(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5, yaw=7)
    assert np.array_equal(painted(mouth, photo, points, jaw=0.5), painted(mouth, photo, points, jaw=0.5))


def test_teeth_are_brighter_than_tongue_and_tongue_than_cavity(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.9)
    light = painted(mouth, photo, points, jaw=0.9).astype(float).mean(-1)
    column = light[int(points[13, 1]) : int(points[14, 1]), SIZE // 2 - 3]
    n = len(column)
    teeth, tongue, cavity = column[1 : n // 4].max(), column[n // 2 : -6].max(), column[n // 5 : n // 2].min()
    assert teeth > 1.4 * tongue and tongue > 1.2 * cavity
    assert teeth > 0.85 * np.mean(SKIN)
    assert cavity > 12  # never black


def test_a_grey_photo_has_a_grey_mouth() -> None:
    image = portrait(mesh(), grey=True)
    canvas = painted(MouthInterior.from_photo(image, mesh()), image, mesh(0.8), jaw=0.8).astype(int)
    assert (canvas.max(-1) - canvas.min(-1)).max() <= 4


def test_flesh_is_redder_than_grey_and_teeth_are_not(mouth: MouthInterior) -> None:
    palette = mouth.palette
    assert palette.tongue[0] > 1.25 * palette.tongue[1]
    assert palette.cavity[0] > 1.25 * palette.cavity[1]
    assert palette.teeth[0] < 1.15 * palette.teeth[1] and palette.teeth[0] >= palette.teeth[2]


def test_a_straight_face_has_a_symmetric_mouth(photo: np.ndarray) -> None:
    points = mesh(0.6)
    image = np.ascontiguousarray(0.5 * (photo + photo[:, ::-1].astype(float))).astype(np.uint8)
    canvas = painted(MouthInterior.from_photo(image, mesh()), image, points, jaw=0.6).astype(float)
    change = np.abs(canvas - canvas[:, ::-1])[mouth_hole(points, image.shape) > 0.5]
    assert change.mean() < 5


def test_twice_the_size_is_the_same_mouth() -> None:
    small, large = portrait(mesh()), portrait(mesh(size=2 * SIZE), 2 * SIZE)
    mouth = MouthInterior.from_photo(large, mesh(size=2 * SIZE))
    canvas = painted(mouth, large, mesh(0.6, size=2 * SIZE), jaw=0.6)
    reduced = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(float)
    points = mesh(0.6, size=2 * SIZE) / 2 - [0.25, 0.25, 0]
    direct = painted(mouth, small, points, jaw=0.6).astype(float)
    assert np.abs(reduced - direct)[mouth_hole(points, small.shape) > 0.98].mean() < 6


def test_a_crop_is_painted_like_the_whole(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5)
    whole = painted(mouth, photo, points, jaw=0.5)
    crop = painted(mouth, np.ascontiguousarray(photo[90:, 40:]), points - [40, 90, 0], jaw=0.5)
    assert np.abs(whole[90:, 40:].astype(int) - crop.astype(int)).max() <= 1


def test_mouth_cut_by_the_border_or_outside(mouth: MouthInterior, photo: np.ndarray) -> None:
    for shift in ([160, 0, 0], [0, -230, 0], [900, 0, 0]):
        painted(mouth, photo, mesh(0.5) + shift, jaw=0.5, tongue_out=1.0)


def test_whole_and_float_canvases_agree(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5)
    canvas = photo.astype(np.float32)
    mouth.paint(canvas, points, jaw=0.5)
    assert np.abs(canvas - painted(mouth, photo, points, jaw=0.5)).max() <= 0.51


def test_upper_teeth_stay_with_the_skull_and_lower_go_with_the_jaw(mouth: MouthInterior, photo: np.ndarray) -> None:
    pose = (mouth._solve @ mesh()[:, :2][[33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 10, 151, 9, 67, 297]]).T
    shut, wide = mouth._planes(pose, 0.0), mouth._planes(pose, JAW_FULL)
    assert np.allclose(shut[0], wide[0])

    def front(plane: np.ndarray) -> np.ndarray:
        return -np.linalg.solve(plane[[0, 1, 3, 4]].reshape(2, 2), plane[[2, 5]])

    assert front(wide[1])[1] - front(shut[1])[1] > 0.25 * 0.44 * SIZE  # about 35 mm lower


def test_the_jaw_is_read_from_the_chin(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5)
    given, read = painted(mouth, photo, points, jaw=0.5), painted(mouth, photo, points)
    assert np.abs(given.astype(float) - read).mean() < 0.1


def test_teeth_turn_with_the_head(mouth: MouthInterior, photo: np.ndarray) -> None:
    def midline(yaw: float) -> float:
        points = mesh(0.4, yaw=yaw)
        canvas = painted(mouth, np.full_like(photo, 60), points, jaw=0.4).astype(float).mean(-1)
        bright = np.clip(canvas - 140, 0, None) * (mouth_hole(points, photo.shape) > 0.5)
        return float((bright.sum(0) * np.arange(SIZE)).sum() / bright.sum() - points[13, 0])

    left, straight, right = midline(-15), midline(0), midline(15)
    # teeth lie behind the lips: seen from the side they stay behind
    assert abs(straight) < 1.0 and abs(left + right) < 2.0
    assert right < straight < left


def test_an_open_photo_keeps_its_own_mouth(open_mouth: MouthInterior, open_photo: np.ndarray) -> None:
    points = mesh(0.6)
    assert open_mouth.own.edge is not None
    canvas = painted(open_mouth, np.full_like(open_photo, 90), points, jaw=0.6)
    core = cv2.erode(mouth_hole(points, open_photo.shape), np.ones((7, 7))) > 0.98
    assert np.abs(canvas.astype(float) - open_photo)[core].mean() < 6


def test_own_teeth_stay_when_the_mouth_narrows(open_mouth: MouthInterior, open_photo: np.ndarray) -> None:
    points = mesh(0.35)
    canvas = painted(open_mouth, open_photo, points, jaw=0.35).astype(float)
    row = int(points[13, 1]) + 5
    assert np.abs(canvas[row, SIZE // 2 - 8 : SIZE // 2 + 8] - (228, 220, 206)).mean() < 14


def test_closing_an_open_photo_leaves_a_line(open_mouth: MouthInterior) -> None:
    flat = np.full((SIZE, SIZE, 3), 180, np.uint8)
    points = mesh(0.0)
    canvas = painted(open_mouth, flat, points, jaw=0.0).astype(float).mean(-1)
    column = canvas[:, SIZE // 2]
    assert abs(int(column.argmin()) - points[13, 1]) <= 2 and 50 < column.min() < 140
    assert (canvas < 179).sum(0).max() < 12  # thin


def test_a_tongue_put_out_lies_over_the_lower_lip(mouth: MouthInterior, photo: np.ndarray) -> None:
    points = mesh(0.5)
    canvas = painted(mouth, photo, points, jaw=0.5, tongue_out=1.0)
    lip = int(points[14, 1]) + 10
    assert np.abs(canvas[lip, SIZE // 2 + 4].astype(float) - photo[lip, SIZE // 2 + 4]).max() > 8
    assert np.array_equal(canvas[: int(points[13, 1]) - 2], photo[: int(points[13, 1]) - 2])


@pytest.mark.parametrize("size", [40, 64, 1000])
def test_any_face_size(size: int) -> None:
    image = portrait(mesh(size=size), size)
    mouth = MouthInterior.from_photo(image, mesh(size=size))
    canvas = painted(mouth, image, mesh(0.5, size=size), jaw=0.5)
    hole = mouth_hole(mesh(0.5, size=size), image.shape) > 0.9
    assert (canvas[hole].astype(int) - np.array(SKIN)).min() < -40
