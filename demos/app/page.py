"""The page, tab by tab, and its server."""

from __future__ import annotations

import logging
import time
from typing import Any

import gradio as gr
from gradio.exceptions import ComponentProcessingError
from starlette.middleware import Middleware

from demos.app.desk import Desk, toast
from demos.app.guard import Guard, refuse_foreign
from demos.app.identity import Identity
from demos.app.memory import store
from demos.app.settings import Limits, Settings
from demos.app.tabs import about, animate, capture, edit, generate, head, models
from demos.app.workplace import Workplace
from studio.errors import UsageError

TABS = (animate, edit, capture, head, generate, models, about)
"""Each has TITLE and build(desk); a new tab is a file and a word here."""

log = logging.getLogger("face-studio.app")

FONT = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
CSS = """
.gradio-container {width: 100% !important; max-width: min(1320px, 100vw) !important; margin: 0 auto !important;
  overflow: clip !important}
#top h1 {margin-bottom: 0}
#top p {opacity: .8; margin-top: .25rem}
.summary p {font-size: .95rem; opacity: .85}
.files .empty, #doctor-report .empty {min-height: 84px !important}
.stay {position: sticky; top: 8px; align-self: flex-start; z-index: 60; background: var(--body-background-fill)}
#tab-generate .image-container .icon-wrap {display: none}
#generate-gallery .fixed-height {max-height: none; min-height: 300px}
#models-table * {font-family: var(--font)}
.sliders-block .html-container {padding: 0 !important}
button[aria-label="Share"] {display: none !important}
@media (max-width: 720px) {
  .gradio-container main {padding: 12px !important}
  .stay {position: static}
  .unfold {display: contents}
  .held {position: sticky; top: 0; z-index: 60; background: var(--body-background-fill); padding-bottom: 8px;
    width: 100%}
  .held img {max-height: 42vh; object-fit: contain}
  .last {order: 1}
  footer .divider {display: none !important}
}
"""


def look() -> gr.themes.Base:
    """Colours and fonts, none of them from elsewhere; light or dark as the browser wishes."""
    plain = dict(block_title_background_fill="transparent", block_title_padding="0", block_title_text_weight="500")
    plain |= {f"{name}_dark": value for name, value in plain.items() if name.endswith("fill")}
    return gr.themes.Soft(font=FONT, font_mono=MONO).set(
        **plain, block_title_text_color="*body_text_color", background_fill_primary="*neutral_50"
    )


class Page(gr.Blocks):
    """Gradio's page whose every call, by whatever way it came, has its inputs looked at first."""

    guard: Guard | None = None

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        super().__init__(title="Face Studio", analytics_enabled=False)

    def queue(self, **_: Any) -> Page:
        """The queue with our limits from the start: each call builds Gradio's server anew, which takes a while."""
        return super().queue(max_size=self._limits.waiting, default_concurrency_limit=self._limits.at_once)

    async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Refuses files of others and addresses; see `demos.app.guard.refuse_foreign`."""
        request = kwargs.get("request", args[1] if len(args) > 1 else None)
        try:
            inputs = refuse_foreign(inputs, _session(self.guard, request), self.guard)
        except UsageError as error:
            raise gr.Error(toast(error), title="Please check", print_exception=False) from None
        try:
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:  # told already: no trace in the log
            error.print_exception = False
            raise
        except ComponentProcessingError as error:
            log.info("inputs refused: %s", error)
            words = f"An input can't be read ({type(error.__cause__ or error).__name__}): give another file or value."
            raise gr.Error(words, title="Please check", print_exception=False) from None


def _session(guard: Guard, request: Any) -> str:
    from demos.app.identity import COOKIE

    request = request[0] if isinstance(request, list) else request
    name = None if request is None else guard.identity.read(dict(request.cookies).get(COOKIE))
    if name is None:
        raise UsageError("the session is not known: reload the page")
    return name


def build(desk: Desk) -> Page:
    """All tabs on one page."""
    with Page(desk.limits) as page:
        gr.Markdown(
            "# Face Studio\nPortraits that talk, expressions that change, motion that is captured: on this computer.",
            elem_id="top",
        )
        desk.kept = {tab.TITLE: store(tab.TITLE.lower()) for tab in TABS}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            for tab in TABS:
                with gr.Tab(tab.TITLE, id=tab.TITLE.lower(), elem_id=f"tab-{tab.TITLE.lower()}"):
                    tab.build(desk)
        page.unload(desk.leave)
    for part in page.blocks.values():
        if "share" in (buttons := getattr(part, "buttons", None) or ()):  # it needs Hugging Face
            part.buttons = [button for button in buttons if button != "share"]
    return page


def launch(settings: Settings, workplace: Workplace) -> Page:
    """The page, being served in threads of their own until its `close`."""
    identity = Identity()
    desk = Desk(settings, workplace, identity)
    page = build(desk)
    parts = dict(settings=settings, workplace=workplace, identity=identity)
    page.guard = Guard(None, **parts)
    workplace.publish()
    page.launch(
        server_name=settings.host,
        server_port=settings.port,
        share=settings.share,
        auth=settings.auth,
        auth_message="Face Studio",
        inbrowser=settings.show,
        max_file_size=settings.limits.megabytes * 1_000_000,
        mcp_server=settings.mcp,
        prevent_thread_lock=True,
        quiet=True,
        show_error=True,
        enable_monitoring=False,
        run_history=False,
        footer_links=["api", "settings"],
        ssr_mode=False,
        strict_cors=True,
        state_session_capacity=200,
        theme=look(),
        css=CSS,
        app_kwargs={"middleware": [Middleware(Guard, **parts)], "docs_url": None, "redoc_url": None},
    )
    return page


def run(settings: Settings, workplace: Workplace) -> None:
    """Serve until Ctrl-C."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        page = launch(settings, workplace)
    except OSError as error:
        raise UsageError(
            f"can't listen at {settings.host}:{settings.port or '7860 to 7959'}: it is taken; give another --port"
        ) from error
    try:
        print(f"Face Studio is open at {page.local_url}", flush=True)
        if page.share_url:
            print(f"and, with the password, at {page.share_url}", flush=True)
        if settings.mcp:
            print(f"for language models: {page.local_url.rstrip('/')}/gradio_api/mcp/", flush=True)
        while True:
            time.sleep(3600)
    finally:
        page.close(verbose=False)
