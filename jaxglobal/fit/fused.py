"""The searches of a fit that goes on for long: the model amid all that is made of it, in one program.

It is there later than the parts of stepped.py, which every model but the first finds compiled, and takes half as long
for each evaluation.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.engine.counts import ticks
from jaxglobal.engine.streams import CHUNK_TIME
from jaxglobal.fit.compiled import Program, here
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import Ends, descend, lanes, region
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.status import LocalStatus

SCREENED = 1024  # starts in one call


class Fused:
    """The programs of so many lanes, and what they are called with; see `Stepped`, which does the same."""

    def __init__(self, reg: Regression, data: Data, box: Any):
        """data, box: as they are searched."""
        self.data = data
        n, N, self._dtype = reg.structure.n, len(data.y), reg.structure.dtype
        self._reg, self.lanes, self.screens, self._tick_time = reg, lanes(reg, N), SCREENED, 0.0
        self._given = here((data, *box))
        idle = levenberg.begin(np.zeros((n, self.lanes), self._dtype), np)
        many, rules = np.zeros((n, SCREENED), self._dtype), (np.zeros((), self._dtype), np.int32(0), np.int32(0))
        self._search = Program.of_model(reg, "search", self._searched, idle, *self._given, *rules)
        self._screen = Program.of_model(reg, "screen", self._screened, many, *self._given)
        self.programs = [self._search, self._screen]

    def _searched(self, state: Any, data: Data, lower: Any, upper: Any, tol: Any, max_nfev: Any, until: Any) -> Any:
        """The searches after so many evaluations each."""
        rules = levenberg.Rules(tol, self._reg.exact(data), max_nfev)
        return descend(self._reg, data, state, region(lower, upper), rules, until=until)

    def _screened(self, p: Any, data: Data, lower: Any, upper: Any) -> tuple[Any, Any]:
        """The points with their linear parameters at their best, and the costs."""
        return self._reg.project(data, p, region(lower, upper))[:2]

    def screen(self, points: np.ndarray) -> tuple[Any, Any]:
        """The points, (n, `screens`), with their linear parameters at their best, and the costs."""
        return self._screen.compiled(points, *self._given)

    def descend(
        self, points: np.ndarray, count: int, tol: float, max_nfev: int, left: Callable[[int], float]
    ) -> tuple[Ends, int]:
        """Searches from these points, (n, L), until the first `count` have ended; and the steps that they took.

        left(made): how many evaluations may still be made after so many; 0 where the searches are to end.
        """
        state, rest = levenberg.begin(points, np), (*self._given, np.asarray(tol, self._dtype), np.int32(max_nfev))
        steps, running, may, tick_time = 0, count, left(0), self._tick_time
        while not steps or (running and may > 0):
            began, before = time.perf_counter(), steps
            most = int(min(ticks(tick_time, CHUNK_TIME), max(may / running, 1)))
            state = self._search.compiled(state, *rest, np.int32(steps + most))
            steps, ended = int(np.max(state.nfev)), Ends.of(state, count)
            running, may = int(np.sum(ended.status == LocalStatus.RUNNING)), left(int(np.sum(ended.nfev)))
            tick_time = (time.perf_counter() - began) / (steps - before)
        self._tick_time = tick_time
        return Ends.of(state, count), steps
