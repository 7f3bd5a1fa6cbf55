"""A photo painted anew with another expression (Retsinas et al. 2024, section 3.2): shape drawn, face taken out of the
photo but for a few colours, SMIRK's renderer paints, the crop goes back where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from avatars.flame.camera import project, to_pixels
from avatars.flame.codes import FlameCodes
from avatars.flame.crop import SIZE, Crop, cut_out
from avatars.flame.layer import Flame
from avatars.flame.maps import drawn, shape_picture
from avatars.liveportrait.crop import paste_back, soft_mask
from avatars.shade3d import Fragments
from avatars.smirk.masking import SHARE, hole, hull_mask, masked, sampled
from studio.errors import WeightsError
from studio.weights import locate, model, open_weights

_EDGE = 16.0
"""Pixels of the crop's border over which the painted part fades into the photo."""

_FADE = 12.0
"""Pixels of the crop round the face over which it does."""


def face_triangles(faces: np.ndarray, path: str | Path | None = None) -> np.ndarray:
    """(F,) bool: triangles of FLAME's "face" region, from its FLAME_masks.pkl (or the folder that holds it).

    Raises WeightsError where the file is missing (it says where to get it) or holds no such region.
    """
    file = locate(model("flame"), "FLAME_masks.pkl", given=path)
    regions = open_weights(file)
    if not isinstance(regions, dict) or "face" not in regions:
        raise WeightsError(f"{file}: no region 'face'; FLAME's vertex masks are expected")
    inside = np.zeros(int(faces.max()) + 1, bool)
    inside[np.asarray(regions["face"]).astype(np.int64)] = True
    return inside[faces].all(1)


@dataclass
class Rerenderer:
    """generator: SMIRK's renderer, (B, 6, 224, 224) -> (B, 3, 224, 224); flame: the layer that the codes are for; face
    (F,) bool, as `face_triangles`.
    """

    generator: nn.Module
    flame: Flame
    face: np.ndarray

    def inputs(
        self, crop_picture: np.ndarray, landmarks: np.ndarray, codes: FlameCodes, edited: FlameCodes, *, seed: int = 0
    ) -> Tensor:
        """What the renderer sees, (1, 6, 224, 224): the edited shape, then the photo without its face.

        crop_picture (3, 224, 224) float32, 0..1; landmarks (478, 2) in the crop's pixels; codes as seen in the photo
        and edited, one face each. The few colours that stay are taken where the photo shows that skin.
        """
        vertices, placed = self._placed(edited)
        seen, faces = drawn(placed, self._faces, (SIZE, SIZE), self.face), self._faces
        rendered = _tensor(shape_picture(seen, vertices, faces, self.face).transpose(2, 0, 1))
        source = self._placed(codes)[1]
        colours, shown = _carried(crop_picture, seen, source, faces, drawn(source, faces, (SIZE, SIZE), self.face))
        picture = _tensor(crop_picture)
        kept = sampled(_tensor(shown[None]), SHARE, generator=torch.Generator().manual_seed(seed))
        outside = _tensor(hull_mask(landmarks)[None].astype(np.float32))
        return torch.cat([rendered, masked(picture, outside, rendered, kept, colours=_tensor(colours))], 1)

    def __call__(
        self,
        picture: np.ndarray,
        crop: Crop,
        landmarks: np.ndarray,
        codes: FlameCodes,
        edited: FlameCodes | None = None,
        *,
        seed: int = 0,
    ) -> np.ndarray:
        """The photo (H, W, 3) uint8 with its face painted as `edited` says (as it is, without).

        crop is that of the codes; landmarks (478, 2 or more) in the photo's pixels; seed chooses the colours that stay.
        """
        part = cut_out(picture, crop)
        given = self.inputs(part, crop.points(landmarks), codes, edited or codes, seed=seed)
        weights = next(self.generator.parameters(), given)
        with torch.no_grad():
            painted = self.generator(given.to(weights.device, weights.dtype))[0].float().cpu()
        levels = (painted.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        return paste_back(picture, crop, levels, self._mask(given, crop.points(landmarks)))  # type: ignore[arg-type]

    def _mask(self, given: Tensor, landmarks: np.ndarray) -> np.ndarray:
        """(224, 224) float32, 0..1: what is painted counts where the face was taken out, and fades round it: the rest
        of the photo keeps its sharpness."""
        import cv2

        taken = hole(_tensor(hull_mask(landmarks)[None].astype(np.float32)), given[:, :3])[0, 0].numpy()
        away = cv2.distanceTransform((taken == 0).astype(np.uint8), cv2.DIST_L2, 5)
        near = np.clip(1 - away / _FADE, 0, 1)
        return (near * soft_mask(SIZE, _EDGE)).astype(np.float32)

    def _placed(self, codes: FlameCodes) -> tuple[np.ndarray, np.ndarray]:
        """(V, 3) metres, posed, and (V, 3) pixels of the crop, z in the same scale."""
        with torch.no_grad():
            vertices = codes[:1].to(self.flame.template.device).head(self.flame).vertices
            seen = project(vertices, codes.camera[:1].to(vertices))[0].cpu().numpy()
        pixels = np.column_stack([to_pixels(seen[:, :2], SIZE), seen[:, 2] * SIZE / 2])
        return vertices[0].cpu().numpy(), pixels

    @property
    def _faces(self) -> np.ndarray:
        return self.flame.faces.cpu().numpy()


def _carried(
    picture: np.ndarray, seen: Fragments, source: np.ndarray, faces: np.ndarray, before: Fragments
) -> tuple[np.ndarray, np.ndarray]:
    """(3, H, W) colours of the photo moved to where the edited shape has that skin, and (H, W) float32, 1 where the
    photo shows it: the same triangle, or one beside it, is what is seen there.
    """
    places = seen.spread(source[:, :2], faces)
    x, y = (np.clip(places[..., k].astype(int), 0, SIZE - 1) for k in (0, 1))
    depth = before.spread(source[:, 2:], faces)[y, x, 0]
    near = np.abs(depth - seen.spread(source[:, 2:], faces)[..., 0]) < 3.0
    shown = seen.cover & before.cover[y, x] & near
    return picture[:, y, x] * shown, shown.astype(np.float32)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))[None]
