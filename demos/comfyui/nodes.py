"""The nodes: each calls one pipeline. IMAGE is pictures, AUDIO is sound, FACE_MOTION is a `studio.FaceMotion`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from .exchange import face_number, images, new_file, pictures, reporter, settings, sound

CATEGORY = "Face Studio"
MOTION = "FACE_MOTION"
NONE = "none"


def amount(default: float, low: float = 0.0, high: float = 1.0, step: float = 0.05) -> tuple:
    """A slider."""
    return ("FLOAT", {"default": default, "min": low, "max": high, "step": step})


def words(default: str = "", tip: str = "") -> tuple:
    """A line of text."""
    return ("STRING", {"default": default, "multiline": False, "tooltip": tip})


FACE = ("INT", {"default": 1, "min": 1, "max": 64, "tooltip": "which face, the largest is 1"})
FACES = ("INT", {"default": 1, "min": 0, "max": 64, "tooltip": "which face, the largest is 1; 0 means all"})
SEED = ("INT", {"default": 0, "min": 0, "max": 2**31 - 1})


def emotions() -> tuple:
    """A list to choose an emotion from."""
    from controls.expressions import emotion_names

    return ([NONE, *emotion_names()],)


class Animate:
    """A portrait speaks, or repeats a captured motion."""

    CATEGORY, FUNCTION = CATEGORY, "animate"
    RETURN_TYPES = ("IMAGE", "AUDIO", "FLOAT", MOTION)
    RETURN_NAMES = ("frames", "audio", "fps", "motion")
    DESCRIPTION = "Makes a portrait talk from speech, or repeat a captured motion."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        return {
            "required": {
                "portrait": ("IMAGE",),
                "emotion": emotions(),
                "strength": amount(0.5),
                "blink": amount(1.0),
                "gaze_motion": amount(1.0),
                "head_motion": amount(1.0),
                "fps": ("FLOAT", {"default": 25.0, "min": 1.0, "max": 120.0, "step": 0.01}),
                "face": FACES,
                "seed": SEED,
            },
            "optional": {"audio": ("AUDIO",), "motion": (MOTION,)},
        }

    def animate(
        self,
        portrait: Any,
        emotion: str,
        strength: float,
        blink: float,
        gaze_motion: float,
        head_motion: float,
        fps: float,
        face: int,
        seed: int,
        audio: dict[str, Any] | None = None,
        motion: Any = None,
    ) -> tuple:
        """(frames, audio, fps, motion); with a motion that is what moves, and the audio goes along."""
        from pipelines import TalkingPortraitPipeline
        from studio.progress import track

        life = {} if motion is not None else dict(blink=blink, gaze_motion=gaze_motion, head_motion=head_motion)
        take = TalkingPortraitPipeline()(
            pictures(portrait)[0],
            audio=None if audio is None else sound(audio),
            motion=motion,
            emotion=None if emotion == NONE else {emotion: strength},
            fps=f"{fps:g}",
            face=face_number(face),
            seed=seed,
            **life,
        )
        frames = images(frame.image for frame in track(take.frames, "animate", take.total, reporter()))
        return frames, audio, float(take.fps), take.motion


class Edit:
    """Another expression, gaze or head pose, in each picture of a batch."""

    CATEGORY, FUNCTION = CATEGORY, "edit"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE",), ("images",)
    DESCRIPTION = "Changes expression, gaze or head pose in each picture of a batch."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        return {
            "required": {
                "images": ("IMAGE",),
                "shapes": words("smile=0.8", "ARKit blendshapes and easy names: smile=0.8 jawOpen=0.2"),
                "action_units": words("", "FACS: AU12=0.8 AU6=0.5"),
                "emotion": emotions(),
                "strength": amount(0.6),
                "gaze": words("", "YAW,PITCH in degrees, or left, right, up, down, camera"),
                "yaw": amount(0.0, -45.0, 45.0, 1.0),
                "pitch": amount(0.0, -45.0, 45.0, 1.0),
                "roll": amount(0.0, -45.0, 45.0, 1.0),
                "neutralize": amount(0.0),
                "face": FACES,
            }
        }

    def edit(
        self,
        images: Any,
        shapes: str,
        action_units: str,
        emotion: str,
        strength: float,
        gaze: str,
        yaw: float,
        pitch: float,
        roll: float,
        neutralize: float,
        face: int,
    ) -> tuple:
        """(images,), with alpha where they had it."""
        import numpy as np

        from pipelines import ExpressionEditPipeline
        from studio.progress import track

        from . import exchange

        batch, pipe, made = pictures(images), ExpressionEditPipeline(), []
        for picture in track(batch, "edit", len(batch), reporter()):
            still = pipe(
                picture,
                shapes=settings(shapes, "--set"),
                aus=settings(action_units, "--au"),
                emotion=None if emotion == NONE else {emotion: strength},
                gaze=gaze.strip() or None,
                yaw=yaw,
                pitch=pitch,
                roll=roll,
                neutralize=neutralize,
                face=face_number(face),
            )
            alpha = still.alpha if still.alpha is not None else np.full(picture.shape[:2], 255, np.uint8)
            made.append(np.dstack([still.image, alpha]) if picture.shape[2] == 4 else still.image)
        return (exchange.images(made),)


class CaptureVideo:
    """The motion of the face in a video's frames."""

    CATEGORY, FUNCTION = CATEGORY, "capture"
    RETURN_TYPES, RETURN_NAMES = (MOTION,), ("motion",)
    DESCRIPTION = "Tracks the face in a video's frames."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        fps = ("FLOAT", {"default": 25.0, "min": 1.0, "max": 240.0, "step": 0.01})
        return {"required": {"frames": ("IMAGE",), "fps": fps, "face": FACE}}

    def capture(self, frames: Any, fps: float, face: int) -> tuple:
        """(motion,), a frame of motion for each frame."""
        from pipelines import CapturePipeline
        from studio.clip import parse_fps
        from studio.media import Encoding, VideoWriter

        with tempfile.TemporaryDirectory(prefix="face-studio-") as folder:
            clip = Path(folder) / "frames.mkv"
            with VideoWriter(clip, parse_fps(f"{fps:g}"), encoding=Encoding(crf=12)) as writer:
                for picture in pictures(frames):
                    writer.write(picture[..., :3])
            return (CapturePipeline()(clip, face=face - 1).motion,)


class CaptureSpeech:
    """The motion that speech asks for."""

    CATEGORY, FUNCTION = CATEGORY, "capture"
    RETURN_TYPES, RETURN_NAMES = (MOTION,), ("motion",)
    DESCRIPTION = "Turns speech into lips, with blinks, glances and nods as wished."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        return {
            "required": {
                "audio": ("AUDIO",),
                "fps": ("FLOAT", {"default": 60.0, "min": 1.0, "max": 240.0, "step": 0.01}),
                "transcript": words("", "what it says, where you know it: lips get surer"),
                "life": amount(0.0),
                "seed": SEED,
            }
        }

    def capture(self, audio: dict[str, Any], fps: float, transcript: str, life: float, seed: int) -> tuple:
        """(motion,)."""
        from pipelines import CapturePipeline

        take = CapturePipeline()(
            sound(audio),
            fps=f"{fps:g}",
            blink=life,
            gaze_motion=life,
            head_motion=life,
            seed=seed,
            transcript=transcript.strip() or None,
        )
        return (take.motion,)


class Reconstruct:
    """A rigged, textured 3D head of a photo, as a file."""

    CATEGORY, FUNCTION, OUTPUT_NODE = CATEGORY, "reconstruct", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("model_file",)
    DESCRIPTION = "Makes a rigged and textured 3D head of a photo; with a motion it moves."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        from pipelines.output import HEADS

        return {
            "required": {
                "photo": ("IMAGE",),
                "filename_prefix": words("head"),
                "ending": (list(HEADS),),
                "face": FACE,
            },
            "optional": {"motion": (MOTION,)},
        }

    def reconstruct(self, photo: Any, filename_prefix: str, ending: str, face: int, motion: Any = None) -> tuple:
        """(path of the file in the output folder,)."""
        from pipelines import ReconstructionPipeline

        head = ReconstructionPipeline()(pictures(photo)[0], face=face - 1)
        return (str(head.save(new_file(filename_prefix, ending), motion).path),)


class Generate:
    """New portraits of a prompt, a person, an expression and a pose."""

    CATEGORY, FUNCTION = CATEGORY, "generate"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE",), ("images",)
    DESCRIPTION = "Makes portraits by diffusion; pictures lend the person, the expression and the pose."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        return {
            "required": {
                "prompt": ("STRING", {"default": "a portrait, window light", "multiline": True}),
                "negative": words(),
                "model": words("", "a folder as diffusers saves it; empty: the package's miniature, 64 x 64"),
                "identity_adapter": words("", "a file: IP-Adapter FaceID, InstantID, Arc2Face"),
                "controlnet": words("", "a folder; it sees the surface normals of the posed head"),
                "emotion": emotions(),
                "strength": amount(0.6),
                "shapes": words("", "ARKit blendshapes and easy names: smile=0.8 jawOpen=0.2"),
                "yaw": amount(0.0, -45.0, 45.0, 1.0),
                "pitch": amount(0.0, -45.0, 45.0, 1.0),
                "seed": SEED,
                "count": ("INT", {"default": 1, "min": 1, "max": 64}),
                "steps": ("INT", {"default": 30, "min": 1, "max": 1000}),
                "guidance": amount(0.0, 0.0, 30.0, 0.5),
            },
            "optional": {"identity": ("IMAGE",), "expression": ("IMAGE",), "pose": ("IMAGE",)},
        }

    def generate(
        self,
        prompt: str,
        negative: str,
        model: str,
        identity_adapter: str,
        controlnet: str,
        emotion: str,
        strength: float,
        shapes: str,
        yaw: float,
        pitch: float,
        seed: int,
        count: int,
        steps: int,
        guidance: float,
        identity: Any = None,
        expression: Any = None,
        pose: Any = None,
    ) -> tuple:
        """(images,); guidance 0 is the model's own."""
        from .exchange import maker

        made = maker(model.strip(), controlnet.strip(), identity_adapter.strip())(
            prompt,
            negative=negative.strip() or None,
            identity=None if identity is None else [picture[..., :3] for picture in pictures(identity)],
            expression=None if expression is None else pictures(expression)[0],
            pose=None if pose is None else pictures(pose)[0],
            emotion=None if emotion == NONE else {emotion: strength},
            shapes=settings(shapes, "--set"),
            yaw=yaw,
            pitch=pitch,
            seed=seed,
            count=count,
            steps=steps,
            guidance=guidance or None,
            progress=reporter(),
        )
        return (images(made.images),)


class SaveMotion:
    """A motion as a file for Unreal, Blender or three.js."""

    CATEGORY, FUNCTION, OUTPUT_NODE = CATEGORY, "save", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("file",)
    DESCRIPTION = "Writes a motion: CSV of Live Link Face, npz, JSON, or a head in motion (GLB, USD)."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple]]:
        """What ComfyUI shows and connects."""
        from pipelines.output import ANIMATED, MOTIONS

        return {
            "required": {
                "motion": (MOTION,),
                "filename_prefix": words("motion"),
                "ending": ([*MOTIONS, *ANIMATED],),
            }
        }

    def save(self, motion: Any, filename_prefix: str, ending: str) -> tuple:
        """(path of the file in the output folder,)."""
        from pipelines import Capture

        take = Capture(motion.fps, len(motion), lambda: iter([motion]), seen=False)
        return (str(take.save(new_file(filename_prefix, ending)).path),)
