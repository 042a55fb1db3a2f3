"""The slots of many problems: the args and bounds of those that are searched, as the lanes see them.

There is a bounded number of them, so that a million problems pass through the memory of some thousands.
"""

from typing import Any

import numpy as np

from jaxglobal.engine.sweep import Problems
from jaxglobal.problem.family import Family
from jaxglobal.problem.powers import power_above
from jaxglobal.problem.region import Region, within
from jaxglobal.search.incumbents import Incumbents

SLOTS = 2**14  # problems in the lanes and in line at a time
SLOTS_MEMORY = 2**26  # bytes of their args
FEWEST_SLOTS = 64


class Slots:
    """The problems that are searched.

    Attributes:
        problem: (S,) the problem in each slot, -1 where there is none.
        next: the first problem that has not begun.
        table: the leaves of the args, each with a leading axis of S.
        boxes: (S, 2, n) the bounds, or (2, n) those of all problems.
        own: which leaves of the region and of the args are those of each slot.
    """

    def __init__(self, problems: Family, most: float):
        """Empty ones, about so many at most."""
        self._problems, leaves = problems, problems.leaves
        each = sum(leaf.nbytes for leaf in leaves) / problems.count
        bounded = int(max(min(most, SLOTS, SLOTS_MEMORY / max(each, 1)), FEWEST_SLOTS))
        # Powers of two, so that one program serves many numbers of problems; some slots may stay empty.
        slots = min(power_above(problems.count), power_above(bounded + 1) // 2)
        self.problem, self.next = np.full(slots, -1, np.int64), 0
        own_box = problems.box.ndim == 3
        self.table = [np.empty((slots, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        self.boxes = np.repeat(problems.box[:1], slots, axis=0) if own_box else problems.box
        self.own = (own_box,) * len(Region._fields) + problems.own

    def admit(self) -> np.ndarray:
        """Fills the free slots once half of them are; which were filled."""
        free = np.flatnonzero(self.problem < 0)
        count = min(len(free), self._problems.count - self.next)
        if not count or 2 * len(free) < len(self.problem):
            return free[:0]
        slots, first = free[:count], self.next
        self._fill(slots, slice(first, first + count))
        self.problem[slots] = np.arange(first, first + count)
        self.next += count
        return slots

    def leave(self, slots: np.ndarray, status: Any, found: Incumbents) -> None:
        """The problems in these slots stop and leave them. status: indices of `limits.STATUSES`."""
        found.status[self.problem[slots]] = status
        self.problem[slots] = -1

    def _fill(self, slots: np.ndarray, problems: Any) -> None:
        """Puts the args and bounds of these problems into the slots."""
        for table, leaf in zip(self.table, self._problems.leaves, strict=True):
            table[slots] = np.asarray(leaf[problems])
        if self._problems.box.ndim == 3:
            self.boxes[slots] = self._problems.box[problems]

    def box(self, slots: Any) -> np.ndarray:
        """The bounds, (2, n), of the problems in these slots, those of each along a leading axis where they differ."""
        return self.boxes[slots] if self.boxes.ndim == 3 else self.boxes

    def args(self, slot: int) -> tuple[Any, ...]:
        """The args of the problem in a slot."""
        return self._problems.args_of([leaf[slot] for leaf in self.table])

    @property
    def problems(self) -> Problems:
        """Their problems, as the lanes see them."""
        lower, upper = self.boxes[..., 0, :], self.boxes[..., 1, :]
        region = within(lower, upper, self._problems.open, self._problems.whole)
        return Problems(region, [*self.table, *self._problems.closed.constants])

    def load(self, problem: np.ndarray, next: int) -> None:
        """Puts these problems, (S,), into the slots; next: see the attributes."""
        self.problem, self.next = problem, next
        slots = np.flatnonzero(problem >= 0)
        self._fill(slots, problem[slots])
