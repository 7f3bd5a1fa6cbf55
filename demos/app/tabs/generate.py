"""Generate: new portraits of a prompt, a person, an expression and a pose, by diffusion."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.makers import ADAPTERS, MINIATURE, NONE, TURN, checkpoints, control_networks, maker
from demos.app.memory import remember
from demos.app.parts import PORTRAIT, QUIET, WORK, names, stops, table
from studio.errors import UsageError

TITLE = "Generate"
PROMPT = "a portrait, smiling"
MOST = 8
"""Pictures at a time."""

MOST_STEPS = 150
CONDITIONS = ("normals", "landmarks", "depth", "segmentation", "render")
SMALL = """
**{miniature}** is a tiny model that comes with the package: 64 x 64 pixels of our own 3D heads, made to try things out.
For real portraits put a checkpoint of Stable Diffusion 1.5 or SDXL, a folder as diffusers saves it, into the folder of
models (`~/.face-studio/models/NAME/`, or where `FACE_STUDIO_MODELS` points). Identity needs an adapter for it.
**Only make pictures of people who agreed to it, and say that they are made.**
"""


def build(desk: Desk) -> None:
    """The tab and its endpoint /generate."""
    from controls.expressions import emotion_names

    @told
    def generate(
        request: gr.Request,
        prompt: str,
        negative: str = "",
        identity: str | None = None,
        expression: str | None = None,
        pose: str | None = None,
        emotion: str = NONE,
        strength: float = 0.6,
        shapes: dict[str, float] | None = None,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        seed: float = 0,
        count: float = 1,
        steps: float = 30,
        guidance: float = 0,
        size: str = "",
        model: str = MINIATURE,
        adapter: str = NONE,
        identity_scale: float = 0,
        control: str = NONE,
        condition: str = CONDITIONS[0],
        control_scale: float = 1.0,
        push: float = 0.0,
        progress=gr.Progress(),
    ) -> tuple[list[tuple[str, str]], list[str], str]:
        """Make new portraits by a diffusion model.

        Args:
            prompt: what is wanted.
            negative: what is not.
            identity: a photo of the person; needs an identity adapter.
            expression: a picture of anybody, whose expression is carried over.
            pose: a picture of anybody, whose turn of the head is carried over.
            emotion: such as joy, or none; strength 0 to 1.
            shapes: ARKit blendshapes and easy names on top, such as {"smile": 0.8}.
            yaw: degrees to the picture's right on top; pitch: down; roll: clockwise.
            seed: the same seed gives the same picture; count: how many, each with the next seed.
            steps: of denoising.
            guidance: how strictly the prompt is followed; 0 for the model's own.
            size: WIDTHxHEIGHT in multiples of 8; default the model's own.
            model: miniature, or the name of a checkpoint's folder in the models' folder.
            adapter: none, faceid, instantid or arc2face, where their files are installed.
            identity_scale: how much the person counts; 0 for the adapter's own.
            control: none, or the name of a ControlNet's folder; condition: what it sees; control_scale: its strength.
            push: semantic guidance towards the expression's words, 0 to 20.
        """
        number, many, rounds = _whole("seed", seed, 0, 2**53), _whole("count", count, 1, MOST), int(steps)
        if not 1 <= rounds <= MOST_STEPS:
            raise UsageError(f"steps {rounds}: give 1 to {MOST_STEPS}")
        for picture in (identity, expression, pose):
            if picture:
                desk.limits.check_picture(picture)
        desk.limits.check_text(prompt or "")
        desk.limits.check_text(negative or "")
        with desk.job(request, progress) as job:
            progress(None, desc="opening the model")
            make = maker(model, control, condition, adapter)
            with TURN:
                made = make(
                    (prompt or "").strip() or PROMPT,
                    negative=(negative or "").strip() or None,
                    identity=identity or None,
                    identity_scale=identity_scale or None,
                    expression=expression or None,
                    pose=pose or None,
                    emotion={emotion: strength} if emotion and emotion != NONE else None,
                    shapes=shapes or None,
                    yaw=yaw,
                    pitch=pitch,
                    roll=roll,
                    push=push,
                    control=control_scale,
                    seed=number,
                    count=many,
                    size=_size(size),
                    steps=rounds,
                    guidance=guidance or None,
                    progress=job.tell,
                    cancel=job.cancel,
                )
            saved = made.save(job.new("portrait.png"))
        paths = [each.path for each in saved]
        shown = [(str(path), f"seed {seed}") for path, seed in zip(paths, made.seeds, strict=True)]
        side = "x".join(str(length) for length in made.images[0].shape[1::-1])
        return shown, names(paths), f"**{len(paths)} of {side}**: {made.prompt} · {made.seconds:.1f} s"

    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            prompt = gr.Textbox(PROMPT, label="Prompt", lines=2, max_length=desk.limits.letters)
            negative = gr.Textbox("", label="Not wanted", max_lines=1)
            with gr.Row():
                pictures = [
                    gr.Image(label=label, type="filepath", image_mode=None, sources=["upload", "webcam"], height=170)
                    for label in ("Person", "Expression of", "Pose of")
                ]
            with gr.Accordion("Expression and pose", open=False):
                emotion = gr.Dropdown([NONE, *emotion_names()], value=NONE, label="Emotion")
                strength = gr.Slider(0, 1, 0.6, step=0.05, label="Strength of the emotion")
                turns = [gr.Slider(-45, 45, 0, step=1, label=label) for label in ("Turn °", "Nod °", "Tilt °")]
                push = gr.Slider(0, 20, 0, step=0.5, label="Push", info="semantic guidance; 5 is usual")
            with gr.Accordion("Model", open=False):
                model = gr.Dropdown(
                    [MINIATURE, *checkpoints()], value=MINIATURE, label="Model", allow_custom_value=True
                )
                adapter = gr.Dropdown(list(ADAPTERS), value=NONE, label="Identity adapter")
                scale = gr.Slider(0, 2, 0, step=0.05, label="How much the person counts", info="0: the adapter's own")
                control = gr.Dropdown(
                    [NONE, *control_networks()], value=NONE, label="ControlNet", allow_custom_value=True
                )
                condition = gr.Dropdown(list(CONDITIONS), value=CONDITIONS[0], label="What the ControlNet sees")
                strict = gr.Slider(0, 2, 1, step=0.05, label="Strength of the ControlNet")
        with gr.Column(scale=1, min_width=320):
            with gr.Row():
                go = gr.Button("Generate", variant="primary", elem_id="generate-go")
                stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            gallery = gr.Gallery(label="Portraits", columns=2, height="auto", elem_id="generate-gallery")
            files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
            summary = gr.Markdown(label="summary", elem_classes="summary")
            with gr.Row():
                seed = gr.Number(0, label="Seed", precision=0, minimum=0)
                count = gr.Slider(1, MOST, 1, step=1, label="How many")
            with gr.Row():
                steps = gr.Slider(1, MOST_STEPS, 30, step=1, label="Steps")
                guidance = gr.Slider(0, 20, 0, step=0.5, label="Guidance", info="0: the model's own")
            with gr.Row():
                size = gr.Textbox("", label="Size", info="WIDTHxHEIGHT; default the model's own", max_lines=1)
                again = gr.Button("Next seeds", min_width=120)
    shapes = table("shapes")
    inputs = [prompt, negative, *pictures, emotion, strength, shapes, *turns, seed, count, steps, guidance, size]
    inputs += [model, adapter, scale, control, condition, strict, push]
    event = go.click(generate, inputs, [gallery, files, summary], api_name="generate", show_progress_on=gallery, **WORK)
    stops(desk, stop, event)
    again.click(lambda first, many: first + many, [seed, count], seed, **QUIET)
    kept = {"prompt": prompt, "negative": negative, "emotion": emotion, "strength": strength, "seed": seed}
    kept |= {"count": count, "steps": steps, "guidance": guidance, "size": size, "model": model, "adapter": adapter}
    remember(desk.kept[TITLE], kept | {"control": control, "condition": condition, "strict": strict, "push": push})
    gr.Markdown(SMALL.format(miniature=MINIATURE))
    gr.Examples(
        [["a portrait, smiling broadly, looking left", PORTRAIT]],
        [prompt, pictures[1]],
        label="Try this",
        example_labels=["A prompt and the sample portrait's expression"],
        cache_examples=False,
        api_name="generate_example",
    )


def _whole(name: str, value: Any, low: int, high: int) -> int:
    number = int(value or 0)
    if not low <= number <= high:
        raise UsageError(f"{name} {number}: give {low} to {high}")
    return number


def _size(text: str) -> tuple[int, int] | None:
    from demos.cli.options import size

    words = (text or "").strip().lower()
    if not words:
        return None
    try:
        found = size(words)
    except Exception as error:
        raise UsageError(f"size {text!r}: write WIDTHxHEIGHT, such as 512x768") from error
    width, height = (found, found) if isinstance(found, int) else found
    if max(width, height) > 2048:
        raise UsageError(f"size {width}x{height}: up to 2048 pixels a side")
    return width, height
