"""Models: the published checkpoints that can be used, their licences; got, checked and converted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from demos.app.desk import Desk, toast, told
from demos.app.parts import WORK, stops
from studio.errors import FaceStudioError, UsageError

TITLE = "Models"
COLUMNS = ["name", "what", "installed", "commercial", "licence", "where its authors give it"]
WIDTHS = ["11%", "17%", "9%", "10%", "30%", "23%"]
WORDS = """
The studio works without any of these, and none is ever downloaded unasked. **Get** fetches a model whose authors give
it on the Hugging Face hub; the others you get from their authors and put into the folder of models on this computer
(`{folder}/NAME/`, or where `FACE_STUDIO_MODELS` points). Read the licence first.
"""
CHECKPOINTS = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".pkl", ".npz")


def build(desk: Desk) -> None:
    """The tab and its endpoints /models and /verify."""

    @told
    def models() -> list[list[str]]:
        """The published models, which of them are installed, and their licences."""
        return table()

    @told
    def verify(request: gr.Request, name: str, progress=gr.Progress()) -> str:
        """Whether the installed files of a model are whole: opened as data (nothing in them is run), hashed, loaded."""
        with desk.job(request, progress):
            progress(None, desc="reading the files")
            return check(name)

    @told
    def fetch(request: gr.Request, name: str, progress=gr.Progress()) -> tuple[str, Any]:
        from studio.weights import get, model

        at_home(desk)
        with desk.job(request, progress) as job:
            paths = get(model(name), progress=job.tell, cancel=job.cancel)
            words = f"Got {', '.join(path.name for path in paths)}." if paths else "All that it needs is here."
            return f"{words}\n{check(name)}", table()

    @told
    def change(request: gr.Request, name: str, progress=gr.Progress()) -> str:
        at_home(desk)
        with desk.job(request, progress) as job:
            return convert(name, lambda words: progress(None, desc=words), job.cancel.is_set)

    from studio.weights import MODELS

    gr.Markdown(WORDS.format(folder="~/.face-studio/models"))
    shown = gr.Dataframe(
        table(),
        headers=COLUMNS,
        interactive=False,
        wrap=True,
        label="Published models",
        column_widths=WIDTHS,
        max_height=800,
    )
    with gr.Row():
        name = gr.Dropdown(list(MODELS), value=next(iter(MODELS)), label="Model", scale=2)
        gr.Button("Look again", scale=1).click(models, None, shown, api_name="models")
    with gr.Row():
        ask = gr.Button("Get", scale=1, elem_id="get-go")
        go = gr.Button("Verify", variant="primary", scale=1, elem_id="verify-go")
        turn = gr.Button("Convert to .safetensors", scale=1, elem_id="convert-go")
        stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
    report = gr.Textbox(label="Result", lines=4, interactive=False)
    go.click(verify, name, report, api_name="verify", **WORK)
    turn.click(change, name, report, api_visibility="private", **WORK)
    stops(desk, stop, ask.click(fetch, name, [report, shown], api_visibility="private", **WORK))


def at_home(desk: Desk) -> None:
    """What changes this computer's disk is for its own user: raises UsageError where others are let in."""
    if not desk.settings.local:
        raise UsageError("models are got and converted by whoever runs this app: face-studio models get NAME")


def table() -> list[list[str]]:
    """A row a model, as COLUMNS says."""
    from pipelines.models import listed

    rows = []
    for entry in listed():
        model, there = entry.model, sum(path is not None for path in entry.files.values())
        state = "yes" if entry.complete else "no" if not there else f"{there} of {len(entry.files)} files"
        commercial = "yes" if model.commercial else "no"
        rows.append([model.name, model.title, state, commercial, model.licence, model.page])
    return rows


def check(name: str) -> str:
    """A line for each file of a model, or what is wrong with it."""
    from pipelines.models import verify

    said = {True: "the published file", False: "another file", None: "no hash is published"}
    lines = []
    try:
        for file in verify(name):
            size, opened = file.path.stat().st_size / 1e6, "its networks load" if file.loads else "opens"
            hashed = f"SHA-256 {file.sha256[:16]}... ({said[file.as_published]})"
            lines.append(f"{file.path.name}: whole, {size:.1f} MB, {opened}, {hashed}")
    except FaceStudioError as error:
        return toast(error, markup=False)
    return "\n".join(lines)


def convert(name: str, tell: Callable[[str], None], stopped: Callable[[], bool]) -> str:
    """Writes a model's checkpoints as .safetensors beside them; a line for each."""
    from pipelines.models import convert_model
    from studio.weights import find, locate, model

    known = model(name)
    locate(known)  # says what is missing
    lines = []
    for file in known.files:
        path = find(known, file.name)
        if stopped():
            return "\n".join([*lines, "Stopped."])
        if path is None or path.suffix not in CHECKPOINTS:
            continue
        tell(f"converting {path.name}")
        target = path.with_suffix(".safetensors")
        lines.append(convert_model(path, target).replace(str(target), target.name))
    return "\n".join(lines) or "All that it has here is .safetensors already."
