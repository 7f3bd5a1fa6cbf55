"""InstantID (Wang et al. 2024, section 3): a face's tokens for SDXL, which also steer an IdentityNet, a ControlNet that
sees them in place of the text. Key names of the published files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from controls.identity.adapter import Adapter
from controls.identity.embeddings import checked
from controls.identity.guide import Guide
from controls.identity.resampler import Resampler
from studio.errors import UsageError, WeightsError
from studio.weights import locate, model, state_dict, tell_terms

LOOK, IDENTITY = 0.8, 0.8
"""The authors' strengths of the tokens in the UNet and of the IdentityNet; with both 0 it is plain SDXL."""


class InstantId:
    """InstantID's tokens and its adapter, which is in the UNet's attention."""

    def __init__(self, resampler: Resampler, adapter: Adapter) -> None:
        self.resampler, self.adapter = resampler, adapter

    @classmethod
    def from_pretrained(cls, unet: Any, path: str | Path | None = None) -> InstantId:
        """Reads ip-adapter.bin (or its folder, or where `studio.weights.locate` finds it) and installs it in `unet`.
        Raises WeightsError for another model's file or a UNet that isn't SDXL.
        """
        known = model("instantid")
        file = locate(known, given=path)
        parts = {part: state_dict(file, part) for part in ("ip_adapter", "image_proj")}
        made = cls.of(parts["image_proj"], parts["ip_adapter"], unet, what=str(file))
        tell_terms(known)
        return made

    @classmethod
    def of(
        cls, projection: Mapping[str, np.ndarray], adapter: Mapping[str, np.ndarray], unet: Any, *, what: str
    ) -> InstantId:
        """From both parts' arrays, installed in `unet`. Raises WeightsError."""
        layers = Adapter.of(adapter, unet, what=f"{what}, ip_adapter")
        resampler = Resampler.of(projection, what=f"{what}, image_proj")
        seen = resampler.proj_in.in_features
        if seen != 512:
            raise WeightsError(f"{what}: takes features of width {seen}, not a face's 512: another IP-Adapter's file")
        layers.install(unet)
        parameter = next(unet.parameters())
        return cls(resampler.to(parameter.device, parameter.dtype), layers)  # type: ignore[arg-type]

    @torch.no_grad()
    def tokens(self, embeddings: np.ndarray, *, guidance: bool = True, per_face: int = 1) -> Tensor:
        """(2B * per_face, 16, D): tokens of no face (the resampler's, of zeros), then of the faces; without `guidance`
        the second half alone.

        embeddings  (512,) or (B, 512) of antelopev2 as they come, not at length 1; several photos of a person as
                    `embeddings.combined(..., normalise=False)` makes one.
        per_face    pictures for each face, which follow each other.
        """
        faces = torch.from_numpy(np.atleast_2d(checked(embeddings))).to(self.resampler.latents)
        rows = torch.cat([torch.zeros_like(faces), faces]) if guidance else faces
        return self.resampler(rows).repeat_interleave(per_face, 0)

    def guide(
        self, embeddings: np.ndarray, *, scale: float = LOOK, mask: Tensor | None = None, guidance: bool = True
    ) -> Guide:
        """For the UNet's call: `tokens`, how much they weigh, and where on the picture (H, W)."""
        return Guide(self.tokens(embeddings, guidance=guidance), scale, mask=mask)


def residuals(
    networks: Any,
    latents: Tensor,
    timestep: Any,
    text: Tensor,
    pictures: Tensor | Sequence[Tensor],
    *,
    tokens: Tensor,
    scales: float | Sequence[float] = IDENTITY,
    conditions: dict[str, Tensor] | None = None,
    mask: Tensor | None = None,
) -> tuple[list[Tensor], Tensor]:
    """What the control networks add to the UNet: (down residuals, middle residual), for its call.

    networks    the IdentityNet (a ControlNet of diffusers), or a list that begins with it: it alone sees `tokens`
                (B, T, D), the others the `text` (B, N, D); their residuals are summed.
    latents     (B, 4, h, w).   pictures  (B, 3, 8h, 8w) 0..1 for each network: key points for the IdentityNet.
    conditions  SDXL's `added_cond_kwargs`: text_embeds, time_ids.
    mask        (H, W) 0..1: where the IdentityNet acts.
    Raises UsageError where networks, pictures and scales aren't as many, or batches differ.
    """
    networks = list(networks) if isinstance(networks, list | tuple) else [networks]
    pictures = [pictures] if isinstance(pictures, Tensor) else list(pictures)
    scales = [scales] * len(networks) if isinstance(scales, int | float) else list(scales)
    if not networks or len(networks) != len(pictures) or len(networks) != len(scales):
        raise UsageError(f"{len(networks)} control networks, {len(pictures)} pictures, {len(scales)} scales")
    width = networks[0].config.cross_attention_dim
    if tokens.dim() != 3 or tokens.shape[2] != width or len(tokens) != len(latents):
        raise UsageError(
            f"identity tokens {tuple(tokens.shape)} for a batch of {len(latents)} and an IdentityNet of width {width}"
        )
    down: list[Tensor] = []
    middle: Tensor | None = None
    for k, (network, picture, scale) in enumerate(zip(networks, pictures, scales)):
        seen = text if k else tokens.to(latents)
        added = dict(added_cond_kwargs=conditions, conditioning_scale=scale, return_dict=False)
        ways, last = network(latents, timestep, seen, picture, **added)
        if k == 0 and mask is not None:
            ways, last = [_within(x, mask) for x in ways], _within(last, mask)
        down = [a + b for a, b in zip(down, ways)] if k else list(ways)
        middle = last if middle is None else middle + last
    assert middle is not None
    return down, middle


def _within(x: Tensor, mask: Tensor) -> Tensor:
    if mask.dim() != 2:
        raise UsageError(f"a mask of the face is (H, W), not {tuple(mask.shape)}")
    return x * F.interpolate(mask[None, None].to(x), x.shape[-2:], mode="bilinear", align_corners=False)
