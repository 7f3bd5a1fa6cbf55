"""The portrait of the Animate tab before a camera: it does at once what it sees there."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demos.app.desk import Desk, told
from demos.app.parts import read_face
from demos.app.reel import Reel
from demos.app.stubs import without_stubs
from studio.errors import UsageError

SIZE = 320
"""Pixels of the longer side of what is shown."""

CAMERA = {"video": {"width": {"ideal": 384}, "height": {"ideal": 288}}}
EVERY = 0.04
"""Seconds between two pictures of the camera, at least; the next waits for the answer to the last."""

LASTS = 120
"""Seconds after which it has to be started anew, so that others get their turn."""

WORDS = (
    "Start the camera, keep your face at rest for a second, then move: the portrait follows. "
    "Nothing of it is kept; to have a file, record a **Performance**."
)


with without_stubs():

    class Camera(gr.Image):
        """A camera that tells the page how often it shall send a picture; Gradio's own keeps it to itself, and the page
        then sends one a second."""

        is_template = True  # to the page it is an Image

        def get_config(self, cls: type | None = None) -> dict[str, Any]:
            return {**super().get_config(cls), "stream_every": EVERY}


def mirror(desk: Desk, portrait: gr.Image, face: gr.Dropdown) -> None:
    """Camera and portrait side by side; to be placed where the tab has room for it."""

    @told
    def follow(request: gr.Request, picture: Any, portrait: str | None, face: str) -> Any:
        if picture is None:
            return gr.skip()
        if not portrait:
            raise UsageError("which portrait shall follow? Give a picture with a face")
        number, session = read_face(face, several=False), desk.session(request)

        def make() -> tuple[Any, Reel]:
            from pipelines import MirrorPipeline

            desk.limits.check_picture(portrait)
            made = MirrorPipeline(portrait, size=SIZE, face=number)
            return made, Reel(desk.workplace.new(session, "mirror"))

        made, reel = desk.prepared(request, ("mirror", portrait, number), make)
        return reel.show(made(picture))

    gr.Markdown(WORDS)
    with gr.Row():
        camera = Camera(
            label="Camera",
            sources=["webcam"],
            streaming=True,
            type="numpy",
            height=260,
            min_width=140,
            webcam_options=gr.WebcamOptions(mirror=True, constraints=CAMERA),
            elem_id="mirror-camera",
        )
        shown = gr.Image(
            label="Portrait, live",
            type="filepath",
            interactive=False,
            height=260,
            min_width=140,
            elem_id="mirror-portrait",
        )
    camera.stream(
        follow,
        [camera, portrait, face],
        shown,
        stream_every=EVERY,
        time_limit=LASTS,
        concurrency_id="mirror",
        concurrency_limit=desk.limits.at_once,
        show_progress="hidden",
        api_visibility="private",
    )
