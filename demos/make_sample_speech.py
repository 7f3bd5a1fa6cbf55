"""Makes `demos/assets/speech.wav`, the speech of `face-studio animate --sample`, and its phones, `speech.TextGrid`.

Run: python -m demos.make_sample_speech

It needs Flite (apt-get install flite), whose slt voice (Carnegie Mellon University, free for any use) speaks it.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from demos.speech_training.voices import Manner, Segment, flite

TEXT = "Hello! This morning I was just a photograph. Now I can speak, smile, and look around. What shall we make next?"
SPEECH = Path(__file__).parent / "assets" / "speech.wav"


def textgrid(segments: list[Segment]) -> str:
    """A Praat TextGrid with one tier, phones (IPA; empty for pauses)."""
    end = segments[-1][1]
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.4f}"]
    lines += ["tiers? <exists>", "size = 1", "item []:", "    item [1]:", '        class = "IntervalTier"']
    lines += ['        name = "phones"', "        xmin = 0", f"        xmax = {end:.4f}"]
    lines += [f"        intervals: size = {len(segments)}"]
    for number, (start, stop, phone) in enumerate(segments, 1):
        lines += [f"        intervals [{number}]:", f"            xmin = {start:.4f}", f"            xmax = {stop:.4f}"]
        lines += [f'            text = "{"" if phone == "sil" else phone}"']
    return "\n".join(lines) + "\n"


def main() -> None:
    spoken = flite(TEXT, "slt", Manner(1.02))
    samples = spoken.samples * (0.6 / np.abs(spoken.samples).max())
    with wave.open(str(SPEECH), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(spoken.rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    SPEECH.with_suffix(".TextGrid").write_text(textgrid(spoken.segments), encoding="utf-8")
    print(f"{SPEECH}: {len(samples) / spoken.rate:.2f} s, {SPEECH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
