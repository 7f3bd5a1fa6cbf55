"""Checkpoints: opened safely, known by name, loaded strictly. Nothing is run and nothing is downloaded unasked."""

from studio.weights.converting import convert, recognised
from studio.weights.fetching import get
from studio.weights.loading import load_folded, load_into, load_published, save_weights, sha256
from studio.weights.models import MODELS, model
from studio.weights.opening import open_weights, state_dict
from studio.weights.published import (
    LicenceWarning,
    PublishedFile,
    PublishedModel,
    find,
    locate,
    models_folder,
    tell_terms,
)

__all__ = [
    "MODELS",
    "LicenceWarning",
    "PublishedFile",
    "PublishedModel",
    "convert",
    "find",
    "get",
    "load_folded",
    "load_into",
    "load_published",
    "locate",
    "model",
    "models_folder",
    "open_weights",
    "recognised",
    "save_weights",
    "sha256",
    "state_dict",
    "tell_terms",
]
