"""Edit: sliders move a face in a photo or a video, with a preview that follows while they are dragged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from demos.app.desk import Desk, Job, told
from demos.app.engines import DRAWS, avatar
from demos.app.knobs import edit_sliders, read_positions
from demos.app.memory import remember
from demos.app.parts import FACES, PORTRAIT, QUIET, WORK, line, names, one_of, read_face, sample, stem, stops, table
from demos.app.recipes import Edit
from demos.app.reel import Reel
from demos.app.sliders import Sliders
from studio.errors import UsageError

TITLE = "Edit"
PREVIEW = 640
"""Pixels of the longer side of a preview, at most."""

_GIVE = "a photo or a video"


class Preview:
    """A photo (or a video's first picture) made ready, and the pictures of it that were shown last."""

    def __init__(self, source: str, folder: Path, engine: str) -> None:
        from pipelines import ExpressionEditPipeline
        from pipelines.output import is_video
        from studio.media import Clip, read_image

        video = is_video(source)
        picture = next(iter(Clip.open(source).frames())).image if video else read_image(source)
        size = PREVIEW if max((picture if video else picture.rgb).shape[:2]) > PREVIEW else None
        self.everyone = ExpressionEditPipeline(avatar=avatar(engine)).prepare(picture, face="all", size=size)
        self.reel = Reel(folder)
        self.before = self.reel.show(self.everyone().image)
        self._ready: dict[int | str, Any] = {}
        self.of(0).warm()

    def of(self, face: int | str) -> Any:
        """What edits that face, or "all"."""
        if face not in self._ready:
            self._ready[face] = self.everyone if face == "all" else self.everyone.only(face)
        return self._ready[face]

    def faces(self) -> list[tuple[str, str]]:
        """A picture and a name of each face, the largest first; empty where there is but one."""
        portrait = self.everyone.portrait
        if len(portrait.faces) == 1:
            return []
        shown = []
        for number, face in enumerate(portrait.faces, 1):
            x0, y0, x1, y1 = (max(0, round(float(edge))) for edge in face.box)
            path = self.reel.write(f"face-{number}", portrait.rgb[y0:y1, x0:x1])
            shown.append((path, f"face {number}"))
        return shown

    def show(self, edit: Edit) -> str:
        """The edited picture's path."""
        settings = edit.arguments()
        return self.reel.show(self.of(settings.pop("face", 0))(**settings).image)


def build(desk: Desk) -> None:
    """The tab and its endpoint /edit."""

    def opened(request: gr.Request, source: str, engine: str) -> Preview:
        session = desk.session(request)

        def make() -> Preview:
            _check(desk, source)
            return Preview(source, desk.workplace.new(session, "preview"), engine)

        return desk.prepared(request, ("edit", source, engine), make)

    @told
    def open_source(
        request: gr.Request, photo: str | None, video: str | None, engine: str, progress=gr.Progress()
    ) -> tuple:
        if not photo and not video:
            return None, gr.update(value=None, visible=False), gr.update(value="1")
        progress(None, desc="finding the face and making it ready")
        preview = opened(request, one_of(photo, video, _GIVE), engine)
        faces = preview.faces()
        choices = [str(number) for number in range(1, len(preview.everyone.portrait.faces) + 1)]
        picker = gr.update(choices=[*choices, "all"] if faces else choices, value="1")
        return (preview.before, preview.before), gr.update(value=faces, visible=bool(faces)), picker

    def wished(positions: dict[str, float], face: str, camera: bool, engine: str) -> Edit:
        return replace(read_positions(positions, camera=camera, face=face), engine=engine)

    @told
    def follow(request: gr.Request, photo: str | None, video: str | None, engine: str, *moved: Any) -> Any:
        if not photo and not video:
            return gr.skip()
        source = one_of(photo, video, _GIVE)
        preview = opened(request, source, engine)
        return preview.before, preview.show(wished(*moved, engine))

    @told
    def tell(photo: str | None, video: str | None, engine: str, *moved: Any) -> tuple[str, str]:
        source, wanted = Path(photo or video or "portrait.jpg").name, wished(*moved, engine)
        output = f"edited{'.mp4' if video and not photo else '.png'}"
        return wanted.command(source, output), wanted.python(source, output)

    def save(job: Job, source: str, edit: Edit) -> tuple[Path, str]:
        from pipelines import ExpressionEditPipeline
        from pipelines.output import is_video

        video = is_video(source)
        made = job.new(f"{stem(source)}-edited{'.mp4' if video else '.png'}")
        result = ExpressionEditPipeline(avatar=avatar(edit.engine))(source, **edit.arguments(), cancel=job.cancel)
        return made, line(result.save(made, progress=job.tell if video else None, cancel=job.cancel))

    @told
    def make_from_sliders(
        request: gr.Request,
        photo: str | None,
        video: str | None,
        engine: str,
        positions: dict[str, float],
        face: str,
        camera: bool,
        progress=gr.Progress(),
    ) -> tuple:
        source = one_of(photo, video, _GIVE)
        _check(desk, source)
        with desk.job(request, progress) as job:
            made, words = save(job, source, wished(positions, face, camera, engine))
        return names([made]), words

    @told
    def edit(
        request: gr.Request,
        source: str,
        shapes: dict[str, float] | None = None,
        aus: dict[str, float] | None = None,
        emotion: dict[str, float] | None = None,
        gaze: str = "",
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        neutralize: float = 0.0,
        face: str = "1",
        engine: str = "photo",
        progress=gr.Progress(),
    ) -> tuple[str, str]:
        """Change expression, gaze or head pose in a picture or a video.

        Args:
            source: a picture or a video.
            shapes: ARKit blendshapes and easy names, such as {"smile": 0.8}.
            aus: action units of FACS, such as {"AU12": 0.8}.
            emotion: such as {"joy": 0.6}.
            gaze: YAW,PITCH in degrees, or left, right, up, down, camera.
            yaw: degrees to the picture's right.
            pitch: degrees down.
            roll: degrees clockwise.
            neutralize: 0 to 1, how much of the present expression to take out first.
            face: 1 is the largest; or all.
            engine: photo (embedded), or liveportrait where its files are installed.
        """
        if not source:
            raise UsageError(f"nothing to work with yet: give {_GIVE}")
        _check(desk, source)
        tables = (shapes or {}, aus or {}, emotion or {}, gaze or None)
        wanted = Edit(*tables, yaw, pitch, roll, neutralize, face=read_face(face), engine=engine)
        with desk.job(request, progress) as job:
            made, words = save(job, source, wanted)
        return str(made), words

    with gr.Row():
        with gr.Column(scale=2, min_width=260):
            photo = gr.Image(
                label="Photo", type="filepath", image_mode=None, sources=["upload", "webcam"], height=260, render=False
            )
            sample([PORTRAIT], [photo], "The sample portrait", "edit")
            with gr.Tabs():
                with gr.Tab("Photo"):
                    photo.render()
                with gr.Tab("Video"):
                    video = gr.Video(label="Video", sources=["upload", "webcam"], height=260)
            picker = gr.Gallery(label="Faces", columns=3, height=180, visible=False, allow_preview=False)
            face = gr.Dropdown(FACES[:1], value="1", label="Face to edit", allow_custom_value=True)
            engine = gr.Dropdown(list(DRAWS), value="photo", label="Engine", info="what draws the face")
        with gr.Column(scale=4, min_width=300, elem_classes="stay unfold"):
            with gr.Column(elem_classes="held"):
                shown = gr.ImageSlider(
                    label="Before and after",
                    type="filepath",
                    interactive=False,
                    slider_position=12,
                    elem_id="edit-preview",
                )
                with gr.Row():
                    go = gr.Button("Save in full size", variant="primary", elem_id="edit-go")
                    stop = gr.Button("Stop", variant="stop", scale=0, min_width=96)
            with gr.Column(elem_classes="last"):
                files = gr.File(label="Download", file_count="multiple", interactive=False, elem_classes="files")
                summary = gr.Markdown(label="summary", elem_classes="summary")
                with gr.Accordion("The same from elsewhere", open=False) as elsewhere:
                    command = gr.Code(
                        label="On the command line", language="shell", interactive=False, lines=1, wrap_lines=True
                    )
                    program = gr.Code(label="In Python", language="python", interactive=False, lines=4, wrap_lines=True)
        with gr.Column(scale=3, min_width=300):
            with gr.Row(equal_height=True):
                camera = gr.Checkbox(False, label="Look into the camera", scale=2, min_width=200)
                reset = gr.Button("All sliders back", size="sm", scale=1, min_width=100)
            sliders = Sliders(edit_sliders(), label="What to change", elem_id="edit-sliders")

    inputs, recipes = [photo, video, engine, sliders, face, camera], [command, program]
    event = go.click(make_from_sliders, inputs, [files, summary], api_visibility="private", **WORK)
    stops(desk, stop, event)
    live = QUIET | {"trigger_mode": "always_last"}
    gr.on([sliders.input, camera.input, face.input], follow, inputs, shown, **live)
    gr.on([sliders.release, camera.change, face.change, elsewhere.expand], tell, inputs, recipes, **live)
    for source in (photo, video, engine):
        source.change(
            open_source,
            [photo, video, engine],
            [shown, picker, face],
            api_visibility="private",
            show_progress_on=shown,
        ).success(follow, inputs, shown, **live)
    picker.select(_chosen, None, face, **QUIET).success(follow, inputs, shown, **live)
    keep = remember(desk.kept[TITLE], {"sliders": sliders, "camera": camera, "engine": engine})
    back = reset.click(lambda: [False, {}], None, [camera, sliders], **QUIET)
    back.success(follow, inputs, shown, **live).success(tell, inputs, recipes, **live)
    back.success(**keep)
    _endpoint(edit)


def _chosen(event: gr.SelectData) -> str:
    """A press on a face chooses it."""
    return str(int(event.index) + 1)


def _endpoint(fn: Any) -> None:
    """/edit for programs, without a place on the page."""
    source = gr.File(label="source", visible=False)
    tables = [table(name) for name in ("shapes", "aus", "emotion")]
    gaze = gr.Textbox("", label="gaze", visible=False)
    turns = [gr.Number(0.0, label=name, visible=False) for name in ("yaw", "pitch", "roll", "neutralize")]
    face, engine = gr.Textbox("1", label="face", visible=False), gr.Textbox("photo", label="engine", visible=False)
    result, summary = gr.File(label="edited", visible=False), gr.Textbox(label="summary", visible=False)
    gr.Button(visible=False).click(
        fn, [source, *tables, gaze, *turns, face, engine], [result, summary], api_name="edit", **WORK
    )


def _check(desk: Desk, source: str) -> None:
    from pipelines.output import is_video

    (desk.limits.check_video if is_video(source) else desk.limits.check_picture)(source)
