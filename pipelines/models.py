"""Published models on this computer: which are here, whether they are what they should be, and as .safetensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import UsageError, WeightsError
from studio.weights import (
    MODELS,
    LicenceWarning,
    PublishedFile,
    PublishedModel,
    convert,
    find,
    locate,
    model,
    open_weights,
    recognised,
    sha256,
)


@dataclass(frozen=True)
class Listed:
    """A model and where its files are: {name: path or None}; optional ones that are missing are left out."""

    model: PublishedModel
    files: dict[str, Path | None]

    @property
    def complete(self) -> bool:
        """Whether all that is needed is here."""
        return None not in self.files.values()


@dataclass(frozen=True)
class Verified:
    """A file that was checked: its hash, whether that is the published one (None where none is stated), and whether
    its networks took it strictly (None where nothing here loads it alone).
    """

    path: Path
    sha256: str
    as_published: bool | None
    loads: bool | None


def listed() -> list[Listed]:
    """Every published model that the library reads."""
    return [Listed(known, dict(_files(known))) for known in MODELS.values()]


def verify(name: str, path: str | Path | None = None) -> list[Verified]:
    """Checks a model's files: those that are found, or the one (or folder) given.

    Raises WeightsError for a file that is missing, unsafe, damaged, of another size or hash than published, or of
    another model.
    """
    known = model(name)
    files = [file for file in known.files if find(known, file.name, path) is not None]
    if path is not None and Path(path).is_file():
        files = [next((file for file in known.files if Path(path).name in (file.name, *file.aliases)), known.file())]
    if not files or (known.file() not in files and (path is None or Path(path).is_dir())):
        locate(known, given=path)  # says what is missing
    return [_verified(known, file, locate(known, file.name, path)) for file in files]


def convert_model(source: str | Path, target: str | Path) -> str:
    """Writes a checkpoint, or FLAME with all that lies beside it, as one .safetensors; returns a line about it."""
    if Path(target).suffix != ".safetensors":
        raise UsageError(f"{target}: a converted model ends in .safetensors")
    source = Path(source).expanduser()
    if source.is_dir() or recognised(open_weights(source)) is MODELS["flame"]:
        from avatars.flame.asset import load_flame, save_flame

        with _no_warnings():
            save_flame(target, load_flame(source))
        return f"{target}: {MODELS['flame'].title}. Its terms stay: {MODELS['flame'].licence}"
    known, count = convert(source, target)
    if known is None:
        return f"{target}: {count} arrays of a model that is not known here; see to its licence yourself"
    return f"{target}: {known.title}, {count} arrays. Its terms stay: {known.licence}"


def _files(known: PublishedModel) -> Iterator[tuple[str, Path | None]]:
    for file in known.files:
        place = find(known, file.name)
        if place is not None or not file.optional:
            yield file.name, place


def _verified(known: PublishedModel, file: PublishedFile, path: Path) -> Verified:
    if path.suffix != ".safetensors" and file.size is not None and path.stat().st_size != file.size:
        raise WeightsError(f"{path}: {path.stat().st_size} bytes, {file.size} are published; download it again")
    found = sha256(path)
    same = None if file.sha256 is None or path.suffix == ".safetensors" else found == file.sha256
    if same is False:
        raise WeightsError(f"{path}: its hash is {found}, {file.sha256} is published; download it again")
    tree = open_weights(path)
    if file is known.file():
        other = recognised(tree)
        if other is not None and other is not known:
            raise WeightsError(f"{path}: this is {other.title}, not {known.title}")
    load = _loaders().get(known.name) if file is known.file() else None
    if load is not None:
        with _no_warnings():
            load(path)
    return Verified(path, found, same, None if load is None else True)


def _loaders() -> dict[str, Callable[[Path], Any]]:
    """What loads a model strictly; none but FLAME and SMPL-X where torch is missing."""
    from importlib.util import find_spec

    from avatars.body.asset import load_smplx
    from avatars.flame.asset import load_flame

    plain: dict[str, Callable[[Path], Any]] = {"flame": load_flame, "smplx": load_smplx}
    if find_spec("torch") is None:
        return plain
    from avatars.deca.decoder import DetailDecoder
    from avatars.deca.encoder import DecaEncoder
    from avatars.mica import MicaEncoder
    from avatars.smirk.encoder import SmirkEncoder
    from avatars.smirk.generator import SmirkGenerator
    from avatars.teaser.encoder import TeaserEncoder
    from avatars.teaser.generator import TeaserGenerator

    return {
        **plain,
        "deca": lambda path: (DecaEncoder.from_pretrained(path), DetailDecoder.from_pretrained(path)),
        "smirk": lambda path: (SmirkEncoder.from_pretrained(path), SmirkGenerator.from_pretrained(path)),
        "mica": MicaEncoder.from_pretrained,
        "teaser": lambda path: (TeaserEncoder.from_pretrained(path), TeaserGenerator.from_pretrained(path)),
    }


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Terms are told in words here, not as warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LicenceWarning)
        yield


__all__ = ["Listed", "Verified", "convert_model", "listed", "verify"]
