import threading
import time

import pytest

from pipelines.streams import prefetch


def test_items_arrive_in_order():
    assert list(prefetch(iter(range(100)))) == list(range(100))


def test_no_more_than_the_depth_is_made_ahead():
    made = []

    def source():
        for k in range(50):
            made.append(k)
            yield k

    stream = prefetch(source(), depth=2)
    assert next(stream) == 0
    time.sleep(0.2)
    assert len(made) <= 4  # one used, two waiting, one in the maker's hand
    stream.close()


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch(source()):
            seen.append(item)
    assert seen == [1, 2]


def test_the_source_is_closed_when_the_reader_stops():
    closed = threading.Event()

    def source():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    stream = prefetch(source())
    next(stream)
    stream.close()
    assert closed.wait(3)
