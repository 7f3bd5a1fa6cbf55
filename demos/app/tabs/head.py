"""Head: a photo becomes a rigged 3D head, to be looked at from all sides and taken elsewhere."""

from __future__ import annotations

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.parts import FACES, PORTRAIT, WORK, line, names, read_face, stem, stops
from studio.errors import Cancelled, UsageError

TITLE = "Head"
FORMATS = (
    ("GLB (Blender, Unreal, three.js)", "glb"),
    ("USDZ", "usdz"),
    ("USDC", "usdc"),
    ("OBJ (at rest, no texture)", "obj"),
)


def build(desk: Desk) -> None:
    """The tab and its endpoint /head."""

    @told
    def head(
        request: gr.Request,
        photo: str,
        audio: str | None = None,
        formats: list[str] | None = None,
        turntable: bool = False,
        face: str = "1",
        progress=gr.Progress(),
    ) -> tuple[str, str | None, list[str], str]:
        """Make a rigged and textured 3D head of a photo; with audio it speaks."""
        from pipelines import CapturePipeline, ReconstructionPipeline

        if not photo:
            raise UsageError("which photo? Give a picture with a face")
        desk.limits.check_picture(photo)
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
            made = ReconstructionPipeline()(photo, face=read_face(face, several=False))
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
        with gr.Column(scale=1, min_width=320):
            photo = gr.Image(label="Photo", type="filepath", image_mode=None, sources=["upload", "webcam"], height=300)
            face = gr.Dropdown(FACES, value="1", label="Face", info="the largest is 1")
            with gr.Accordion("Let it speak", open=False):
                audio = gr.Audio(label="Speech", type="filepath", sources=["upload", "microphone"])
            formats = gr.CheckboxGroup(list(FORMATS), value=["glb"], label="Files")
            turntable = gr.Checkbox(False, label="Also a video of it, once round")
        with gr.Column(scale=1, min_width=320):
            with gr.Row():
                go = gr.Button("Make the head", variant="primary", elem_id="head-go")
                stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            model = gr.Model3D(label="The head: drag to turn it", interactive=False, height=420, elem_id="head-model")
            files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
            summary = gr.Markdown(label="summary", elem_classes="summary")
            with gr.Accordion("Turntable", open=False):
                video = gr.Video(label="Once round", interactive=False)
    event = go.click(
        head,
        [photo, audio, formats, turntable, face],
        [model, video, files, summary],
        api_name="head",
        show_progress_on=model,
        **WORK,
    )
    stops(desk, stop, event)
    gr.Markdown("What the photo doesn't show is filled in: a side view is plausible rather than true.")
    gr.Examples(
        [[PORTRAIT]],
        [photo],
        label="Try this",
        example_labels=["The sample portrait"],
        cache_examples=False,
        api_name="head_example",
    )
