"""What is known of each published model: its files, who made it, under which licence, and where its authors give it.

Nothing here downloads (`studio.weights.fetching` does, when asked). `locate` looks where the user says, in the models'
folder and in the Hugging Face cache; what is missing is asked for in words that say where to get it and where to put
it.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from studio.errors import UsageError, WeightsError

MODELS_FOLDER = "FACE_STUDIO_MODELS"
"""Environment variable that names the folder of models; ~/.face-studio/models without it."""


class LicenceWarning(UserWarning):
    """A model is loaded that may not be used commercially, or whose licence is not stated."""


@dataclass(frozen=True)
class PublishedFile:
    """A file of a model: `name` as its authors call it, and other names that it goes by.

    repository  of the Hugging Face hub, where the authors put it there; `path` in it.
    size        bytes, sha256 in hex: None where nobody has stated it.
    """

    name: str
    aliases: tuple[str, ...] = ()
    repository: str | None = None
    path: str | None = None
    size: int | None = None
    sha256: str | None = None
    optional: bool = False
    note: str = ""


@dataclass(frozen=True)
class PublishedModel:
    """A model and its terms. keys: which part of a checkpoint is which network, as (top-level key or prefix, ours)."""

    name: str
    title: str
    authors: str
    page: str
    licence: str
    files: tuple[PublishedFile, ...]
    commercial: bool = False
    keys: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def file(self, name: str | None = None) -> PublishedFile:
        """A file by one of its names; the first without a name."""
        if name is None:
            return self.files[0]
        for file in self.files:
            if name in (file.name, *file.aliases):
                return file
        raise UsageError(f"{self.name} has no file {name}; it has {', '.join(f.name for f in self.files)}")


def models_folder() -> Path:
    """Where published models lie: FACE_STUDIO_MODELS, or ~/.face-studio/models."""
    return Path(os.environ.get(MODELS_FOLDER) or Path.home() / ".face-studio" / "models").expanduser()


def hub_cache() -> Path:
    """The Hugging Face cache, where its own variables put it."""
    if direct := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(direct).expanduser()
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def find(model: PublishedModel, name: str | None = None, given: str | Path | None = None) -> Path | None:
    """Where a file of a model lies, or None.

    `given` is a file, or a folder to look in (alone); without it the models' folder and the Hugging Face cache.
    A converted .safetensors beside it, or in its place, wins.
    """
    file = model.file(name)
    if given is not None:
        given = Path(given).expanduser()
        return _in_folder(given, file) if given.is_dir() else given if given.is_file() else None
    if found := _in_folder(models_folder() / model.name, file):
        return found
    if file.repository is None:
        return None
    snapshots = hub_cache() / f"models--{file.repository.replace('/', '--')}" / "snapshots"
    found = [path for path in snapshots.glob(f"*/{file.path or file.name}") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def locate(model: PublishedModel, name: str | None = None, given: str | Path | None = None) -> Path:
    """`find`, or WeightsError that says where to get the file, under which licence, and where to put it."""
    found = find(model, name, given)
    if found is None:
        raise WeightsError(missing(model, model.file(name), given))
    return found


def missing(model: PublishedModel, file: PublishedFile, given: str | Path | None = None) -> str:
    """What to do for a file that is not here."""
    where = f"{given} has no" if given is not None else "there is no"
    source = f"https://huggingface.co/{file.repository} ({file.path or file.name})" if file.repository else model.page
    asked = f"Or let `face-studio models get {model.name}` fetch it. " if file.repository else ""
    return (
        f"{model.title}: {where} {file.name}. Its authors ({model.authors}) give it at {source}; licence: "
        f"{model.licence}. Put it at {models_folder() / model.name / file.name}, or name its place yourself. "
        f"{asked}Nothing is downloaded unasked.{' ' + file.note if file.note else ''}"
    )


def tell_terms(model: PublishedModel, file: Path | None = None) -> None:
    """Warns (LicenceWarning) when a model that is not free for any use is loaded; once a process and model. A `file`
    of the same form that somebody else made, and that says its own licence in its metadata, isn't the published one.
    """
    if file is not None and _licence_inside(file) not in (None, model.licence):
        return
    if not model.commercial and model.name not in _told:
        _told.add(model.name)
        warnings.warn(f"{model.title}: {model.licence}. See {model.page}", LicenceWarning, stacklevel=3)


_told: set[str] = set()


def _licence_inside(file: Path) -> str | None:
    """What a .safetensors file's metadata say of its licence."""
    if file.suffix != ".safetensors":
        return None
    from safetensors import safe_open

    with safe_open(file, "np") as opened:
        return (opened.metadata() or {}).get("licence")


def _in_folder(folder: Path, file: PublishedFile) -> Path | None:
    """The file in a folder: by one of its names, or where its authors' layout has it, in the folder or above it."""
    ways = [Path(name).parts for name in (file.name, *([file.path] if file.path else []), *file.aliases)]
    places = [folder.joinpath(*parts[i:]) for parts in ways for i in range(len(parts))]
    converted = [place.with_suffix(".safetensors") for place in places]
    return next((place for place in (*converted, *places) if place.is_file()), None)
