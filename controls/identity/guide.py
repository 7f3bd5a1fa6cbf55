"""What a UNet is told of a face in one call; handed over with the call, so nothing stays behind in the network.

unet(latents, t, text, cross_attention_kwargs={"identity": Guide(tokens)})
pipe(prompt, cross_attention_kwargs={"identity": Guide(tokens)})
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from studio.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Guide:
    """tokens      (B, T, D) image tokens, D the UNet's cross-attention width; None without an adapter. B is the UNet's
                batch: with guidance the unconditional half first.
    scale       strength of the tokens, 0..1 as a rule.
    lora_scale  strength of the adapter's LoRA; the original has 1 also where `scale` is 0.
    mask        (H, W) 0..1: where on the picture the tokens act; None for everywhere.
    reference   a `Reference` to fill or to look at.
    others      guides of the further adapters of a stack (`controls.identity.stack`), in its order.
    """

    tokens: Tensor | None = None
    scale: float = 1.0
    lora_scale: float = 1.0
    mask: Tensor | None = None
    reference: Reference | None = None
    others: tuple[Guide, ...] = ()

    def kwargs(self) -> dict[str, Guide]:
        """For `cross_attention_kwargs`."""
        return {"identity": self}


@dataclass
class Reference:
    """Inputs of every self attention, by layer, as a reference picture gave them (Arc2Face's Reference Adapter).

    layers     {layer's name: (B, N, C)}, in the UNet's order.
    recording  whether a call fills it, or attends to it.
    """

    layers: dict[str, Tensor] = field(default_factory=dict)
    recording: bool = False


def mask_of_tokens(mask: Tensor, count: int) -> Tensor:
    """A mask (H, W) at the size of a layer with `count` tokens: (1, count, 1), nearest pixels.

    The layer's height and width are the factors of `count` whose ratio is nearest to the mask's. Raises UsageError
    for another shape.
    """
    import torch

    if mask.dim() != 2:
        raise UsageError(f"a mask of the face is (H, W), not {tuple(mask.shape)}")
    wanted = math.log(mask.shape[0] / mask.shape[1])
    heights = [h for h in range(1, count + 1) if count % h == 0]
    height = min(heights, key=lambda h: abs(math.log(h * h / count) - wanted))
    small = torch.nn.functional.interpolate(mask[None, None].float(), (height, count // height), mode="nearest")
    return small.reshape(1, count, 1)
