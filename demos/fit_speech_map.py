"""Fits `controls/data/speech_map.npz`, the map from hearing to articulation, on synthesised speech.

    python -m demos.fit_speech_map [--minutes 60] [--out controls/data/speech_map.npz]

Flite and espeak-ng (`apt-get install flite espeak-ng`) speak the sentences below and say when each phone
begins. No two clips are alike: played faster or slower (another size of head), at another level, through
another microphone, in noise. Noise, hum, tones, clicks and chords without speech are added as
silence. A network of one hidden layer is fitted by Adam in NumPy; all of it takes two or three minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from controls.speech_features import HZ, RATE, features
from controls.speech_hearing import Hearing
from controls.speech_lips import AHEAD, BEHIND, CURVES, surroundings
from demos.synthesisers import Espeak, Spoken, flite

TARGETS = CURVES[:7]
HIDDEN = 40

PHONES: dict[str, tuple[float, float, float]] = {  # lips' opening, rounding, spreading; clear speech = 'aa' .9
    "pau": (0, 0, 0),
    "p": (0, 0, 0),
    "b": (0, 0, 0),
    "m": (0, 0, 0),
    "f": (0.12, 0, 0),
    "v": (0.12, 0, 0),
    "th": (0.2, 0, 0.2),
    "dh": (0.2, 0, 0.2),
    "t": (0.2, 0, 0.3),
    "d": (0.2, 0, 0.3),
    "n": (0.25, 0, 0.2),
    "l": (0.3, 0, 0.1),
    "s": (0.12, 0, 0.6),
    "z": (0.12, 0, 0.6),
    "sh": (0.18, 0.5, 0),
    "zh": (0.18, 0.5, 0),
    "ch": (0.18, 0.45, 0),
    "jh": (0.18, 0.45, 0),
    "k": (0.25, 0, 0.1),
    "g": (0.25, 0, 0.1),
    "ng": (0.25, 0, 0.1),
    "r": (0.32, 0.4, 0),
    "y": (0.3, 0, 0.7),
    "w": (0.28, 1, 0),
    "hh": (0.45, 0, 0),
    "iy": (0.35, 0, 1),
    "ih": (0.42, 0, 0.6),
    "ey": (0.55, 0, 0.7),
    "eh": (0.65, 0, 0.5),
    "ae": (0.8, 0, 0.5),
    "aa": (0.9, 0, 0),
    "ah": (0.72, 0, 0.1),
    "ax": (0.5, 0, 0.1),
    "er": (0.42, 0.3, 0),
    "ao": (0.7, 0.7, 0),
    "ow": (0.58, 0.8, 0),
    "uh": (0.4, 0.8, 0),
    "uw": (0.32, 1, 0),
    "ue": (0.34, 0.8, 0.1),
    "oe": (0.5, 0.8, 0),
    "ay": (0.85, 0, 0.2),
    "aw": (0.85, 0.2, 0),
    "oy": (0.65, 0.7, 0),
}
GLIDES = {"ay": "ih", "aw": "uh", "oy": "ih", "ow": "uh", "ey": "ih"}
"""Diphthongs end in another vowel; it takes their last 40 %."""

CLOSED, LABIODENTAL, SIBILANT = ("p", "b", "m"), ("f", "v"), ("s", "z", "sh", "zh", "ch", "jh")

SENTENCES = """
Peter Piper picked a peck of pickled peppers. Bob and Pam bought a big blue bumper boat.
My mum made me a map of Miami. Pay the bill, baby, before it becomes a problem.
Five very fine foxes favour fresh veal. We saw a whale with a wide white tail.
She sells sea shells by the sea shore. Three thin thieves thought a thousand thoughts.
You knew the new blue moon. Oh no, go home, Joe. Maybe the amber lamp is above the box.
People imply that simple problems remain impossible. A tiny baby bumped my pumpkin.
Put the empty cup upon the pub table. The chef should judge each cherry.
Why would one wear wool in warm weather? Few views of the valley have ever felt so vivid.
The morning sun rose slowly over the quiet hills. Could you please open the window and let some air in?
He told me that everything would be fine by the end of the week. Good food and warm clothes are what we wish for.
We have been waiting for this moment since early February. Nobody knows what happened to the old house.
When the rain stopped, children ran outside to play in the garden. I would like a cup of coffee and two eggs.
The train to London leaves at half past eight every evening. Her father gave her a beautiful watch.
Please remember to switch off the lamp before you leave. A computer can do many things, but not feel the wind.
My brother plays football with his friends after school. Yes, of course. That is a very good question.
They moved the heavy table from the kitchen to the living room. Look at the blue boat over there.
Music has always been an important part of their family life. The teacher asked the class about the holidays.
Above all, be honest with yourself and with other people. Thank you so much, and see you again tomorrow.
"""
FOREIGN = {
    "de": "Guten Morgen, wir möchten heute über Blumen und Bäume sprechen. Mein Vater wohnt in einem schönen Haus.",
    "fr": "Bonjour, je voudrais un petit pain et beaucoup de pommes. Nous partons demain pour une belle promenade.",
    "es": "Buenos días, la familia vive en un pueblo pequeño. Mañana vamos a comprar pan, queso y manzanas.",
    "it": "La mamma prepara la pasta con il pomodoro. Domani andiamo al mare con gli amici di Paolo.",
    "ru": "Мама мыла раму, папа пил воду. Завтра утром мы поедем в большой новый город.",
}
FLITE = ("awb", "rms", "slt", "kal16", "awb", "slt")  # those named twice are nearer to people
ESPEAK = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7")


def targets(ends: list[tuple[float, str]], frames: int) -> np.ndarray:
    """(frames, 7) `TARGETS` at the middle of every 10 ms; lips and jaw glide over 100 ms."""
    times = (np.arange(frames) + 0.5) / HZ
    phones, start = [], 0.0
    for end, phone in ends:
        middle = start + 0.6 * (end - start)
        phones += [(middle, phone), (end, GLIDES[phone])] if phone in GLIDES else [(end, phone)]
        start = end
    which = np.minimum(np.searchsorted([end for end, _ in phones], times, side="right"), len(phones) - 1)
    spoken = [phones[i][1] for i in which]
    glide = np.hanning(12)[1:-1] / np.hanning(12)[1:-1].sum()
    shapes = np.array([PHONES[phone] for phone in spoken], np.float64)
    shapes = np.stack([np.convolve(np.pad(c, 10, mode="edge"), glide, "same")[10:-10] for c in shapes.T], 1)
    kinds = [[phone in kind for phone in spoken] for kind in (CLOSED, ("pau",), LABIODENTAL, SIBILANT)]
    return np.concatenate([shapes, np.array(kinds, np.float64).T], 1).astype(np.float32)


def varied(
    samples: np.ndarray, rate: int, ends: list[tuple[float, str]], draw: np.random.Generator
) -> tuple[np.ndarray, list[tuple[float, str]]]:
    """The clip at 16 kHz as another voice in another room would have it, with pauses around it."""
    from scipy.signal import lfilter, resample_poly

    warp = draw.uniform(0.86, 1.16)
    down = round(rate * warp / 100)
    sound = resample_poly(samples, RATE // 100, down)
    shift = draw.integers(0, RATE // 2)
    sound = np.concatenate([np.zeros(shift), sound, np.zeros(draw.integers(0, RATE // 2))])
    slower = rate / (down * 100)
    ends = [(shift / RATE, "pau")] + [(shift / RATE + end * slower, phone) for end, phone in ends]
    ends.append((len(sound) / RATE, "pau"))
    sound = lfilter([1, draw.uniform(-0.5, 0.5)], [1], sound)
    if draw.random() < 0.6:
        noise = lfilter([1], [1, -draw.uniform(0, 0.97)], draw.normal(size=len(sound)))
        sound = sound + noise / noise.std() * sound.std() * 10 ** (-draw.uniform(8, 40) / 20)
    return (sound / np.abs(sound).max() * 10 ** (draw.uniform(-18, -0.5) / 20)).astype(np.float32), ends


def unspoken(draw: np.random.Generator, seconds: float = 6.0) -> np.ndarray:
    """Sound that no mouth should follow: noise, tones, chords, clicks or hum."""
    from scipy.signal import lfilter

    time = np.arange(int(seconds * RATE)) / RATE
    hiss = draw.normal(size=len(time))
    kind = draw.integers(5)
    if kind == 0:
        sound = lfilter([1], [1, -draw.uniform(0, 0.98)], hiss)
    elif kind == 1:
        sound = sum(np.sin(2 * np.pi * draw.uniform(80, 2000) * time) for _ in range(draw.integers(1, 4)))
    elif kind == 2:
        sound = np.zeros(len(time))
        beat = int(RATE * draw.uniform(0.15, 0.6))
        for start in range(0, len(time) - beat, beat):
            for note in draw.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], 3):
                pitch = draw.choice([110, 130, 220, 261]) * 2 ** (note / 12)
                t = time[: min(3 * beat, len(time) - start)]
                tone = sum(np.sin(2 * np.pi * pitch * k * t) / k ** draw.uniform(0.8, 2) for k in range(1, 5))
                sound[start : start + len(t)] += np.exp(-t * draw.uniform(1.5, 6)) * tone
    elif kind == 3:
        sound = np.zeros(len(time))
        sound[draw.integers(0, len(time), 30)] = draw.normal(size=30)
        sound = lfilter([1], [1, -0.9], sound) + 1e-4 * hiss
    else:
        sound = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 12)) + 0.1 * hiss
    return (sound / np.abs(sound).max() * 10 ** (draw.uniform(-30, -3) / 20)).astype(np.float32)


def heard(sound: np.ndarray) -> np.ndarray:
    hearing = Hearing()
    return np.concatenate([hearing(chunk) for chunk in features([sound])])


def spoken(espeak: Espeak, draw: np.random.Generator) -> Spoken:
    """One or two sentences by a voice of either synthesiser."""
    texts = [text.strip() for text in SENTENCES.replace("?", ".").replace("\n", " ").split(".") if text.strip()]
    text = ". ".join(draw.choice(texts, draw.integers(1, 3), replace=False))
    speed = float(draw.uniform(0.8, 1.25))
    if draw.random() < 0.6:
        return flite(text, str(draw.choice(FLITE)), speed)
    language = "en-us"
    if draw.random() < 0.35:
        language = str(draw.choice(list(FOREIGN)))
        text = FOREIGN[language]
    return espeak.speak(text, f"{language}+{draw.choice(ESPEAK)}", speed, float(draw.uniform(0.7, 1.4)))


def examples(minutes: float, draw: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(surroundings, targets) clip by clip until the minutes are full."""
    espeak = Espeak()
    left = minutes * 60
    while left > 0:
        if draw.random() < 0.07:
            sound = unspoken(draw)
            ends = [(len(sound) / RATE, "pau")]
        else:
            sound, ends = varied(*spoken(espeak, draw), draw)
        rows = heard(sound)
        left -= len(rows) / HZ
        padded = np.concatenate([np.repeat(rows[:1], BEHIND, 0), rows, np.repeat(rows[-1:], AHEAD, 0)])
        yield surroundings(padded), targets(ends, len(rows))


def fit(x: np.ndarray, y: np.ndarray, draw: np.random.Generator, epochs: int = 12) -> dict[str, np.ndarray]:
    """One hidden layer of rectifiers, logistic outputs, cross-entropy; AdamW with a cosine schedule."""
    mean, scale = x.mean(0), x.std(0) + 1e-3
    x = (x - mean) / scale
    inputs, outputs, batch = x.shape[1], y.shape[1], 256
    parts = [draw.normal(0, inputs**-0.5, (inputs, HIDDEN)), np.zeros(HIDDEN)]
    parts += [draw.normal(0, HIDDEN**-0.5, (HIDDEN, outputs)), np.log(y.mean(0) / (1 - y.mean(0)))]
    parts = [part.astype(np.float32) for part in parts]
    first, second = ([np.zeros_like(part) for part in parts] for _ in range(2))
    weight = np.where(np.arange(outputs) < 2, 2, 1).astype(np.float32) / batch
    total, step = epochs * (len(x) // batch), 0
    for _ in range(epochs):
        order = draw.permutation(len(x))
        for at in range(0, len(x) - batch + 1, batch):
            rows = order[at : at + batch]
            a, a0, b, b0 = parts
            hidden = np.maximum(x[rows] @ a + a0, 0)
            error = (1 / (1 + np.exp(-(hidden @ b + b0))) - y[rows]) * weight
            back = (error @ b.T) * (hidden > 0)
            slopes = [x[rows].T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
            step += 1
            rate = 1e-3 * (1 + np.cos(np.pi * step / total))
            for i, slope in enumerate(slopes):
                first[i] += 0.1 * (slope - first[i])
                second[i] += 0.001 * (slope**2 - second[i])
                move = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8)
                parts[i] -= rate * (move + (1e-3 * parts[i] if parts[i].ndim == 2 else 0))
    a, a0, b, b0 = parts
    return {"mean": mean, "scale": scale, "a": a, "a0": a0, "b": b, "b0": b0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("controls/data/speech_map.npz"))
    options = parser.parse_args()
    draw = np.random.default_rng(options.seed)
    pairs = list(examples(options.minutes, draw))
    x, y = (np.concatenate(side) for side in zip(*pairs, strict=True))
    made = fit(x, y, draw)
    np.savez_compressed(options.out, **{name: value.astype(np.float16) for name, value in made.items()})
    print(f"{options.out}: {sum(value.size for value in made.values())} numbers from {len(x) / HZ / 60:.0f} minutes")


if __name__ == "__main__":
    main()
