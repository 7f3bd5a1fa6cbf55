"""One way to draw triangles with depth, whoever draws them: numba on the CPU, or pytorch3d where it is installed.

    seen = rasterise(pixels, triangles, (512, 512))                      # NumPy in, `Fragments` out
    seen = rasterise_tensor(pixels, triangles, (512, 512))               # tensors, with gradients: pytorch3d
    seen.numpy()                                                         # the same `Fragments`

Pixels are (N, 3): x and y from the picture's top left corner, rows down, and 1 / distance along the camera's axis.
Barycentrics are true to perspective with either.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from avatars import shade3d
from avatars.shade3d import Cutout, Fragments
from studio.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

Backend = Literal["auto", "numba", "pytorch3d"]
BACKENDS: tuple[Backend, ...] = ("auto", "numba", "pytorch3d")


@dataclass(frozen=True)
class TensorFragments:
    """`Fragments` as tensors, on the device of what was drawn: index (H, W) int64, -1 for none; bary (H, W, 3) and near
    (H, W), 1 / distance, both 0 where nothing is, and differentiable by the pixels.
    """

    index: Tensor
    bary: Tensor
    near: Tensor

    def numpy(self) -> Fragments:
        """The same without gradients, on the CPU."""
        index = self.index.to("cpu").numpy().astype(np.int32)
        bary, near = (part.detach().float().cpu().numpy() for part in (self.bary, self.near))
        return Fragments(index, bary, near)

    def spread(self, values: Tensor, triangles: Tensor) -> Tensor:
        """(N, C) values at vertices -> (H, W, C), 0 where nothing is; differentiable."""
        corners = values[triangles[self.index.clamp_min(0)]]  # (H, W, 3, C)
        return (corners * self.bary[..., None]).sum(-2)


def rasterise(
    pixels: np.ndarray | Tensor,
    triangles: np.ndarray | Tensor,
    size: tuple[int, int],
    keep: np.ndarray | None = None,
    two_sided: np.ndarray | None = None,
    cutout: Cutout | None = None,
    *,
    backend: Backend = "auto",
) -> Fragments:
    """Draws triangles (F, 3) of pixels (N, 3) into a picture of size (width, height), as `shade3d.rasterise`.

    backend  "numba"; "pytorch3d"; "auto": pytorch3d for tensors that lie on a graphics card, where it is installed,
             else numba.

    The result is in NumPy, whoever drew it. Raises MissingExtraError for pytorch3d where it isn't installed, UsageError
    for a name that is none and for holes (`cutout`), which pytorch3d doesn't cut.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend {backend!r}: {', '.join(BACKENDS)}")
    if backend == "auto":
        on_card = getattr(getattr(pixels, "device", None), "type", "cpu") == "cuda"
        backend = "pytorch3d" if on_card and cutout is None and has_pytorch3d() else "numba"
    if backend == "numba":
        return shade3d.rasterise(_array(pixels), _array(triangles), size, keep, two_sided, cutout)
    if cutout is not None:
        raise UsageError("pytorch3d doesn't cut holes; use backend='numba'")
    import_pytorch3d()
    import torch

    given = pixels.detach() if isinstance(pixels, torch.Tensor) else torch.from_numpy(np.asarray(pixels, np.float32))
    numbers = torch.as_tensor(_array(triangles).astype(np.int64), device=given.device)
    return rasterise_tensor(given, numbers, size, keep, two_sided).numpy()


def rasterise_tensor(
    pixels: Tensor,
    triangles: Tensor,
    size: tuple[int, int],
    keep: Any = None,
    two_sided: Any = None,
) -> TensorFragments:
    """As `rasterise`, with tensors in and out: float pixels (N, 3), int64 triangles (F, 3), on one device; keep and
    two_sided (F,) bool or None. pytorch3d draws. Gradients reach the pixels through `bary` and `near`, not through
    which triangle is seen.

    Raises MissingExtraError without pytorch3d.
    """
    import torch

    structures, draw = import_pytorch3d()
    width, height = size
    pixels = pixels.float()
    numbers = torch.nonzero(_facing(pixels, triangles, keep, two_sided))[:, 0]
    if not len(numbers):
        nothing = pixels.new_zeros(height, width)
        return TensorFragments(nothing.long() - 1, pixels.new_zeros(height, width, 3), nothing)
    half = min(width, height) / 2  # pixels that are one unit of NDC: the shorter side goes from -1 to 1
    x, y = (width / 2 - pixels[:, 0]) / half, (height / 2 - pixels[:, 1]) / half  # x to the left, y up
    distance = 1 / pixels[:, 2].clamp_min(1e-9)
    mesh = structures.Meshes(verts=[torch.stack([x, y, distance], 1)], faces=[triangles[numbers]])
    found, depth, bary, _ = draw(
        mesh,
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        perspective_correct=True,
        cull_backfaces=False,  # done above, by the winding of our frame
    )
    found, depth, bary = found[0, ..., 0], depth[0, ..., 0], bary[0, ..., 0, :]
    cover = found >= 0
    near = torch.where(cover, 1 / torch.where(cover, depth, torch.ones_like(depth)), torch.zeros_like(depth))
    index = torch.where(cover, numbers[found.clamp_min(0)], -torch.ones_like(found))
    return TensorFragments(index, torch.where(cover[..., None], bary, torch.zeros_like(bary)), near)


def has_pytorch3d() -> bool:
    """Whether pytorch3d is installed; doesn't import it."""
    try:
        return importlib.util.find_spec("pytorch3d") is not None
    except ValueError:  # a module without a spec
        return True


def import_pytorch3d() -> tuple[Any, Any]:
    """pytorch3d's `structures` and its `rasterize_meshes`. Raises MissingExtraError, which says what to do."""
    try:
        from pytorch3d import structures
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pytorch3d":
            raise  # it is there, but broken: show why
        raise MissingExtraError(
            "pytorch3d is not installed. Build it for your torch as its authors say "
            "(https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md), or use backend='numba'"
        ) from error
    return structures, rasterize_meshes


def _facing(pixels: Tensor, triangles: Tensor, keep: Any, two_sided: Any) -> Tensor:
    """(F,) bool: the triangles that may show, by the rules of `shade3d.rasterise`."""
    import torch

    a, b, c = (pixels[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    front = area < -1e-12
    if two_sided is not None:
        front = front | (torch.as_tensor(two_sided, device=pixels.device).bool() & (area > 1e-12))
    front = front & (a[:, 2] > 0) & (b[:, 2] > 0) & (c[:, 2] > 0)
    return front if keep is None else front & torch.as_tensor(keep, device=pixels.device).bool()


def _array(value: Any) -> np.ndarray:
    """NumPy's view of an array or a tensor, without gradients, on the CPU."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


__all__ = ["BACKENDS", "Backend", "TensorFragments", "has_pytorch3d", "rasterise", "rasterise_tensor"]
