"""Still pictures: read whatever people have, write without leaving half a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from studio.errors import MediaError, OutputError

MAX_PIXELS = 180_000_000
"""Larger pictures are refused: they are mistakes or attacks."""

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF"}


@dataclass(frozen=True)
class Picture:
    """rgb (H, W, 3) uint8, upright; alpha (H, W) uint8 or None where the file has none."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def read_image(path: str | Path) -> Picture:
    """Any picture that Pillow reads: EXIF orientation obeyed, palettes and 16 bits brought to 8 bits a channel.

    Of an animation the first frame is taken. Raises MediaError for what is no picture, is cut short or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    must_be_file(path)
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(f"{path}: {image.width}x{image.height} is more than {MAX_PIXELS // 10**6} megapixels")
            image.load()
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I") or image.mode == "F":
                return Picture(_from_deep(np.asarray(image)))
            has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            pixels = np.asarray(image.convert("RGBA" if has_alpha else "RGB"))
    except UnidentifiedImageError as error:
        raise MediaError(f"{path}: not a picture that can be read. Give a PNG, JPEG or WebP file.") from error
    except Image.DecompressionBombError as error:
        raise MediaError(f"{path}: too large a picture ({error})") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise MediaError(f"{path}: the picture is damaged or cut short ({error})") from error
    if has_alpha:
        alpha = pixels[..., 3]
        return Picture(np.ascontiguousarray(pixels[..., :3]), None if alpha.min() == 255 else alpha.copy())
    return Picture(np.ascontiguousarray(pixels))


def _from_deep(values: np.ndarray) -> np.ndarray:
    """16- or 32-bit grey to (H, W, 3) uint8."""
    top = 65535.0 if values.max() > 255 else 255.0
    grey = np.clip(values.astype(np.float64) / top * 255, 0, 255).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def write_image(path: str | Path, rgb: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Writes rgb (H, W, 3) uint8, with alpha (H, W) where the format keeps it; JPEG lays it over white.

    The file appears whole or not at all. Raises OutputError.
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
    options = {"JPEG": {"quality": 96, "subsampling": 0}, "WEBP": {"quality": 95}, "PNG": {"compress_level": 4}}
    with written_beside(path) as beside:
        image.save(beside, kind, **options.get(kind, {}))


def must_be_file(path: Path) -> None:
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




def check_output(path: str | Path, *, room: int = 16 << 20) -> None:
    """Raises OutputError now if `path` can't be written later: folder missing, read-only, or less than `room` bytes left."""
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
    free = os.statvfs(folder)
    if free.f_bavail * free.f_frsize < room:
        raise OutputError(f"{folder}: the disk is full ({free.f_bavail * free.f_frsize >> 20} MiB left)")


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
