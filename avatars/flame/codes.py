"""What an encoder says of faces: FLAME's coefficients and a weak-perspective camera."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

    from avatars.flame.layer import Flame, FlameOutput

Codes = TypeVar("Codes", bound="FlameCodes")


@dataclass(frozen=True)
class FlameCodes:
    """Of B faces; coefficients in standard deviations, rotations as axis-angle in radians.

    shape (B, up to 300), expression (B, up to 100), rotation and jaw (B, 3); camera (B, 3): s, tx, ty as in
    `avatars.flame.camera`; eyelids (B, 2), left and right, 0..1, or None from an encoder that has none.
    """

    shape: Tensor
    expression: Tensor
    rotation: Tensor
    jaw: Tensor
    camera: Tensor
    eyelids: Tensor | None = None

    def __len__(self) -> int:
        return len(self.shape)

    def __getitem__(self: Codes, which: slice) -> Codes:
        return self._each(lambda value: value[which])

    def detach(self: Codes) -> Codes:
        """The same without gradients, on the CPU, in float32."""
        return self._each(lambda value: value.detach().float().cpu())

    def to(self: Codes, device: Any = None, dtype: Any = None) -> Codes:
        """The same on another device, of another kind of float."""
        return self._each(lambda value: value.to(device=device, dtype=dtype))

    def head(self, flame: Flame) -> FlameOutput:
        """The heads, posed. Eyelids are left out where this FLAME has none."""
        lids = self.eyelids if hasattr(flame, "eyelids") else None
        return flame(self.shape, self.expression, rotation=self.rotation, jaw=self.jaw, eyelids=lids)

    def _each(self: Codes, change: Any) -> Codes:
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(self, **{name: change(value) for name, value in values.items() if value is not None})


def joined(parts: list[Codes]) -> Codes:
    """Batches of codes, one after another."""
    import torch

    names = [item.name for item in fields(parts[0]) if getattr(parts[0], item.name) is not None]
    return replace(parts[0], **{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
