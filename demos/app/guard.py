"""The door of the app: every HTTP request passes `Guard` before Gradio sees it.

It knows each session by its cookie, brings what is uploaded into the session's own folder, hands out files to
their owner alone, keeps one session from listening to another's events, fetches nothing from elsewhere, and
refuses what is too large. `refuse_foreign` looks at the inputs of every call, whichever way it came.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import OrderedDict
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from demos.app.identity import COOKIE, LINK, Identity
from demos.app.settings import LOCAL, Settings
from demos.app.workplace import Workplace
from studio.errors import UsageError

API = "/gradio_api"
MOST_JSON = 2_000_000
"""Bytes of a call; files travel as uploads."""

CLOSED = ("/file/", "/proxy=", "/deep_link", "/vibe-", "/undo-vibe", "/process_recording", "/dev/", "/component_server")
"""Doors of Gradio that this app has no use for."""

_MOST_CLAIMS = 10_000


class Refused(Exception):
    """A request that goes no further: status and words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Guard:
    """ASGI middleware; see the module's docstring."""

    def __init__(self, app: Any, *, settings: Settings, workplace: Workplace, identity: Identity) -> None:
        self.app, self.settings, self.workplace, self.identity = app, settings, workplace, identity
        self._claims: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        path = scope["path"]  # as Gradio sees it
        token = _cookie(headers.get("cookie", ""))
        session, fresh = self.identity.read(token), None
        if session is None:
            fresh = self.identity.issue(link=self.settings.mcp and path != "/")
            session = self.identity.read(fresh)
            scope = {**scope, "headers": _with_cookie(scope["headers"], fresh)}
        try:
            self._check(path, scope, headers, session)
            if scope["method"] == "POST":
                receive = await self._body(path, headers, receive, session)
        except Refused as refused:
            await _answer(send, refused.status, str(refused))
            return
        if path == f"{API}/upload":
            send = self._settled(send, session)
        await self.app(scope, receive, _with_set_cookie(send, fresh) if fresh else send)

    def _check(self, path: str, scope: dict, headers: dict[str, str], session: str) -> None:
        if self.settings.local and _host(headers.get("host", "")) not in LOCAL:
            raise Refused(421, "this app is for this computer alone")
        if not path.startswith(API):
            return
        rest = path[len(API) :]
        if rest.startswith(CLOSED):
            raise Refused(404, "not here")
        if rest.startswith("/file=") and not self.may_read(rest.removeprefix("/file="), session):
            raise Refused(403, "this file is not yours, or it is gone")
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        listened = query.get("session_hash", [None])[0]
        if rest.startswith("/heartbeat/"):
            listened = rest.removeprefix("/heartbeat/").strip("/")
        if listened is not None:
            self._claim(listened, session)

    def may_read(self, path: str, session: str) -> bool:
        """Whether a session may have a file: its own, an example of the page, or one that is open by its link."""
        if "://" in path or path.startswith(("http:", "https:", "//")):
            return False
        owner = self.workplace.owner(path)
        if owner is None:
            return self.workplace.public(path)
        return owner == session or (self.settings.mcp and owner.startswith(LINK))

    def _claim(self, listener: str, session: str) -> None:
        """A page's own name belongs to the session that used it first; language models come through one page."""
        with self._lock:
            owner = self._claims.setdefault(listener, session)
            if owner != session and not (owner.startswith(LINK) and session.startswith(LINK)):
                raise Refused(403, "these events are another session's")
            self._claims.move_to_end(listener)
            while len(self._claims) > _MOST_CLAIMS:
                self._claims.popitem(last=False)

    async def _body(self, path: str, headers: dict[str, str], receive: Any, session: str) -> Any:
        """Checks the size of what is sent, and whose events a call asks for. Returns a `receive` for the app."""
        length = headers.get("content-length", "")
        if path == f"{API}/upload":
            if not length.isdigit():
                raise Refused(411, "an upload tells its length")
            most = self.settings.limits.megabytes * 1_000_000 + 100_000
            if int(length) > most:
                raise Refused(413, f"too large: up to {self.settings.limits.megabytes} MB are taken")
            self.workplace.make_room(session, int(length))
            return _counted(receive, most)
        if length.isdigit() and int(length) > MOST_JSON:
            raise Refused(413, "too large a call; upload files instead")
        if path not in (f"{API}/queue/join", f"{API}/cancel") and not path.startswith((f"{API}/run/", f"{API}/api/")):
            return _counted(receive, MOST_JSON)
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refused(400, "cut short")
            body += message.get("body", b"")
            if len(body) > MOST_JSON:
                raise Refused(413, "too large a call; upload files instead")
            if not message.get("more_body"):
                break
        try:
            call = json.loads(body or b"{}")
        except ValueError:
            raise Refused(400, "no JSON") from None
        if isinstance(call, dict) and call.get("session_hash") is not None:
            self._claim(str(call["session_hash"]), session)
        return _replay(body, receive)

    def _settled(self, send: Any, session: str) -> Any:
        """A `send` that brings uploaded files into the session's folder and tells their new place."""
        start, body = None, b""

        async def settle(message: dict) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body = json.dumps([str(self._take_in(place, session)) for place in json.loads(body)]).encode()
                kept = [pair for pair in start["headers"] if pair[0].lower() not in (b"content-length", b"etag")]
                start["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(start)
            await send({"type": "http.response.body", "body": body})

        return settle

    def _take_in(self, place: str, session: str) -> Path:
        """Gradio names uploads by their content, so that two sessions may share one: each gets a link of its own."""
        source = Path(place)
        if source.resolve().parent.parent != self.workplace.root.resolve():
            raise ValueError(f"an upload landed at {place}")
        target = self.workplace.new(session, source.name)
        try:
            os.link(source, target)
        except OSError:  # a disk without links
            shutil.copyfile(source, target)
        return target


def refuse_foreign(inputs: Any, session: str, guard: Guard) -> Any:
    """The inputs of a call; raises `UsageError` for files that are not the session's own and for addresses."""
    if isinstance(inputs, dict):
        path, url = inputs.get("path"), inputs.get("url")
        if isinstance(path, str):
            local = _own_link(path, guard.settings)
            if "://" in local or local.startswith("data:"):
                raise UsageError("addresses are not opened: download the file and upload it here")
            if not guard.may_read(local, session):
                raise UsageError("this file is not yours, or it is gone: upload it again")
            return {**inputs, "path": local, "url": None}
        if isinstance(url, str) and "meta" in inputs:
            raise UsageError("addresses are not opened: download the file and upload it here")
        return {key: refuse_foreign(value, session, guard) for key, value in inputs.items()}
    if isinstance(inputs, (list, tuple)):
        return [refuse_foreign(value, session, guard) for value in inputs]
    return inputs


def _own_link(path: str, settings: Settings) -> str:
    """The path in a link to a file of this very app (language models give such); anything else as it is."""
    link = urlsplit(path)
    own = link.scheme in ("http", "https") and _host(link.netloc) in (*LOCAL, settings.host)
    marker = f"{API}/file="
    return unquote(link.path).partition(marker)[2] if settings.mcp and own and marker in unquote(link.path) else path


def _host(netloc: str) -> str:
    """The name in HOST, HOST:PORT or [::1]:PORT."""
    if netloc.startswith("["):
        return netloc[1:].partition("]")[0]
    return netloc.partition(":")[0]


def _cookie(header: str) -> str | None:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(header)
    except Exception:  # a foreign cookie that breaks the rules hides ours: a new session then
        return None
    return jar[COOKIE].value if COOKIE in jar else None


def _with_cookie(headers: list, token: str) -> list:
    others = [value for key, value in headers if key.lower() == b"cookie"]
    kept = [pair for pair in headers if pair[0].lower() != b"cookie"]
    mine = [part for part in b"; ".join(others).split(b"; ") if part and not part.startswith(COOKIE.encode() + b"=")]
    return [*kept, (b"cookie", b"; ".join([*mine, f"{COOKIE}={token}".encode()]))]


def _with_set_cookie(send: Any, token: str) -> Any:
    async def told(message: dict) -> None:
        if message["type"] == "http.response.start":
            line = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax"
            message["headers"] = [*message.get("headers", []), (b"set-cookie", line.encode())]
        await send(message)

    return told


def _counted(receive: Any, most: int) -> Any:
    """A `receive` that hangs up on who sends more than was said."""
    seen = 0

    async def counted() -> dict:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        return {"type": "http.disconnect"} if seen > most else message

    return counted


def _replay(body: bytes, receive: Any) -> Any:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict:
        return waiting.pop() if waiting else await receive()

    return replay


async def _answer(send: Any, status: int, words: str) -> None:
    body = json.dumps({"detail": words}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
