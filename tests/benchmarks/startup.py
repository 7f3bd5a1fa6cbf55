"""How quickly things start: `import studio`, `face-studio --help`, `face-studio --version`.

    python tests/benchmarks/startup.py

Each is the median of several runs of a fresh interpreter, beside that of an interpreter that does nothing, in
seconds of wall clock and of processor time. Wanted: `import studio` below 0.3 s, `--help` below 0.5 s.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = 7
CASES = {
    "python -c pass": ("-c", "pass"),
    "import numpy": ("-c", "import numpy"),
    "import studio": ("-c", "import studio"),
    "import pipelines": ("-c", "import pipelines"),
    "face-studio --help": ("-m", "demos.cli", "--help"),
    "face-studio --version": ("-m", "demos.cli", "--version"),
}


def measure(words: tuple[str, ...]) -> tuple[float, float]:
    """Median wall and processor seconds of `python WORDS`."""
    wall, busy = [], []
    for _ in range(RUNS):
        before, began = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        wall.append(time.perf_counter() - began)
        busy.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return statistics.median(wall), statistics.median(busy)


def main() -> int:
    """Print the table."""
    print(f"{'':24}{'wall':>9}{'processor':>12}")
    for name, words in CASES.items():
        wall, busy = measure(words)
        print(f"{name:24}{wall:8.3f}s{busy:11.3f}s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
