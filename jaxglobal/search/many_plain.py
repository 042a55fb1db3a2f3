"""Many problems with the starts of a design: dealt for all of them at once, so that a problem costs little Python.

A task is a level of problems, whose starts are handed out in turn.
"""

import collections
import math
from typing import Any

import numpy as np

from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.opening import SEARCHES, Needs
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.descent import Local
from jaxglobal.problem import lattice
from jaxglobal.problem.closed import NO_FUNCTION
from jaxglobal.problem.family import Family
from jaxglobal.search import ending
from jaxglobal.search.incumbents import Incumbents
from jaxglobal.search.limits import STATUSES
from jaxglobal.search.slots import Slots
from jaxglobal.starts.designs import Starts
from jaxglobal.status import LocalStatus, Status


class Plain:
    """The starts of many problems, which depend on no earlier find."""

    MOST = math.inf  # problems in slots, but for the memory that they take

    def __init__(
        self, problems: Family, slots: Slots, found: Incumbents, sequence: Starts, local: Local, rules: stopping.Rules,
        above: float, noise: float,
    ):  # fmt: skip
        """See `many.Many`."""
        self._problems, self._slots, self._found = problems, slots, found
        self._sequence, self._local, self._rules = sequence, local, rules
        self._free, self._guesses = int(np.sum(problems.free)), problems.guesses.shape[1]
        # The tasks: level, the slots of its problems, the starts dealt so far.
        self._tasks: collections.deque[Any] = collections.deque()
        self._left = np.zeros(len(slots.problem), np.int64)  # searches of the level that have not ended, of each slot
        self._last = np.full((len(slots.problem), rules.alike), np.inf)  # best values after the last levels
        self._firsts = [0]  # the number of the first start of each level
        self._units: dict[int, np.ndarray] = {}
        self._awaited: dict[Any, float] = {}  # evaluations before success, by level and numbers of values

    @staticmethod
    def needs(lanes: int, cost: float, platform: str) -> Needs:
        """What is asked of the lanes beside local searches."""
        return SEARCHES

    @property
    def dealt_all(self) -> bool:
        """Whether no problem in a slot has starts to be dealt."""
        return not self._tasks

    def _size(self, level: int) -> int:
        """Starts of a level, the user's own included."""
        size = (self._guesses if level == 0 else 0) + self._sequence.size(level, self._free)
        limit = self._rules.max_starts
        return size if limit is None else max(min(size, limit - self._before(level)), 0)

    def _before(self, level: int) -> int:
        """Starts of all levels before this one."""
        while len(self._firsts) <= level:
            self._firsts.append(self._firsts[-1] + self._size(len(self._firsts) - 1))
        return self._firsts[level]

    def begin(self, level: int, slots: np.ndarray) -> None:
        """Begins a level of the problems in these slots."""
        if level == 0:
            self._last[slots] = np.inf
        self._left[slots] = self._size(level)
        self._tasks.append([level, slots, 0])

    def deal(self, lanes: Lanes) -> None:
        """Hands out as many starts of the tasks as fit."""
        room, parts = lanes.room, []
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
        if parts:
            lanes.deal(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    def _first_step(self, level: int, count: int) -> np.ndarray:
        spacing = self._sequence.spacing(level, self._sequence.size(level, self._free), self._free)
        return np.full(count, self._local.step() if self._guesses and level == 0 else self._local.step(spacing))

    def _place(self, level: int, slot: np.ndarray, start: np.ndarray) -> np.ndarray:
        """The starts of a level of the problems in these slots, (k, n), in the user's coordinates."""
        own = self._guesses if level == 0 else 0
        unit = np.full((len(start), self._problems.structure.n), 0.5)
        unit[:, self._problems.free] = self._unit(level, np.maximum(start - own, 0))
        box = self._slots.box(slot)
        low, high = box[..., 0, :], box[..., 1, :]
        whole = self._problems.whole
        if np.any(whole):
            unit = lattice.snapped(unit, lattice.values(low, high, whole))
        points = lattice.rounded(np.clip(low + (high - low) * unit, low, high), whole)
        if own:
            guesses = self._problems.guesses[self._slots.problem[slot], np.minimum(start, own - 1)]
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

    def collect(self, ended: Ended, cut: bool = False) -> None:
        """Takes in searches that ended, or were cut; problems whose level has ended go on, or stop."""
        if not len(ended.f):
            return
        slot, found, problem = ended.problem, self._found, self._slots.problem[ended.problem]
        counts = np.bincount(slot, minlength=len(self._left))
        self._left -= counts
        np.add.at(found.nfev, problem, ended.nfev)
        found.count(problem, ended)
        found.improve(problem, ended)
        even = (ended.start >= self._guesses) & (ended.status != LocalStatus.CUT)
        found.merge(problem, ended, even)
        if not cut:
            touched = np.flatnonzero(counts)
            finished = touched[self._left[touched] == 0]
            level = found.nit[self._slots.problem[finished]]
            for k in np.unique(level):
                self._end_level(int(k), finished[level == k])

    def _end_level(self, level: int, slots: np.ndarray) -> None:
        """Problems whose level has ended stop, and leave their slots, or begin the next."""
        problem, found = self._slots.problem[slots], self._found
        found.nit[problem] += 1
        best, nfev, full = found.feasible(problem), found.nfev[problem], found.full(problem)
        finite = np.isfinite(best)
        self._last[slots] = np.concatenate([self._last[slots, 1:], best[:, None]], axis=1)
        eps = float(np.finfo(self._problems.structure.dtype).eps)
        settled = stopping.settled(self._rules, self._last[slots], eps) & (level + 1 >= self._rules.alike)
        size = self._sequence.size(level + 1, self._free)
        nstarts = self._before(level + 1)
        too_far = stopping.before_level(self._rules, level + 1, nstarts, size)
        status = np.full(len(slots), STATUSES.index(too_far or Status.RUNNING))
        if self._rules.max_evals is not None:
            status[nfev >= self._rules.max_evals] = STATUSES.index(Status.MAX_EVALS)
        moves = np.any(self._problems.free & ~self._problems.whole)
        if self._rules.same is None and np.any(self._problems.whole):
            least = self._least_evaluations(level, slots)
            settled &= nfev >= least
            if not moves and self._rules.unseen is None:
                settled |= least == 0  # no further start is at a point that was not evaluated
        if self._rules.same is None and moves and self._problems.closed is not NO_FUNCTION:
            settled[settled] = stopping.believed(nfev[settled], found.hits(problem[settled]), self._free)
        settled &= full | (self._rules.same is not None or self._rules.unseen is None)
        status[settled & finite] = STATUSES.index(Status.SAME)
        status[settled & finite & full] = STATUSES.index(Status.FULL)
        status[found.covered(problem)] = STATUSES.index(Status.COVERED)
        given_up = (level + 1 >= self._rules.alike) & (nfev >= stopping.LOOKED)
        status[given_up & ~finite] = STATUSES.index(Status.NO_FINITE_VALUE)
        if self._rules.target is not None:
            status[found.f[problem] <= self._rules.target] = STATUSES.index(Status.TARGET)
        stops = status > 0
        self._slots.leave(slots[stops], status[stops], found)
        if not np.all(stops):
            self.begin(level + 1, slots[~stops])

    def _least_evaluations(self, level: int, slots: np.ndarray) -> np.ndarray:
        """(k,) See `ending.least_evaluations`; of the problems in these slots, after a level."""
        box, whole = self._slots.box(slots), self._problems.whole
        box = box if box.ndim == 3 else box[None]
        counts = lattice.values(box[:, 0], box[:, 1], whole)[:, self._problems.free]
        starts = self._before(level + 1) - self._guesses
        for count in counts:
            if (level, count.tobytes()) not in self._awaited:
                tried = lattice.reached(self._sequence, starts, count)
                self._awaited[level, count.tobytes()] = ending.least_evaluations(tried)
        return np.array([self._awaited[level, count.tobytes()] for count in counts])

    def leave_out(self, slots: np.ndarray | None = None) -> None:
        """Deals no more starts to these slots, of which one may be in the middle of its level, or to none."""
        if slots is None:
            self._tasks.clear()
        if slots is None or not self._tasks:
            return
        level, waiting, dealt = self._tasks[0]
        size = self._size(level)
        if dealt % size and waiting[dealt // size] in slots:
            self._tasks[0][2] = (dealt // size + 1) * size
            if self._tasks[0][2] == len(waiting) * size:
                self._tasks.popleft()

    def spend(self, problem: np.ndarray, nfev: int) -> None:
        """Counts so many evaluations of each of these problems."""
        self._found.nfev[problem] += nfev

    def unseen(self) -> np.ndarray:
        """(P,) What is said about the minima not yet seen of each problem; if asked, as it takes Python some time."""
        told = np.full(self._problems.count, None)
        if self._rules.unseen is not None:
            told[:] = [self._found.unseen(problem) for problem in range(len(told))]
        return told

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Which starts are to be dealt, as plain lists and arrays."""
        tasks = [[level, slots.tolist(), dealt] for level, slots, dealt in self._tasks]
        return {"tasks": tasks}, {"found_left": self._left, "found_last": self._last}

    def load(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self._tasks.extend([level, np.array(slots), dealt] for level, slots, dealt in state["tasks"])
        self._left, self._last = arrays["found_left"], arrays["found_last"]
