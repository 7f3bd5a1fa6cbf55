"""Progress events, their reporters, and what doctor reports."""

from __future__ import annotations

import io
import json

import pytest

from studio.errors import Cancelled, MissingExtraError, require
from studio.progress import JsonProgress, Progress, TerminalProgress, track
from studio.system import problems, report


def test_first_and_last_event_are_always_told() -> None:
    seen: list[Progress] = []
    assert list(track(range(50), "work", 50, seen.append)) == list(range(50))
    assert (seen[0].done, seen[0].total, seen[-1].done, seen[-1].eta) == (0, 50, 50, 0.0)
    assert all(event.stage == "work" for event in seen)


def test_an_unknown_total_is_known_at_the_end() -> None:
    seen: list[Progress] = []
    list(track(iter("abc"), "work", None, seen.append))
    assert (seen[0].total, seen[-1].total, seen[-1].done) == (None, 3, 3)


def test_a_callback_can_stop_the_work() -> None:
    def stop(event: Progress) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        list(track(range(5), "work", 5, stop))


def test_json_lines() -> None:
    file = io.StringIO()
    list(track(range(3), "animate", 3, JsonProgress(file)))
    events = [json.loads(line) for line in file.getvalue().splitlines()]
    assert events[0]["stage"] == "animate" and events[-1]["done"] == 3
    assert set(events[0]) == {"stage", "done", "total", "seconds", "eta"}


def test_the_bar_goes_away_with_an_error() -> None:
    bar = TerminalProgress()

    def broken():
        yield 1
        raise ValueError

    with pytest.raises(ValueError):
        list(track(broken(), "work", 5, bar))
    assert bar._bar is None


def test_report_names_everything() -> None:
    facts = report()
    assert facts["packages"]["numpy"][0].isdigit() and facts["cores"] >= 1
    assert all("yes" in state for state in facts["codecs"].values())
    assert set(facts["optional"]) >= {"models", "demo", "export", "scale"}
    json.dumps(facts)
    assert problems() == []


def test_a_missing_package_names_its_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"face-studio\[models\]"):
        require("a_package_that_is_not_there", extra="models")
    assert require("json", extra="models") is json
