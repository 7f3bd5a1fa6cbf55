"""Arc2Face (Papantoniou et al. 2024, section 3.2): a face's embedding in place of one word of a fixed prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from controls.identity.clip_text import ClipText
from controls.identity.embeddings import unit
from studio.errors import UsageError, WeightsError
from studio.weights import locate, model, state_dict, tell_terms

LENGTH = 77
_START, _END = 49406, 49407
FACE_TOKEN = 1014
"""The word "id", whose embedding a face's takes the place of."""

PROMPT = (_START, 1125, 539, 320, FACE_TOKEN, 2533, _END)
""" "photo of a id person", as CLIP's tokens."""


def padded(ids: tuple[int, ...]) -> Tensor:
    """Token ids (1, 77) int64, filled up with the end's."""
    return torch.tensor([[*ids, *[_END] * (LENGTH - len(ids))]])


class Arc2FaceEncoder:
    """Identities -> prompts for Arc2Face's UNet, which sees nothing else."""

    def __init__(self, text: ClipText) -> None:
        words, width = text.embeddings.token_embedding.weight.shape
        if width != 768 or words <= _END:
            raise WeightsError(f"a text encoder of width {width} and {words} words; Arc2Face's is CLIP ViT-L/14's, 768")
        self.text = text

    @classmethod
    def from_pretrained(cls, path: str | Path | None = None) -> Arc2FaceEncoder:
        """Reads encoder/model.safetensors or pytorch_model.bin (the file, its folder, or where `studio.weights.locate`
        finds it). Raises WeightsError for another encoder, SDXL's second one among them.
        """
        known = model("arc2face")
        file = locate(known, given=path)
        made = cls(ClipText.of(state_dict(file), what=str(file)))
        tell_terms(known)
        return made

    @torch.no_grad()
    def prompts(self, embeddings: np.ndarray) -> Tensor:
        """`prompt_embeds` (B, 77, 768) of faces (512,) or (B, 512) of any length; several photos of one person as
        `embeddings.combined(..., normalise=True)` makes one. Raises UsageError for zeros and other widths.
        """
        faces = unit(np.atleast_2d(embeddings))
        if faces.ndim != 2:
            raise UsageError(f"identity embeddings {faces.shape}: (B, 512) expected")
        ids = padded(PROMPT).to(self.text.final_layer_norm.weight.device)
        words = self.text.embed(ids).repeat(len(faces), 1, 1)
        row = F.pad(torch.from_numpy(faces), (0, words.shape[2] - faces.shape[1]))
        words[:, PROMPT.index(FACE_TOKEN)] = row.to(words)
        return self.text.encode(words)

    @torch.no_grad()
    def nothing(self, count: int = 1) -> Tensor:
        """`negative_prompt_embeds` (count, 77, 768): the empty prompt through the same encoder."""
        ids = padded((_START, _END)).to(self.text.final_layer_norm.weight.device)
        return self.text(ids).repeat(count, 1, 1)
