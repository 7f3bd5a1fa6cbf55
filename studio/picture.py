"""Still pictures: read whatever people have, write without leaving half a file."""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from studio.errors import MediaError, OutputError

MAX_PIXELS = 180_000_000
"""Larger pictures are refused: they are mistakes or attacks."""

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_FORMATS |= {".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}


_QUALITY = {"JPEG": {"quality": 96, "subsampling": 0}, "WEBP": {"quality": 95}, "PNG": {"compress_level": 4}}


@dataclass(frozen=True)
class Picture:
    """A picture, upright.

    rgb    (H, W, 3) uint8, the file's own values.
    alpha  (H, W) uint8, or None where the file has none.
    icc    the colour profile that gives `rgb` its meaning (phones use Display P3), or None: sRGB. Hand it to
           `write_image` and the colours stay as they were.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None


def read_image(path: str | Path) -> Picture:
    """Any picture that Pillow reads: EXIF orientation obeyed, palettes and 16 bits brought to 8 bits a channel.

    Of an animation the first frame is taken. Raises MediaError for what is no picture, is cut short or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    must_be_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit stands below
            opened = Image.open(path)
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                size = f"{image.width}x{image.height}"
                raise MediaError(f"{path}: {size} is more than {MAX_PIXELS // 10**6} megapixels. Scale it down first.")
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I") or image.mode == "F":
                return Picture(_from_deep(np.asarray(image), image.mode))
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            icc = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P", "PA") else None
            pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    except UnidentifiedImageError as error:
        raise MediaError(f"{path}: not a picture that can be read. Give a PNG, JPEG or WebP file.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: too large a picture ({error})") from error
    except MemoryError as error:
        raise MediaError(f"{path}: too large a picture for this computer's memory") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise MediaError(
            f"{path}: the picture is damaged or cut short ({error}). Export or download it again."
        ) from error
    if has_alpha:
        alpha = pixels[..., 3]
        return Picture(np.ascontiguousarray(pixels[..., :3]), None if alpha.min() == 255 else alpha.copy(), icc)
    return Picture(np.ascontiguousarray(pixels), None, icc)


def _from_deep(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey of 16 or 32 bits, or real numbers, to (H, W, 3) uint8."""
    values = np.nan_to_num(values.astype(np.float64))
    if mode == "F":
        top = 1.0 if values.max() <= 1 else 255.0 if values.max() <= 255 else 65535.0
    else:
        top = 65535.0 if mode.startswith("I;16") or values.max() > 255 else 255.0
    grey = np.clip(values / top * 255, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def write_image(
    path: str | Path, rgb: np.ndarray, alpha: np.ndarray | None = None, *, icc: bytes | None = None
) -> None:
    """Writes rgb (H, W, 3) uint8, with alpha (H, W) where the format keeps it; JPEG lays it over white.

    icc is the colour profile of `rgb` (see `Picture`). The file appears whole or not at all. Raises OutputError.
    """
    from PIL import Image

    path = Path(path)
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise OutputError(f"{path}: can't write {path.suffix or 'a file without a suffix'}; use {', '.join(_FORMATS)}")
    if alpha is not None and kind in ("JPEG", "BMP"):
        share = alpha[..., None].astype(np.float32) / 255
        rgb = np.round(rgb * share + 255 * (1 - share)).astype(np.uint8)
        alpha = None
    image = Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha]))
    options: dict[str, Any] = dict(_QUALITY.get(kind, {}))
    if icc and kind != "BMP":
        options["icc_profile"] = icc
    with written_beside(path) as beside:
        image.save(beside, kind, **options)


def must_be_file(path: Path) -> None:
    """Raises MediaError for a path that is missing, a folder, empty or closed to us."""
    if path.is_dir():
        raise MediaError(f"{path}: is a folder, not a file")
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise MediaError(f"{path}: the file is empty")
    except PermissionError as error:
        raise MediaError(f"{path}: no permission to read it") from error
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error.strerror or error})") from error


def check_output(path: str | Path, *, room: int = 16 << 20) -> None:
    """Raises OutputError now if `path` can't be written later.

    That is where the folder is missing or read-only, or the disk has less than `room` bytes left.
    """
    path = Path(path)
    folder = path.parent
    if not folder.exists():
        raise OutputError(f"{folder}: no such folder. Make it first: mkdir -p {folder}")
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder")
    if path.is_dir() and path.suffix:
        raise OutputError(f"{path}: is a folder; name a file in it")
    try:
        descriptor, probe = tempfile.mkstemp(prefix=".face-studio-", dir=folder)
    except OSError as error:
        raise OutputError(f"{folder}: can't write there ({error.strerror}). Choose another folder.") from error
    os.close(descriptor)
    os.unlink(probe)
    free = shutil.disk_usage(folder).free
    if free < room:
        raise OutputError(f"{folder}: the disk is full ({free >> 20} MiB left). Make room, or choose another folder.")


@contextmanager
def written_beside(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder; it takes `path`'s place on success and vanishes on any failure."""
    path = Path(path)
    check_output(path, room=1 << 20)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"{path}: can't be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
