"""Many problems with starts that learn: each has a source of its own, and all share the lanes.

A problem's round waits for the one before; meanwhile the others fill the lanes. So all rounds go side by side: the
values that the problems ask for in a few calls, the searches in one chunk. What a problem is given depends on its own
finds alone, so that it is searched as it would be by itself.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxglobal.engine import looks
from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.looks import Then
from jaxglobal.engine.opening import Needs
from jaxglobal.engine.spent import Spent
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.descent import Local
from jaxglobal.problem.family import Family
from jaxglobal.problem.objective import Objective
from jaxglobal.search import ending
from jaxglobal.search.checkpoint import pack_many, unpack_many
from jaxglobal.search.incumbents import Incumbents
from jaxglobal.search.learning_source import source_of
from jaxglobal.search.limits import STATUSES
from jaxglobal.search.slots import Slots
from jaxglobal.search.source import Source
from jaxglobal.starts.designs import Starts
from jaxglobal.status import LocalStatus, Status

TOGETHER = 256  # problems in slots at a time: a step of each takes Python about a millisecond


@dataclasses.dataclass
class Standing:
    """Where the search of a problem stands.

    Attributes:
        source: of its starts.
        best: its best value after each level.
        level: the one under way.
        dealt: starts of it so far.
        allowed: starts of it, at most.
        waits: points and searches that are under way.
    """

    source: Source
    best: list[float] = dataclasses.field(default_factory=list)
    level: int = 0
    dealt: int = 0
    allowed: int = 0
    waits: int = 0


@dataclasses.dataclass
class Port:
    """The streams, as the source of one problem sees them.

    Attributes:
        spent: on the problem so far.
        left: values alone that may still be asked for.
    """

    streams: Lanes
    slot: int
    standing: Standing
    spent: Spent
    left: float

    @property
    def room(self) -> int:
        """Starts that can be dealt."""
        return self.streams.room

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray) -> None:
        """See `Lanes.deal`."""
        self.standing.waits += len(starts)
        self.streams.deal(starts, first_step, number, self.slot)

    def look(self, points: np.ndarray, number: np.ndarray, then: Then) -> None:
        """See `Lanes.look`; a limit leaves out the last of them, and then nobody hears of the others alone."""
        count = int(min(len(points), self.left))
        self.standing.waits += count

        def told(f: np.ndarray) -> None:
            self.spent, self.left = self.spent.add(values=count), self.left - count
            then(f)

        self.streams.look(points[:count], number[:count], self.slot, told if count == len(points) else None)

    def onto_rows(self, points: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray] | None:
        """See `Lanes`: those of one problem alone are made so."""

    def know(self, known: Any) -> None:
        """Searches of many problems do not end at known minima."""


class Learning:
    """The starts of many problems, of each those that its own finds have taught; the methods are those of `Plain`."""

    MOST = TOGETHER  # problems in slots

    def __init__(
        self, problems: Family, slots: Slots, found: Incumbents, sequence: Starts, local: Local, rules: stopping.Rules,
        above: float, noise: float,
    ):  # fmt: skip
        """See `many.Many`."""
        self._problems, self._slots, self._found, self._rules = problems, slots, found, rules
        self._of_source: Any = sequence, local, rules, above, noise
        self._turns: list[int] = []  # the slots whose next block is to be dealt
        self._standings: dict[int, Standing] = {}  # of the problem in each slot
        self._spent = np.zeros((problems.count, 2), np.int64)  # as the first two of `Spent`
        self._before = np.zeros(problems.count, np.int64)  # evaluations of each before its starts began to learn

    @staticmethod
    def needs(lanes: int, cost: float, platform: str) -> Needs:
        """See `Plain`: values alone."""
        return Needs(points=looks.width(lanes, cost, platform))

    def begin(self, level: int, slots: np.ndarray) -> None:
        """See `Plain`."""
        for slot in slots.tolist():
            problem = int(self._slots.problem[slot])
            if level == 0:
                self._standings[slot] = Standing(self._source(slot))
                self._before[problem] = self._found.nfev[problem]
            standing = self._standings[slot]
            standing.level, standing.dealt, standing.allowed = level, 0, standing.source.size(level)
            if self._rules.max_starts is not None:
                standing.allowed = min(standing.allowed, self._rules.max_starts - int(self._found.nstarts[problem]))
            self._turns.append(slot)

    @property
    def dealt_all(self) -> bool:
        """See `Plain`."""
        return not self._turns

    def holds(self, slots: np.ndarray) -> np.ndarray:
        """(k,) In which of these slots, (k,), is a problem whose starts learn."""
        return np.isin(slots, list(self._standings))

    def _source(self, slot: int) -> Source:
        """The source of the problem in a slot, before its first start."""
        problems, (lower, upper) = self._problems, self._slots.box(slot)
        view = Objective(
            problems.structure, lower, upper, problems.free, problems.open, (), False, problems.closed, problems.whole
        )
        guesses = problems.guesses[int(self._slots.problem[slot])]
        return source_of(view, guesses, *self._of_source)

    def save(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """See `Plain`; and what was learnt."""
        fields = [field.name for field in dataclasses.fields(Standing) if field.name != "source"]
        standings = [
            [slot, {name: getattr(standing, name) for name in fields}] for slot, standing in self._standings.items()
        ]
        shapes, arrays = pack_many([standing.source.save() for standing in self._standings.values()])
        state = {"tasks": list(self._turns), "courses": standings, "shapes": shapes}
        return state, arrays | {"spent_each": self._spent, "before_each": self._before}

    def load(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self._turns.extend(state["tasks"])
        self._spent, self._before = arrays["spent_each"], arrays["before_each"]
        for (slot, fields), learnt in zip(state["courses"], unpack_many(state["shapes"], arrays), strict=True):
            source = self._source(slot)
            source.load(learnt)
            self._standings[slot] = Standing(source, **fields)

    def deal(self, lanes: Lanes) -> None:
        """Hands out the next block of each problem, as far as there is room."""
        while self._turns and lanes.room and self._offer(self._turns[0], lanes):
            self._turns.pop(0)

    def _offer(self, slot: int, lanes: Lanes) -> bool:
        """Deals the next block of a problem; whether it now waits for its ends, or has none left."""
        standing, problem, found = self._standings[slot], int(self._slots.problem[slot]), self._found
        nfev, before, searches = (int(of[problem]) for of in (found.nfev, self._before, found.nstarts))
        if not standing.waits:
            n, full = int(np.sum(self._problems.free)), bool(found.distinct.full[problem])
            status = ending.by_evidence(standing.source, self._rules, nfev - before, searches, n, full)
            if status is not None:
                self._leave(slot, status)
                return True
        spent, most = Spent(*map(int, self._spent[problem])), self._rules.max_evals
        left = math.inf if most is None else spent.values_within(most - nfev)
        port = Port(lanes, slot, standing, spent, left)
        standing.dealt += standing.source.deal(standing.level, standing.dealt, standing.allowed, port)
        if not standing.waits:
            self._end_of_level(slot)
            return True
        return standing.source.drains(standing.dealt, standing.allowed)

    def collect(self, ended: Ended, cut: bool = False) -> None:
        """See `Plain`; and values alone. A problem of which nothing is under way any more gets its next block."""
        if not len(ended.f):
            return
        problem, found = self._slots.problem[ended.problem], self._found
        values = ended.status == LocalStatus.RUNNING
        np.add.at(self._spent, (problem, values.astype(int)), ended.nfev)
        found.nfev[problem] = self._before[problem] + self._spent[problem, 0] + (self._spent[problem, 1] + 1) // 2
        found.improve(problem, ended)
        even = np.zeros(len(values), bool) if cut else self._take(ended)
        if not np.all(values):
            searches = Ended(*(field[~values] for field in ended))
            found.count(problem[~values], searches)
            found.merge(problem[~values], searches, even[~values])

    def _take(self, ended: Ended) -> np.ndarray:
        """The problems learn from these; (k,) whether each is a search from one of the evenly spread starts."""
        even = np.zeros(len(ended.f), bool)
        order = np.argsort(ended.problem, kind="stable")
        slots, first = np.unique(ended.problem[order], return_index=True)
        for slot, rows in zip(slots.tolist(), np.split(order, first[1:]), strict=True):
            standing = self._standings[slot]
            mine = standing.source.take(standing.level, Ended(*(field[rows] for field in ended)))
            even[rows] = False if mine is None else mine
            standing.waits -= len(rows)
            if not standing.waits and slot not in self._turns:
                self._turns.append(slot)
        return even

    def _end_of_level(self, slot: int) -> None:
        """The problem stops, and leaves its slot, or begins the next level."""
        standing, problem, found = self._standings[slot], int(self._slots.problem[slot]), self._found
        found.nit[problem] += 1
        standing.best.append(float(found.feasible(problem)))
        eps, full = float(np.finfo(found.x.dtype).eps), bool(found.full(problem))
        nfev = int(found.nfev[problem] - self._before[problem])
        seen = None if self._rules.unseen is None else found.unseen(problem)
        status = ending.after_level(self._rules, standing.best, eps, nfev, standing.source, seen, full)
        if status is None:
            size = standing.source.size(standing.level + 1)
            status = stopping.before_level(self._rules, standing.level + 1, int(found.nstarts[problem]), size)
        if status is None:
            self.begin(standing.level + 1, np.array([slot]))
        else:
            self._leave(slot, status)

    def _leave(self, slot: int, status: Status) -> None:
        """The problem stops and leaves its slot."""
        self._slots.leave(np.array([slot]), STATUSES.index(status), self._found)
        del self._standings[slot]

    def leave_out(self, slots: np.ndarray | None = None) -> None:
        """See `Plain`."""
        for slot in list(self._standings) if slots is None else slots.tolist():
            self._standings.pop(slot, None)
            if slot in self._turns:
                self._turns.remove(slot)

    def spend(self, problem: np.ndarray, nfev: int) -> None:
        """See `Plain`."""
        self._spent[problem, 0] += nfev
        self._found.nfev[problem] += nfev

    def unseen(self) -> np.ndarray:
        """See `Plain`; always told."""
        return np.array([self._found.unseen(problem) for problem in range(self._problems.count)] + [None])[:-1]
