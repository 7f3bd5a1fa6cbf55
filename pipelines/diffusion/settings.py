"""What a single file of weights lacks: the settings and the tokenizer, of a folder or of what the hub keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.diffusion.opening import SD, XL, check_folder
from studio.errors import WeightsError

_REPOSITORIES = {
    (SD, 4): "stable-diffusion-v1-5/stable-diffusion-v1-5",
    (SD, 9): "stable-diffusion-v1-5/stable-diffusion-inpainting",
    (XL, 4): "stabilityai/stable-diffusion-xl-base-1.0",
    (XL, 9): "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
}
"""Where diffusers looks for a family's settings, by the channels that its UNet takes (9: inpainting)."""

_FIRST = "model.diffusion_model.input_blocks.0.0.weight"


def settings_for(path: str, family: str, options: Mapping[str, Any]) -> str | None:
    """The folder with a file's settings: the one that was named, what the hub's cache has, or None to ask the hub.

    Raises WeightsError for a folder of another family, and where nothing may be fetched and nothing is there.
    """
    given = options.get("config")
    if given is not None:
        return check_folder(given, family, "config")
    if options.get("original_config") is not None:
        return None
    if (kept := _kept(path, family)) is not None:
        return kept
    if options.get("local_files_only"):
        raise WeightsError(_missing(path, family))
    return None


def _kept(path: str, family: str) -> str | None:
    """The hub's cache of the settings for a .safetensors, where it has them."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from safetensors import safe_open

    if not path.endswith(".safetensors"):
        return None
    with safe_open(path, "np") as file:
        channels = file.get_slice(_FIRST).get_shape()[1] if _FIRST in file.keys() else 0  # noqa: SIM118
    if (family, channels) not in _REPOSITORIES:
        return None
    try:
        folder = Path(snapshot_download(_REPOSITORIES[family, channels], local_files_only=True))
    except (LocalEntryNotFoundError, OSError):
        return None
    whole = all((folder / name).is_file() for name in ("model_index.json", "unet/config.json", "vae/config.json"))
    return str(folder) if whole and (folder / "tokenizer").is_dir() else None


@contextmanager
def settings_missing(path: str, family: str) -> Iterator[None]:
    """Within the block a hub that can't be asked, or lacks the settings, is a WeightsError that says what to do."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError) as error:
        raise WeightsError(_missing(path, family)) from error


def _missing(path: str, family: str) -> str:
    return (
        f"{path}: weights alone; settings and tokenizer of {family} are needed beside them, and they can't be fetched. "
        f"Give config=FOLDER (--config), any checkpoint folder of {family}"
    )
