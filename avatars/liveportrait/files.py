"""Where LivePortrait's published files are; looked for before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path

from studio.errors import WeightsError
from studio.weights import find, locate, model
from studio.weights.published import PublishedModel

NETWORKS = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
STITCHING = "stitching_retargeting_module"


def published(animal: bool) -> PublishedModel:
    """What is known of the model."""
    return model("liveportrait-animals" if animal else "liveportrait")


def files(folder: str | Path | None = None, *, animal: bool = False) -> dict[str, Path | None]:
    """{name: path} of `NETWORKS` and `STITCHING`; animals may go without the last (None).

    folder  where they lie, flat or as their authors lay them out; None looks in the models' folder and in the
            Hugging Face cache. Raises `WeightsError` that says what to get, where, under which licence, and where to
            put it.
    """
    known = published(animal)
    if folder is not None and not Path(folder).expanduser().is_dir():
        raise WeightsError(f"{folder}: no such folder; name the one that holds {known.files[0].name}")
    paths: dict[str, Path | None] = {name: locate(known, f"{name}.pth", folder) for name in NETWORKS}
    paths[STITCHING] = (find if animal else locate)(known, f"{STITCHING}.pth", folder)
    return paths
