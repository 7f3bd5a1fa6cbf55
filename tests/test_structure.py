"""The rooms' order, and what may be imported where."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("studio", "avatars", "controls", "pipelines", "demos")
HEAVY = ("torch", "diffusers", "transformers", "gradio", "jax")
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    assert not imported(path) & above


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys; print(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_the_light_path_loads_nothing_heavy() -> None:
    loaded = modules_after("import studio, demos.cli; demos.cli.parser()")
    assert not loaded & {*HEAVY, "mediapipe", "cv2", "numba", "av", "rich", "scipy", "PIL"}


def test_the_embedded_tier_needs_no_torch() -> None:
    loaded = modules_after("import pipelines, controls.lipsync.driver, controls.tracker, avatars.photo.avatar")
    assert not loaded & {"torch", "diffusers", "transformers", "gradio"}


@pytest.mark.parametrize("words", [("check",), ("format", "--check")])
def test_the_code_is_tidy(words) -> None:
    run = subprocess.run([sys.executable, "-m", "ruff", *words, "."], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stdout
