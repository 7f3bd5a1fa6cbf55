"""The app as programs use it: named endpoints, one session apart from another, nothing left behind."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from app_server import Server

from studio.media import read_image

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).resolve().parents[2] / "demos" / "assets"
PORTRAIT = str(ASSETS / "astronaut.jpg")

gradio_client = pytest.importorskip("gradio_client", reason='the app needs gradio: pip install "face-studio[demo]"')
handle_file = gradio_client.handle_file


def call(served, cookies, name, *values):
    """What the server says to a call that no client has looked at before: its last event and that event's data."""
    address = f"{served.url}/gradio_api/call/{name}"
    event = httpx.post(address, json={"data": values}, cookies=cookies, timeout=60).json()["event_id"]
    lines = httpx.get(f"{address}/{event}", cookies=cookies, timeout=200).text.strip().splitlines()
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def edit_values(path):
    """The parameters of /edit in their order."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}, {}, {}, {}, "", 5, 0, 0, 0, "1", "photo"


def made_by(url):
    """(client, path on the server) of an edited picture."""
    client = gradio_client.Client(url, verbose=False, download_files=False)
    edited, _ = client.predict(source=handle_file(PORTRAIT), yaw=5, api_name="/edit")
    return client, edited["path"]


def test_every_endpoint_has_a_name_and_typed_parameters(client):
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert set(named) == {"/animate", "/edit", "/capture", "/head", "/generate", "/models", "/verify", "/doctor"}
    assert client.view_api(return_format="dict")["unnamed_endpoints"] == {}
    types = {p["parameter_name"]: p["python_type"]["type"] for p in named["/edit"]["parameters"]}
    assert (
        types["source"] == "filepath"
        and types["yaw"] == "float"
        and types["shapes"] == "dict(str, float)"
        and types["gaze"] == "str"
    )
    needed = {
        name: [p["parameter_name"] for p in e["parameters"] if not p["parameter_has_default"]]
        for name, e in named.items()
    }
    assert needed["/animate"] == ["portrait"] and needed["/edit"] == ["source"] and needed["/head"] == ["photo"]


def test_edit_is_what_the_pipeline_makes(client):
    from pipelines import ExpressionEditPipeline

    edited, words = client.predict(
        source=handle_file(PORTRAIT), shapes={"smile": 0.7}, aus={"AU1": 0.5}, gaze="left", yaw=8, api_name="/edit"
    )
    expected = ExpressionEditPipeline()(PORTRAIT, shapes={"smile": 0.7}, aus={"AU1": 0.5}, gaze="left", yaw=8)
    assert np.array_equal(read_image(edited).rgb, expected.image)
    assert "512x512" in words and "/" not in words.split(":")[0]


def test_typed_words_move_the_lips(client):
    from demos.app.speak import voices
    from studio.media import Audio, Clip
    from studio.motion import FaceMotion

    if not voices():
        pytest.skip("espeak-ng is not installed")
    video, files, _ = client.predict(
        portrait=handle_file(PORTRAIT), text="Oh, hello.", size="256", motion_file=True, api_name="/animate"
    )
    clip = Clip.open(video["video"] if isinstance(video, dict) else video)
    motion = FaceMotion.load(next(path for path in files if path.endswith(".csv")))
    assert clip.size == (256, 256) and Audio.open(clip.path).duration > 0.5
    assert abs(len(motion) - clip.duration * 25) <= 1 and motion.weights.max(0).max() > 0.2


@pytest.mark.parametrize(
    "name, values, words",
    [
        ("/edit", {"source": handle_file(PORTRAIT), "shapes": {"smlie": 1}}, "Did you mean smile"),
        ("/edit", {"source": handle_file(PORTRAIT), "yaw": 90}, "out of range"),
        ("/edit", {"source": handle_file(PORTRAIT), "face": "2"}, "one face was found"),
        ("/edit", {"source": handle_file(str(ASSETS / "speech.wav"))}, "not a picture"),
        ("/animate", {"portrait": handle_file(PORTRAIT)}, "Give a recording"),
        ("/animate", {"portrait": handle_file(PORTRAIT), "text": "x" * 2000}, "2000"),
        ("/capture", {}, "a video or a sound"),
    ],
)
def test_errors_say_what_to_do(client, served, name, values, words):
    with pytest.raises(Exception, match=words) as seen:
        client.predict(**values, api_name=name)
    assert "Traceback" not in str(seen.value) and str(served.temporary) not in str(seen.value)
    assert "Traceback" not in served.log.read_text()


def test_one_session_sees_nothing_of_another(client, served):
    owner, path = made_by(served.url)
    address = f"{served.url}/gradio_api/file={path}"
    assert httpx.get(address, cookies=owner.cookies).status_code == 200
    assert httpx.get(address, cookies=client.cookies).status_code == 403
    assert httpx.get(address).status_code == 403
    assert call(served, owner.cookies, "edit", *edit_values(path))[0] == "complete"
    kind, said = call(served, client.cookies, "edit", *edit_values(path))
    assert kind == "error" and "not yours" in json.dumps(said)


def test_files_of_the_computer_are_out_of_reach(client, served):
    root = served.places()[0]
    for path in ("/etc/passwd", f"{root}/lock", PORTRAIT, f"{root}/sessions/../lock", f"{root}/sessions"):
        kind, said = call(served, client.cookies, "edit", *edit_values(path))
        assert kind == "error" and "not yours" in json.dumps(said), path
        assert httpx.get(f"{served.url}/gradio_api/file={path}", cookies=client.cookies).status_code == 403


def test_addresses_are_never_opened(client, served):
    asked = []

    class Bait(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *_):
            asked.append("log")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bait) as bait:
        threading.Thread(target=bait.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{bait.server_port}/secret.jpg"
        for given in (
            {"path": address, "meta": {"_type": "gradio.FileData"}},
            {"path": address, "url": address, "meta": {"_type": "gradio.FileData"}},
            {"path": None, "url": address, "meta": {"_type": "gradio.FileData"}},
        ):
            with pytest.raises(Exception, match=r"[Aa]ddresses are not opened"):
                client.predict(source=given, api_name="/edit")
            with pytest.raises(Exception, match=r"[Aa]ddresses are not opened"):
                client.predict(portrait=given, text="hello", api_name="/animate")
        for way in (f"file={address}", f"proxy={address}"):
            assert httpx.get(f"{served.url}/gradio_api/{way}", cookies=client.cookies).status_code in (403, 404)
        bait.shutdown()
    assert asked == []


def test_a_killed_app_leaves_nothing_after_the_next_start(tmp_path):
    with Server(tmp_path) as first:
        with open(PORTRAIT, "rb") as photo:
            httpx.post(f"{first.url}/gradio_api/upload", files={"files": ("me.jpg", photo)}, timeout=60)
        first.kill()
        (orphan,) = first.places()
        assert list(orphan.glob("sessions/*/*/me.jpg"))
    with Server(tmp_path) as second:
        (place,) = second.places()
        assert place != orphan and not orphan.exists()
        assert second.stop() == 0 and second.places() == []


def test_a_stranger_needs_the_password(tmp_path):
    with Server(tmp_path, "--auth", "me:long-password") as server:
        assert httpx.get(f"{server.url}/config").status_code == 401
        assert httpx.post(f"{server.url}/gradio_api/upload", files={"files": b"x"}).status_code == 401
        client = gradio_client.Client(server.url, auth=("me", "long-password"), verbose=False)
        assert "mediapipe" in client.predict(api_name="/doctor")


def test_language_models_find_the_tools_and_use_them(tmp_path):
    with Server(tmp_path, "--mcp") as server:

        def ask(method, **params):
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            accept = {"Accept": "application/json, text/event-stream"}
            answer = httpx.post(f"{server.url}/gradio_api/mcp/", json=request, headers=accept, timeout=240).text
            return json.loads(next(line[6:] for line in answer.splitlines() if line.startswith("data: ")))["result"]

        assert {"animate", "edit", "capture", "head"} <= {tool["name"] for tool in ask("tools/list")["tools"]}
        with open(PORTRAIT, "rb") as photo:
            uploaded = httpx.post(f"{server.url}/gradio_api/upload", files={"files": ("me.jpg", photo)}, timeout=60)
        link = f"{server.url}/gradio_api/file={uploaded.json()[0]}"
        result = ask("tools/call", name="edit", arguments={"source": link, "shapes": {"smile": 0.5}})
        assert "512x512" in json.dumps(result) and not result.get("isError"), result
        refused = ask("tools/call", name="edit", arguments={"source": "http://127.0.0.1:1/secret.jpg"})
        assert refused["isError"] and "ddresses are not opened" in json.dumps(refused)
