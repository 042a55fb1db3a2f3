"""Many problems in shared lanes: those that are searched sit in a bounded number of slots (slots.py).

The starts of all of them go through the same lanes; a problem whose level has ended asks its own stopping rule, and
goes on to its next level, or leaves its slot to the next problem. No problem waits for another, and the lanes are idle
only when the last searches of the last problems end. How starts are dealt is in many_plain.py, many_learning.py and
many_mixed.py; the order of the steps in loop.py.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxglobal.engine import aside, processes, sweep
from jaxglobal.engine.counts import MOST_TICKS
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes
from jaxglobal.engine.opening import Needs, open_streams
from jaxglobal.engine.streams import Streams
from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.descent import Local
from jaxglobal.problem.family import Family
from jaxglobal.result import Level
from jaxglobal.results import Finished, Results
from jaxglobal.search import loop, many_results
from jaxglobal.search import progress as display
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.incumbents import Incumbents
from jaxglobal.search.limits import STATUSES, Limits
from jaxglobal.search.many_learning import Learning
from jaxglobal.search.many_mixed import Mixed
from jaxglobal.search.many_plain import Plain
from jaxglobal.search.slots import Slots
from jaxglobal.starts.adaptive import Adaptive, EasyFirst
from jaxglobal.starts.designs import Starts
from jaxglobal.status import Status


class Many:
    """The problems that are done, those in the slots, and those that have not begun; see `loop.Searches`.

    Attributes:
        incumbents: what has been found.
    """

    def __init__(
        self, began: float, problems: Family, sequence: Starts | EasyFirst, search: Local,
        rules: stopping.Rules, lanes: int,
        shown: display.Silent, host: Host | None, given: list[Any], group: processes.Alone, fit: bool,
        callback: Callable[[Finished], Any] | None = None, kept: Checkpoint | None = None,
    ):  # fmt: skip
        """See `minimize_many`, which checks the arguments. fit: whether fewer lanes will do where memory is short.

        kept: where the state is kept.
        """
        self._callback, self._checkpoint, self._display = callback, kept, shown
        self._devices, self._group, self._fit, self._host = given, group, fit, host
        self._problems, self._local, self._rules, self._lanes = problems, search, rules, lanes
        self._noise = 0.0 if host is None else host.noise
        self._streams: Any = None  # `lanes.Lanes`, once their programs are compiled
        self._limit: Status | None = None  # that has ended the search of all problems
        of_all = stopping.Rules(max_time=rules.max_time)  # the others are those of each problem
        self._limits = Limits(began, of_all, kept, group)
        self._compile_time = 0.0
        self.incumbents = Incumbents(problems, rules, self._above)
        kinds: dict[type, Any] = {EasyFirst: Mixed, Adaptive: Learning}
        kind = kinds.get(type(sequence), Plain)
        self._slots = Slots(problems, kind.MOST)
        self._starts = kind(problems, self._slots, self.incumbents, sequence, search, rules, self._above, self._noise)
        self._told = np.zeros(problems.count, bool)  # to the callback

    @property
    def _above(self) -> float:
        """From where on a value is the rank of an infeasible point."""
        return math.inf

    def search(self) -> None:
        """Searches until all problems have stopped, or a limit of all is reached."""
        with self._limits.interrupt:
            for _ in loop.search(self):
                pass

    def goes_on(self) -> bool:
        """See `loop.Searches`."""
        left = self._streams is None or not self._starts.dealt_all or self._slots.next < self._problems.count
        return self._limit is None and bool(left or self.busy)

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`; nothing but Ctrl-C is looked at while programs compile."""
        if self._streams is None:
            arrays = self._load()
            if arrays is None:
                self._admit()
            self._streams = self._compile()
            if self._streams is None:
                self._limit = Status.INTERRUPTED
            elif arrays is not None:
                self._streams.load(arrays)
        elif self._admit():
            self._streams.serve(self._in_slots())
        return iter(())

    def _admit(self) -> bool:
        """Takes problems into free slots; whether it did."""
        came = self._slots.admit()
        if len(came):
            self._starts.begin(0, came)
        return len(came) > 0

    def _in_slots(self) -> sweep.Problems:
        """The problems in the slots, as the lanes see them."""
        return self._slots.problems

    def _compile(self) -> Any:
        """The lanes: of the compiled program, or of the host; None where Ctrl-C came first."""
        if self._host is not None:
            region, own_box = self._in_slots().region, self._slots.boxes.ndim == 3
            structure, program = self._problems.structure, self._local.program
            return HostLanes(self._host, structure, self._slots.args, self._lanes, region, program, own_box)
        began = time.perf_counter()
        in_slots, lanes = self._in_slots(), self._lanes
        compiling = lambda: self._display.compiling(lanes)  # noqa: E731
        opened = lambda: self._opened(in_slots, compiling)  # noqa: E731
        streams = opened() if self._group.count > 1 else aside.unless(lambda: self._limits.interrupt.asked, opened)
        self._compile_time += time.perf_counter() - began
        return streams

    def _opened(self, problems: sweep.Problems, compiling: Callable[[], None]) -> Streams:
        """The streams, their programs compiled. compiling: to be called before that."""
        closed, program = self._problems.closed, self._local.program
        return open_streams(
            closed, program, problems, self._lanes, self._devices, compiling, self._slots.own, False, self._group,
            self._fit, self._needs,
        )  # fmt: skip

    @property
    def _needs(self) -> Needs:
        """What is asked of the lanes beside local searches."""
        return self._starts.needs(self._lanes, self._problems.closed.cost, self._devices[0].platform)

    def deal(self) -> None:
        """See `loop.Searches`."""
        self._starts.deal(self._streams)

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        return self._streams.busy

    def run(self) -> Ended:
        """See `loop.Searches`."""
        local = self._local.rules(self._problems.structure.dtype, self._rules.target, self._noise)
        return self._streams.run(local, drain=self._starts.dealt_all, most_ticks=self._most_ticks())

    def _most_ticks(self) -> int:
        """Ticks in which no problem can exceed its evaluations, or one: its searches take one each in a tick."""
        if self._rules.max_evals is None:
            return MOST_TICKS
        nfev, searches = self._under_way()
        busy = np.flatnonzero(searches)
        left = self._rules.max_evals - self.incumbents.nfev[self._slots.problem[busy]] - nfev[busy]
        a_tick = np.maximum(np.minimum(searches[busy], self._streams.evaluations_a_tick), 1)  # none where all wait
        return int(max(np.min(left // a_tick, initial=MOST_TICKS), 1))

    def _under_way(self) -> np.ndarray:
        """(2, S) Evaluations of the searches under way for each slot, and how many searches these are."""
        slot, nfev = self._streams.under_way()
        mine = [np.bincount(slot, weights, len(self._slots.problem)) for weights in (nfev, None)]
        return np.sum(self._group.gather(np.array(mine, np.int64)), axis=0)

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`."""
        self._starts.collect(minima.join(self._streams.gather(ended)))

    def observe(self) -> None:
        """See `loop.Searches`."""
        self._stop()
        self._display.problems(int(np.sum(self.incumbents.status > 0)), self._problems.count)
        self._limit = self._limits.reached() or self._limits.tell(self._callback, self._news())
        if self._limit is not None or self._limits.due:
            self._save()

    def _stop(self) -> None:
        """Problems that reach a limit of their own in the middle of a level stop there, and leave their slots."""
        slots = np.flatnonzero(self._slots.problem >= 0)
        problem, status, found = self._slots.problem[slots], np.zeros(len(slots), np.int64), self.incumbents
        if self._rules.max_evals is not None:
            spent = found.nfev[problem] + self._under_way()[0, slots]
            status[spent >= self._rules.max_evals] = STATUSES.index(Status.MAX_EVALS)
        if self._rules.target is not None:
            status[found.f[problem] <= self._rules.target] = STATUSES.index(Status.TARGET)
        stops = np.flatnonzero(status)
        if not len(stops):
            return
        dropped = self._streams.gather(self._streams.drop(slots[stops]))
        self._starts.collect(minima.join(dropped), cut=True)
        self._starts.leave_out(slots[stops])
        self._slots.leave(slots[stops], status[stops], found)

    def _news(self) -> Finished | None:
        """Which problems have ended since the callback was last told."""
        found = self.incumbents
        news = np.flatnonzero((found.status > 0) & ~self._told)
        if self._callback is None or not len(news):
            return None
        self._told[news] = True
        x, f = self._problems.structure.point(found.x[news]), found.feasible(news)
        return Finished(news, x, np.where(np.isfinite(f), f, np.nan), int(np.sum(self._told)), len(self._told))

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`: those that a limit has cut. Others end as they are collected, and leave no record."""
        if self._limit is not None:
            if self._streams is not None:
                self._starts.collect(minima.join(self._streams.gather(self._streams.cut())), cut=True)
            self._starts.leave_out()
            status = self.incumbents.status
            status[status == 0] = STATUSES.index(self._limit)
        return iter(())

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`."""
        raise error

    def end(self) -> None:
        """See `loop.Searches`; the results are polished when they are asked for."""
        if self._limit is None:  # else it is written
            self._save()

    def _save(self) -> None:
        """Writes the whole state, if there is a checkpoint."""
        if self._checkpoint is None:
            return
        state, arrays = self._starts.save()
        arrays |= {"found_problem": self._slots.problem} | self.incumbents.save() | self._streams.save()
        self._checkpoint.write(state | {"next": self._slots.next}, arrays)

    def _load(self) -> dict[str, np.ndarray] | None:
        """Takes the state from the checkpoint, if there is one; what the lanes take from it."""
        read = None if self._checkpoint is None else self._checkpoint.read()
        if read is None:
            return None
        state, arrays = read
        self.incumbents.load(arrays)
        self._told = self.incumbents.status > 0
        self._slots.load(arrays["found_problem"], state["next"])
        self._starts.load(state, arrays)
        return arrays

    def results(self) -> Results:
        """What has been found, to its last digits."""
        polished, aux = self._group.gather(self._polish())[0]
        times = self._group.gather(np.array([self._limits.elapsed, self._compile_time]))[0].tolist()
        unseen = self._starts.unseen()
        return many_results.results(self._problems, self.incumbents, polished, aux, self._streams, times, unseen)

    def _polish(self) -> tuple[Any, Any]:
        """All minimisers to their last digits, and the auxiliary outputs there."""
        polished, aux, seconds = many_results.last_digits(
            self._problems, self.incumbents, self._slots.own, self._streams
        )
        self._compile_time += seconds
        return polished, aux
