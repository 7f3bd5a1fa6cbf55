"""Motion sent live, read by a receiver of our own on loopback."""

import json
import socket
import struct
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avatars.export.live import livelink_packet, read_livelink
from pipelines.stream import StreamPipeline, Target, paced
from studio.arkit import ARKIT, INDEX
from studio.errors import MediaError, UsageError
from studio.motion import FaceMotion
from studio.motion_io import CSV_COLUMNS


class Receiver:
    """A UDP port of loopback that keeps what comes and when."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.2)
        self.port = self.socket.getsockname()[1]
        self.got, self.times, self.ended = [], [], False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            try:
                self.got.append(self.socket.recv(65536))
                self.times.append(time.monotonic())
            except TimeoutError:
                if self.ended:
                    return

    def close(self):
        self.ended = True
        self.thread.join(5)
        self.socket.close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


@pytest.fixture
def take():
    pick = np.random.default_rng(3)
    head = pick.normal(0, 0.2, (30, 6))
    confidence = np.ones(30)
    confidence[7] = 0
    return FaceMotion(pick.random((30, 52)), Fraction(30000, 1001), head, confidence)


def test_the_packet_is_laid_out_as_told():
    motion = FaceMotion(np.arange(52)[None] / 52, Fraction(30000, 1001), [[0.3, 0.2, 0.1, 0, 0, 0]], start=5)
    data = livelink_packet(motion, 0, "Ann")
    assert data[0] == 6 and data[1:5] == b"\0\0\0\x24"  # read as a little-endian 6 and "$..." by some receivers
    assert data[41:45] == b"\0\0\0\x03" and data[45:48] == b"Ann"
    assert struct.unpack(">ifiiB", data[48:65]) == (5, 0.0, 30000, 1001, 61) and len(data) == 65 + 61 * 4
    values = np.array(struct.unpack(">61f", data[65:]))
    assert np.allclose(values[:52], np.arange(52) / 52, atol=1e-7)
    assert np.allclose(values[52:55], [0.3, -0.2, 0.1], atol=1e-7)


def test_columns_of_the_recording_are_sixty_three():
    assert len(CSV_COLUMNS) == 63 and len(set(CSV_COLUMNS)) == 63
    assert {name.lower() for name in CSV_COLUMNS[2:54]} == {name.lower() for name in ARKIT}


def test_the_packet_has_the_apps_order(shared):
    table = json.loads((shared / "face_maps.json").read_text("utf-8"))["livelink_csv"]
    assert [n.lower() for n in table["packet_order"][:52]] == [n.lower() for n in ARKIT]
    assert table["columns"] == list(CSV_COLUMNS)


def test_packets_come_back(take):
    for k in range(len(take)):
        frame = read_livelink(livelink_packet(take, k))
        assert frame.frame == k and frame.fps == take.fps and frame.subject == "FaceStudio"
        if k == 7:
            assert frame.values is None
        else:
            assert np.array_equal(frame.values[:52], take.weights[k])


@pytest.mark.parametrize("cut", [0, 1, 3, 30, 50, 70, 200])
def test_packets_that_are_none(take, cut):
    with pytest.raises(MediaError):
        read_livelink(livelink_packet(take, 0)[:cut])


def test_livelink_arrives_in_time(take, receiver):
    sent = StreamPipeline()(f"livelink://127.0.0.1:{receiver.port}", motion=take)
    receiver.close()
    frames = [read_livelink(data) for data in receiver.got]
    assert sent.frames == 30 and [f.frame for f in frames] == list(range(30))
    assert np.array_equal(frames[20].values[:52], take.weights[20])
    assert abs(sent.seconds - 29 * 1001 / 30000) < 0.25  # the machine may be busy; the beat itself is tested below


def test_vmc_arrives(take, receiver):
    osc = pytest.importorskip("pythonosc.osc_packet", reason="the extra 'live' is not installed")
    StreamPipeline()(f"vmc://127.0.0.1:{receiver.port}", motion=take[:3])
    receiver.close()
    messages = [m.message for m in osc.OscPacket(receiver.got[1]).messages]
    shapes = {m.params[0]: m.params[1] for m in messages if m.address == "/VMC/Ext/Blend/Val"}
    assert len(shapes) == 52 and abs(shapes["JawOpen"] - take.weights[1, INDEX["jawOpen"]]) < 1e-6
    addresses = [m.address for m in messages]
    assert addresses[0] == "/VMC/Ext/OK" and addresses[-1] == "/VMC/Ext/Blend/Apply"
    assert [m.params[0] for m in messages if m.address == "/VMC/Ext/Bone/Pos"] == ["Head", "LeftEye", "RightEye"]


def test_bones_are_in_unitys_frame(receiver):
    osc = pytest.importorskip("pythonosc.osc_packet", reason="the extra 'live' is not installed")
    left = FaceMotion(np.zeros((1, 52)), 25, [[0.5, 0, 0, 0, 0, 0]])  # towards the subject's left: +X here, -X in Unity
    StreamPipeline()(f"vmc://127.0.0.1:{receiver.port}", motion=left)
    receiver.close()
    head = next(m.message for m in osc.OscPacket(receiver.got[0]).messages if "Bone" in m.message.address)
    assert np.allclose(head.params[4:], [0, -np.sin(0.25), 0, np.cos(0.25)], atol=1e-6)


def test_the_beat_does_not_drift():
    """A clock that only moves when somebody waits: due times are exact, a late block starts the beat anew."""
    now, stalls, sent = [0.0], [], []

    class Stop:
        def wait(self, seconds):
            now[0] += seconds

        def is_set(self):
            return False

    def source():
        for n in range(3):
            if n == 2:
                now[0] += 5
            yield FaceMotion.still(1000, Fraction(30000, 1001))

    for _ in paced(source(), Stop(), lambda: now[0], lambda: stalls.append(now[0])):
        sent.append(now[0])
    assert np.allclose(sent[:2000], np.arange(2000) * 1001 / 30000, rtol=0, atol=1e-9)
    assert len(stalls) == 1 and np.allclose(np.diff(sent[2000:]), 1001 / 30000)


def test_it_stops_and_leaves_a_face_at_rest(receiver):
    cancel = threading.Event()
    threading.Timer(0.4, cancel.set).start()
    open_jaw = FaceMotion.still(600, 60, {"jawOpen": 0.7})
    began = time.monotonic()
    sent = StreamPipeline()(f"livelink://127.0.0.1:{receiver.port}", motion=open_jaw, cancel=cancel)
    assert time.monotonic() - began < 3 and sent.frames < 200
    receiver.close()
    last = read_livelink(receiver.got[-1])
    assert not last.values.any() and len(receiver.got) == sent.frames + 1


def test_speech_is_sent(receiver):
    from studio.media import Audio

    sound = Audio.from_array(np.random.default_rng(0).normal(0, 0.05, 16000).astype(np.float32), 16000)
    sent = StreamPipeline()(f"livelink://127.0.0.1:{receiver.port}", audio=sound, fps=30)
    receiver.close()
    assert sent.frames == len(receiver.got) == 30


def test_a_camera_is_followed():
    from controls.live import camera_motion
    from studio.picture import read_image

    picture = read_image(Path(__file__).resolve().parents[2] / "demos" / "assets" / "astronaut.jpg").rgb[..., ::-1]

    class Camera:
        def __init__(self, _):
            self.left, self.released = 40, False

        def isOpened(self):
            return self.left > 0

        def set(self, *_):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, picture

        def release(self):
            self.released = True

    made = Camera(0)
    stop = threading.Event()
    frames = []
    for block in camera_motion(0, Fraction(10), stop, lambda _: made):
        frames.append(block)
        if len(frames) == 5:
            stop.set()
    assert made.released and all(f.confidence[0] > 0 for f in frames)
    assert max(f.weights.max() for f in frames) < 0.1  # a face at rest, against its own neutral


@pytest.mark.parametrize(
    "text", ["", "livelink:/x", "ftp://host:1", "vmc://", "livelink://a b:1", "vmc://host:0", "vmc://host:70000"]
)
def test_targets_that_are_none(text):
    with pytest.raises(UsageError):
        Target.parse(text)


def test_targets():
    assert Target.parse("livelink://unreal.local") == Target("livelink", "unreal.local", 11111)
    assert Target.parse("VMC://[::1]:400") == Target("vmc", "::1", 400)
    with pytest.raises(UsageError, match="one source"):
        StreamPipeline()("vmc://127.0.0.1", motion="a", audio="b")
