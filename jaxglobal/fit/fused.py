"""The searches of a fit that goes on for long: the model amid all that is made of it, in one program.

It is there later than the parts of stepped.py, which every model but the first finds compiled, and takes half as long
for each evaluation. A lane whose search has ended takes the next start, so that none waits for the slowest.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.engine.counts import ticks
from jaxglobal.engine.streams import CHUNK_TIME
from jaxglobal.fit.compiled import Program, here
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import Ends, lanes, region, stepper
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.status import LocalStatus

SCREENED = 1024  # starts in one call


class Queue(NamedTuple):
    """Searches that take turns in the lanes."""

    state: levenberg.State
    """Of those in the lanes."""
    turn: Any
    """(L,) Which search is in each lane; from the number of searches on, none."""
    following: Any
    """() The next to begin."""
    ends: Ends
    """(..., `SCREENED`) What they have come to."""
    ticks: Any
    """() Evaluations of a lane so far."""


class Fused:
    """The programs of so many lanes, and what they are called with; see `Stepped`, which does the same."""

    def __init__(self, reg: Regression, data: Data, box: Any):
        """data, box: as they are searched."""
        self.data = data
        n, N, self._dtype = reg.structure.n, len(data.y), reg.structure.dtype
        self._reg, self.lanes, self.screens, self._tick_time = reg, lanes(reg, N), SCREENED, 0.0
        self._given = here((data, *box))
        self.queued, many = SCREENED, np.zeros((n, SCREENED), self._dtype)
        rules = np.zeros((), self._dtype), np.int32(0), np.int32(0), np.int32(0)
        self._search = Program.of_model(reg, "search", self._searched, self._begun(many), many, *self._given, *rules)
        self._screen = Program.of_model(reg, "screen", self._screened, many, *self._given)
        self.programs = [self._search, self._screen]

    def _begun(self, points: np.ndarray) -> Queue:
        """Before the first evaluation; points: (n, `SCREENED`)."""
        state, first = levenberg.begin(points[:, : self.lanes], np), np.arange(self.lanes, dtype=np.int32)
        none = np.zeros(SCREENED, np.int32)  # all run, at no evaluation
        ends = Ends(points, np.full(SCREENED, np.inf, points.dtype), none, none)
        return Queue(state, first, np.int32(self.lanes), ends, np.int32(0))

    def _searched(
        self, queue: Any, points: Any, data: Data, lower: Any, upper: Any, tol: Any, max_nfev: Any, count: Any,
        until: Any,
    ) -> Any:  # fmt: skip
        """The queue of the first `count` of the points after so many ticks, or once all have ended."""
        rules = levenberg.Rules(tol, self._reg.exact(data), max_nfev)
        step = stepper(self._reg, data, region(lower, upper), rules)

        def over(state, turn):
            return (state.status != LocalStatus.RUNNING) & (turn < count)

        def turn_over(queue):
            """Until a search has ended: then the next takes its lane."""
            state, turn, following, ends, ticks = queue
            state, ticks = lax.while_loop(
                lambda carry: ~jnp.any(over(carry[0], turn)) & (carry[1] < until),
                lambda carry: (step(carry[0]), carry[1] + 1),
                (state, ticks),
            )
            ended = over(state, turn)
            told = state.p, state.f, state.nfev, state.status
            row = jnp.where(ended, turn, SCREENED)
            ends = Ends(*(every.at[..., row].set(new, mode="drop") for every, new in zip(ends, told, strict=True)))
            turn = jnp.where(ended, following + jnp.cumsum(ended, dtype=turn.dtype) - 1, turn)
            fresh = levenberg.begin(points[:, jnp.minimum(turn, SCREENED - 1)])
            state = jax.tree.map(lambda new, old: jnp.where(ended, new, old), fresh, state)
            return Queue(state, turn, following + jnp.sum(ended, dtype=turn.dtype), ends, ticks)

        return lax.while_loop(lambda queue: jnp.any(queue.turn < count) & (queue.ticks < until), turn_over, queue)

    def _screened(self, p: Any, data: Data, lower: Any, upper: Any) -> tuple[Any, Any]:
        """The points with their linear parameters at their best, and the costs."""
        return self._reg.project(data, p, region(lower, upper))[:2]

    def screen(self, points: np.ndarray) -> tuple[Any, Any]:
        """The points, (n, `screens`), with their linear parameters at their best, and the costs."""
        return self._screen.compiled(points, *self._given)

    def descend(
        self, points: np.ndarray, count: int, tol: float, max_nfev: int, left: Callable[[int], float]
    ) -> tuple[Ends, int]:
        """Searches from these points, (n, `queued`), until the first `count` have ended; and the ticks that they took.

        left(made): how many evaluations may still be made after so many; 0 where the searches are to end.
        """
        queue: Any = self._begun(points)
        rest = (points, *self._given, np.asarray(tol, self._dtype), np.int32(max_nfev), np.int32(count))
        running, may, ticked, tick_time = min(count, self.lanes), left(0), 0, self._tick_time
        while not ticked or (running and may > 0):
            began, before = time.perf_counter(), ticked
            most = int(min(ticks(tick_time, CHUNK_TIME), max(may / running, 1)))
            queue = jax.tree.map(np.array, self._search.compiled(queue, *rest, np.int32(ticked + most)))
            ticked, running = int(queue.ticks), int(np.sum(queue.turn < count))
            ends = queue.ends
            mine = queue.turn[queue.turn < count]
            for every, lane in zip(ends, Ends.of(queue.state, self.lanes), strict=True):
                every[..., mine] = lane[..., queue.turn < count]
            may = left(int(np.sum(ends.nfev[:count])))
            tick_time = (time.perf_counter() - began) / max(ticked - before, 1)
        self._tick_time = tick_time
        return Ends(*(field[..., :count] for field in queue.ends)), ticked
