"""Which values are the same to a search that learns, and what its finds say for the best one."""

import dataclasses
import math

import numpy as np

from jaxglobal.evidence import confidence, minima, stopping
from jaxglobal.evidence.confidence import Evidence
from jaxglobal.starts.elite import EliteSet, lowest_of
from jaxglobal.starts.state import State

HALF_DIGITS = 0.5  # times the root of eps, of its size: by what a value may differ within one minimum, being noise


@dataclasses.dataclass(frozen=True)
class Weighing:
    """How the finds of a search are weighed.

    Attributes:
        rules: which values are the same.
        eps: rounding of the values.
        noise: the error of a value.
        above: see `confidence.learn`.
        values: (n,) how many values each whole variable has, see `lattice`; 0 of the others.
    """

    rules: stopping.Rules
    eps: float
    noise: float
    above: float
    values: np.ndarray

    def evidence(
        self, state: State, pool: EliteSet, x: np.ndarray, f: np.ndarray, sure: np.ndarray, fresh: int
    ) -> Evidence:
        """The evidence with searches that ended at x and f, so many of them from fresh starts. pool: after them."""
        best = min(lowest_of(pool), float(state.evidence.f))
        tolerance = self.tolerance(state, pool, best)
        known = len(state.pool.f) and len(pool.f)
        moved = float(np.max(np.abs(pool.x[0] - state.pool.x[0]))) if known else math.inf
        if known and np.any(np.abs(pool.x[0] - state.pool.x[0]) * self.values > 0.5):
            moved = math.inf  # another assignment of whole numbers is no last digits
        side = 2 * minima.cell_side(self.eps)  # within which two ends are one minimum
        near = np.max(np.abs(x - pool.x[:1]), axis=1, initial=0) <= side if len(pool.x) else False
        noise = HALF_DIGITS * self.eps**0.5 * abs(best)
        moved = 0.0 if moved <= side else moved
        return confidence.learn(
            state.evidence, f, np.arange(len(f)) < fresh, sure, tolerance, moved, near, noise, self.above
        )

    def tolerance(self, state: State, pool: EliteSet, best: float) -> float:
        """By how much values as good as the best may differ and be the same."""
        if not math.isfinite(best):
            return 0.0
        spread = float(np.median(pool.f) - pool.f[0]) if len(pool.f) else 0.0
        return stopping.tolerance(self.rules, best, self.eps, spread, float(state.scale), self.noise)
