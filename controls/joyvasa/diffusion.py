"""Ancestral sampling (Ho et al. 2020) of a network that predicts clean motion, with guidance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

STEPS = 50


@dataclass(frozen=True)
class Schedule:
    """Row t of each (STEPS + 1,) float64 array belongs to step t; row 0 is the clean end."""

    betas: np.ndarray
    alphas: np.ndarray
    alpha_bars: np.ndarray
    flexible: np.ndarray
    inflexible: np.ndarray

    def sigma(self, step: int, flexibility: float) -> float:
        """Standard deviation of the noise added at a step."""
        return float(flexibility * self.flexible[step] + (1 - flexibility) * self.inflexible[step])


@cache
def cosine_schedule(steps: int = STEPS) -> Schedule:
    """Cosine schedule (Nichol, Dhariwal 2021, equation 17), betas kept in 1e-4..0.999."""
    level = np.cos(((np.arange(steps + 1) / steps) + 0.008) / 1.008 * np.pi / 2) ** 2
    betas = np.concatenate([[0.0], np.clip(1 - level[1:] / level[:-1], 1e-4, 0.999)])
    alphas = 1 - betas
    bars = np.cumprod(alphas)
    inflexible = np.zeros(steps + 1)
    inflexible[1:] = np.sqrt((1 - bars[:-1]) / (1 - bars[1:]) * betas[1:])
    return Schedule(betas, alphas, bars, np.sqrt(betas), inflexible)


def denoise(
    predict: Callable[[Tensor, int], Tensor],
    start: Tensor,
    noise: Callable[[int], Tensor],
    *,
    flexibility: float = 0.0,
    steps: int = STEPS,
) -> Iterator[tuple[int, Tensor]]:
    """(t, x_t) from t = steps - 1 down to 0, the clean motion.

    predict(x, t) gives the clean motion that x (like `start`) seems to come from; noise(t) is drawn for t > 1.
    """
    schedule = cosine_schedule(steps)
    bars, alphas = schedule.alpha_bars, schedule.alphas
    x = start
    for t in range(steps, 0, -1):
        keep = (1 - bars[t - 1]) * np.sqrt(alphas[t]) / (1 - bars[t])
        take = (1 - alphas[t]) * np.sqrt(bars[t - 1]) / (1 - bars[t])
        x = float(keep) * x + float(take) * predict(x, t)
        if t > 1:
            x = x + schedule.sigma(t, flexibility) * noise(t)
        yield t - 1, x


def guided(with_speech: Tensor, without: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance (Ho, Salimans 2021): 1 is the prediction with speech, more exaggerates it."""
    return torch.lerp(without, with_speech, scale)
