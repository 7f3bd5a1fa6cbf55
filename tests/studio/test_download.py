"""Files from a hub, here a small server of ours: whole, gone on with where they broke off, verified."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from studio.errors import Cancelled, WeightsError
from studio.weights import model
from studio.weights.download import download
from studio.weights.published import PublishedFile, PublishedModel

CONTENT = bytes(range(256)) * 9000  # 2.3 MB: a few blocks
MODEL = PublishedModel(
    name="small",
    title="Small",
    authors="Somebody",
    page="https://example.org",
    licence="MIT",
    files=(
        PublishedFile("net.pth", repository="some/where", path="deep/net.pth"),
        PublishedFile("more.pth", repository="some/where", optional=True),
    ),
)


class Hub(BaseHTTPRequestHandler):
    """Redirects, as the real one does, and tells size and hash there."""

    breaks_at: int | None = None
    ranges = True
    told = hashlib.sha256(CONTENT).hexdigest()
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_HEAD(self) -> None:
        if self.path != "/some/where/resolve/main/deep/net.pth":
            self.send_error(404)
            return
        self.send_response(302)
        self.send_header("Location", "/store/net")
        self.send_header("X-Linked-Size", str(len(CONTENT)))
        self.send_header("X-Linked-Etag", f'"{self.told}"')
        self.end_headers()

    def do_GET(self) -> None:
        Hub.asked.append((self.path, self.headers.get("Range")))
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(found[1]) if found and self.ranges else 0
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        end = len(CONTENT) if Hub.breaks_at is None else Hub.breaks_at
        self.wfile.write(CONTENT[first:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Hub]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Hub.asked = []
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield Hub
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    seen = []
    (path,) = download(MODEL, progress=lambda name, count, size: seen.append((name, count, size)))
    assert path == tmp_path / "models" / "small" / "net.pth" and path.read_bytes() == CONTENT
    assert seen[-1] == ("net.pth", len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert download(MODEL) == [path] and Hub.asked == [("/store/net", None)]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ranges", [True, False])
def test_what_broke_off_is_gone_on_with(ranges: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Hub, "ranges", ranges)
    monkeypatch.setattr(Hub, "breaks_at", 1_500_000)
    with pytest.raises(WeightsError, match="goes on from where it is"):
        download(MODEL)
    monkeypatch.setattr(Hub, "breaks_at", None)
    (path,) = download(MODEL)
    assert path.read_bytes() == CONTENT
    begun = int(re.fullmatch(r"bytes=(\d+)-", Hub.asked[-1][1])[1])
    assert 1_000_000 <= begun <= 1_500_000


def test_another_file_than_the_hub_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Hub, "told", "0" * 64)
    with pytest.raises(WeightsError, match="its hash is"):
        download(MODEL)
    assert not list((tmp_path / "models" / "small").iterdir())


def test_it_can_be_stopped(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(Cancelled):
        download(MODEL, progress=lambda *_: stop.set(), cancel=stop)
    assert not (tmp_path / "models" / "small" / "net.pth").exists()
    assert download(MODEL)[0].read_bytes() == CONTENT


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="404"):
        download(model("liveportrait"))
    with pytest.raises(WeightsError, match=r"flame\.is\.tue\.mpg\.de"):
        download(model("flame"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match="broke off"):
        download(MODEL)


def test_the_command_names_the_licence_first() -> None:
    root = Path(__file__).resolve().parents[2]
    words = [sys.executable, "-m", "demos.cli", "models", "get", "liveportrait"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True)
    assert done.returncode == 7 and done.stdout.startswith("LivePortrait: MIT") and "404" in done.stderr
