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
from jaxglobal.bfgs import Region
from jaxglobal.bfgs import Rules as LocalRules
from jaxglobal.objective import x64
from jaxglobal.result import LocalStatus
from jaxglobal.sweep import Chunk, Engine, Queue, State


@dataclasses.dataclass
class Stream:
    """One set of lanes, its queue, and the numbers of the searches in both."""

    state: State
    starts: np.ndarray
    numbers: np.ndarray
    owners: np.ndarray
    """(L,) The number of the search in each lane, -1 where it is idle."""
    first: int = 0
    count: int = 0

    @property
    def busy(self) -> bool:
        """Whether a start waits or a lane is at work."""
        return self.first < self.count or bool(np.any(self.owners >= 0))


@functools.cache
def thread_pool(workers: int) -> ThreadPoolExecutor:
    """The threads that call compiled programs; they live as long as the process."""
    return ThreadPoolExecutor(workers, thread_name_prefix="jaxglobal")


class Streams:
    """The streams of one search.

    Attributes:
        ticks: lanes times ticks of all streams so far.
        nfev: evaluations so far, those of idle lanes not counted.
    """

    def __init__(self, engine: Engine, count: int, region: Region, args: Any):
        """Idle lanes on `count` threads."""
        self.engine, self.args = engine, args
        self.region = jax.device_put(region)
        self.streams = [self._idle() for _ in range(count)]
        self.ticks = self.nfev = 0

    def _idle(self) -> Stream:
        shape, lanes = (self.engine.queue, self.engine.n), self.engine.lanes
        starts = np.zeros(shape, self.engine.dtype)
        return Stream(self.engine.idle(), starts, np.zeros(shape[0], np.int64), np.full(lanes, -1, np.int64))

    @property
    def room(self) -> int:
        """Starts that can be dealt: none unless all queues are empty."""
        hungry = all(stream.first >= stream.count for stream in self.streams)
        return self.engine.queue * len(self.streams) if hungry else 0

    @property
    def evaluations_a_tick(self) -> int:
        """The most evaluations that the next tick can take: one for each search at work or waiting, one a lane."""
        at_work = (int(np.sum(s.owners >= 0)) + s.count - s.first for s in self.streams)
        return sum(min(searches, self.engine.lanes) for searches in at_work)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return any(stream.busy for stream in self.streams)

    def deal(self, points: np.ndarray, first_number: int) -> None:
        """Hands out starts, (k, n) with k at most `room`, in equal parts; few go to few streams."""
        used = min(len(self.streams), -(-len(points) // self.engine.lanes))
        parts = np.array_split(np.arange(len(points)), used)
        for stream, part in zip(self.streams, parts, strict=False):
            # A new array: the running program may still hold the old one.
            stream.starts = np.zeros_like(stream.starts)
            stream.starts[: len(part)] = points[part]
            stream.numbers = first_number + part
            stream.first, stream.count = 0, len(part)

    def run(self, rules: LocalRules, max_ticks: int, drain: bool) -> minima.Ended:
        """Runs a chunk on every busy stream; returns the searches that ended.

        rules: of the local searches. max_ticks: of each stream. drain: whether no more starts will be dealt.
        """
        busy = [stream for stream in self.streams if stream.busy]
        # JAX's settings belong to a thread: that of the caller holds in the pool too.
        run = functools.partial(self._run, rules=rules, max_ticks=max_ticks, drain=drain, precise=x64())
        began = time.perf_counter()
        outcomes = list(thread_pool(len(self.streams)).map(run, busy)) if len(busy) > 1 else [run(busy[0])]
        seconds = time.perf_counter() - began
        ticks = [ticks for _, ticks, _ in outcomes]
        self.ticks += sum(ticks) * self.engine.lanes
        self.nfev += sum(nfev for _, _, nfev in outcomes)
        self.engine.tick_time = seconds / max(1, *ticks)
        return minima.join([ended for ended, _, _ in outcomes])

    def _run(
        self, stream: Stream, rules: LocalRules, max_ticks: int, drain: bool, precise: bool
    ) -> tuple[minima.Ended, int, int]:
        engine = self.engine
        first, count = np.int32(stream.first), np.int32(stream.count)
        queue = Queue(stream.starts, first, count, np.bool_(drain), np.int32(max_ticks))
        with jax.enable_x64(precise):
            out: Chunk = engine.call(stream.state, queue, self.region, rules, self.args)
        results, slot = np.asarray(out.results), np.asarray(out.state.slot)
        owners = np.concatenate([stream.numbers, np.full(engine.queue - len(stream.numbers), -1), stream.owners, [-1]])
        rows = np.flatnonzero(results[:, engine.n + 1])
        ended = results[rows]
        stream.state, stream.first, stream.owners = out.state, int(out.first), owners[slot]
        x, f, status = ended[:, : engine.n], ended[:, engine.n], ended[:, engine.n + 1].astype(np.int64)
        return minima.Ended(x, f, owners[rows], status), int(out.ticks), int(out.nfev)

    def cut(self) -> minima.Ended:
        """Ends the searches at work where they are; starts that wait are dropped."""
        ended = []
        for stream in self.streams:
            at_work = np.flatnonzero((stream.owners >= 0) & (np.asarray(stream.state.lanes.nfev)[0] > 0))
            lanes = stream.state.lanes
            status = np.full(len(at_work), int(LocalStatus.CUT))
            x, f = np.asarray(lanes.best_x)[:, at_work].T, np.asarray(lanes.best_f)[0, at_work]
            ended.append(minima.Ended(x, f, stream.owners[at_work], status))
        self.streams = [self._idle() for _ in self.streams]
        return minima.join(ended)

    def gradient(self, x: np.ndarray, rules: LocalRules) -> np.ndarray:
        """The gradient at x, (n,), by one more evaluation; zero for fixed variables, NaN where it is not finite."""
        stream, n = self._idle(), self.engine.n
        stream.starts[0] = x
        queue = Queue(stream.starts, np.int32(0), np.int32(1), np.bool_(True), np.int32(1))
        out: Chunk = self.engine.call(stream.state, queue, self.region, rules, self.args)
        self.nfev += 1
        self.ticks += self.engine.lanes
        lanes = out.state.lanes
        if np.asarray(lanes.status)[0, 0] in (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT):
            return np.full(n, np.nan, x.dtype)
        width = np.asarray(self.region.width)
        return np.asarray(lanes.g)[:, 0] / np.where(width > 0, width, 1)
