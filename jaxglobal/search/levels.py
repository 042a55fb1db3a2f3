"""A search of one problem, as users hold it: an iterator over its levels, with a result at any time."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglobal import transfers
from jaxglobal.problem.closed import arrays_last
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.result import Level, Result
from jaxglobal.search import loop, one_result
from jaxglobal.search.incumbent import Incumbent
from jaxglobal.search.one import One


class Levels(Iterator[Level]):
    """A running search: iterate over it for its levels; `result` is what it has found so far."""

    def __init__(self, one: One):
        """Of this problem."""
        self._one, self._chunks = one, loop.search(one)

    @property
    def _threads(self) -> Any:
        """A context with one thread for linear algebra, where the function factorises."""
        return one_thread(self._one.state.problem.closed.factorises)

    def __next__(self) -> Level:
        """Searches the next level.

        Raises:
            StopIteration: the search has ended.
        """
        try:
            with self._one.limits.interrupt, self._threads, arrays_last(), transfers.allowed():
                for level in self._chunks:
                    if level is not None:
                        return level
        except BaseException:
            self._one.display.close()
            raise
        raise StopIteration

    def step(self) -> Level | None:
        """Runs one chunk of the lanes; the level, if it has ended with it."""
        with self._threads, transfers.allowed():
            return next(self._chunks, None)

    def save(self) -> None:
        """Writes the checkpoint now.

        Raises:
            ValueError: the search has none.
        """
        if self._one.checkpoint is None:
            raise ValueError("`checkpoint` must be given for the search to be saved; got None.")
        if not self.ended and not self._one.paused:  # else it is written
            self._one.save()

    def cancel(self) -> None:
        """Ends the search with the next chunk; to be called from any thread."""
        self._one.limits.cancelled = True

    @property
    def ended(self) -> bool:
        """Whether the search has ended."""
        return self._one.state.seconds is not None

    @property
    def result(self) -> Result:
        """What has been found so far."""
        best = self._one.best
        with transfers.allowed():
            return self._answer(best, self._one.gradient(best.x), self._one.state.problem.has_aux)

    @property
    def known(self) -> Result:
        """The same without an evaluation: the gradient is NaN unless it is known. May be called beside a step."""
        best, looked = self._one.best, self._one.state.gradient
        known = looked is not None and np.array_equal(looked[0], best.x)
        return self._answer(best, looked[1] if looked and known else np.full_like(best.x, np.nan), False)

    def _answer(self, best: Incumbent, gradient: np.ndarray, has_aux: bool) -> Result:
        """What has been found, with the gradient at the best point."""
        one, state = self._one, self._one.state
        calls = state.calls if one.streams is None else one.streams.calls
        elapsed = one.limits.elapsed if state.seconds is None else state.seconds
        return one_result.result(state, best, gradient, has_aux, one.source, one.width, calls, elapsed)
