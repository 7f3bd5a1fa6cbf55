"""The app's only folder on disk: one a run, in it one a session.

It is private to the user, goes at the end, and what a crash left behind goes at the next start: a folder whose
lock nobody holds has no app any more.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from pathlib import Path

from demos.app.settings import Limits

PREFIX = "face-studio-app-"
TIDY = 120.0
"""Seconds between two looks for what nobody uses any more."""


class Workplace:
    """Folders of a run of the app. Use it as a context manager."""

    def __init__(self, limits: Limits | None = None, base: str | Path | None = None) -> None:
        self.limits = limits or Limits()
        base = Path(base or tempfile.gettempdir()).resolve()
        remove_orphans(base)
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        self._lock = _hold(self.root / "lock")
        self.sessions = self.root / "sessions"
        self.sessions.mkdir()
        (self.root / "scratch").mkdir()
        self._public: frozenset[Path] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tidy_now_and_then, name="tidy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Workplace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Everything goes."""
        self._stop.set()
        self._lock.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def folder(self, session: str) -> Path:
        """The session's folder, made where it is missing; looked at now, it lives on."""
        if not re.fullmatch(r"[a-z0-9-]+", session):
            raise ValueError(f"{session!r} is no session")
        folder = self.sessions / session
        folder.mkdir(exist_ok=True)
        os.utime(folder)
        return folder

    def owner(self, path: str | Path) -> str | None:
        """The session that a file belongs to; None for what lies elsewhere. Links and `..` are followed first."""
        with contextlib.suppress(OSError, ValueError):
            parts = Path(path).resolve().relative_to(self.sessions.resolve()).parts
            return parts[0] if len(parts) > 1 else None
        return None

    def publish(self) -> None:
        """Whatever lies here now (the page's examples) is for everyone; what comes later is not."""
        lock = (self.root / "lock").resolve()
        self._public = frozenset(path.resolve() for path, _ in _files(self.root)) - {lock}

    def public(self, path: str | Path) -> bool:
        """Whether a file is for everyone."""
        with contextlib.suppress(OSError, ValueError):
            return Path(path).resolve() in self._public
        return False

    def new(self, session: str, name: str) -> Path:
        """A path for a new file of a session, in a folder of its own, so that it keeps its name."""
        self.make_room(session)
        place = self.folder(session) / secrets.token_hex(8)
        place.mkdir()
        return place / name

    def make_room(self, session: str, needed: int = 0) -> None:
        """Deletes a session's oldest files until its quota has room for `needed` bytes."""
        files = sorted(_files(self.folder(session)), key=lambda item: item[1].st_mtime)
        total = needed + sum(stat.st_size for _, stat in files)
        for path, stat in files:
            if total <= self.limits.quota * 1_000_000:
                break
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
            total -= stat.st_size

    def tidy(self, now: float | None = None) -> None:
        """Deletes the files of sessions that nobody has used for a while, and what interrupted uploads left."""
        oldest = (time.time() if now is None else now) - self.limits.idle
        for folder in self.sessions.iterdir():
            newest = max([folder.stat().st_mtime, *(stat.st_mtime for _, stat in _files(folder))])
            if newest < oldest:
                shutil.rmtree(folder, ignore_errors=True)
        kept = {self.root / "lock", *self._public}
        for path, stat in _files(self.root):
            if stat.st_mtime < oldest and path.resolve() not in kept and self.sessions not in path.parents:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # others are in it
                    path.parent.rmdir()

    def _tidy_now_and_then(self) -> None:
        while not self._stop.wait(TIDY):
            with contextlib.suppress(OSError):  # a file went while we looked
                self.tidy()


def remove_orphans(base: Path) -> list[Path]:
    """Deletes the folders of runs that are no more; returns them."""
    gone = []
    for root in base.glob(f"{PREFIX}*"):
        if not _ours(root):
            continue
        try:
            lock = _hold(root / "lock")
        except OSError:  # its app runs
            continue
        lock.close()
        shutil.rmtree(root, ignore_errors=True)
        gone.append(root)
    return gone


def _ours(root: Path) -> bool:
    """Whether a folder is this user's own, and not one that is being made right now."""
    with contextlib.suppress(OSError):
        mine = root.is_dir() and not root.is_symlink() and (os.name == "nt" or root.stat().st_uid == os.getuid())
        return mine and ((root / "lock").is_file() or time.time() - root.stat().st_mtime > 60)
    return False


def _hold(path: Path):
    """The lock file, held until it is closed or the process ends. OSError where another process holds it."""
    if os.name == "nt":
        path.unlink(missing_ok=True)  # fails while it is open elsewhere
        return path.open("w")
    import fcntl

    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                found.append((path, path.stat()))
    return found
