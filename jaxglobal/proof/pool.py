"""The boxes that are left, in arrays that grow, of which the most promising are handed out."""

import numpy as np

from jaxglobal.proof.intervals import INF


class Pool:
    """Boxes with their lower bounds.

    Attributes:
        count: how many.
    """

    def __init__(self, n: int):
        """None, of n variables."""
        self.count, self._lo, self._hi, self._low = 0, np.empty((n, 64)), np.empty((n, 64)), np.empty(64)

    def add(self, lo: np.ndarray, hi: np.ndarray, low: np.ndarray) -> None:
        """Adds boxes, (n, B), with lower bounds, (B,)."""
        end = self.count + len(low)
        if end > len(self._low):
            size = max(end, 2 * len(self._low))
            grown = lambda a: np.concatenate([a[..., : self.count], np.empty((*a.shape[:-1], size - self.count))], -1)  # noqa: E731
            self._lo, self._hi, self._low = grown(self._lo), grown(self._hi), grown(self._low)
        self._lo[:, self.count : end], self._hi[:, self.count : end], self._low[self.count : end] = lo, hi, low
        self.count = end

    def take(self, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Removes the boxes with the lowest bounds, at most so many: their ends, (n, B), and bounds."""
        low = self._low[: self.count]
        pick = np.argpartition(low, most - 1)[:most] if most < self.count else np.arange(self.count)
        pick = np.sort(pick)
        out = self._lo[:, pick].copy(), self._hi[:, pick].copy(), low[pick].copy()
        rest = self.count - len(pick)
        holes = pick[pick < rest]
        moved = np.setdiff1d(np.arange(rest, self.count), pick[pick >= rest])
        self._lo[:, holes], self._hi[:, holes] = self._lo[:, moved], self._hi[:, moved]
        self._low[holes] = self._low[moved]
        self.count = rest
        return out

    def drop(self, cut: float) -> None:
        """Drops the boxes whose lower bound is above the cut."""
        alive = ~(self._low[: self.count] > cut)
        if not alive.all():
            kept = int(alive.sum())
            self._lo[:, :kept], self._hi[:, :kept] = (
                self._lo[:, : self.count][:, alive],
                self._hi[:, : self.count][:, alive],
            )
            self._low[:kept] = self._low[: self.count][alive]
            self.count = kept

    @property
    def least(self) -> float:
        """The least of the lower bounds; inf where there is no box."""
        return float(np.min(self._low[: self.count])) if self.count else INF

    @property
    def boxes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All of them: their ends, (n, B), and bounds."""
        return self._lo[:, : self.count], self._hi[:, : self.count], self._low[: self.count]
