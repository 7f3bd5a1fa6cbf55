"""The training set on disk, and recorded people found in the folders of programs that bring their words."""

import io
import struct

import av
import numpy as np
import pytest

from controls.lipsync.mel import HOP, RATE, WINDOW
from controls.lipsync.phones import INDEX
from controls.lipsync.transcript import read_transcript
from demos.make_sample_speech import SPEECH, TEXT
from demos.speech_training.corpus import levelled, load, load_texts, write
from demos.speech_training.queen import dialogues
from demos.speech_training.recorded import clips, fillets, label, queen, stamps
from studio.errors import MediaError
from studio.media import Audio


def test_clips_come_back_as_they_were_stored(tmp_path):
    pick = np.random.default_rng(0)
    stored = []
    for i in range(5):
        samples = levelled(pick.normal(size=8000 + 1000 * i).astype(np.float32))
        stored.append(
            (samples, pick.integers(0, 40, (len(samples) - WINDOW) // HOP + 1).astype(np.int16), "a/b", f"t{i}")
        )
    seconds = write(tmp_path, stored[:3])
    write(tmp_path, stored[3:])  # goes on after what is there
    assert seconds == {"a/b": pytest.approx(sum(len(s) for s, *_ in stored[:3]) / RATE)}
    back = load(tmp_path)
    assert [voice for *_, voice in back] == ["a/b"] * 5 and load_texts(tmp_path) == [f"t{i}" for i in range(5)]
    for (samples, marks, *_), (found, labels, _) in zip(stored, back, strict=True):
        assert np.abs(samples - found).max() < 1e-4 and (marks == labels).all()


def test_silence_and_snippets_are_no_clips():
    assert levelled(np.zeros(RATE, np.float32)) is None
    assert levelled(np.ones(2000, np.float32)) is None
    assert np.abs(levelled(np.full(RATE, 0.1, np.float32))).max() == pytest.approx(0.7)


def test_lines_and_captions_are_found_with_their_words(tmp_path):
    (tmp_path / "script" / "city").mkdir(parents=True)
    (tmp_path / "sound" / "city" / "cs").mkdir(parents=True)
    (tmp_path / "script" / "city" / "dialogs_cs.lua").write_text(
        'dialogId("vit-a", "font", "Hello.")\ndialogStr("Ahoj.")\n\n\n'
        'dialogId("vit-b", "font", "Yes.")\ndialogStr("Ano.")\n'
    )
    for name in ("vit-a", "vit-b", "unknown"):
        (tmp_path / "sound" / "city" / "cs" / f"{name}.ogg").touch()
    found = [(path.stem, text) for path, text in fillets(tmp_path, "cs")]
    assert found == [("vit-a", "Ahoj."), ("vit-b", "Ano.")]
    assert list(fillets(tmp_path, "nl")) == []

    (tmp_path / "stamps").mkdir()
    (tmp_path / "stamps" / "cat.txt").write_text("A cat.\nfr.utf8=Un chat.\nes.utf8=Un gato.\n")
    (tmp_path / "stamps" / "cent.txt").write_text("A cent.\nfr.utf8=1 cent.\n")
    for name in ("cat_desc_fr.ogg", "cent_desc_fr.ogg", "dog_desc_fr.ogg"):
        (tmp_path / "stamps" / name).touch()
    assert [(path.name, text) for path, text in stamps(tmp_path, "fr")] == [("cat_desc_fr.ogg", "Un chat.")]

    with pytest.raises(MediaError, match="no spoken lines in 'nl'"):
        next(clips(fillets, tmp_path, "nl", 1.0))


def test_words_are_laid_along_the_sound():
    phones = read_transcript(SPEECH.with_suffix(".TextGrid"))[0].phones
    sound = np.concatenate(list(Audio.open(SPEECH).blocks(rate=RATE)))
    marks, sure = label(sound, TEXT, "en-us")
    _, wrong = label(sound, "completely other words which nobody ever said in here", "en-us")
    assert sure > wrong + 0.3
    middles = (np.arange(len(marks)) * HOP + WINDOW / 2) / RATE
    truth = np.full(len(marks), INDEX["sil"])
    for start, end, phone in phones:
        truth[(middles >= start) & (middles < end)] = INDEX[phone]
    shut = [INDEX[p] for p in "pbm"]
    assert np.mean(np.isin(marks, shut)[np.isin(truth, shut)]) > 0.75


def game(path, lines, again, sound, key=3):
    """A file laid out as Flight of the Amazon Queen's: one dialogue, Joe's lines then the other's, and its sounds."""
    end = lambda text, align: bytes(-(1 + len(text)) % align if text else 0)
    string = lambda text, align: bytes([len(text)]) + text.encode() + end(text, align)
    joe, other = lines
    listed = [b"".join(struct.pack(">HH", 0, n) + string(text, 4) for n, text in part.items()) for part in (joe, other)]
    body = bytes(32) + listed[0] + listed[1]
    head = struct.pack(">5h", 0, 0, key, len(joe), len(other)) + bytes(12)
    head += struct.pack(">3H", 32 + len(listed[0]), 0, len(body))
    body = head + bytes(4) + body[32:] + b"".join(string(text, 2) for text in again)
    files = {"WITCH2.DOG": bytes(20) + body} | dict.fromkeys(
        ("03000AJ1.SB", "03000AJ2.SB", "0301F0P1.SB", "03XXXXJ1.SB"), sound
    )
    at = 15 + 21 * len(files)
    table = b""
    for name, data in files.items():
        table += struct.pack(">12sBII", name.encode(), 1, at, len(data))
        at += len(data)
    head = b"QTBL" + b"CEM10\0" + b"\0\0" + b"\x01" + struct.pack(">H", len(files))
    path.write_bytes(head + table + b"".join(files.values()))


def test_dialogues_of_the_adventure_game_are_read(tmp_path):
    times = np.arange(11025) / 11025
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32) * 0.5
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp3") as file:
        stream = file.add_stream("libmp3lame", rate=11025, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="fltp", layout="mono")
        frame.rate = 11025
        file.mux(stream.encode(frame)), file.mux(stream.encode(None))
    path = tmp_path / "queen.1c"
    lines = {10: "Good day.*FLIt rains.", 11: "No sound of this."}, {0x1F0: "*XY00(237,112)Never mind."}
    game(path, lines, ["", "Hello again."], buffer.getvalue())
    found = [(voice.speaker, text) for voice, text in dialogues(path)]
    # the command in front of the other's line makes an empty first segment, which has the only sound
    assert found == [("joe", "Good day."), ("joe", "It rains."), ("joe", "Hello again.")]
    samples = next(dialogues(path))[0].samples()
    assert samples.dtype == np.float32 and len(samples) == pytest.approx(RATE, abs=0.15 * RATE)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) * RATE / len(samples) == pytest.approx(440, abs=2)
    assert list(queen(tmp_path, "held-out")) == [] and len(list(queen(tmp_path, "en-us"))) == 3

    path.write_bytes(b"another file, of some other kind")
    with pytest.raises(MediaError, match="not the compressed game"):
        next(dialogues(path))
