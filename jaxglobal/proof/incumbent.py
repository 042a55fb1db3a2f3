"""The incumbent, the best point that is proven to keep the constraints, and proven regions about minima."""

import numpy as np

from jaxglobal.proof import feasible, weights
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Model
from jaxglobal.proof.region import Region, region

REPAIRS = 32  # points that keep the constraints nearly, near which one that does is looked for, since the last success
LEAST_VIOLATION = 1e-6  # of a row's own scale, at which a point counts as one that keeps the constraints nearly


class Incumbent:
    """What is known of good points.

    Attributes:
        cut: an upper bound of fun at `x`, the best point known; under constraints at a point beside it, a few roundings
            away, that is proven to keep them.
        x: (n,) that point.
        noise: the width of the enclosure of fun there.
        goal: fun at the best point that keeps the constraints nearly: where none is proven to keep them, the search
            ends there.
        regions: of the known minima.
        weights: of fun and the constraints, see weights.py.
    """

    def __init__(self, model: Model, low: np.ndarray, high: np.ndarray, whole: np.ndarray | None):
        """Knows no point yet; low, high: (n,) the box; whole: (n,) the variables that are whole numbers, if any."""
        self.model, self.low, self.high, self.whole = model, low, high, whole
        self.cut, self.x, self.noise, self.goal = INF, None, 0.0, INF
        self.weights, self._repairs = None, REPAIRS
        self.regions: list[Region] = []
        still = np.zeros(len(low), bool) if whole is None else whole
        self._place = None if model.rows is None else feasible.Place(model, low, high, still)

    def meet(self, x: np.ndarray, further: bool = True) -> None:
        """A point that may be the best; further: see `feasible.near`."""
        x = np.clip(np.asarray(x, float), self.low, self.high)
        if self.whole is not None:
            x = np.where(self.whole, np.rint(x), x)
        ends = (x, x) if self._place is None else feasible.near(self._place, x, further)
        if ends is None:
            self._nearly(x)
            return
        seen = self.model.value(Interval(ends[0][:, None], ends[1][:, None]))
        if seen.safe[0] and seen.f.hi[0] < self.cut:
            self.cut, self.x = float(seen.f.hi[0]), np.clip(0.5 * ends[0] + 0.5 * ends[1], *ends)
            self.noise = self.cut - float(seen.f.lo[0])
            self.weigh()

    def weigh(self) -> None:
        """The weights of fun and the constraints, by those of the best point."""
        if self._place is not None and self.model.derives:
            self.weights, self._repairs = weights.weights(self._place, self.x), REPAIRS

    def _nearly(self, x: np.ndarray) -> None:
        """A point beside which none is proven to keep the constraints."""
        seen = self.model.value(Interval(x[:, None], x[:, None]))
        if self._place is None or not (seen.safe[0] and seen.f.hi[0] < min(self.goal, self.cut)):
            return
        if self.model.derives and self._place.violation(x) <= LEAST_VIOLATION:
            self.goal = float(seen.f.hi[0])
            if self.cut == INF:
                self.x = x
                self.weigh()

    def surround(self, x: np.ndarray) -> Region | None:
        """Looks for a proven region about a point that is not in one."""
        for known in self.regions:
            if np.all(known.low <= x) and np.all(x <= known.high):
                return known
        found = region(self.model, x, self.low, self.high, self.whole)
        if found is not None and any(
            np.all(r.low <= found.tiny[0]) and np.all(found.tiny[1] <= r.high) for r in self.regions
        ):
            return None
        if found is not None:
            self.regions.append(found)
            self.meet(0.5 * (found.tiny[0] + found.tiny[1]))
            self.found(found)
        return found

    @property
    def aim(self) -> float:
        """The value up to which bounds have to come."""
        return self.cut if self.cut < INF else self.goal

    def found(self, region: Region) -> None:
        """Is told of a new region."""
