"""Models are got when asked for: whole, resumed, verified; never from where they are not."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from dataclasses import replace

import pytest

from demos.cli import main
from studio.errors import Cancelled, WeightsError
from studio.weights import MODELS, PublishedFile, PublishedModel, get

CONTENT = bytes(range(256)) * 9000  # 2.3 MB
FILE = PublishedFile(
    "net/weights.bin",
    repository="someone/model",
    path="net/weights.bin",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
MODEL = PublishedModel("made-up", "Made up", "someone", "https://example.org", "MIT", (FILE,), commercial=True)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub on this computer; the list of (path, range) that it was asked for."""
    asked = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            given = self.headers.get("Range")
            asked.append((self.path, given))
            first = int(re.fullmatch(r"bytes=(\d+)-", given).group(1)) if given else 0
            if "weights" not in self.path:
                self.send_error(404)
            elif first >= len(CONTENT):
                self.send_error(416)
            else:
                self.send_response(206 if given else 200)
                self.send_header("Content-Length", str(len(CONTENT) - first))
                self.end_headers()
                self.wfile.write(CONTENT[first:])

        def log_message(self, *_):
            pass

    monkeypatch.setenv("FACE_STUDIO_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield asked
        server.shutdown()


def test_a_file_comes_whole_and_once(hub, tmp_path):
    told = []
    (path,) = get(MODEL, progress=told.append)
    assert path == tmp_path / "models" / "made-up" / "net" / "weights.bin" and path.read_bytes() == CONTENT
    assert hub == [("/someone/model/resolve/main/net/weights.bin", None)]
    assert (told[0].done, told[0].total, told[-1].done) == (0, 3, 3)
    assert get(MODEL) == [] and len(hub) == 1


@pytest.mark.parametrize("have", [1, 1_000_000, len(CONTENT)])
def test_what_broke_off_goes_on(hub, tmp_path, have):
    part = tmp_path / "models" / "made-up" / "net" / "weights.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:have])
    (path,) = get(MODEL)
    assert path.read_bytes() == CONTENT and hub[0][1] == f"bytes={have}-" and not part.exists()


def test_another_file_is_not_kept(hub, tmp_path):
    for wrong, says in ((replace(FILE, sha256="0" * 64), "hash"), (replace(FILE, size=5), "5 are published")):
        with pytest.raises(WeightsError, match=says):
            get(replace(MODEL, files=(wrong,)))
    assert not [path for path in (tmp_path / "models").rglob("*") if path.is_file()]


def test_a_stop_keeps_what_came(hub, tmp_path):
    cancel = threading.Event()
    with pytest.raises(Cancelled):
        get(MODEL, progress=lambda event: cancel.set(), cancel=cancel)
    assert get(MODEL)[0].read_bytes() == CONTENT


def test_a_hub_out_of_reach_says_what_to_do(hub, monkeypatch):
    with pytest.raises(WeightsError, match="the hub says 404"):
        get(replace(MODEL, files=(replace(FILE, name="x", path="x"),)))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"can't be reached .*put it at"):
        get(MODEL)


def test_what_is_given_elsewhere_is_not_asked_of_the_hub(hub):
    with pytest.raises(WeightsError, match=r"flame\.is\.tue\.mpg\.de"):
        get(MODELS["flame"])
    assert hub == []


def test_the_command_gets_and_checks(hub, monkeypatch, capsys, tmp_path):
    import numpy as np
    from safetensors.numpy import save

    monkeypatch.setitem(globals(), "CONTENT", save({"weight": np.ones(3, np.float32)}))
    file = replace(FILE, name="weights.safetensors", path="weights.safetensors", size=None, sha256=None)
    monkeypatch.setitem(MODELS, "made-up", replace(MODEL, files=(file,)))
    assert main(["models", "get", "made-up", "--progress", "off"]) == 0
    said = capsys.readouterr().out
    assert "Made up: MIT" in said and "weights.safetensors: opens" in said
    assert main(["models", "get", "flame"]) == 7
    assert "flame.is.tue.mpg.de" in capsys.readouterr().err
