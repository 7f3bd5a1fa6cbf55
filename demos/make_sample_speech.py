"""Makes `demos/assets/speech.wav`, the speech of `face-studio animate --sample`.

Run: python -m demos.make_sample_speech

It needs Flite (apt-get install flite), whose slt voice (Carnegie Mellon University, free for any use) speaks it.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from demos.synthesisers import flite

TEXT = "Hello! This morning I was just a photograph. Now I can speak, smile, and look around. What shall we make next?"
SPEECH = Path(__file__).parent / "assets" / "speech.wav"


def main() -> None:
    spoken = flite(TEXT, "slt", 1.02)
    samples = spoken.samples * (0.6 / np.abs(spoken.samples).max())
    with wave.open(str(SPEECH), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(spoken.rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    print(f"{SPEECH}: {len(samples) / spoken.rate:.2f} s, {SPEECH.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
