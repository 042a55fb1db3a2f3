"""When two costs of a fit are the same, and which of fits that cost the same comes first.

Equal parts of a sum can change places: so they come out in ascending order.
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.evidence.minima import Archive
from jaxglobal.fit.descent import NOISE

CLOSE = 1e-4  # relative: parameters that differ by less are no exchange
SIMILAR = 0.5  # of equal fits those count that were found so often beside the one that was found most


class Equal(NamedTuple):
    """How far costs that are the same may differ."""

    fatol: float
    frtol: float
    floor: float
    """Costs that differ by less differ by rounding errors."""
    power: int
    """Of the residuals that the cost is."""

    @property
    def least(self) -> float:
        """What rounding does to a vanishing cost, or `fatol`."""
        return max(self.fatol, NOISE ** (self.power / 2) * self.floor)

    def near(self, f: float) -> float:
        """The same for costs near f: what rounding does to squares of small residuals."""
        squares = self.power == 2 and np.isfinite(f)
        return self.least + 2 * (max(f, 0.0) * self.floor) ** 0.5 if squares else self.least

    def highest(self, f: float) -> float:
        """The highest cost that is the same as f."""
        return f + self.near(f) + self.frtol * abs(f)


def comes_before(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a is less than b in the first number in which they differ by more than a little."""
    differ = np.flatnonzero(np.abs(a - b) > CLOSE * (np.abs(a) + np.abs(b)))
    return bool(len(differ) and a[differ[0]] < b[differ[0]])


def first_of(archive: Archive, searched: np.ndarray, equal: Equal) -> int:
    """The best minimum; of several with the same cost the first in the order of the searched parameters.

    Aliases of a period also fit equally, but are hardly ever found: those do not count.
    """
    ties = archive.f <= equal.highest(float(archive.f[0]))
    ties = np.flatnonzero(ties & (archive.searches >= SIMILAR * np.max(archive.searches[ties])))
    first = ties[0]
    for i in ties[1:]:
        first = i if comes_before(archive.x[i][searched], archive.x[first][searched]) else first
    return int(first)
