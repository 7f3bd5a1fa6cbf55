"""Pictures, videos and sound, read and written: the names of the media rooms in one place."""

from studio.audio import Audio, frames_for
from studio.clip import Clip, Frame, parse_fps
from studio.picture import Picture, check_output, read_image, write_image
from studio.sinks import Encoding
from studio.writer import VideoWriter

__all__ = [
    "Audio",
    "Clip",
    "Encoding",
    "Frame",
    "Picture",
    "VideoWriter",
    "check_output",
    "frames_for",
    "parse_fps",
    "read_image",
    "write_image",
]
