"""Conditions, weighted and summed, as diffusers' UNet takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from controls.ctrlora.network import ControlNetwork


@dataclass(frozen=True)
class Conditioning:
    """One condition of a picture.

    name    of a condition that the network has.
    latent  (b, 4, H/8, W/8), its picture encoded (`controls.ctrlora.encoding.encode_condition`).
    weight  how much it counts among others; 0 for not at all.
    """

    name: str
    latent: Tensor
    weight: float = 1.0


def ctrlora_residuals(
    network: ControlNetwork,
    conditions: Sequence[Conditioning],
    timestep: Tensor | float,
    text: Tensor,
    *,
    strength: float | Sequence[float] = 1.0,
) -> dict[str, Any]:
    """What a UNet2DConditionModel of diffusers takes: `unet(x, timestep, text, **ctrlora_residuals(...)).sample`.

    Residual j is the sum over conditions i of weight_i * strength_j * r_ij (Xu et al. 2025, section 3). The
    conditions' latents are of one size.

    timestep  0..999: one number, or (B,).
    text      (B, T, D), the prompt's embedding; with guidance the negative prompt's too, as the UNet gets them.
    strength  one number, or one for each residual from the finest to the middle one.

    Returns `down_block_additional_residuals` (12 of (B, C, h, w)) and `mid_block_additional_residual`, to be used
    once. Raises UsageError without a condition, for latents of different size, for an unknown condition, and for a
    wrong count of strengths.
    """
    if not conditions:
        raise UsageError("no condition is given")
    sizes = {tuple(one.latent.shape[2:]) for one in conditions}
    if len(sizes) > 1:
        raise UsageError(f"the conditions' latents differ in size: {', '.join(map(str, sorted(sizes)))}")
    total: list[Tensor] = []
    for one in [c for c in conditions if c.weight] or conditions[:1]:
        found = network(one.name, one.latent, timestep, text)
        each = [float(strength)] * len(found) if isinstance(strength, int | float) else list(strength)
        if len(each) != len(found):
            raise UsageError(f"{len(found)} strengths are needed, not {len(each)}")
        scaled = [residual * (one.weight * much) for residual, much in zip(found, each, strict=True)]
        total = [a + b for a, b in zip(total, scaled, strict=True)] if total else scaled
    return {"down_block_additional_residuals": tuple(total[:-1]), "mid_block_additional_residual": total[-1]}
