"""What rooms, microphones, codecs and neighbours do to speech, and sounds that are no speech at all."""

from __future__ import annotations

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from controls.lipsync.mel import HOP, RATE, WINDOW


def coloured_noise(count: int, pick: np.random.Generator, tilt: float) -> np.ndarray:
    """Noise whose power falls as frequency ** -tilt, unit r.m.s."""
    spectrum = np.fft.rfft(pick.normal(size=count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 8) ** (tilt / 2)
    noise = np.fft.irfft(spectrum, count)
    return (noise / (noise.std() + 1e-9)).astype(np.float32)


def music(count: int, pick: np.random.Generator) -> np.ndarray:
    """Chords of decaying harmonics with a beat, unit r.m.s."""
    out = np.zeros(count, np.float32)
    beat = int(RATE * pick.uniform(0.2, 0.6))
    for start in range(0, count, beat):
        length = min(count - start, int(beat * pick.uniform(0.8, 2.5)))
        time = np.arange(length) / RATE
        root = 55 * 2 ** (pick.integers(0, 36) / 12)
        for note in (0, pick.choice([3, 4]), 7)[: pick.integers(1, 4)]:
            pitch = root * 2 ** (note / 12)
            for harmonic in range(1, int(pick.integers(2, 8))):
                tone = np.sin(2 * np.pi * pitch * harmonic * time + pick.uniform(0, 6))
                out[start : start + length] += (tone * np.exp(-time * pick.uniform(1, 8)) / harmonic).astype(np.float32)
        if pick.random() < 0.5:
            hit = min(length, 1200)
            out[start : start + hit] += (pick.normal(size=hit) * np.exp(-np.arange(hit) / 250)).astype(np.float32)
    return out / (out.std() + 1e-9)


def no_speech(count: int, pick: np.random.Generator) -> np.ndarray:
    """Noise, hum, clicks, music, tones, or nothing."""
    kind = pick.integers(9)
    time = np.arange(count) / RATE
    if kind == 0:
        return np.zeros(count, np.float32)
    if kind == 1:
        out = coloured_noise(count, pick, pick.uniform(0, 2.2))
        if pick.random() < 0.5:  # gusts
            out = out * (0.3 + np.abs(np.sin(np.pi * pick.uniform(0.2, 3) * time + pick.uniform(0, 6)))).astype(
                np.float32
            )
    elif kind == 2:
        out = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 6)).astype(np.float32)
    elif kind == 3:
        out = np.zeros(count, np.float32)
        for at in pick.integers(0, max(1, count - 400), pick.integers(1, 30)):
            out[at : at + 400] += (
                pick.normal(size=min(400, count - at)) * np.exp(-np.arange(min(400, count - at)) / 60)
            ).astype(np.float32)
    elif kind in (4, 5):
        out = music(count, pick)
    elif kind in (6, 7):
        out = voiceless_and_voiced(count, pick)
    else:
        sweep = pick.uniform(150, 3000) * (1 + 0.3 * np.sin(2 * np.pi * pick.uniform(0.1, 2) * time))
        out = np.sin(2 * np.pi * np.cumsum(sweep) / RATE).astype(np.float32)
    return out * float(10 ** pick.uniform(-3, -0.5)) / (np.abs(out).max() + 1e-9)


def room(pick: np.random.Generator) -> np.ndarray:
    """An impulse response: direct sound, then exponentially decaying noise (0.1 to 0.7 s to -60 dB)."""
    decay = pick.uniform(0.1, 0.7)
    length = int(decay * RATE)
    tail = pick.normal(size=length) * np.exp(-6.9 * np.arange(length) / length)
    tail[: int(0.002 * RATE)] = 0
    tail *= pick.uniform(0.02, 0.35) / (np.sqrt((tail**2).sum()) + 1e-9) * pick.uniform(0.5, 2.0)
    tail[0] = 1.0
    return tail.astype(np.float32)


def stretch(samples: np.ndarray, marks: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Resampled by `factor`: pitch, formants (the vocal tract's length) and speed change together."""
    count = int(len(samples) / factor)
    moved = np.interp(np.arange(count) * factor, np.arange(len(samples)), samples).astype(np.float32)
    frames = max(1, (count - WINDOW) // HOP + 1)
    source = ((np.arange(frames) * HOP + WINDOW / 2) * factor - WINDOW / 2) / HOP
    return moved, marks[np.clip(np.round(source).astype(int), 0, len(marks) - 1)]


def soften(samples: np.ndarray, soft: np.ndarray, pick: np.random.Generator) -> np.ndarray:
    """Frames marked `soft` (n,) bool, 10 ms each, up to 12 dB quieter, each run by its own amount."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], soft.astype(int), [0]])))
    gain = np.ones(len(soft), np.float32)
    for first, beyond in zip(edges[::2], edges[1::2], strict=True):
        gain[first:beyond] = 10 ** (-pick.uniform(0, 12) / 20)
    at = (np.arange(len(samples)) - WINDOW / 2) / HOP
    return samples * np.interp(at, np.arange(len(gain)), gain).astype(np.float32)


def quiet_room(samples: np.ndarray, pick: np.random.Generator) -> np.ndarray:
    """The faint noise of any recording, 35 to 60 dB below the speech, in its pauses too."""
    level = (samples.std() + 1e-6) * 10 ** (-pick.uniform(35, 60) / 20)
    return samples + coloured_noise(len(samples), pick, pick.uniform(0.3, 2.0)) * np.float32(level)


def voiceless_and_voiced(count: int, pick: np.random.Generator) -> np.ndarray:
    """Engines, wind instruments, breath, applause: sources through fixed or slowly moving resonances."""
    time = np.arange(count) / RATE
    kind = pick.integers(4)
    if kind == 0:  # hum of a motor or a held note
        pitch = pick.uniform(40, 500) * (1 + pick.uniform(0, 0.01) * np.sin(2 * np.pi * pick.uniform(3, 7) * time))
        source = 2 * np.mod(np.cumsum(pitch) / RATE, 1.0) - 1
    elif kind == 1:  # applause, rain
        source = pick.normal(size=count) * (pick.random(count) < pick.uniform(0.001, 0.05))
    else:  # breath, wind
        source = coloured_noise(count, pick, pick.uniform(0, 1.5))
    for _ in range(int(pick.integers(1, 4))):
        centre, width = pick.uniform(200, 4500), pick.uniform(60, 900)
        radius = np.exp(-np.pi * width / RATE)
        source = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2], source)
    swell = np.clip(np.sin(np.pi * pick.uniform(0.1, 1.5) * time + pick.uniform(0, 6)) + pick.uniform(0, 1.2), 0, None)
    out = source * swell if pick.random() < 0.6 else source
    return (out / (np.abs(out).max() + 1e-9)).astype(np.float32)


def degrade(samples: np.ndarray, pick: np.random.Generator) -> np.ndarray:
    """Reverberation, band limits, noise, music, clipping, coarse quantisation: each by chance. Timing is kept."""
    out = samples
    if pick.random() < 0.35:
        out = fftconvolve(out, room(pick))[: len(out)].astype(np.float32)
    if pick.random() < 0.3:  # telephone, cheap microphone, low bit rate
        high = pick.uniform(2800, 7500)
        out = sosfilt(butter(4, high, fs=RATE, output="sos"), out).astype(np.float32)
    if pick.random() < 0.25:
        out = sosfilt(butter(2, pick.uniform(60, 350), "high", fs=RATE, output="sos"), out).astype(np.float32)
    if pick.random() < 0.3:  # tilt of an equaliser
        out = lfilter([1.0, pick.uniform(-0.6, 0.6)], [1.0], out).astype(np.float32)
    level = out.std() + 1e-6
    if pick.random() < 0.55:
        noise = coloured_noise(len(out), pick, pick.uniform(0, 2.2))
        out = out + noise * level * 10 ** (-pick.uniform(5, 35) / 20)
    if pick.random() < 0.15:
        out = out + music(len(out), pick) * level * 10 ** (-pick.uniform(6, 25) / 20)
    if pick.random() < 0.1:
        out = np.clip(out, -2.5 * level, 2.5 * level)
    if pick.random() < 0.1:  # mu-law at 6 to 8 bits
        top = np.abs(out).max() + 1e-6
        steps = 2 ** pick.integers(5, 8)
        squeezed = np.sign(out) * np.log1p(255 * np.abs(out) / top) / np.log(256)
        squeezed = np.round(squeezed * steps) / steps
        out = np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255 * top
    return (out * 10 ** pick.uniform(-1.6, 0.1) / (np.abs(out).max() + 1e-6)).astype(np.float32)
