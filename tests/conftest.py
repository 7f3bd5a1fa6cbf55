"""Fixtures that several rooms' tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # each of several processes keeps to a core
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real portraits, clips and judges, where it lies beside the checkout."""
    folder = Path(os.environ.get("FACE_STUDIO_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (folder / "data" / "INDEX.csv").exists():
        pytest.skip(f"real test data is not at {folder} (FACE_STUDIO_SHARED names another place)")
    return folder
