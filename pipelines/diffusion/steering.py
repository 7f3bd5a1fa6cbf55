"""What happens at each call of the UNet while a portrait is made: residuals of ControlNets and CtrLoRA, tokens of a
face, predictions for regions and concepts. Put on the UNet as hooks for one call, taken off after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controls.identity.expression import with_neutral
from controls.identity.guide import Guide
from controls.identity.instantid import InstantId, residuals
from controls.identity.stack import stacked
from pipelines.diffusion.identity import guide_of, looks_of
from pipelines.diffusion.region import Region, mask_values, regional
from pipelines.diffusion.semantic import Concept, Momentum, steered
from pipelines.diffusion.text import encode
from studio.errors import UsageError

_ACTIVE: ContextVar[Steering | None] = ContextVar("portrait_steering", default=None)
"""Whose hooks act in this thread or task: another one may use the same UNet meanwhile."""


@dataclass(frozen=True)
class Wishes:
    """What a call asks for beside diffusers' own; see `pipelines.diffusion.portrait`.

    embeds  (P, width) of faces, or None; looks: CLIP's states of the person's photo, for FaceID-Plus.
    """

    control_image: Any = None
    controlnet_conditioning_scale: float | Sequence[float] = 1.0
    control_guidance_start: float | Sequence[float] = 0.0
    control_guidance_end: float | Sequence[float] = 1.0
    embeds: np.ndarray | None = None
    looks: tuple[Tensor, Tensor] | None = None
    identity_scale: float | None = None
    identity_mask: Any = None
    expression: Any = None
    expression_scale: float = 1.0
    conditions: Any = None
    concepts: Sequence[Concept] | None = None
    regions: Sequence[Region] | None = None

    def each(self, name: str, count: int) -> list[float]:
        """A setting of the ControlNets, one for each. Raises UsageError for another number of them."""
        value = getattr(self, name)
        values = list(value) if isinstance(value, list | tuple) else [value] * count
        if len(values) != count:
            raise UsageError(f"{name} has {len(values)} values for {count} ControlNets")
        return [float(v) for v in values]


class Steering:
    """One call's wishes on a pipeline. What depends on sizes and batch is made at the UNet's first call."""

    def __init__(self, pipe: Any, wishes: Wishes, arguments: dict[str, Any]) -> None:
        self.pipe, self.wishes = pipe, wishes
        self.step, self._inside = 0, False
        self._guide: Guide | None = None
        self._pictures: list[Tensor] = []
        self._conditions: list[Any] = []
        self._masks: list[Tensor] = []
        self._momentum = Momentum()
        self._texts = [encode(pipe, one.prompt) for one in wishes.concepts or ()]
        self._region_texts = [None if one.prompt is None else encode(pipe, one.prompt) for one in wishes.regions or ()]
        self._region_guides: list[Guide | None] = []
        self._ready = False

    @contextmanager
    def on(self, unet: Any) -> Iterator[None]:
        """Act at every call of this UNet within the block, in this thread or task alone."""
        hooks = [
            unet.register_forward_pre_hook(self._before, with_kwargs=True),
            unet.register_forward_hook(self._after, with_kwargs=True),
        ]
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)
            for hook in hooks:
                hook.remove()

    @property
    def networks(self) -> list[Any]:
        """The ControlNets."""
        net = self.pipe.controlnet
        return [] if net is None else list(getattr(net, "nets", [net]))

    def _before(self, unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        if _ACTIVE.get() is not self or self._inside:
            return None
        sample, timestep = args[:2]
        if not self._ready:
            self._prepare(sample)
        batch, kwargs = len(sample), dict(kwargs)
        if self._guide is not None:
            kwargs = with_guide(kwargs, fitting(self._guide, batch))
        down, middle = self._residuals(sample, timestep, kwargs)
        if down is not None:
            kwargs["down_block_additional_residuals"] = down
            kwargs["mid_block_additional_residual"] = middle
        return args, kwargs

    def _after(self, unet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if _ACTIVE.get() is not self or self._inside:
            return None
        noise = output[0]
        self._inside = True
        try:
            if self.wishes.regions:
                noise = regional(self, unet, args, kwargs, noise)
            if self.wishes.concepts:
                noise = steered(self, unet, args, kwargs, noise)
        finally:
            self._inside = False
        self.step += 1
        return (noise, *output[1:])

    def _prepare(self, sample: Tensor) -> None:
        """Pictures at their size, tokens, masks: at the first step."""
        pipe, wishes = self.pipe, self.wishes
        device, dtype = sample.device, sample.dtype
        guidance = pipe.do_classifier_free_guidance
        count = len(sample) // (2 if guidance else 1)
        height, width = (side * pipe.vae_scale_factor for side in sample.shape[-2:])
        if wishes.control_image is not None:
            several = len(self.networks) > 1
            given = wishes.control_image if several else [wishes.control_image]
            prepared = [pictures_of(pipe, one, height, width, count) for one in given]
            self._pictures = [x.to(device, dtype).repeat(2 if guidance else 1, 1, 1, 1) for x in prepared]
        if wishes.conditions:
            self._conditions = self._encoded(height, width, device, dtype)
        mimic = None if wishes.expression is None else self._expression(guidance, count, device)
        face = None
        if wishes.embeds is not None and pipe.prompter is None:
            asked = (wishes.embeds, wishes.identity_scale, wishes.identity_mask)
            face = self._face(*asked, guidance, count, wishes.looks)
        self._guide = self._together(face, mimic)
        for one in wishes.regions or ():
            self._masks.append(one.at(sample.shape[-2:]).to(device, dtype))
            rows = None if one.identity is None else pipe._embeddings(one.identity, None)
            made = None
            if rows is not None:
                looks = looks_of(pipe, one.identity)
                made = self._together(self._face(rows, one.identity_scale, None, guidance, count, looks), mimic)
            self._region_guides.append(made)
        self._ready = True

    def _face(
        self, embeds: np.ndarray, scale: float | None, mask: Any, guidance: bool, count: int, looks: Any
    ) -> Guide:
        adapter = self.pipe.adapter
        for name in ("projection", "resampler"):
            if isinstance(module := getattr(adapter, name, None), torch.nn.Module):
                module.to(self.pipe._execution_device, self.pipe.unet.dtype)
        if count % len(embeds):
            raise UsageError(f"{len(embeds)} identities for {count} pictures; give one, or one for each prompt")
        made = guide_of(adapter, embeds, scale, guidance=guidance, per_face=count // len(embeds), looks=looks)
        return made if mask is None else replace(made, mask=mask_values(mask, "identity_mask"))

    def _expression(self, guidance: bool, count: int, device: Any) -> Guide:
        adapter = self.pipe.mimic
        vectors = torch.as_tensor(np.atleast_2d(np.asarray(self.wishes.expression, np.float32))).to(device)
        if count % len(vectors):
            raise UsageError(f"{len(vectors)} expressions for {count} pictures; give one, or one for each prompt")
        adapter.projection.to(device, self.pipe.unet.dtype)
        rows = with_neutral(vectors, count // len(vectors)).to(next(adapter.projection.parameters()))
        tokens = adapter.projection(rows[:, 0])
        return Guide(tokens if guidance else tokens[count:], float(self.wishes.expression_scale))

    def _together(self, face: Guide | None, mimic: Guide | None) -> Guide | None:
        """One guide for the adapters that are in the UNet; what isn't asked for is silent."""
        if face is None and mimic is None:
            return None
        if self.pipe.adapter is None or self.pipe.mimic is None:
            return face or mimic
        return stacked(face or Guide(lora_scale=0.0), mimic or Guide())

    def _encoded(self, height: int, width: int, device: Any, dtype: Any) -> list[Any]:
        """CtrLoRA's pictures as latents."""
        from controls.ctrlora.encoding import encode_condition
        from controls.ctrlora.residuals import Conditioning

        given = self.wishes.conditions
        rows = [(k, v, 1.0) for k, v in given.items()] if isinstance(given, dict) else list(given)
        self.pipe.ctrlora.to(device, dtype)
        out = []
        for name, picture, *weight in rows:
            sized = pictures_of(self.pipe, picture, height, width, 1).clamp(0, 1)
            latent = encode_condition(self.pipe.vae, sized.to(device, self.pipe.vae.dtype)).to(device, dtype)
            out.append(Conditioning(name, latent, float(weight[0]) if weight else 1.0))
        return out

    def _residuals(self, sample: Tensor, timestep: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """(down, middle) of ControlNets and CtrLoRA that act at this step, or (None, None)."""
        text = kwargs["encoder_hidden_states"]
        down = middle = None
        if self._pictures:
            scales = self._scales()
            if any(scales):
                pictures = [x[-len(sample) :] for x in self._pictures]
                down, middle = self._controlled(sample, timestep, text, pictures, scales, kwargs)
        if self._conditions:
            from controls.ctrlora.residuals import ctrlora_residuals

            more = ctrlora_residuals(self.pipe.ctrlora, self._conditions, timestep, text)
            ways, last = more["down_block_additional_residuals"], more["mid_block_additional_residual"]
            down = list(ways) if down is None else [a + b for a, b in zip(down, ways, strict=True)]
            middle = last if middle is None else middle + last
        return down, middle

    def _scales(self) -> list[float]:
        """Each network's strength at this step, 0 outside its part of the steps; as in diffusers."""
        count, total = len(self.networks), max(1, self.pipe.num_timesteps)
        names = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
        scales, starts, ends = (self.wishes.each(name, count) for name in names)
        return [
            0.0 if self.step / total < start or (self.step + 1) / total > end else scale
            for scale, start, end in zip(scales, starts, ends)
        ]

    def _controlled(
        self, sample: Tensor, timestep: Any, text: Tensor, pictures: list[Tensor], scales: list[float], kwargs: Any
    ) -> tuple[Any, Any]:
        nets = self.networks
        sample = sample[:, : nets[0].config.in_channels]
        added = kwargs.get("added_cond_kwargs") or {}
        added = {k: v for k, v in added.items() if k != "image_embeds"} or None
        if isinstance(self.pipe.adapter, InstantId) and self.wishes.embeds is not None:
            tokens = fitting(self._guide, len(sample)).tokens
            mask = self._guide.mask
            seen = dict(tokens=tokens, scales=scales, conditions=added, mask=mask)
            return residuals(nets, sample, timestep, text, pictures, **seen)
        down = middle = None
        for net, picture, scale in zip(nets, pictures, scales, strict=True):
            if scale == 0:
                continue
            ways, last = net(sample, timestep, text, picture, scale, added_cond_kwargs=added, return_dict=False)
            down = ways if down is None else [a + b for a, b in zip(down, ways, strict=True)]
            middle = last if middle is None else middle + last
        return down, middle


def fitting(guide: Guide, batch: int) -> Guide:
    """A guide for a batch that lost its unconditional half, as when guidance is switched off on the way."""
    tokens = None if guide.tokens is None else guide.tokens[-batch:]
    return replace(guide, tokens=tokens, others=tuple(fitting(one, batch) for one in guide.others))


def with_guide(kwargs: dict[str, Any], guide: Guide | None) -> dict[str, Any]:
    """A UNet's keyword arguments with another guide, or none."""
    given = {k: v for k, v in (kwargs.get("cross_attention_kwargs") or {}).items() if k != "identity"}
    if guide is not None:
        given["identity"] = guide
    return kwargs | {"cross_attention_kwargs": given or None}


def pictures_of(pipe: Any, picture: Any, height: int, width: int, count: int) -> Tensor:
    """(count, 3, height, width) float 0..1 of one picture or a batch of pictures. Raises UsageError."""
    from diffusers.image_processor import VaeImageProcessor

    processor = VaeImageProcessor(vae_scale_factor=pipe.vae_scale_factor, do_convert_rgb=True, do_normalize=False)
    made = processor.preprocess(scaled(picture), height=height, width=width).float()
    if count % len(made):
        raise UsageError(f"{len(made)} control pictures for {count} pictures; give one, or one for each prompt")
    return made.repeat_interleave(count // len(made), 0)


def scaled(picture: Any) -> Any:
    """uint8 arrays as float 0..1; lists likewise."""
    if isinstance(picture, list | tuple):
        return [scaled(one) for one in picture]
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8:
        return picture.astype(np.float32) / 255
    return picture
