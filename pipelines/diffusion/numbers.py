"""What Arc2Face's Expression Adapter sees: 55 numbers of SMIRK, of a reference picture or given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from controls.identity.expression import WIDTH
from studio.errors import UsageError
from studio.observation import Observation

ARKIT = 52


def given_numbers(expression: Any) -> np.ndarray | None:
    """(55,) SMIRK's or (52,) ARKit's numbers, float32, of an array, a list or a file (.npy, .npz, .json, .safetensors);
    None for a picture. Raises UsageError for another count, for numbers that aren't finite, and for a bad file.
    """
    from pipelines.diffusion.identity import is_photo, read_embeddings

    if expression is None or is_photo(expression):
        return None
    what = "the expression"
    if isinstance(expression, str | os.PathLike):
        what, values = str(expression), read_embeddings(expression)
    else:
        values = expression.detach().float().cpu().numpy() if hasattr(expression, "detach") else expression
    values = np.asarray(values, np.float32)
    if values.size not in (ARKIT, WIDTH) or values.shape[-1] != values.size:
        raise UsageError(
            f"{what}: numbers {values.shape}; an expression is {WIDTH} of SMIRK (50 of expression, 2 eyelids, 3 of the "
            f"jaw) or {ARKIT} ARKit weights, or a picture"
        )
    if not np.isfinite(values).all():
        raise UsageError(f"{what}: has numbers that aren't finite")
    return values.reshape(-1)


class SmirkNumbers:
    """A picture (H, W, 3) uint8 RGB and the face in it -> (55,) float32, as SMIRK (Retsinas et al. 2024) sees it.

    encoder  `avatars.smirk.encoder.SmirkEncoder`, or the path of its checkpoint; None looks where published models lie.
    """

    def __init__(self, encoder: Any = None) -> None:
        self._encoder = encoder

    @property
    def encoder(self) -> Any:
        """The network. Raises WeightsError, which says where to get it."""
        if self._encoder is None or isinstance(self._encoder, str | Path):
            from avatars.smirk.encoder import SmirkEncoder

            self._encoder = SmirkEncoder.from_pretrained(self._encoder).eval()
        return self._encoder

    def __call__(self, picture: np.ndarray, face: Observation) -> np.ndarray:
        """(55,) float32: 50 of expression, 2 eyelids 0..1, 3 of the jaw in radians."""
        import torch

        from avatars.flame.crop import SMIRK, crop_of, cut_out

        seen = torch.from_numpy(cut_out(picture, crop_of(face.landmarks, SMIRK)))[None]
        with torch.no_grad():
            codes = self.encoder(seen)
        return torch.cat([codes.expression, codes.eyelids, codes.jaw], 1)[0].float().numpy()
