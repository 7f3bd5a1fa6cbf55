"""The options of LivePortrait and JoyVASA: what they ask for, and what they say where files are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avatars.liveportrait.settings import TransferSettings
from demos.cli import parser
from demos.cli.engine import avatar, speaker, transfer
from studio.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
ASTRONAUT = ROOT / "demos" / "assets" / "astronaut.jpg"


def options(*words: str):
    return parser().parse_args(["animate", "a.jpg", "-o", "b.mp4", *words])


def test_words_become_settings() -> None:
    assert transfer(options()) is None and avatar(options()) is None and speaker(options()) is None
    got = transfer(options("--region", "lip", "--absolute", "--no-stitching", "--retarget-eyes", "--smooth", "off"))
    assert got == TransferSettings(relative=False, region="lip", stitching=False, eye_retargeting=True, smooth="off")


def test_a_model_of_speech_keeps_its_own_ways() -> None:
    class Speaker:
        transfer = TransferSettings(relative=False, multiplier=1.1, stitching=False)

    assert transfer(options(), Speaker()) is None
    assert transfer(options("--region", "exp"), Speaker()) == TransferSettings(
        relative=False, multiplier=1.1, stitching=False, region="exp"
    )


def test_animals_have_a_rule_of_their_own() -> None:
    words = ("--engine", "liveportrait-animals")
    assert transfer(options(*words)) is None
    assert transfer(options(*words, "--smooth", "off")) == TransferSettings(animal=True, stitching=False, smooth="off")
    got = options(*words, "--box", "120,40,300,300", "--box", "1.5,0,20,30")
    assert got.box == [(120, 40, 300, 300), (1.5, 0, 20, 30)]
    for option in ("--absolute", "--retarget-lips", "--region=lip", "--driver-head=off"):
        with pytest.raises(UsageError, match="is for people"):
            transfer(options(*words, option))


def test_what_does_not_go_together() -> None:
    with pytest.raises(UsageError, match="--engine liveportrait"):
        avatar(options("--weights", "x"))
    with pytest.raises(UsageError, match="--compile and --precision"):
        avatar(options("--precision", "bfloat16"))
    with pytest.raises(UsageError, match="JoyVASA hears the sound alone"):
        speaker(options("--driver-model", "joyvasa", "--transcript", "hello"))


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--engine", "liveportrait", "--driver", "x.mp4"), 7, "huggingface.co/KwaiVGI/LivePortrait"),
        (("--driver-model", "joyvasa", "--audio", "x.wav"), 7, "huggingface.co/jdh-algo/JoyVASA"),
        (("--region", "lip", "--audio", str(ROOT / "demos/assets/speech.wav")), 2, "engine='liveportrait'"),
        (("--engine", "liveportrat"), 2, "liveportrait"),
        (("--engine", "liveportrait-animals", "--driver", "x.mp4"), 7, "liveportrait_animals/base_models_v1.1"),
        (("--box", "1,2,3", "--audio", "x.wav"), 2, "X,Y,WIDTH,HEIGHT"),
        (("--driver", "x.pkl"), 7, "x.pkl: no such file"),
    ],
)
def test_what_a_user_is_told(words: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="LivePortrait runs on torch (extra: models)")
    places = {"FACE_STUDIO_MODELS": str(tmp_path), "HF_HUB_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "demos.cli", "animate", str(ASTRONAUT), *words, "-o", str(tmp_path / "out.mp4")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | places,
    )
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code and len(lines) == 1 and says in lines[0], done.stderr
    assert not (tmp_path / "out.mp4").exists()
