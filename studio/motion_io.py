"""`FaceMotion` in files: .npz (exact), .csv (Live Link Face), .json. Streams are written with bounded memory.

Live Link Face: one row a frame; 52 shapes in PascalCase and 9 rotations in radians. The app does not publish
the signs of its angles, and importers differ. Here, in both directions: HeadYaw > 0 turns to the subject's left,
HeadPitch > 0 looks up, HeadRoll > 0 tilts to the subject's left shoulder; so yaw and roll are ours and pitch is
minus ours. Translation has no column and is lost; so is the residual. Eye angles (same signs) follow from the
eyeLook weights and are ignored when read.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, OutputError
from studio.motion import FaceMotion, blocks, join
from studio.picture import must_be_file, written_beside

MOTION_SUFFIXES = (".npz", ".csv", ".json")

_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
_CSV_SHAPES = tuple(_SWAPPED.get(name, name) for name in ARKIT)  # recordings have the right side of these first
_ROTATIONS = (
    "HeadYaw",
    "HeadPitch",
    "HeadRoll",
    "LeftEyeYaw",
    "LeftEyePitch",
    "LeftEyeRoll",
    "RightEyeYaw",
    "RightEyePitch",
    "RightEyeRoll",
)
CSV_COLUMNS = ("Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in _CSV_SHAPES), *_ROTATIONS)


def save_motion(path: str | Path, motion: FaceMotion | Iterable[FaceMotion]) -> None:
    """Writes a motion or a stream of blocks; the suffix decides. Raises OutputError; leaves no half file."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in MOTION_SUFFIXES:
        raise OutputError(f"{path}: a motion is saved as {', '.join(MOTION_SUFFIXES)}")
    with written_beside(path) as beside:
        if suffix == ".csv":
            _write_csv(beside, blocks(motion))
        elif suffix == ".json":
            _write_json(beside, blocks(motion))
        else:
            whole = join(blocks(motion))
            arrays = {"weights": whole.weights, "head": whole.head, "confidence": whole.confidence}
            arrays["fps"] = np.array([whole.fps.numerator, whole.fps.denominator])
            arrays |= {"start": np.array(whole.start), "names": np.array(ARKIT)}
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:  # np.savez mishandles a full disk
                for name, values in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, values, allow_pickle=False)


def load_motion(path: str | Path) -> FaceMotion:
    """Reads what `save_motion` writes, and Live Link Face recordings. Raises MediaError for anything else."""
    path = Path(path)
    must_be_file(path)
    readers = {".npz": _read_npz, ".csv": _read_csv, ".json": _read_json}
    if path.suffix.lower() not in readers:
        raise MediaError(f"{path}: not a motion; known are {', '.join(MOTION_SUFFIXES)}")
    try:
        return readers[path.suffix.lower()](path)
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(f"{path}: not a motion that can be read ({error})") from error


def timecode(frame: int, fps: Fraction) -> str:
    """HH:MM:SS:FF.fff as Live Link Face writes it: FF counts frames within the second, fff is its fraction."""
    seconds = Fraction(frame) / fps
    whole = int(seconds)
    within = float((seconds - whole) * fps)
    return f"{whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}:{within:06.3f}"


def _write_csv(path: Path, parts: Iterator[FaceMotion]) -> None:
    order = [INDEX[name] for name in _CSV_SHAPES]
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(CSV_COLUMNS)
        for part in parts:
            gaze = part.gaze
            for k in range(len(part)):
                yaw, pitch, roll = part.head[k, :3]
                eyes = [v for eye in range(2) for v in (gaze[k, eye, 0], -gaze[k, eye, 1], 0.0)]
                values = [*part.weights[k, order], yaw, -pitch, roll, *eyes]
                out.writerow([timecode(part.start + k, part.fps), 61, *(f"{float(v):.8f}" for v in values)])


def _read_csv(path: Path) -> FaceMotion:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if len(rows) < 2:
        raise MediaError(f"{path}: holds no frames")
    header = {name.strip().lower(): i for i, name in enumerate(rows[0])}
    known = [name for name in ARKIT if name.lower() in header]
    if not known:
        raise MediaError(f"{path}: no column is named after an ARKit blendshape")
    body = rows[1:]

    def column(name: str) -> np.ndarray:
        at = header.get(name.lower())
        if at is None:
            return np.zeros(len(body), np.float32)
        return np.array([float(row[at]) if at < len(row) and row[at].strip() else 0.0 for row in body], np.float32)

    weights = np.stack([column(name) for name in ARKIT], 1)
    if weights.max() > 5:  # some tools write per cent
        weights = weights / 100
    head = np.zeros((len(body), 6), np.float32)
    angles = np.stack([column("HeadYaw"), -column("HeadPitch"), column("HeadRoll")], 1)
    head[:, :3] = np.radians(angles) if np.abs(angles).max() > 3.2 else angles
    fps, start = _rate_of([row[header["timecode"]] for row in body] if "timecode" in header else [])
    return FaceMotion(weights, fps, head, start=start)


def _rate_of(codes: list[str]) -> tuple[Fraction, int]:
    """Frames a second and the first frame's number. HH:MM:SS:FF.fff shows the rate where FF wraps; else 60.

    The number of the first frame is kept only for takes that begin in the first minute: others bear clock time.
    """
    fields = [[float(x) for x in code.split(":")] for code in codes if code.count(":") == 3]
    if len(fields) < 2:
        return Fraction(60), 0
    seconds = [int(f[0] * 3600 + f[1] * 60 + f[2]) for f in fields]
    span = (seconds[-1] - seconds[0]) or 0
    known = [Fraction(n) for n in (24, 25, 30, 48, 50, 60, 90, 100, 120)]
    known += [Fraction(n * 1000, 1001) for n in (24, 30, 60, 120)]
    steps = [b[3] - a[3] for a, b, s, t in zip(fields, fields[1:], seconds, seconds[1:], strict=False) if s == t]
    step = float(np.median(steps)) if steps else 1.0
    wraps = [(a[3], b[3]) for a, b, s, t in zip(fields, fields[1:], seconds, seconds[1:], strict=False) if t == s + 1]
    if not wraps:
        return Fraction(60), 0
    guesses = [a + step - b for a, b in wraps]
    measured = float(np.mean(guesses)) / step
    whole_seconds = max(1, span)
    inside = sum(1 for s in seconds if seconds[0] < s < seconds[-1])
    if span >= 2:
        measured = (
            (measured + inside / (whole_seconds - 1)) / 2
            if abs(inside / (whole_seconds - 1) - measured) > 0.5
            else measured
        )
    fps = min(known, key=lambda rate: abs(float(rate) - measured))
    if abs(float(fps) - measured) > 0.4:
        fps = Fraction(measured).limit_denominator(1001)
    first = seconds[0] + Fraction(fields[0][3]).limit_denominator(1000) / fps
    return fps, round(first * fps) if first < 60 else 0


def _write_json(path: Path, parts: Iterator[FaceMotion]) -> None:
    number = lambda values: "[" + ", ".join(f"{float(v):.6g}" for v in values) + "]"
    with path.open("w", encoding="utf-8") as file:
        first = None
        for part in parts:
            for k in range(len(part)):
                if first is None:
                    first = part
                    head = {"format": "face-studio motion 1", "fps": str(part.fps), "start": part.start}
                    head |= {"names": list(ARKIT), "head": ["yaw", "pitch", "roll", "x", "y", "z"]}
                    file.write(json.dumps(head)[:-1] + ', "frames": [\n')
                else:
                    file.write(",\n")
                file.write(
                    f'{{"weights": {number(part.weights[k])}, "head": {number(part.head[k])}, '
                    f'"confidence": {float(part.confidence[k]):.6g}}}'
                )
        if first is None:
            raise MediaError("there is no frame to write")
        file.write("\n]}\n")


def _read_json(path: Path) -> FaceMotion:
    data = json.loads(path.read_text("utf-8"))
    where = [INDEX[name] for name in data["names"] if name in INDEX]
    take = [i for i, name in enumerate(data["names"]) if name in INDEX]
    frames = data["frames"]
    weights = np.zeros((len(frames), len(ARKIT)), np.float32)
    weights[:, where] = np.array([f["weights"] for f in frames], np.float32)[:, take]
    head = np.array([f.get("head", [0] * 6) for f in frames], np.float32)
    confidence = np.array([f.get("confidence", 1) for f in frames], np.float32)
    return FaceMotion(weights, Fraction(data["fps"]), head, confidence, data.get("start", 0))


def _read_npz(path: Path) -> FaceMotion:
    with np.load(path, allow_pickle=False) as data:
        fps = Fraction(int(data["fps"][0]), int(data["fps"][1]))
        return FaceMotion(data["weights"], fps, data["head"], data["confidence"], int(data["start"]))
