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

import time
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import compiling, processes
from jaxglobal.engine.counts import MOST_TICKS, Tally, ticks
from jaxglobal.engine.evaluating import Evaluating, out_of_memory, thread_pool
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.spent import Spent
from jaxglobal.engine.stream import idle, named, unpacked
from jaxglobal.engine.sweep import Problems
from jaxglobal.evidence import minima
from jaxglobal.local import basins
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.closed import x64
from jaxglobal.problem.programs import undisturbed

CHUNK_TIME = 0.05  # seconds of a program between two looks at the clock: what is done in between takes 2 to 4 ms
TOGETHER = 3  # times as many between two messages of several processes


class Streams(Evaluating):
    """The streams of one search; see `lanes.Lanes`."""

    exact, hopeless, calls = True, False, None
    best: tuple[float, np.ndarray, np.ndarray] | None = None

    def __init__(
        self, engines: list[Engine], problems: Problems, lockstep: bool = True, group: processes.Alone = processes.ALONE
    ):
        """Idle lanes. engines: of the streams of this process, all of the same number of lanes.

        lockstep: whether starts are dealt only when all queues are empty, so that all streams make the same ticks.
        """
        super().__init__(engines, problems, lockstep, group)
        self._minima = basins.none(self.engine.n, self.engine.dtype) if self.engine.stops else None
        self._returned = self._no_starts()

    def _no_starts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        n, dtype = self.engine.n, self.engine.dtype
        return np.zeros((0, n), dtype), np.zeros(0, dtype), np.zeros((0, 2), np.int64)

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

    def onto_rows(self, points: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray] | None:
        """See `Lanes`: there are no rows."""

    def know(self, known: basins.Known) -> None:
        """The minima at which the next searches end."""
        self._minima = known if self.engine.stops else None

    def _look(self, allowed: int | None) -> minima.Ended:
        """Values for about the time of a chunk, if so many evaluations may still be made, and those asked for then."""
        until = time.perf_counter() + CHUNK_TIME
        most = None if allowed is None else self.spent.nfev + allowed
        with undisturbed():
            told = [self._look_once(allowed)]
            while self._values.tell(told[-1]) and len(self._values.points) and time.perf_counter() < until:
                left = None if most is None else most - self.spent.nfev
                if left is not None and left <= 0:
                    break
                told.append(self._look_once(left))
        return minima.join(told)

    def _look_once(self, allowed: int | None) -> minima.Ended:
        """Values of the points that wait, as far as about the time of a chunk and the evaluations allow."""
        return self._look_by(len(self.counts.waiting) * ticks(self.counts.look_time, CHUNK_TIME), allowed)

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
            with compiling.called(precise):
                return self.streams[i].run(self.engines[i], self._problems[i], rules, max_ticks, drain, self._minima)

        try:
            outcomes = list(thread_pool(len(self.streams)).map(run, busy)) if len(busy) > 1 else [run(i) for i in busy]
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if self.group.count == 1 or not out_of_memory(error):
                raise
            self.tally.short, outcomes = True, []  # which the others have to hear
        if outcomes:
            ended, made, nfev, seconds = zip(*outcomes, strict=True)
            self.tally.add(busy, [len(some.f) for some in ended], made, nfev, seconds, self.lanes)
            # Without what is done with the results: it must not make the next chunk shorter.
            self.engine.tick_time, self.engine.pace = max(seconds) / max(1, *made), self.tally.pace
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
        mine = [array for stream in self.streams for array in stream.packed()]
        told = [array for arrays in self.group.gather_arrays(mine) for array in arrays]
        arrays = {"spent": np.array(self.spent), "queue": np.array(self.engine.queue)}
        arrays |= dict(zip(("returned_starts", "returned_step", "returned"), self._returned, strict=True))
        if self.looks is not None:
            looks = self.looks
            arrays |= {"looks": looks.points, "looks_number": looks.number, "looks_problem": looks.problem}
        return arrays | named(told, self.engine)

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`. With other streams or lanes, the searches at work begin anew, and count once."""
        self.spent = Spent(*(int(count) for count in arrays["spent"]))
        self._returned = tuple(arrays[name] for name in ("returned_starts", "returned_step", "returned"))
        if self.looks is not None:
            self.looks.ask(arrays["looks"], arrays["looks_number"], arrays["looks_problem"])
        kept = unpacked(arrays, self.engine)
        alike = len(kept) == len(self.counts.waiting) and int(arrays["queue"]) == self.engine.queue
        if alike and len(kept[0].at_work) == self.lanes:
            self.streams = [stream.with_queue(self.engine) for stream in kept[self._mine]]
        else:
            for stream in kept:
                searches, nfev = stream.anew()
                self.spent = self.spent.add(-nfev)
                self._returned = tuple(map(np.concatenate, zip(self._returned, searches, strict=True)))
        self.tally = Tally(len(self.engines), self.engine.pace)
        self._hear(self.group.gather(self._report()))
