"""Who is to be on the picture: embeddings of photos, files or arrays, and the adapter that knows them."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from controls.identity.embeddings import checked, combined, unit
from controls.identity.expression import ExpressionAdapter
from controls.identity.faceid import FaceId, FaceIdPlusProjection, clip_states
from controls.identity.instantid import InstantId
from studio.errors import NoFaceError, UsageError, WeightsError, require

Embedder = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) uint8 RGB -> (512,) of the largest face; raises NoFaceError where there is none."""

KINDS = ("faceid", "instantid", "arc2face", "expression")

_NUMBERS = (".npy", ".npz", ".json", ".safetensors")


def identity_rows(person: Any, embedder: Embedder | None, adapter: Any) -> np.ndarray:
    """(1, width) float32 of a person: a photo or embedding, or a list of them, averaged as the adapter wants it.

    person   path of a picture or of numbers (.npy, .npz, .json, .safetensors), PIL image, (H, W, 3) uint8 array, array
             (width,) or (N, width), or a list of such.
    Raises NoFaceError where a photo has no face, MissingExtraError where there is nothing to recognise faces with.
    """
    some = person if isinstance(person, list | tuple) and not _is_numbers(person) else [person]
    if not some:
        raise UsageError("an identity of no photos")
    rows = np.concatenate([np.atleast_2d(_row(one, embedder or default_embedder(adapter))) for one in some])
    if hasattr(adapter, "average"):
        return np.atleast_2d(adapter.average(rows))
    return combined(rows, normalise=not isinstance(adapter, InstantId))[None]


def _is_numbers(value: Any) -> bool:
    return all(isinstance(x, int | float) for x in value) and len(value) > 0


def _row(one: Any, embedder: Embedder) -> np.ndarray:
    if isinstance(one, str | os.PathLike) and Path(one).suffix.lower() in _NUMBERS:
        return read_embeddings(one)
    array = one.detach().float().cpu().numpy() if hasattr(one, "detach") else one
    if isinstance(array, list | tuple) or (isinstance(array, np.ndarray) and array.ndim <= 2):
        return np.asarray(array, np.float32)
    from pipelines.portrait import read_picture

    rgb, _, name = read_picture(array)
    try:
        return np.asarray(embedder(rgb), np.float32)
    except NoFaceError as error:
        raise NoFaceError(f"{name}: {error}") from error


def read_embeddings(path: str | os.PathLike[str]) -> np.ndarray:
    """Embeddings (N, width) float32 of a .npy, .npz, .json or .safetensors file; a file of several arrays gives all
    their rows. Raises UsageError for a file that has none."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    ending = path.suffix.lower()
    try:
        if ending == ".npy":
            found = [np.load(path, allow_pickle=False)]
        elif ending == ".npz":
            with np.load(path, allow_pickle=False) as data:
                found = [data[name] for name in data.files]
        elif ending == ".json":
            import json

            found = [np.asarray(json.loads(path.read_text("utf-8")), np.float32)]
        else:
            from safetensors.numpy import load_file

            found = list(load_file(path).values())
        rows = [np.atleast_2d(np.asarray(x, np.float32)) for x in found]
        return np.concatenate(rows)
    except (ValueError, OSError, TypeError) as error:
        raise UsageError(f"{path}: no embeddings in it ({error})") from error


def default_embedder(adapter: Any) -> Embedder:
    """The one that goes with an adapter: its own, or InsightFace's buffalo_l (antelopev2 for InstantID)."""
    own = getattr(adapter, "embedder", None)
    if own is not None:
        return own
    return lambda picture: insightface_embedder("antelopev2" if isinstance(adapter, InstantId) else "buffalo_l")(
        picture
    )


@lru_cache(maxsize=2)
def insightface_embedder(name: str) -> Embedder:
    """InsightFace's recogniser; its models are for non-commercial research only, which is said once. Raises
    MissingExtraError where insightface is not installed."""
    import warnings

    from studio.weights import LicenceWarning

    analysis = require("insightface.app", extra="insightface").FaceAnalysis(name)
    warnings.warn(
        f"InsightFace's {name} is for non-commercial research only (https://github.com/deepinsight/insightface)",
        LicenceWarning,
        stacklevel=3,
    )
    analysis.prepare(ctx_id=-1, det_size=(640, 640))

    def embed(picture: np.ndarray) -> np.ndarray:
        faces = analysis.get(np.ascontiguousarray(picture[..., ::-1]))
        if not faces:
            raise NoFaceError("no face found. Crop closer to the face, or give a sharper picture.")
        return max(faces, key=lambda f: float(np.prod(f.bbox[2:] - f.bbox[:2]))).embedding

    return embed


def adapter_of(pipe: Any, source: Any, *, kind: str | None, shortcut: bool | None) -> Any:
    """The adapter of a file, which has put itself into the pipeline's UNet, or the one given. Raises WeightsError."""
    from controls.identity.arc2face import Arc2FaceEncoder

    if kind is not None and kind not in KINDS:
        raise UsageError(f"kind={kind!r}: choose one of {', '.join(KINDS)}")
    if source is not None and not isinstance(source, str | os.PathLike):
        return source
    kind = kind or kind_of(source)
    if kind == "instantid":
        return InstantId.from_pretrained(pipe.unet, source)
    if kind == "expression":
        return ExpressionAdapter.from_pretrained(pipe.unet, source)
    if kind == "arc2face":
        if pipe.family != "Stable Diffusion 1.5":
            raise WeightsError(f"Arc2Face is for Stable Diffusion 1.5; this pipeline is {pipe.family}")
        return Arc2FaceEncoder.from_pretrained(source)
    return FaceId.from_pretrained(pipe.unet, source, shortcut=shortcut)


def kind_of(source: str | os.PathLike[str] | None) -> str:
    """Which adapter a file is, by its keys. Raises WeightsError for none of them, UsageError without a file."""
    from studio.weights import state_dict

    if source is None:
        raise UsageError(f"which adapter? Give its file, or kind: {', '.join(KINDS)}")
    path = Path(source)
    if path.is_dir():
        names = {"ip-adapter.bin": "instantid", "exp_adapter.bin": "expression", "model.safetensors": "arc2face"}
        found = next((kind for name, kind in names.items() if (path / name).is_file()), None)
        if found is None and not any(path.glob("*faceid*")):
            raise WeightsError(f"{path}: no identity adapter in this folder; give the file itself")
        return found or "faceid"
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    keys = state_dict(path)
    if any("token_embedding" in key for key in keys):
        return "arc2face"
    inside = {k.removeprefix("image_proj."): np.shape(v) for k, v in keys.items() if k.startswith("image_proj.")}
    if "latents" in inside:
        return "instantid"
    first = inside.get("proj.0.weight") or inside.get("proj.weight")
    if first is None:
        some = ", ".join(list(keys)[:3])
        raise WeightsError(f"{path}: no identity adapter (it has {some or 'no arrays'}); see `face-studio models list`")
    return "expression" if first[1] == 55 else "faceid"


def guide_of(
    adapter: Any, embeds: np.ndarray, scale: float | None, *, guidance: bool, per_face: int, looks: Any = None
) -> Any:
    """A `Guide` of faces (P, width) for P * per_face pictures; see `controls.identity.guide`."""
    options: dict[str, Any] = {} if scale is None else {"scale": float(scale)}
    if isinstance(adapter, FaceId):
        if looks is not None:
            options["clip_hidden"] = looks
        return adapter.guide(np.repeat(unit(checked(embeds)), per_face, 0), guidance=guidance, **options)
    return adapter.guide(np.repeat(embeds, per_face, 0), guidance=guidance, **options)


def looks_of(pipe: Any, person: Any) -> tuple[Any, Any] | None:
    """What FaceID-Plus sees of a person: CLIP's states of the first photo's face, and of nothing; None for other
    adapters. Raises UsageError where there is no photo or no CLIP, NoFaceError."""
    adapter = pipe.adapter
    if not isinstance(adapter, FaceId) or not isinstance(adapter.projection, FaceIdPlusProjection):
        return None
    if pipe.image_encoder is None:
        raise UsageError("FaceID-Plus also looks at the photo: give image_encoder= (CLIP ViT-H/14) to the pipeline")
    some = person if isinstance(person, list | tuple) else [person]
    photo = next((x for x in some if is_photo(x)), None)
    if photo is None:
        raise UsageError("FaceID-Plus also looks at the photo: give a photo among the identities, not numbers alone")
    import torch
    from transformers import CLIPImageProcessor

    from controls.tracker import FaceTracker
    from pipelines.portrait import read_portrait

    seen = read_portrait(photo, FaceTracker())
    crop = aligned_face(seen.over(), seen.faces[0].landmarks)
    processor = pipe.feature_extractor or CLIPImageProcessor()
    pixels = processor(images=crop, return_tensors="pt").pixel_values
    if not hasattr(pipe.image_encoder, "_hf_hook"):  # offload moves it by itself
        pipe.image_encoder.to(pipe._execution_device)
    with torch.no_grad():
        return clip_states(pipe.image_encoder, pixels.to(pipe._execution_device, pipe.image_encoder.dtype))


def aligned_face(picture: np.ndarray, landmarks: np.ndarray, size: int = 224) -> np.ndarray:
    """(size, size, 3) uint8: the face upright, as recognisers have it; landmarks (478, 3) pixels."""
    import cv2

    from avatars.mica import SIDE, alignment

    turn = alignment(landmarks) * (size / SIDE)
    return cv2.warpAffine(picture, turn, (size, size), flags=cv2.INTER_LINEAR, borderValue=0.0)


def is_photo(value: Any) -> bool:
    if isinstance(value, str | os.PathLike):
        return Path(value).suffix.lower() not in _NUMBERS
    return hasattr(value, "getbands") or (isinstance(value, np.ndarray) and value.ndim == 3)
