"""Models: the published checkpoints that can be used, their licences, and whether the files here are whole."""

from __future__ import annotations

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.parts import WORK
from studio.errors import FaceStudioError

TITLE = "Models"
COLUMNS = ["name", "what", "installed", "commercial", "licence", "where its authors give it"]
WIDTHS = ["11%", "17%", "9%", "10%", "30%", "23%"]
WORDS = """
The studio works without any of these. They are never downloaded unasked: get a file from its authors, read its licence,
and put it into the folder of models on this computer (`{folder}/NAME/`, or where `FACE_STUDIO_MODELS` points).
"""


def build(desk: Desk) -> None:
    """The tab and its endpoints /models and /verify."""

    @told
    def models() -> list[list[str]]:
        """The published models, which of them are installed, and their licences."""
        return table()

    @told
    def verify(request: gr.Request, name: str, progress=gr.Progress()) -> str:
        """Whether the installed files of a model are whole: they are opened as data (nothing in them is run)."""
        with desk.job(request, progress) as job:
            return check(name, lambda words: progress(None, desc=words), job.cancel.is_set)

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
        go = gr.Button("Verify", variant="primary", scale=1, elem_id="verify-go")
    report = gr.Textbox(label="Result", lines=4, interactive=False)
    go.click(verify, name, report, api_name="verify", **WORK)


def table() -> list[list[str]]:
    """A row a model, as COLUMNS says."""
    from studio.weights import MODELS, find

    rows = []
    for model in MODELS.values():
        needed = [file for file in model.files if not file.optional]
        there = sum(find(model, file.name) is not None for file in needed)
        state = "yes" if there == len(needed) else "no" if not there else f"{there} of {len(needed)} files"
        commercial = "yes" if model.commercial else "no"
        rows.append([model.name, model.title, state, commercial, model.licence, model.page])
    return rows


def check(name: str, tell, stopped) -> str:
    """A line for each file of a model."""
    from studio.weights import find, model, open_weights, sha256

    lines = []
    for file in model(name).files:
        if stopped():
            return "Stopped."
        path = find(model(name), file.name)
        if path is None:
            lines.append(f"{file.name}: not here{' (optional)' if file.optional else ''}")
            continue
        tell(f"reading {path.name}")
        try:
            if path.suffix != ".obj":
                open_weights(path)
        except FaceStudioError as error:
            lines.append(f"{path.name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        digest = sha256(path)
        if file.sha256 is not None and path.name == file.name and digest != file.sha256:
            lines.append(f"{path.name}: not the file that its authors gave (SHA-256 {digest[:16]}...)")
        else:
            size = path.stat().st_size / 1e6
            lines.append(f"{path.name}: whole, {size:.1f} MB, SHA-256 {digest[:16]}...")
    return "\n".join(lines)
