"""What evaluates on the devices of this process: a stream for each, the problems there, and what all processes know.

Whoever asks for values and gradients, they are evaluated where the problems lie. What each process has spent, and how
far its streams are, all hear after every chunk, and take the same decisions from it.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import fused, processes
from jaxglobal.engine.counts import Counts, Report, Tally
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.looks import Looks, Pairs, Then
from jaxglobal.engine.spent import Spent
from jaxglobal.engine.stream import idle
from jaxglobal.engine.sweep import Problems
from jaxglobal.evidence import minima


@functools.cache
def thread_pool(workers: int) -> ThreadPoolExecutor:
    """The threads that call compiled programs; they live as long as the process."""
    return ThreadPoolExecutor(workers, thread_name_prefix="jaxglobal")


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what the error says."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


class Evaluating:
    """The streams of this process, one on each device or thread, and the problems that they evaluate.

    Attributes:
        streams: the lanes and queue of each.
        lanes: of each stream.
        spent: by the streams of all processes so far.
        tally: what the streams of this process have taken.
        counts: how far the streams of all processes are.
        looks: the points that wait for their values alone, if any can.
        pairs: the program of values with gradients, if they can be asked for.
    """

    looks: Looks | None = None
    pairs: Pairs | None = None

    def __init__(self, engines: list[Engine], problems: Problems, lockstep: bool, group: processes.Alone):
        """Idle lanes. engines: of the streams, all of the same number of lanes."""
        self.engine, self.engines, self.lanes, self.group = engines[0], engines, engines[0].lanes, group
        self.counts = Counts(self.lanes, self.engine.queue, lockstep)
        self.serve(problems)
        self.streams = [idle(self.engine) for _ in engines]
        self.spent, self.tally = Spent(), Tally(len(engines), self.engine.pace)
        reports = self.group.gather(self._report())
        counts = [len(report.waiting) for report in reports]
        self._mine = slice(sum(counts[: self.group.index]), sum(counts[: self.group.index + 1]))
        self._hear(reports)

    def _report(self) -> Report:
        """What is to be told of the streams of this process."""
        return Report(
            waiting=np.array([stream.count - stream.first for stream in self.streams]),
            at_work=np.array([int(np.sum(stream.at_work[:, 0] >= 0)) for stream in self.streams]),
            ended=self.tally.ended,
            made=self.tally.made,
            spent=np.array(self.tally.spent),
            tick_time=np.array(self.engine.tick_time),
            look_time=np.array(self.looks.seconds if self.looks else 0.0),
            short=np.array(self.tally.short),
        )

    def _hear(self, reports: list[Report]) -> None:
        """Takes in what all processes tell of their streams."""
        self.counts.hear(reports)
        self.spent = self.spent.add(*(int(count) for count in np.sum([report.spent for report in reports], axis=0)))
        self.tally.spent = Spent()
        if any(report.short for report in reports):
            raise MemoryError("RESOURCE_EXHAUSTED: the memory of a device was too short for the lanes")

    def gather(self, news: Any) -> list[Any]:
        """What all processes bring after a chunk; brings the counts of their streams up to date."""
        if self.group.count == 1:
            return [news]
        told = self.group.gather((news, self._report()))
        self._hear([report for _, report in told])
        return [news for news, _ in told]

    def serve(self, problems: Problems) -> None:
        """Other problems take the places of those that have ended."""
        where: dict[Any, Problems] = {}
        for engine in self.engines:
            if engine.placement not in where:
                at = jax.tree.map(lambda leaf, engine=engine: fused.place(leaf, engine.placement), problems)
                where[engine.placement] = jax.device_put(problems, at)
        self._problems = [where[engine.placement] for engine in self.engines]

    @property
    def problems(self) -> Problems:
        """The problems, as the first stream sees them."""
        return self._problems[0]

    def look(self, points: np.ndarray, number: np.ndarray, problem: int = 0, then: Then | None = None) -> None:
        """Asks for the values at points, (k, n), of a problem, from which no search begins. number: (k,) theirs.

        then: of one process alone; see `lanes.Lanes`.
        """
        self._values.ask(points, number, problem, then if self.group.count == 1 else None)

    def _look_by(self, calls: int, allowed: int | None) -> minima.Ended:
        """Values of the points that wait, by so many calls at most, as far as the evaluations allow."""
        looks, counts, group = self._values, self.counts, self.group
        args = [problems.args for problems in self._problems]
        share, pool = slice(group.index, None, group.count), thread_pool(len(self.streams))
        try:
            values = self._ready(calls, None if allowed is None else self.spent.values_within(allowed))
            ended, count = looks.run(calls, values, args, share, pool.map)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if group.count == 1 or not out_of_memory(error):
                raise
            self.tally.short = True  # which the others have to hear
            return self._nothing()
        if group.count > 1:
            self.tally.spent = self.tally.spent.add(values=len(ended.f))
        else:  # nothing else has changed
            self.spent, counts.look_time = self.spent.add(values=count), looks.seconds
        return ended

    def _ready(self, calls: int, values: int | None) -> int | None:
        """Of how many of the points that wait values may be asked for by so many calls, where so many are left."""
        return values

    @property
    def _values(self) -> Looks:
        """The points that wait for their values alone."""
        if self.looks is None:
            raise RuntimeError("these streams were opened without a program of values alone.")
        return self.looks

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at x, (n,), by one more evaluation, which is not counted."""
        return self.evaluate(x[None])[1][0]

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values, (k,), and gradients, (k, n), at points of the first problem; see `looks.Pairs`. Not counted."""
        if self.pairs is None:
            raise RuntimeError("these streams were opened without a program of values with gradients.")
        return self.pairs.evaluate(points, self.problems)

    def _nothing(self) -> minima.Ended:
        n, dtype, whole = self.engine.n, self.engine.dtype, np.zeros(0, np.int64)
        return minima.Ended(np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole)
