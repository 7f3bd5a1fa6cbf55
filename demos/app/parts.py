"""What several tabs have: the sample files, reading of small choices, the line under a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from demos.app.desk import Desk, Job
from studio.errors import UsageError

ASSETS = Path(__file__).resolve().parent.parent / "assets"
PORTRAIT = str(ASSETS / "astronaut.jpg")
SPEECH = str(ASSETS / "speech.wav")

FACES = ["1", "2", "3", "4", "5", "6"]
"""The largest first; a list can take other numbers as well."""

WORK = {"concurrency_id": "work"}
"""Of all events that take long: they share the places at work."""

QUIET = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
"""Of small events that only the page itself uses."""


def read_face(text: Any, *, several: bool = True) -> int | str:
    """0, 1, ... or "all" of "1" (the largest), "2", ..., "all"."""
    word = str(text or "1").strip().lower()
    if word == "all" and several:
        return word
    if not word.isdigit() or int(word) < 1:
        words = ", or all" if several else ""
        raise UsageError(f"face {text!r}: give 1 for the largest face, 2 for the next{words}")
    return int(word) - 1


def one_of(first: str | None, second: str | None, words: str) -> str:
    """The one source that is given."""
    if first and second:
        raise UsageError(f"two sources: clear one of them, {words}")
    if not first and not second:
        raise UsageError(f"nothing to work with yet: give {words}")
    return first or second or ""


def stem(path: str | Path) -> str:
    """A file's name without ending, short."""
    return Path(path).stem[:60] or "face"


def line(saved: Any) -> str:
    """What was written, without its place."""
    return f"**{saved.path.name}**{str(saved).removeprefix(str(saved.path))}"


def sample(values: list[str], parts: list[Any], words: str, name: str) -> Any:
    """A press that fills parts with what comes with the package; returns its event."""
    named = dict(label="Try this", example_labels=[words], api_name=f"{name}_example")
    return gr.Examples([values], parts, cache_examples=False, **named).load_input_event


def stops(desk: Desk, button: gr.Button, event: Any) -> None:
    """Lets a button stop the page's work."""

    def stop(request: gr.Request) -> None:
        stopped = desk.stop(request)
        gr.Info("Stopped; no file was left behind." if stopped else "Nothing is running.", duration=4)

    button.click(
        stop, cancels=[event], api_visibility="private", show_progress="hidden", concurrency_limit=None
    )  # in the queue, or its words would not reach the page


def table(name: str) -> gr.JSON:
    """A parameter of names and numbers, told as such to programs (to Gradio any JSON is alike)."""
    table = gr.JSON(value={}, label=name, visible=False)
    table.api_info = lambda: {"type": "object", "additionalProperties": {"type": "number"}}
    return table


def names(paths: list[Path]) -> list[str]:
    """Paths as Gradio takes them."""
    return [str(path) for path in paths]


__all__ = ["ASSETS", "FACES", "PORTRAIT", "QUIET", "SPEECH", "WORK", "Job", "line", "names", "one_of", "read_face"]
__all__ += ["sample", "stem", "stops", "table"]
