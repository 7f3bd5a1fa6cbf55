"""A photo's person in the miniature's numbers, measured on large renders of persons whose numbers are known."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="the miniature runs on torch (extra: models)")

from avatars.render3d import RigRenderer
from demos.miniature.judge import correlations
from demos.miniature.people import IDENTITY, identity_numbers, random_person
from demos.miniature.photo import photo_embedding, photo_numbers
from demos.miniature.pictures import CAMERA, Painter
from studio.errors import NoFaceError


def large(person: np.ndarray, side: int = 384) -> np.ndarray:
    rig = Painter(person).rig
    renderer = RigRenderer(rig, (side, side))
    renderer.camera, renderer.background = CAMERA.scaled(side / CAMERA.size[0]), (96, 100, 106)
    return renderer.draw(rig.vertices(np.zeros(52, np.float32), np.zeros(6, np.float32)))


def test_a_person_is_found_again_in_a_picture():
    pick = np.random.default_rng(77)
    persons = np.stack([random_person(pick) for _ in range(10)])
    told = np.stack([photo_numbers(large(person)) for person in persons])
    r = dict(zip(IDENTITY, correlations(told, persons), strict=True))
    sure = [r[name] for name in ("lower_face_width", "nose_length", "eye_distance", "mouth_width", "skin")]
    assert min(sure) > 0.7
    assert told.std() > 0.15


def test_an_embedding_holds_the_numbers_and_a_wall_has_none():
    picture = large(np.zeros(12, np.float32))
    np.testing.assert_allclose(identity_numbers(photo_embedding(picture)), photo_numbers(picture), atol=1e-4)
    with pytest.raises(NoFaceError):
        photo_numbers(np.full((128, 128, 3), 90, np.uint8))
