"""Arrays into a network, strictly, and arrays into a file of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio.errors import WeightsError
from studio.picture import written_beside

if TYPE_CHECKING:
    from torch import nn


def load_into(
    network: nn.Module, arrays: Mapping[str, np.ndarray], *, what: str, ignore: tuple[str, ...] = ()
) -> nn.Module:
    """Copies {key: array} into a network of torch and returns it in eval mode.

    Strict: keys that are missing, left over or of another shape raise WeightsError, which lists them. Keys that
    begin with one of `ignore` may be left over. `num_batches_tracked`, which counts training steps, may be missing.
    """
    import torch

    own = network.state_dict()
    given = {key: value for key, value in arrays.items() if not (ignore and key.startswith(ignore))}
    missing = [key for key in own if key not in given and not key.endswith("num_batches_tracked")]
    extra = [key for key in given if key not in own]
    wrong = [
        f"{key} {tuple(np.shape(value))} instead of {tuple(own[key].shape)}"
        for key, value in given.items()
        if key in own and tuple(np.shape(value)) != tuple(own[key].shape)
    ]
    if missing or extra or wrong:
        lists = (("missing", missing), ("unknown", extra), ("of another shape", wrong))
        told = "; ".join(f"{len(keys)} {word}: {', '.join(keys[:5])}" for word, keys in lists if keys)
        raise WeightsError(f"{what}: not this network's weights ({told})")
    with torch.no_grad():
        for key, value in given.items():
            own[key].copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(own[key].shape))
    return network.eval()


def load_published(
    network: nn.Module, name: str, path: str | Path | None = None, *, top: str | None = None, prefix: str = ""
) -> nn.Module:
    """A network under the published weights of the model `name`, whose terms are told.

    path  the file or its folder; None looks where `locate` looks. top and prefix: which of its keys are the
          network's, as in `state_dict`.

    Raises WeightsError where there is no file (with what to get, and where) or it is another network's.
    """
    from studio.weights.models import model
    from studio.weights.opening import state_dict
    from studio.weights.published import locate, tell_terms

    known = model(name)
    file = locate(known, given=path)
    arrays = state_dict(file, top, prefix=prefix)
    tell_terms(known)
    return load_into(network, arrays, what=str(file) if top is None else f"{file}, {top}")


def load_folded(network: nn.Module, arrays: Mapping[str, np.ndarray], *, what: str) -> nn.Module:
    """As `load_into`, by the network's own rules: its layers fold what training kept apart (spectral and weight norm).

    The network may be made on torch's "meta" device: it takes the arrays themselves, without a copy.
    """
    import torch

    tensors = {key: torch.from_numpy(np.require(value, requirements=("C", "W"))) for key, value in arrays.items()}
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{what}: not this network's weights ({' '.join(str(error).split())[:600]})") from error
    return network.eval()


def save_weights(path: str | Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> Path:
    """Writes {key: array} as .safetensors, with metadata (source, licence). Raises OutputError; leaves no half file."""
    from safetensors.numpy import save_file

    path = Path(path)
    plain = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    with written_beside(path) as beside:
        save_file(plain, str(beside), metadata=dict(metadata or {}))
    return path


def sha256(path: str | Path) -> str:
    """The hash of a file, in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
