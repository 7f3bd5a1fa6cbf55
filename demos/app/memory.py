"""Settings that stay in the browser, which alone stores them, and come back when the page is opened again."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from gradio.context import Context

from demos.app.parts import QUIET
from demos.app.sliders import Sliders

SECRET = "face-studio"
"""The browser's copy has to be readable by the next run of the app; nothing in it is confidential."""


def store(tab: str) -> gr.BrowserState:
    """What a tab keeps. Made outside the tabs: those that are not open have no parts in the browser yet."""
    return gr.BrowserState({}, storage_key=f"face-studio-{tab}", secret=SECRET)


def remember(kept: gr.BrowserState, fields: dict[str, Any]) -> dict[str, Any]:
    """Keeps what parts of a tab stand at, by names that should not change.

    Returns arguments of a listener that keeps them now, for changes that are not the user's.
    """
    names, parts = list(fields), list(fields.values())

    def restore(stored: Any) -> Any:
        stored = stored if isinstance(stored, dict) else {}
        values = [accepted(part, stored.get(name)) for name, part in fields.items()]
        return values if len(values) > 1 else values[0]

    gather = f"(...all) => Object.fromEntries({json.dumps(names)}.map((name, k) => [name, all[k]]))"
    now = dict(fn=None, inputs=parts, outputs=kept, js=gather, api_visibility="private", show_progress="hidden")
    gr.on([part.release if isinstance(part, Sliders) else part.change for part in parts], **now)
    Context.root_block.load(restore, kept, parts, **QUIET)
    return now


def accepted(part: Any, value: Any) -> Any:
    """The value, or no change where the part can't have it (the page may be newer than what was stored)."""
    if isinstance(part, Sliders):
        return part.read(value, lenient=True)
    if isinstance(part, gr.Checkbox):
        fits = isinstance(value, bool)
    elif isinstance(part, (gr.Slider, gr.Number)):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if fits and isinstance(part, gr.Slider):
            fits = part.minimum <= value <= part.maximum
    elif isinstance(part, gr.CheckboxGroup):
        allowed = [choice for _, choice in part.choices]
        fits = isinstance(value, list) and all(word in allowed for word in value)
    elif isinstance(part, gr.Dropdown):
        fits = isinstance(value, str) and (part.allow_custom_value or value in [choice for _, choice in part.choices])
    else:
        fits = isinstance(value, str)
    return value if fits else gr.update()
