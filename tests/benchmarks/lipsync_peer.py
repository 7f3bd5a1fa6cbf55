"""How pocketsphinx's phone loop reads the same clips as `lipsync.py`: a peer, and how hard a set is.

    pip install pocketsphinx
    python tests/benchmarks/lipsync_peer.py HELD --clips 100

Its phones become visemes, openness and rounding by the library's own table, smoothed as the truth is.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from lipsync import COLUMNS, SHARED, trial, truth

from controls.lipsync.mel import RATE
from studio.arkit import ARKIT, INDEX

# CMU's phones -> the library's; diphthongs by where they begin
PHONES = dict(
    AA="ɑ", AE="æ", AH="ʌ", AO="ɔ", AW="a", AY="a", B="b", CH="tʃ", D="d", DH="ð", EH="ɛ", ER="ɜ", EY="e", F="f", G="ɡ",
    HH="h", IH="ɪ", IY="i", JH="dʒ", K="k", L="l", M="m", N="n", NG="ŋ", OW="o", OY="ɔ", P="p", R="r", S="s", SH="ʃ",
    T="t", TH="θ", UH="ʊ", UW="u", V="v", W="w", Y="j", Z="z", ZH="ʒ",
)  # fmt: skip


def heard(decoder, samples: np.ndarray) -> list[tuple[float, float, str]]:
    """(start, end, phone) in seconds."""
    decoder.start_utt()
    decoder.process_raw((np.clip(samples, -1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = [(s.start_frame / 100, (s.end_frame + 1) / 100, PHONES.get(s.word, "sil")) for s in decoder.seg() or []]
    return found or [(0.0, len(samples) / RATE, "sil")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--clips", type=int, default=100)
    args = parser.parse_args()
    sys.path.insert(0, str(SHARED / "judges"))
    import lipsync_score
    import pocketsphinx

    model = f"{pocketsphinx.get_model_path()}/en-us/"
    decoder = pocketsphinx.Decoder(
        hmm=model + "en-us", allphone=model + "en-us-phone.lm.bin", lw=2.0, beam=1e-20, pbeam=1e-20, loglevel="FATAL"
    )
    with tempfile.TemporaryDirectory() as folder:
        real, made = Path(folder) / "truth", Path(folder) / "made"
        real.mkdir(), made.mkdir()
        for name, samples, track, *_ in trial(args.corpus, args.clips).clips:
            said = truth(heard(decoder, samples), len(samples) / RATE, "peer", track["condition"])
            rows, count = said["segments"], len(said["openness"])
            which = np.searchsorted([row[1] for row in rows], (np.arange(count) + 0.5) / 60, side="right")
            weights = np.zeros((count, len(ARKIT)))
            weights[:, INDEX["jawOpen"]] = said["openness"]
            weights[:, INDEX["mouthPucker"]] = [rows[min(i, len(rows) - 1)][5] for i in which]
            answer = {"fps": 60, "names": list(ARKIT), "frames": weights.tolist(), "visemes": said["visemes"]}
            (real / f"{name}.json").write_text(json.dumps(track))
            (made / f"{name}.json").write_text(json.dumps(answer))
        groups, _, _ = lipsync_score.run(str(real), str(made), "state")
    lipsync_score.COLS[:] = (*COLUMNS, "sil_move")
    print(lipsync_score.table(groups))


if __name__ == "__main__":
    main()
