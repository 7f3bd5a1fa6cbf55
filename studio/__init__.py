"""The floor: vocabulary, media, progress, errors. Importing it is cheap."""

from studio.arkit import ARKIT
from studio.errors import FaceStudioError
from studio.motion import FaceMotion
from studio.observation import Observation

__version__ = "0.1.0"
__all__ = ["ARKIT", "FaceMotion", "FaceStudioError", "Observation", "__version__"]
