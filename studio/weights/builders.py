"""What pickles of weights may hold: NumPy arrays, SciPy sparse matrices, chumpy arrays, torch tensors, dicts, and the
settings beside them: `argparse.Namespace` as the dict of its values, a path as its text.

Each builder takes the plain values of a file and gives an array; sparse matrices come out dense, chumpy's `Ch`
as the array it wraps, torch tensors as NumPy (bfloat16 widened to float32, which loses nothing).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from studio.errors import WeightsError
from studio.weights.pickles import Builders, Name, Pending, settled

MAX_DENSE = 1 << 27
"""Elements of a sparse matrix that is made dense; FLAME's regressor has 25 thousand."""

_DTYPE = re.compile(r"[<>|=]?(?:[biufcSU?]\d*|O\d*)")
_STORAGES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bf16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
    "ComplexFloat": "c8",
    "ComplexDouble": "c16",
}
_ARRAY, _DTYPE_NAME = Name("numpy", "ndarray"), Name("numpy", "dtype")
_SPARSE = {
    Name(f"scipy.sparse.{module}", f"{kind}_{suffix}"): kind
    for kind in ("csc", "csr", "coo")
    for module in (kind, f"_{kind}")
    for suffix in ("matrix", "array")
}
_SETTINGS = Name("argparse", "Namespace")
_PATHS = tuple(
    Name(module, kind)
    for module in ("pathlib", "pathlib._local")
    for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
)
_CHUMPY = (Name("chumpy.ch", "Ch"), Name("chumpy", "Ch"))


def array_builders(load_storage: Callable[[Any], Any] | None = None) -> Builders:
    """Builders of everything that a file of weights holds. `load_storage` resolves torch's persistent ids."""
    calls: dict[Name, Callable[[tuple], Any]] = {
        _DTYPE_NAME: _dtype,
        Name("_codecs", "encode"): _encode,
        Name("collections", "OrderedDict"): lambda args: dict(*args),
        Name("torch", "Size"): lambda args: tuple(args[0]),
        Name("torch._utils", "_rebuild_tensor_v2"): _tensor,
        Name("torch._utils", "_rebuild_tensor"): _tensor,
        Name("torch._utils", "_rebuild_parameter"): lambda args: args[0],
        Name("torch.storage", "_load_from_bytes"): _storage_from_bytes,
    }
    for core in ("numpy.core", "numpy._core"):
        calls[Name(f"{core}.multiarray", "_reconstruct")] = lambda args: Pending(_ARRAY)
        calls[Name(f"{core}.multiarray", "scalar")] = _scalar
        calls[Name(f"{core}.numeric", "_frombuffer")] = _from_buffer
    calls |= dict.fromkeys(_PATHS, _path)
    for name in (*_CHUMPY, *_SPARSE, _SETTINGS):
        calls[name] = lambda args, name=name: Pending(name)
    for module in ("__builtin__", "builtins"):  # how Python 3 writes bytes in old protocols
        calls |= {Name(module, kind): _bytes for kind in ("bytes", "bytearray")}
    for module in ("copy_reg", "copyreg"):
        calls[Name(module, "_reconstructor")] = _reconstructed
    states: dict[Name, Callable[[Pending, Any], Any]] = {_ARRAY: _array_state, _DTYPE_NAME: _dtype_state}
    states |= dict.fromkeys(_CHUMPY, _chumpy_state) | dict.fromkeys(_SPARSE, _sparse_state)
    states[_SETTINGS] = _settings_state
    return Builders(calls, states, load_storage)


def storage_dtype(kind: Any) -> str:
    """NumPy's code of a torch storage class ("bf16" for bfloat16, which NumPy lacks)."""
    word = kind.name.removesuffix("Storage") if isinstance(kind, Name) and kind.module.startswith("torch") else ""
    if word not in _STORAGES:
        raise WeightsError(f"a tensor of the unknown kind {kind}; only plain numbers are read")
    return _STORAGES[word]


def _reconstructed(args: tuple) -> Pending:
    if len(args) != 3 or args[0] not in (*_CHUMPY, *_SPARSE, _SETTINGS):
        raise WeightsError(f"refused, the file wants an object of {args[0] if args else 'nothing'}, which is no array")
    return Pending(args[0])


def _dtype(args: tuple) -> Pending:
    code = args[0]
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise WeightsError(f"an array of {code!r}: only plain numbers, text and lists are read")
    return Pending(_DTYPE_NAME, args, built=np.dtype(code))


def _dtype_state(target: Pending, state: Any) -> np.dtype:
    order, fields = state[1], state[2:5]
    if order not in ("<", ">", "|", "=") or any(part is not None for part in fields):
        raise WeightsError("an array of records: only plain numbers, text and lists are read")
    return target.built.newbyteorder(order) if order in "<>" else target.built


def _plain(dtype: Any) -> np.dtype:
    if not isinstance(dtype, Pending) or not isinstance(dtype.built, np.dtype):
        raise WeightsError("an array without its type; the file is damaged")
    return dtype.built


def _raw(data: Any) -> bytes | bytearray:
    return data.encode("latin-1") if isinstance(data, str) else data


def _shaped(flat: np.ndarray, shape: Any, order: str) -> np.ndarray:
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if math.prod(shape) != flat.size or any(type(n) is not int or n < 0 for n in shape):
        raise WeightsError(f"an array of shape {shape} with {flat.size} values; the file is damaged")
    return flat.reshape(shape, order=order)  # type: ignore[call-overload]


def _array_state(_: Pending, state: Any) -> np.ndarray:
    *_, shape, dtype, fortran, data = state
    dtype, order = _plain(dtype), "F" if fortran else "C"
    if dtype.hasobject:
        flat = np.empty(len(data), object)
        flat[:] = [settled(item) for item in data] if len(data) else []
        for i, item in enumerate(data):  # elementwise: NumPy must not take arrays apart
            flat[i] = settled(item)
    else:
        flat = np.frombuffer(_raw(data), dtype).copy()
    return _shaped(flat, shape, order)


def _scalar(args: tuple) -> Any:
    return np.frombuffer(_raw(args[1]), _number(_plain(args[0])), 1)[0]


def _from_buffer(args: tuple) -> np.ndarray:
    data, dtype, shape, order = args
    return _shaped(np.frombuffer(data, _number(_plain(dtype))).copy(), shape, order)


def _number(dtype: np.dtype) -> np.dtype:
    if dtype.hasobject:
        raise WeightsError("raw bytes as Python objects; the file is damaged or crafted")
    return dtype


def _bytes(args: tuple) -> bytes:
    if len(args) > 1 or not all(isinstance(part, bytes) for part in args):
        raise WeightsError("refused, bytes made of something else")
    return args[0] if args else b""


def _path(args: tuple) -> str:
    """A path is text here: nothing is opened by it."""
    if not all(isinstance(part, str) for part in args):
        raise WeightsError("refused, a path made of something else than text")
    return "/".join(part.rstrip("/\\") for part in args)


def _settings_state(_: Pending, state: Any) -> dict:
    if type(state) is not dict or not all(isinstance(name, str) for name in state):
        raise WeightsError("refused, settings that are no names and values")
    return state


def _encode(args: tuple) -> bytes:
    text, coding = args
    if coding not in ("latin1", "latin-1"):
        raise WeightsError(f"refused, bytes coded as {coding!r}")
    return text.encode("latin-1")


def _chumpy_state(_: Pending, state: Any) -> np.ndarray:
    inner = state.get("x") if type(state) is dict else None
    if inner is None:
        raise WeightsError("a chumpy expression, not a chumpy array; save its value (`.r`) with NumPy instead")
    return np.asarray(settled(inner))


def _sparse_state(target: Pending, state: Any) -> np.ndarray:
    state = settled(state)
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape")))
    if len(shape) != 2 or math.prod(shape) > MAX_DENSE or min(shape) < 0:
        raise WeightsError(f"a sparse matrix of {shape}; too large to be read here")
    data, kind = state["data"], _SPARSE[target.made_by]
    if kind == "coo":
        rows, columns = (state["row"], state["col"]) if "row" in state else state["coords"]
    else:
        pointers, inner = np.asarray(state["indptr"]), np.asarray(state["indices"])
        count = shape[1] if kind == "csc" else shape[0]
        if len(pointers) != count + 1 or pointers[-1] != len(inner) or (np.diff(pointers) < 0).any():
            raise WeightsError("a sparse matrix whose index is damaged")
        outer = np.repeat(np.arange(count), np.diff(pointers))
        rows, columns = (inner, outer) if kind == "csc" else (outer, inner)
    if len(data) and (np.min(rows) < 0 or np.min(columns) < 0):
        raise WeightsError("a sparse matrix whose index is damaged")
    out = np.zeros(shape, data.dtype)
    np.add.at(out, (rows, columns), data)
    return out


def _tensor(args: tuple) -> np.ndarray:
    storage, offset, size, stride = args[:4]
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise WeightsError("a tensor without its storage; the file is damaged")
    size, stride = tuple(size), tuple(stride)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (math.prod(size) and last >= len(storage)):
        raise WeightsError(f"a tensor of {size} beyond its storage of {len(storage)}; the file is damaged")
    if not math.prod(size):
        return widened(np.zeros(size, storage.dtype))
    step = tuple(n * storage.itemsize for n in stride)
    return widened(np.lib.stride_tricks.as_strided(storage[offset:], size, step))


BFLOAT16 = np.dtype([("bfloat16", "<u2")])
"""How a storage of bfloat16 is held until a tensor is made of it."""


def widened(array: np.ndarray) -> np.ndarray:
    """bfloat16 as float32; others as they are."""
    if array.dtype != BFLOAT16:
        return array
    return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)


def _storage_from_bytes(args: tuple) -> np.ndarray:
    from studio.weights.torch_files import storage_of_bytes

    return storage_of_bytes(args[0])


__all__ = ["BFLOAT16", "array_builders", "storage_dtype", "widened"]
