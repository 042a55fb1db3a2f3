"""The lanes of all devices, threads and processes, each with a queue of its own, and how starts are dealt to them.

There is a stream (stream.py) on each device, and on a CPU on each thread. Each is a compiled program of its own device,
called from a thread of its own; nothing in its loop waits for another. (One program for all devices, by `shard_map`,
would not use the threads of a CPU; see docs/scaling.md.) All streams run one chunk at a time, side by side, and starts
are dealt again after each: to every stream as many as it will take in the next chunks at the pace it has shown, so that
all run out of them together.

A limit on evaluations has to cut the same searches in every run, however the clock divided it into chunks. Then the
streams go in lockstep: starts are dealt in equal parts whenever all queues are empty, so that all streams have made the
same number of ticks, but for those that wait for starts, and what a stream is given depends on counts alone.

Every process runs the streams of its own devices and knows the counts of all of them (`gather`); from these all take
the same decisions.
"""

import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import fused, processes
from jaxglobal.engine.counts import MOST_TICKS, Counts, Report, ticks
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.looks import Looks, Pairs, Then
from jaxglobal.engine.spent import Spent
from jaxglobal.engine.stream import idle, names_of
from jaxglobal.engine.sweep import Problems, State
from jaxglobal.evidence import minima
from jaxglobal.local import basins
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.closed import x64

CHUNK_TIME = 0.05  # seconds of a program between two looks at the clock: what is done in between takes 2 to 4 ms
TOGETHER = 3  # times as many between two messages of several processes


@functools.cache
def thread_pool(workers: int) -> ThreadPoolExecutor:
    """The threads that call compiled programs; they live as long as the process."""
    return ThreadPoolExecutor(workers, thread_name_prefix="jaxglobal")


class Streams:
    """The streams of one search; see `lanes.Lanes`.

    Attributes:
        lockstep: whether starts are dealt only when all queues are empty, so that all streams make the same ticks.
        spent: by all streams so far.
        seconds: (k,) that the calls of the program of each stream of this process have taken.
        worked: (k,) ticks that each has made.
        lanes: of each stream.
        looks: the points that wait for their values alone, if any can.
        pairs: the program of values with gradients, if they can be asked for.
    """

    exact, hopeless, calls = True, False, None
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    looks: Looks | None = None
    pairs: Pairs | None = None

    def __init__(
        self,
        engines: list[Engine],
        problems: Problems,
        lockstep: bool = True,
        group: processes.Alone = processes.ALONE,
    ):
        """Idle lanes. engines: of the streams of this process, all of the same number of lanes."""
        self.engine, self.engines, self.lockstep = engines[0], engines, lockstep
        self.lanes, self.group = engines[0].lanes, group
        self.counts = Counts(self.lanes, self.engine.queue, lockstep)
        self.serve(problems)
        stops = self.engine.stops
        self._minima = basins.none(self.engine.n, self.engine.dtype) if stops else None
        self.streams = [idle(self.engine) for _ in engines]
        self.seconds, self.worked = np.zeros(len(engines)), np.zeros(len(engines), np.int64)
        self.spent = Spent()
        self._returned = self._no_starts()
        self._forget()
        reports = self.group.gather(self._report())
        counts = [len(report.waiting) for report in reports]
        self._mine = slice(sum(counts[: self.group.index]), sum(counts[: self.group.index + 1]))
        self._hear(reports)

    def _forget(self) -> None:
        """Of what the streams take nothing is known but what their engine took before."""
        self._ended, self._made = (np.full(len(self.engines), count) for count in self.engine.pace)
        self._spent, self._short = Spent(), False

    def _no_starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, dtype = self.engine.n, self.engine.dtype
        return np.zeros((0, n), dtype), np.zeros(0, dtype), np.zeros((0, 2), np.int64)

    def _report(self) -> Report:
        """What is to be told of the streams of this process."""
        return Report(
            waiting=np.array([stream.count - stream.first for stream in self.streams]),
            at_work=np.array([int(np.sum(stream.at_work[:, 0] >= 0)) for stream in self.streams]),
            ended=self._ended,
            made=self._made,
            spent=np.array(self._spent),
            tick_time=np.array(self.engine.tick_time),
            look_time=np.array(self.looks.seconds if self.looks else 0.0),
            short=np.array(self._short),
        )

    def _hear(self, reports: list[Report]) -> None:
        """Takes in what all processes tell of their streams."""
        self.counts.hear(reports)
        self.spent = self.spent.add(*(int(count) for count in np.sum([report.spent for report in reports], axis=0)))
        self._spent = Spent()
        if any(report.short for report in reports):
            raise MemoryError("RESOURCE_EXHAUSTED: the memory of a device was too short for the lanes")

    def gather(self, news: Any) -> list[Any]:
        """What all processes bring after a chunk; brings the counts of their streams up to date."""
        if self.group.count == 1:
            return [news]
        told = self.group.gather((news, self._report()))
        self._hear([report for _, report in told])
        return [news for news, _ in told]

    @property
    def _max_ticks(self) -> int:
        return ticks(self.counts.tick_time, CHUNK_TIME * (TOGETHER if self.group.count > 1 else 1))

    @property
    def room(self) -> int:
        """Starts that can be dealt: in lockstep none unless all queues are empty."""
        return 0 if len(self._returned[0]) else int(np.sum(np.maximum(self.counts.room(self._max_ticks), 0)))

    @property
    def evaluations_a_tick(self) -> int:
        """The most evaluations that the next tick can take: one for each search at work or waiting, one a lane."""
        return self.counts.evaluations_a_tick

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        looking = self.looks is not None and len(self.looks.points) > 0
        return bool(looking or self.counts.busy or len(self._returned[0]))

    def know(self, known: basins.Known) -> None:
        """The minima at which the next searches end."""
        self._minima = known if self.engine.stops else None

    def look(self, points: np.ndarray, number: np.ndarray, problem: int = 0, then: Then | None = None) -> None:
        """Asks for the values at points, (k, n), of a problem, from which no search begins. number: (k,) theirs.

        then: of one process alone; see `lanes.Lanes`.
        """
        self._values.ask(points, number, problem, then if self.group.count == 1 else None)

    def _look(self, allowed: int | None) -> minima.Ended:
        """Values for about the time of a chunk, if so many evaluations may still be made, and those asked for then."""
        until = time.perf_counter() + CHUNK_TIME
        most = None if allowed is None else self.spent.nfev + allowed
        with jax.disable_jit(False):  # a compiled program stays one
            told = [self._look_once(allowed)]
            while self._values.tell(told[-1]) and len(self._values.points) and time.perf_counter() < until:
                left = None if most is None else most - self.spent.nfev
                if left is not None and left <= 0:
                    break
                told.append(self._look_once(left))
        return minima.join(told)

    def _look_once(self, allowed: int | None) -> minima.Ended:
        """Values of the points that wait, as far as about the time of a chunk and the evaluations allow."""
        looks, counts, group = self._values, self.counts, self.group
        calls = len(counts.waiting) * ticks(counts.look_time, CHUNK_TIME)
        args = [problems.args for problems in self._problems]
        share, pool = slice(group.index, None, group.count), thread_pool(len(self.streams))
        try:
            values = None if allowed is None else self.spent.values_within(allowed)
            ended, count = looks.run(calls, values, args, share, pool.map)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if group.count == 1 or not out_of_memory(error):
                raise
            self._short = True  # which the others have to hear
            return self._nothing()
        if group.count > 1:
            self._spent = self._spent.add(values=len(ended.f))
        else:  # nothing else has changed
            self.spent, counts.look_time = self.spent.add(values=count), looks.seconds
        return ended

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """Hands out starts, so that all streams run out of them at the same time; few go to few streams.

        starts: (k, n) with k at most `room`. first_step: of the searches from them, one or (k,). number: (k,) their
        numbers. problem: their problems, one or (k,).
        """
        k = len(starts)
        searches = np.stack([number, np.broadcast_to(problem, k)], axis=1)
        first_step = np.broadcast_to(first_step, k)
        shares = self.counts.deal(k, self._max_ticks)
        ends = np.cumsum(shares)
        for stream, share, end in zip(self.streams, shares[self._mine], ends[self._mine], strict=True):
            part = slice(end - share, end)
            if share:
                stream.fill(starts[part], first_step[part], searches[part])

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

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int = MOST_TICKS
    ) -> minima.Ended:
        """Runs a chunk on every busy stream of this process; returns the searches that ended, or points looked at.

        rules: of the local searches. drain: whether no more starts will be dealt. allowed: evaluations that may still
        be made, exceeded by a tick at most. most_ticks: of the chunk.
        """
        if self.looks is not None and len(self.looks.points):
            return self._look(allowed)
        self._deal_returned()
        max_ticks = min(self._max_ticks, most_ticks)
        if allowed is not None:
            max_ticks = min(max_ticks, max(allowed // max(self.evaluations_a_tick, 1), 1))
        busy = [i for i, stream in enumerate(self.streams) if stream.busy]
        # JAX's settings belong to a thread: that of the caller holds in the pool too.
        drain = drain and not len(self._returned[0])
        precise = x64()

        def run(i: int) -> Any:
            with jax.enable_x64(precise), jax.disable_jit(False):  # a compiled program stays one
                return self.streams[i].run(self.engines[i], self._problems[i], rules, max_ticks, drain, self._minima)

        try:
            outcomes = list(thread_pool(len(self.streams)).map(run, busy)) if len(busy) > 1 else [run(i) for i in busy]
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if self.group.count == 1 or not out_of_memory(error):
                raise
            self._short, outcomes = True, []  # which the others have to hear
        if outcomes:
            made, nfev = (np.array([outcome[i] for outcome in outcomes]) for i in (1, 2))
            self._spent = self._spent.add(int(np.sum(nfev)), ticks=int(np.sum(made)) * self.engine.lanes)
            # Without what is done with the results: it must not make the next chunk shorter.
            self.engine.tick_time = max(outcome[3] for outcome in outcomes) / max(1, *made)
            # The pace of late: what was longer ago counts half with every chunk.
            self.worked[busy] += made
            self.seconds[busy] += [outcome[3] for outcome in outcomes]
            ended = [len(ended.f) for ended, *_ in outcomes]
            self._ended[busy], self._made[busy] = self._ended[busy] / 2 + ended, self._made[busy] / 2 + made
            self.engine.pace = float(np.mean(self._ended)), float(np.mean(self._made))
        if self.group.count == 1:
            self._hear([self._report()])
        return minima.join([ended for ended, *_ in outcomes]) if outcomes else self._nothing()

    def _deal_returned(self) -> None:
        """Deals the starts of searches that have to begin anew."""
        room = int(np.sum(np.maximum(self.counts.room(self._max_ticks), 0)))
        if room and len(self._returned[0]):
            (starts, first_step, searches), self._returned = (
                tuple(part[:room] for part in self._returned), tuple(part[room:] for part in self._returned),
            )  # fmt: skip
            self.deal(starts, first_step, *searches.T)

    def _nothing(self) -> minima.Ended:
        n, dtype, whole = self.engine.n, self.engine.dtype, np.zeros(0, np.int64)
        return minima.Ended(np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole)

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """The problems, (k,), of the searches at work or waiting in this process, and their evaluations so far."""
        problem, nfev = [], []
        for stream in self.streams:
            works = stream.at_work[:, 0] >= 0
            waiting = stream.waiting[stream.first : stream.count, 1]
            problem += [stream.at_work[works, 1], waiting]
            nfev += [np.asarray(stream.state.lanes.nfev)[0, works], np.zeros(len(waiting), np.int64)]
        return np.concatenate(problem), np.concatenate(nfev)

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """Ends the searches of these problems in this process where they are; those of their starts that wait go."""
        ended = []
        for stream in self.streams:
            ended.append(stream.cut(stream.works_for(problems)))
            stream.drop(problems)
        if self.looks is not None:
            self.looks.drop(problems)
        if self.group.count == 1:
            self._hear([self._report()])
        return minima.join(ended)

    def cut(self) -> minima.Ended:
        """Ends the searches at work in this process where they are; starts that wait are dropped."""
        ended = [stream.cut(stream.at_work[:, 0] >= 0) for stream in self.streams]
        self.streams = [idle(self.engine) for _ in self.streams]
        self._returned = self._no_starts()
        if self.looks is not None:
            self.looks.drop()
        if self.group.count == 1:
            self._hear([self._report()])
        return minima.join(ended)

    def save(self) -> dict[str, np.ndarray]:
        """The lanes, their searches and the starts that wait, of all processes, as arrays; what has been spent."""
        mine = []
        for stream in self.streams:
            mine += stream.packed()
        told = [array for arrays in self.group.gather_arrays(mine) for array in arrays]
        arrays = {"spent": np.array(self.spent), "queue": np.array(self.engine.queue)}
        arrays |= dict(zip(("returned_starts", "returned_step", "returned"), self._returned, strict=True))
        if self.looks is not None:
            looks = self.looks
            arrays |= {"looks": looks.points, "looks_number": looks.number, "looks_problem": looks.problem}
        names, each = names_of(self.engine), len(names_of(self.engine))
        for i, first in enumerate(range(0, len(told), each)):
            arrays |= {f"stream{i}_{name}": told[first + k] for k, name in enumerate(names)}
        return arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`. With other streams or lanes, the searches at work begin anew, and count once."""
        self.spent = Spent(*(int(count) for count in arrays["spent"]))
        self._returned = tuple(arrays[name] for name in ("returned_starts", "returned_step", "returned"))
        if self.looks is not None:
            self.looks.ask(arrays["looks"], arrays["looks_number"], arrays["looks_problem"])
        treedef, names, kept = jax.tree.structure(self.engine.idle()), names_of(self.engine), []
        while f"stream{len(kept)}_at_work" in arrays:
            kept.append([arrays[f"stream{len(kept)}_{name}"] for name in names])
        alike = len(kept) == len(self.counts.waiting) and int(arrays["queue"]) == self.engine.queue
        if alike and len(kept[0][names.index("at_work")]) == self.lanes:
            for i, (starts, first_step, waiting, at_work, begun, *leaves) in enumerate(kept[self._mine]):
                stream = idle(self.engine)
                stream.fill(starts, first_step, waiting)
                stream.at_work, stream.begun, stream.state = at_work, begun, jax.tree.unflatten(treedef, leaves)
                self.streams[i] = stream
        else:
            for starts, first_step, waiting, at_work, begun, *leaves in kept:
                state: State = jax.tree.unflatten(treedef, leaves)
                works = at_work[:, 0] >= 0
                self.spent = self.spent.add(-int(np.sum(state.lanes.nfev[0, works])))
                parts = (starts, begun[works]), (first_step, state.first_step[works]), (waiting, at_work[works])
                both = zip(self._returned, parts, strict=True)
                self._returned = tuple(np.concatenate([before, *part]) for before, part in both)
        self._forget()
        self._hear(self.group.gather(self._report()))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at x, (n,), by one more evaluation, which is not counted."""
        return self.evaluate(x[None])[1][0]

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values, (k,), and gradients, (k, n), at points of the first problem; see `looks.Pairs`. Not counted."""
        if self.pairs is None:
            raise RuntimeError("these streams were opened without a program of values with gradients.")
        return self.pairs.evaluate(points, self.problems)

    @property
    def _values(self) -> Looks:
        """The points that wait for their values alone."""
        if self.looks is None:
            raise RuntimeError("these streams were opened without a program of values alone.")
        return self.looks


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what the error says."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
