"""The miniature's language: captions of pictures, and a tokeniser whose words are the captions'."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from demos.miniature.album import Album
from demos.miniature.people import EXPRESSION, IDENTITY, levels
from demos.miniature.pictures import LIGHTS

LENGTH = 48
"""Tokens of a prompt, start and end among them."""

_EXPRESSIONS = {
    "mouth_open": ("mouth slightly open", "mouth wide open"),
    "smile": ("smiling", "smiling broadly"),
    "frown": ("frowning", "frowning deeply"),
    "pucker": ("lips puckered", "lips puckered"),
    "eyes_closed": ("eyes half closed", "eyes closed"),
    "brows_up": ("brows raised", "brows raised high"),
    "brows_down": ("brows lowered", "brows lowered"),
    "mouth_left": ("mouth pulled right", "mouth pulled right"),
    "mouth_right": ("mouth pulled left", "mouth pulled left"),
}
"""Words for an expression, for half of it and for all of it; sides are the picture's."""

_SHADES = {"skin": ("pale skin", "light skin", "tanned skin", "brown skin", "dark skin"),
           "hair": ("black hair", "dark hair", "brown hair", "light hair", "blond hair")}  # fmt: skip
_LIGHTS = {"soft": "soft light", **{name: f"light from {name}" for name in ("above", "below")}}
_LIGHTS |= {side: f"light from the {side}" for side in ("left", "right")}


def facts(album: Album, k: int) -> dict[str, str]:
    """What there is to say about picture `k`, by kind: "expression", "pose", "light", "skin", "hair", "behind"."""
    said = [
        _EXPRESSIONS[name][int(level > 0.65)]
        for name, level in zip(EXPRESSION, levels(album.weights[k]), strict=True)
        if level > 0.2
    ]
    yaw, pitch, roll = album.head[k, :3]
    pose = [] if abs(yaw) > 0.12 else ["facing the camera"]
    if abs(yaw) > 0.12:
        far = " far" if abs(yaw) > 0.4 else ""
        pose.append(f"turned{far} {'right' if yaw > 0 else 'left'}")
    if abs(pitch) > 0.13:
        pose.append(f"looking {'up' if (pitch > 0) == PITCH_UP else 'down'}")
    if abs(roll) > 0.10:
        pose.append("head tilted")
    shade = {name: _SHADES[name][_fifth(album.person[k, IDENTITY.index(name)])] for name in _SHADES}
    return {
        "expression": ", ".join(said) or "neutral expression",
        "pose": ", ".join(pose),
        "light": _LIGHTS[list(LIGHTS)[album.light[k]]],
        **shade,
        "behind": f"{album.behind[k]} background",
    }


PITCH_UP = False
"""The sign of a head's pitch that looks up, as `studio.motion` has it."""


def _fifth(value: float) -> int:
    return int(np.clip((value + 1) / 2 * 5, 0, 4))


def caption(album: Album, k: int, pick: np.random.Generator | None = None) -> str:
    """A caption of picture `k`; with `pick` in random order and with gaps, as people's prompts are."""
    told = facts(album, k)
    parts = list(told.values())
    if pick is not None:
        shares = {"expression": 0.5, "pose": 0.9, "light": 0.85}
        parts = [text for kind, text in told.items() if pick.random() < shares.get(kind, 0.7)]
        parts = [parts[i] for i in pick.permutation(len(parts))]
    opening = "a portrait of a person" if pick is None or pick.random() < 0.7 else "portrait"
    return ", ".join([opening, *parts])


def vocabulary() -> list[str]:
    """Every word of every caption, sorted, and some that mean nothing special here but that prompts have."""
    texts = [text for pair in _EXPRESSIONS.values() for text in pair]
    texts += [text for shades in _SHADES.values() for text in shades] + list(_LIGHTS.values())
    texts += ["neutral expression", "facing the camera turned far left right looking up down head tilted"]
    texts += ["a portrait of a person , photo face head woman man with and in the on background"]
    texts += ["grey white black blue green red yellow"]
    return sorted({word for text in texts for word in text.split()})


def byte_pairs(words: list[str]) -> list[tuple[str, str]]:
    """What is merged with what, in order, until each word is one piece (Sennrich et al. 2016): the pair that is there
    most often, of equals the first by the alphabet."""
    pieces, merges = [[*word[:-1], word[-1] + "</w>"] for word in words], []
    while pairs := Counter(pair for word in pieces for pair in pairwise(word)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word in pieces:
            k = 0
            while k < len(word) - 1:
                if (word[k], word[k + 1]) == best:
                    word[k : k + 2] = ["".join(best)]
                k += 1
    return merges


def new_tokenizer(folder: Path) -> Any:
    """transformers' `CLIPTokenizer`: byte pairs that are merged until each word of `vocabulary` is one token, the same
    each time. Words that it doesn't know become letters, which the miniature passes over.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    start, end = "<|startoftext|>", "<|endoftext|>"
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = byte_pairs(vocabulary())
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in merges), start, end]
    numbers = {token: n for n, token in enumerate(dict.fromkeys(tokens))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(numbers, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LENGTH, pad_token=end, unk_token=end
    )
