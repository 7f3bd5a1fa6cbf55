"""Streams between threads: the next block is made while the last one is used, and nothing piles up."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
_END = object()


def prefetch(items: Iterable[T], depth: int = 2) -> Iterator[T]:
    """The same items, made in a thread of their own at most `depth` ahead of their use.

    An exception of the source appears at the reader after the items made before it. When the reader
    stops early (closes the generator, or an exception passes through it) the thread ends as well.
    """
    queue: Queue = Queue(depth)
    stop = threading.Event()

    def put(item: object) -> bool:
        while not stop.is_set():
            try:
                queue.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        source = iter(items)
        try:
            for item in source:
                if not put((item, None)):
                    break
            else:
                put((_END, None))
        except BaseException as error:  # handed over to the reader, who raises it
            put((_END, error))
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while True:
            try:
                item, error = queue.get(timeout=0.2)  # short waits, so that Ctrl-C gets through
            except Empty:
                continue
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stop.set()
        thread.join(timeout=2.0)
