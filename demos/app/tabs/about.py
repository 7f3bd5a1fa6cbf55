"""About: what this is, what is installed and what is missing, and how to call it from programs."""

from __future__ import annotations

import gradio as gr

from demos.app.desk import Desk, told

TITLE = "About"
WORDS = """
Everything is computed on this computer; nothing is sent anywhere. Files that you give and that are made for you can be
seen by your browser alone and are deleted when the app ends, or {idle:.0f} minutes after you last used it.

Taken are pictures up to {megapixels:g} megapixels, videos and sound up to {seconds:g} seconds, files
up to {megabytes} MB.

**Only animate people who agreed to it, and say that the result is made.**
"""
PYTHON = """\
from gradio_client import Client, handle_file

client = Client("http://127.0.0.1:7860")
video, files, summary = client.predict(
    portrait=handle_file("portrait.jpg"), audio=handle_file("speech.wav"), api_name="/animate"
)
"""


def build(desk: Desk) -> None:
    """The tab and its endpoint /doctor."""

    @told
    def doctor() -> str:
        """What is installed, what is missing, and how to get it."""
        from demos.cli.doctor import lines
        from studio import system

        problems = system.problems()
        verdict = [f"to be mended: {problem}" for problem in problems] or ["All that is needed is here."]
        return "\n".join([*lines(system.report()), "", *verdict])

    limits = desk.limits
    gr.Markdown(
        WORDS.format(
            idle=limits.idle / 60, megapixels=limits.megapixels, seconds=limits.seconds, megabytes=limits.megabytes
        )
    )
    go = gr.Button("Examine this installation", elem_id="doctor-go")
    report = gr.Code(label="Doctor", language=None, interactive=False, lines=4, elem_id="doctor-report")
    go.click(doctor, None, report, api_name="doctor")
    gr.Code(PYTHON, label="From Python", language="python", interactive=False)
