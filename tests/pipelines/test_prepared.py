import threading

import numpy as np
import pytest
from pipeline_fakes import Avatar, Tracker, face

from pipelines import ExpressionEditPipeline
from studio.errors import UsageError


def picture():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def two_faces():
    return Tracker(face((20, 30), 8, (80, 60), 0), face((60, 30), 8, (80, 60), 1))


def test_it_edits_as_the_pipeline_does_with_one_avatar():
    made = []

    def avatar(*args, **kwargs):
        made.append(Avatar(*args, **kwargs))
        return made[-1]

    image = picture()
    prepared = ExpressionEditPipeline(Tracker(), avatar).prepare(image)
    assert np.array_equal(prepared().image, image) and made == []
    for yaw in (5, 10, 15):
        expected = ExpressionEditPipeline(Tracker(), Avatar)(image, yaw=yaw, shapes={"jawOpen": 0.5}).image
        assert np.array_equal(prepared(yaw=yaw, shapes={"jawOpen": 0.5}).image, expected)
    assert len(made) == 1
    assert np.array_equal(prepared().image, image)


def test_one_face_of_several():
    prepared = ExpressionEditPipeline(two_faces(), Avatar).prepare(picture(), face="all")
    left = prepared.only(0)(shapes={"jawOpen": 1.0}).image
    right = prepared.only(1)(shapes={"jawOpen": 1.0}).image
    both = prepared(shapes={"jawOpen": 1.0}).image
    assert left[30, 20, 0] == 255 and np.array_equal(left[:, 60:], picture()[:, 60:])
    assert right[30, 60, 0] == 255 and np.array_equal(right[:, :20], picture()[:, :20])
    assert both[30, 20, 0] == both[30, 60, 0] == 255
    with pytest.raises(UsageError, match="2 faces"):
        prepared.only(2)


def test_threads_take_turns():
    busy = threading.Lock()

    class Careful(Avatar):
        def render_frame(self, weights, *args, **kwargs):
            assert busy.acquire(blocking=False), "two threads draw at once"
            try:
                return super().render_frame(weights, *args, **kwargs)
            finally:
                busy.release()

    prepared = ExpressionEditPipeline(Tracker(), Careful).prepare(picture())
    results = {}

    def work(k):
        results[k] = prepared(shapes={"jawOpen": k / 10}).image[30, 40, 0]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 9)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results == {k: int(255 * np.float32(k / 10)) for k in range(1, 9)}


def test_it_is_made_smaller_where_asked():
    prepared = ExpressionEditPipeline(Tracker(), Avatar).prepare(picture(), size=40)
    assert prepared(yaw=5).image.shape == (30, 40, 3)
