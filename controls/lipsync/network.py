"""The lip-sync network at run time: causal convolutions in NumPy, any chunk size, constant memory.

Trained by `demos/train_speech.py`; what it learnt from and how well it does is in its model card,
`controls/data/lipsync.md`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np

from controls.lipsync.mel import FEATURES
from controls.lipsync.phones import NAMES
from studio.errors import WeightsError

WIDTH = 136
STEM = 5
KERNEL = 3
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)
HIDDEN = 48
LIPS = ("openness", "rounding", "spread")
DELAYS = {"full": 7, "quick": 3}
"""Frames of 10 ms by which each pair of heads answers late: its look-ahead."""


def load_weights(path: str | Path | None = None) -> dict[str, np.ndarray]:
    """The network's tensors from a safetensors file; by default the one that ships with the package.

    Raises WeightsError where the file is another model's.
    """
    from safetensors.numpy import load

    source = files("controls").joinpath("data/lipsync.safetensors") if path is None else Path(path)
    weights = {name: tensor.astype(np.float32) for name, tensor in load(source.read_bytes()).items()}
    wanted = {"stem.weight": (STEM * FEATURES, WIDTH)}
    for head in DELAYS:
        wanted |= {f"{head}.phones.weight": (WIDTH, len(NAMES)), f"{head}.lips.weight": (HIDDEN, len(LIPS))}
    for name, shape in wanted.items():
        if name not in weights or weights[name].shape != shape:
            found = weights[name].shape if name in weights else "missing"
            raise WeightsError(f"{source}: not a lip-sync network of this version: {name} is {found}, expected {shape}")
    return weights


class LipNetwork:
    """One stream through the network. `feed` takes features as they come and keeps the state between calls.

    head  which of `DELAYS` answers.
    """

    def __init__(self, weights: dict[str, np.ndarray] | None = None, head: str = "full") -> None:
        self.weights = load_weights() if weights is None else weights
        self.head, self.delay = head, DELAYS[head]
        self._past = [np.zeros((STEM - 1, FEATURES), np.float32)]
        self._past += [np.zeros(((KERNEL - 1) * d, WIDTH), np.float32) for d in DILATIONS]

    def feed(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, FEATURES) -> phone log-probabilities (n, phones) and (n, 3) `LIPS` in 0..1.

        Row k answers for the frame `delay` before the k-th one fed.
        """
        w = self.weights
        x = self._convolve(0, features, "stem", 1, STEM)
        for i, dilation in enumerate(DILATIONS):
            y = self._convolve(i + 1, x, f"{i}.conv", dilation, KERNEL)
            x = x + (y @ w[f"{i}.mix.weight"] + w[f"{i}.mix.bias"])
        x = np.maximum(x * w["out.scale"] + w["out.bias"], 0)
        logits = x @ w[f"{self.head}.phones.weight"] + w[f"{self.head}.phones.bias"]
        hidden = np.maximum(x @ w[f"{self.head}.hidden.weight"] + w[f"{self.head}.hidden.bias"], 0)
        shape = hidden @ w[f"{self.head}.lips.weight"] + w[f"{self.head}.lips.bias"]
        logits = logits - logits.max(1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.clip(shape, 0, 1)

    def _convolve(self, layer: int, x: np.ndarray, name: str, dilation: int, taps: int) -> np.ndarray:
        past = (taps - 1) * dilation
        padded = np.concatenate([self._past[layer], x])
        self._past[layer] = padded[len(padded) - past :]
        n = len(x)
        side_by_side = np.concatenate([padded[k * dilation : k * dilation + n] for k in range(taps)], 1)
        return np.maximum(side_by_side @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"], 0)
