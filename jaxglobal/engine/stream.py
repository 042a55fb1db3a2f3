"""A stream: a set of lanes with a queue of starts, and which local searches are in both.

The compiled program (sweep.py) knows lanes and queue as arrays; here is what Python keeps beside them.
"""

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from jaxglobal.engine.fused import Engine
from jaxglobal.engine.sweep import Chunk, LaneState, Problems, Queue
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.descent import Rules
from jaxglobal.status import LocalStatus


@dataclasses.dataclass
class Stream:
    """Lanes, their queue, and the searches in them.

    Attributes:
        state: the lanes.
        starts: (S, n) the queue's starts.
        first_step: (S,) and their first steps.
        waiting: (S, 2) the number of the search from each start of the queue, and its problem.
        at_work: (L, 2) the same of the search in each lane; -1 where it is idle.
        begun: (L, n) the start of the search in each lane.
        first: the first start that waits.
        count: the end of the starts that wait.
    """

    state: LaneState
    starts: np.ndarray
    first_step: np.ndarray
    waiting: np.ndarray
    at_work: np.ndarray
    begun: np.ndarray
    first: int = 0
    count: int = 0

    @property
    def busy(self) -> bool:
        """Whether a start waits or a lane is at work."""
        return self.first < self.count or bool(np.any(self.at_work >= 0))

    def fill(self, starts: np.ndarray, first_step: Any, searches: np.ndarray) -> None:
        """Puts starts behind those that wait."""
        old, left, k = (self.starts, self.first_step, self.waiting), self.count - self.first, len(starts)
        # New arrays: the running program may still hold the old ones.
        self.starts, self.first_step = np.zeros_like(self.starts), np.zeros_like(self.first_step)
        self.waiting = np.full_like(self.waiting, -1)
        new = (self.starts, self.first_step, self.waiting)
        for to, kept, added in zip(new, old, (starts, first_step, searches), strict=True):
            to[:left], to[left : left + k] = kept[self.first : self.count], added
        self.first, self.count = 0, left + k

    def run(
        self, engine: Engine, problems: Problems, rules: Rules, max_ticks: int, drain: bool, known: Any
    ) -> tuple[Ended, int, int, float]:
        """Runs a chunk; what ended, its ticks, its evaluations, and the seconds of the call."""
        began = time.perf_counter()
        out: Chunk = engine.call(self.state, self.queue(max_ticks, drain, known), problems, rules)
        made = int(out.ticks)  # waits for the program, but not for its results to arrive
        taken = time.perf_counter() - began
        results, slot, first, nfev = jax.device_get((out.results, out.state.slot, out.first, out.nfev))
        n = engine.n
        rows = np.flatnonzero(results[:, n + 1])
        ended = results[rows]
        number, problem = self.searches(rows).T
        self.move(out.state, slot, int(first))
        status, counts = ended[:, n + 1 :].astype(np.int64).T
        return Ended(ended[:, :n], ended[:, n], number, status, counts, problem), made, int(nfev), taken

    def searches(self, rows: np.ndarray) -> np.ndarray:
        """Numbers and problems, (k, 2), of the searches of rows of a chunk's results; see `sweep.Chunk`."""
        return self._of(rows, self.waiting, self.at_work, -1)

    def move(self, state: LaneState, slot: np.ndarray, first: int) -> None:
        """Takes over the lanes from a chunk. slot: (L,) the rows of results of the searches that are in them now."""
        self.at_work, self.begun = (
            self._of(slot, self.waiting, self.at_work, -1),
            self._of(slot, self.starts, self.begun, 0),
        )
        self.state, self.first = state, first

    def drop(self, problems: np.ndarray) -> None:
        """The starts of these problems that wait, and the searches from those in the lanes, are no more."""
        kept = self.first + np.flatnonzero(~np.isin(self.waiting[self.first : self.count, 1], problems))
        starts, first_step, waiting = self.starts[kept], self.first_step[kept], self.waiting[kept]
        self.first = self.count  # none
        self.fill(starts, first_step, waiting)
        idle = self.works_for(problems)
        self.at_work = np.where(idle[:, None], -1, self.at_work)
        none = len(self.starts) + len(self.at_work)
        self.state = self.state._replace(slot=np.where(idle, none, self.state.slot).astype(np.int32))

    def works_for(self, problems: np.ndarray) -> np.ndarray:
        """(L,) Which lanes are at work on these problems."""
        return (self.at_work[:, 0] >= 0) & np.isin(self.at_work[:, 1], problems)

    def cut(self, which: np.ndarray) -> Ended:
        """The searches in these lanes, (L,), as they are now, if they have begun."""
        lanes = self.state.lanes
        nfev = np.asarray(lanes.nfev)[0]
        rows = np.flatnonzero(which & (nfev > 0))
        status = np.full(len(rows), int(LocalStatus.CUT))
        x, f = np.asarray(lanes.best_x)[:, rows].T, np.asarray(lanes.best_f)[0, rows]
        number, problem = self.at_work[rows].T
        return Ended(x, f, number, status, nfev[rows].astype(np.int64), problem)

    def packed(self) -> list[np.ndarray]:
        """All of it as arrays, by the names of `names_of`."""
        waits = slice(self.first, self.count)
        queue = [self.starts[waits], self.first_step[waits], self.waiting[waits]]
        return [*queue, self.at_work, self.begun, *map(np.asarray, jax.tree.leaves(self.state))]

    def with_queue(self, engine: Engine) -> "Stream":
        """The same, unpacked from a checkpoint, with a queue that more starts fit into."""
        whole = idle(engine)
        whole.fill(self.starts, self.first_step, self.waiting)
        return dataclasses.replace(
            self, starts=whole.starts, first_step=whole.first_step, waiting=whole.waiting, count=whole.count
        )

    def anew(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
        """The starts, first steps and searches that wait or are at work, to begin anew; evaluations of the latter.

        Of a stream that was unpacked from a checkpoint.
        """
        works, state = self.at_work[:, 0] >= 0, self.state
        pairs = (self.starts, self.begun), (self.first_step, state.first_step), (self.waiting, self.at_work)
        starts, first_step, searches = (np.concatenate([waiting, lanes[works]]) for waiting, lanes in pairs)
        return (starts, first_step, searches), int(np.sum(state.lanes.nfev[0, works]))

    def _of(self, rows: np.ndarray, queued: np.ndarray, brought: np.ndarray, idle: Any) -> np.ndarray:
        """Entries of the queue or of the lanes, for rows of results; rows beyond are of idle lanes."""
        size, lanes = len(queued), len(brought)
        out = np.full((len(rows), queued.shape[1]), idle, queued.dtype)
        first, second = rows < size, (rows >= size) & (rows < size + lanes)
        out[first], out[second] = queued[rows[first]], brought[rows[second] - size]
        return out

    def queue(self, max_ticks: int, drain: bool, known: Any = None) -> Queue:
        """The queue of the next chunk."""
        problem = self.waiting[:, 1].astype(np.int32)
        limits: Any = np.int32(self.first), np.int32(self.count), np.bool_(drain), np.int32(max_ticks)
        return Queue(self.starts, self.first_step, problem, *limits, known=known)


def idle(engine: Engine) -> Stream:
    """A stream without a search or a start."""
    size, n, lanes, dtype = engine.queue, engine.n, engine.lanes, engine.dtype
    waiting, at_work = np.full((size, 2), -1, np.int64), np.full((lanes, 2), -1, np.int64)
    starts, begun = np.zeros((size, n), dtype), np.zeros((lanes, n), dtype)
    return Stream(engine.idle(), starts, np.zeros(size, dtype), waiting, at_work, begun)


def names_of(engine: Engine) -> list[str]:
    """The names of the arrays of a stream."""
    leaves = jax.tree.structure(engine.idle()).num_leaves
    return ["starts", "first_step", "waiting", "at_work", "begun", *(f"state{k}" for k in range(leaves))]


def named(arrays: list[np.ndarray], engine: Engine) -> dict[str, np.ndarray]:
    """The arrays of several streams, as `Stream.packed` has them, by name: for a checkpoint."""
    names = names_of(engine)
    return {f"stream{k // len(names)}_{names[k % len(names)]}": array for k, array in enumerate(arrays)}


def unpacked(arrays: dict[str, np.ndarray], engine: Engine) -> list[Stream]:
    """The inverse: streams whose queues are the starts that wait."""
    treedef, names, streams = jax.tree.structure(engine.idle()), names_of(engine), []
    while f"stream{len(streams)}_at_work" in arrays:
        starts, first_step, waiting, at_work, begun, *leaves = (
            arrays[f"stream{len(streams)}_{name}"] for name in names
        )
        state = jax.tree.unflatten(treedef, leaves)
        streams.append(Stream(state, starts, first_step, waiting, at_work, begun))
    return streams
