"""Models: the published checkpoints that can be used, their licences; got, checked and converted here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from demos.app.desk import Desk, toast, told
from demos.app.parts import QUIET, WORK, stops
from studio.errors import FaceStudioError, UsageError

TITLE = "Models"
COLUMNS = ["name", "what", "installed", "commercial", "licence", "where its authors give it"]
WIDTHS = ["130px", "170px", "100px", "110px", "380px", "322px"]
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
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            name = gr.Dropdown(
                list(MODELS), value=next(iter(MODELS)), label="Model", info="or press its line in the table"
            )
            with gr.Row():
                ask = gr.Button("Get", min_width=80, elem_id="get-go")
                go = gr.Button("Verify", variant="primary", min_width=80, elem_id="verify-go")
                stop = gr.Button("Stop", variant="stop", min_width=80)
            turn = gr.Button("Convert to .safetensors", elem_id="convert-go")
        with gr.Column(scale=2, min_width=300):
            report = gr.Textbox(label="Result", lines=7, interactive=False)
    shown = gr.Dataframe(
        table(),
        headers=COLUMNS,
        interactive=False,
        wrap=True,
        label="Published models",
        column_widths=WIDTHS,
        max_height=900,
        pinned_columns=1,
        elem_id="models-table",
    )
    shown.select(pressed, None, name, **QUIET)
    gr.Button("Look again", size="sm").click(models, None, shown, api_name="models")
    go.click(verify, name, report, api_name="verify", **WORK)
    turn.click(change, name, report, api_visibility="private", **WORK)
    stops(desk, stop, ask.click(fetch, name, [report, shown], api_visibility="private", **WORK))


def pressed(event: gr.SelectData) -> str:
    """The model whose line was pressed."""
    return str(event.row_value[0])


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
