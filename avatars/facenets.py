"""MediaPipe's face networks as plain functions of a small picture: no graphs of its own, no tracking state, no noise.

The wheel of mediapipe 0.10.21 carries the networks and a C++ runtime for them. Only that runtime is loaded (0.04 s);
`import mediapipe` would bring matplotlib and jax with it (2 s). The networks:

    mesh   192 px crop of a face   -> 478 landmarks and the probability that it is a face
    near   128 px picture          -> faces up to 2 m away (short-range BlazeFace)
    far    192 px picture          -> faces up to 5 m away (full-range BlazeFace)
    person 256 px picture          -> where a person is (selfie segmentation)

Networks: Bazarevsky et al., BlazeFace, 2019; Kartynnik et al., Real-time Facial Surface Geometry, 2019; Grishchenko
et al., Attention Mesh, 2020.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import numpy as np

from studio.errors import MissingExtraError

MESH_SIZE = 192
"""Side of the crop that `mesh` looks at, pixels."""

_BINDINGS = "mediapipe.python._framework_bindings"
_LOCK = threading.Lock()
_MODELS = {
    # name: file, input side, lowest input value, tensors
    "mesh": ("mediapipe/modules/face_landmark/face_landmark_with_attention.tflite", 192, 0.0, 7),
    "near": ("mediapipe/modules/face_detection/face_detection_short_range.tflite", 128, -1.0, 2),
    "far": ("mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite", 192, -1.0, 2),
    "person": ("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite", 256, 0.0, 1),
}

_STREAMS = {"mesh": ("landmarks", "flag"), "person": ("t0",)}


def mesh(crop: np.ndarray) -> tuple[np.ndarray, float]:
    """Landmarks (478, 3) float32 in pixels of the crop (z in the same scale, negative towards the camera) and the
    probability that the crop shows a face. crop: (192, 192, 3) uint8 RGB, the face upright and about two thirds of it.
    """
    out = _network("mesh").run(crop)
    # A serialised list of 478 landmarks, each a tag, a length and three tagged floats.
    records = np.frombuffer(out["landmarks"], np.uint8).reshape(478, 17)
    points = records[:, [3, 4, 5, 6, 8, 9, 10, 11, 13, 14, 15, 16]].copy().view("<f4")
    return points * np.float32(MESH_SIZE), float(_sigmoid(out["flag"][0]))


def detect(image: np.ndarray, reach: str) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (N, 4 + 12) float32 and their scores (N,), before any merging.

    image: uint8 RGB square of side 192 for reach "far", 128 for "near". Each row is centre x, centre y, width, height
    of the face, then x, y of right eye, left eye, nose tip, mouth, right and left ear, all as parts of the side.
    """
    out = _network(reach).run(image)
    raw = np.asarray(out["t0"], np.float32).reshape(-1, 16) / np.float32(_MODELS[reach][1])
    scores = _sigmoid(np.clip(np.asarray(out["t1"], np.float32), -60, 60))
    keep = np.flatnonzero(scores > 0.1)
    found = raw[keep]
    anchors = _anchors(reach)[keep]
    found[:, 0:2] += anchors
    found[:, 4:] += np.tile(anchors, 6)
    return found, scores[keep]


def person(image: np.ndarray) -> np.ndarray:
    """(256, 256) float32: the probability that a pixel shows a person. image: (256, 256, 3) uint8 RGB."""
    return np.asarray(_network("person").run(image)["t0"], np.float32).reshape(256, 256)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, np.float32)))


@lru_cache(maxsize=2)
def _anchors(reach: str) -> np.ndarray:
    """(N, 2) centres of the detector's cells."""
    grids = ((48, 1),) if reach == "far" else ((16, 2), (8, 6))
    rows = []
    for side, copies in grids:
        y, x = np.divmod(np.arange(side * side), side)
        rows.append(np.repeat((np.stack([x, y], 1) + 0.5) / side, copies, axis=0))
    return np.concatenate(rows).astype(np.float32)


@lru_cache(maxsize=4)
def _network(name: str) -> _Network:
    with _LOCK:
        return _Network(name)


class _Network:
    """One network in one MediaPipe graph. Calls from several threads take turns."""

    def __init__(self, name: str) -> None:
        self._runtime = _runtime()
        self._lock = threading.Lock()
        self._time = 0
        self._out: dict[str, object] = {}
        self._side = _MODELS[name][1]
        get = self._runtime._packet_getter
        read = {"landmarks": get._get_serialized_proto}
        with _quiet():
            self._graph = self._runtime.calculator_graph.CalculatorGraph(graph_config=_graph(name))
            for stream in _STREAMS.get(name, ("t0", "t1")):
                self._graph.observe_output_stream(stream, self._keep(read.get(stream, get.get_float_list)), False)
            self._graph.start_run({})
            self.run(np.zeros((self._side, self._side, 3), np.uint8))  # the network itself is loaded by its first use

    def _keep(self, read):
        def keep(stream: str, packet) -> None:
            self._out[stream] = read(packet)

        return keep

    def run(self, image: np.ndarray) -> dict:
        if image.shape != (self._side, self._side, 3) or image.dtype != np.uint8:
            raise ValueError(f"expected ({self._side}, {self._side}, 3) uint8, got {image.shape} {image.dtype}")
        frame = self._runtime._packet_creator._create_image_frame_from_pixel_data(
            self._runtime.image_frame.ImageFormat.SRGB, np.ascontiguousarray(image), True
        )
        with self._lock:
            self._time += 1
            self._graph.add_packet_to_input_stream("image", frame.at(self._runtime.timestamp.Timestamp(self._time)))
            self._graph.wait_until_idle()
            return dict(self._out)


def _graph(name: str) -> str:
    path, side, low, tensors = _MODELS[name]
    text = f"""
    input_stream: "image"
    node {{ calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:in" options {{
        [mediapipe.ImageToTensorCalculatorOptions.ext] {{ output_tensor_width: {side} output_tensor_height: {side}
        output_tensor_float_range {{ min: {low} max: 1.0 }} }} }} }}
    node {{ calculator: "TfLiteCustomOpResolverCalculator" output_side_packet: "OP_RESOLVER:ops" }}
    node {{ calculator: "InferenceCalculator" input_side_packet: "OP_RESOLVER:ops" input_stream: "TENSORS:in"
        output_stream: "TENSORS:out" options {{ [mediapipe.InferenceCalculatorOptions.ext] {{ model_path: "{path}"
        delegate {{ xnnpack {{ num_threads: 1 }} }} }} }} }}
    """
    if name == "person":
        return (
            text
            + """
        node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:out" output_stream: "FLOATS:t0" }
        """
        )
    cuts = [(0, 1), (1, 2)] if name != "mesh" else [(0, tensors - 1), (tensors - 1, tensors)]
    ranges = " ".join(f"ranges {{ begin: {a} end: {b} }}" for a, b in cuts)
    text += f"""
    node {{ calculator: "SplitTensorVectorCalculator" input_stream: "out" output_stream: "s0" output_stream: "s1"
        options {{ [mediapipe.SplitVectorCalculatorOptions.ext] {{ {ranges} }} }} }}
    """
    if name == "mesh":
        return (
            text
            + """
        node { calculator: "TensorsToFaceLandmarksWithAttention" input_stream: "TENSORS:s0"
            output_stream: "LANDMARKS:landmarks" }
        node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:s1" output_stream: "FLOATS:flag" }
        """
        )
    return text + "\n".join(
        f'node {{ calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:s{i}" output_stream: "FLOATS:t{i}" }}'
        for i in (0, 1)
    )


@lru_cache(maxsize=1)
def _runtime() -> ModuleType:
    """MediaPipe's C++ bindings, loaded without the package around them."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    package = importlib.util.find_spec("mediapipe")
    if package is None or not package.origin:
        raise MissingExtraError("mediapipe is not installed. Run: pip install 'mediapipe==0.10.21'")
    root = Path(package.origin).parent
    if _BINDINGS in sys.modules:  # someone imported mediapipe itself
        bindings = sys.modules[_BINDINGS]
    else:
        found = importlib.machinery.PathFinder.find_spec(_BINDINGS, [str(root / "python")])
        if found is None or found.loader is None:
            raise MissingExtraError("this mediapipe lacks its runtime. Run: pip install 'mediapipe==0.10.21'")
        bindings = importlib.util.module_from_spec(found)
        sys.modules[_BINDINGS] = bindings
        try:
            found.loader.exec_module(bindings)
        except ImportError as error:
            del sys.modules[_BINDINGS]
            raise MissingExtraError(_missing_library(str(error))) from error
    bindings.resource_util.set_resource_dir(str(root.parent))
    return bindings


def _missing_library(message: str) -> str:
    """What to install where the dynamic linker misses a system library."""
    package = "libegl1 libgles2" if "EGL" in message or "GLES" in message else "libgl1 libglib2.0-0"
    return f"a system library is missing ({message}). On Debian and Ubuntu run: apt-get install {package}"


def load_cv2() -> ModuleType:
    """OpenCV, or `MissingExtraError` that names the system package where libGL is missing."""
    try:
        import cv2
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError):
            raise MissingExtraError("OpenCV is not installed. Run: pip install opencv-contrib-python") from error
        raise MissingExtraError(_missing_library(str(error))) from error
    return cv2


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what C++ writes to stderr while a network loads; Python's own writes are flushed before."""
    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no stderr at all, as in a window program
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


__all__ = ["MESH_SIZE", "detect", "load_cv2", "mesh", "person"]
