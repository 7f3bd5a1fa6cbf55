"""What a tab's function works with: its session, files of its own, progress, cancel, and errors as toasts."""

from __future__ import annotations

import functools
import html
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from demos.app.identity import COOKIE, Identity
from demos.app.settings import Settings
from demos.app.workplace import Workplace
from studio.errors import FaceStudioError, UsageError
from studio.progress import Progress

MOST_PREPARED = 12
"""Photos that are held ready for live preview, of all sessions together; the one unused longest goes."""

log = logging.getLogger("face-studio.app")


@dataclass
class Job:
    """Work for one session: files made with `new`, progress told with `tell`, stopped through `cancel`."""

    session: str
    workplace: Workplace
    bar: Any
    cancel: threading.Event = field(default_factory=threading.Event)

    def new(self, name: str) -> Path:
        """Where a result of that name goes."""
        return self.workplace.new(self.session, name)

    def tell(self, event: Progress) -> None:
        """Shows a step of a pipeline with the time that is left."""
        left = "" if event.eta is None else f", {_time(event.eta)} left"
        if event.total:
            self.bar((event.done, event.total), desc=f"{event.stage}{left}", unit="frames")
        else:
            self.bar(None, desc=f"{event.stage}: {event.done} frames")


class Desk:
    """One for the app; every method is told whose request it serves."""

    def __init__(self, settings: Settings, workplace: Workplace, identity: Identity) -> None:
        self.settings, self.workplace, self.identity = settings, workplace, identity
        self.kept: dict[str, gr.BrowserState] = {}  # what the browser remembers, by the titles of tabs
        self._lock = threading.Lock()
        self._running: dict[str, set[threading.Event]] = {}
        self._prepared: OrderedDict[tuple, Any] = OrderedDict()

    @property
    def limits(self) -> Any:
        """Of uploads and sessions."""
        return self.settings.limits

    def session(self, request: gr.Request) -> str:
        """Whose request it is."""
        name = self.identity.read(request.cookies.get(COOKIE))
        if name is None:
            raise UsageError("the session is not known: reload the page")
        return name

    @contextmanager
    def job(self, request: gr.Request, progress: Any) -> Iterator[Job]:
        """Work that Stop, or the page's end, can stop."""
        page = _page(request)
        job = Job(self.session(request), self.workplace, progress)
        with self._lock:
            self._running.setdefault(page, set()).add(job.cancel)
        try:
            yield job
        finally:
            with self._lock:
                mine = self._running.get(page, set())
                mine.discard(job.cancel)
                if not mine:
                    self._running.pop(page, None)

    def stop(self, request: gr.Request) -> int:
        """Stops the jobs of a page; returns how many there were."""
        with self._lock:
            events = list(self._running.get(_page(request), ()))
        for event in events:
            event.set()
        return len(events)

    def leave(self, request: gr.Request) -> None:
        """A page was closed: its jobs stop, what was prepared for it goes."""
        self.stop(request)
        with self._lock:
            for key in [key for key in self._prepared if key[0] == _page(request)]:
                del self._prepared[key]

    def prepared(self, request: gr.Request, key: tuple, make: Callable[[], Any]) -> Any:
        """What `make` made for this page and key, made once and held while it is among the last used."""
        whole = (_page(request), *key)
        with self._lock:
            entry = self._prepared.setdefault(whole, _Once(make))
            self._prepared.move_to_end(whole)
            while len(self._prepared) > MOST_PREPARED:
                self._prepared.popitem(last=False)
        try:
            return entry()
        except BaseException:
            with self._lock:
                self._prepared.pop(whole, None)
            raise


class _Once:
    """Calls a function once, whoever asks first; the others wait for it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._lock, self._value, self._done = make, threading.Lock(), None, False

    def __call__(self) -> Any:
        with self._lock:
            if not self._done:
                self._value, self._done = self._make(), True
            return self._value


def told(fn: Callable) -> Callable:
    """A tab's function whose errors become toasts that say what to do; a trace goes to the log at most."""

    @functools.wraps(fn)
    def careful(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except gr.Error:
            raise
        except FaceStudioError as error:
            raise gr.Error(toast(error), title="Please check", duration=15, print_exception=False) from None
        except MemoryError:
            words = "Not enough memory for this; choose a smaller size."
            raise gr.Error(words, title="Too large", print_exception=False) from None
        except Exception as error:
            log.exception("%s failed", getattr(fn, "__name__", "a function"))
            words = f"This is a bug of ours ({type(error).__name__}); the server's log tells where."
            raise gr.Error(words, title="Sorry", print_exception=False) from None

    return careful


def toast(error: BaseException, *, markup: bool = True) -> str:
    """An error's words without places on the server's disk but the models' folder; harmless as HTML if `markup`."""
    from studio.weights import models_folder

    words = " ".join(str(error).replace(f"{models_folder()}{os.sep}", "models:").split())
    words = re.sub(r"(?<![\w:/])(?:/[\w.+~-]+){2,}/|\b[A-Za-z]:(?:\\[\w.+~ -]+)+\\", "", words)
    words = (words[:1].upper() + words[1:]).replace("models:", "(the models' folder)/")
    return html.escape(words, quote=False) if markup else words


def _page(request: gr.Request) -> str:
    return str(request.session_hash or "")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
