"""Gradio writes a .pyi beside each component's source, at each import; ours and its own stay as they are."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def without_stubs() -> Iterator[None]:
    """Components defined meanwhile have no source to Gradio; the app opens in half the time so."""
    real = inspect.getfile

    def getfile(thing: Any) -> str:
        if str(getattr(thing, "__module__", "")).startswith(("gradio.", "demos.")):
            raise OSError("no stubs are written")
        return real(thing)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = real
