import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pipeline_fakes import Tracker, face

from pipelines.portrait import Portrait, choose, cropped, read_picture, read_portrait, resized
from studio.errors import NoFaceError, UsageError


def picture(width=320, height=240):
    ramp = np.linspace(0, 255, width, dtype=np.uint8)
    return np.broadcast_to(ramp[None, :, None], (height, width, 3)).copy()


def test_arrays_and_pil_images_are_pictures():
    rgb, alpha, _ = read_picture(picture())
    assert rgb.shape == (240, 320, 3) and alpha is None
    clear = Image.new("RGBA", (20, 10), (1, 2, 3, 4))
    rgb, alpha, _ = read_picture(clear)
    assert rgb.shape == (10, 20, 3) and (alpha == 4).all() and (rgb == [1, 2, 3]).all()


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), 3])
def test_other_things_are_not(wrong):
    with pytest.raises(UsageError):
        read_picture(wrong)


def test_transparent_parts_show_the_background():
    alpha = np.zeros((240, 320), np.uint8)
    alpha[:, 160:] = 255
    over = Portrait(picture(), alpha, ()).over()
    assert (over[:, :160] == 255).all() and (over[:, 160:] == picture()[:, 160:]).all()


def test_choosing_a_face():
    faces = [face((50 * k, 50), 20, (320, 240), k) for k in (1, 2, 3)]
    assert choose(faces, 0, "x") == ((faces[0],), (faces[1], faces[2]))
    assert choose(faces, "all", "x") == (tuple(faces), ())
    with pytest.raises(UsageError, match="3 faces were found"):
        choose(faces, 3, "x")


def test_no_face_names_the_file(tmp_path):
    class Blind:
        def observe(self, image, thorough=True):
            raise NoFaceError("no face (best score 0.10)")

    path = tmp_path / "tree.png"
    Image.fromarray(picture()).save(path)
    with pytest.raises(NoFaceError, match=r"tree\.png"):
        read_portrait(path, Blind())


def test_the_only_face_may_move_the_whole_picture():
    assert Portrait(picture(), None, (face((160, 120), 40, (320, 240)),)).regions() == [(0, 0, 320, 240)]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(15, 30)),
        min_size=2,
        max_size=12,
        unique_by=lambda f: f[:2],
    )
)
def test_regions_of_a_crowd_never_overlap(places):
    size = (900, 800)
    faces = tuple(face((75 + 150 * x, 90 + 190 * y), s, size, k) for k, (x, y, s) in enumerate(places))
    taken = np.zeros(size[::-1], int)
    for (x0, y0, x1, y1), one in zip(Portrait(picture(*size), None, faces).regions(), faces, strict=True):
        assert x0 <= one.box[0] and y0 <= one.box[1] and x1 >= one.box[2] and y1 >= one.box[3]
        taken[y0:y1, x0:x1] += 1
    assert taken.max() == 1


@pytest.mark.parametrize(
    "size, expected", [(160, (160, 120)), (641, (640, 480)), ((100, 200), (100, 200)), ((400, 100), (400, 100))]
)
def test_landmarks_move_with_the_picture(size, expected):
    """A dark dot under a landmark is under it afterwards."""
    image = np.full((240, 320, 3), 255, np.uint8)
    one = face((160, 120), 20, (320, 240))
    spot = one.landmarks[1, :2]
    yy, xx = np.mgrid[:240, :320]
    image[np.hypot(xx - spot[0], yy - spot[1]) < 6] = 0
    small = resized(Portrait(image, None, (one,)), size)
    assert small.size == expected and small.faces[0].size == expected
    dark = 255.0 - small.rgb[..., 0]
    yy, xx = np.mgrid[: expected[1], : expected[0]]
    centre = np.array([(xx * dark).sum(), (yy * dark).sum()]) / dark.sum()
    assert np.abs(centre - small.faces[0].landmarks[1, :2]).max() < 1.0


def test_read_portrait_uses_the_tracker():
    seen = read_portrait(picture(), Tracker(), size=(100, 100))
    assert seen.size == (100, 100) and len(seen.faces) == 1


def test_cropping_keeps_landmarks_in_place():
    one = face((160, 120), 40, (320, 240))
    part = cropped(one, (100, 50, 220, 200))
    assert part.size == (120, 150)
    assert np.allclose(part.landmarks[:, :2] + [100, 50], one.landmarks[:, :2])
