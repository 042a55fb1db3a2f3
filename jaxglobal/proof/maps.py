"""Linear maps: sums of constants times the entries of a value, by matrix products of middles and radii [1].

A value of k entries is c + d with |d| <= r, the matrix M + E with |E| at most a known error. So

    |result - M c| <= |M| r + |E| (|c| + r) + the rounding of M c, at most k eps |M| |c|,

which is as narrow as the sum of products of intervals, in two products of floating-point matrices.

[1] S. M. Rump, Fast and parallel interval arithmetic, BIT 39 (1999).
"""

import functools
from typing import Any

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import EPS, TINY, Interval
from jaxglobal.proof.node import Node

LARGE = 1e140  # entries beyond which products may overflow
SHARE = 2**18  # products of numbers in one call, of more the library would start threads


class Matrix:
    """A matrix M + E, and what is made of it once.

    Attributes:
        middle: (m, k) M.
        size: |M|.
        error: upper bounds of |E|; None where M is known exactly.
    """

    def __init__(self, middle: np.ndarray, error: np.ndarray | None):
        """Of its middle, and of the bounds of its error if it is not known exactly."""
        self.middle, self.size, self.error = middle, abs(middle), error

    @functools.cached_property
    def small(self) -> bool:
        """Whether its products with small values are finite; false where it is not known."""
        return inside(self.size) and (self.error is None or inside(self.error))

    @functools.cached_property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """1 / |M| above and below zero, (2 m, k), for each sign of M; NaN where M is zero or has the other sign."""
        with np.errstate(all="ignore"):
            over = iv.up(1 / self.size)
        right, left = np.where(self.middle > 0, over, np.nan), np.where(self.middle < 0, over, np.nan)
        return np.concatenate([right, left])[..., None], np.concatenate([left, right])[..., None]

    @property
    def interval(self) -> Interval:
        """The enclosure, with a batch of one."""
        middle = self.middle[..., None]
        if self.error is None:
            return Interval(middle, middle)
        return Interval(iv.down(middle - self.error[..., None]), iv.up(middle + self.error[..., None]))

    @property
    def key(self) -> Any:
        """What tells it from others."""
        return self.middle.shape, self.middle.tobytes(), None if self.error is None else self.error.tobytes()


def times(M: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The product of a matrix and a batch, (k, B), in parts of which each is done by one thread."""
    step = max(SHARE // max(M.size, 1), 1)
    if step >= x.shape[1]:
        return M @ x
    return np.concatenate([M @ x[:, k : k + step] for k in range(0, x.shape[1], step)], 1)


def spread(M: Matrix, a: Interval) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The c and r, (k, B), with M c, bounds of |M| r, and of the error of M c that is left, (m, B) each."""
    k = M.middle.shape[1]
    c = 0.5 * a.lo + 0.5 * a.hi
    r = iv.up(np.maximum(a.hi - c, c - a.lo))
    wide = times(M.size, np.concatenate([r, abs(c)], 1)) * (1 + (k + 4) * EPS) + k * TINY
    batch = c.shape[1]
    off = wide[:, batch:] * ((k + 4) * EPS) + k * TINY
    if M.error is not None:
        off += times(M.error, abs(c) + r) * (1 + (k + 8) * EPS) + k * TINY
    return c, r, times(M.middle, c), wide[:, :batch], off


def forward(node: Node, a: Interval) -> Any:
    """The result, (*shape, B)."""
    M, batch = node.params["matrix"], max(a.lo.shape[-1], a.hi.shape[-1])
    k = M.middle.shape[1]
    lo, hi = (end.reshape(k, -1) for end in a)
    if not (M.small and inside(lo) and inside(hi)):
        lo, hi = unbounded(M, lo, hi)
    else:
        _, _, middle, wide, off = spread(M, Interval(lo, hi))
        slack = iv.up(wide + off)
        lo, hi = iv.down(middle - slack), iv.up(middle + slack)
    return lo.reshape(*node.shape, batch), hi.reshape(*node.shape, batch)


def inside(x: np.ndarray, most: float = LARGE) -> bool:
    """Whether all numbers are known and less than `most` in size: no product of two less than `LARGE` overflows."""
    return bool(np.maximum.reduce(abs(x), None, initial=0.0) < most)


def unbounded(M: Matrix, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The result where an entry or the matrix is infinite or large, product by product."""
    return iv.total(iv.mul(Interval(lo[None], hi[None]), M.interval), (1,))


def backward(node: Node, a: list[Interval], z: Interval, of: list[Node]) -> list[Interval | None]:
    """Each entry is the result less the others: |M| (x - c) <= z - M c + |M| r of the others, and the same below."""
    M, shape = node.params["matrix"], of[0].shape
    m, k = M.middle.shape
    batch = max(part.shape[-1] for part in (*a[0], *z))
    lo, hi = (np.broadcast_to(end, (*shape, batch)).reshape(k, batch) for end in a[0])
    below, above = (np.broadcast_to(end, (*node.shape, batch)).reshape(m, batch) for end in z)
    if not (M.small and inside(lo) and inside(hi)):
        return [None]
    c, r, middle, wide, off = spread(M, Interval(lo, hi))
    rest = wide + off
    over = iv.up(above - middle + rest + 4 * EPS * (abs(middle) + rest), 4)
    under = iv.up(middle - below + rest + 4 * EPS * (abs(middle) + rest), 4)
    sides = np.concatenate([over, under])[:, None]
    most, least = (np.fmin.reduce(sides * share, 0) for share in M.shares)
    most, least = iv.up(most, 4), iv.up(least, 4)  # rounded shares of what is below zero as well
    slack = 4 * EPS * (abs(c) + r)
    top = iv.up(c + (most - r) + (slack + 4 * EPS * abs(most)))
    bottom = iv.down(c - (least - r) - (slack + 4 * EPS * abs(least)))
    return [Interval(bottom.reshape(*shape, batch), top.reshape(*shape, batch))]
