"""Portraits that talk, for several voices, judged as videos: sync, mouth, blinks, head, identity, background.

    python tests/benchmarks/videos.py
    python tests/benchmarks/videos.py --portraits hat marble --voices english_girl --seconds 5 --sheets DIR

Exits 1 when a check fails outside sync.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from judges import FRONTAL, shared

PORTRAITS = ("astronaut_smile.png", "hat_smile.png", "neutral_long_hair.png", "marble_statue_rgba.png")
VOICES = ("english_male.mp3", "english_girl.wav", "russian_24bit.wav")
SHOWN = (
    "sync_corr",
    "sync_at_zero",
    "sync_lag_ms",
    "mouth_range",
    "silence_mouth",
    "blinks_per_min",
    "head_amplitude_deg",
    "head_jitter_deg",
    "landmark_jitter",
    "identity_ssim",
    "background_std",
    "background_vs_portrait",
    "sharpness_face",
    "sharpness_mouth",
    "holes",
    "seam",
    "flicker",
    "mouth_interior",
    "jaw_follows",
)


def cut(voice: Path, seconds: float, out: Path) -> Path:
    """The first seconds of a voice as WAV, with its own rate."""
    import soundfile

    from studio.media import Audio

    audio = Audio.open(voice)
    path = out / f"{voice.stem}.wav"
    samples = audio.samples(audio.rate)[: int(seconds * audio.rate)]
    soundfile.write(path, samples, audio.rate)
    return path


def main() -> int:
    """Print the checks; 1 on a failure outside sync."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--portraits", nargs="*", default=[], help="parts of file names (default: four of the 13)")
    parse.add_argument("--voices", nargs="*", default=[], help="parts of file names (default: three)")
    parse.add_argument("--seconds", type=float, default=8.0)
    parse.add_argument("--size", type=int, default=512, help="long side of the videos")
    parse.add_argument("--out", type=Path, help="keep the videos here")
    parse.add_argument("--sheets", type=Path, help="folder for contact sheets")
    args = parse.parse_args()
    data = shared() / "data"
    import judge_video

    from pipelines import TalkingPortraitPipeline

    portraits = [n for n in FRONTAL if any(p in n for p in args.portraits)] if args.portraits else list(PORTRAITS)
    voices = sorted(p for p in (data / "audio").iterdir() if p.suffix in {".wav", ".mp3", ".ogg"})
    voices = [v for v in voices if (any(p in v.name for p in args.voices) if args.voices else v.name in VOICES)]
    out = args.out or Path(tempfile.mkdtemp(prefix="videos-"))
    for place in (out, *([args.sheets] if args.sheets else [])):
        place.mkdir(parents=True, exist_ok=True)
    pipe, failed = TalkingPortraitPipeline(), []
    for voice in voices:
        speech = cut(voice, args.seconds, out)
        for name in portraits:
            made = out / f"{Path(name).stem}_{voice.stem}.mp4"
            pipe(data / "portraits" / name, audio=speech, size=args.size).save(made)
            sheet = None if args.sheets is None else str(args.sheets / f"{made.stem}.png")
            asked = argparse.Namespace(
                video=str(made),
                portrait=str(data / "portraits" / name),
                audio=str(speech),
                fps=None,
                size=None,
                face_api=None,
                still_head=False,
                json=False,
                sheet=sheet,
            )
            checks = judge_video.judge(asked)["checks"]
            print(f"\n{Path(name).stem}, {voice.stem}")
            for check, c in checks.items():
                if c["verdict"] != "pass" or check in SHOWN:
                    print(f"  {c['verdict']:5} {check:24} {c['value']}")
                if c["verdict"] == "FAIL" and not check.startswith("sync"):
                    failed.append(f"{made.stem}: {check} {c['value']}")
            sys.stdout.flush()
    print(
        "\n"
        + ("\n".join(["failed outside sync:", *failed]) if failed else "no failure outside sync")
        + f"\nvideos in {out}"
    )
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
