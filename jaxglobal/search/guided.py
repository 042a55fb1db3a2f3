"""Many problems with starts that learn: each has a dealer of its own, and all share the lanes.

A problem's round waits for the one before; meanwhile the others fill the lanes. So all rounds go side by side: the
values that the problems ask for in a few calls, the searches in one chunk. What a problem is given depends on its own
finds alone, so that it is searched as it would be by itself.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.engine import looks
from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.opening import Needs
from jaxglobal.engine.spent import Spent
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.problem.objective import Objective
from jaxglobal.search import dealing, ending
from jaxglobal.search.checkpoint import pack_many, unpack_many
from jaxglobal.search.limits import STATUSES
from jaxglobal.search.slots import Run
from jaxglobal.status import NOT_BEGUN, LocalStatus, Status

TOGETHER = 256  # problems in slots at a time: a step of each takes Python about a millisecond


@dataclasses.dataclass
class Course:
    """Where the search of a problem stands.

    Attributes:
        dealer: of its starts.
        best: its best value after each level.
        level: the one under way.
        dealt: starts of it so far.
        allowed: starts of it, at most.
        waits: points and searches that are under way.
    """

    dealer: dealing.Dealer
    best: list[float] = dataclasses.field(default_factory=list)
    level: int = 0
    dealt: int = 0
    allowed: int = 0
    waits: int = 0


class Port(NamedTuple):
    """The streams, as the dealer of one problem sees them."""

    streams: Lanes
    slot: int
    course: Course
    spent: Spent
    left: float
    """Values alone that may still be asked for."""

    @property
    def room(self) -> int:
        """Starts that can be dealt."""
        return self.streams.room

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray) -> None:
        """See `Lanes.deal`."""
        self.course.waits += len(starts)
        self.streams.deal(starts, first_step, number, self.slot)

    def look(self, points: np.ndarray, number: np.ndarray) -> None:
        """See `Lanes.look`; a limit leaves out the last of them."""
        count = int(min(len(points), self.left))
        self.course.waits += count
        self.streams.look(points[:count], number[:count], self.slot)

    def know(self, known: Any) -> None:
        """Searches of many problems do not end at known minima."""


class Guided(Run):
    """The problems that are done, those in the slots, and those that have not begun; see `slots.Run`."""

    _courses: dict[int, Course]

    def search(self) -> None:
        """Searches until all problems have stopped, or a limit of all is reached."""
        self._courses = {}
        self._spent = np.zeros((self._problems.count, 2), np.int64)  # as the first two of `Spent`
        super().search()

    @property
    def _most_slots(self) -> int:
        return min(TOGETHER, super()._most_slots)

    @property
    def _needs(self) -> Needs:
        return Needs(points=looks.width(self._lanes, self._problems.closed.cost, self._devices[0].platform))

    def _begin_level(self, level: int, slots: np.ndarray) -> None:
        """Makes these slots tasks: their problems begin the level."""
        for slot in slots.tolist():
            problem = int(self._problem[slot])
            if level == 0:
                self._courses[slot] = Course(self._dealer(slot))
            course = self._courses[slot]
            course.level, course.dealt, course.allowed = level, 0, course.dealer.size(level)
            if self._rules.max_starts is not None:
                course.allowed = min(course.allowed, self._rules.max_starts - int(self._nstarts[problem]))
            self._tasks.append(slot)

    def _dealer(self, slot: int) -> dealing.Dealer:
        """The dealer of the problem in a slot, before its first start."""
        guesses = self._problems.guesses[int(self._problem[slot])]
        noise = 0.0 if self._host is None else self._host.noise
        return dealing.dealer(self._view(slot), guesses, self._sequence, self._options, self._rules, self._above, noise)

    def _saved_tasks(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As of `Run`."""
        fields = [field.name for field in dataclasses.fields(Course) if field.name != "dealer"]
        courses = [[slot, {name: getattr(course, name) for name in fields}] for slot, course in self._courses.items()]
        shapes, arrays = pack_many([course.dealer.save() for course in self._courses.values()])
        state = {"tasks": list(self._tasks), "courses": courses, "shapes": shapes}
        return state, arrays | {"spent_each": self._spent}

    def _load_tasks(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """As of `Run`."""
        self._tasks.extend(state["tasks"])
        self._spent = arrays["spent_each"]
        for (slot, fields), learnt in zip(state["courses"], unpack_many(state["shapes"], arrays), strict=True):
            dealer = self._dealer(slot)
            dealer.load(learnt)
            self._courses[slot] = Course(dealer, **fields)

    def _view(self, slot: int) -> Objective:
        """The problem in a slot, without its args."""
        problems = self._problems
        lower, upper = self._boxes[slot] if self._boxes.ndim == 3 else self._boxes
        return Objective(
            problems.structure, lower, upper, problems.free, problems.open, (), False, problems.closed, problems.whole
        )

    def _deal(self, streams: Lanes) -> None:
        """Hands out the next block of each task, as far as there is room."""
        while self._tasks and self._offer(self._tasks[0], streams):
            self._tasks.popleft()

    def _offer(self, slot: int, streams: Lanes) -> bool:
        """Deals the next block of a problem; whether it now waits for its ends, or has none left."""
        if not streams.room:
            return False
        course, problem = self._courses[slot], int(self._problem[slot])
        nfev, searches = int(self._nfev[problem]), int(self._nstarts[problem])
        if not course.waits:
            n, full = int(np.sum(self._problems.free)), bool(self._distinct.full[problem])
            status = ending.by_evidence(course.dealer, self._rules, nfev, searches, n, full)
            if status is not None:
                self._end(slot, status)
                return True
        spent, most = Spent(*map(int, self._spent[problem])), self._rules.max_evals
        left = math.inf if most is None else spent.values_within(most - nfev)
        port = Port(streams, slot, course, spent, left)
        course.dealt += course.dealer.deal(course.level, course.dealt, course.allowed, port)
        if not course.waits:
            self._end_of_level(slot)
            return True
        return course.dealer.drains(course.dealt, course.allowed)

    def _collect(self, ended: Ended, cut: bool = False) -> None:
        """Takes in searches that ended, or values; problems of which none is under way any more become tasks."""
        if not len(ended.f):
            return
        problem, values = self._problem[ended.problem], ended.status == LocalStatus.RUNNING
        np.add.at(self._spent, (problem, values.astype(int)), ended.nfev)
        self._nfev[problem] = self._spent[problem, 0] + (self._spent[problem, 1] + 1) // 2
        np.add.at(self._nstarts, problem[~values], 1)
        self._begun[problem[~np.isin(ended.status, NOT_BEGUN) & ~values]] = True
        self._improve(problem, ended.x, ended.f, ended.start)
        even = np.zeros(len(values), bool) if cut else self._take(ended)
        if not np.all(values):
            self._merge(Ended(*(field[~values] for field in ended._replace(problem=problem))), even[~values])

    def _take(self, ended: Ended) -> np.ndarray:
        """The problems learn from these; (k,) whether each is a search from one of the evenly spread starts."""
        even = np.zeros(len(ended.f), bool)
        order = np.argsort(ended.problem, kind="stable")
        slots, first = np.unique(ended.problem[order], return_index=True)
        for slot, rows in zip(slots.tolist(), np.split(order, first[1:]), strict=True):
            course = self._courses[slot]
            mine = course.dealer.take(course.level, Ended(*(field[rows] for field in ended)))
            even[rows] = False if mine is None else mine
            course.waits -= len(rows)
            if not course.waits and slot not in self._tasks:
                self._tasks.append(slot)
        return even

    def _end_of_level(self, slot: int) -> None:
        """The problem stops, and leaves its slot, or begins the next level."""
        course, problem = self._courses[slot], int(self._problem[slot])
        self._nit[problem] += 1
        course.best.append(float(self._feasible(problem)))
        eps, nfev = float(np.finfo(self._problems.structure.dtype).eps), int(self._nfev[problem])
        seen = None if self._rules.unseen is None else self._unseen(problem)
        full = bool(self._distinct.full[problem])
        status = ending.after_level(self._rules, course.best, eps, nfev, course.dealer, seen, full)
        if status is None:
            size = course.dealer.size(course.level + 1)
            status = stopping.before_level(self._rules, course.level + 1, int(self._nstarts[problem]), size)
        if status is None:
            self._begin_level(course.level + 1, np.array([slot]))
        else:
            self._end(slot, status)

    def _end(self, slot: int, status: Status) -> None:
        """The problem stops and leaves its slot."""
        self._status[self._problem[slot]], self._problem[slot] = STATUSES.index(status), -1
        del self._courses[slot]

    def _all_unseen(self) -> np.ndarray:
        """As of `Run`; always told."""
        return np.array([self._unseen(problem) for problem in range(self._problems.count)] + [None])[:-1]

    def _leave_out(self, slots: np.ndarray) -> None:
        """Nothing more is dealt to these slots."""
        for slot in slots.tolist():
            self._courses.pop(slot, None)
            if slot in self._tasks:
                self._tasks.remove(slot)
