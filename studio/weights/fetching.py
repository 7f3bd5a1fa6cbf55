"""Published files from the Hugging Face hub, when a user asks for them: resumed where they broke off, then verified."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from studio.errors import Cancelled, WeightsError
from studio.progress import Progress, track
from studio.weights.loading import sha256
from studio.weights.published import PublishedFile, PublishedModel, find, missing, models_folder

HUB = "https://huggingface.co"
"""HF_ENDPOINT names another, as for Hugging Face's own programs."""

BLOCK = 1 << 20
PATIENCE = 30
"""Seconds without a byte."""


def get(
    model: PublishedModel,
    *,
    optional: bool = False,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> list[Path]:
    """Downloads what a model needs and is not here, into the models' folder; returns the new files.

    optional also gets the files that it can do without. What was interrupted goes on where it stopped.
    Raises WeightsError for files that their authors give elsewhere than on the hub (it says where), for a hub that
    can't be reached and for a file that is not the published one; Cancelled.
    """
    wanted = [f for f in model.files if (optional or not f.optional) and find(model, f.name) is None]
    for file in wanted:
        if file.repository is None:
            raise WeightsError(missing(model, file))
    return [_get(model, file, progress, cancel) for file in wanted]


def _get(model: PublishedModel, file: PublishedFile, progress: Any, cancel: threading.Event | None) -> Path:
    target = models_folder() / model.name / file.name
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    hub = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    address = f"{hub}/{file.repository}/resolve/main/{file.path or file.name}"
    try:
        _download(address, part, f"getting {target.name}", progress, cancel)
    except urllib.error.HTTPError as error:
        why = "it asks for an account and its terms" if error.code in (401, 403) else f"the hub says {error.code}"
        raise WeightsError(f"{address}: {why}. Get it in a browser and put it at {target}") from error
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise WeightsError(
            f"{address} can't be reached ({reason}). Once this computer is online again, ask anew: it goes on where it "
            f"stopped. Or get it elsewhere and put it at {target}"
        ) from error
    size = part.stat().st_size
    if file.size is not None and size != file.size:
        part.unlink()
        raise WeightsError(f"{target.name}: {size} bytes came, {file.size} are published; ask again")
    if file.sha256 is not None and (found := sha256(part)) != file.sha256:
        part.unlink()
        raise WeightsError(f"{target.name}: its hash is {found}, {file.sha256} is published; nothing was kept")
    part.replace(target)
    return target


def _download(address: str, part: Path, stage: str, progress: Any, cancel: threading.Event | None) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # all of it is here
            return
        raise
    with answer, part.open("ab" if answer.status == 206 else "wb") as out:
        length = answer.headers.get("Content-Length")
        blocks = None if length is None else -(-int(length) // BLOCK)

        def read() -> Iterator[bytes]:
            while block := answer.read(BLOCK):
                yield block

        for block in track(read(), stage, blocks, progress):
            if cancel is not None and cancel.is_set():
                raise Cancelled("stopped; asked for again, it goes on from here")
            out.write(block)


__all__ = ["get"]
