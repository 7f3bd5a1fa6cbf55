"""13 portraits x 8 edits through `ExpressionEditPipeline`, each judged against its original.

    python tests/benchmarks/edits.py                       the table and every failure
    python tests/benchmarks/edits.py --portraits glasses hat --edits smile blink
    python tests/benchmarks/edits.py --sheets DIR          also one contact sheet a portrait

Exits 1 when fewer than 95 of 104 pass, or when `none` fails anywhere.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from judges import FRONTAL, row, shared

EDITS = {
    "smile": {"shapes": {"smile": 0.8}},
    "blink": {"shapes": {"blink": 1.0}},
    "jaw_open": {"shapes": {"jawOpen": 0.6}},
    "brow_up": {"shapes": {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8}},
    "pucker": {"shapes": {"mouthPucker": 0.9}},
    "yaw+15": {"yaw": 15.0},
    "gaze_left": {"gaze": "left"},
    "none": {},
}
"""What judge_edit is to see, and the settings that should show it."""


def contact_sheet(pictures: list[tuple[str, np.ndarray]], path: Path, side: int = 420) -> None:
    """The face of each picture, side by side, four in a row."""
    import cv2

    tiles = []
    for label, image in pictures:
        k = side / max(image.shape[:2])
        small = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_CUBIC)
        tile = np.full((side + 24, side, 3), 255, np.uint8)
        tile[24 : 24 + small.shape[0], : small.shape[1]] = small[:side, :side]
        cv2.putText(tile, label, (4, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 4)
    rows = [np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)]
    cv2.imwrite(str(path), np.vstack(rows)[..., ::-1])


def face_of(image: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """The face with some hair and neck."""
    x0, y0, x1, y1 = box
    reach, x, y = 0.95 * max(x1 - x0, y1 - y0), (x0 + x1) / 2, (y0 + y1) / 2
    return image[max(0, int(y - reach)) : int(y + reach), max(0, int(x - reach)) : int(x + reach)]


def main() -> int:
    """Print the table; 1 when the target is missed."""
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--portraits", nargs="*", default=[], help="parts of file names (default: all 13)")
    parse.add_argument("--edits", nargs="*", default=list(EDITS), choices=list(EDITS))
    parse.add_argument("--sheets", type=Path, help="folder for contact sheets")
    parse.add_argument("--out", type=Path, help="keep the edited pictures here")
    args = parse.parse_args()
    folder = shared() / "data" / "portraits"
    import judge_edit

    from pipelines import ExpressionEditPipeline

    names = [n for n in FRONTAL if not args.portraits or any(p in n for p in args.portraits)]
    out = args.out or Path(tempfile.mkdtemp(prefix="edits-"))
    for place in (out, *([args.sheets] if args.sheets else [])):
        place.mkdir(parents=True, exist_ok=True)
    pipe = ExpressionEditPipeline()
    widths = [24, *(max(9, len(e)) for e in args.edits), 8]
    print(row(["portrait", *args.edits, "s/edit"], widths), flush=True)
    failures, warnings, none_failed = [], [], False
    for name in names:
        cells, faces, spent = [], [], []
        for edit in args.edits:
            began = time.perf_counter()
            still = pipe(folder / name, **EDITS[edit])
            spent.append(time.perf_counter() - began)
            after = out / f"{Path(name).stem}_{edit}.png"
            still.save(after)
            checks = judge_edit.judge(str(folder / name), str(after), [edit])["checks"]
            bad = [f"{check} {c['value']}" for check, c in checks.items() if c["verdict"] == "FAIL"]
            warned = [f"{check} {c['value']}" for check, c in checks.items() if c["verdict"] == "WARN"]
            cells.append("FAIL" if bad else "warn" if warned else "ok")
            if bad:
                failures.append(f"{name} {edit}: {'; '.join(bad)}")
                none_failed |= edit == "none"
            elif warned:
                warnings.append(f"{name} {edit}: {'; '.join(warned)}")
            faces.append((f"{edit}: {cells[-1]}", face_of(still.image, still.faces[0].box)))
        print(row([Path(name).stem, *cells, float(np.median(spent))], widths), flush=True)
        if args.sheets:
            contact_sheet(faces, args.sheets / f"{Path(name).stem}.png")
    total = len(names) * len(args.edits)
    print(f"\n{total - len(failures)} of {total} without a failure, {len(warnings)} with a warning; pictures in {out}")
    print("\n".join(["failures:", *failures, "warnings:", *warnings]))
    return int(len(failures) > total * 9 // 104 or none_failed)


if __name__ == "__main__":
    sys.exit(main())
