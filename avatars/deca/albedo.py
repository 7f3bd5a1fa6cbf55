"""Albedo of FLAME's texture space: a mean picture and its principal components, from either of its two files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from studio.errors import UsageError, WeightsError
from studio.weights import locate, model, open_weights, tell_terms

SIDE = 512
"""Of the stored pictures."""


class AlbedoModel(nn.Module):
    """Coefficients (B, up to `components`) -> albedo (B, 3, 256, 256), RGB about 0..1, not clamped.

    mean (512 * 512 * 3,), basis (512 * 512 * 3, components or more): rows, columns, BGR, as the files store them.
    """

    def __init__(self, mean: np.ndarray, basis: np.ndarray, components: int = 50) -> None:
        super().__init__()
        mean, basis = np.asarray(mean, np.float32).reshape(-1), np.asarray(basis, np.float32)
        if mean.size != SIDE * SIDE * 3 or basis.size % mean.size:
            raise WeightsError(f"texture {mean.shape}, {basis.shape}: {SIDE}x{SIDE}x3 pixels expected")
        basis = basis.reshape(mean.size, -1)
        if not 0 < components <= basis.shape[1]:
            raise UsageError(f"{components} components of a texture that has {basis.shape[1]}")
        self.components = components
        # every second pixel, colours turned to RGB: all that comes out, at a quarter of the memory
        picture = mean.reshape(SIDE, SIDE, 3)[::2, ::2, ::-1].transpose(2, 0, 1)
        parts = basis[:, :components].reshape(SIDE, SIDE, 3, components)[::2, ::2, ::-1].transpose(3, 2, 0, 1)
        self.register_buffer("mean", torch.from_numpy(picture.reshape(-1).copy()), persistent=False)
        self.register_buffer("basis", torch.from_numpy(parts.reshape(components, -1).copy()), persistent=False)

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None, components: int = 50) -> AlbedoModel:
        """From FLAME_texture.npz (mean, tex_dir; 0..255) or FLAME_albedo_from_BFM.npz (MU, PC; 0..1).

        Raises WeightsError where the file is missing or holds neither.
        """
        known = model("flame")
        file = locate(known, "FLAME_texture.npz", given=path)
        tree = open_weights(file)
        tell_terms(known)
        if isinstance(tree, dict) and {"MU", "PC"} <= tree.keys():
            return cls(tree["MU"], tree["PC"], components)
        if isinstance(tree, dict) and {"mean", "tex_dir"} <= tree.keys():
            basis = np.asarray(tree["tex_dir"]).reshape(SIDE * SIDE * 3, -1)[:, :components]
            return cls(np.asarray(tree["mean"]) / 255, basis / 255, components)
        raise WeightsError(f"{file}: no texture of FLAME; mean and tex_dir, or MU and PC expected")

    def forward(self, coefficients: Tensor) -> Tensor:
        count = coefficients.shape[1] if coefficients.dim() == 2 else -1
        if not 0 <= count <= self.components:
            raise UsageError(f"coefficients {tuple(coefficients.shape)}: (B, up to {self.components}) expected")
        flat = torch.addmm(self.mean, coefficients.to(self.mean), self.basis[:count])
        return flat.reshape(-1, 3, SIDE // 2, SIDE // 2)
