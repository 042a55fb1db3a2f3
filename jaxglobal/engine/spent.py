"""What a search has spent.

An evaluation is a value with its gradient. Two values alone count as one, so that nfev + njev is the number of values
and gradients that were asked for.
"""

from typing import NamedTuple


class Spent(NamedTuple):
    """Counts of a search so far."""

    pairs: int = 0
    """Values with their gradients."""
    values: int = 0
    """Values alone."""
    ticks: int = 0
    """Pairs that the lanes had room for, idle ones included."""

    def add(self, pairs: int = 0, values: int = 0, ticks: int = 0) -> "Spent":
        """The counts after so many more."""
        return Spent(self.pairs + pairs, self.values + values, self.ticks + ticks)

    @property
    def nfev(self) -> int:
        """Evaluations."""
        return self.pairs + (self.values + 1) // 2

    @property
    def efficiency(self) -> float:
        """Share of the pairs that were spent on a search, not on an idle lane."""
        return self.pairs / max(self.ticks, 1)

    def values_within(self, evaluations: int) -> int:
        """Values alone that can be asked for before so many more evaluations are spent."""
        return 2 * evaluations + self.values % 2
