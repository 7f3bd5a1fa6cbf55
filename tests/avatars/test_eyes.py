"""Eyes of a drawn face whose iris, whites and skin are known."""

from itertools import pairwise

import numpy as np
import pytest

from avatars.facemesh import EYE_LEFT, EYE_RIGHT, IRIS_LEFT, IRIS_RIGHT, MEAN, MIRROR
from avatars.photo.eyes import Eyes

cv2 = pytest.importorskip("cv2")

SKIN, WHITE, IRIS, PUPIL, LASH = (205, 160, 135), (225, 222, 220), (90, 110, 70), (15, 12, 12), (50, 35, 30)
IRIS_RADIUS = 0.2  # eye widths
STILL = np.zeros((2, 2))


def drawn_face(size: int = 512, span: float = 240.0, iris: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A face of plain skin with two drawn eyes (mirror images of each other), and its 478 landmarks."""
    points = np.zeros((478, 3))
    points[:468] = MEAN * [1, -1, -1] * span + [(size - 1) / 2, size * 0.45, 0]
    loops = {}
    for side, (loop, irises) in enumerate(((EYE_LEFT, IRIS_LEFT), (EYE_RIGHT, IRIS_RIGHT))):
        a, b = points[loop[0]], points[loop[8]]
        width = np.linalg.norm((a - b)[:2])
        centre = (a + b) / 2 + [0, points[loop, 1].mean() - (a + b)[1] / 2, 0]
        points[irises[0]] = centre
        for k, step in zip(irises[1:], ((1, 0), (0, -1), (-1, 0), (0, 1))):
            points[k] = centre + np.array([*step, 0]) * IRIS_RADIUS * width
        loops[side] = (points[loop, :2], centre[:2], IRIS_RADIUS * width)
    over = 4
    picture = np.full((size * over, size * over, 3), SKIN, np.uint8)
    fixed = lambda p: np.round(((p + 0.5) * over - 0.5) * 16).astype(np.int32)
    for loop, centre, radius in loops.values():
        hole = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillPoly(hole, [fixed(loop)], 1, cv2.LINE_8, 4)
        ball = np.full_like(picture, WHITE)
        if iris:
            for share, colour in ((1.0, IRIS), (0.4, PUPIL)):
                cv2.circle(ball, tuple(fixed(centre)), int(radius * share * over * 16), colour, -1, cv2.LINE_8, 4)
        picture[hole > 0] = ball[hole > 0]
        upper = np.r_[loop[8:], loop[:1]]
        thick = int(max(0.04 * radius / IRIS_RADIUS * over, 1))
        cv2.polylines(picture, [fixed(upper)], False, LASH, thick, cv2.LINE_8, 4)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA), points.astype(np.float32)


def closing(points: np.ndarray, amount: float, sides: tuple[str, ...] = ("Left", "Right")) -> np.ndarray:
    """The mesh with its upper lids lowered by that share of the opening."""
    mesh = points[:468].astype(np.float64).copy()
    for name, loop in (("Left", EYE_LEFT), ("Right", EYE_RIGHT)):
        if name in sides:
            for i in range(1, 8):
                upper, lower = loop[16 - i], loop[i]
                mesh[upper] += amount * (mesh[lower] - mesh[upper])
    return mesh


def paint(face, mesh=None, gaze=STILL, eyes: Eyes | None = None) -> np.ndarray:
    picture, points = face
    canvas = picture.copy()
    eyes = eyes or Eyes.from_photo(picture, points)
    eyes.paint(canvas, points[:468] if mesh is None else mesh, points[:468], np.asarray(gaze, float))
    return canvas


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    return drawn_face()


@pytest.fixture(scope="module")
def eyes(face) -> Eyes:
    return Eyes.from_photo(*face)


def opening(points: np.ndarray, loop: np.ndarray, shape: tuple[int, ...], shrink: int = 0) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points[loop, :2]).astype(np.int32)], 1)
    return cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=shrink) > 0


def pupil(picture: np.ndarray, points: np.ndarray, loop: np.ndarray) -> np.ndarray:
    """Centroid (x, y) of the pupil's darkness well inside the opening."""
    weight = np.clip(70.0 - picture.mean(2), 0, None) * opening(points, loop, picture.shape, 4)
    y, x = np.indices(weight.shape)
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


def test_unchanged_is_untouched(face, eyes):
    assert np.array_equal(paint(face, eyes=eyes), face[0])


def test_unchanged_on_a_head_that_comes_closer_is_untouched(face, eyes):
    picture, points = face
    moved = points[:468] * 1.05 + [7, -3, 0]
    canvas = picture.copy()
    eyes.paint(canvas, moved, moved, STILL)
    assert np.array_equal(canvas, picture)


def test_turned_head_carries_the_eyes_as_they_are(face, eyes):
    picture, points = face
    size = picture.shape[1]
    narrow = np.array([[0.9, 0, 0.05 * size], [0.02, 1, 0]])
    turned = np.column_stack([points[:468, :2] @ narrow[:, :2].T + narrow[:, 2], points[:468, 2]])
    warped = cv2.warpAffine(picture, narrow, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    canvas = warped.copy()
    eyes.paint(canvas, turned, turned, STILL)
    difference = np.abs(canvas.astype(int) - warped).max(2)
    assert difference.any()
    assert np.mean(difference[difference > 0]) < 12


@pytest.mark.parametrize("degrees", [-25, -12, 12, 25])
def test_iris_moves_by_the_projected_angle(face, eyes, degrees):
    picture, points = face
    yaw = np.radians(degrees)
    out = paint(face, gaze=[[yaw, 0], [yaw, 0]], eyes=eyes)
    for loop in (EYE_LEFT, EYE_RIGHT):
        width = np.linalg.norm(points[loop[0], :2] - points[loop[8], :2])
        moved = pupil(out, points, loop) - pupil(picture, points, loop)
        expected = 1.75 * IRIS_RADIUS * width * np.sin(yaw)
        assert moved[0] == pytest.approx(expected, rel=0.15)
        assert abs(moved[1]) < 0.05 * width


def test_looking_up_raises_the_pupil(face, eyes):
    picture, points = face
    out = paint(face, gaze=[[0, -0.2], [0, -0.2]], eyes=eyes)
    for loop in (EYE_LEFT, EYE_RIGHT):
        assert pupil(out, points, loop)[1] < pupil(picture, points, loop)[1] - 1.5


def test_pupil_keeps_its_size_when_the_eye_turns(face, eyes):
    dark = lambda picture: (picture.max(2) < 60).sum()
    out = paint(face, gaze=[[0.25, 0], [0.25, 0]], eyes=eyes)
    assert dark(out) == pytest.approx(dark(face[0]), rel=0.15)


def test_shut_lids_show_no_eyeball(face, eyes):
    picture, points = face
    out = paint(face, closing(points, 1.0), eyes=eyes).astype(float)
    for loop in (EYE_LEFT, EYE_RIGHT):
        lid = opening(points, loop, picture.shape, 2)
        assert not (out[lid].mean(1) > np.mean(SKIN) * 1.12).any()
        away = np.abs(out[lid] - SKIN).max(1)
        assert np.median(away) < 30  # skin, not a shadow
        assert (away > 90).mean() < 0.25  # all but the line of the lashes


def test_shut_lids_meet_in_a_dark_line(face, eyes):
    points = face[1]
    out = paint(face, closing(points, 1.0), eyes=eyes).astype(float).mean(2)
    for loop in (EYE_LEFT, EYE_RIGHT):
        x, y = np.round(points[loop[4], :2]).astype(int)
        assert out[y - 4 : y + 5, x].min() < 0.75 * np.mean(SKIN)
        assert out[y - 14, x] > 0.85 * np.mean(SKIN)


@pytest.mark.parametrize("amount", [0.1, 0.3, 0.6, 0.9])
def test_lids_get_no_bright_spots(face, eyes, amount):
    picture, points = face
    mesh = closing(points, amount)
    out = paint(face, mesh, eyes=eyes)
    for loop in (EYE_LEFT, EYE_RIGHT):
        lid = opening(points, loop, out.shape, 1) & ~opening(mesh, loop, out.shape) & (picture.mean(2) < 300)
        below = cv2.dilate(opening(mesh, loop, out.shape).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        if (lid & ~below).any():
            assert out[lid & ~below].mean(1).max() < np.mean(SKIN) * 1.15


def test_wink_leaves_the_other_eye(face, eyes):
    picture, points = face
    out = paint(face, closing(points, 1.0, ("Left",)), eyes=eyes)
    half = picture.shape[1] // 2
    assert np.array_equal(out[:, :half], picture[:, :half])
    assert not np.array_equal(out[:, half:], picture[:, half:])


def test_nothing_is_painted_away_from_the_eyes(face, eyes):
    picture, points = face
    out = paint(face, closing(points, 0.8), [[0.3, 0.1], [0.3, 0.1]], eyes)
    changed = np.argwhere((out != picture).any(2))[:, ::-1]
    near = np.zeros(len(changed), bool)
    for loop in (EYE_LEFT, EYE_RIGHT):
        a, b = points[loop[0], :2], points[loop[8], :2]
        near |= np.linalg.norm(changed - (a + b) / 2, axis=1) < 0.8 * np.linalg.norm(a - b)
    assert len(changed) and near.all()


def test_mirrored_gaze_gives_the_mirror_image(face, eyes):
    mesh = closing(face[1], 0.4)
    mirrored = mesh[MIRROR] * [-1, 1, 1] + [face[0].shape[1] - 1, 0, 0]
    one = paint(face, mesh, [[0.2, 0.1], [0.1, 0.05]], eyes)
    other = paint(face, mirrored, [[-0.1, 0.05], [-0.2, 0.1]], eyes)
    assert np.abs(one.astype(int) - other[:, ::-1]).mean() < 0.05
    assert np.abs(one.astype(int) - other[:, ::-1]).max() < 40


def test_small_steps_make_small_changes(face, eyes):
    points = face[1]
    amounts = np.arange(0, 1.001, 0.02)
    frames = [paint(face, closing(points, c), [[c * 0.3, 0]] * 2, eyes).astype(int) for c in amounts]
    steps = [np.abs(b - a).sum() for a, b in pairwise(frames)]
    assert max(steps) < 5 * np.mean(steps)
    assert np.abs(frames[1] - frames[0]).max() < 120


def test_same_input_same_pixels(face, eyes):
    mesh = closing(face[1], 0.5)
    assert np.array_equal(paint(face, mesh, eyes=eyes), paint(face, mesh))


def test_grey_stays_grey():
    picture, points = drawn_face()
    grey = np.repeat(picture.mean(2).astype(np.uint8)[..., None], 3, axis=2)
    out = paint((grey, points), closing(points, 0.7), [[0.2, 0], [0.2, 0]]).astype(int)
    assert (np.ptp(out, axis=2) <= 1).all()


def test_blank_eyes_have_nothing_to_turn():
    face = drawn_face(iris=False)
    out = paint(face, gaze=[[0.3, 0], [0.3, 0]]).astype(int)
    assert np.abs(out - face[0]).max() < 45
    assert np.abs(out - face[0]).mean() < 0.2


@pytest.mark.parametrize("size,span", [(64, 24.0), (1400, 900.0)])
def test_any_size(size, span):
    face = drawn_face(size, span)
    out = paint(face, closing(face[1], 1.0), [[0.2, 0], [0.2, 0]])
    lid = opening(face[1], EYE_LEFT, out.shape, 1)
    assert lid.any()
    assert out[lid].mean(1).max() < np.mean(SKIN) * 1.12


def test_eye_cut_by_the_border():
    picture, points = drawn_face()
    cut = int(points[33, 0] + 20)
    points[:, 0] -= cut
    face = np.ascontiguousarray(picture[:, cut:]), points
    paint(face, closing(points, 0.7), [[0.2, 0.1], [0.2, 0.1]])


def test_landmarks_without_irises_are_refused(face):
    with pytest.raises(ValueError, match="478"):
        Eyes.from_photo(face[0], face[1][:468])
