"""What evaluates the starts of a fit, on all threads: a step at a time at first, then in one program.

A search that stays small never compiles its model amid all that is made of it. Which of the two it takes depends on
counts alone, so that the same call gives the same answer.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import compiling, devices
from jaxglobal.engine.streams import thread_pool
from jaxglobal.evidence import minima
from jaxglobal.evidence.minima import Ended
from jaxglobal.fit import stepped
from jaxglobal.fit.compiled import blocks, compile
from jaxglobal.fit.data import Data
from jaxglobal.fit.fused import Fused
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.stepped import Stepped
from jaxglobal.problem.closed import x64
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.progress import Silent
from jaxglobal.status import LocalStatus, Status

STEPPED = 4e6  # numbers in the Jacobians of the evaluations that are made a step at a time, at most: some 0.1 s lost
EACH = 16  # evaluations that a search takes, about


class Runs:
    """The searches of one fit, and what they have taken.

    Attributes:
        regression: what is fitted.
        data: as they are searched now.
        box: the bounds.
        limit: tells which limit has been reached, with the user's interrupt among them.
        nfev: evaluations.
        made: those that the lanes had room for.
        compile_time: seconds.
    """

    def __init__(
        self, regression: Regression, data: Data, interrupt: Interrupt, shown: Silent,
        limit: Callable[[], Status | None], max_evals: int | None,
    ):  # fmt: skip
        """regression, data: in the units of the search."""
        self.regression, self.data, self.box = regression, data, (regression.lower, regression.upper)
        self._interrupt, self._shown = interrupt, shown
        self.limit, self._most = limit, math.inf if max_evals is None else max_evals
        self._own: Stepped | Fused | None = None
        self._precise = x64()
        self.nfev = self.made = 0
        self.compile_time = 0.0

    @property
    def left(self) -> float:
        """Evaluations that may still be made."""
        return max(self._most - self.nfev, 0)

    def values(self, x: np.ndarray) -> np.ndarray:
        """The model, (N,), at x, (n,)."""
        return stepped.evaluate(self.regression, self.data, x[None])[0][0]

    def screen(self, points: np.ndarray, together: int) -> tuple[np.ndarray, np.ndarray]:
        """The starts, (k, n), with their linear parameters at their best, and the costs; together with so many."""
        own = self._ready(together)
        if own is None:
            return points, np.full(len(points), np.inf)
        found = self._side_by_side(lambda block: jax.device_get(own.screen(block)), blocks(points, own.screens))
        self.nfev += len(points)
        p, f = (np.concatenate(part, axis=-1)[..., : len(points)] for part in zip(*found, strict=True))
        return p.T, np.where(np.isfinite(f), f.astype(float), np.inf)

    def descend(self, starts: np.ndarray, tol: float, max_nfev: int) -> Ended:
        """Searches from these starts, (k, n), to their ends or a limit."""
        own = self._ready(len(starts) * EACH)
        if own is None:
            none = np.zeros(len(starts), np.int64)
            return Ended(starts, np.full(len(starts), np.inf, starts.dtype), none, none + LocalStatus.CUT, none, none)
        # With a limit each part has a share of its own, whatever the threads do, and has all of it in its lanes.
        of_each = -(-len(starts) // devices.side_by_side()) if self._most == math.inf else own.lanes
        of_each = min(max(of_each, own.lanes), own.queued)
        parts = [starts[first : first + of_each] for first in range(0, len(starts), of_each)]
        share = self.left / len(parts)

        def left(made: int) -> float:
            return share - made if self.limit() is None else 0

        def run(part: np.ndarray) -> tuple[Ended, int]:
            points = np.resize(part, (own.queued, part.shape[1])).T.astype(self.regression.structure.dtype)
            ends, ticks = own.descend(points, len(part), tol, max_nfev, left)
            whole = np.zeros(len(part), np.int64)
            status = np.where(ends.status == LocalStatus.RUNNING, LocalStatus.CUT, ends.status)
            return Ended(ends.p.T, ends.f, whole, status + whole, ends.nfev + whole, whole), ticks

        ended, ticks = zip(*self._side_by_side(run, parts), strict=True)
        self.nfev += int(sum(np.sum(part.nfev) for part in ended))
        self.made += sum(ticks) * own.lanes
        return minima.join(list(ended))

    def _ready(self, more: int) -> Stepped | Fused | None:
        """What makes so many evaluations more; None where Ctrl-C came before anything was compiled."""
        each = (self.regression.structure.n + 3) * len(self.data.y)
        if self.nfev + more > STEPPED / each and self._compiled(Fused):
            return self._own
        return self._own if self._compiled(Stepped) else None

    def _compiled(self, kind: type[Stepped] | type[Fused]) -> bool:
        """Whether Ctrl-C leaves time to compile that; what was compiled before is there."""
        if not isinstance(self._own, kind) or self._own.data is not self.data:
            self._own = kind(self.regression, self.data, self.box)
        missing = [program for program in self._own.programs if program.compiled is None]
        if missing:
            began = time.perf_counter()
            self._shown.compiling(self._own.lanes)
            done = compile(missing, lambda: self._interrupt.asked)
            self.compile_time += time.perf_counter() - began
            return done
        return True

    def _side_by_side(self, work: Callable[[Any], Any], parts: list[Any]) -> list[Any]:
        """What the work makes of each part, on all threads."""
        precise = self._precise

        def run(part: Any) -> Any:
            with compiling.called(precise):
                return work(part)

        return list(thread_pool(devices.side_by_side()).map(run, parts)) if len(parts) > 1 else [run(parts[0])]
