"""A frame of a motion as datagrams of live protocols.

Live Link Face (Unreal's Apple ARKit plug-in), all big-endian: version u8 = 6; length u32 and text of the device's id;
length u32 and text of its name; frame i32, sub-frame f32, rate's numerator i32 and denominator i32; then, only where a
face is seen, the count u8 = 61 and 61 f32: ARKit's shapes and nine angles, signs as in `studio.motion_io`. The rate is
exact: 30000/1001 travels as such.

VMC (protocol.vmc.info, performer to marionette) is OSC: a bundle a frame with /VMC/Ext/Blend/Val of ARKit's 52 shapes
in PascalCase ("perfect sync"), Apply, the bones Head, LeftEye and RightEye, and the time. Bones are in Unity's frame:
left-handed, +Y up, +Z out of the face, so X is mirrored. Bone places are zero: a receiver keeps its model's own.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from avatars.export.gltf_animation import quaternions
from studio.arkit import ARKIT
from studio.errors import MediaError, require
from studio.motion import FaceMotion

VERSION = 6
PASCAL = tuple(name[0].upper() + name[1:] for name in ARKIT)
_COUNT = len(ARKIT) + 9
_MOST_TEXT = 256


@dataclass(frozen=True)
class LiveLinkFrame:
    """What a Live Link Face datagram says. values (61,) float32, or None where no face was seen."""

    device: str
    subject: str
    frame: int
    sub_frame: float
    fps: Fraction
    values: np.ndarray | None


def device_of(subject: str) -> str:
    """The device's id of a subject: the same at every start, so that a receiver takes it for the same device."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"face-studio.{subject}")).upper()


def livelink_packet(motion: FaceMotion, k: int, subject: str = "FaceStudio") -> bytes:
    """The datagram of frame k of a motion; without values where its confidence is 0."""
    out = struct.pack(">B", VERSION)
    for text in (device_of(subject), subject):
        data = text.encode("utf-8")[:_MOST_TEXT]
        out += struct.pack(">I", len(data)) + data
    number = (motion.start + k) & 0x7FFFFFFF
    out += struct.pack(">ifii", number, 0.0, motion.fps.numerator, motion.fps.denominator)
    if motion.confidence[k] <= 0:
        return out
    yaw, pitch, roll = motion.head[k, :3]
    gaze = motion[k : k + 1].gaze[0]
    eyes = [v for eye in gaze for v in (eye[0], -eye[1], 0.0)]
    values = np.array([*motion.weights[k], yaw, -pitch, roll, *eyes], ">f4")
    return out + struct.pack(">B", _COUNT) + values.tobytes()


def read_livelink(data: bytes) -> LiveLinkFrame:
    """What a datagram says. Raises MediaError for one that is cut short or of another layout."""
    try:
        place = 1
        if data[0] != VERSION:
            raise MediaError(f"a Live Link Face packet of version {data[0]}; {VERSION} is known")
        texts = []
        for _ in range(2):
            (size,) = struct.unpack_from(">I", data, place)
            if size > len(data) - place - 4:
                raise MediaError("a Live Link Face packet that is cut short")
            texts.append(data[place + 4 : place + 4 + size].decode("utf-8"))
            place += 4 + size
        number, part, above, below = struct.unpack_from(">ifii", data, place)
        place += 16
        values = None
        if place < len(data):
            if data[place] != _COUNT or len(data) != place + 1 + 4 * _COUNT:
                raise MediaError(f"a Live Link Face packet of {data[place]} values; {_COUNT} are known")
            values = np.frombuffer(data, ">f4", _COUNT, place + 1).astype(np.float32)
        return LiveLinkFrame(texts[0], texts[1], number, part, Fraction(above, below), values)
    except (struct.error, IndexError, UnicodeDecodeError, ZeroDivisionError) as error:
        raise MediaError(f"no Live Link Face packet ({error})") from error


def vmc_packet(motion: FaceMotion, k: int) -> bytes:
    """The OSC bundle of frame k of a motion. Raises MissingExtraError without python-osc."""
    bundles = require("pythonosc.osc_bundle_builder", extra="live")
    messages = require("pythonosc.osc_message_builder", extra="live")
    bundle = bundles.OscBundleBuilder(bundles.IMMEDIATELY)

    def say(address: str, *values: object) -> None:
        message = messages.OscMessageBuilder(address=f"/VMC/Ext/{address}")
        for value in values:
            kind = {str: "s", int: "i"}.get(type(value), "f")
            message.add_arg(value if kind != "f" else float(value), kind)
        bundle.add_content(message.build())

    seen = bool(motion.confidence[k] > 0)
    say("OK", 1)
    say("T", float((motion.start + k) / motion.fps))
    if seen:
        gaze = motion[k : k + 1].gaze[0]
        turns = np.array([motion.head[k, :3], [*gaze[0], 0.0], [*gaze[1], 0.0]])
        for bone, (x, y, z, w) in zip(("Head", "LeftEye", "RightEye"), quaternions(turns), strict=True):
            say("Bone/Pos", bone, 0.0, 0.0, 0.0, x, -y, -z, w)
        for name, value in zip(PASCAL, motion.weights[k], strict=True):
            say("Blend/Val", name, float(value))
        say("Blend/Apply")
    return bundle.build().dgram


__all__ = ["PASCAL", "LiveLinkFrame", "device_of", "livelink_packet", "read_livelink", "vmc_packet"]
