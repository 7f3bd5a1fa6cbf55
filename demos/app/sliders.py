"""Many sliders as one part of the page: a drag then sends one value, not a hundred."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demos.app.stubs import without_stubs
from studio.errors import UsageError


@dataclass(frozen=True)
class Slider:
    """A slider that stands at 0 at first; `key` names it in the value."""

    key: str
    label: str
    low: float
    high: float
    step: float = 0.05


@dataclass(frozen=True)
class Group:
    """Sliders under one heading."""

    title: str
    sliders: tuple[Slider, ...]
    open: bool = False


with without_stubs():

    class Sliders(gr.HTML):
        """Groups of sliders whose value is {key: position}, without those at 0. Events: input (dragged), release."""

        def __init__(self, groups: Sequence[Group], *, label: str, **options: Any) -> None:
            self._sliders = {slider.key: slider for group in groups for slider in group.sliders}
            shown = [
                {"title": group.title, "open": group.open, "sliders": [vars(slider) for slider in group.sliders]}
                for group in groups
            ]
            super().__init__(
                value={},
                label=label,
                html_template="<div class='sliders' role='group'></div>",
                css_template=_CSS,
                js_on_load=f"const groups = {json.dumps(shown)}, title = {json.dumps(label)};{_JS}",
                apply_default_css=False,
                elem_classes="sliders-block",
                **options,
            )

        def preprocess(self, payload: Any) -> dict[str, float]:
            """Positions that the sliders have; raises UsageError for others."""
            return self.read(payload)

        def postprocess(self, value: Any) -> dict[str, float]:
            """Positions for the page."""
            return self.read(value)

        def read(self, value: Any, *, lenient: bool = False) -> dict[str, float]:
            """Positions without those at 0; what no slider can have is an error, or is left out where `lenient`."""
            found = {}
            for key, position in (value or {}).items() if isinstance(value or {}, dict) else ():
                slider, number = self._sliders.get(key), _number(position)
                if slider is not None and number is not None and slider.low <= number <= slider.high:
                    found |= {key: round(number, 4)} if number else {}
                elif not lenient:
                    known = (
                        "no such slider" if slider is None else f"give a number from {slider.low:g} to {slider.high:g}"
                    )
                    raise UsageError(f"{key}={position}: {known}")
            return found

        def api_info(self) -> dict[str, Any]:
            """A table of numbers."""
            return {"type": "object", "additionalProperties": {"type": "number"}}

        def example_payload(self) -> dict[str, float]:
            """Of one slider."""
            return {next(iter(self._sliders)): 0.0}

        example_value = example_payload


def _number(text: Any) -> float | None:
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e6 else None


_JS = """
const root = element.querySelector('.sliders'), ranges = [];
root.setAttribute('aria-label', title);
const make = (kind, parent, set) => parent.appendChild(Object.assign(document.createElement(kind), set));
const paint = (range, number, position) => {
    range.value = number.value = position;
    const at = value => 100 * (value - range.min) / (range.max - range.min);
    const [from, to] = [at(0), at(position)].sort((a, b) => a - b);
    range.style.setProperty('--from', from + '%');
    range.style.setProperty('--to', to + '%');
};
const send = event => {
    props.value = Object.fromEntries(ranges.filter(r => +r.value).map(r => [r.dataset.key, +r.value]));
    trigger(event);
};
for (const group of groups) {
    const panel = make('details', root, {open: group.open});
    make('summary', panel, {textContent: group.title});
    const grid = make('div', panel, {className: 'grid'});
    for (const {key, label, low, high, step} of group.sliders) {
        const row = make('div', grid, {className: 'slider'});
        const name = make('span', row, {textContent: label, title: 'Double-click: back to 0'});
        const limits = {min: low, max: high, step};
        const number = make('input', row, {type: 'number', ...limits, ariaLabel: 'number for ' + label});
        const range = make('input', row, {type: 'range', ...limits, ariaLabel: label});
        range.dataset.key = key;
        ranges.push(range);
        const move = (position, event) => { paint(range, number, position); send(event); };
        range.addEventListener('input', () => move(range.value, 'input'));
        range.addEventListener('change', () => move(range.value, 'release'));
        number.addEventListener('change', () => {
            move(Math.min(high, Math.max(low, +number.value || 0)), 'input');
            send('release');
        });
        name.addEventListener('dblclick', () => { move(0, 'input'); send('release'); });
    }
}
const show = () => ranges.forEach(r => paint(r, r.previousElementSibling, (props.value || {})[r.dataset.key] || 0));
show();
watch('value', show);
"""

_CSS = """
details {border: 1px solid var(--border-color-primary); border-radius: var(--block-radius); margin-bottom: 10px;
  background: var(--block-background-fill); overflow: hidden}
summary {padding: 9px 12px; cursor: pointer; font-weight: 500; color: var(--body-text-color)}
summary:focus-visible, input:focus-visible {outline: 2px solid var(--color-accent); outline-offset: -2px}
.grid {display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px 14px;
  padding: 2px 12px 12px}
.slider {display: grid; grid-template-columns: 1fr auto; align-items: center; gap: 2px 6px; min-width: 0}
.slider span {font-size: var(--text-sm); color: var(--body-text-color); line-height: 1.2; overflow-wrap: anywhere}
input[type=number] {width: 58px; padding: 1px 4px; font-size: var(--text-sm); text-align: right;
  color: var(--body-text-color); background: var(--input-background-fill); border-radius: 6px;
  border: 1px solid var(--input-border-color)}
input[type=range] {grid-column: 1 / -1; width: 100%; height: 20px; margin: 0; background: none; appearance: none;
  cursor: pointer; border-radius: 6px}
input[type=range]::-webkit-slider-runnable-track {height: 5px; border-radius: 3px;
  background: linear-gradient(to right, var(--neutral-300) var(--from), var(--slider-color) var(--from) var(--to),
  var(--neutral-300) var(--to))}
input[type=range]::-moz-range-track {height: 5px; border-radius: 3px; background:
  linear-gradient(to right, var(--neutral-300) var(--from), var(--slider-color) var(--from) var(--to),
  var(--neutral-300) var(--to))}
input[type=range]::-webkit-slider-thumb {appearance: none; width: 16px; height: 16px; margin-top: -5.5px;
  border-radius: 50%; background: #fff; border: 1px solid var(--neutral-400); box-shadow: 0 1px 3px rgb(0 0 0 / .25)}
input[type=range]::-moz-range-thumb {width: 14px; height: 14px; border-radius: 50%; background: #fff;
  border: 1px solid var(--neutral-400)}
@media (max-width: 720px) {
  .grid {grid-template-columns: 1fr 1fr; gap: 12px}
  input[type=range] {height: 30px}
}
"""
