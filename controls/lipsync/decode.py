"""The likeliest course of phones: Viterbi over the network's answers, free or along a known text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SWITCH_COST = 3.5
"""What a change of phone costs in log probability: short-lived guesses lose."""
_KEEP = 400  # frames held back: paths have met long before


class FreePath:
    """Phones with one price for every change, decided some seconds behind: memory does not grow with the sound."""

    def __init__(self, cost: float = SWITCH_COST) -> None:
        self.cost = cost
        self._score: np.ndarray | None = None
        self._back: list[np.ndarray] = []

    def feed(self, logs: np.ndarray) -> np.ndarray:
        """(n, classes) log-probabilities -> (m,) classes that are decided by now."""
        for row in logs:
            if self._score is None:
                self._score = row.astype(np.float64)
                continue
            best = int(self._score.argmax())
            change = self._score[best] - self.cost
            stay = self._score >= change
            self._back.append(np.where(stay, np.arange(len(row)), best).astype(np.int16))
            self._score = np.where(stay, self._score, change) + row
        if len(self._back) < 4 * _KEEP:
            return np.zeros(0, int)
        path = self._trace()
        decided = len(path) - _KEEP
        self._back = self._back[decided:]
        self._score -= self._score.max()  # type: ignore[operator]
        return path[:decided]

    def finish(self) -> np.ndarray:
        """The rest."""
        return self._trace() if self._score is not None else np.zeros(0, int)

    def _trace(self) -> np.ndarray:
        path = np.empty(len(self._back) + 1, int)
        path[-1] = int(self._score.argmax())  # type: ignore[union-attr]
        for i in range(len(self._back) - 1, -1, -1):
            path[i] = self._back[i][path[i + 1]]
        return path


def best_path(logs: np.ndarray, cost: float = SWITCH_COST) -> np.ndarray:
    """(n, classes) log-probabilities -> (n,) classes."""
    path = FreePath(cost)
    return np.concatenate([path.feed(logs), path.finish()])


def text_path(logs: np.ndarray, words: Sequence[Sequence[int]], silence: int = 0, band: int = 3000) -> np.ndarray:
    """(n, classes) log-probabilities and the words' classes -> (n,) classes along the words.

    Pauses may lie between words and at the ends only. The path keeps within `band` states of an even pace.
    Where the sound is too short for the text, what does not fit is left out at the end.
    """
    states = [silence]
    for word in words:
        states += [*word, silence]
    chain = np.array(states)
    optional = chain == silence
    n, count = len(logs), len(chain)
    width = min(count, band)
    low = np.clip(np.round(np.linspace(0, count, n)).astype(int) - width // 2, 0, count - width)
    back = np.zeros((n, width), np.int8)
    score = np.full(count + 2, -np.inf)  # two in front: the steps from before the first state
    score[2] = logs[0, chain[0]]
    if count > 1:
        score[3] = logs[0, chain[1]]
    for i in range(1, n):
        a, b = low[i], low[i] + width
        stay, step, skip = score[a + 2 : b + 2], score[a + 1 : b + 1], score[a:b]
        skip = np.where(np.concatenate([[False], optional[: count - 1]])[a:b], skip, -np.inf)
        options = np.stack([stay, step, skip])
        choice = options.argmax(0)
        back[i] = choice
        value = np.take_along_axis(options, choice[None], 0)[0] + logs[i, chain[a:b]]
        score[:] = -np.inf
        score[a + 2 : b + 2] = value
    ends = score[2:]
    state = count - 1 if ends[-1] >= (ends[-2] if count > 1 else -np.inf) else count - 2
    if not np.isfinite(ends[state]):
        state = int(ends.argmax())
    path = np.empty(n, int)
    for i in range(n - 1, -1, -1):
        path[i] = chain[state]
        state -= int(back[i, state - low[i]]) if i else 0
    return path


def without_short_pauses(
    path: np.ndarray, logs: np.ndarray, frames: int, silence: int = 0, known: bool = False
) -> np.ndarray:
    """Pauses inside speech of fewer than `frames` go to the likeliest phone: soft consonants pass for pauses.

    known  only to one of the two phones beside it, where the text says that nothing else is there.
    """
    path = path.copy()
    edges = np.flatnonzero(np.diff(path)) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(path)]])
    for a, b in zip(starts[1:-1], ends[1:-1], strict=True):
        if path[a] == silence and b - a < frames:
            mean = logs[a:b].mean(0)
            mean[silence] = -np.inf
            if known:
                mean[np.setdiff1d(np.arange(len(mean)), (path[a - 1], path[b]))] = -np.inf
            path[a:b] = mean.argmax()
    return path
