"""What ends the searches of many data sets before they agree: Ctrl-C, the time, the callback; evaluations of each."""

import math
import time

import numpy as np

from jaxglobal.search.interrupt import Interrupt
from jaxglobal.status import Status

SPENT, ASKED = 1, 2  # what cuts a data set off: its evaluations; what ends the call


class Limits:
    """The limits of P data sets, and which of these they have cut off.

    Attributes:
        max_evals: of a data set; None: as many as it takes.
        spent: (P,) evaluations.
        cut_off: (P,) `SPENT`, `ASKED`, or 0 for data sets that are searched on.
        stopped: whether the callback has ended the call.
    """

    def __init__(self, count: int, interrupt: Interrupt, until: float = math.inf, max_evals: int | None = None):
        """until: the time at which the call ends."""
        self._interrupt, self._until, self.max_evals = interrupt, until, max_evals
        self.spent, self.cut_off = np.zeros(count, np.int64), np.zeros(count, np.int8)
        self.stopped = False

    def asked(self) -> bool:
        """Whether Ctrl-C, the time or the callback ends it."""
        return self._interrupt.asked or self.stopped or time.perf_counter() >= self._until

    def able(self, which: np.ndarray) -> np.ndarray:
        """Which of these data sets, (k,), have evaluations left; those without are not searched to their end."""
        able = self.spent[which] < (math.inf if self.max_evals is None else self.max_evals)
        self.cut_off[which[~able]] = SPENT
        return able

    def afforded(self, which: np.ndarray, most: int) -> np.ndarray:
        """Evaluations that searches of these data sets, (k,), may take now; 0: it waits.

        As many of each have `most` as what it has left suffices for; the first has what there is.
        """
        left = np.asarray(self.max_evals) - self.spent[which]
        order = np.argsort(which, kind="stable")
        turn = np.empty(len(which), int)
        turn[order] = np.arange(len(which)) - np.searchsorted(which[order], which[order])
        return np.where(turn == 0, np.clip(left, 0, most), np.where(left >= (turn + 1) * most, most, 0))

    def why(self, f: np.ndarray, believed: np.ndarray) -> np.ndarray:
        """(P,) of `Status`: why the searches of each data set ended, by their costs and whether these are believed."""
        asked = Status.INTERRUPTED if self._interrupt.asked else Status.MAX_TIME
        asked = Status.CALLBACK if self.stopped else asked
        ends = [(self.cut_off == ASKED, asked), (self.cut_off == SPENT, Status.MAX_EVALS), (believed, Status.SAME)]
        why = np.array([Status.UNSETTLED] * len(f), object)
        for which, status in [(~np.isfinite(f), Status.NO_FINITE_VALUE), *reversed(ends)]:
            why[which] = status
        return why
