"""torch's checkpoint files, read to NumPy without torch: the zip archive (since 1.6) and the older stream of pickles.

The suffix says nothing (.pt, .pth, .ckpt, .tar, .bin): both forms go by all of them.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from studio.errors import WeightsError
from studio.weights.builders import BFLOAT16, array_builders, storage_dtype
from studio.weights.pickles import read_pickle, read_pickle_bytes

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


def read_torch_zip(archive: zipfile.ZipFile, *, what: str) -> Any:
    """The value of a zip archive written by `torch.save`; tensors are NumPy arrays."""
    names = archive.namelist()
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if len(pickles) != 1:
        raise WeightsError(f"{what}: a zip archive without exactly one data.pkl; not written by torch.save")
    root = pickles[0].removesuffix("data.pkl")
    if any(name.startswith(f"{root}code/") for name in names):
        raise WeightsError(f"{what}: a TorchScript program, not weights; it would have to be run, and is refused")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() != b"little":
        raise WeightsError(f"{what}: written on a big-endian machine; save it again on this one")
    storages: dict[str, np.ndarray] = {}

    def load(identity: Any) -> np.ndarray:
        kind, key, count = _identity(identity, what)
        if key not in storages:
            info = archive.getinfo(f"{root}data/{key}")
            out = _empty(kind, count, info.file_size, what)
            with archive.open(info) as member:
                _read_into(member, out, what)
            storages[key] = out
        return storages[key]

    return read_pickle_bytes(archive.read(pickles[0]), array_builders(load), what=what)


def read_torch_legacy(stream: BinaryIO, size: int, *, what: str) -> Any:
    """The value of the older form: magic, protocol, system, value, storages' keys, then their bytes."""
    plain = array_builders()
    magic, protocol, system = (read_pickle(stream, plain, what=what) for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL or not isinstance(system, dict):
        raise WeightsError(f"{what}: not written by torch.save")
    if not system.get("little_endian", True):
        raise WeightsError(f"{what}: written on a big-endian machine; save it again on this one")
    start = stream.tell()
    storages: dict[str, np.ndarray] = {}

    def load(identity: Any) -> np.ndarray:
        kind, key, count = _identity(identity, what)
        if key not in storages:
            storages[key] = _empty(kind, count, size, what)
        return storages[key]

    read_pickle(stream, array_builders(load), what=what)  # finds the storages, whose bytes come after it
    for key in read_pickle(stream, plain, what=what):
        (count,) = np.frombuffer(stream.read(8), "<i8")
        if key not in storages or count != len(storages[key]):
            raise WeightsError(f"{what}: the storages don't fit their index; the file is damaged")
        _read_into(stream, storages[key], what)
    stream.seek(start)
    return read_pickle(stream, array_builders(load), what=what)


def storage_of_bytes(data: Any) -> np.ndarray:
    """The storage in bytes that torch wrote for a tensor inside an ordinary pickle."""
    data = data.encode("latin-1") if isinstance(data, str) else bytes(data)
    what = "a tensor inside a pickle"
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            value = read_torch_zip(archive, what=what)
    else:
        value = read_torch_legacy(io.BytesIO(data), len(data), what=what)
    if not isinstance(value, np.ndarray) or value.ndim != 1:
        raise WeightsError(f"{what}: not a storage")
    return value


def path_is_legacy(path: Path) -> bool:
    """Whether a pickle file starts as torch's older form does."""
    with open(path, "rb") as stream:
        head = stream.read(64)
    return LEGACY_MAGIC.to_bytes(10, "little") in head


def _identity(identity: Any, what: str) -> tuple[Any, str, int]:
    if type(identity) is not tuple or len(identity) < 5 or identity[0] != "storage":
        raise WeightsError(f"{what}: refused, a persistent id that is no storage of numbers")
    kind, key, count = identity[1], identity[2], identity[4]
    view = identity[5] if len(identity) > 5 else None
    if not isinstance(key, str) or type(count) is not int or count < 0 or view is not None:
        raise WeightsError(f"{what}: a storage that is damaged or a view of another")
    return kind, key, count


def _empty(kind: Any, count: int, available: int, what: str) -> np.ndarray:
    code = storage_dtype(kind)
    dtype = BFLOAT16 if code == "bf16" else np.dtype(code)
    if count * dtype.itemsize > available:
        raise WeightsError(f"{what}: cut short, {count} values are missing; copy or download it again")
    return np.empty(count, dtype)


def _read_into(stream: Any, out: np.ndarray, what: str) -> None:
    view, at = memoryview(out.view(np.uint8)), 0
    while at < len(view):
        got = stream.readinto(view[at:])
        if not got:
            raise WeightsError(f"{what}: cut short; copy or download it again")
        at += got
