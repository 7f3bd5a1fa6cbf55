"""Face Studio's nodes for ComfyUI: animate, edit, capture, reconstruct, generate.

Link or copy this folder into `ComfyUI/custom_nodes/face_studio` and install the library into ComfyUI's Python
(`pip install face-studio`). `assets/talking.json` is a graph to begin with: drop it onto ComfyUI's page.
"""

from __future__ import annotations

from .nodes import Animate, CaptureSpeech, CaptureVideo, Edit, Generate, Reconstruct, SaveMotion

NODE_CLASS_MAPPINGS = {
    "FaceStudioAnimate": Animate,
    "FaceStudioEdit": Edit,
    "FaceStudioCaptureVideo": CaptureVideo,
    "FaceStudioCaptureSpeech": CaptureSpeech,
    "FaceStudioReconstruct": Reconstruct,
    "FaceStudioGenerate": Generate,
    "FaceStudioSaveMotion": SaveMotion,
}

NODE_DISPLAY_NAME_MAPPINGS = {
    "FaceStudioAnimate": "Animate a portrait",
    "FaceStudioEdit": "Edit a face",
    "FaceStudioCaptureVideo": "Capture motion from a video",
    "FaceStudioCaptureSpeech": "Capture motion from speech",
    "FaceStudioReconstruct": "Make a 3D head",
    "FaceStudioGenerate": "Generate portraits",
    "FaceStudioSaveMotion": "Save a motion",
}

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
