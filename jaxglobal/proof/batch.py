"""Boxes under test: how they are narrowed, dropped and scored, and the mean value form of what is known of them."""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Model


class Outcome(NamedTuple):
    """What came of a batch.

    Attributes:
        X: the boxes that are left, (n, B).
        low: (B,) lower bounds of fun.
        score: (n, B) how much each side wants to be split.
        row: (B,) which of the boxes that went in.
        best: the least upper bound of fun at a point that was met, and that point.
        gain: the share of boxes that were dropped or narrowed by the Hessian; None where it was not asked.
    """

    X: Interval
    low: np.ndarray
    score: np.ndarray
    row: np.ndarray
    best: tuple[float, np.ndarray | None]
    gain: float | None = None


class Box(NamedTuple):
    """What is searched.

    Attributes:
        low, high: (n, 1) the bounds of the search.
        width: high - low, never zero.
        whole: (n, 1) the variables that are whole numbers; None where there are none.
    """

    low: np.ndarray
    high: np.ndarray
    width: np.ndarray
    whole: np.ndarray | None


class Batch:
    """The state of a batch of boxes.

    Attributes:
        X: the boxes that are left, (n, B).
        row: which of the boxes that went in.
        low: lower bounds of fun.
        G: enclosures of the gradient, (n, B).
        share: what the width of each variable costs a sum of squares.
        best: the least upper bound of fun at a point that was met, and that point.
        more: what else is known of each box, under constraints.
    """

    def __init__(self, model: Model, box: Box, lo: np.ndarray, hi: np.ndarray, cut: float):
        """lo, hi: ends of the boxes, (n, B); cut: an upper bound of the minimum."""
        self.model, self.box, self.cut = model, box, cut
        self.X, self.row = Interval(lo, hi), np.arange(lo.shape[1])
        self.low = np.full(lo.shape[1], -INF)
        self.share = np.zeros_like(lo)
        self.G = Interval(np.full_like(lo, -INF), np.full_like(lo, INF))
        self.best: tuple[float, np.ndarray | None] = (INF, None)
        self.more: dict[str, np.ndarray] = {}

    def keep(self, alive: np.ndarray) -> None:
        """Drops the other boxes."""
        if not alive.all():
            pick = lambda box: Interval(box.lo[:, alive], box.hi[:, alive])  # noqa: E731
            self.X, self.G, self.share = pick(self.X), pick(self.G), self.share[:, alive]
            self.row, self.low = self.row[alive], self.low[alive]
            self.more = {name: part[..., alive] for name, part in self.more.items()}

    def narrow(self, new: Interval, dead: np.ndarray) -> np.ndarray:
        """Meets the boxes with others, and drops those that are dead or empty; which are left. NaN says nothing."""
        lo, hi = np.fmax(self.X.lo, new.lo), np.fmin(self.X.hi, new.hi)
        if self.box.whole is not None:
            lo, hi = drawn_in(lo, hi, self.box.whole)
        alive = ~(dead | (lo > hi).any(0) | (self.low > self.cut))
        self.X = Interval(np.where(alive, lo, self.X.lo), np.where(alive, hi, self.X.hi))
        self.keep(alive)
        return alive

    def raise_low(self, low: np.ndarray) -> None:
        """Lower bounds that hold as well; NaN says nothing."""
        self.low = np.fmax(self.low, low)

    def snapped(self, c: np.ndarray) -> np.ndarray:
        """Points of the boxes, at whole numbers where these are asked for."""
        return c if self.box.whole is None else np.where(self.box.whole, np.rint(c), c)

    def mean_value(
        self, f: Interval, at: np.ndarray, slopes: Any = None, most: float | None = None, below: bool = True
    ) -> None:
        """Fun >= f(at) + G (x - at); at: points of the boxes as they were, inside which G holds.

        slopes, most: of something else, that is at most so much; below: whether it is nowhere above fun.
        """
        X, G, cut = self.X, self.G if slopes is None else slopes, self.cut if most is None else most
        D = iv.sub(X, Interval(at, at))
        p = iv.mul(G, D)
        if below:
            self.raise_low(iv.add(f, iv.total(p, (0,))).lo)
        lows = np.where(np.isfinite(p.lo), p.lo, 0.0)
        bad = ~np.isfinite(p.lo)
        others = iv.total(Interval(lows, lows), (0,)).lo - lows
        others = iv.down(others, 4) - np.abs(lows).sum(0) * (len(lows) + 8) * 2.0**-52
        others = np.where(bad.sum(0) - bad > 0, -INF, others)
        room = iv.up(cut - iv.down(f.lo + others, 2), 2)  # G_i (x_i - at_i) is at most this
        t = iv.quotient(Interval(np.full_like(room, -INF), np.where(room == room, room, INF)), G)
        self.narrow(iv.add(Interval(at, at), t), np.zeros(X.lo.shape[1], bool))

    def score(self) -> np.ndarray:
        """By how much each side may change fun (smear), or what it costs a sum of squares, or its width."""
        w = self.X.hi - self.X.lo
        score, smear = w / self.box.width, iv.size(self.G).hi * w
        if self.cut == INF:  # no point that keeps the constraints is known, and fun does not tell where one is
            return score
        good = np.isfinite(smear).all(0) & (smear > 0).any(0)
        score = np.where(good, smear / np.where(good, smear.max(0, initial=0.0), 1.0), score)
        good = (self.share > 0).any(0)
        total = np.where(good, self.share.sum(0), 1.0)
        return np.where(good, self.share / total + score / np.maximum(score.sum(0), 1e-300), score)


def drawn_in(lo: np.ndarray, hi: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of boxes, at whole numbers where `whole`, (n, 1)."""
    return np.where(whole, np.ceil(lo), lo), np.where(whole, np.floor(hi), hi)
