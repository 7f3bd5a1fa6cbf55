"""The training set on disk, and recorded people found in the folders of programs that bring their words."""

import numpy as np
import pytest

from controls.lipsync.mel import HOP, RATE, WINDOW
from controls.lipsync.phones import INDEX
from controls.lipsync.transcript import read_transcript
from demos.make_sample_speech import SPEECH, TEXT
from demos.speech_training.corpus import levelled, load, load_texts, write
from demos.speech_training.recorded import clips, fillets, label, stamps
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
    assert np.mean(np.isin(marks, shut)[np.isin(truth, shut)]) > 0.8
