"""Further prompts within a call, for regions and concepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from studio.errors import UsageError


@dataclass(frozen=True)
class Text:
    """A prompt, encoded: embeds (1, N, D), and SDXL's pooled (1, E) or None."""

    embeds: Tensor
    pooled: Tensor | None = None

    def into(self, kwargs: dict[str, Any], count: int) -> dict[str, Any]:
        """A UNet's keyword arguments for `count` pictures of this prompt, from those for the whole batch, whose last
        `count` rows are the pictures' (SDXL's sizes come from there)."""
        out = kwargs | {"encoder_hidden_states": self.embeds.repeat(count, 1, 1)}
        if self.pooled is not None:
            added = {k: v[-count:] if isinstance(v, Tensor) else v for k, v in kwargs["added_cond_kwargs"].items()}
            out["added_cond_kwargs"] = added | {"text_embeds": self.pooled.repeat(count, 1)}
        return out


def encode(pipe: Any, prompt: str) -> Text:
    """A prompt by the pipeline's own encoders."""
    device = pipe._execution_device
    if getattr(pipe, "text_encoder_2", None) is None:
        made = pipe.encode_prompt(prompt, device, 1, False)
        return Text(made[0].to(pipe.unet.dtype))
    made = pipe.encode_prompt(prompt, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False)
    return Text(made[0].to(pipe.unet.dtype), made[2].to(pipe.unet.dtype))


def check_length(pipe: Any, prompts: Any, what: str = "the prompt") -> None:
    """Raises UsageError where a text encoder would not see all of a prompt, or of one of several, and says which words
    it wouldn't."""
    some = [prompts] if isinstance(prompts, str) else [p for p in prompts or () if isinstance(p, str)]
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = getattr(pipe, name, None)
        for prompt in some if tokenizer is not None else ():
            ids = tokenizer(pipe.maybe_convert_prompt(prompt, tokenizer)).input_ids
            longest = tokenizer.model_max_length
            if len(ids) > longest:
                lost = tokenizer.decode(ids[longest - 1 : -1]).strip()
                raise UsageError(
                    f"{what} is too long by {len(ids) - longest} tokens: the model sees {longest - 2} of them and "
                    f"would lose {lost!r}. Shorten it, or give prompt_embeds"
                )


def halves(kwargs: dict[str, Any], count: int) -> dict[str, Any]:
    """A UNet's keyword arguments for the last `count` rows of its batch."""

    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[-count:]
        if isinstance(value, list | tuple):
            return [cut(v) for v in value]
        return {k: cut(v) for k, v in value.items()} if isinstance(value, dict) else value

    keys = ("encoder_hidden_states", "added_cond_kwargs", "down_block_additional_residuals", "timestep_cond")
    keys = (*keys, "mid_block_additional_residual")
    return kwargs | {k: cut(kwargs[k]) for k in keys if kwargs.get(k) is not None}
