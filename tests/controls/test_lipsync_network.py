"""The lip-sync network's ears and arithmetic: against librosa and torch, and in chunks of any size."""

import numpy as np
import pytest

from controls.lipsync.mel import FEATURES, FILTERS, HOP, RATE, WINDOW, Ear, log_mel
from controls.lipsync.network import DELAYS, LipNetwork, load_weights
from controls.lipsync.phones import ARPABET, NAMES, PHONES, VISEMES, from_arpabet, from_ipa
from studio.errors import WeightsError


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise that swells and fades, so that loudness matters."""
    pick = np.random.default_rng(seed)
    count = int(seconds * RATE)
    swell = 0.02 + 0.2 * np.abs(np.sin(np.arange(count) / RATE * 4))
    return (pick.normal(size=count) * swell).astype(np.float32)


def chunks(samples: np.ndarray, seed: int = 1) -> list[np.ndarray]:
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(samples), 40))
    return np.split(samples, cuts)


def test_filters_and_spectra_agree_with_librosa():
    librosa = pytest.importorskip("librosa")
    wanted = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=40, fmin=60, fmax=7600, htk=True, norm=None)
    assert np.abs(FILTERS.T - wanted).max() < 1e-5
    sound = noise(1.0)
    hann = np.hanning(WINDOW)
    spectrum = librosa.stft(sound, n_fft=512, hop_length=HOP, win_length=WINDOW, window=hann, center=False)
    # librosa centres a short window in its longer frame
    power = np.abs(spectrum) ** 2
    ours = log_mel(np.pad(sound, (0, 512)))[: power.shape[1] + 1]
    late = (512 - WINDOW) // 2
    moved = log_mel(np.pad(sound, (0, 512))[late:])[: power.shape[1]]
    assert np.abs(moved - np.log(wanted @ power + 1e-7).T).max() < 2e-3
    assert ours.shape[1] == 40


def test_ear_hears_the_same_in_any_chunks():
    sound = noise(3.0)
    whole = Ear().feed(sound)
    ear = Ear()
    parts = np.concatenate([ear.feed(chunk) for chunk in chunks(sound)])
    assert whole.shape == ((len(sound) - WINDOW) // HOP + 1, FEATURES)
    assert np.abs(parts - whole).max() < 1e-5


def test_ear_is_blind_to_level():
    sound = noise(2.0)
    loud, quiet = Ear().feed(sound), Ear().feed(sound * np.float32(0.3))
    assert np.abs(loud[30:, :40] - quiet[30:, :40]).max() < 0.15


def test_silence_is_finite_and_flat():
    features = Ear().feed(np.zeros(RATE, np.float32))
    assert np.isfinite(features).all()
    assert np.ptp(features[50:, :40], axis=0).max() < 1e-3


@pytest.mark.parametrize("head", list(DELAYS))
def test_network_streams(head):
    features = Ear().feed(noise(2.0))
    weights = load_weights()
    logs, lips = LipNetwork(weights, head).feed(features)
    assert logs.shape == (len(features), len(NAMES))
    assert np.abs(np.exp(logs).sum(1) - 1).max() < 1e-4
    assert lips.min() >= 0 and lips.max() <= 1
    network = LipNetwork(weights, head)
    parts = [network.feed(part) for part in np.array_split(features, 37)]
    assert np.abs(np.concatenate([p[0] for p in parts]) - logs).max() < 1e-3
    assert np.abs(np.concatenate([p[1] for p in parts]) - lips).max() < 1e-4


def test_numpy_and_torch_agree():
    torch = pytest.importorskip("torch")
    from demos.speech_training.model import LipNet, export

    torch.manual_seed(0)
    net = LipNet()
    with torch.no_grad():
        for module in net.modules():  # as after training: norms are no longer 0 and 1
            if isinstance(module, torch.nn.BatchNorm1d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    net.eval()
    features = Ear().feed(noise(2.0))
    weights = {name: tensor.numpy() for name, tensor in export(net).items()}
    with torch.no_grad():
        answers = net(torch.from_numpy(features)[None])
    for head, (logits, shape) in answers.items():
        logs, lips = LipNetwork(weights, head).feed(features)
        assert np.abs(logits.log_softmax(-1)[0].numpy() - logs).max() < 1e-3
        assert np.abs(shape[0].numpy().clip(0, 1) - lips).max() < 1e-4


def test_training_hears_what_running_hears():
    """One and the same front end: the module that trains imports it, and has none of its own."""
    pytest.importorskip("torch")
    from demos import train_speech

    assert train_speech.Ear is Ear


def test_foreign_weights_are_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"stem.weight": np.zeros((3, 3), np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: not a lip-sync network"):
        load_weights(tmp_path / "other.safetensors")


def test_shipped_weights_are_small():
    from importlib.resources import files

    assert len(files("controls").joinpath("data/lipsync.safetensors").read_bytes()) <= 3_000_000


def test_phones_cover_their_alphabets():
    assert {phone.viseme for phone in PHONES.values()} == set(VISEMES)
    for symbol in ARPABET:
        assert all(phone in PHONES for phone in from_arpabet(symbol))
    assert from_arpabet("AY1") == ("a", "ɪ")
    assert from_ipa("tʃ") == ("tʃ",) and from_ipa("ˈoʊ") == ("o", "ʊ") and from_ipa("ʔ") == ()
    for phone in ("p", "b", "m"):
        assert PHONES[phone].openness == 0 and PHONES[phone].viseme == "PP"
