"""The nodes as ComfyUI loads and calls them, without ComfyUI."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="ComfyUI's pictures and sound are torch tensors (extra: models)")

ROOT = Path(__file__).resolve().parents[2]
PACK = ROOT / "demos" / "comfyui"
CORE = {"LoadImage": ("IMAGE", "MASK"), "LoadAudio": ("AUDIO",), "CreateVideo": ("VIDEO",), "SaveVideo": ()}
"""Nodes of ComfyUI itself that the example uses, and what they give."""

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")


@pytest.fixture(scope="module")
def pack():
    """The package, loaded by its path under a name of ComfyUI's choosing."""
    name = "custom_nodes_face_studio"
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for loaded in [each for each in sys.modules if each.startswith(name)]:
        del sys.modules[loaded]


@pytest.fixture(scope="module")
def portrait():
    """IMAGE (1, 256, 256, 3)."""
    from PIL import Image

    photo = Image.open(ROOT / "demos" / "assets" / "astronaut.jpg").resize((256, 256), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(photo).astype(np.float32) / 255)[None]


@pytest.fixture(scope="module")
def speech():
    """AUDIO, 0.8 s."""
    from studio.media import Audio

    audio = Audio.open(ROOT / "demos" / "assets" / "speech.wav")
    samples = audio.samples(16000)[8000:20800]
    return {"waveform": torch.from_numpy(np.ascontiguousarray(samples))[None, None], "sample_rate": 16000}


def defaults(node):
    """A value for each required widget, as ComfyUI fills them in."""
    values = {}
    for name, (kind, *options) in node.INPUT_TYPES()["required"].items():
        if isinstance(kind, list):
            values[name] = kind[0]
        elif kind in WIDGETS:
            values[name] = options[0]["default"]
    return values


def call(node, **inputs):
    """What ComfyUI does: a new object, its FUNCTION, all inputs by name."""
    result = getattr(node(), node.FUNCTION)(**{**defaults(node), **inputs})
    assert isinstance(result, tuple) and len(result) == len(node.RETURN_TYPES)
    return result


def test_every_node_keeps_the_contract(pack):
    assert set(pack.NODE_CLASS_MAPPINGS) == set(pack.NODE_DISPLAY_NAME_MAPPINGS)
    for name, node in pack.NODE_CLASS_MAPPINGS.items():
        assert name.startswith("FaceStudio") and isinstance(node.CATEGORY, str)
        assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) and all(isinstance(t, str) for t in node.RETURN_TYPES)
        inputs = node.INPUT_TYPES()
        assert set(inputs) <= {"required", "optional", "hidden"}
        parameters = dict(inspect.signature(getattr(node, node.FUNCTION)).parameters)
        parameters.pop("self")
        assert set(parameters) == {*inputs["required"], *inputs.get("optional", {})}
        for optional in inputs.get("optional", {}):
            assert parameters[optional].default is None
        for each, spec in (inputs["required"] | inputs.get("optional", {})).items():
            assert isinstance(spec, tuple) and (isinstance(spec[0], list) or spec[0].isupper()), each
            if spec[0] in ("INT", "FLOAT"):
                assert spec[1]["min"] <= spec[1]["default"] <= spec[1]["max"], each


def test_loading_the_pack_loads_nothing_heavy():
    code = (
        "import importlib.util, sys; spec = importlib.util.spec_from_file_location('pack', "
        f"{str(PACK / '__init__.py')!r}, submodule_search_locations=[{str(PACK)!r}]); "
        "m = importlib.util.module_from_spec(spec); sys.modules['pack'] = m; spec.loader.exec_module(m); "
        "[n.INPUT_TYPES() for n in m.NODE_CLASS_MAPPINGS.values()]; print(*sys.modules)"
    )
    import subprocess

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & {"torch", "mediapipe", "cv2", "numba", "gradio"}


def test_the_example_connects(pack):
    graph = json.loads((PACK / "assets" / "talking.json").read_text("utf-8"))
    for number, part in graph.items():
        kind, inputs = part["class_type"], part["inputs"]
        if kind in CORE:
            continue
        node = pack.NODE_CLASS_MAPPINGS[kind]
        known = node.INPUT_TYPES()
        types_of = known["required"] | known.get("optional", {})
        assert set(known["required"]) <= set(inputs) <= set(types_of), number
        for name, value in inputs.items():
            wanted = types_of[name][0]
            if isinstance(value, list):
                source = graph[value[0]]["class_type"]
                given = CORE[source] if source in CORE else pack.NODE_CLASS_MAPPINGS[source].RETURN_TYPES
                assert given[value[1]] == wanted, (number, name)
            elif isinstance(wanted, list):
                assert value in wanted, (number, name)
            else:
                assert wanted in WIDGETS, (number, name)


def test_edit_is_what_the_pipeline_makes(pack, portrait):
    from pipelines import ExpressionEditPipeline

    node = pack.NODE_CLASS_MAPPINGS["FaceStudioEdit"]
    batch = torch.cat([portrait, portrait.flip(2)])
    (made,) = call(node, images=batch, shapes="smile=0.7 jawOpen=0.2", action_units="AU1=0.5", gaze="left", yaw=6.0)
    assert made.shape == (2, 256, 256, 3) and made.dtype == torch.float32 and made.min() >= 0 and made.max() <= 1
    for given, got in zip(batch, made):
        expected = ExpressionEditPipeline()(
            np.rint(given.numpy() * 255).astype(np.uint8),
            shapes={"smile": 0.7, "jawOpen": 0.2},
            aus={"AU1": 0.5},
            gaze="left",
            yaw=6,
        )
        assert np.array_equal(np.rint(got.numpy() * 255).astype(np.uint8), expected.image)
    (same,) = call(node, images=batch, shapes="")
    assert torch.allclose(same, batch, atol=1e-6)


def test_animate_gives_pictures_sound_rate_and_motion(pack, portrait, speech):
    node = pack.NODE_CLASS_MAPPINGS["FaceStudioAnimate"]
    frames, audio, fps, motion = call(node, portrait=portrait, audio=speech, seed=3)
    assert frames.shape == (20, 256, 256, 3) and fps == 25.0 and audio is speech
    assert len(motion) == 20 and motion.fps == 25
    mouth = frames[:, 70:92, 95:130]
    assert (mouth - mouth[0]).abs().mean((1, 2, 3)).max() > 0.01
    again, silent, fps, _ = call(node, portrait=portrait, motion=motion, fps=12.5)
    assert again.shape[0] == 10 and silent is None and fps == 12.5


def test_captured_motion_goes_on_to_a_head_and_to_files(pack, portrait, speech, tmp_path, monkeypatch):
    import pygltflib

    from studio.motion import FaceMotion

    places = types.ModuleType("folder_paths")
    places.get_output_directory = lambda: str(tmp_path)
    monkeypatch.setitem(sys.modules, "folder_paths", places)
    nodes = pack.NODE_CLASS_MAPPINGS
    (spoken,) = call(nodes["FaceStudioCaptureSpeech"], audio=speech, fps=30.0)
    assert len(spoken) == 24 and spoken.weights.max() > 0.1
    frames, _, _, meant = call(nodes["FaceStudioAnimate"], portrait=portrait, audio=speech, blink=0.0)
    (seen,) = call(nodes["FaceStudioCaptureVideo"], frames=frames, fps=25.0)
    assert len(seen) == len(frames) and seen.fps == Fraction(25) and (seen.confidence > 0).all()
    from studio.arkit import INDEX

    jaw = INDEX["jawOpen"]
    assert np.corrcoef(seen.weights[:, jaw], meant.weights[:, jaw])[0, 1] > 0.4  # of 20 frames
    for name in ("../../escape", "take"):
        (path,) = call(nodes["FaceStudioSaveMotion"], motion=spoken, filename_prefix=name, ending=".csv")
        assert Path(path).parent == tmp_path
    assert np.allclose(FaceMotion.load(path).weights, spoken.weights, atol=1e-4)
    first, second = (call(nodes["FaceStudioReconstruct"], photo=portrait, motion=spoken)[0] for _ in range(2))
    assert first != second
    assert len(pygltflib.GLTF2().load(first).animations) == 1


def test_the_bar_moves_and_a_stop_is_heard(pack, portrait, monkeypatch):
    seen, stopped = [], [False]

    class Stop(Exception):
        pass

    class ProgressBar:
        def __init__(self, total):
            seen.append(("total", total))

        def update_absolute(self, value, total):
            seen.append((value, total))

    utils, management = types.ModuleType("comfy.utils"), types.ModuleType("comfy.model_management")
    utils.ProgressBar = ProgressBar

    def check():
        if stopped[0]:
            raise Stop

    management.throw_exception_if_processing_interrupted = check
    comfy = types.ModuleType("comfy")
    for name, module in (("comfy", comfy), ("comfy.utils", utils), ("comfy.model_management", management)):
        monkeypatch.setitem(sys.modules, name, module)
    node = pack.NODE_CLASS_MAPPINGS["FaceStudioEdit"]
    call(node, images=torch.cat([portrait] * 2))
    assert seen[0] == ("total", 2) and seen[-1] == (2, 2)
    stopped[0] = True
    with pytest.raises(Stop):
        call(node, images=portrait)


def test_wrong_inputs_are_told(pack, portrait):
    from studio.errors import NoFaceError, UsageError

    node = pack.NODE_CLASS_MAPPINGS["FaceStudioEdit"]
    with pytest.raises(UsageError, match="Did you mean"):
        call(node, images=portrait, shapes="smlie=1")
    with pytest.raises(UsageError, match="IMAGE"):
        call(node, images=portrait[0])
    with pytest.raises(NoFaceError):
        call(node, images=torch.zeros(1, 64, 64, 3))
    with pytest.raises(UsageError, match="what moves"):
        call(pack.NODE_CLASS_MAPPINGS["FaceStudioAnimate"], portrait=portrait)


def test_generate_hands_its_pictures_to_the_pipeline(pack, portrait, monkeypatch):
    from types import SimpleNamespace

    asked = []

    def opened(*places):
        def make(prompt, **settings):
            asked.append((places, prompt, settings))
            return SimpleNamespace(images=[np.full((64, 64, 3), 51 * k, np.uint8) for k in range(settings["count"])])

        return make

    monkeypatch.setattr(sys.modules[f"{pack.__name__}.exchange"], "maker", opened)
    node = pack.NODE_CLASS_MAPPINGS["FaceStudioGenerate"]
    (made,) = call(node, prompt="me", model=" sd15 ", identity=portrait, expression=portrait, emotion="joy", count=3)
    assert made.shape == (3, 64, 64, 3) and torch.allclose(made[2], torch.tensor(0.4))
    (places, prompt, settings) = asked.pop()
    assert places == ("sd15", "", "") and prompt == "me" and settings["emotion"] == {"joy": 0.6}
    photo = np.rint(portrait[0].numpy() * 255)
    assert np.array_equal(settings["identity"][0], photo) and np.array_equal(settings["expression"], photo)
    assert settings["pose"] is None and settings["guidance"] is None and settings["shapes"] is None


def test_generate_without_a_model_says_what_is_missing(pack, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    sys.modules[f"{pack.__name__}.exchange"].maker.cache_clear()
    with pytest.raises(Exception, match=r"face-studio\[models\]"):
        call(pack.NODE_CLASS_MAPPINGS["FaceStudioGenerate"])
