"""Head: a photo becomes a rigged 3D head, to be looked at from all sides, reshaped, and taken elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.engines import HEADS, builder
from demos.app.knobs import head_sliders
from demos.app.memory import remember
from demos.app.parts import FACES, PORTRAIT, QUIET, WORK, line, names, read_face, sample, stem, stops
from demos.app.reel import Reel
from demos.app.sliders import Sliders
from studio.errors import Cancelled, UsageError

TITLE = "Head"
FORMATS = (
    ("GLB (Blender, Unreal, three.js)", "glb"),
    ("USDZ", "usdz"),
    ("USDC", "usdc"),
    ("OBJ (at rest, no texture)", "obj"),
)
VIEW = (360, 360)
"""Pixels of the picture that follows the sliders."""


class Sculpture:
    """A photo's head, and the pictures of it under the sliders that were shown last."""

    def __init__(self, photo: str, face: int, model: str, folder: Path) -> None:
        from avatars.render3d import RigRenderer
        from pipelines import ReconstructionPipeline

        self.head = ReconstructionPipeline(builder(model))(photo, face=face)
        self._draw, self._reel = RigRenderer(self.head.rig, VIEW), Reel(folder)

    def show(self, shape: dict[str, float], turn: float) -> str:
        """Path of a picture of the head, turned by so many degrees."""
        rig = self.head.shaped(shape).rig
        return self._reel.show(
            self._draw.draw(rig.vertices(self.head.weights * 0), self._draw.view(math.radians(turn)))
        )


def build(desk: Desk) -> None:
    """The tab and its endpoint /head."""

    def opened(request: gr.Request, photo: str, face: str, model: str) -> Sculpture:
        session, number = desk.session(request), read_face(face, several=False)

        def make() -> Sculpture:
            desk.limits.check_picture(photo)
            return Sculpture(photo, number, model, desk.workplace.new(session, "head"))

        return desk.prepared(request, ("head", photo, number, model), make)

    @told
    def follow(
        request: gr.Request, photo: str | None, face: str, model: str, shape: dict[str, float], turn: float
    ) -> Any:
        if not photo:
            return None
        return opened(request, photo, face, model).show(shape, turn)

    @told
    def head(
        request: gr.Request,
        photo: str,
        audio: str | None = None,
        formats: list[str] | None = None,
        turntable: bool = False,
        face: str = "1",
        model: str = "embedded",
        shape: dict[str, float] | None = None,
        progress=gr.Progress(),
    ) -> tuple[str, str | None, list[str], str]:
        """Make a rigged and textured 3D head of a photo; with audio it speaks.

        Args:
            photo: a picture with a face.
            audio: speech that the head says.
            formats: of glb, usdz, usdc, obj.
            turntable: also a video of the head, once round.
            face: 1 is the largest.
            model: embedded, or smirk, deca, teaser, mica where their files are installed.
            shape: axes of identity in standard deviations, such as {"nose_length": 1}; for the embedded head.
        """
        from pipelines import CapturePipeline

        if not photo:
            raise UsageError("which photo? Give a picture with a face")
        if audio:
            desk.limits.check_sound(audio)

        with desk.job(request, progress) as job:

            def step(words: str) -> None:
                if job.cancel.is_set():
                    raise Cancelled("stopped; no output was left behind")
                progress(None, desc=words)

            motion = None
            if audio:
                step("listening to the speech")
                life = dict(blink=0.6, gaze_motion=0.6, head_motion=0.6)
                motion = CapturePipeline()(audio, fps=30, cancel=job.cancel, **life).motion
            step("making the head")
            made = opened(request, photo, face, model).head.shaped(shape or {})
            shown = job.new(f"{stem(photo)}-head.glb")
            step(f"writing {shown.name}")
            words = line(made.save(shown, motion))
            files = [shown.with_suffix(f".{ending}") for ending in formats or ()]
            for path in files:
                if path != shown:
                    step(f"writing {path.name}")
                    made.save(path, None if path.suffix == ".obj" else motion)
            video = None
            if turntable:
                step("turning it round")
                video = shown.with_name(f"{stem(photo)}-turntable.mp4")
                made.turntable(video)
                files.append(video)
            return str(shown), None if video is None else str(video), names(files or [shown]), words

    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            photo = gr.Image(
                label="Photo", type="filepath", image_mode=None, sources=["upload", "webcam"], height=260, render=False
            )
            sample([PORTRAIT], [photo], "The sample portrait", "head")
            photo.render()
            face = gr.Dropdown(FACES, value="1", label="Face", info="the largest is 1")
            model = gr.Dropdown(list(HEADS), value="embedded", label="Engine", info="what makes the head")
            with gr.Accordion("Let it speak", open=False):
                audio = gr.Audio(label="Speech", type="filepath", sources=["upload", "microphone"])
            formats = gr.CheckboxGroup(list(FORMATS), value=["glb"], label="Files")
            turntable = gr.Checkbox(False, label="Also a video of it, once round")
        with gr.Column(scale=3, min_width=300, elem_classes="stay last"):
            with gr.Row():
                go = gr.Button("Make the head", variant="primary", elem_id="head-go")
                stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            model3d = gr.Model3D(label="The head: drag to turn it", interactive=False, height=420, elem_id="head-model")
            files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
            summary = gr.Markdown(label="summary", elem_classes="summary")
            with gr.Accordion("Turntable", open=False):
                video = gr.Video(label="Once round", interactive=False)
            gr.Markdown("What the photo doesn't show is filled in: a side view is plausible rather than true.")
        with gr.Column(scale=3, min_width=300):
            with gr.Column(elem_classes="stay held"):
                view = gr.Image(
                    label="Its shape, live", type="filepath", interactive=False, height=280, elem_id="head-view"
                )
                turn = gr.Slider(-90, 90, 0, step=5, label="Seen from °", info="below 0: from its right")
            again = gr.Button("All sliders back", size="sm")
            shape = Sliders(head_sliders(), label="Shape of the head", elem_id="head-sliders")
    result = [model3d, video, files, summary]
    inputs = [photo, audio, formats, turntable, face, model, shape]
    event = go.click(head, inputs, result, api_name="head", show_progress_on=model3d, **WORK)
    stops(desk, stop, event)
    live = QUIET | {"trigger_mode": "always_last"}
    seen = [photo, face, model, shape, turn]
    gr.on([shape.input, turn.input], follow, seen, view, **live)
    gr.on([photo.change, model.change, face.input], follow, seen, view, api_visibility="private")
    keep = remember(desk.kept[TITLE], {"formats": formats, "model": model, "shape": shape})
    back = again.click(lambda: {}, None, shape, **QUIET)
    back.success(follow, seen, view, **live)
    back.success(**keep)
