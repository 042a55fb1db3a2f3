"""Boxes that are not split further, halves of those that are, and boxes without the parts in proven regions."""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof.intervals import EPS
from jaxglobal.proof.region import Region

BESIDE = 16.0  # of its widths, within which a box lies at a region
TIMES = 4  # a box is bisected before its parts are tested, at most


class Leaf(NamedTuple):
    """A box that is not split further, with a lower bound of fun."""

    lo: np.ndarray
    hi: np.ndarray
    low: float


def halves(a: np.ndarray, b: np.ndarray, score: np.ndarray, whole: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Boxes, (n, B), bisected along the side of the greatest score: (n, 2 B); a whole number goes to one of the two."""
    side, k = np.argmax(score, 0), np.arange(a.shape[1])
    first, second = b.copy(), a.copy()
    first[side, k] = second[side, k] = 0.5 * (a[side, k] + b[side, k])
    if whole is not None:
        here = whole[side]
        first[side[here], k[here]] = np.floor(first[side[here], k[here]])
        second[side[here], k[here]] = first[side[here], k[here]] + 1
    return np.concatenate([a, second], 1), np.concatenate([first, b], 1)


def least(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Widths of sides that cannot be bisected."""
    return 4 * EPS * np.maximum(abs(a), abs(b)) + 1e-300


def parts(
    a: np.ndarray, b: np.ndarray, score: np.ndarray, whole: np.ndarray | None, most: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes bisected once, and again while that makes at most so many; and of which box each is a part."""
    of = np.arange(a.shape[1])
    for time in range(TIMES):
        score = np.where(b - a > least(a, b), score, -1.0)
        if time and (2 * len(of) > most or (score < 0).all(0).any()):
            break
        side, k = np.argmax(score, 0), np.arange(len(of))
        a, b = halves(a, b, score, whole)
        score[side, k] *= 0.5
        score, of = np.concatenate([score, score], 1), np.concatenate([of, of])
    return a, b, of


def trimmed(lo: np.ndarray, hi: np.ndarray, regions: list[Region]) -> tuple[np.ndarray, ...]:
    """Boxes without the parts in regions, where what is left is a box; which are left at all, and which lie at one."""
    a, b, alive, k = lo.copy(), hi.copy(), np.ones(lo.shape[1], bool), np.arange(lo.shape[1])
    near = np.zeros(lo.shape[1], bool)
    for known in regions:
        inside = (known.low[:, None] <= a) & (b <= known.high[:, None])
        alive &= ~inside.all(0)
        one, d = (~inside).sum(0) == 1, np.argmax(~inside, 0)
        left = one & (known.low[d] <= a[d, k]) & (a[d, k] < known.high[d])
        right = one & (known.high[d] >= b[d, k]) & (known.low[d] < b[d, k])
        a[d[left], k[left]] = known.high[d[left]]
        b[d[right], k[right]] = known.low[d[right]]
        more = BESIDE * (b - a)
        near |= ((known.low[:, None] <= b + more) & (a - more <= known.high[:, None])).all(0)
    return a, b, alive, near
