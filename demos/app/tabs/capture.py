"""Capture: the motion of a video or of speech as curves, and as files for other programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.engines import SEES, watcher
from demos.app.memory import remember
from demos.app.parts import FACES, QUIET, SPEECH, WORK, line, names, one_of, read_face, sample, stem, stops
from studio.errors import UsageError

TITLE = "Capture"
FORMATS = (
    ("CSV (Live Link Face)", "csv"),
    ("GLB (Blender, Unreal, three.js)", "glb"),
    ("USDZ", "usdz"),
    ("USDC", "usdc"),
    ("NPZ", "npz"),
    ("JSON", "json"),
)
CURVES = 4
"""Shapes that are drawn: those that move most."""

ALIKE = 0.05
"""Left and right that never differ by more are drawn as one."""

POINTS = 400
"""Points of a curve at most."""

_GIVE = "a video or a sound"


def build(desk: Desk) -> None:
    """The tab and its endpoint /capture."""

    @told
    def capture(
        request: gr.Request,
        video: str | None = None,
        audio: str | None = None,
        transcript: str = "",
        formats: list[str] | None = None,
        fps: str = "",
        face: str = "1",
        life: float = 0.0,
        visemes: bool = False,
        model: str = "embedded",
        progress=gr.Progress(),
    ) -> tuple[Any, list[str], str]:
        """Write the motion of a video or of speech as files.

        Args:
            video: a performance.
            audio: speech instead.
            transcript: what it says, where it is known.
            formats: of csv, glb, usdz, usdc, npz, json.
            fps: frames per second; default the video's own, 60 for speech.
            face: of a video, 1 is the largest.
            life: 0 to 1, blinks, glances and nods added to speech.
            visemes: also phones and visemes of speech.
            model: what sees a video's face: embedded, or smirk, deca, teaser where their files are installed.
        """
        from pipelines import CapturePipeline
        from studio.motion import FaceMotion

        source = one_of(video, audio, _GIVE)
        if not formats:
            raise UsageError("in which form? Choose one or several files")
        (desk.limits.check_video if video else desk.limits.check_sound)(source)
        desk.limits.check_text(transcript or "")
        with desk.job(request, progress) as job:
            take = CapturePipeline(engine=watcher(model) if video else None)(
                source,
                fps=(fps or "").strip() or None,
                face=read_face(face, several=False),
                blink=life,
                gaze_motion=life,
                head_motion=life,
                transcript=(transcript or "").strip() or None,
                cancel=job.cancel,
            )
            if visemes and take.hear is None:
                raise UsageError("visemes are heard in speech: give a sound, not a video")
            kept = job.new(f"{stem(source)}.npz")
            saved = take.save(kept, progress=job.tell)
            motion = FaceMotion.load(kept)
            again = replace(take, move=lambda: iter([motion]), progress=None)  # watched or heard once, written often
            made = [kept.with_suffix(f".{ending}") for ending in formats]
            for number, path in enumerate(made):
                progress((number, len(made)), desc=f"writing {path.name}", unit="files")
                if path != kept:
                    again.save(path)
            if visemes:
                progress(None, desc="writing visemes")
                made.append(take.save_events(kept.with_suffix(".visemes.json"), "json"))
            if kept not in made:
                kept.unlink()
            return curves(motion), names(made), line(saved).replace(kept.name, stem(source), 1)

    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            audio = gr.Audio(label="Speech", type="filepath", sources=["upload", "microphone"], render=False)
            sampled = sample([SPEECH], [audio], "The sample speech", "capture")
            with gr.Tabs() as kinds:
                with gr.Tab("Video", id="video"):
                    video = gr.Video(label="Performance", sources=["upload", "webcam"])
                    face = gr.Dropdown(FACES, value="1", label="Face", info="the largest is 1")
                    model = gr.Dropdown(list(SEES), value="embedded", label="Engine", info="what sees the face")
                with gr.Tab("Speech", id="speech"):
                    audio.render()
                    transcript = gr.Textbox(
                        value="", label="Transcript", info="what it says, where you know it: lips get surer", lines=2
                    )
                    life = gr.Slider(0, 1, 0, step=0.05, label="Life", info="blinks, glances and nods to add")
                    visemes = gr.Checkbox(False, label="Also phones and visemes, as Rhubarb Lip Sync writes them")
            formats = gr.CheckboxGroup(list(FORMATS), value=["csv", "glb"], label="Files")
            fps = gr.Textbox(
                value="", label="Frames per second", info="default: the video's own, 60 for speech", max_lines=1
            )
        with gr.Column(scale=1, min_width=320):
            with gr.Row():
                go = gr.Button("Capture", variant="primary", elem_id="capture-go")
                stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            plot = gr.LinePlot(
                title="Curves of what moves most",
                show_label=False,
                label="Curves of what moves most",
                x="seconds",
                y="weight",
                color="shape",
                color_title=" ",
                height=400,
                y_lim=[0, 1],
            )
            files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
            summary = gr.Markdown(label="summary", elem_classes="summary")
    inputs = [video, audio, transcript, formats, fps, face, life, visemes, model]
    event = go.click(capture, inputs, [plot, files, summary], api_name="capture", show_progress_on=plot, **WORK)
    stops(desk, stop, event)
    remember(desk.kept[TITLE], {"formats": formats, "fps": fps, "life": life, "visemes": visemes, "model": model})
    sampled.then(lambda: gr.Tabs(selected="speech"), None, kinds, **QUIET)


def curves(motion: Any) -> Any:
    """A table of seconds, weight and shape of the shapes that move most."""
    import numpy as np
    import pandas

    from studio.arkit import ARKIT

    step = max(1, -(-len(motion) // POINTS))
    seconds = np.arange(len(motion))[::step] / float(motion.fps)
    found: dict[str, np.ndarray] = dict(zip(ARKIT, motion.weights.T, strict=True))
    for left in [name for name in ARKIT if name.endswith("Left")]:
        both, right = left.removesuffix("Left"), left.removesuffix("Left") + "Right"
        if right in found and np.abs(found[left] - found[right]).max(initial=0.0) <= ALIKE:
            found[both] = 0.5 * (found.pop(left) + found.pop(right))
    most = sorted(found, key=lambda name: -found[name].std())[:CURVES]
    parts = [pandas.DataFrame({"seconds": seconds, "weight": found[name][::step], "shape": name}) for name in most]
    return pandas.concat(parts, ignore_index=True)
