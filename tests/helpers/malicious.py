"""Files of weights that try to run a program. Each would leave a witness file behind, if anything of it ran."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np


class _Call:
    """Pickles as a call of `function(*args)`, with an optional state, list items and dict items."""

    def __init__(self, function: object, *args: object, rest: tuple = ()) -> None:
        self.parts = (function, args, *rest)

    def __reduce__(self) -> tuple:
        return self.parts


def _text(word: str) -> bytes:
    data = word.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def payloads(witness: Path) -> dict[str, bytes]:
    """Pickles by what they try; `witness` is the file that each would make."""
    import builtins
    import copyreg
    import functools
    import operator
    import os
    import subprocess

    shell, python = f"touch {witness}", f"open({str(witness)!r}, 'w').close()"
    posix = b"posix" if os.name == "posix" else b"nt"
    dump = lambda value, protocol=2: pickle.dumps(value, protocol=protocol)
    line = lambda text: text.encode() + b"\n"
    out = {
        "os.system": dump(_Call(os.system, shell)),
        "os.system, protocol 0": dump(_Call(os.system, shell), 0),
        "os.system, protocol 4": dump(_Call(os.system, shell), 4),
        "os.popen": dump(_Call(os.popen, shell)),
        "subprocess.call": dump(_Call(subprocess.call, ["touch", str(witness)])),
        "subprocess.Popen": dump(_Call(subprocess.Popen, ["touch", str(witness)])),
        "eval": dump(_Call(eval, python)),
        "exec": dump(_Call(exec, python)),
        "__import__": dump(_Call(builtins.__import__, "antigravity")),
        "open": dump(_Call(open, str(witness), "w")),
        "getattr": dump(_Call(getattr, _Call(builtins.__import__, "os"), "system")),
        "getattr chain": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S"
        + line(repr(shell))
        + b"tR.",
        "getattr by dotted name": b"\x80\x04"
        + _text("builtins")
        + _text("open.__call__")
        + b"\x93"
        + _text(str(witness))
        + _text("w")
        + b"\x86R.",
        "map and list": dump(_Call(list, _Call(map, os.system, [shell]))),
        "functools.partial": dump(_Call(functools.partial, os.system, shell)),
        "functools.reduce": dump(_Call(functools.reduce, os.system, [shell])),
        "operator.attrgetter": dump(_Call(operator.attrgetter, "system")),
        "INST": b"(" + b"S" + line(repr(shell)) + b"i" + posix + b"\nsystem\n.",
        "OBJ": b"(c" + posix + b"\nsystem\nS" + line(repr(shell)) + b"o.",
        "NEWOBJ": b"\x80\x02cbuiltins\nopen\n" + _text(str(witness)) + _text("w") + b"\x86\x81.",
        "NEWOBJ_EX": b"\x80\x04"
        + _text("builtins")
        + _text("open")
        + b"\x93"
        + _text(str(witness))
        + _text("w")
        + b"\x86}\x92.",
        "EXT1": b"\x80\x02\x82\x01(R.",
        "EXT4": b"\x80\x02\x84\x01\x00\x00\x00(R.",
        "copyreg.add_extension": dump(_Call(copyreg.add_extension, "os", "system", 1)),
        "copyreg._reconstructor": b"ccopyreg\n_reconstructor\n(csubprocess\nPopen\nc__builtin__\nobject\nNtR.",
        "copy_reg._reconstructor and BUILD": b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\ncposix\nsystem\n"
        + b"S"
        + line(repr(shell))
        + b"tR(dS'x'\ncposix\nsystem\n(S"
        + line(repr(shell))
        + b"tRsb.",
        "BUILD on a function": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}(" + _text("__code__") + b"K\x01ub.",
        "BUILD with __setstate__": b"\x80\x02cnumpy\nndarray\n}"
        + _text("__setstate__")
        + b"cos\nsystem\nsb"
        + _text(shell)
        + b"b.",
        "numpy's own exec": b"cnumpy.testing._private.utils\nrunstring\n(S" + line(repr(python)) + b"(dtR.",
        "numpy.load of another pickle": b"cnumpy\nload\n(S" + line(repr(str(witness))) + b"tR.",
        "torch.load": b"ctorch\nload\n(S" + line(repr(str(witness))) + b"tR.",
        "torch.hub": b"ctorch.hub\n_get_cache_or_reload\n(S" + line(repr(python)) + b"tR.",
        "codecs of a compressed bomb": b"c_codecs\ndecode\n(S'x'\nS'zlib'\ntR.",
        "runpy": b"crunpy\nrun_path\n(S" + line(repr(str(witness))) + b"tR.",
        "ctypes": b"cctypes\nCDLL\n(S'libc.so.6'\ntR.",
        "pty.spawn": b"cpty\nspawn\n(S" + line(repr(shell)) + b"tR.",
        "webbrowser": b"cwebbrowser\nopen\n(S'file:///'\ntR.",
        "scipy class with a call as state": b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81cos\nsystem\n"
        + _text(shell)
        + b"\x85Rb.",
        "call in a dict's key": b"\x80\x02}cos\nsystem\n" + _text(shell) + b"\x85RK\x01s.",
        "call after a good array": dump([np.zeros(3), _Call(os.system, shell)]),
        "call that POP hides": b"\x80\x02cos\nsystem\n" + _text(shell) + b"\x85R0K\x01.",
        "a bare global": b"cos\nsystem\n.",
        "persistent id": b"Pos.system\n.",
        "append to a class": b"\x80\x02cos\nenviron\n" + _text("x") + b"a.",
    }
    return out


def carriers(folder: Path, name: str, payload: bytes) -> list[Path]:
    """The payload in each kind of file that could carry it: plain, inside torch's two forms, inside .npy and .npz."""
    stem = "".join(c if c.isalnum() else "_" for c in name)
    out = []
    for suffix in (".pkl", ".pt", ".tar", ".ckpt"):
        out.append(folder / f"{stem}{suffix}")
        out[-1].write_bytes(payload)
    zipped = folder / f"{stem}.zip.pth"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
        archive.writestr("archive/version", "3\n")
    legacy = folder / f"{stem}.legacy.pth"
    heads = [pickle.dumps(v, protocol=2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    legacy.write_bytes(b"".join(heads) + payload + pickle.dumps([], protocol=2))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    npy = folder / f"{stem}.npy"
    npy.write_bytes(header.getvalue() + payload)
    npz = folder / f"{stem}.npz"
    with zipfile.ZipFile(npz, "w") as archive:
        archive.writestr("weights.npy", header.getvalue() + payload)
    return [*out, zipped, legacy, npy, npz]
