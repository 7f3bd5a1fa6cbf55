"""The miniature: a Stable-Diffusion-shaped model of a few million parameters, trained on renders of our own heads.

It is small enough to train and to run on a CPU, and its world is known: who, which expression, which pose and which
light every picture shows. So what a pipeline does can be measured. `demos.train_miniature` makes it.
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "miniature"
"""Where its weights lie: a folder of diffusers' `StableDiffusionPipeline`, with adapters beside it."""

GUIDANCE = 3.0
"""More of it burns the pictures out where words, adapters and ControlNet ask for the same."""

SIDE = 64
"""Pixels of its pictures, either side."""
