"""Published files fetched from the Hugging Face hub, when a user asks: resumed where they broke off, and verified."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from urllib.parse import quote, urljoin

from studio.errors import Cancelled, WeightsError
from studio.picture import check_output
from studio.weights.loading import sha256
from studio.weights.published import PublishedFile, PublishedModel, find, missing, models_folder

BLOCK = 1 << 20
TIMEOUT = 30.0
"""Seconds without an answer."""

_BROKEN = (OSError, HTTPException)


def download(
    model: PublishedModel,
    *,
    progress: Callable[[str, int, int | None], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Path]:
    """Fetches what is missing of a model into the models' folder; returns where all of its files are.

    progress  called with a file's name, bytes so far, and bytes in all where the hub tells.

    HF_ENDPOINT names another hub. What breaks off stays as a hidden .part and is gone on with at the next call.
    Raises `WeightsError` for a model that its authors give elsewhere, for a hub that can't be reached, and for a file
    that isn't what the hub says it is.
    """
    paths = []
    for file in model.files:
        found = find(model, file.name)
        if found is None and not file.optional:
            if file.repository is None:
                raise WeightsError(missing(model, file))
            found = _fetched(file, models_folder() / model.name / file.name, progress, cancel)
        if found is not None:
            paths.append(found)
    return paths


def _fetched(
    file: PublishedFile,
    target: Path,
    progress: Callable[[str, int, int | None], None] | None,
    cancel: threading.Event | None,
) -> Path:
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    address = f"{hub}/{file.repository}/resolve/main/{quote(file.path or file.name)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        address, size, wanted = _announced(address)
        size, wanted = file.size or size, file.sha256 or wanted
        here = part.stat().st_size if part.is_file() else 0
        if size is not None and here > size:
            part.unlink()
        check_output(target, room=max(0, (size or 0) - here))
        if size is None or here != size:
            _received(address, part, file.name, size, progress, cancel)
    except _BROKEN as error:
        raise WeightsError(f"{address}: broke off ({error}); ask again, and it goes on from where it is") from error
    got = part.stat().st_size
    if size is not None and got != size:
        raise WeightsError(f"{address}: {got} of {size} bytes came; ask again, and it goes on from where it is")
    if wanted is not None and (found := sha256(part)) != wanted:
        part.unlink()
        raise WeightsError(f"{address}: its hash is {found}, the hub says {wanted}; what came was thrown away")
    os.replace(part, target)
    return target


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The hub tells size and hash where it redirects."""

    def redirect_request(self, *_: object) -> None:
        return None


def _announced(address: str) -> tuple[str, int | None, str | None]:
    """Where a file really lies, its size, and its SHA-256, as far as the hub tells."""
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT) as answer:
            headers = answer.headers
    except urllib.error.HTTPError as error:
        if error.code not in (301, 302, 303, 307, 308):
            raise
        headers = error.headers
    size = headers.get("X-Linked-Size") or (None if "Location" in headers else headers.get("Content-Length"))
    return urljoin(address, headers.get("Location", address)), None if size is None else int(size), _sha256(headers)


def _sha256(headers: HTTPMessage) -> str | None:
    """The hub names large files by their hash."""
    tag = headers.get("X-Linked-Etag", "").removeprefix("W/").strip('"').lower()
    return tag if len(tag) == 64 and set(tag) <= set("0123456789abcdef") else None


def _received(
    address: str,
    part: Path,
    name: str,
    size: int | None,
    progress: Callable[[str, int, int | None], None] | None,
    cancel: threading.Event | None,
) -> None:
    here = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={here}-"} if here else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        goes_on = here and answer.status == 206
        with open(part, "ab" if goes_on else "wb") as out:
            count = here if goes_on else 0
            for block in _blocks(answer):
                if cancel is not None and cancel.is_set():
                    raise Cancelled(f"stopped; {count} bytes of {name} stay for the next time")
                out.write(block)
                count += len(block)
                if progress is not None:
                    progress(name, count, size)


def _blocks(answer: object) -> Iterator[bytes]:
    while block := answer.read(BLOCK):  # type: ignore[attr-defined]
        yield block


__all__ = ["download"]
