"""Whether the miniature does what it is asked for: control, identity, expression. Some minutes on one core.

    python tests/benchmarks/miniature.py [--count 96] [--folder work/out]

Persons and expressions are new; pictures are judged by the network that comes with the miniature, whose own error on
true renders is printed first. A correlation of generated pictures can't be better than the judge's own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]

from demos.miniature import FOLDER  # noqa: E402
from demos.miniature.behaviour import (  # noqa: E402
    SHAPE_AXES,
    conditions_followed,
    control_followed,
    expression_carried,
    heads,
    identity_followed,
)
from demos.miniature.judge import JUDGE, correlations, landmark_error, open_judge, seen  # noqa: E402
from demos.miniature.opening import open_miniature  # noqa: E402
from demos.miniature.people import EXPRESSION, IDENTITY, levels  # noqa: E402


def main() -> int:
    """Print all figures; 1 where one is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="another one than the project's")
    args = parser.parse_args()
    count = args.count
    judge, opened = open_judge(args.folder / JUDGE), open_miniature(args.folder)
    sights, persons, weights = heads(count, 5)
    told = seen(judge, np.stack([s.picture for s in sights]))
    error = landmark_error(told.points, np.stack([s.points for s in sights])).mean()
    print(f"judge on {count} true renders: landmarks {error:.2f} px")
    _table("  person", IDENTITY, correlations(told.person, persons))
    _table("  expression", EXPRESSION, correlations(told.expression, levels(weights)))

    control = control_followed(opened, judge, count)
    print(f"landmarks from the condition: {control.controlled:.2f} px with control, {control.free:.2f} px without")
    reached = {"landmark error falls by 60 %": (control.fall, 0.60)}
    for name, found in conditions_followed(judge, count // 2, folder=args.folder).items():
        print(f"CtrLoRA's {name}: {found.controlled:.2f} px with it, {found.free:.2f} px without")
        reached[f"landmark error falls by 60 % with CtrLoRA's {name}"] = (found.fall, 0.60)
    for shown, how in ((True, "as generate does it"), (False, "by the adapters alone")):
        identity = identity_followed(opened, judge, count // 2, shown=shown)
        _table(f"identity {how}", IDENTITY, identity)
        carried = expression_carried(opened, judge, count, shown=shown)
        _table(f"expression carried to another person {how}", EXPRESSION, carried)
        reached[f"identity's shape {how}, mean r"] = (identity[SHAPE_AXES].mean(), 0.70)
        reached[f"expression {how}, mean r"] = (carried.mean(), 0.70)
    for what, (got, wanted) in reached.items():
        print(f"{'reached' if got >= wanted else 'MISSED '}  {what}: {got:.2f} (wanted {wanted:.2f})")
    return int(any(got < wanted for got, wanted in reached.values()))


def _table(title: str, names, values: np.ndarray) -> None:
    print(f"{title}: mean r {values.mean():.2f}; " + ", ".join(f"{n} {v:.2f}" for n, v in zip(names, values)))


if __name__ == "__main__":
    sys.exit(main())
