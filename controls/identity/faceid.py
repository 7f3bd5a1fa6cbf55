"""IP-Adapter FaceID (tencent-ailab/IP-Adapter; Ye et al. 2023): a face recogniser's embedding as image tokens, with a
LoRA on every attention. Key names are those of the published files, all of which are for non-commercial use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from controls.identity.adapter import Adapter
from controls.identity.guide import Guide
from controls.identity.resampler import Perceiver, perceiver_sizes
from studio.errors import UsageError, WeightsError
from studio.weights import load_into, locate, model, state_dict, tell_terms


class FaceIdProjection(nn.Module):
    """Embeddings of length 1, (B, 512) or (B, faces, 512) -> tokens (B, T, D) or (B, faces * T, D), faces in order."""

    def __init__(self, embedding: int, hidden: int, tokens: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(embedding, hidden), nn.GELU(), nn.Linear(hidden, tokens * width))
        self.norm = nn.LayerNorm(width)

    def forward(self, embeddings: Tensor) -> Tensor:
        if embeddings.dim() not in (2, 3) or embeddings.shape[-1] != self.proj[0].in_features:
            raise UsageError(f"FaceID sees embeddings (B, {self.proj[0].in_features}), not {tuple(embeddings.shape)}")
        out = self.norm(self.proj(embeddings).unflatten(-1, (-1, self.norm.normalized_shape[0])))
        return out.flatten(1, 2) if embeddings.dim() == 3 else out


class FaceIdPlusProjection(FaceIdProjection):
    """FaceID-Plus: FaceID's tokens look at a picture of the face, as CLIP sees it.

    shortcut: PlusV2 adds what they see to the tokens; Plus takes what they see alone. The weights don't tell which.
    """

    def __init__(self, embedding: int, hidden: int, tokens: int, shortcut: bool, perceiver: dict[str, int]) -> None:
        super().__init__(embedding, hidden, tokens, perceiver["dim"])
        self.perceiver_resampler = Perceiver(**perceiver)
        self.shortcut = shortcut

    def forward(self, embeddings: Tensor, clip_hidden: Tensor | None = None, structure: float = 1.0) -> Tensor:
        """embeddings (B, 512); clip_hidden (B, N, E), CLIP's last hidden states but one; structure: how much of the
        picture PlusV2 adds. Returns (B, T, D). Raises UsageError for other shapes.
        """
        seen = self.perceiver_resampler.proj_in.in_features
        if embeddings.dim() != 2 or clip_hidden is None or clip_hidden.dim() != 3 or clip_hidden.shape[2] != seen:
            got = None if clip_hidden is None else tuple(clip_hidden.shape)
            raise UsageError(
                f"FaceID-Plus needs embeddings (B, 512) and CLIP's states (B, N, {seen}) of them, not {got}"
            )
        tokens = super().forward(embeddings)
        looked = self.perceiver_resampler(clip_hidden, tokens)
        return tokens + structure * looked if self.shortcut else looked


def projection_of(arrays: Mapping[str, np.ndarray], *, shortcut: bool | None = None, what: str) -> FaceIdProjection:
    """The projection of an adapter's `image_proj` arrays. Raises WeightsError for another adapter's, UsageError where
    Plus's weights come without saying which of both it is.
    """
    if not {"proj.0.weight", "proj.2.weight", "norm.weight"} <= set(arrays):
        raise WeightsError(f"{what}: not a FaceID adapter; its projection has {', '.join(list(arrays)[:3])}, ...")
    hidden, embedding = np.shape(arrays["proj.0.weight"])
    width = len(arrays["norm.weight"])
    tokens = np.shape(arrays["proj.2.weight"])[0] // width
    before = "perceiver_resampler."
    made: FaceIdProjection
    if any(key.startswith(before) for key in arrays):
        if shortcut is None:
            raise UsageError(f"{what}: FaceID-Plus or PlusV2? The weights don't tell: say shortcut=False or True")
        inner = {key[len(before) :]: value for key, value in arrays.items() if key.startswith(before)}
        made = FaceIdPlusProjection(embedding, hidden, tokens, shortcut, perceiver_sizes(inner, what=what))
    else:
        made = FaceIdProjection(embedding, hidden, tokens, width)
    return load_into(made, arrays, what=what).requires_grad_(False)  # type: ignore[return-value]


def shortcut_of(name: str) -> bool | None:
    """PlusV2 (True) or Plus (False) by a file's name; None where it tells neither."""
    found = re.search(r"plus[-_]?(v2)?", name.lower())
    return bool(found[1]) if found else None


class FaceId:
    """A FaceID adapter on a UNet: `projection` makes tokens, `adapter` is in the UNet's attention."""

    def __init__(self, projection: FaceIdProjection, adapter: Adapter) -> None:
        self.projection, self.adapter = projection, adapter

    @classmethod
    def from_pretrained(cls, unet: Any, path: str | Path | None = None, *, shortcut: bool | None = None) -> FaceId:
        """Reads ip-adapter-faceid*.bin or .safetensors and installs it in `unet`; a folder, or no path, means
        ip-adapter-faceid_sd15.bin there or where `studio.weights.locate` finds it. shortcut: see
        `FaceIdPlusProjection`; by the file's name without it. Files that keep their LoRA apart are read too; load that
        with diffusers' `load_lora_weights`.
        Raises WeightsError for another model's file, SD 1.5's on SDXL and the like.
        """
        known = model("ip-adapter-faceid")
        file = locate(known, given=path)
        shortcut = shortcut_of(file.name) if shortcut is None else shortcut
        adapter = Adapter.of(state_dict(file, "ip_adapter"), unet, what=f"{file}, ip_adapter")
        projection = projection_of(state_dict(file, "image_proj"), shortcut=shortcut, what=f"{file}, image_proj")
        tell_terms(known, file)
        adapter.install(unet)
        parameter = next(unet.parameters())
        return cls(projection.to(parameter.device, parameter.dtype), adapter)  # type: ignore[arg-type]

    @torch.no_grad()
    def guide(
        self,
        embeddings: np.ndarray | Tensor,
        *,
        scale: float = 1.0,
        lora_scale: float = 1.0,
        structure: float = 1.0,
        clip_hidden: tuple[Tensor, Tensor] | None = None,
        guidance: bool = True,
    ) -> Guide:
        """For faces (B, 512) of length 1 (`embeddings.combined`), or (B, faces, 512) for Portrait: tokens of no face
        and then of them where `guidance` is on. clip_hidden: Plus's, as `clip_states` gives them. Raises UsageError.
        """
        first = self.projection.proj[0].weight
        faces = torch.as_tensor(embeddings).to(first)
        if not torch.isfinite(faces).all() or (faces.float().norm(dim=-1) - 1).abs().max() > 0.02:
            raise UsageError("FaceID takes embeddings of length 1; controls.identity.embeddings.unit makes them so")
        rows = [torch.zeros_like(faces), faces] if guidance else [faces]
        if isinstance(self.projection, FaceIdPlusProjection):
            if clip_hidden is None:
                raise UsageError("FaceID-Plus also needs the face's picture: clip_hidden=clip_states(...)")
            states = clip_hidden[::-1] if guidance else clip_hidden[:1]
            tokens = [self.projection(x, c.to(first).expand(len(x), -1, -1), structure) for x, c in zip(rows, states)]
        else:
            tokens = [self.projection(x) for x in rows]
        return Guide(torch.cat(tokens), scale, lora_scale)


@torch.no_grad()
def clip_states(image_encoder: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """CLIP's last hidden states but one, (B, N, E), of face crops and of nothing.

    image_encoder  transformers' `CLIPVisionModelWithProjection` (ViT-H/14).
    pixels         (B, 3, 224, 224) aligned faces, normalised as CLIP wants; "nothing" is zeros after that.
    """
    if pixels.dim() != 4 or pixels.shape[1] != 3:
        raise UsageError(f"CLIP sees pictures (B, 3, 224, 224), not {tuple(pixels.shape)}")
    made = [image_encoder(x, output_hidden_states=True).hidden_states[-2] for x in (pixels, torch.zeros_like(pixels))]
    return made[0], made[1]
