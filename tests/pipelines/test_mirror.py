"""A portrait that does what a face before a camera does, on pictures whose expression is known."""

from __future__ import annotations

import numpy as np
import pytest

from demos.cli.options import sample
from pipelines import ExpressionEditPipeline, MirrorPipeline
from studio.errors import NoFaceError

MOUTH, EYES = np.s_[85:115, 95:130], np.s_[50:68, 85:145]


@pytest.fixture(scope="module")
def actor():
    """Makes pictures of an expression, 256 pixels wide."""
    edit = ExpressionEditPipeline().prepare(sample("astronaut.jpg"), size=256)
    return lambda **settings: edit(**settings).image


def changed(picture, other, place):
    return float(np.abs(picture[place].astype(int) - other[place]).mean())


def test_the_portrait_does_what_the_face_does(actor):
    mirror = MirrorPipeline(sample("astronaut.jpg"), size=256, fps=5)
    rest = actor(neutralize=1.0)
    still = [mirror(rest) for _ in range(5)]
    assert all(np.array_equal(picture, mirror._edit.portrait.rgb) for picture in still)
    calm = [mirror(rest) for _ in range(3)][-1]
    assert changed(calm, still[0], np.s_[:]) < 1
    open_ = actor(neutralize=1.0, shapes={"jawOpen": 0.7})
    opened = [mirror(open_) for _ in range(4)][-1]
    assert changed(opened, calm, MOUTH) > max(8, 1.5 * changed(opened, calm, EYES))
    gone = mirror(np.full_like(rest, 90))
    assert changed(gone, opened, MOUTH) < 1  # held
    turned = [mirror(actor(neutralize=1.0, yaw=15.0)) for _ in range(6)][-1]
    wanted = ExpressionEditPipeline()(still[0], yaw=15.0).image
    assert changed(turned, wanted, np.s_[20:150, 60:170]) < 0.6 * changed(still[0], wanted, np.s_[20:150, 60:170])


def test_a_portrait_without_a_face_is_told():
    with pytest.raises(NoFaceError):
        MirrorPipeline(np.full((128, 128, 3), 90, np.uint8))
