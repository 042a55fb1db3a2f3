"""Many problems with plain starts first, which settle the easy ones; the others go on with starts that learn.

Plain starts take Python no time, those that learn some 20 ms a problem. A problem is easy where even starts lead to its
best value again and again: a better basin of a like size would have been met too, as evidence/confidence.py has it.
What a problem is given depends on its own finds alone.
"""

from typing import Any

import numpy as np

from jaxglobal.engine.lanes import Lanes
from jaxglobal.evidence import confidence, stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.problem.family import Family
from jaxglobal.search.incumbents import Incumbents
from jaxglobal.search.limits import STATUSES
from jaxglobal.search.many_learning import Learning
from jaxglobal.search.many_plain import Plain
from jaxglobal.search.slots import Slots
from jaxglobal.starts.adaptive import EasyFirst
from jaxglobal.status import Status

CHEAP = 20_000  # evaluations of plain levels that take as long as starts that learn take Python
LEAST = confidence.AFFORDED + confidence.LOOKS // 2  # evaluations, as before success of starts that learn


class Easy(Plain):
    """The plain levels of problems, as long as they are cheap; those that they do not settle are handed on."""

    def __init__(self, hard: Learning, *what: Any):
        """hard: takes the problems that are not settled. what: see `Plain`."""
        super().__init__(*what)
        self._hard = hard

    def _end_level(self, level: int, slots: np.ndarray) -> None:
        """Problems whose level has ended stop, and leave their slots, begin the next, or are handed on."""
        problem, found, eps = self._slots.problem[slots], self._found, np.finfo(self._problems.structure.dtype).eps
        found.nit[problem] += 1
        best, nfev, searches = found.feasible(problem), found.nfev[problem], found.nstarts[problem]
        self._last[slots] = np.concatenate([self._last[slots, 1:], best[:, None]], axis=1)
        stood = stopping.settled(self._rules, self._last[slots, -1 - self._old(level) :], float(eps))
        hits = found.hits(problem) - self._guesses
        often = (hits >= confidence.HITS) & (hits >= confidence.FRESH_SHARE * searches)
        status = np.zeros(len(slots), np.int64)
        status[np.isfinite(best) & stood & often & (nfev >= LEAST)] = STATUSES.index(Status.SAME)
        if self._rules.target is not None:
            status[found.f[problem] <= self._rules.target] = STATUSES.index(Status.TARGET)
        stops = status > 0
        self._slots.leave(slots[stops], status[stops], found)
        ahead = nfev * (1 + self._size(level + 1) / searches)
        goes_on = ~stops & np.isfinite(best) & (ahead <= CHEAP)
        if np.any(goes_on):
            self.begin(level + 1, slots[goes_on])
        if not np.all(stops | goes_on):
            self._hard.begin(0, slots[~stops & ~goes_on])

    def _old(self, level: int) -> int:
        """Levels since a quarter of the starts had been made."""
        so_far, most = self._before(level + 1), self._last.shape[1] - 1
        enough = (k for k in range(1, most) if so_far >= confidence.OLD_ENOUGH * self._before(max(level + 1 - k, 0)))
        return next(enough, most)


class Mixed:
    """The starts of many problems, plain as long as they are cheap; the methods are those of `Plain`."""

    MOST = Learning.MOST
    needs = staticmethod(Learning.needs)

    def __init__(self, problems: Family, slots: Slots, found: Incumbents, sequence: EasyFirst, *rest: Any):
        """See `Plain`."""
        self._hard = Learning(problems, slots, found, sequence.learning, *rest)
        self._easy = Easy(self._hard, problems, slots, found, sequence.plain, *rest)

    @property
    def dealt_all(self) -> bool:
        """See `Plain`."""
        return self._easy.dealt_all and self._hard.dealt_all

    def begin(self, level: int, slots: np.ndarray) -> None:
        """See `Plain`."""
        self._easy.begin(level, slots)

    def deal(self, lanes: Lanes) -> None:
        """See `Plain`; those that learn come first, as they have few starts at a time."""
        self._hard.deal(lanes)
        self._easy.deal(lanes)

    def collect(self, ended: Ended, cut: bool = False) -> None:
        """See `Plain`."""
        hard = self._hard.holds(ended.problem)
        for starts, mine in ((self._hard, hard), (self._easy, ~hard)):
            starts.collect(Ended(*(field[mine] for field in ended)), cut)

    def leave_out(self, slots: np.ndarray | None = None) -> None:
        """See `Plain`."""
        self._hard.leave_out(slots)
        self._easy.leave_out(slots)

    def spend(self, problem: np.ndarray, nfev: int) -> None:
        """See `Plain`; before a problem is handed on."""
        self._easy.spend(problem, nfev)

    def unseen(self) -> np.ndarray:
        """See `Plain`."""
        return self._easy.unseen()

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See `Plain`."""
        (easy, first), (hard, second) = self._easy.save(), self._hard.save()
        return {"easy": easy, "hard": hard}, first | second

    def load(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self._easy.load(state["easy"], arrays)
        self._hard.load(state["hard"], arrays)
