"""What this computer has: for `face-studio doctor` and for bug reports. Nothing heavy is imported."""

from __future__ import annotations

import os
import platform
from ctypes.util import find_library
from importlib.metadata import PackageNotFoundError, version

CORE = ("numpy", "mediapipe", "opencv-contrib-python", "av", "pillow", "numba", "rich", "safetensors")
EXTRAS = {
    "models": (("torch", "diffusers", "transformers", "accelerate", "peft"), "published checkpoints, GPU"),
    "demo": (("gradio",), "the app in a browser"),
    "export": (("pygltflib", "usd-core"), "heads for Blender, Unreal, three.js"),
    "scale": (("ray",), "batches on a cluster"),
    "insightface": (("insightface", "onnxruntime"), "identity embeddings (models for non-commercial use)"),
    "xformers": (("xformers",), "attention on older GPUs"),
}
_LIBRARIES = {"GL": "libgl1", "EGL": "libegl1"}
_CODECS = {"libx264": "MP4 video", "aac": "MP4 sound", "libvpx-vp9": "WebM video", "libopus": "WebM sound"}


def installed(package: str) -> str | None:
    """Its version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def report() -> dict:
    """What is installed, what is missing, and the command that brings it."""
    from studio import __version__

    extras = {}
    for name, (packages, purpose) in EXTRAS.items():
        missing = [p for p in packages if installed(p) is None]
        state = "installed" if not missing else f'missing {", ".join(missing)}: pip install "face-studio[{name}]"'
        extras[name] = f"{purpose}: {state}"
    return {
        "face-studio": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "memory": _memory(),
        "packages": {name: installed(name) or "missing: pip install face-studio" for name in CORE},
        "optional": extras,
        "codecs": _codecs(),
        "libraries": _libraries(),
        "embedded models": "mediapipe's face mesh, irises and segmentation (Apache-2.0, in its wheel)",
    }


def problems() -> list[str]:
    """What keeps the embedded tier from working; empty where all is well."""
    found = [f"{name} is missing: pip install face-studio" for name in CORE if installed(name) is None]
    return found + [text for text in _libraries().values() if text.startswith("missing")]


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return "unknown"
    return f"{total / 2**30:.1f} GiB"


def _codecs() -> dict[str, str]:
    if installed("av") is None:
        return {}
    import av

    return {
        name: f"{use}: {'yes' if name in av.codecs_available else 'missing in this PyAV'}"
        for name, use in _CODECS.items()
    }


def _libraries() -> dict[str, str]:
    if platform.system() != "Linux":
        return {}
    return {
        f"lib{name}": "found" if find_library(name) else f"missing: apt-get install {package}"
        for name, package in _LIBRARIES.items()
    }
