"""The parts of the miniature, each trained in its turn and written into one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from demos.miniature.album import Album, album
from demos.miniature.autoencoder import encode, peak_signal_to_noise, train_autoencoder
from demos.miniature.control import train_controlnet
from demos.miniature.ctrlora import published, train_ctrlora
from demos.miniature.diffusion import Lessons, Miniature, train
from demos.miniature.judge import JUDGE, correlations, landmark_error, seen, targets, train_judge
from demos.miniature.opening import CONDITION, CONTROLNET, CTRLORA, EXPRESSION, IDENTITY
from demos.miniature.parts import new_scheduler
from demos.miniature.people import EXPRESSION as NAMES
from demos.miniature.people import IDENTITY as NUMBERS
from demos.miniature.training import Workers
from demos.miniature.words import new_tokenizer

LICENCE = {"licence": "Apache-2.0"}
HELD_OUT = {"people": 50, "each": 8, "seed": 2}
"""Pictures of persons that no training sees."""


def make(
    work: Path,
    output: Path,
    minutes: Mapping[str, float],
    *,
    people: int,
    each: int,
    seed: int,
    until: str | None,
    start: Path | None = None,
) -> None:
    """Trains part after part; what is done is kept in `work` and not done again.

    start  folder of a miniature whose parts the trainings go on from; only the judge begins anew.
    """
    of = (lambda name: start / name) if start else (lambda name: None)
    from transformers import CLIPTokenizer

    workers = Workers()
    say = print if workers.rank == 0 else (lambda *_: None)
    first = workers.rank == 0
    if first:
        work.mkdir(parents=True, exist_ok=True)
        album(work / "train.npz", people, each, seed, lambda k, n: k % 20 or say(f"{k} of {n} persons drawn"))
        album(work / "held.npz", **HELD_OUT)
    workers.wait()
    taught, held = Album.open(work / "train.npz"), Album.open(work / "held.npz")

    vae = train_autoencoder(taught, work / "vae.pt", minutes=minutes["autoencoder"], start=of("vae"), report=say)
    if first:
        say(f"autoencoder: {peak_signal_to_noise(vae, held.pictures):.1f} dB on persons it never saw")
        write(vae, output / "vae")
    if until == "autoencoder":
        return
    if first:
        judge = train_judge(taught, work / "judge.pt", minutes=minutes["judge"], report=say)
        say(json.dumps(errors_of(judge, held), indent=1))
        save(judge.state_dict(), output / JUDGE)
    if until == "judge":
        return
    words = start / "tokenizer" if start else work / f"tokenizer{workers.rank}"
    tokenizer = CLIPTokenizer.from_pretrained(words) if start else new_tokenizer(words)
    file = work / "latents.pt"
    if first and not file.exists():
        torch.save(encode(vae, taught.pictures) * vae.config.scaling_factor, file)
    workers.wait()
    lessons = Lessons.of(taught, torch.load(file, weights_only=True), tokenizer)
    net = train(lessons, tokenizer, work / "diffusion.pt", minutes=minutes["diffusion"], start=start, report=say)
    if first:
        write_pipeline(net, vae, tokenizer, output)
    if until == "diffusion":
        return
    control = train_controlnet(
        net, lessons, taught, work / "control.pt", minutes=minutes["control"], start=of(CONTROLNET), report=say
    )
    if first:
        write(control, output / CONTROLNET)
    if until == "control":
        return
    shared = train_ctrlora(
        net, vae, lessons, taught, work / "ctrlora.pt", minutes=minutes["ctrlora"], start=start, report=say
    )
    if first:
        base, conditions = published(shared)
        save(base, output / CTRLORA)
        for name, arrays in conditions.items():
            save(arrays, output / CONDITION.format(name))


def write_pipeline(net: Miniature, vae: Any, tokenizer: Any, output: Path) -> None:
    """The folder that `StableDiffusionPipeline.from_pretrained` opens, and both adapters."""
    from diffusers import StableDiffusionPipeline
    from diffusers.models.attention_processor import AttnProcessor2_0

    adapters = {
        IDENTITY: {"image_proj": net.face, "ip_adapter": net.face_layers},
        EXPRESSION: {"image_proj": net.mimic, "ip_adapter": net.mimic_layers},
    }
    for place, parts in adapters.items():
        save(
            {f"{part}.{k}": v for part, module in parts.items() for k, v in module.state_dict().items()}, output / place
        )
    net.unet.set_attn_processor(AttnProcessor2_0())
    pipe = StableDiffusionPipeline(
        vae, net.text, tokenizer, net.unet, new_scheduler(), None, None, requires_safety_checker=False
    )
    pipe.to(torch.float16).save_pretrained(output)
    pipe.to(torch.float32)
    net.install()


def write(model: Any, folder: Path) -> None:
    """A model of diffusers, float16."""
    model.half().save_pretrained(folder)
    model.float()


def save(arrays: Mapping[str, torch.Tensor], file: Path) -> None:
    """Named tensors as float16 safetensors, with the licence."""
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half().contiguous() for key, value in arrays.items()}, file, LICENCE)


def errors_of(judge: Any, held: Album) -> dict[str, Any]:
    """What the judge's own measurements are worth: pixels, and correlations with the truth."""
    told, true = seen(judge, held.pictures), targets(held)
    named = lambda names, values: dict(zip(names, values.round(3).tolist(), strict=True))
    return {
        "landmarks_pixels": round(float(landmark_error(told.points, true.points).mean()), 3),
        "person": named(NUMBERS, correlations(told.person, true.person)),
        "expression": named(NAMES, correlations(told.expression, true.expression)),
    }
