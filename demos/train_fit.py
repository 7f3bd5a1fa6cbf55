"""Makes the network that fits heads again from nothing: renders people, finds their landmarks, trains.

    python -m demos.train_fit faces/ avatars/data/fit.safetensors

Needs torch. Rendering takes some 0.06 s a picture on one core and goes on where it was cut off; training takes a few
minutes. Same seed, same machine: same weights. `tests/benchmarks/head.py` measures the result on other people.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from avatars.head.regress import FitNetwork
from demos.fit_training import model, scenes

HELD = 10
"""One person in so many is kept from training, to see how it goes with others."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures' landmarks are kept")
    parser.add_argument("target", type=Path, help="the network, .safetensors")
    parser.add_argument("--people", type=int, default=3000)
    arguments = parser.parse_args()
    scenes.render(arguments.folder, arguments.people)
    rows = scenes.load(arguments.folder, arguments.people)
    held = rows["person"] % HELD == 0
    part = lambda mask: {key: value[mask] for key, value in rows.items()}
    tensors = model.train(part(~held), model.Settings())
    report(tensors, model.Examples.of(part(held)))
    save_file(tensors, arguments.target)


def report(tensors: dict[str, np.ndarray], held: model.Examples) -> None:
    """Prints the errors of people that the network never saw."""
    faces, weights, turns = FitNetwork(tensors)(held.shapes, held.sight)
    off = np.linalg.norm(faces - held.faces, axis=2).mean() * 90
    plain = np.linalg.norm(held.faces, axis=2).mean() * 90
    alike = np.corrcoef(weights.ravel(), held.weights.ravel())[0, 1]
    turned, before = (np.degrees(np.linalg.norm(t, axis=1).mean()) for t in (turns - held.turns, held.turns))
    print(
        f"{len(faces)} pictures of others: face {off:.2f} mm ({plain:.2f} for the mean face), weights correlate "
        f"{alike:.2f}, turn {turned:.2f} degrees ({before:.2f})"
    )


if __name__ == "__main__":
    main()
