"""The studio in a browser: `face-studio app`. Tabs call the pipelines; no pixels are made here.

settings.py    what the user of the command line chooses, and the limits of a served app
workplace.py   folders of sessions, cleaned while it runs, at the end, and after a crash
identity.py    who a session is
guard.py       the door: every HTTP request passes it
sliders.py     many sliders as one part of the page; knobs.py says which; memory.py keeps what they stand at
engines.py     what a user may choose to draw, to speak and to see with
reel.py        pictures that follow what a user does; mirror.py: a portrait before a camera
desk.py        what a tab's function works with: its session's folder, progress, cancel, errors as toasts
page.py        the page and its server; tabs/ has one file a tab
"""

from __future__ import annotations

import importlib.util

from demos.app.settings import Limits, Settings

__all__ = ["Limits", "Settings", "serve"]


def serve(settings: Settings | None = None) -> None:
    """Open the app and serve it until Ctrl-C. Raises `UsageError` for unsafe settings, `MissingExtraError`."""
    import os
    import tempfile

    from demos.app.stubs import without_stubs
    from demos.app.workplace import Workplace
    from studio.errors import require

    settings = settings or Settings()
    settings.check()
    if importlib.util.find_spec("gradio") is None:
        require("gradio", extra="demo")
    settings.check_port()
    with Workplace(settings.limits) as workplace:
        scratch = str(workplace.root / "scratch")
        os.environ["GRADIO_TEMP_DIR"] = str(workplace.root)  # read when Gradio is imported
        os.environ["GRADIO_EXAMPLES_CACHE"] = scratch
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        tempfile.tempdir = scratch
        with without_stubs():
            from demos.app.page import run

        run(settings, workplace)
