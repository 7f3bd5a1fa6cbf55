"""What the portrait pipelines have beside diffusers' own: a face's identity, control pictures, concepts and regions.

Everything is handed over with the call and gone after it; networks are changed by `load_…` alone, and `unload_…` puts
them back.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import torch

from controls.identity.expression import ExpressionAdapter
from controls.identity.stack import install_stack
from pipelines.diffusion import checks
from pipelines.diffusion.identity import Embedder, adapter_of, identity_rows, looks_of
from pipelines.diffusion.opening import check_controlnets, check_folder, check_single_file, opened_controlnets
from pipelines.diffusion.settings import settings_for, settings_missing
from pipelines.diffusion.steering import Steering, Wishes
from pipelines.diffusion.text import check_length
from studio.attention.processor import StudioAttnProcessor
from studio.errors import UsageError

EXTRAS: Mapping[str, Any] = {
    "control_image": None,
    "controlnet_conditioning_scale": 1.0,
    "control_guidance_start": 0.0,
    "control_guidance_end": 1.0,
    "identity": None,
    "identity_embeds": None,
    "identity_scale": None,
    "identity_mask": None,
    "expression": None,
    "expression_scale": 1.0,
    "conditions": None,
    "concepts": None,
    "regions": None,
}
"""Arguments of a call that diffusers' pipelines don't have, and their defaults."""

_DOC = """Makes pictures; arguments as diffusers' own pipeline takes them, and besides:

        control_image   for the ControlNets: a picture (PIL, (H, W, 3) uint8, (B, 3, H, W) 0..1), or a list with one
                        for each of several networks; resized to the picture's size, whose shape it must have.
        controlnet_conditioning_scale, control_guidance_start, control_guidance_end   strength, and the part 0..1 of
                        the steps in which they act: one number, or a list with one for each network.
        identity        a person: a photo, a file or an array of embeddings (512,), or a list of such, which are
                        averaged; needs `load_identity`. Of Arc2Face it takes the prompt's place.
        identity_embeds (P, 512) the recogniser's numbers instead, one row or one for each prompt.
        identity_scale  strength 0..1 (default: the adapter's own); identity_mask (H, W) 0..1 or a picture: where it
                        acts.
        expression      (55,) or (B, 55) numbers of SMIRK for Arc2Face's Expression Adapter; expression_scale 0..1.
        conditions      {name: picture} or [(name, picture, weight), ...] for CtrLoRA (`load_ctrlora`).
        concepts        `Concept`s that steer the denoising (Brack et al. 2023).
        regions         `Region`s with a prompt, a person and LoRAs of their own.

        Returns diffusers' output: `.images` and what else it has. Raises UsageError for what is missing or doesn't fit,
        before anything is computed.
        """


class Portraits:
    """Mixed into a pipeline of diffusers, before it in the order of bases."""

    family = ""
    embedder: Embedder | None = None
    """A callable (H, W, 3) uint8 RGB -> (512,); None for InsightFace (`pipelines.diffusion.identity`)."""

    adapter: Any = None
    """The identity adapter in the UNet, or None; `mimic` the expression adapter."""

    mimic: Any = None

    prompter: Any = None
    """Arc2Face's encoder, which makes prompts of faces, or None."""

    ctrlora: Any = None
    """CtrLoRA's control network, or None."""

    _before: dict[str, Any] | None = None

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        base = next((k for k in cls.__mro__ if k.__module__.startswith("diffusers.") and "__call__" in vars(k)), None)
        if base is not None and "__call__" not in vars(cls):
            cls.__call__ = _calling(base.__call__)  # type: ignore[method-assign]

    def _take(self, controlnet: Any) -> None:
        """Registers ControlNets. Raises WeightsError for another family's."""
        self.register_modules(controlnet=opened_controlnets(controlnet))  # type: ignore[attr-defined]
        check_controlnets(self.controlnet, self.unet)  # type: ignore[attr-defined]

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """From a checkpoint folder of the family, as diffusers writes it. `controlnet`: a network, a folder, or a list
        of such. Raises WeightsError for a folder that is no pipeline or another family's, and says which.
        """
        path = check_folder(path, cls.family, cls.__name__)
        if options.get("controlnet") is not None:
            options["controlnet"] = opened_controlnets(
                options["controlnet"], dtype=options.get("dtype", options.get("torch_dtype"))
            )
        return super().from_pretrained(path, **options)  # type: ignore[misc]

    @classmethod
    def from_single_file(cls, path: str | os.PathLike[str], **options: Any) -> Any:
        """From one .safetensors or .ckpt of the family. config: a checkpoint folder of the same family, whose
        tokenizer and settings are used; without it diffusers asks the Hugging Face hub for them, or with
        local_files_only=True what is kept of it here. Raises WeightsError.
        """
        path = check_single_file(path, cls.family, cls.__name__)
        options["config"] = settings_for(path, cls.family, options)
        if options.get("controlnet") is not None:
            options["controlnet"] = opened_controlnets(
                options["controlnet"], dtype=options.get("dtype", options.get("torch_dtype"))
            )
        with settings_missing(path, cls.family):
            return super().from_single_file(path, **options)  # type: ignore[misc]

    @classmethod
    def from_pipe(cls, pipe: Any, **options: Any) -> Any:
        """From another pipeline's components, adapters with them."""
        made = super().from_pipe(pipe, **options)  # type: ignore[misc]
        if isinstance(pipe, Portraits) and made.unet is pipe.unet:  # type: ignore[attr-defined]
            for name in ("embedder", "adapter", "mimic", "prompter", "ctrlora", "_before"):
                setattr(made, name, getattr(pipe, name))
        return made

    def save_pretrained(self, folder: str | os.PathLike[str], **options: Any) -> None:
        """Writes the checkpoint as diffusers does. Adapters of identity are not part of it: load them again."""
        with self._plain():
            super().save_pretrained(folder, **options)  # type: ignore[misc]

    def load_identity(self, source: Any = None, *, kind: str | None = None, shortcut: bool | None = None) -> None:
        """Puts an identity adapter, or an expression's beside it, into the UNet, in place of the one before.

        source    a file (IP-Adapter FaceID and its fine-tunes, InstantID, Arc2Face's encoder or Expression Adapter),
                  None to look where published models lie, or an adapter made for this pipeline's UNet.
        kind      "faceid", "instantid", "arc2face" or "expression"; by the file's content without it.
        shortcut  of FaceID-Plus: False for Plus, True for PlusV2, where the file's name doesn't tell.
        Raises WeightsError for another family's file, UsageError.
        """
        if self.unet.device.type == "meta":  # type: ignore[attr-defined]
            raise UsageError("load adapters before enable_sequential_cpu_offload")
        with self._plain():
            before = dict(self.unet.attn_processors)  # type: ignore[attr-defined]
            try:
                made = adapter_of(self, source, kind=kind, shortcut=shortcut)
            finally:
                self.unet.set_attn_processor(dict(before))  # type: ignore[attr-defined]
        if hasattr(made, "prompts"):
            self.prompter = made
        elif isinstance(made, ExpressionAdapter):
            self.mimic = made
        else:
            self.adapter = made
        self._before = self._before or before
        self._install()

    def unload_identity(self) -> None:
        """Takes identity and expression adapters out; the UNet is as it was."""
        if self._before is not None:
            self.unet.set_attn_processor(dict(self._before))  # type: ignore[attr-defined]
        self.adapter = self.mimic = self.prompter = self._before = None

    def maybe_free_model_hooks(self) -> None:
        """After a call of a pipeline with offload: what is beside the components goes to the CPU as they do."""
        super().maybe_free_model_hooks()  # type: ignore[misc]
        if getattr(self, "_all_hooks", None):
            for name in ("projection", "resampler"):
                for one in (self.adapter, self.mimic):
                    if isinstance(module := getattr(one, name, None), torch.nn.Module):
                        module.to("cpu")
            for module in (self.ctrlora, getattr(self.prompter, "text", None)):
                if module is not None:
                    module.to("cpu")

    def _install(self) -> None:
        """The adapters that are loaded, in the UNet's attention."""
        some = [one.adapter for one in (self.adapter, self.mimic) if one is not None]
        if len(some) == 1:
            some[0].install(self.unet)  # type: ignore[attr-defined]
        elif some:
            install_stack(self.unet, some)  # type: ignore[attr-defined]

    def load_ctrlora(
        self, base: str | os.PathLike[str] | None = None, conditions: Mapping[str, str | os.PathLike[str]] | None = None
    ) -> None:
        """CtrLoRA's base and {name: file} of conditions; further calls without a base add conditions to it. Raises
        WeightsError; UsageError for SDXL, which it was not made for."""
        from controls.ctrlora.network import ControlNetwork
        from controls.ctrlora.weights import Condition

        if self.family != "Stable Diffusion 1.5":
            raise UsageError(f"CtrLoRA is for Stable Diffusion 1.5; this pipeline is {self.family}")
        if self.ctrlora is None or base is not None:
            self.ctrlora = ControlNetwork.from_pretrained(None if base is None else Path(base))
        for name, file in (conditions or {}).items():
            self.ctrlora.add(name, Condition.open(Path(file)), what=str(file))

    def load_lora_weights(self, source: Any, adapter_name: str | None = None, **options: Any) -> None:
        """A LoRA's file, folder or arrays, as diffusers takes them; `set_adapters` weighs and stacks, `fuse_lora`
        merges. Raises WeightsError for one of another family, before anything is changed."""
        checks.check_lora(source, self.unet, options)  # type: ignore[attr-defined]
        with self._plain():
            super().load_lora_weights(source, adapter_name=adapter_name, **options)  # type: ignore[misc]

    @contextmanager
    def _plain(self) -> Iterator[None]:
        """The UNet without its identity adapter."""
        if self._before is not None:
            self.unet.set_attn_processor(dict(self._before))  # type: ignore[attr-defined]
        try:
            yield
        finally:
            self._install()

    def _run(self, base: Callable[..., Any], arguments: dict[str, Any], extras: dict[str, Any]) -> Any:
        """One call: check, then diffusers' own loop with what is asked for added at each call of the UNet."""
        check_length(self, arguments.get("prompt"))
        check_length(self, arguments.get("prompt_2"), "prompt_2")
        if all(_same(extras[name], default) for name, default in EXTRAS.items()):
            return base(self, **arguments)
        embeds = self._embeddings(extras["identity"], extras["identity_embeds"])
        looks = None if extras["identity"] is None else looks_of(self, extras["identity"])
        rest = {k: v for k, v in extras.items() if k not in ("identity", "identity_embeds")}
        wishes = Wishes(**rest, embeds=embeds, looks=looks)
        checks.check_call(self, arguments, wishes)
        if self.prompter is not None and embeds is not None:
            arguments |= self._face_prompt(embeds, arguments)
        arguments |= checks.size_of(self, arguments, wishes)
        with Steering(self, wishes, arguments).on(self.unet):  # type: ignore[attr-defined]
            return base(self, **arguments)

    def _embeddings(self, identity: Any, embeds: Any) -> np.ndarray | None:
        """(P, width) of a person or of rows that were given; None without any."""
        if identity is not None and embeds is not None:
            raise UsageError("two identities: identity and identity_embeds; give one")
        if embeds is not None:
            rows = embeds.detach().float().cpu().numpy() if isinstance(embeds, torch.Tensor) else embeds
            return np.atleast_2d(np.asarray(rows, np.float32))
        if identity is None:
            return None
        if self.adapter is None and self.prompter is None:
            raise UsageError("an identity, but no adapter that knows faces: pipe.load_identity(FILE) first")
        return identity_rows(identity, self.embedder, self.adapter if self.prompter is None else self.prompter)

    def _face_prompt(self, embeds: np.ndarray, arguments: dict[str, Any]) -> dict[str, Any]:
        """`prompt_embeds` of faces by Arc2Face."""
        device, dtype = self._execution_device, self.unet.dtype  # type: ignore[attr-defined]
        self.prompter.text.to(device)
        made = self.prompter.prompts(embeds).to(device, dtype)
        nothing = self.prompter.nothing(len(made)).to(device, dtype)
        return {"prompt": None, "negative_prompt": None, "prompt_embeds": made, "negative_prompt_embeds": nothing}


def _calling(base: Callable[..., Any]) -> Callable[..., Any]:
    """`__call__` of a pipeline: diffusers' with `EXTRAS`."""
    theirs = inspect.signature(base)
    names = [p for p in theirs.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    rest = [p for p in theirs.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    added = [inspect.Parameter(k, inspect.Parameter.KEYWORD_ONLY, default=v) for k, v in EXTRAS.items()]

    @wraps(base)
    @torch.no_grad()
    def call(self: Portraits, *args: Any, **kwargs: Any) -> Any:
        extras = {name: kwargs.pop(name, default) for name, default in EXTRAS.items()}
        bound = theirs.bind(self, *args, **kwargs).arguments
        more = bound.get("kwargs", {})
        if unknown := set(more) - {"callback", "callback_steps"}:
            raise TypeError(f"{type(self).__name__} takes no argument {', '.join(sorted(unknown))}")
        arguments = {k: v for k, v in bound.items() if k not in ("self", "kwargs")} | more
        networks = [n for name in ("unet", "vae", "controlnet") for n in _networks(getattr(self, name))]
        with through_studio(*networks):
            return self._run(base, arguments, extras)

    call.__doc__ = _DOC
    call.__signature__ = theirs.replace(parameters=[*names, *added, *rest])  # type: ignore[attr-defined]
    return call


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, float | int) and value == default)


def _networks(module: Any) -> Sequence[Any]:
    return [] if module is None else list(getattr(module, "nets", [module]))


@contextmanager
def through_studio(*networks: Any) -> Iterator[None]:
    """Within the block `studio.attention` computes attention where it is diffusers' plain one; adapters and what else
    was chosen stay. Afterwards the networks are as before."""
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    before = []
    for network in networks:
        now = getattr(network, "attn_processors", {})
        if any(type(p) in (AttnProcessor, AttnProcessor2_0) for p in now.values()):
            before.append((network, dict(now)))
            swap = {k: _STUDIO if type(p) in (AttnProcessor, AttnProcessor2_0) else p for k, p in now.items()}
            network.set_attn_processor(swap)
    try:
        yield
    finally:
        for network, processors in before:
            network.set_attn_processor(processors)


_STUDIO = StudioAttnProcessor()
