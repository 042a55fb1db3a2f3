"""Boxes that are not split further, halves of those that are, and boxes without the parts in proven regions."""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof.region import Region


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


def trimmed(lo: np.ndarray, hi: np.ndarray, regions: list[Region]) -> tuple[np.ndarray, ...]:
    """Boxes without the parts in regions, where what is left is a box; which are left at all, and which touch one."""
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
        near |= ((known.low[:, None] <= b) & (a <= known.high[:, None])).all(0)
    return a, b, alive, near
