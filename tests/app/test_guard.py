"""The door of the app: whose files are whose, what is refused, what is cleaned away."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from demos.app.guard import Guard, refuse_foreign
from demos.app.identity import COOKIE, Identity
from demos.app.settings import Limits, Settings, read_auth
from demos.app.workplace import Workplace, remove_orphans
from studio.errors import MediaError, UsageError

MINE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def workplace(tmp_path):
    with Workplace(Limits(megabytes=1, quota=2), tmp_path) as made:
        yield made


def put(workplace, session, name="out.png", data=b"x"):
    path = workplace.new(session, name)
    path.write_bytes(data)
    return path


class Door:
    """A guard before an app that answers what it was asked, or what it was told to answer."""

    def __init__(self, workplace, **settings):
        self.identity, self.answer, self.seen = Identity(), (200, b"through"), []
        self.guard = Guard(
            self.app,
            settings=Settings(limits=workplace.limits, **settings),
            workplace=workplace,
            identity=self.identity,
        )

    async def app(self, scope, receive, send):
        body = b""
        while scope["method"] == "POST":
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                break
        self.seen.append((scope, body))
        status, answer = self.answer
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    def ask(self, path, token=None, method="GET", body=b"", headers=(), query=b""):
        """(status, headers, body) of a request."""
        given = {"host": "127.0.0.1:7860", "content-length": str(len(body)), **dict(headers)}
        if token:
            given["cookie"] = f"{COOKIE}={token}"
        raw = [(key.encode(), value.encode()) for key, value in given.items() if value is not None]
        scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": query}
        sent, waiting = [], [{"type": "http.request", "body": body, "more_body": False}]

        async def receive():
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        asyncio.run(self.guard(scope, receive, send))
        start = next((m for m in sent if m["type"] == "http.response.start"), {"status": None, "headers": []})
        return start["status"], dict(start["headers"]), b"".join(m.get("body", b"") for m in sent)

    def come_in(self):
        """(token, session) of a new visitor."""
        _, headers, _ = self.ask("/")
        token = headers[b"set-cookie"].decode().split("=", 1)[1].split(";")[0]
        return token, self.identity.read(token)


@pytest.fixture
def door(workplace):
    return Door(workplace)


def test_a_visitor_gets_a_cookie_that_scripts_and_other_sites_do_not_see(door):
    _, headers, _ = door.ask("/")
    line = headers[b"set-cookie"].decode()
    assert "HttpOnly" in line and "SameSite=Lax" in line
    token, _ = door.come_in()
    assert b"set-cookie" not in door.ask("/", token)[1]
    assert any(key == b"cookie" and COOKIE.encode() in value for key, value in door.seen[0][0]["headers"])


@pytest.mark.parametrize("forged", ["", "a.b", "a" * 32, "a" * 32 + "." + "0" * 32])
def test_a_forged_name_is_nobody(door, forged):
    assert door.identity.read(forged) is None
    assert b"set-cookie" in door.ask("/", forged or None)[1]


def test_a_file_is_handed_to_its_owner_alone(door, workplace):
    token, session = door.come_in()
    path = put(workplace, session)
    assert door.ask(f"/gradio_api/file={path}", token)[0] == 200
    other, _ = door.come_in()
    assert door.ask(f"/gradio_api/file={path}", other)[0] == 403
    assert door.ask(f"/gradio_api/file={path}")[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "{own}/../../{other}/{file}",
        "{own}/../../../lock",
        "{own}/link",
        "{root}",
        "http://169.254.169.254/latest/meta-data",
        "https://example.com/a.png",
        "//example.com/a.png",
        "file:///etc/passwd",
        "\x00",
    ],
)
def test_no_way_leads_out_of_the_own_folder(door, workplace, path):
    token, session = door.come_in()
    own, other = workplace.folder(session), put(workplace, OTHER)
    (own / "link").symlink_to("/etc/passwd")
    asked = path.format(own=own, root=workplace.root, other=OTHER, file=other.relative_to(workplace.sessions / OTHER))
    assert door.ask(f"/gradio_api/file={asked}", token)[0] == 403
    assert not door.guard.may_read(asked, session)


def test_examples_are_for_everyone_and_nothing_that_comes_later(door, workplace):
    token, _ = door.come_in()
    example = workplace.root / "cafe" / "astronaut.jpg"
    example.parent.mkdir()
    example.write_bytes(b"picture")
    assert door.ask(f"/gradio_api/file={example}", token)[0] == 403
    workplace.publish()
    assert door.ask(f"/gradio_api/file={example}", token)[0] == 200
    later = example.with_name("later.jpg")
    later.write_bytes(b"picture")
    assert door.ask(f"/gradio_api/file={later}", token)[0] == 403
    assert door.ask(f"/gradio_api/file={workplace.root / 'lock'}", token)[0] == 403


@pytest.mark.parametrize(
    "way", ["proxy=http://example.com", "file/etc/passwd", "deep_link", "vibe-edit/", "dev/reload"]
)
def test_doors_that_nobody_needs_are_closed(door, way):
    assert door.ask(f"/gradio_api/{way}")[0] == 404
    assert door.seen == []


def test_an_upload_goes_into_the_own_folder(door, workplace):
    token, session = door.come_in()
    landed = workplace.root / "0ff1ce" / "me.jpg"
    landed.parent.mkdir()
    landed.write_bytes(b"picture")
    door.answer = (200, json.dumps([str(landed)]).encode())
    for _ in range(2):  # the same file twice, as two sessions may send it
        status, headers, body = door.ask("/gradio_api/upload", token, "POST", b"data")
        (place,) = json.loads(body)
        assert status == 200 and int(headers[b"content-length"]) == len(body)
        assert workplace.owner(place) == session and Path(place).name == "me.jpg"
        assert Path(place).read_bytes() == b"picture"


@pytest.mark.parametrize("length, status", [("1099999", 200), ("1100001", 413), (None, 411), ("many", 411)])
def test_an_upload_tells_its_length_and_keeps_to_the_limit(door, length, status):
    token, _ = door.come_in()
    door.answer = (200, b"[]")
    assert door.ask("/gradio_api/upload", token, "POST", b"x", {"content-length": length})[0] == status


def test_who_sends_more_than_was_said_is_cut_off(door):
    token, _ = door.come_in()
    door.seen.clear()
    door.ask("/gradio_api/upload", token, "POST", b"x" * 1_200_000, {"content-length": "10"})
    assert door.seen == []


def test_a_huge_call_is_refused(door):
    token, _ = door.come_in()
    assert door.ask("/gradio_api/queue/join", token, "POST", b"x" * 2_100_000)[0] == 413
    sneaky = {"content-length": "5"}
    assert door.ask("/gradio_api/queue/join", token, "POST", b"x" * 2_100_000, sneaky)[0] == 413


def test_a_session_hears_its_own_events_alone(door):
    mine, _ = door.come_in()
    other, _ = door.come_in()
    call = json.dumps({"session_hash": "page1", "data": []}).encode()
    assert door.ask("/gradio_api/queue/join", mine, "POST", call)[0] == 200
    assert door.seen[-1][1] == call
    assert door.ask("/gradio_api/queue/data", mine, query=b"session_hash=page1")[0] == 200
    assert door.ask("/gradio_api/queue/data", other, query=b"session_hash=page1")[0] == 403
    assert door.ask("/gradio_api/heartbeat/page1", other)[0] == 403
    assert door.ask("/gradio_api/queue/join", other, "POST", call)[0] == 403
    assert door.ask("/gradio_api/cancel", other, "POST", call)[0] == 403


def test_another_name_for_this_computer_is_refused(door, workplace):
    assert door.ask("/", headers={"host": "evil.example:7860"})[0] == 421
    assert door.ask("/", headers={"host": "[::1]:7860"})[0] == 200
    open_door = Door(workplace, host="0.0.0.0", auth=("me", "long-password"))
    assert open_door.ask("/", headers={"host": "studio.example"})[0] == 200


def test_inputs_are_files_of_the_session(door, workplace):
    _, session = door.come_in()
    path, other = put(workplace, session), put(workplace, OTHER)
    good = {"path": str(path), "url": "http://127.0.0.1:7860/gradio_api/file=x", "meta": {"_type": "gradio.FileData"}}
    kept = refuse_foreign([1, "text", {"a": [good]}], session, door.guard)
    assert kept == [1, "text", {"a": [{**good, "url": None}]}]
    for wrong in (
        {"path": str(other)},
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://169.254.169.254/"},
        {"path": "https://example.com/a.png", "meta": {"_type": "gradio.FileData"}},
        {"path": "data:image/png;base64,AAAA"},
        {"path": None, "url": "http://10.0.0.1/", "meta": {"_type": "gradio.FileData"}},
    ):
        with pytest.raises(UsageError):
            refuse_foreign([{"deep": [wrong]}], session, door.guard)


def test_files_of_language_models_are_open_by_their_link_alone(workplace):
    door = Door(workplace, mcp=True)
    door.answer = (200, b"[]")
    _, headers, _ = door.ask("/gradio_api/upload", None, "POST", b"x", {"content-length": "1"})
    token, session = door.come_in()
    linked = door.identity.read(headers[b"set-cookie"].decode().split("=", 1)[1].split(";")[0])
    assert linked.startswith("link-") and not session.startswith("link-")
    path, private = put(workplace, linked), put(workplace, session)
    assert door.ask(f"/gradio_api/file={path}", token)[0] == 200
    assert door.ask(f"/gradio_api/file={private}")[0] == 403
    link = {"path": f"http://127.0.0.1:7860/gradio_api/file={path}"}
    assert refuse_foreign(link, session, door.guard)["path"] == str(path)
    for wrong in (f"http://example.com/gradio_api/file={path}", f"http://127.0.0.1:7860/gradio_api/file={private}"):
        with pytest.raises(UsageError):
            refuse_foreign({"path": wrong}, linked, door.guard)


def test_a_session_keeps_to_its_quota_and_the_oldest_go(workplace):
    old, new = put(workplace, MINE, "old", b"x" * 1_500_000), put(workplace, MINE, "new", b"x" * 400_000)
    os.utime(old, (1, 1))
    stays = put(workplace, OTHER, "other", b"x" * 1_900_000)
    workplace.make_room(MINE, 200_000)
    assert not old.exists() and not old.parent.exists() and new.exists() and stays.exists()


def test_what_nobody_uses_goes_after_a_while(workplace):
    idle, busy = put(workplace, MINE), put(workplace, OTHER)
    left = workplace.root / "ab12" / "upload.jpg"
    left.parent.mkdir()
    left.write_bytes(b"x")
    past = time.time() - workplace.limits.idle - 60
    for path in (idle, idle.parent, workplace.sessions / MINE, left):
        os.utime(path, (past, past))
    workplace.tidy()
    assert not (workplace.sessions / MINE).exists() and busy.exists() and not left.exists()


def test_the_folder_is_private_and_goes_at_the_end(tmp_path):
    with Workplace(base=tmp_path) as workplace:
        put(workplace, MINE)
        assert os.stat(workplace.root).st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_running_app_keeps_its_folder_and_a_dead_one_does_not(tmp_path):
    with Workplace(base=tmp_path) as alive:
        orphan = tmp_path / "face-studio-app-dead"
        (orphan / "sessions" / "x").mkdir(parents=True)
        (orphan / "lock").write_text("")
        stranger = tmp_path / "something-else"
        stranger.mkdir()
        assert remove_orphans(tmp_path) == [orphan]
        assert alive.root.exists() and stranger.exists() and not orphan.exists()


def test_a_strange_session_name_makes_no_folder(workplace):
    for name in ("../x", "", "A/B", "a b"):
        with pytest.raises(ValueError):
            workplace.folder(name)


@pytest.mark.parametrize("settings", [{"share": True}, {"host": "0.0.0.0"}, {"host": "192.168.1.5"}])
def test_others_come_in_with_a_password_alone(settings):
    with pytest.raises(UsageError, match="--auth"):
        Settings(**settings).check()
    Settings(**settings, auth=("me", "long-password")).check()
    Settings().check()


def test_auth_is_read_from_words_or_environment(monkeypatch):
    monkeypatch.delenv("FACE_STUDIO_AUTH", raising=False)
    assert read_auth(None) is None
    assert read_auth("me:pass:word1") == ("me", "pass:word1")
    for wrong in ("me", "me:", ":password", "me:short"):
        with pytest.raises(UsageError):
            read_auth(wrong)
    monkeypatch.setenv("FACE_STUDIO_AUTH", "me:from-environment")
    assert read_auth(None) == ("me", "from-environment")


def test_limits_of_pictures_sounds_and_text(tmp_path):
    import soundfile
    from PIL import Image

    limits = Limits(megapixels=0.01, seconds=1, letters=5)
    Image.new("RGB", (100, 100)).save(tmp_path / "fits.png")
    Image.new("RGB", (101, 100)).save(tmp_path / "large.png")
    (tmp_path / "none.png").write_bytes(b"no picture")
    limits.check_picture(tmp_path / "fits.png")
    for name in ("large.png", "none.png"):
        with pytest.raises(MediaError, match=name):
            limits.check_picture(tmp_path / name)
    soundfile.write(tmp_path / "short.wav", [0.0] * 8000, 8000)
    soundfile.write(tmp_path / "long.wav", [0.0] * 9000, 8000)
    limits.check_sound(tmp_path / "short.wav")
    with pytest.raises(MediaError, match="up to 1 s"):
        limits.check_sound(tmp_path / "long.wav")
    limits.check_text("12345")
    with pytest.raises(UsageError):
        limits.check_text("123456")


def test_limits_of_a_recording_that_does_not_tell_how_long_it_is(tmp_path):
    import av
    import numpy as np

    from studio.media import Clip

    path = tmp_path / "camera.webm"
    with av.open(str(path), "w", options={"live": "1"}) as file:  # as browsers record
        stream = file.add_stream("libvpx", rate=10)
        stream.width = stream.height = 64
        for _ in range(15):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")))
        file.mux(stream.encode(None))
    assert Clip.open(path).duration is None
    Limits(seconds=2).check_video(path)
    with pytest.raises(MediaError, match="lasts"):
        Limits(seconds=1).check_video(path)


def test_limits_of_videos(tmp_path):
    import numpy as np

    from studio.media import VideoWriter

    with VideoWriter(tmp_path / "clip.mp4", 10) as writer:
        for _ in range(15):
            writer.write(np.zeros((64, 64, 3), np.uint8))
    Limits(seconds=2).check_video(tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match="lasts"):
        Limits(seconds=1).check_video(tmp_path / "clip.mp4")
    with pytest.raises(MediaError, match="megapixels"):
        Limits(megapixels=0.004).check_video(tmp_path / "clip.mp4")
