"""Pictures laid over what lies behind them."""

from __future__ import annotations

import numpy as np


def fitted(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8: the middle of a picture (h, w, 3), scaled so that it fills `size` (width, height)."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    part = min(width, max(1, round(size[0] / scale))), min(height, max(1, round(size[1] / scale)))
    x, y = (width - part[0]) // 2, (height - part[1]) // 2
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(picture[y : y + part[1], x : x + part[0], :3]), size, interpolation=how)


def laid_over(picture: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 of a picture (H, W, 4) uint8 with straight alpha over `behind`, (H, W, 3) or (3,) uint8."""
    alpha = picture[..., 3:].astype(np.uint16)
    return ((picture[..., :3] * alpha + behind.astype(np.uint16) * (255 - alpha) + 127) // 255).astype(np.uint8)


__all__ = ["fitted", "laid_over"]
