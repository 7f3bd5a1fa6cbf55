"""Whether what a miniature's picture was asked for is on it: control, identity, expression; by `judge`.

Persons, expressions and poses are drawn at random and are none of the training's. Every number is a correlation (r), or
a distance in pixels of 64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from controls.identity.guide import Guide
from controls.identity.stack import stacked
from demos.miniature import FOLDER, GUIDANCE
from demos.miniature.judge import Judge, correlations, landmark_error, seen
from demos.miniature.opening import CONDITION, CTRLORA, Opened
from demos.miniature.people import (
    AXES,
    EXPRESSION,
    expression_numbers,
    identity_embedding,
    levels,
    random_expression,
    random_moment,
    random_person,
)
from demos.miniature.pictures import Painter, Sight, landmark_picture
from studio.arkit import ARKIT, INDEX

PROMPT = "a portrait of a person"
IN_SIGHT = f"{PROMPT}, facing the camera, soft light"
"""For what is to be measured in the face: half of one that is turned or lit from a side is not seen."""

STEPS = 20
NEW = 1000
"""The first seed of what is measured on; trainings and held-out pictures have 1 and 2."""


@dataclass(frozen=True)
class Control:
    """Mean distance of generated landmarks from the condition's, pixels: with control, and without it."""

    controlled: float
    free: float

    @property
    def fall(self) -> float:
        """The share 0..1 of the error that control takes away."""
        return 1 - self.controlled / self.free


def heads(count: int, seed: int = NEW) -> tuple[list[Sight], np.ndarray, np.ndarray]:
    """Pictures of new persons with all that is known of them: sights, persons (count, 12), weights (count, 52)."""
    pick = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        person, moment = random_person(pick), random_moment(pick)
        rows.append((Painter(person).draw(moment), person, moment.weights))
    sights, persons, weights = zip(*rows, strict=True)
    return list(sights), np.stack(persons), np.stack(weights)


def generate(
    opened: Opened,
    prompts: Sequence[str],
    *,
    identity: np.ndarray | None = None,
    expression: np.ndarray | None = None,
    control: np.ndarray | None = None,
    strength: float = 1.0,
    guidance: float = GUIDANCE,
    seed: int = 7,
) -> np.ndarray:
    """(N, 64, 64, 3) uint8 of N prompts. identity (N, 512) embeddings of length 1; expression (N, 55) numbers; control
    (N, 64, 64, 3) uint8 pictures for the ControlNet."""
    pipe, made = opened.pipe, []
    black = np.zeros((len(prompts), 64, 64, 3), np.uint8)
    for k in range(0, len(prompts), 16):
        rows = slice(k, k + 16)
        count = len(prompts[rows])
        silent = Guide(torch.zeros(2 * count, 1, pipe.unet.config.cross_attention_dim), 0.0)
        face = silent if identity is None else opened.identity.guide(identity[rows])
        mimic = silent if expression is None else opened.expression.guide(torch.from_numpy(expression[rows]))
        shown = (black if control is None else control)[rows]
        made.append(
            pipe(
                list(prompts[rows]),
                image=torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255,
                controlnet_conditioning_scale=0.0 if control is None else strength,
                num_inference_steps=STEPS,
                guidance_scale=guidance,
                cross_attention_kwargs=stacked(face, mimic).kwargs(),
                generator=torch.Generator().manual_seed(seed + k),
                output_type="np",
            ).images
        )
    return (np.concatenate(made) * 255).round().astype(np.uint8)


def control_followed(opened: Opened, judge: Judge, count: int = 48, seed: int = NEW) -> Control:
    """The same prompts and noise with control by normals and without."""
    sights, _, _ = heads(count, seed)
    wanted = np.stack([sight.points for sight in sights])
    shown = np.stack([sight.normals for sight in sights])
    errors = [
        float(landmark_error(seen(judge, generate(opened, [PROMPT] * count, control=c)).points, wanted).mean())
        for c in (shown, None)
    ]
    return Control(*errors)


def conditions_followed(judge: Judge, count: int = 32, seed: int = NEW, folder: Path = FOLDER) -> dict[str, Control]:
    """Of each CtrLoRA condition: the same prompts and noise with it, by `PortraitPipeline`, and without it."""
    from demos.miniature.ctrlora import CONDITIONS
    from pipelines.diffusion import PortraitPipeline

    sights, _, _ = heads(count, seed)
    wanted = np.stack([sight.points for sight in sights])
    shown = {"normals": [s.normals for s in sights], "landmarks": [landmark_picture(s.points) for s in sights]}
    pipe = PortraitPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_ctrlora(folder / CTRLORA, {name: folder / CONDITION.format(name) for name in CONDITIONS})

    def error(conditions: list[dict | None]) -> float:
        call = dict(num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="np")
        made = [
            pipe(PROMPT, conditions=one, generator=torch.Generator().manual_seed(seed + k), **call).images[0]
            for k, one in enumerate(conditions)
        ]
        pictures = (np.stack(made) * 255).round().astype(np.uint8)
        return float(landmark_error(seen(judge, pictures).points, wanted).mean())

    free = error([None] * count)
    return {name: Control(error([{name: x} for x in shown[name]]), free) for name in CONDITIONS}


def identity_followed(
    opened: Opened, judge: Judge, count: int = 48, views: int = 4, seed: int = NEW, *, shown: bool = False
) -> np.ndarray:
    """(12,) r of the numbers asked for with those measured, the mean over so many pictures of each person.

    shown  with the ControlNet too, which sees the person's own head, as it does in `generate --identity PHOTO`; else by
           the identity adapter alone.
    """
    pick = np.random.default_rng(seed)
    persons = np.stack([random_person(pick) for _ in range(count)])
    embedding = np.repeat(identity_embedding(persons), views, 0)
    prompts = [f"{IN_SIGHT}, neutral expression"] * len(embedding)
    normals = np.repeat(normals_of(persons, np.zeros((count, len(ARKIT)), np.float32)), views, 0) if shown else None
    told = seen(judge, generate(opened, prompts, identity=embedding, control=normals)).person
    return correlations(told.reshape(count, views, -1).mean(1), persons)


def expression_carried(
    opened: Opened, judge: Judge, count: int = 96, seed: int = NEW, *, shown: bool = False
) -> np.ndarray:
    """(9,) r of the expression on reference pictures of one person with the one measured on pictures of another.

    The way of `generate --identity A --expression B`: the reference, in any pose and light, is seen by the judge, and
    what it saw goes through the expression adapter while the identity adapter has someone else.

    shown  with the ControlNet too, which sees that other person's head with this expression, as in `generate`; else by
           the adapters alone.
    """
    sights, _, weights = heads(count, seed)
    pick = np.random.default_rng(seed + 1)
    others = np.stack([random_person(pick) for _ in range(count)])
    read = weights_of(seen(judge, np.stack([sight.picture for sight in sights])).expression)
    made = generate(
        opened,
        [IN_SIGHT] * count,
        identity=identity_embedding(others),
        expression=expression_numbers(read),
        control=normals_of(others, read) if shown else None,
    )
    return correlations(seen(judge, made).expression, levels(weights))


def normals_of(persons: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, 64, 64, 3) uint8 for the ControlNet: persons (N, 12) with ARKit weights (N, 52), facing the camera."""
    painters = map(Painter, persons)
    return np.stack([one.normals(one.rig.vertices(w, np.zeros(6, np.float32))) for one, w in zip(painters, weights)])


def weights_of(expression: np.ndarray) -> np.ndarray:
    """(N, 52) ARKit weights of levels (N, 9), each shape of an entry alike."""
    weights = np.zeros((*expression.shape[:-1], len(ARKIT)), np.float32)
    for k, shapes in enumerate(EXPRESSION.values()):
        weights[..., [INDEX[s] for s in shapes]] = np.clip(expression[..., k], 0, 1)[..., None]
    return weights


SHAPE_AXES = slice(0, len(AXES))
"""Of a person's numbers, those of shape; the rest are colours."""

__all__ = [
    "Control",
    "conditions_followed",
    "control_followed",
    "expression_carried",
    "generate",
    "heads",
    "identity_followed",
    "normals_of",
    "random_expression",
    "weights_of",
]
