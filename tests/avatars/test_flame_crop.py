"""The encoders' crop: pictures whose every value is known, boxes that can be counted."""

from __future__ import annotations

import numpy as np
import pytest

from avatars.facemesh import MEAN, MIRROR, POINTS_68
from avatars.flame.crop import DECA, SMIRK, Crop, crop_of, crop_of_box, cut_out, cut_out_all, smoothed
from studio.errors import UsageError

SQUARE = np.array([[100.0, 60.0], [182.0, 160.0]])  # 82 wide, 100 tall, its middle at (141, 110)


def ramp(height: int = 300, width: int = 400) -> np.ndarray:
    """Red is the column / 2, green the row / 2, blue 200."""
    row, column = np.mgrid[:height, :width]
    return np.stack([column // 2, row // 2, np.full_like(row, 200)], 2).astype(np.uint8)


@pytest.mark.parametrize("rule, side", [(SMIRK, 127), (DECA, 125)])  # 91 * 1.4 = 127.4; 91 * 1.1 * 1.25 = 125.1
def test_the_square_fills_the_crop(rule, side) -> None:
    points = np.zeros((68, 2)) + SQUARE.mean(0)
    points[:2] = SQUARE
    crop = crop_of(points, rule)
    corners = np.array([[141 - side / 2, 110 - side / 2], [141 + side / 2, 110 + side / 2]])
    np.testing.assert_allclose(crop.points(corners), [[0, 0], [223, 223]], atol=1e-9)
    np.testing.assert_allclose(crop.to_crop @ crop.to_picture, np.eye(3), atol=1e-12)


def test_a_detectors_box() -> None:
    """DECA's bbox: (82 + 100) / 2 * 1.25 = 113.75, cut to 113, and 91 * .12 = 10.92 pixels lower."""
    box = SQUARE.reshape(-1)
    corners = np.array([[141 - 56.5, 120.92 - 56.5], [141 + 56.5, 120.92 + 56.5]])
    np.testing.assert_allclose(crop_of_box(box).points(corners), [[0, 0], [223, 223]], atol=1e-9)
    points = np.zeros((68, 2)) + SQUARE.mean(0)
    points[:2] = SQUARE
    np.testing.assert_array_equal(crop_of_box(box, DECA).to_crop, crop_of(points, DECA).to_crop)
    for wrong in ([1, 2, 3], [0, 0, np.nan, 1], [5, 5, 5, 5]):
        with pytest.raises(UsageError):
            crop_of_box(wrong)


def test_values_are_those_of_the_picture() -> None:
    crop = Crop(np.array([[2.0, 0, -100], [0, 2.0, -80], [0, 0, 1]]))  # half a pixel a step, from (50, 40)
    out = cut_out(ramp(), crop) * 255
    assert out.shape == (3, 224, 224)
    np.testing.assert_allclose(out[0, 0, ::4], 25 + np.arange(56), atol=1e-4)
    np.testing.assert_allclose(out[1, ::4, 0], 20 + np.arange(56), atol=1e-4)
    np.testing.assert_allclose(out[2], 200, atol=1e-4)
    np.testing.assert_allclose(out[0, 0, 3], 25.5, atol=1e-4)  # between columns 51 (25) and 52 (26)


def test_levels_are_cut_not_rounded() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, 10:] = 255
    half = Crop(np.array([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 1]]), 40)
    assert cut_out(picture, half)[0, 5, 19] == pytest.approx(0.5)
    assert cut_out(picture, Crop(half.to_crop, 40, levels=True))[0, 5, 19] == np.float32(127 / 255)


def test_black_outside() -> None:
    crop = Crop(np.array([[1.0, 0, 10], [0, 1.0, 10], [0, 0, 1]]))  # begins 10 pixels beyond the top left corner
    out = cut_out(np.full((50, 60, 3), 255, np.uint8), crop)
    assert out[:, :10].max() == 0
    assert out[:, :, :10].max() == 0
    assert out[:, 10:60, 10:70].min() == 1
    assert out[:, 61:].max() == 0
    far = cut_out(np.full((50, 60, 3), 255, np.uint8), Crop(np.array([[1.0, 0, 900], [0, 1.0, 900], [0, 0, 1]])))
    assert far.max() == 0


def test_points_find_back() -> None:
    crop = crop_of(np.vstack([SQUARE, np.zeros((66, 2)) + 140]), DECA)
    pixels = np.array([[[120.0, 90.0], [150.5, 131.25]]])
    np.testing.assert_allclose(crop.on_picture((crop.points(pixels) / 224 - 0.5) * 2), pixels)


def test_the_68_points_are_a_face() -> None:
    assert len(set(POINTS_68.tolist())) == 68
    other = np.r_[np.arange(17)[::-1], np.arange(26, 16, -1), np.arange(27, 31), np.arange(35, 30, -1),
                  [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40],
                  [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]]  # fmt: skip
    assert MIRROR[POINTS_68].tolist() == POINTS_68[other].tolist()  # the other side of each is the other side's
    shape = MEAN[POINTS_68]
    assert (np.diff(shape[:17, 0]) > 0).all()  # the contour goes from the subject's right to the left
    assert shape[8, 1] == shape[:, 1].min()
    for outer, inner in ((36, 39), (45, 42)):
        assert abs(shape[outer, 0]) > abs(shape[inner, 0])
    assert (shape[60:68, 1] < shape[51, 1]).all()
    assert (shape[60:68, 1] > shape[57, 1]).all()


def test_the_68_points_are_those_of_another_head(shared) -> None:
    """ICT-FaceKit says where its 68 landmarks are, and where FaceMesh's points lie on it."""
    path = shared / "ict-facekit.npz"
    if not path.is_file() or not (shared / "ict-facemesh.npz").is_file():
        pytest.skip(f"ICT-FaceKit is not at {path}")
    with np.load(path) as head, np.load(shared / "ict-facemesh.npz") as mesh:
        points = head["neutral"]
        marks = head["landmarks68"].copy()
        marks[:8], marks[9:17] = head["jawline_right"], head["jawline_left"]
        found = (points[mesh["vertex"]] * mesh["barycentric"][..., None]).sum(1)[POINTS_68]
    wanted = points[marks]
    apart = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted[36] - wanted[45])
    assert apart[17:].mean() < 0.035
    assert apart[:17].mean() < 0.125
    assert apart.max() < 0.22
    low, high = (np.ptp(which[:, :2], axis=0).mean() for which in (found, wanted))
    assert abs(low / high - 1) < 0.03  # the crop's size


def test_facemesh_gives_its_68_to_deca_alone() -> None:
    points = np.tile([141.0, 110.0, 0.0], (478, 1))
    points[POINTS_68[0], :2], points[POINTS_68[8], :2] = SQUARE
    points[10, :2] = [140, 0]  # the top of the forehead, which 68 points don't reach
    np.testing.assert_allclose(crop_of(points, DECA).points([[141 - 62.5, 110 - 62.5]]), [[0, 0]], atol=1e-9)
    assert crop_of(points, SMIRK).to_crop[0, 0] == pytest.approx(223 / 169)  # (82 + 160) / 2 * 1.4 = 169.4


def test_batches_and_video() -> None:
    assert cut_out_all([], []).shape == (0, 3, 224, 224)
    crops = [Crop(np.array([[2.0, 0, -x], [0, 2.0, -x], [0, 0, 1]])) for x in (0, 40, 0, 40, 0, 40)]
    assert cut_out_all([ramp()] * 6, crops).shape == (6, 3, 224, 224)
    still = smoothed([crops[0]] * 6)
    np.testing.assert_allclose([c.to_crop for c in still], [crops[0].to_crop] * 6, atol=1e-9)
    calm = np.array([c.to_crop[0, 2] for c in smoothed(crops)])
    assert np.ptp(calm) < 0.5 * 40
    np.testing.assert_allclose([c.to_crop for c in smoothed(crops, 0)], [c.to_crop for c in crops])


@pytest.mark.parametrize(
    "points", [np.zeros((68, 2)), np.full((68, 2), np.nan), np.zeros((5, 2)), np.zeros(3)], ids=str
)
def test_what_is_no_face(points) -> None:
    with pytest.raises(UsageError):
        crop_of(points, DECA)


def test_what_is_no_picture() -> None:
    with pytest.raises(UsageError, match="uint8"):
        cut_out(np.zeros((20, 20, 3)), Crop(np.eye(3)))
    with pytest.raises(UsageError, match="2 pictures and 1 crops"):
        cut_out_all([ramp()] * 2, [Crop(np.eye(3))])


def test_a_real_face_lies_in_the_middle(shared) -> None:
    from controls.tracker import FaceTracker
    from studio.media import read_image

    path = next(iter(sorted((shared / "data" / "portraits").rglob("*.jpg"))))
    picture = read_image(path).rgb
    seen = FaceTracker().observe(picture)[0].landmarks
    for rule, least in ((DECA, 0.6), (SMIRK, 0.6)):
        inside = crop_of(seen, rule).points(seen[POINTS_68])
        assert (
            np.abs((inside.min(0) + inside.max(0)) / 2 - 112).max() < 25
        )  # the box of all points reaches to the hairline
        assert np.ptp(inside, axis=0).mean() / 224 > least
