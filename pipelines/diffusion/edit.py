"""A photo's face edited by diffusion: the region round it is painted anew under the condition of its edited 3D head.

What an avatar is for other engines: made of a picture and a face once, then rendered under changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.errors import UsageError
from studio.observation import Observation


@dataclass(frozen=True)
class DiffusionSettings:
    """strength   0..1: how much of the region is made anew; 1 keeps nothing of its colours.
    steps, guidance, seed   of the denoising; guidance None is the model's usual.
    prompt     what the picture shows; words for the expression are added.
    negative   what it doesn't.
    margin     how far the region reaches beyond the face, in face sizes.
    control    strength of the ControlNet; condition: what it sees, of `avatars.conditions.KINDS`.
    """

    strength: float = 0.6
    steps: int = 30
    guidance: float | None = None
    seed: int = 0
    prompt: str = "a portrait of a person"
    negative: str | None = None
    margin: float = 0.45
    control: float = 1.0
    condition: str = "normals"

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1 or self.steps < 1 or not 0 <= self.margin <= 2:
            raise UsageError("strength is above 0 up to 1, steps at least 1, margin 0 to 2")


class DiffusionEngine:
    """Makes avatars that a diffusion pipeline draws, for `ExpressionEditPipeline(avatar=...)`.

    pipe      an inpainting pipeline of `pipelines.diffusion`; with a ControlNet it follows the edited head, with an
              identity adapter it keeps the person.
    settings  see `DiffusionSettings`.
    """

    sees_beyond = False

    def __init__(self, pipe: Any, settings: DiffusionSettings | None = None) -> None:
        if "mask_image" not in _arguments(pipe):
            raise UsageError(f"{type(pipe).__name__} takes no mask: open an inpainting pipeline (kind='inpaint')")
        self.pipe, self.settings = pipe, settings or DiffusionSettings()

    @classmethod
    def from_pretrained(
        cls,
        model: Any,
        *,
        controlnet: Any = None,
        identity: Any = None,
        settings: DiffusionSettings | None = None,
        device: str = "cpu",
        **options: Any,
    ) -> DiffusionEngine:
        """From a checkpoint folder of Stable Diffusion 1.5 or SDXL, a ControlNet's and an adapter's. Raises
        WeightsError for what doesn't fit."""
        from pipelines.diffusion.opening import open_pipeline

        more = {} if controlnet is None else {"controlnet": controlnet}
        pipe = open_pipeline(model, "inpaint", **more, **options)
        pipe.set_progress_bar_config(disable=True)
        if identity is not None:
            pipe.load_identity(identity)
        return cls(pipe.to(device), settings)

    def __call__(self, image: np.ndarray, face: Observation, *, alpha: np.ndarray | None = None) -> DiffusionAvatar:
        """An avatar of a picture (H, W, 3) uint8 and a face in it. Raises NoFaceError for one turned too far."""
        return DiffusionAvatar(self, image, face, alpha)


class DiffusionAvatar:
    """One face of one picture."""

    def __init__(self, engine: DiffusionEngine, image: np.ndarray, face: Observation, alpha: np.ndarray | None) -> None:
        from avatars.head.photo import fit_head

        self.engine, self.image, self.face, self.alpha = engine, image, face, alpha
        self.head = fit_head(face.landmarks, (image.shape[1], image.shape[0]))
        self.expression = self.head.weights
        self.box = square_round(face, engine.settings.margin, (image.shape[1], image.shape[0]))

    def render_frame(
        self, weights: np.ndarray, head: np.ndarray, residual: Any = None, *, with_alpha: bool = False
    ) -> np.ndarray:
        """(H, W, 3) uint8, (H, W, 4) with alpha: under a change of expression (52,) and of the head (6,)."""
        out = self.image.copy()
        if np.any(weights) or np.any(head):
            out = self._painted(self.expression + np.asarray(weights, np.float32), np.asarray(head, np.float32))
        if not with_alpha:
            return out
        alpha = np.full(out.shape[:2], 255, np.uint8) if self.alpha is None else self.alpha
        return np.dstack([out, alpha])

    def render(self, motion: Any, *, neutralize: float | np.ndarray = 0.0, with_alpha: bool = False) -> Any:
        """Pictures of a motion, one by one."""
        for block in motion:
            for weights, head in zip(block.weights, block.head, strict=True):
                change = weights - np.asarray(neutralize, np.float32) * self.expression
                yield self.render_frame(change, head, with_alpha=with_alpha)

    def _painted(self, weights: np.ndarray, head: np.ndarray) -> np.ndarray:
        """The whole picture with the region painted anew, laid in with a soft edge."""
        import cv2
        import torch
        from PIL import Image

        engine, settings = self.engine, self.engine.settings
        x0, y0, x1, y1 = self.box
        side = model_side(engine.pipe)
        padded, (dx, dy) = _padded(self.image, self.box)
        part = padded[y0 + dy : y1 + dy, x0 + dx : x1 + dx]
        small = cv2.resize(
            part, (side, side), interpolation=cv2.INTER_AREA if part.shape[0] > side else cv2.INTER_CUBIC
        )
        mask = self._mask(weights, head)
        inside = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)
        call: dict[str, Any] = dict(
            prompt=self._prompt(weights, head),
            negative_prompt=settings.negative,
            image=Image.fromarray(small),
            mask_image=Image.fromarray(np.where(inside > 0.02, 255, 0).astype(np.uint8)),
            height=side,
            width=side,
            strength=settings.strength,
            num_inference_steps=settings.steps,
            generator=torch.Generator("cpu").manual_seed(settings.seed),
            output_type="np",
        )
        if settings.guidance is not None:
            call["guidance_scale"] = settings.guidance
        if engine.pipe.controlnet is not None:
            picture = self._condition(weights, head, side)
            several = len(getattr(engine.pipe.controlnet, "nets", [0]))
            call["control_image"] = [picture] * several if several > 1 else picture
            call["controlnet_conditioning_scale"] = float(settings.control)
        if engine.pipe.adapter is not None or engine.pipe.prompter is not None:
            call["identity"] = Image.fromarray(part)  # the face that is edited, where there are several
        if engine.pipe.prompter is not None:
            call["prompt"] = call["negative_prompt"] = None
        made = engine.pipe(**call).images[0]
        made = cv2.resize(made.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC)
        share = mask[..., None]
        mixed = share * np.clip(255 * made, 0, 255) + (1 - share) * part
        padded[y0 + dy : y1 + dy, x0 + dx : x1 + dx] = np.rint(mixed).astype(np.uint8)
        height, width = self.image.shape[:2]
        return np.ascontiguousarray(padded[dy : dy + height, dx : dx + width])

    def _mask(self, weights: np.ndarray, head: np.ndarray) -> np.ndarray:
        """(h, w) float32 0..1 of the box: the head before and after the edit, its edge soft, 0 at the box's edge."""
        import cv2

        from avatars.conditions import camera_of
        from avatars.shade3d import rasterise

        x0, y0, x1, y1 = self.box
        camera, rig = camera_of(self.head.pose), self.head.rig
        cover = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for state, turn in ((self.head.weights, None), (weights, head)):
            pixels = camera.project(rig.vertices(state, turn))
            pixels[:, :2] -= (x0, y0)
            cover |= rasterise(pixels, rig.triangles, (x1 - x0, y1 - y0)).cover.astype(np.uint8)
        reach = max(1, round(0.06 * (x1 - x0)))
        grown = cv2.dilate(cover, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
        soft = cv2.GaussianBlur(grown.astype(np.float32), (0, 0), reach / 2)
        ramp = np.minimum(np.arange(x1 - x0), np.arange(x1 - x0)[::-1]) / (2 * reach)
        edge = np.clip(ramp, 0, 1).astype(np.float32)
        return soft * np.minimum(edge[:, None], edge[None])

    def _condition(self, weights: np.ndarray, head: np.ndarray, side: int) -> Any:
        """What the ControlNet sees, as a PIL image: the edited head where the photo's is."""
        from PIL import Image

        from avatars.conditions import Conditions, camera_of
        from avatars.shade3d import Camera

        x0, y0, x1, _ = self.box
        whole, scale = camera_of(self.head.pose), side / (x1 - x0)
        centre = ((whole.centre[0] - x0) * scale, (whole.centre[1] - y0) * scale)
        camera = Camera((side, side), whole.focal * scale, centre, whole.rotation, whole.translation)
        draw = Conditions(self.head.rig, (side, side))
        kind = self.engine.settings.condition
        return Image.fromarray(draw(kind, self.head.rig.vertices(weights, head), camera))

    def _prompt(self, weights: np.ndarray, head: np.ndarray) -> str:
        from controls.expression_words import expression_words, pose_words

        yaw, pitch = self.face.head[:2] + head[:2]
        said = [self.engine.settings.prompt, expression_words(weights), pose_words(float(yaw), float(pitch))]
        return ", ".join(text for text in said if text)


def square_round(face: Observation, margin: float, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a square round a face and its hair; it may reach beyond the picture of size (width, height)."""
    low = face.landmarks[:468, :2].min(0)
    high = face.landmarks[:468, :2].max(0)
    half = float((high - low).max()) * (0.5 + margin)
    x, y = (low + high) / 2
    y -= 0.1 * half  # there is hair above
    side = max(16, round(2 * half))
    left, top = round(float(x) - side / 2), round(float(y) - side / 2)
    return left, top, left + side, top + side


def model_side(pipe: Any) -> int:
    """Pixels of the pictures that a pipeline's model was trained on."""
    return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)


def _padded(image: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """The picture continued so far that it holds a box, and what came left of and above it."""
    height, width = image.shape[:2]
    left, top = max(0, -box[0]), max(0, -box[1])
    sides = ((top, max(0, box[3] - height)), (left, max(0, box[2] - width)), (0, 0))
    return np.pad(image, sides, "edge"), (left, top)


def _arguments(pipe: Callable[..., Any]) -> Any:
    import inspect

    return inspect.signature(type(pipe).__call__).parameters
