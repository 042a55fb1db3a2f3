"""Many problems in shared lanes: those that are searched sit in a bounded number of slots.

A task is a level of a problem. The starts of all tasks that wait go through the same lanes; a problem whose level has
ended asks its own stopping rule, and either its next level becomes a task, or it leaves its slot to the next problem.
No problem waits for another, and the lanes are idle only when the last searches of the last problems end. A million
problems pass through the memory of some thousands.
"""

import collections
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import aside, processes, sweep
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes
from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.opening import SEARCHES, Needs, open_streams
from jaxglobal.engine.streams import MOST_TICKS, Streams
from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.distinct import Distinct, Minima
from jaxglobal.evidence.minima import Ended
from jaxglobal.local import implicit
from jaxglobal.local.descent import Local
from jaxglobal.problem import lattice
from jaxglobal.problem.family import Family
from jaxglobal.problem.region import Region, within
from jaxglobal.result import Level, Unseen
from jaxglobal.results import Finished, Results
from jaxglobal.search import batch, ending, loop
from jaxglobal.search import progress as display
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.limits import PAUSES, STATUSES, Limits
from jaxglobal.starts.designs import Starts
from jaxglobal.status import NOT_BEGUN, LocalStatus, Status

SLOTS = 2**14  # problems in the lanes and in line at a time
SLOTS_MEMORY = 2**26  # bytes of their args
FEWEST_SLOTS = 64
FOUND = (
    "_x", "_f", "_start", "_status", "_nit", "_nfev", "_nstarts", "_begun", "_tied", "_problem", "_left", "_last",
)  # fmt: skip
"""What a checkpoint keeps of every problem, and of every slot."""
POLISHED = 2**12  # problems polished in one call
SURE = (Status.SAME, Status.TARGET, Status.COVERED)  # a search that has ended so is a success


def compiled(run: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """The program of `run` for arguments of these shapes."""
    return jax.jit(run).lower(*args).compile()


def power_above(count: int) -> int:
    """The least power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()


class Run:
    """The problems that are done, those in the slots, and those that have not begun."""

    def __init__(
        self,
        began: float,
        problems: Family,
        sequence: Starts,
        search: Local,
        rules: stopping.Rules,
        lanes: int,
        shown: display.Silent,
        host: Host | None,
        given: list[Any],
        group: processes.Alone,
        fit: bool,
        callback: Callable[[Finished], Any] | None = None,
        kept: Checkpoint | None = None,
    ):
        """See `minimize_many`, which checks the arguments. fit: whether fewer lanes will do where memory is short.

        kept: where the state is kept.
        """
        self._callback, self._kept = callback, kept
        self._devices, self._group, self._fit = given, group, fit
        self._host, self._calls, self._efficiency = host, None, 0.0
        self._streams: Any = None  # before the first programs are compiled
        self._limit: Status | None = None  # that has ended the search of all problems
        of_all = stopping.Rules(max_time=rules.max_time)  # the others are those of each problem
        self._limits = Limits(began, of_all, kept, group)
        self._problems, self._sequence, self._options = problems, sequence, search
        self._rules, self._lanes, self._display = rules, lanes, shown
        self._free, self._n = int(np.sum(problems.free)), problems.structure.n
        self._units: dict[int, np.ndarray] = {}
        self._awaited: dict[Any, float] = {}  # evaluations before success, by level and numbers of values
        self._compile_time = 0.0
        count, n, dtype = problems.count, self._n, problems.structure.dtype
        # What has been found, for every problem.
        lower, upper = problems.box[..., 0, :], problems.box[..., 1, :]
        self._x = np.broadcast_to(lower + (upper - lower) / 2, (count, n)).astype(dtype)
        self._f = np.full(count, np.inf, dtype)
        self._start, self._status = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self._nit, self._nfev, self._nstarts = (np.zeros(count, np.int64) for _ in range(3))
        self._begun, self._tied, self._told = (np.zeros(count, bool) for _ in range(3))
        self._distinct = Distinct(count, n, dtype, None if rules.unseen is None else minima.KEPT)
        # The slots.
        leaves = problems.leaves
        each = sum(leaf.nbytes for leaf in leaves) / count
        bounded = max(min(self._most_slots, int(SLOTS_MEMORY / max(each, 1))), FEWEST_SLOTS)
        # Powers of two, so that one program serves many numbers of problems; some slots may stay empty.
        slots = min(power_above(count), power_above(bounded + 1) // 2)
        self._problem = np.full(slots, -1, np.int64)
        self._left = np.zeros(slots, np.int64)
        self._last = np.zeros((slots, rules.alike))
        self._next = 0
        own_box = problems.box.ndim == 3
        self._table = [np.empty((slots, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        self._boxes = np.repeat(problems.box[:1], slots, axis=0) if own_box else problems.box
        self._own = (own_box,) * len(Region._fields) + problems.own
        # The tasks: level, the slots of its problems, the starts dealt so far.
        self._tasks: collections.deque[Any] = collections.deque()
        self._firsts = [0]  # the number of the first start of each level

    def search(self) -> None:
        """Searches until all problems have stopped, or a limit of all is reached."""
        with self._limits.interrupt:
            for _ in loop.search(self):
                pass

    def goes_on(self) -> bool:
        """See `loop.Searches`."""
        left = self._streams is None or self._tasks or self._next < self._problems.count
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

    def deal(self) -> None:
        """See `loop.Searches`."""
        if self._tasks and self._streams.room:
            self._deal(self._streams)

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        return self._streams.busy

    def run(self) -> Ended:
        """See `loop.Searches`."""
        noise = 0.0 if self._host is None else self._host.noise
        local = self._options.rules(self._problems.structure.dtype, self._rules.target, noise)
        return self._streams.run(local, drain=not self._tasks, most_ticks=self._most_ticks(self._streams))

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`; problems whose level ends so go on to the next, or stop."""
        self._collect(minima.join(self._streams.gather(ended)))

    def observe(self) -> None:
        """See `loop.Searches`."""
        self._stop(self._streams)
        self._display.problems(int(np.sum(self._status > 0)), self._problems.count)
        self._limit = self._limits.reached() or self._limits.tell(self._callback, self._news())
        if self._limit is not None or self._limits.due:
            self._save()

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`: those that a limit has cut; of the others no record is kept."""
        if self._limit is not None:
            if self._streams is not None:
                self._collect(minima.join(self._streams.gather(self._streams.cut())), cut=True)
            self._tasks.clear()
            self._status[self._status == 0] = STATUSES.index(self._limit)
        return iter(())

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`."""
        raise error

    def end(self) -> None:
        """See `loop.Searches`; the results are polished when they are asked for."""
        if self._limit is None:  # else it is written
            self._save()
        if self._streams is not None:
            self._efficiency = self._streams.spent.efficiency
            self._calls = self._streams.calls

    def _news(self) -> Finished | None:
        """Which problems have ended since the callback was last told."""
        news = np.flatnonzero((self._status > 0) & ~self._told)
        if self._callback is None or not len(news):
            return None
        self._told[news] = True
        x, f = self._problems.structure.unflatten(self._x[news]), self._feasible(news)
        return Finished(news, x, np.where(np.isfinite(f), f, np.nan), int(np.sum(self._told)), len(self._told))

    def _save(self) -> None:
        """Writes the whole state, if there is a checkpoint."""
        if self._kept is None:
            return
        state, arrays = self._saved_tasks()
        arrays |= {f"found{name}": getattr(self, name) for name in FOUND}
        arrays |= {f"distinct_{name}": field for name, field in self._distinct.fields.items()}
        self._kept.write(state | {"next": self._next}, arrays | self._streams.save())

    def _load(self) -> dict[str, np.ndarray] | None:
        """Takes the state from the checkpoint, if there is one; what the lanes take from it."""
        read = None if self._kept is None else self._kept.read()
        if read is None:
            return None
        state, arrays = read
        for name in FOUND:
            setattr(self, name, arrays[f"found{name}"])
        for name in self._distinct.fields:
            setattr(self._distinct, name, arrays[f"distinct_{name}"])
        self._next = state["next"]
        self._told = self._status > 0
        slots = np.flatnonzero(self._problem >= 0)
        self._fill(slots, self._problem[slots])
        self._load_tasks(state, arrays)
        return arrays

    def _saved_tasks(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The tasks, and what the problems in the slots have learnt, as plain lists and arrays."""
        return {"tasks": [[level, slots.tolist(), dealt] for level, slots, dealt in self._tasks]}, {}

    def _load_tasks(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `_saved_tasks`."""
        self._tasks.extend([level, np.array(slots), dealt] for level, slots, dealt in state["tasks"])

    def _compile(self) -> Any:
        """The lanes: of the compiled program, or of the host; None where Ctrl-C came first."""
        program = self._options.program
        if self._host is not None:
            of_slot = lambda slot: self._problems.args_of(self._row(slot))  # noqa: E731
            region, own_box = self._in_slots().region, self._boxes.ndim == 3
            return HostLanes(self._host, self._problems.structure, of_slot, self._lanes, region, program, own_box)
        began = time.perf_counter()
        in_slots, lanes = self._in_slots(), self._lanes
        compiling = lambda: self._display.compiling(lanes)  # noqa: E731
        opened = lambda: self._opened(in_slots, compiling)  # noqa: E731
        streams = opened() if self._group.count > 1 else aside.unless(lambda: self._limits.interrupt.asked, opened)
        self._compile_time += time.perf_counter() - began
        return streams

    def _opened(self, problems: sweep.Problems, compiling: Callable[[], None]) -> Streams:
        """The streams, their programs compiled. compiling: to be called before that."""
        closed, program = self._problems.closed, self._options.program
        return open_streams(
            closed, program, problems, self._lanes, self._devices, compiling, self._own, False, self._group, self._fit,
            self._needs,
        )  # fmt: skip

    def _feasible(self, problem: Any) -> np.ndarray:
        """The best values of problems so far, +inf where there is none."""
        return self._f[problem]

    @property
    def _above(self) -> float:
        """From where on a value is the rank of an infeasible point."""
        return math.inf

    @property
    def _most_slots(self) -> int:
        return SLOTS

    @property
    def _needs(self) -> Needs:
        """What is asked of the lanes beside local searches."""
        return SEARCHES

    def _row(self, slot: int) -> list[np.ndarray]:
        """The leaves of the args of the problem in a slot."""
        return [leaf[slot] for leaf in self._table]

    def _in_slots(self) -> sweep.Problems:
        """The problems of the slots, as the lanes see them."""
        lower, upper = self._boxes[..., 0, :], self._boxes[..., 1, :]
        region = within(lower, upper, self._problems.open, self._problems.whole)
        return sweep.Problems(region, [*self._table, *self._problems.closed.constants])

    def _admit(self) -> bool:
        """Fills the free slots once half of them are; whether it did."""
        free = np.flatnonzero(self._problem < 0)
        count = min(len(free), self._problems.count - self._next)
        if not count or 2 * len(free) < len(self._problem):
            return False
        slots, first = free[:count], self._next
        self._fill(slots, slice(first, first + count))
        self._problem[slots] = np.arange(first, first + count)
        self._last[slots] = np.inf
        self._next += count
        self._begin_level(0, slots)
        return True

    def _fill(self, slots: np.ndarray, problems: Any) -> None:
        """Puts the args and bounds of these problems into the slots."""
        for table, leaf in zip(self._table, self._problems.leaves, strict=True):
            table[slots] = np.asarray(leaf[problems])
        if self._problems.box.ndim == 3:
            self._boxes[slots] = self._problems.box[problems]

    def _size(self, level: int) -> int:
        """Starts of a level, the user's own included."""
        own = self._problems.guesses.shape[1] if level == 0 else 0
        size = own + self._sequence.size(level, self._free)
        limit = self._rules.max_starts
        return size if limit is None else max(min(size, limit - self._before(level)), 0)

    def _before(self, level: int) -> int:
        """Starts of all levels before this one."""
        while len(self._firsts) <= level:
            self._firsts.append(self._firsts[-1] + self._size(len(self._firsts) - 1))
        return self._firsts[level]

    def _begin_level(self, level: int, slots: np.ndarray) -> None:
        """Makes the level of the problems in these slots a task."""
        self._left[slots] = self._size(level)
        self._tasks.append([level, slots, 0])

    def _deal(self, streams: Lanes) -> None:
        """Hands the starts of the tasks to the streams, as many as fit."""
        room, parts = streams.room, []
        while room and self._tasks:
            level, slots, dealt = self._tasks[0]
            size = self._size(level)
            count = min(room, len(slots) * size - dealt)
            index = np.arange(dealt, dealt + count)
            slot, start = slots[index // size], index % size
            number = start + self._before(level)
            parts.append((self._place(level, slot, start), self._first_step(level, count), number, slot))
            room -= count
            self._tasks[0][2] += count
            if dealt + count == len(slots) * size:
                self._tasks.popleft()
        streams.deal(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    def _first_step(self, level: int, count: int) -> np.ndarray:
        spacing = self._sequence.spacing(level, self._sequence.size(level, self._free), self._free)
        own = self._problems.guesses.shape[1] and level == 0
        return np.full(count, self._options.step() if own else self._options.step(spacing))

    def _place(self, level: int, slot: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The starts of a level of the problems in these slots, (k, n), in the user's coordinates."""
        own = self._problems.guesses.shape[1] if level == 0 else 0
        unit = np.full((len(start), self._n), 0.5)
        unit[:, self._problems.free] = self._unit(level, np.maximum(start - own, 0))
        box = self._boxes[slot] if self._boxes.ndim == 3 else self._boxes
        low, high = box[..., 0, :], box[..., 1, :]
        whole = self._problems.whole
        if np.any(whole):
            unit = lattice.snapped(unit, lattice.values(low, high, whole))
        points = lattice.rounded(np.clip(low + (high - low) * unit, low, high), whole)
        if own:
            guesses = self._problems.guesses[self._problem[slot], np.minimum(start, own - 1)]
            points = np.where((start < own)[:, None], guesses, points)
        return points

    def _unit(self, level: int, index: np.ndarray) -> np.ndarray:
        """These points of the level in the unit box of the free variables; whole levels are kept if they are small."""
        size = self._sequence.size(level, self._free)
        if size <= stopping.AFFORDABLE:
            if level not in self._units:
                self._units[level] = self._sequence.points(level, 0, size, self._free)
            return self._units[level][index]
        ends = np.flatnonzero(np.diff(index) != 1) + 1
        runs = [(part[0], len(part)) for part in np.split(index, ends)]
        return np.concatenate([self._sequence.points(level, int(i), k, self._free) for i, k in runs])

    def _collect(self, ended: Ended, cut: bool = False) -> None:
        """Takes in local searches that ended; problems whose level has ended go on, or stop."""
        if not len(ended.f):
            return
        slot, f, start = ended.problem, ended.f, ended.start
        problem = self._problem[slot]
        counts = np.bincount(slot, minlength=len(self._left))
        self._left -= counts
        np.add.at(self._nfev, problem, ended.nfev)
        np.add.at(self._nstarts, problem, 1)
        self._begun[problem[~np.isin(ended.status, NOT_BEGUN)]] = True
        self._improve(problem, ended.x, f, start)
        even = (start >= self._problems.guesses.shape[1]) & (ended.status != LocalStatus.CUT)
        self._merge(ended._replace(problem=problem), even)
        if not cut:
            touched = np.flatnonzero(counts)
            finished = touched[self._left[touched] == 0]
            level = self._nit[self._problem[finished]]
            for k in np.unique(level):
                self._end_level(int(k), finished[level == k])

    def _improve(self, problem: np.ndarray, x: np.ndarray, f: np.ndarray, start: np.ndarray) -> None:
        """The best search of each problem is the one of the lowest value, and of equal values of the lowest start."""
        order = np.lexsort((start, f, problem))
        first = np.flatnonzero(np.diff(problem[order], prepend=-1))
        lowest, ids = order[first], problem[order][first]
        wins = (f[lowest] < self._f[ids]) | ((f[lowest] == self._f[ids]) & (start[lowest] < self._start[ids]))
        old_f, old_x = self._f[ids], self._x[ids]
        won = ids[wins]
        self._f[won], self._x[won], self._start[won] = f[lowest[wins]], x[lowest[wins]], start[lowest[wins]]
        tolerance = batch.SAME * (1 + np.abs(self._f))
        with np.errstate(invalid="ignore"):
            stays = np.isfinite(old_f) & (old_f - self._f[ids] <= tolerance[ids])
            self._tied[ids] = stays & (self._tied[ids] | self._elsewhere(ids, old_x))
            ties = (f - self._f[problem] <= tolerance[problem]) & self._elsewhere(problem, x)
        self._tied[problem[ties]] = True

    def _merge(self, ended: Ended, even: np.ndarray) -> None:
        """Takes local searches that ended into the distinct minima; problem: their problems.

        even: (k,) whether the start of each is one of those that are spread evenly over the box.
        """
        lower, width = self._corner(ended.problem)
        self._distinct.add(ended, lower, width, self._rules.fatol, even)

    def _unseen(self, problem: int) -> Unseen | None:
        """What the minima of a problem say about those not yet seen."""
        lower, width = self._corner(problem)
        return self._distinct.unseen(problem, lower, width, self._rules.fatol, self._rules.frtol)

    def _covered(self, problem: np.ndarray) -> np.ndarray:
        """Of which of these problems hardly any minimum is left to be seen, where that is asked for."""
        if self._rules.unseen is None:
            return np.zeros(len(problem), bool)
        return np.array([stopping.covered(self._rules, self._unseen(int(p))) is not None for p in problem], bool)

    def _corner(self, problem: Any) -> tuple[np.ndarray, np.ndarray]:
        """The lower bounds and the widths of the boxes of these problems."""
        box = self._problems.box[problem] if self._problems.box.ndim == 3 else self._problems.box
        return box[..., 0, :], box[..., 1, :] - box[..., 0, :]

    def _elsewhere(self, problem: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Whether each x lies apart from the best point of the problem."""
        _, width = self._corner(problem)
        return np.any((np.abs(x - self._x[problem]) > batch.APART * width) & (width > 0), axis=-1)

    def _end_level(self, level: int, slots: np.ndarray) -> None:
        """Problems whose level has ended stop, and leave their slots, or begin the next."""
        problem = self._problem[slots]
        self._nit[problem] += 1
        self._last[slots] = np.concatenate([self._last[slots, 1:], self._feasible(problem)[:, None]], axis=1)
        eps = float(np.finfo(self._problems.structure.dtype).eps)
        settled = stopping.settled(self._rules, self._last[slots], eps) & (level + 1 >= self._rules.alike)
        size = self._sequence.size(level + 1, self._free)
        nstarts = self._before(level + 1)
        too_far = stopping.before_level(self._rules, level + 1, nstarts, size)
        status = np.full(len(slots), STATUSES.index(too_far or Status.RUNNING))
        if self._rules.max_evals is not None:
            status[self._nfev[problem] >= self._rules.max_evals] = STATUSES.index(Status.MAX_EVALS)
        finite = np.isfinite(self._feasible(problem))
        full = self._distinct.full[problem] if self._rules.unseen is not None else np.zeros(len(slots), bool)
        if self._rules.same is None and np.any(self._problems.whole):
            settled[settled] = self._nfev[problem[settled]] >= self._least_evaluations(level, slots[settled])
        settled &= full | (self._rules.same is not None or self._rules.unseen is None)
        status[settled & finite] = STATUSES.index(Status.SAME)
        status[settled & finite & full] = STATUSES.index(Status.FULL)
        status[self._covered(problem)] = STATUSES.index(Status.COVERED)
        given_up = (level + 1 >= self._rules.alike) & (self._nfev[problem] >= stopping.LOOKED)
        status[given_up & ~finite] = STATUSES.index(Status.NO_FINITE_VALUE)
        if self._rules.target is not None:
            status[self._f[problem] <= self._rules.target] = STATUSES.index(Status.TARGET)
        stops = status > 0
        self._status[problem[stops]] = status[stops]
        self._problem[slots[stops]] = -1
        if not np.all(stops):
            self._begin_level(level + 1, slots[~stops])

    def _least_evaluations(self, level: int, slots: np.ndarray) -> np.ndarray:
        """(k,) See `ending.least_evaluations`; of the problems in these slots, after a level."""
        box, whole = self._boxes[slots] if self._boxes.ndim == 3 else self._boxes[None], self._problems.whole
        counts = lattice.values(box[:, 0], box[:, 1], whole)[:, self._problems.free]
        starts = self._before(level + 1) - self._problems.guesses.shape[1]
        for count in counts:
            if (level, count.tobytes()) not in self._awaited:
                tried = lattice.reached(self._sequence, starts, count)
                self._awaited[level, count.tobytes()] = ending.least_evaluations(tried)
        return np.array([self._awaited[level, count.tobytes()] for count in counts])

    def _under_way(self, streams: Any) -> np.ndarray:
        """(2, S) Evaluations of the searches under way for each slot, and how many searches these are."""
        slot, nfev = streams.under_way()
        mine = [np.bincount(slot, weights, len(self._problem)) for weights in (nfev, None)]
        return np.sum(self._group.gather(np.array(mine, np.int64)), axis=0)

    def _most_ticks(self, streams: Any) -> int:
        """Ticks in which no problem can exceed its evaluations, or one: its searches take one each in a tick."""
        if self._rules.max_evals is None:
            return MOST_TICKS
        nfev, searches = self._under_way(streams)
        busy = np.flatnonzero(searches)
        left = self._rules.max_evals - self._nfev[self._problem[busy]] - nfev[busy]
        a_tick = np.minimum(searches[busy], streams.evaluations_a_tick)
        return int(max(np.min(left // a_tick, initial=MOST_TICKS), 1))

    def _stop(self, streams: Any) -> None:
        """Problems that reach a limit of their own in the middle of a level stop there, and leave their slots."""
        slots = np.flatnonzero(self._problem >= 0)
        problem, status = self._problem[slots], np.zeros(len(slots), np.int64)
        if self._rules.max_evals is not None:
            spent = self._nfev[problem] + self._under_way(streams)[0, slots]
            status[spent >= self._rules.max_evals] = STATUSES.index(Status.MAX_EVALS)
        if self._rules.target is not None:
            status[self._f[problem] <= self._rules.target] = STATUSES.index(Status.TARGET)
        stops = np.flatnonzero(status)
        if not len(stops):
            return
        self._collect(minima.join(streams.gather(streams.drop(slots[stops]))), cut=True)
        self._leave_out(slots[stops])
        self._status[problem[stops]], self._problem[slots[stops]] = status[stops], -1

    def _leave_out(self, slots: np.ndarray) -> None:
        """Deals no more starts to these slots, where one is in the middle of being dealt its level."""
        if not self._tasks:
            return
        level, waiting, dealt = self._tasks[0]
        size = self._size(level)
        if dealt % size and waiting[dealt // size] in slots:
            self._tasks[0][2] = (dealt // size + 1) * size
            if self._tasks[0][2] == len(waiting) * size:
                self._tasks.popleft()

    def _polish(self) -> tuple[Any, Any]:
        """All minimisers to their last digits, and the auxiliary outputs there, in blocks of problems."""
        problems, closed = self._problems, self._problems.closed
        # The gradients of a host are not exact, and its evaluations are dear.
        if self._host is not None or self._streams is None:
            no = np.zeros(problems.count, bool)
            fields: Any = self._x, self._f, np.full_like(self._x, np.nan), no, no
            return implicit.Polished(*fields), None
        count, size = problems.count, min(power_above(problems.count), POLISHED)
        own_box, has_aux = problems.box.ndim == 3, problems.has_aux
        key = ("polish", own_box, problems.open.tobytes(), problems.whole.tobytes(), size)
        if key not in closed.programs:
            open, whole, own, value, jumps = problems.open, problems.whole, self._own, closed.value, closed.jumps

            def polish(x, f, box, leaves):
                region = within(box[..., 0, :], box[..., 1, :], open, whole)
                polished = batch.polish_all(value, x, f, sweep.Problems(region, leaves), own, jumps)
                axes = [0 if differs else None for differs in problems.own]
                return polished, jax.vmap(closed.auxiliary, (0, axes))(polished.x, leaves) if has_aux else None

            began = time.perf_counter()
            run = closed.safe(polish, jax.default_backend())
            closed.programs[key] = compiled(run, *self._block(np.arange(size)))
            self._compile_time += time.perf_counter() - began
        parts = []
        for first in range(0, count, size):
            parts.append(closed.programs[key](*self._block(np.arange(first, first + size))))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)

    def _block(self, block: np.ndarray) -> tuple[Any, ...]:
        """The minimisers, values, bounds and args of some problems; the last fills up the block."""
        block = np.minimum(block, self._problems.count - 1)
        box = self._problems.box[block] if self._problems.box.ndim == 3 else self._problems.box
        leaves = [np.asarray(leaf)[block] for leaf in self._problems.leaves]
        return self._x[block], self._f[block], box, [*leaves, *self._problems.closed.constants]

    def results(self) -> Results:
        """What has been found, to its last digits."""
        problems, structure = self._problems, self._problems.structure
        polished, aux = self._group.gather(self._polish())[0]
        times = np.array([self._limits.elapsed, self._compile_time])
        taken, compile_time = (float(seconds) for seconds in self._group.gather(times)[0])
        found = np.isfinite(np.asarray(polished.f))
        status = np.array(STATUSES, object)[self._status]
        stopped = ~np.isin(self._status, [STATUSES.index(s) for s in PAUSES])
        none = stopped & ~self._begun & ~(found & (self._nstarts == 0))  # a limit may come before the first search
        status[none] = Status.NO_FINITE_VALUE
        status[none & found] = Status.NO_FINITE_GRADIENT
        success = found & self._begun & np.isin(self._status, [STATUSES.index(s) for s in SURE])
        return Results(
            x=structure.point(polished.x),
            fun=np.where(found, polished.f, np.nan),
            jac=structure.unflatten(np.where(found[:, None], polished.g * (problems.free & ~problems.whole), np.nan)),
            aux=aux,
            success=success,
            status=status,
            nit=self._nit,
            nfev=self._nfev,
            njev=self._nfev.copy(),
            calls=self._calls,
            nstarts=self._nstarts,
            singular=polished.singular,
            touching=polished.touching,
            tied=self._tied,
            minima=self._minima(polished, found),
            lane_efficiency=self._efficiency,
            time=taken,
            compile_time=compile_time,
            violation=np.zeros(problems.count),
            unseen=self._all_unseen(),
        )

    def _all_unseen(self) -> np.ndarray:
        """(P,) What is said about the minima not yet seen of each problem, which takes Python some time: if asked."""
        told = np.full(self._problems.count, None)
        if self._rules.unseen is not None:
            told[:] = [self._unseen(problem) for problem in range(len(told))]
        return told

    def _minima(self, polished: Any, found: np.ndarray) -> Minima:
        """The distinct minima of each problem, the best of them as polished."""
        lower, width = self._corner(slice(None))
        told = self._distinct.merged(lower, width, self._rules.fatol, self._rules.frtol)
        told.x[found, 0], told.fun[found, 0] = np.asarray(polished.x)[found], np.asarray(polished.f)[found]
        count = np.where(np.isfinite(told.fun), np.maximum(told.count, 1), 0)
        return Minima(self._problems.structure.unflatten(told.x), told.fun, count)
