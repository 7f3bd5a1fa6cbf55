"""Makes the miniature, from nothing or from earlier weights: draws heads, trains each part, writes diffusers' folder.

    python -m demos.train_miniature work/ demos/assets/miniature
    torchrun --nproc-per-node 4 -m demos.train_miniature work/ demos/assets/miniature      # the same, by four processes
    python -m demos.train_miniature work/ better/ --go-on-from demos/assets/miniature      # from its weights

Needs torch, diffusers and transformers (`pip install "face-studio[models]"`). Every part trains for its `--minutes` of
a core's time, three hours and a quarter in all. A training that was stopped goes on where its checkpoint in `work/` is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

STAGES = {"autoencoder": 25.0, "judge": 18.0, "diffusion": 110.0, "control": 25.0, "ctrlora": 12.0}
"""Minutes for each part."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder for pictures and checkpoints")
    parser.add_argument("output", type=Path)
    parser.add_argument("--people", type=int, default=2400)
    parser.add_argument("--each", type=int, default=16, help="pictures of a person")
    parser.add_argument(
        "--minutes", action="append", default=[], metavar="PART=MINUTES", help=f"of {', '.join(STAGES)}"
    )
    parser.add_argument("--until", choices=list(STAGES), help="stop after this part")
    parser.add_argument("--go-on-from", type=Path, metavar="FOLDER", help="a miniature whose parts to go on from")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    minutes = dict(STAGES)
    for word in args.minutes:
        part, _, number = word.partition("=")
        if part not in minutes:
            parser.error(f"--minutes {word}: the parts are {', '.join(STAGES)}")
        minutes[part] = float(number)
    from demos.miniature.make import make

    drawn = dict(people=args.people, each=args.each, seed=args.seed)
    make(args.work, args.output, minutes, **drawn, until=args.until, start=args.go_on_from)


if __name__ == "__main__":
    main()
