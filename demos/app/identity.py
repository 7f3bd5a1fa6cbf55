"""Who a session is: a cookie that only this run of the app can have signed."""

from __future__ import annotations

import hashlib
import hmac
import secrets

COOKIE = "face-studio-session"
LINK = "link-"
"""Begins the names of sessions without cookies (language models); their files are open to whoever has the link."""


class Identity:
    """Gives and reads signed names of sessions. Nothing is stored: strangers can't fill the memory."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def issue(self, *, link: bool = False) -> str:
        """A new session's token, its name and a signature."""
        name = (LINK if link else "") + secrets.token_hex(16)
        return f"{name}.{self._sign(name)}"

    def read(self, token: str | None) -> str | None:
        """The session's name, or None for a token that is not ours."""
        name, _, signature = (token or "").partition(".")
        return name if name and hmac.compare_digest(signature, self._sign(name)) else None

    def _sign(self, name: str) -> str:
        return hmac.new(self._secret, name.encode(), hashlib.sha256).hexdigest()[:32]
