"""Makes the lip-sync network again from nothing: speaks the training set, trains, writes safetensors.

    python -m demos.train_speech corpus/ controls/data/lipsync.safetensors

Needs torch, wordfreq and soundfile from PyPI (`pip install "face-studio[speech-training]"`) and the programs
espeak-ng, flite and festival with their voices (the list is in `controls/data/lipsync.md`). The corpus takes
some 4 minutes and 500 MB, training 20 to 40 minutes on two cores. The shipped weights have heard people as well: the
model card has the four commands. Same seed, same machine: same weights.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from controls.lipsync.curves import lip_curves
from controls.lipsync.mel import HOP, RATE, Ear
from controls.lipsync.network import DELAYS
from controls.lipsync.phones import INDEX, NAMES, PHONES
from demos.speech_training import augment
from demos.speech_training.corpus import Plan, build, load
from demos.speech_training.model import LipNet, export, resume, shifted
from studio.errors import UsageError

_SOFT = np.array([PHONES[name].viseme in ("FF", "TH", "DD", "kk", "SS") for name in NAMES])


SHARES = {"full": 1.0, "quick": 0.4}
"""What each pair of heads counts for in the loss."""

_SHUT = torch.tensor([PHONES[name].viseme == "PP" for name in NAMES])
CLOSURES = 1.0
"""What telling closed lips from open ones counts for: an m that is heard as n is seen at once."""

_RARE = {"FF": 1.6, "TH": 2.5}
_WEIGHT = torch.tensor([_RARE.get(PHONES[name].viseme, 1.0) for name in NAMES])
"""What each phone counts for: tucked lips and a tongue between the teeth are seen, but soft and seldom."""


ROUND = 1300
"""Sequences of 12 s that are degraded at a time, at most."""


def sequence(clips: list, pick: np.random.Generator, augmented: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """About 12 s: a few clips with pauses between, degraded together. Features (T, 42), classes (T,)."""
    sounds, marks = [], []
    frames = 0
    gap = lambda: int(pick.choice([5, 15, 40, 90]) * (0.5 + pick.random()))
    while frames < 1000:
        if augmented and pick.random() < 0.11:
            count = int(pick.integers(100, 400))
            sounds.append(augment.no_speech(count * HOP, pick))
            marks.append(np.full(count, INDEX["sil"], np.int16))
        else:
            samples, labels, _ = clips[pick.integers(len(clips))]
            if augmented:
                samples, labels = augment.stretch(samples, labels, pick.uniform(0.85, 1.18))
                if pick.random() < 0.3:
                    samples = augment.soften(samples, _SOFT[labels], pick)
            whole = len(labels) * HOP
            sounds.append(samples[:whole] * 10 ** pick.uniform(-0.4, 0.1))
            marks.append(labels)
        frames += len(marks[-1])
        pause = gap()
        sounds.append(np.zeros(pause * HOP, np.float32))
        marks.append(np.full(pause, INDEX["sil"], np.int16))
        frames += pause
    sound, mark = np.concatenate(sounds).astype(np.float32), np.concatenate(marks)
    if augmented and pick.random() < 0.65:
        sound = augment.degrade(sound, pick)
    elif augmented and pick.random() < 0.7:
        sound = augment.quiet_room(sound, pick)
    features = Ear().feed(sound)
    return features, mark[: len(features)]


def prepare(
    clips: list, count: int, seed: int, augmented: bool = True
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    pick = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        features, marks = sequence(clips, pick, augmented)
        made.append((features.astype(np.float16), marks, lip_curves(marks)))
    return made


def closure_loss(logits: torch.Tensor, wanted: torch.Tensor, missed: float) -> torch.Tensor:
    """Binary cross-entropy of p, b and m, `missed` ones weighted, against all else. logits (B, T, phones)."""
    logs = logits.log_softmax(-1)
    shut = logs[..., _SHUT].logsumexp(-1)
    apart = logs[..., ~_SHUT].logsumexp(-1)
    return -torch.where(_SHUT[wanted], missed * shut, apart).mean()


def train(
    clips: list,
    *,
    steps: int,
    versions: int,
    seed: int,
    augmented: bool = True,
    start: LipNet | None = None,
    missed: float = 1.5,
    half: bool = False,
    report=print,
) -> LipNet:
    """Trains on sequences made anew in `versions` rounds; returns the network in eval mode.

    start  a trained network to go on with, at a fifth of the pace.
    half   convolutions in bfloat16: twice as fast on processors that have it, several times slower on others.
    """
    torch.manual_seed(seed)
    pick = np.random.default_rng(seed)
    if start is not None and steps == 0:
        return start.eval()
    hours = sum(len(s) for s, _, _ in clips) / RATE / 3600
    per_round = max(50, min(ROUND, int(hours * 3600 / 12)))
    net, pace = (LipNet(), 3e-3) if start is None else (start, 6e-4)
    report(f"{hours:.2f} h of speech, {sum(p.numel() for p in net.parameters()) / 1e6:.2f} M parameters")
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, pace, total_steps=steps, pct_start=0.15)
    began, total, length, batch = time.time(), 0.0, 400, 16
    pool: list = []
    for step in range(steps):
        if step % -(-steps // versions) == 0:
            pool = prepare(clips, per_round, seed + 1000 * step + 1, augmented)
        rows = [pool[i] for i in pick.integers(0, len(pool), batch)]
        starts = [int(pick.integers(0, len(marks) - length)) for _, marks, _ in rows]
        cuts = [[part[s : s + length] for part in row[:3]] for row, s in zip(rows, starts, strict=True)]
        features, marks, lips = (torch.from_numpy(np.stack(part)) for part in zip(*cuts, strict=True))
        features, marks = features.float(), marks.long()
        late = 40  # frames at the start of a crop lack their past
        loss, right = torch.zeros(()), 0.0
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answers = {head: (logits.float(), shape.float()) for head, (logits, shape) in net(features).items()}
        for head, (logits, shape) in answers.items():
            wanted, answered = (shifted(x, DELAYS[head])[:, late:] for x in (marks, lips))
            logits, share = logits[:, late:], SHARES[head]
            loss = loss + share * nn.functional.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), _WEIGHT, label_smoothing=0.05
            )
            loss = loss + share * CLOSURES * closure_loss(logits, wanted, missed)
            loss = loss + share * 20.0 * (shape[:, late:] - answered).square().mean()
            if head == "full" and step % 100 == 99:
                right = (logits.argmax(-1) == wanted).float().mean().item()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        schedule.step()
        total = 0.98 * total + 0.02 * loss.item() if step else loss.item()
        if step % 100 == 99:
            report(f"step {step + 1}/{steps}  loss {total:.3f}  phones right {right:.2f}  {time.time() - began:.0f} s")
    return net.eval()


def blended(weights: list[dict[str, torch.Tensor]], shares: list[float] | None = None) -> dict[str, torch.Tensor]:
    """The mean of trainings that began at one network: surer than each (Wortsman et al. 2022, Model soups, section 3).

    shares  of each, equal if None; they are scaled to sum to 1.
    """
    shares = [1.0] * len(weights) if shares is None else shares
    if len(shares) != len(weights):
        raise UsageError(f"{len(shares)} shares for {len(weights)} networks")
    return {name: sum(s * w[name] for s, w in zip(shares, weights, strict=True)) / sum(shares) for name in weights[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="folder of the training set; spoken first where it is empty")
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=3000, help="0 writes the mean of --start as it is")
    parser.add_argument("--rounds", type=int, default=4, help="how often the degraded training set is made anew")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clean", action="store_true", help="train without augmentation (to see what it is worth)")
    parser.add_argument("--without", default="", help="leave out voices that start so: espeak, flite, festival")
    parser.add_argument("--thin", type=int, default=1, metavar="N", help="use every Nth clip (to try something out)")
    parser.add_argument("--recorded", type=Path, nargs="*", default=[], help="more clips: folders of the same form")
    parser.add_argument("--start", type=Path, nargs="+", help="weights to go on with; of several the mean")
    parser.add_argument("--shares", type=float, nargs="+", help="of each of several starts in the mean")
    parser.add_argument("--missed", type=float, default=1.5, help="what a missed closure counts against a false one")
    parser.add_argument("--half", action="store_true", help="bfloat16: for processors that have it")
    args = parser.parse_args()
    if not any(args.corpus.glob("*.npz")):
        for voice, seconds in build(args.corpus, Plan(seed=args.seed)).items():
            print(f"{voice:40} {seconds / 60:6.1f} min")
    clips = load(args.corpus)[:: args.thin]
    for folder in args.recorded:
        clips += load(folder)[:: args.thin]
    if args.without:
        clips = [clip for clip in clips if not clip[2].startswith(args.without)]
    from safetensors.torch import load_file, save_file

    start = resume(blended([load_file(path) for path in args.start], args.shares)) if args.start else None
    net = train(
        clips,
        steps=args.steps,
        versions=args.rounds,
        seed=args.seed,
        augmented=not args.clean,
        start=start,
        missed=args.missed,
        half=args.half,
    )

    args.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(export(net), args.output, {"format": "face-studio lip-sync 1", "licence": "Apache-2.0"})
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
