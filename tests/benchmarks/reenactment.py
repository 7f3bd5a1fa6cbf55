"""Self-reenactment: a calm frame of a clip, driven by the clip itself, against the clip.

    python tests/benchmarks/reenactment.py                      the table, from the 52 weights and with the residual
    python tests/benchmarks/reenactment.py --modes sound        only the sound drives
    python tests/benchmarks/reenactment.py --clips talk --every 2 --out DIR

Each clip goes through `face-studio animate`. The measures are judge_reenact's; akd_ratio is the landmark
error over that of the frozen portrait. Exits 1 when a mean misses its target.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from judges import CLIPS, REPOSITORY, row, shared

COLUMNS = (
    "akd_ratio",
    "ssim_gain",
    "psnr_gain",
    "mouth_corr",
    "eye_open_corr",
    "mouth_width_corr",
    "corner_lift_corr",
    "brow_inner_corr",
    "yaw_corr",
    "pitch_corr",
    "roll_corr",
    "face_lost",
)

TARGETS = {
    "weights": {
        "akd_ratio": ("<=", 0.20, 0.38),
        "ssim_gain": (">=", 0.14, 0.0),
        "psnr_gain": (">=", 4.5, 0.0),
        "mouth_corr": (">=", 0.95, None),
        "eye_open_corr": (">=", 0.90, None),
        "mouth_width_corr": (">=", 0.70, None),
        "corner_lift_corr": (">=", 0.70, None),
        "brow_inner_corr": (">=", 0.70, None),
    },
    "residual": {"akd_ratio": ("<=", 0.15, 0.27), "ssim_gain": (">=", 0.14, 0.0), "psnr_gain": (">=", 4.5, 0.0)},
    "sound": {"mouth_lag_corr": (">=", 0.35, None)},
}
"""Measure: (direction, what the mean must reach, what every clip must reach)."""

UNSYNCED = "talk_woman_25fps.mp4"
"""Its sound is offset inside the file, so that sound alone can't be judged on it."""


def mouth_lag_corr(real: Path, made: Path, limit: float = 0.12) -> tuple[float, int]:
    """Correlation of the measured mouth openings at the best lag within `limit` seconds, and that lag in ms."""
    from facemeasure import Faces, measures, video_frames

    series = []
    for path in (real, made):
        faces, values, times = Faces(video=True), [], []
        for _, t, frame in video_frames(str(path)):
            points = faces.mesh(frame)
            values.append(np.nan if points is None else measures(points)["mouth_open"])
            times.append(t)
        series.append((np.array(values), np.array(times)))
    n = min(len(series[0][0]), len(series[1][0]))
    a, b, times = series[0][0][:n], series[1][0][:n], series[0][1][:n]
    step = float(np.median(np.diff(times)))
    best = (-1.0, 0)
    for lag in range(-int(limit / step), int(limit / step) + 1):
        x, y = a[max(0, -lag) : n - max(0, lag)], b[max(0, lag) : n - max(0, -lag)]
        good = np.isfinite(x) & np.isfinite(y)
        value = float(np.corrcoef(x[good], y[good])[0, 1]) if good.sum() > 10 and y[good].std() > 1e-6 else 0.0
        best = max(best, (value, round(1000 * lag * step)))
    return best


def has_sound(clip: Path) -> bool:
    """Whether the clip's sound is there and more than silence."""
    from studio.errors import MediaError
    from studio.media import Audio

    try:
        samples = Audio.open(clip).samples(16000)
    except MediaError:
        return False
    return bool(len(samples)) and float(np.abs(samples).max()) > 0.01


def reenact(clip: Path, mode: str, out: Path, every: int) -> dict[str, float]:
    """Prepare, animate, score."""
    import judge_reenact

    folder = out / clip.stem
    if not (folder / "portrait.png").is_file():
        judge_reenact.prepare(str(clip), str(folder))
    made = folder / f"{mode}.mp4"
    from studio.media import Clip

    source = ["--audio", str(clip), "--fps", str(Clip.open(clip).fps)] if mode == "sound" else ["--driver", str(clip)]
    extra = {"weights": ["--residual", "off"], "residual": ["--residual", "on"], "sound": ["--head-motion", "0"]}[mode]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "demos.cli",
            "animate",
            str(folder / "portrait.png"),
            *source,
            *extra,
            "-o",
            str(made),
            "--quiet",
        ],
        check=True,
        cwd=REPOSITORY,
    )
    result = judge_reenact.score(str(clip), str(made), str(folder), every) if mode != "sound" else {}
    if mode == "sound":
        result["mouth_lag_corr"], result["lag_ms"] = mouth_lag_corr(clip, made)
    return result


def main() -> int:
    """Print the tables; 1 when a target is missed."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--clips", nargs="*", default=[], help="parts of clip names (default: all)")
    parse.add_argument("--modes", nargs="*", default=["weights", "residual"], choices=list(TARGETS))
    parse.add_argument("--every", type=int, default=1, help="score every Nth frame")
    parse.add_argument("--out", type=Path, help="keep portraits and videos here")
    args = parse.parse_args()
    videos = shared() / "data" / "videos"
    clips = [videos / c for c in CLIPS if not args.clips or any(part in c for part in args.clips)]
    out = args.out or Path(tempfile.mkdtemp(prefix="reenactment-"))
    missed = []
    for mode in args.modes:
        columns = ("mouth_lag_corr", "lag_ms") if mode == "sound" else COLUMNS
        widths = [26, *(max(8, len(c)) for c in columns)]
        print(f"\n{mode}\n" + row(["clip", *columns], widths), flush=True)
        rows = []
        for clip in clips:
            if mode == "sound" and (clip.name == UNSYNCED or not has_sound(clip)):
                print(f"{clip.stem}: left out, {'its sound is offset' if clip.name == UNSYNCED else 'it has no sound'}")
                continue
            result = reenact(clip, mode, out, args.every)
            if "error" in result:
                missed.append(f"{mode} {clip.stem}: {result['error']}")
                continue
            rows.append(result)
            print(row([clip.stem, *(result.get(c, float("nan")) for c in columns)], widths), flush=True)
        if not rows:
            continue
        means = {c: float(np.mean([r[c] for r in rows])) for c in columns}
        print(row(["mean", *means.values()], widths))
        for measure, (sign, mean, each) in TARGETS[mode].items():
            good = (lambda value, goal: value <= goal) if sign == "<=" else (lambda value, goal: value >= goal)
            if not good(means[measure], mean):
                missed.append(f"{mode}: mean {measure} {means[measure]:.3f}, wanted {sign} {mean}")
            if each is not None:
                worst = (max if sign == "<=" else min)(r[measure] for r in rows)
                if not good(worst, each):
                    missed.append(f"{mode}: worst {measure} {worst:.3f}, wanted {sign} {each}")
        (out / f"{mode}.json").write_text(json.dumps(rows, indent=1))
    print("\n" + ("\n".join(["missed:", *missed]) if missed else "all targets reached") + f"\nvideos in {out}")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
