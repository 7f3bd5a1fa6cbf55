"""What users call: a portrait talks, expressions change, motion is captured, a photo becomes a head.

Each pipeline observes, drives, layers, renders and saves; its parts go into the constructor.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.capture import Capture, CapturePipeline
    from pipelines.edit import ExpressionEditPipeline
    from pipelines.flame_edit import NeuralEditPipeline
    from pipelines.generate import Generated, GenerationPipeline
    from pipelines.mirror import MirrorPipeline
    from pipelines.reconstruct import Reconstruction, ReconstructionPipeline
    from pipelines.stream import StreamPipeline
    from pipelines.take import Still, Take
    from pipelines.talk import TalkingPortraitPipeline

_HOME = {
    "Capture": "capture",
    "CapturePipeline": "capture",
    "ExpressionEditPipeline": "edit",
    "Generated": "generate",
    "GenerationPipeline": "generate",
    "MirrorPipeline": "mirror",
    "NeuralEditPipeline": "flame_edit",
    "Reconstruction": "reconstruct",
    "ReconstructionPipeline": "reconstruct",
    "Still": "take",
    "StreamPipeline": "stream",
    "TalkingPortraitPipeline": "talk",
    "Take": "take",
}
__all__ = [
    "Capture",
    "CapturePipeline",
    "ExpressionEditPipeline",
    "Generated",
    "GenerationPipeline",
    "MirrorPipeline",
    "NeuralEditPipeline",
    "Reconstruction",
    "ReconstructionPipeline",
    "Still",
    "StreamPipeline",
    "Take",
    "TalkingPortraitPipeline",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
