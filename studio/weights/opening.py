"""Opens any file of weights safely: safetensors, torch checkpoints, NumPy files and research pickles.

What a file is shows in its first bytes, not in its suffix. Nothing in it is ever run (see `studio.weights.pickles`).
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import WeightsError
from studio.weights.builders import BFLOAT16, array_builders, widened
from studio.weights.pickles import read_pickle
from studio.weights.torch_files import path_is_legacy, read_torch_legacy, read_torch_zip

MAX_INFLATION = 300
"""How much larger than itself a member of an archive may unpack to."""

_WRAPPERS = ("state_dict", "model_state_dict", "model", "params_ema", "params", "net")
_SAFETENSORS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
}


def open_weights(path: str | Path) -> Any:
    """What a file of weights holds: nested dicts, lists, numbers and text, with NumPy arrays as leaves.

    Reads .safetensors, torch's .pt .pth .ckpt .tar .bin (both forms), .npy, .npz, .pkl (chumpy, Python 2, SciPy
    sparse); bfloat16 comes as float32. Raises WeightsError when the file is missing, damaged or holds anything but
    data.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    try:
        return _open(path)
    except OSError as error:
        raise WeightsError(f"{path}: can't be read ({error.strerror or error})") from error
    except WeightsError as error:
        raise error if str(error).startswith(str(path)) else WeightsError(f"{path}: {error}") from error
    except (ValueError, KeyError, zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{path}: damaged ({error}); copy or download it again") from error


def state_dict(path: str | Path, top: str | None = None, *, prefix: str = "") -> dict[str, np.ndarray]:
    """The flat {key: array} of a checkpoint, as its network names them.

    `top` picks a network of a nested checkpoint ("E_flame" of DECA's); without it usual wrappers ("state_dict",
    "model", …) are unpacked. `prefix` keeps the keys that begin with it and cuts it off; "module." of
    DataParallel is cut in any case. Raises WeightsError where the checkpoint has no such part.
    """
    tree = open_weights(path)
    if top is not None:
        flat = isinstance(tree, Mapping) and top not in tree and any(str(key).startswith(f"{top}.") for key in tree)
        if flat:  # a converted checkpoint: its parts are joined by dots
            tree = {top: {str(k)[len(top) + 1 :]: v for k, v in tree.items() if str(k).startswith(f"{top}.")}}
        if not isinstance(tree, Mapping) or top not in tree:
            held = ", ".join(map(str, list(tree)[:8])) if isinstance(tree, Mapping) else type(tree).__name__
            raise WeightsError(f"{path}: no part {top!r}, it holds {held}; is it another model's checkpoint?")
        tree = tree[top]
    else:
        while isinstance(tree, Mapping) and (inner := next((w for w in _WRAPPERS if _is_dict(tree, w)), None)):
            tree = tree[inner]
    if not isinstance(tree, Mapping):
        raise WeightsError(f"{path}: holds a {type(tree).__name__}, not named arrays")
    flat = {str(k).removeprefix("module."): v for k, v in tree.items() if isinstance(v, np.ndarray | np.generic)}
    out = {key[len(prefix) :]: np.asarray(value) for key, value in flat.items() if key.startswith(prefix)}
    if not out:
        raise WeightsError(f"{path}: no key begins with {prefix!r}; it has {', '.join(list(flat)[:4]) or 'no arrays'}")
    return out


def _is_dict(tree: Mapping, name: str) -> bool:
    return isinstance(tree.get(name), Mapping) and bool(tree[name])


def _open(path: Path) -> Any:
    with open(path, "rb") as stream:
        head = stream.read(16)
    if head[:4] == b"PK\x03\x04":
        return _open_zip(path)
    if head[:6] == b"\x93NUMPY":
        with open(path, "rb") as stream:
            return _unwrapped(_read_npy(stream, str(path)))
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _read_safetensors(path)
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        raise WeightsError(f"{path}: an HDF5 file; convert it to .safetensors or .npz first")
    if b"ustar" in _bytes_at(path, 257, 8) or head[:2] == b"\x1f\x8b":
        raise WeightsError(f"{path}: a packed archive; unpack it and give the file inside")
    if head[:1] == b"<" or head[:7] == b"version":
        kind = "a Git LFS pointer" if head[:1] == b"v" else "a web page"
        raise WeightsError(f"{path}: {kind}, not the weights; download the file itself")
    with open(path, "rb") as stream:
        if path_is_legacy(path):
            return read_torch_legacy(stream, path.stat().st_size, what=str(path))
        return read_pickle(stream, array_builders(), what=str(path))


def _bytes_at(path: Path, offset: int, count: int) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(offset)
        return stream.read(count)


def _open_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.file_size > MAX_INFLATION * max(info.compress_size, 4096):
                raise WeightsError(f"{path}: {info.filename} unpacks to {info.file_size} bytes; refused")
        if any(name.endswith("data.pkl") for name in archive.namelist()):
            return read_torch_zip(archive, what=str(path))
        arrays = {}
        for name in archive.namelist():
            if not name.endswith(".npy"):
                raise WeightsError(f"{path}: a zip archive with {name}; unpack it and give the file inside")
            with archive.open(name) as member:
                arrays[name.removesuffix(".npy")] = _unwrapped(_read_npy(member, f"{path}, {name}"))
        return arrays


def _read_npy(stream: Any, what: str) -> np.ndarray:
    """An array of a .npy stream; object arrays go through the restricted reader."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise WeightsError(f"{what}: .npy of version {version}")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = header(stream)
    if dtype.hasobject:
        array = read_pickle(stream, array_builders(), what=what)
        if not isinstance(array, np.ndarray):
            raise WeightsError(f"{what}: no array where one belongs; refused")
        return array
    raw = stream.read(math.prod(shape) * dtype.itemsize)
    return np.frombuffer(raw, dtype).copy().reshape(shape, order="F" if fortran else "C")


def _unwrapped(array: np.ndarray) -> Any:
    """The one value of a 0-d object array, as research code saves dicts; other arrays as they are."""
    return array.item() if array.dtype.hasobject and array.ndim == 0 else array


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.load(io.TextIOWrapper(io.BytesIO(stream.read(length)), "utf-8"))
    start, size = 8 + length, path.stat().st_size
    out = {}
    for key, entry in header.items():
        if key == "__metadata__":
            continue
        code, (begin, end), shape = entry["dtype"], entry["data_offsets"], tuple(entry["shape"])
        dtype = BFLOAT16 if code == "BF16" else np.dtype(_SAFETENSORS[code])
        if not 0 <= begin <= end <= size - start or end - begin != math.prod(shape) * dtype.itemsize:
            raise WeightsError(f"{path}: {key} lies outside the file; it is damaged, copy or download it again")
        flat = np.fromfile(path, dtype, end - begin and math.prod(shape), offset=start + begin)
        out[key] = widened(flat).reshape(shape)
    return out
