"""The lanes of several threads, each with a queue of its own, and how a block of starts is dealt to them.

A stream is a set of lanes with a queue. All streams run one chunk at a time, side by side; starts are dealt again
whenever all queues are empty. All streams have made the same number of ticks, but for those that wait for starts, and
what a stream is given depends on counts alone: so a limit on evaluations cuts the same searches in every run, however
the clock divided it into chunks.
"""

import dataclasses
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxglobal import minima
from jaxglobal.closed import x64
from jaxglobal.descent import Rules as LocalRules
from jaxglobal.result import NOT_BEGUN, LocalStatus
from jaxglobal.sweep import Chunk, Engine, Problems, Queue, State

CHUNK_TIME = 0.03  # seconds between two looks at the clock
FIRST_TICKS = 1  # of the first chunk, when nothing is known about their time
MOST_TICKS = 2**16


@dataclasses.dataclass
class Stream:
    """One set of lanes, its queue, and which searches are in both.

    Attributes:
        state: the lanes.
        starts: (S, n) the queue's starts.
        first_step: (S,) and their first steps.
        waiting: (S, 2) the number of the search from each start of the queue, and its problem.
        at_work: (L, 2) the same of the search in each lane; -1 where it is idle.
        first: the first start that waits.
        count: the end of the starts that wait.
    """

    state: State
    starts: np.ndarray
    first_step: np.ndarray
    waiting: np.ndarray
    at_work: np.ndarray
    first: int = 0
    count: int = 0

    @property
    def busy(self) -> bool:
        """Whether a start waits or a lane is at work."""
        return self.first < self.count or bool(np.any(self.at_work >= 0))

    def fill(self, starts: np.ndarray, first_step: Any, searches: np.ndarray) -> None:
        """Fills the empty queue."""
        # New arrays: the running program may still hold the old ones.
        self.starts, self.first_step = np.zeros_like(self.starts), np.zeros_like(self.first_step)
        self.waiting = np.full_like(self.waiting, -1)
        k = len(starts)
        self.starts[:k], self.first_step[:k], self.waiting[:k] = starts, first_step, searches
        self.first, self.count = 0, k

    def queue(self, max_ticks: int, drain: bool) -> Queue:
        """The queue of the next chunk."""
        problem = self.waiting[:, 1].astype(np.int32)
        limits: Any = np.int32(self.first), np.int32(self.count), np.bool_(drain), np.int32(max_ticks)
        return Queue(self.starts, self.first_step, problem, *limits)


@functools.cache
def thread_pool(workers: int) -> ThreadPoolExecutor:
    """The threads that call compiled programs; they live as long as the process."""
    return ThreadPoolExecutor(workers, thread_name_prefix="jaxglobal")


def ticks(tick_time: float) -> int:
    """Ticks of the next chunk, so many that it takes about `CHUNK_TIME`."""
    return int(min(max(CHUNK_TIME / tick_time, 1), MOST_TICKS)) if tick_time else FIRST_TICKS


class Streams:
    """The streams of one search.

    Attributes:
        lockstep: whether starts are dealt only when all queues are empty, so that all streams make the same ticks.
        ticks: lanes times ticks of all streams so far.
        nfev: evaluations so far, those of idle lanes not counted.
    """

    def __init__(self, engine: Engine, count: int, problems: Problems, lockstep: bool = True):
        """Idle lanes on `count` threads."""
        self.engine, self.problems, self.lockstep = engine, jax.device_put(problems), lockstep
        self.streams = [self._idle() for _ in range(count)]
        self.ticks = self.nfev = 0

    def _idle(self) -> Stream:
        size, n, lanes, dtype = self.engine.queue, self.engine.n, self.engine.lanes, self.engine.dtype
        waiting, at_work = np.full((size, 2), -1, np.int64), np.full((lanes, 2), -1, np.int64)
        return Stream(self.engine.idle(), np.zeros((size, n), dtype), np.zeros(size, dtype), waiting, at_work)

    @property
    def room(self) -> int:
        """Starts that can be dealt: into empty queues, and in lockstep none unless all are empty."""
        hungry = len(self._hungry)
        return 0 if self.lockstep and hungry < len(self.streams) else self.engine.queue * hungry

    @property
    def _hungry(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.first >= stream.count]

    @property
    def evaluations_a_tick(self) -> int:
        """The most evaluations that the next tick can take: one for each search at work or waiting, one a lane."""
        at_work = (int(np.sum(s.at_work[:, 0] >= 0)) + s.count - s.first for s in self.streams)
        return sum(min(searches, self.engine.lanes) for searches in at_work)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return any(stream.busy for stream in self.streams)

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """Hands out starts in equal parts; few go to few streams.

        starts: (k, n) with k at most `room`. first_step: of the searches from them, one or (k,). number: (k,) their
        numbers. problem: their problems, one or (k,).
        """
        k = len(starts)
        searches = np.stack([number, np.broadcast_to(problem, k)], axis=1)
        first_step = np.broadcast_to(first_step, k)
        hungry = self._hungry
        used = min(len(hungry), -(-k // self.engine.lanes))
        for stream, part in zip(hungry, np.array_split(np.arange(k), used), strict=False):
            stream.fill(starts[part], first_step[part], searches[part])

    def serve(self, problems: Problems) -> None:
        """Other problems take the places of those that have ended."""
        self.problems = jax.device_put(problems)

    def run(self, rules: LocalRules, drain: bool, allowed: int | None = None) -> minima.Ended:
        """Runs a chunk on every busy stream; returns the searches that ended.

        rules: of the local searches. drain: whether no more starts will be dealt. allowed: evaluations that may still
        be made, exceeded by a tick at most.
        """
        max_ticks = ticks(self.engine.tick_time)
        if allowed is not None:
            max_ticks = min(max_ticks, max(allowed // self.evaluations_a_tick, 1))
        busy = [stream for stream in self.streams if stream.busy]
        # JAX's settings belong to a thread: that of the caller holds in the pool too.
        run = functools.partial(self._run, rules=rules, max_ticks=max_ticks, drain=drain, precise=x64())
        began = time.perf_counter()
        outcomes = list(thread_pool(len(self.streams)).map(run, busy)) if len(busy) > 1 else [run(busy[0])]
        seconds = time.perf_counter() - began
        made = [made for _, made, _ in outcomes]
        self.ticks += sum(made) * self.engine.lanes
        self.nfev += sum(nfev for _, _, nfev in outcomes)
        self.engine.tick_time = seconds / max(1, *made)
        return minima.join([ended for ended, _, _ in outcomes])

    def _run(
        self, stream: Stream, rules: LocalRules, max_ticks: int, drain: bool, precise: bool
    ) -> tuple[minima.Ended, int, int]:
        with jax.enable_x64(precise), jax.disable_jit(False):  # a compiled program stays one
            out: Chunk = self.engine.call(stream.state, stream.queue(max_ticks, drain), self.problems, rules)
        results, slot = np.asarray(out.results), np.asarray(out.state.slot)
        searches = np.concatenate([stream.waiting, stream.at_work, [[-1, -1]]])
        stream.state, stream.first, stream.at_work = out.state, int(out.first), searches[slot]
        n = self.engine.n
        rows = np.flatnonzero(results[:, n + 1])
        ended = results[rows]
        status, nfev = ended[:, n + 1 :].astype(np.int64).T
        number, problem = searches[rows].T
        return minima.Ended(ended[:, :n], ended[:, n], number, status, nfev, problem), int(out.ticks), int(out.nfev)

    def cut(self) -> minima.Ended:
        """Ends the searches at work where they are; starts that wait are dropped."""
        ended = []
        for stream in self.streams:
            lanes = stream.state.lanes
            nfev = np.asarray(lanes.nfev)[0]
            rows = np.flatnonzero((stream.at_work[:, 0] >= 0) & (nfev > 0))
            status = np.full(len(rows), int(LocalStatus.CUT))
            x, f = np.asarray(lanes.best_x)[:, rows].T, np.asarray(lanes.best_f)[0, rows]
            number, problem = stream.at_work[rows].T
            ended.append(minima.Ended(x, f, number, status, nfev[rows].astype(np.int64), problem))
        self.streams = [self._idle() for _ in self.streams]
        return minima.join(ended)

    def save(self) -> dict[str, np.ndarray]:
        """The lanes, their searches and the starts that wait, as arrays; what has been spent."""
        arrays = {"spent": np.array([self.nfev, self.ticks])}
        for i, stream in enumerate(self.streams):
            waits = slice(stream.first, stream.count)
            parts = {"starts": stream.starts, "first_step": stream.first_step, "waiting": stream.waiting}
            arrays |= {f"stream{i}_{name}": part[waits] for name, part in parts.items()}
            arrays[f"stream{i}_at_work"] = stream.at_work
            leaves = jax.tree.leaves(stream.state)
            arrays |= {f"stream{i}_state{k}": np.asarray(leaf) for k, leaf in enumerate(leaves)}
        return arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`, with as many streams as there were."""
        self.nfev, self.ticks = (int(number) for number in arrays["spent"])
        self.streams = []
        while f"stream{(i := len(self.streams))}_at_work" in arrays:
            stream, treedef = self._idle(), jax.tree.structure(self._idle().state)
            starts, first_step, waiting, at_work = (
                arrays[f"stream{i}_{name}"] for name in ("starts", "first_step", "waiting", "at_work")
            )
            stream.fill(starts, first_step, waiting)
            stream.at_work = at_work
            leaves = [arrays[f"stream{i}_state{k}"] for k in range(treedef.num_leaves)]
            stream.state = jax.tree.unflatten(treedef, leaves)
            self.streams.append(stream)

    def gradient(self, x: np.ndarray, rules: LocalRules) -> np.ndarray:
        """The gradient at x, (n,), by one more evaluation."""
        return self.evaluate(x[None], rules)[1][0]

    def evaluate(self, points: np.ndarray, rules: LocalRules) -> tuple[np.ndarray, np.ndarray]:
        """The values, (k,), and gradients, (k, n), at points of the first problem, by one evaluation each.

        Not finite where the evaluation is not; the gradient is zero for fixed variables.
        """
        values, gradients, width = [], [], np.asarray(self.problems.region.width)
        for first in range(0, len(points), self.engine.lanes):
            part, stream = points[first : first + self.engine.lanes], self._idle()
            k = len(part)
            stream.fill(part, 1.0, np.zeros((k, 2), np.int64))
            with jax.disable_jit(False):
                lanes = self.engine.call(stream.state, stream.queue(1, True), self.problems, rules).state.lanes
            self.nfev += k
            self.ticks += self.engine.lanes
            bad = np.isin(np.asarray(lanes.status)[0, :k], NOT_BEGUN)
            values.append(np.asarray(lanes.best_f)[0, :k])
            gradients.append(np.where(bad, np.nan, np.asarray(lanes.g)[:, :k]).T / np.where(width > 0, width, 1))
        return np.concatenate(values), np.concatenate(gradients)
