"""The search for the global fit: levels of starts, screened, and Levenberg-Marquardt from the best of each.

Starts fill the box of the parameters in which the model is not linear; the others are at their best at every start
(separable.py). The best starts of a level are searched from (sample.py). It ends when the best cost has been the same
in as many levels as the rules say, or the next level would be too large, and is believed if enough searches agree on it
(agreement.py). The order of the steps is that of every search (search/loop.py).
"""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglobal.engine import devices
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import MAX_NFEV, TOL, lanes
from jaxglobal.fit.found import Found, Underway
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.runs import Runs
from jaxglobal.fit.sample import SEARCHED, Sample
from jaxglobal.result import Level, Minimum, Result
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.limits import PAUSES
from jaxglobal.search.progress import Silent
from jaxglobal.starts.designs import Starts
from jaxglobal.status import Status


class OneFit:
    """The search of one fit; see `loop.Searches`."""

    def __init__(
        self, regression: Regression, data: Data, guesses: np.ndarray, sequence: Starts, rules: stopping.Rules,
        shown: Silent, began: float, interrupt: Interrupt, callback: Any = None, kept: Checkpoint | None = None,
    ):  # fmt: skip
        """regression, data, guesses: in units, of which nothing is left in what comes out.

        guesses: (K, n) of the user's own. interrupt: what asks the search to end. callback: hears of each level. kept:
        where the state is kept between two levels.
        """
        self._regression, self._guesses, self._sequence = regression, guesses, sequence
        self._rules, self._shown, self._began = rules, shown, began
        self._interrupt, self._callback, self._kept = interrupt, callback, kept
        self._runs = Runs(regression, data, interrupt, shown, self._limit, rules.max_evals)
        self._found = Found(regression, self._runs, data.units, rules)
        self._level: Underway | None = None
        self._minima: list[Minimum] = []
        read = None if kept is None else kept.read()
        if read is not None:
            self._found.unpack(*read)

    @property
    def data(self) -> Data:
        """As they are searched in the end."""
        return self._runs.data

    def _size(self, index: int) -> int:
        """Starts of a level beside the guesses."""
        return self._sequence.size(index, len(self._regression.searched))

    def goes_on(self) -> bool:
        """See `loop.Searches`; level 0 begins whatever the limits."""
        found, index = self._found, len(self._found.levels)
        if found.status is Status.RUNNING and self._level is None and index:
            reached = stopping.before_level(self._rules, index, found.screened, self._size(index)) or self._limit()
            if reached is Status.TOO_LARGE and self._rules.same is None and found.agreed:
                reached = Status.SAME
            found.status = reached or Status.RUNNING
            if found.status not in (Status.RUNNING, *PAUSES):
                self._save()
        return found.status is Status.RUNNING

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`: chooses what is searched from among the starts of the level."""
        if self._level is None:
            began, before, index = time.perf_counter(), self._runs.nfev, len(self._found.levels)
            sample = Sample(self._runs, self._sequence, index, self._guesses[: None if index == 0 else 0])
            self._shown.begin(index, sample.searched)
            starts, reached = sample.draw()
            self._found.screened += sample.size
            self._level = Underway(index, began, before, sample.size, sample.spacing, starts, reached)
        return iter(())

    def deal(self) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        together = max(SEARCHED, lanes(self._regression, len(self.data.y)) * devices.side_by_side())
        level.dealt, level.starts = level.starts[:together], level.starts[together:]
        if self._cut:
            level.dealt = level.dealt[:0]

    @property
    def _cut(self) -> bool:
        """Whether a limit ends the level; not before there is something to return."""
        level: Any = self._level
        return level.reached is not None and bool(level.ends or len(self._found.archive.f))

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        level: Any = self._level
        return bool(len(level.dealt))

    def run(self) -> Ended:
        """See `loop.Searches`; after a limit one evaluation of each."""
        level: Any = self._level
        return self._runs.descend(level.dealt, TOL, MAX_NFEV)

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        level.ends.append(ended)

    def observe(self) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        if self.busy:
            lowest = self._found.cost(min(np.min(end.f) for end in level.ends))
            self._found.history.note(self._runs.nfev, time.perf_counter() - self._began, lowest)
            self._shown.update(sum(len(end.f) for end in level.ends), lowest)
            level.reached = level.reached or self._limit()

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`."""
        level, found = self._level, self._found
        if level is None or (len(level.starts) and not self._cut):
            return
        self._level = None
        found.end_level(level, self._size(level.index + 1))
        self._shown.end(found.levels[-1])
        ends = level.reached or found.settled()
        try:
            if self._callback is not None:
                self._callback(found.levels[-1])
        except StopIteration:
            if ends is None:
                self._save()  # from which the same call goes on
            ends = ends or Status.CALLBACK
        found.status = ends or Status.RUNNING
        if found.status not in PAUSES:
            self._save()
        yield found.levels[-1]

    def _limit(self) -> Status | None:
        """The limit that has been reached."""
        if self._interrupt.asked:
            return Status.INTERRUPTED
        return stopping.within_level(self._rules, 0, self._runs.nfev, time.perf_counter() - self._began)

    def _save(self) -> None:
        """Writes the checkpoint, if there is one, between two levels, or at the end."""
        if self._kept is not None:
            self._kept.write(*self._found.pack())

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`: its lanes are as few as can be."""
        raise error

    def end(self) -> None:
        """See `loop.Searches`."""
        self._minima = self._found.minima()

    def result(self) -> Result:
        """The record of the search, once it has ended."""
        return self._found.result(self._minima, time.perf_counter() - self._began)
