"""Pages of tests/helpers/web in headless Chromium, which send back what they found.

FACE_STUDIO_NODE_MODULES names a folder with gltf-validator, three and @pixiv/three-vrm, else ./node_modules;
FACE_STUDIO_CHROMIUM the browser, else chromium or google-chrome of the path.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
WEB = Path(__file__).resolve().parent / "web"
_KINDS = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"}


def node_modules(*packages: str) -> Path:
    """The folder that has these packages of npm; the test is skipped where there is none."""
    folder = Path(os.environ.get("FACE_STUDIO_NODE_MODULES") or ROOT / "node_modules")
    for package in packages:
        if not (folder / package / "package.json").is_file():
            pytest.skip(f"npm's {package} is not in {folder}; npm install it, or set FACE_STUDIO_NODE_MODULES")
    return folder


def chromium() -> str:
    """The browser; the test is skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("FACE_STUDIO_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip("no chromium on the path; install it, or set FACE_STUDIO_CHROMIUM")
    return found


def ask(script: str, files: Path, room: Path, seconds: float = 120, **words: str) -> dict[str, Any]:
    """What a script of tests/helpers/web answers of a file in `files`; room is a folder for the browser's own."""
    modules, browser = node_modules("three", "@pixiv/three-vrm"), chromium()
    roots = {"node_modules": modules, "web": WEB, "files": files}
    answers: list[dict[str, Any]] = []
    arrived = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            first, _, rest = urlsplit(self.path).path.lstrip("/").partition("/")
            file = roots[first] / rest if first in roots else None
            if file is None or not file.is_file():
                self.send_response(204 if first == "favicon.ico" else 404)
                self.end_headers()
                return
            data = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", _KINDS.get(file.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_POST(self) -> None:
            answers.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()
            arrived.set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/web/page.html?{urlencode({'script': script, **words})}"
    log = (room / "browser.log").open("wb")
    options = ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--use-gl=angle"]
    options += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", f"--user-data-dir={room / 'profile'}"]
    run = subprocess.Popen([browser, *options, address], stdout=log, stderr=log)
    try:
        arrived.wait(seconds)
    finally:
        run.terminate()
        run.wait(20)
        server.shutdown()
        server.server_close()
        log.close()
    tail = (room / "browser.log").read_text(errors="replace")[-2000:]
    assert answers, f"{script} told nothing within {seconds:g} s. The browser: {tail}"
    assert "failed" not in answers[0], answers[0]
    return answers[0]


def pixels(address: str) -> np.ndarray:
    """(H, W, 3) uint8 of a data: address of a PNG."""
    from PIL import Image

    return np.array(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB"))
