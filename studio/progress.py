"""Progress of long work: events for Python callbacks, a bar on a terminal, JSON lines for programs."""

from __future__ import annotations

import atexit
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO, TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class Progress:
    """stage names the work; done items of total (None: unknown) after `seconds`; eta in seconds or None."""

    stage: str
    done: int
    total: int | None
    seconds: float
    eta: float | None = None


Report = Callable[[Progress], None]


def track(
    items: Iterable[Item], stage: str, total: int | None = None, progress: Report | None = None
) -> Iterator[Item]:
    """The same items; `progress` hears of the start, then at most ten times a second, and of the end.

    An exception that `progress` raises stops the work: raise `studio.errors.Cancelled`.
    """
    if progress is None:
        yield from items
        return
    began = told = time.monotonic()
    progress(Progress(stage, 0, total, 0.0))
    done = 0
    try:
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - told >= 0.1:
                told, seconds = now, now - began
                eta = seconds / done * (total - done) if total else None
                progress(Progress(stage, done, total, seconds, eta if eta is None else max(0.0, eta)))
        progress(Progress(stage, done, done, time.monotonic() - began, 0.0))
    finally:
        close = getattr(progress, "close", None)
        if close is not None:
            close()


class JsonProgress:
    """One JSON object a line on stderr (or `file`): stage, done, total, seconds, eta."""

    def __init__(self, file: TextIO | None = None) -> None:
        self.file = sys.stderr if file is None else file

    def __call__(self, event: Progress) -> None:
        print(
            json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(event).items()}),
            file=self.file,
            flush=True,
        )


class TerminalProgress:
    """A bar with the time left, on stderr. `close` takes it away and gives the cursor back."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, event: Progress) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
            self._bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(event.stage, total=event.total)
            self._bar.start()
            atexit.register(self.close)  # whatever ends the work
        self._bar.update(self._task, completed=event.done, total=event.total, description=event.stage)
        if event.total is not None and event.done >= event.total:
            self.close()

    def close(self) -> None:
        """Takes the bar away; the next event would bring a new one."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            atexit.unregister(self.close)
