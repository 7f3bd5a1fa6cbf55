"""A prompt, a person, an expression and a pose become new portraits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.change import Change, read_change
from pipelines.output import check_output
from pipelines.portrait import default_tracker, read_portrait
from pipelines.take import Saved, Still
from studio.errors import Cancelled, NoFaceError, UsageError
from studio.observation import Observation

if TYPE_CHECKING:
    from avatars.rig import Rig
    from avatars.shade3d import Camera


@dataclass(frozen=True)
class Generated:
    """New portraits.

    images     (H, W, 3) uint8 RGB each.
    prompt     what the model was told.
    weights    (52,) float32 ARKit, head (3,) radians yaw, pitch, roll: what was asked for.
    condition  (H, W, 3) uint8 that steered the ControlNet, or None.
    seeds      of each picture: the same seed and settings give the same picture.
    """

    images: tuple[np.ndarray, ...]
    prompt: str
    weights: np.ndarray
    head: np.ndarray
    condition: np.ndarray | None = None
    seeds: tuple[int, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    def save(self, path: str | os.PathLike[str]) -> list[Saved]:
        """Write one picture, or several with numbers: out.png, or out_1.png, out_2.png, ..."""
        path = Path(path)
        places = [path] if len(self.images) == 1 else [_numbered(path, k) for k in range(len(self.images))]
        each = self.seconds / max(1, len(self.images))
        return [Still(image, seconds=each).save(place) for image, place in zip(self.images, places)]


def _numbered(path: Path, k: int) -> Path:
    return path.with_name(f"{path.stem}_{k + 1}{path.suffix}")


class GenerationPipeline:
    """New portraits by a diffusion model of the user's.

        make = GenerationPipeline.from_pretrained("stable-diffusion-v1-5", controlnet="control_normals")
        make("portrait, window light, 85mm", identity="me.jpg", expression="smile.jpg").save("out.png")

    pipe       a `pipelines.diffusion` pipeline from text.
    condition  what its ControlNet sees: one of `avatars.conditions.KINDS`; for several networks a list.
    camera     how condition pictures see the head (default: head and neck, filling the picture).
    numbers    makes an Expression Adapter's (55,) of ARKit weights (52,), where one is loaded; without it SMIRK looks
               at the reference picture.
    smirk      SMIRK's encoder or its checkpoint (default: where published models lie), opened when it is needed.
    describe   (weights (52,), emotion) -> words for the prompt (default `controls.expression_words`).
    guidance   of calls that name none (default: diffusers' own for the model).
    tracker    finds faces (default `controls.tracker.FaceTracker`).
    """

    def __init__(
        self,
        pipe: Any,
        *,
        condition: str | Sequence[str] = "normals",
        camera: Camera | None = None,
        numbers: Callable[[np.ndarray], np.ndarray] | None = None,
        smirk: Any = None,
        describe: Callable[[np.ndarray, Mapping[str, float] | None], str] | None = None,
        guidance: float | None = None,
        tracker: Any = None,
    ) -> None:
        from controls.expression_words import expression_words
        from pipelines.diffusion.numbers import SmirkNumbers

        self.pipe, self.camera, self.numbers, self.guidance = pipe, camera, numbers, guidance
        self._smirk, self._preview = SmirkNumbers(smirk), None
        self.condition = [condition] if isinstance(condition, str) else list(condition)
        self._tracker, self._describe = tracker, describe or expression_words
        from avatars.conditions import KINDS

        for kind in self.condition:
            if kind not in KINDS:
                raise UsageError(f"condition {kind!r}: choose one of {', '.join(KINDS)}")

    @classmethod
    def from_pretrained(
        cls,
        model: str | os.PathLike[str],
        *,
        controlnet: Any = None,
        condition: str | Sequence[str] = "normals",
        identity: Any = None,
        lora: Mapping[str, float] | None = None,
        device: str = "cpu",
        dtype: str | None = None,
        config: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> GenerationPipeline:
        """From a checkpoint folder or single file of Stable Diffusion 1.5 or SDXL; nothing is downloaded.

        controlnet  a folder or file, or a list of such, and `condition` what each sees.
        identity    an adapter's file, as `load_identity` takes it, or a list of such: Arc2Face's encoder and its
                    Expression Adapter, say.
        lora        {file: weight}.
        dtype       "float16", "bfloat16" or "float32" (default: float32 on a CPU, else float16).
        config      a checkpoint folder of the family, for a single file whose settings the hub's cache doesn't have.
        Raises WeightsError and UsageError that say what doesn't fit.
        """
        import torch

        from pipelines.diffusion.opening import open_pipeline, typed

        kind = getattr(torch, dtype or ("float32" if device == "cpu" else "float16"), None)
        if not isinstance(kind, torch.dtype):
            raise UsageError(f"dtype={dtype!r}: choose float32, float16 or bfloat16")
        more: dict[str, Any] = {"local_files_only": True} if Path(model).expanduser().is_file() else {}
        if config is not None:
            more["config"] = os.fspath(config)
        pipe = open_pipeline(
            model,
            **typed(kind),
            **({"controlnet": controlnet} if controlnet else {}),
            **more,
        )
        pipe.set_progress_bar_config(disable=True)
        for one in identity if isinstance(identity, list | tuple) else [identity]:
            if one is not None:
                pipe.load_identity(one)
        for k, file in enumerate(lora or {}):
            pipe.load_lora_weights(file, adapter_name=f"lora_{k}")
        if lora:
            pipe.set_adapters([f"lora_{k}" for k in range(len(lora))], [float(v) for v in lora.values()])
        return cls(pipe.to(device), condition=condition, **options)

    @property
    def tracker(self) -> Any:
        """Finds the faces of pictures."""
        if self._tracker is None:
            self._tracker = default_tracker()
        return self._tracker

    def __call__(
        self,
        prompt: str = "a portrait of a person",
        *,
        negative: str | None = None,
        identity: Any = None,
        identity_scale: float | None = None,
        expression: Any = None,
        pose: Any = None,
        shapes: Mapping[str, float] | None = None,
        aus: Mapping[str, float | str] | None = None,
        emotion: Mapping[str, float] | None = None,
        gaze: Any = None,
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        words: bool = True,
        push: float = 0.0,
        control: float = 1.0,
        seed: int = 0,
        count: int = 1,
        size: int | tuple[int, int] | None = None,
        steps: int = 30,
        guidance: float | None = None,
        progress: Callable[..., None] | None = None,
        preview: Callable[[int, np.ndarray], object] | None = None,
        cancel: threading.Event | None = None,
        **options: Any,
    ) -> Generated:
        """Make portraits.

        identity    photos or embeddings of a person, as `pipelines.diffusion` takes them; a photo also lends its head's
                    shape to the condition picture.
        expression  a reference picture, whoever is in it: what its face does is measured and carried over; or (52,)
                    ARKit weights, or (55,) numbers of SMIRK for an Expression Adapter alone, as an array or a file.
        pose        a reference picture, whose head's turn is taken over.
        shapes, aus, emotion, gaze, yaw, pitch, roll   come on top, as `ExpressionEditPipeline` takes them.
        words       say expression and pose in the prompt as well.
        push        0 or more: semantic guidance towards the expression's words (5 is usual).
        control     strength of the ControlNet.
        size        (width, height) in pixels, or one for a square (default: the model's own).
        guidance    how strictly the prompt is followed (default: the model's usual).
        preview     called after each step with its number and the picture so far, (h, w, 3) uint8, an eighth as wide.
        options     go to the diffusion pipeline's call.

        Raises NoFaceError where a photo or a reference has no face, UsageError, Cancelled.
        """
        from pipelines.diffusion.numbers import given_numbers

        began = time.monotonic()
        if not 1 <= count <= 64:
            raise UsageError(f"count={count}: 1 to 64 pictures at a time")
        change = read_change(shapes=shapes, aus=aus, emotion=emotion, gaze=gaze, yaw=yaw, pitch=pitch, roll=roll)
        given = given_numbers(expression)
        weights, head, asked = self._asked(expression, given, pose, change)
        said = self._said(prompt, weights, head, emotion, asked) if words else prompt
        call: dict[str, Any] = {"prompt": said, "negative_prompt": negative, "num_inference_steps": steps, **options}
        guidance = self.guidance if guidance is None else guidance
        if guidance is not None:
            call["guidance_scale"] = guidance
        call["width"], call["height"] = self._size(size)
        pictures = self._pictures(identity, weights, head, (call["width"], call["height"])) if asked else []
        if pictures:
            call["control_image"] = pictures if len(pictures) > 1 else pictures[0]
            call["controlnet_conditioning_scale"] = float(control)
        if identity is not None:
            call["identity"], call["identity_scale"] = identity, identity_scale
        if asked and (numbers := self._numbers(weights, expression, given)) is not None:
            call["expression"] = numbers
        if push:
            call["concepts"] = self._concepts(weights, emotion, push)
        if self.pipe.prompter is not None and identity is not None:
            call["prompt"] = call["negative_prompt"] = None
        seeds = tuple(seed + k for k in range(count))
        images = self._images(call, seeds, progress, preview, cancel)
        condition = _rgb(pictures[0]) if pictures else None
        return Generated(images, said, weights, head, condition, seeds, time.monotonic() - began)

    def _asked(
        self, expression: Any, given: np.ndarray | None, pose: Any, change: Change
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """(weights (52,), head (3,) radians, whether anything was asked for)."""
        weights, head = np.zeros(52, np.float32), np.zeros(3, np.float32)
        if given is not None:
            weights = given if len(given) == 52 else weights
        elif expression is not None:
            weights = self._measured(expression)
        if pose is not None:
            head = read_portrait(pose, self.tracker).faces[0].head[:3].astype(np.float32)
        face = Observation(np.zeros((478, 3), np.float32), (1, 1), np.r_[head, 0, 0, 0].astype(np.float32), weights)
        asked = expression is not None or pose is not None or not change.nothing
        return weights + change.of(face, weights), head + change.head[:3], asked

    def _measured(self, picture: Any) -> np.ndarray:
        """(52,) ARKit weights of a reference picture's face, gaze and all."""
        from avatars.fit import fit_photo

        face = read_portrait(picture, self.tracker).faces[0]
        return face.weights if face.weights is not None else np.clip(fit_photo(face.landmarks)[1], 0, 1)

    def _said(
        self, prompt: str, weights: np.ndarray, head: np.ndarray, emotion: Mapping[str, float] | None, asked: bool
    ) -> str:
        from controls.expression_words import pose_words

        if not asked:
            return prompt
        more = [self._describe(weights, emotion), pose_words(float(head[0]), float(head[1]))]
        return ", ".join([prompt, *(text for text in more if text)])

    def _size(self, size: int | tuple[int, int] | None) -> tuple[int, int]:
        step = self.pipe.vae_scale_factor
        if size is None:
            own = self.pipe.unet.config.sample_size
            return int(own * step), int(own * step)
        width, height = (size, size) if isinstance(size, int) else size
        if width % 8 or height % 8 or min(width, height) < 8 * step:
            near = tuple(max(8 * step, round(side / 8) * 8) for side in (width, height))
            raise UsageError(f"size {width}x{height}: multiples of 8 are possible, such as {near[0]}x{near[1]}")
        return width, height

    def _pictures(self, identity: Any, weights: np.ndarray, head: np.ndarray, size: tuple[int, int]) -> list[Any]:
        """Condition pictures as PIL images, one for each ControlNet; none without a ControlNet."""
        from PIL import Image

        net = self.pipe.controlnet
        count = 0 if net is None else len(getattr(net, "nets", [net]))
        if not count:
            return []
        if len(self.condition) not in (1, count):
            raise UsageError(f"{len(self.condition)} conditions for {count} ControlNets; name one for each")
        from avatars.conditions import Conditions
        from avatars.shade3d import Camera

        rig = self._head_of(identity)
        camera = self.camera or Camera.portrait(size, 0.30, 1.1, (0.0, -0.03, -0.06))
        if camera.size != size:
            camera = replace(camera.scaled(size[1] / camera.size[1]), size=size, centre=(size[0] / 2, size[1] / 2))
        draw = Conditions(rig, size)
        vertices = rig.vertices(weights, np.r_[head, 0, 0, 0].astype(np.float32))
        kinds = self.condition * count if len(self.condition) == 1 else self.condition
        return [Image.fromarray(draw(kind, vertices, camera)) for kind in kinds]

    def _head_of(self, identity: Any) -> Rig:
        """The person's head where there is a photo of them, else the mean head."""
        from avatars.head import embedded_head
        from avatars.head.photo import fit_head
        from pipelines.diffusion.identity import is_photo

        some = identity if isinstance(identity, list | tuple) else [identity]
        photo = next((one for one in some if is_photo(one)), None)
        if photo is None:
            return embedded_head()
        seen = read_portrait(photo, self.tracker)
        return fit_head(seen.faces[0].landmarks, seen.size).rig

    def _numbers(self, weights: np.ndarray, expression: Any, given: np.ndarray | None) -> np.ndarray | None:
        """An Expression Adapter's numbers, where one is loaded."""
        smirks = given is not None and len(given) == 55
        if self.pipe.mimic is None:
            if smirks:
                raise UsageError("55 numbers of SMIRK, but no Expression Adapter: load exp_adapter.bin (--adapter)")
            return None
        if smirks:
            return given
        if self.numbers is not None:
            return np.asarray(self.numbers(weights), np.float32)
        if expression is not None and given is None:
            seen = read_portrait(expression, self.tracker)
            return self._smirk(seen.over(), seen.faces[0])
        if weights.any():
            raise UsageError(
                "the Expression Adapter takes SMIRK's 55 numbers, which don't follow from ARKit weights: give a "
                "picture or 55 numbers as the expression, or numbers= to the pipeline"
            )
        return None

    def _concepts(self, weights: np.ndarray, emotion: Mapping[str, float] | None, push: float) -> list[Any] | None:
        from pipelines.diffusion.semantic import Concept

        said = self._describe(weights, emotion)
        return [Concept(text, float(push)) for text in said.split(", ")] if said else None

    def _small(self, latents: Any) -> np.ndarray:
        """(B, h, w, 3) uint8 of latents."""
        if self._preview is None:
            from pipelines.diffusion.preview import Preview

            self._preview = Preview(self.pipe.vae)
        return self._preview(latents)

    def _images(
        self,
        call: dict[str, Any],
        seeds: tuple[int, ...],
        progress: Callable[..., None] | None,
        preview: Callable[[int, np.ndarray], object] | None,
        cancel: threading.Event | None,
    ) -> tuple[np.ndarray, ...]:
        """A picture for each seed, whatever is made along with it."""
        import torch

        from studio.progress import track

        def step(pipe: Any, k: int, t: Any, kept: dict[str, Any]) -> dict[str, Any]:
            if cancel is not None and cancel.is_set():
                raise Cancelled("stopped; no output was left behind")
            if preview is not None:
                preview(k, self._small(kept["latents"])[0])
            return kept

        images = []
        for seed in track(seeds, "generate", len(seeds), progress):
            made = torch.Generator("cpu").manual_seed(seed)
            out = self.pipe(**call, generator=made, output_type="np", callback_on_step_end=step).images[0]
            images.append(np.clip(255 * out + 0.5, 0, 255).astype(np.uint8))
        return tuple(images)


def _rgb(picture: Any) -> np.ndarray:
    return np.asarray(picture)


def check_places(path: str | os.PathLike[str], count: int) -> None:
    """Raises OutputError or UsageError where pictures can't be written."""
    for place in [Path(path)] if count == 1 else [_numbered(Path(path), k) for k in range(count)]:
        check_output(place, "picture")


__all__ = ["Generated", "GenerationPipeline", "NoFaceError", "check_places"]
