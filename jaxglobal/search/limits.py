"""What ends a search from outside: its limits, Ctrl-C, a task that was cancelled, the callback.

With several processes all end alike: by the clock and the callback of process 0, and by what any of them was asked.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.engine import processes
from jaxglobal.evidence import stopping
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.status import Status

STATUSES = list(Status)
PAUSES = (Status.MAX_TIME, Status.INTERRUPTED, Status.CANCELLED, Status.CALLBACK)  # a checkpoint goes on after these


class Limits:
    """The limits of a search that began at a time.

    Attributes:
        interrupt: asked by Ctrl-C.
        cancelled: whether a task was, from any thread.
        due: whether the checkpoint was to be written at the last look.
    """

    def __init__(self, began: float, rules: stopping.Rules, checkpoint: Checkpoint | None, group: processes.Alone):
        """began: as `time.perf_counter` has it. group: the processes that search together."""
        self._began, self._rules, self._checkpoint, self._group = began, rules, checkpoint, group
        self.interrupt, self.cancelled, self.due = Interrupt(), False, False

    @property
    def elapsed(self) -> float:
        """Seconds since the call."""
        return time.perf_counter() - self._began

    @property
    def left(self) -> float:
        """Seconds that max_time leaves."""
        return (math.inf if self._rules.max_time is None else self._rules.max_time) - self.elapsed

    @property
    def asked(self) -> Status | None:
        """Whether this process was asked to end."""
        if self.interrupt.asked:
            return Status.INTERRUPTED
        return Status.CANCELLED if self.cancelled else None

    def reached(
        self, searches: int = 0, nfev: int = 0, best: float = math.inf, hopeless: bool = False
    ) -> Status | None:
        """The limit that has been reached after so many local searches and evaluations, with this best value.

        hopeless: whether the function has given no value so often that it never will.
        """
        status = stopping.within_level(self._rules, searches, nfev, self.elapsed, best)
        if status is None and hopeless:
            status = Status.NO_FINITE_VALUE
        due = self._checkpoint is not None and self._checkpoint.due
        mine = [STATUSES.index(status or Status.RUNNING), due, self.interrupt.asked, self.cancelled]
        told = np.array(self._group.gather(np.array(mine)))
        status, self.due = STATUSES[told[0, 0]], bool(told[0, 1])
        if status not in (Status.RUNNING, Status.MAX_TIME):  # which an uninterrupted search ends with too
            return status
        if np.any(told[:, 2]):
            return Status.INTERRUPTED
        if np.any(told[:, 3]):
            return Status.CANCELLED
        return None if status is Status.RUNNING else status

    def tell(self, callback: Callable[[Any], Any] | None, news: Any) -> Status | None:
        """Tells the callback the news, if there are any; whether it ends the search, or Ctrl-C meanwhile."""
        stops = False
        if callback is not None and news is not None:
            try:
                callback(news)
            except StopIteration:
                stops = True
        told = self._group.gather(np.array([stops, self.interrupt.asked]))
        if told[0][0]:
            return Status.CALLBACK
        return Status.INTERRUPTED if any(asked for _, asked in told) else None
