"""Searches under constraints whose values somebody tells, a person or a call, with the value and the slopes of both.

What the lanes search is the augmented Lagrangian (lagrangian.py), whose value and gradient follow from f, the rows c
and their slopes by the chain rule, here in NumPy. No point is evaluated for one of them alone, or twice. Where a search
has ended in its lane with a few digits, the lane asks for the points that its last digits need (told_endings.py); and
what is said of an end is what was told there.
"""

import math
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, finishing, lagrangian, told_endings, told_values, told_whole
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.constraints.penalties import Penalties
from jaxglobal.constraints.subject import Subject
from jaxglobal.constraints.told import Told, key_of
from jaxglobal.constraints.told_endings import Ending, Seen
from jaxglobal.engine.asked import Asked, AskedLanes
from jaxglobal.engine.wanted import Look
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus


class ToldLanes(AskedLanes):
    """Lanes under constraints that are told; starts and ends are those of x, with ranks."""

    def __init__(self, subject: Subject, region: Region, program: QuasiNewton, *first: Any):
        """first: what the lanes take before the region and the program."""
        m, told = subject.rows.m, subject.exact
        local: Any = AugmentedLagrangian(program, m)
        super().__init__(*first, region=lagrangian.inside(region, m), program=local)
        self._subject, self._m, self._plain, self.moves = subject, m, region, np.asarray(region.width) > 0
        self._told_at: Any = told
        self._seen = Told(m, len(subject.frame.low))  # at points on the way
        self._penalties = Penalties(self.dtype)
        self._resumed = np.zeros(self.lanes, bool)  # whether a search goes on after it had ended
        self._paths: dict[int, list[Seen]] = {}  # the last points of each lane's search
        self._endings: dict[int, told_endings.Asked] = {}  # of lanes
        self._answers: dict[int, list[Seen]] = {}  # to what these have asked
        self._pending: list[int] = []  # lanes whose endings do not know their last answer yet
        self._finished: list[int] = []  # lanes that have nothing left to ask
        self._before = np.zeros(self.lanes, np.int64)  # evaluations of a search before it was resumed

    def _x(self, packed: np.ndarray) -> np.ndarray:
        """The variables of packed rows, (k, ...), or of one."""
        return packed[..., : self.n - 2 * self._m - lagrangian.NUMBERS]

    def give(self, chosen: np.ndarray) -> Asked:
        """See `AskedLanes`; points of x."""
        asked = super().give(chosen)
        return asked._replace(x=self._x(asked.x).copy())

    @property
    def news(self) -> bool:
        """See `AskedLanes`: once all of them have been told, from which the scales of their ranks follow."""
        return bool(self.wanted.told) and not self.wanted.waiting and not self.wanted.out

    @property
    def open_lanes(self) -> np.ndarray:
        """See `AskedLanes`."""
        return np.setdiff1d(super().open_lanes, self._finished)

    @property
    def _begun(self) -> np.ndarray:
        """See `AskedLanes`."""
        return super()._begun | self._resumed

    def _seen_alone(self, looked: list[Look]) -> minima.Ended:
        """See `AskedLanes`."""
        values = super()._seen_alone(looked)
        self._penalties.looked(values.x, values.f, values.problem)
        return values

    def _looked_at(self, looked: list[Look]) -> np.ndarray:
        """See `AskedLanes`: their ranks. What was told at the best of them is kept."""
        subject = self._subject
        told = np.array([look.told[: 1 + self._m] for look in looked])
        if not subject.measured:
            told_values.measure(subject, told, self._whole)
        ranks = told_values.ranks(subject, told, self.dtype)
        subject.note(told[:, 0], told[:, 1:])
        best = looked[np.lexsort((np.array([look.number for look in looked]), ranks))[0]]
        self._told_at.suppose(best.x, np.asarray(best.told))
        return ranks

    @property
    def movable(self) -> bool:
        """See `AskedLanes`."""
        return bool(self._finished) or super().movable

    def save(self) -> dict[str, np.ndarray]:
        """See `AskedLanes`. An ending is what it was once it has been told again what it had been told."""
        seen = {f"seen_{name}": part for name, part in self._seen.save().items()}
        own = {
            "resumed": self._resumed, "before": self._before, "ends": np.array([*self._endings], np.int64),
            "finished": np.array(self._finished, np.int64),
        }  # fmt: skip
        own |= told_endings.packed(self._paths, "path") | told_endings.packed(self._answers, "answer")
        return super().save() | seen | own | self._subject.save() | self._penalties.save()

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `AskedLanes`."""
        super().load(arrays)
        self._subject.load(arrays)
        self._penalties.load(arrays)
        self._seen.load({name.removeprefix("seen_"): part for name, part in arrays.items() if name.startswith("seen_")})
        self._resumed, self._before = arrays["resumed"].copy(), arrays["before"].copy()
        self._finished = arrays["finished"].tolist()
        self._paths, self._answers = (told_endings.unpacked(arrays, name) for name in ("path", "answer"))
        for lane in arrays["ends"].tolist():
            self._told[lane], self._ids[lane] = False, -1
            self._end(lane)

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `AskedLanes`; a start has its scales once what is told of it gives them."""
        k, m = len(starts), self._m
        rho, numbers = self._penalties.of(starts, number, problem), [np.full((k, 1), one) for one in finishing.FIRST]
        packed = np.concatenate([starts, np.zeros((k, m)), np.ones((k, m + 1)), rho, *numbers], axis=1)
        super().deal(packed, first_step, number, problem)
        if self._unscaled and not len(self.wanted):
            points = told_whole.sample(self._subject)
            self.look(points, np.full(len(points), -1), problem)

    @property
    def _whole(self) -> bool:
        """Whether there are whole numbers."""
        return bool(np.any(self._subject.whole))

    @property
    def _unscaled(self) -> bool:
        """Whether starts wait for values that say what rows of whole numbers alone change by."""
        return self._whole and not self._subject.measured and bool(self.queue)

    def _fill(self) -> None:
        """See `AskedLanes`."""
        if not self._unscaled:
            super()._fill()

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """See `AskedLanes`; of what was told, that of points which lanes still stand at is kept."""
        if self.news and self._unscaled:
            self._looked_at(self.wanted.take())
            return self._release(np.zeros(0, np.int64))
        if self.news:
            return super().run(rules, drain, allowed, most_ticks)
        pending, self._pending = sorted(self._pending), []
        for lane in pending:
            self._told[lane], self._ids[lane] = False, -1
            self._go_on(lane, self._answers[lane][-1])
        first = self._release(np.array(self._finished, np.int64))
        none: Any = np.asarray(-math.inf, self.dtype)  # what a Lagrangian comes to says nothing
        others = super().run(rules._replace(target=none), drain, allowed, most_ticks)
        self._seen.keep(np.concatenate([self._x(np.asarray(part).T) for part in (self.lane.best_x, self.lane.trial)]))
        return minima.join([first, others])

    def _release(self, lanes: np.ndarray) -> minima.Ended:
        """See `AskedLanes`."""
        ended = self._ended(lanes)
        self.at_work[lanes] = -1
        self._forget(lanes)
        self._fill()
        return ended

    def _forget(self, lanes: np.ndarray) -> None:
        """Forgets how the searches of these lanes went."""
        self._resumed[lanes], self._before[lanes] = False, 0
        self._finished, self._pending = (
            [lane for lane in kept if lane not in lanes] for kept in (self._finished, self._pending)
        )
        for lane in lanes:
            for kept in (self._paths, self._endings, self._answers):
                kept.pop(int(lane), None)

    def _over(self, lanes: np.ndarray) -> np.ndarray:
        """See `AskedLanes`: those whose endings ask for nothing."""
        for lane in lanes:
            self._end(int(lane))
        return np.array(self._finished, np.int64)

    def _end(self, lane: int) -> None:
        """The search of a lane has ended: its ending begins, unless it was of one point."""
        packed = np.asarray(self.lane.best_x)[:, lane]
        parts = self._subject.unpacked(packed[None])
        if told_whole.is_of_one_point(parts):
            status = np.array(self.lane.status)
            if np.any(self.moves) and status[0, lane] == LocalStatus.CONVERGED:
                status[0, lane] = LocalStatus.INFEASIBLE
            self.lane = self.lane._replace(status=status)
            self._finished.append(lane)
            return
        status, path = LocalStatus(int(np.asarray(self.lane.status)[0, lane])), list(self._paths.get(lane, []))
        alone: Any = type(parts)(*(part[0] for part in parts))
        self._endings[lane] = told_endings.ending(self._subject, alone, status, bool(self._resumed[lane]), path)
        self._go_on(lane, None)

    def _go_on(self, lane: int, answer: Seen | None) -> None:
        """The ending of a lane is sent an answer, None at first; what was told before is told at once."""
        trial = np.array(self.lane.trial)
        try:
            while True:
                x = self._endings[lane].send(answer).astype(self.dtype)
                if (answer := self._known(lane, x)) is None:
                    break
            trial[: len(x), lane] = x
            self.lane = self.lane._replace(trial=trial)
        except StopIteration as end:
            self._ends(lane, end.value)

    def _ends(self, lane: int, end: Ending) -> None:
        """What becomes of a lane after its ending."""
        del self._endings[lane]
        parts = {name: np.array(getattr(self.lane, name)) for name in ("trial", "best_x", "nfev", "status")}
        if end.more is None:
            x, *told = end.seen
            self._told_at.add(x, tuple(told))
            parts["best_x"][: len(x), lane], parts["status"][0, lane] = x, end.status
            self._finished.append(lane)
        else:
            self._before[lane] += parts["nfev"][0, lane]
            self._answers.pop(lane, None)
            parts["trial"][:, lane], parts["nfev"][0, lane] = end.more, 0
            parts["status"][0, lane], self._resumed[lane] = LocalStatus.RUNNING, True
        self.lane = self.lane._replace(**parts)

    def _known(self, lane: int, x: np.ndarray) -> Seen | None:
        """What was told at a point, to the ending of a lane or to others."""
        for seen in self._answers.get(lane, []):
            if np.array_equal(seen.x, x):
                return seen
        told = self._seen.known.get(key_of(x))
        return None if told is None else Seen(x, *told)

    def cut(self) -> minima.Ended:
        """See `AskedLanes`."""
        if self._unscaled:
            self.wanted.take()
        ended = super().cut()
        self._forget(np.arange(self.lanes))
        return ended

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """See `AskedLanes`."""
        dropped = np.flatnonzero((self.at_work[:, 0] >= 0) & np.isin(self.at_work[:, 1], problems))
        ended = super().drop(problems)
        self._forget(dropped)
        return ended

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Of the objective, as it was told at an end."""
        return np.where(self._subject.frame.width > 0, self._subject.exact.slopes(x[None]).g[0], 0)

    def _ended(self, lanes: np.ndarray, status: LocalStatus | None = None) -> minima.Ended:
        """See `AskedLanes`: as ends of x, with their ranks; what is known of them is kept."""
        ended = super()._ended(lanes, status)
        x = self._x(ended.x).copy()
        self._told_at.complete(x, self._seen)
        f = self._subject.ranks(x).astype(self.dtype) if len(x) else ended.f
        self._penalties.count(ended.status, ended.problem)
        return ended._replace(x=x, f=f, nfev=ended.nfev + self._before[lanes])

    def _tell_lane(self, ident: int, told: np.ndarray, slopes: np.ndarray) -> None:
        """Tells a lane the augmented Lagrangian at its packed variables, and its slopes. slopes: (1 + m, n)."""
        (lane,) = map(int, np.flatnonzero(self._ids == ident))
        trial = np.array(self.lane.trial)
        seen = Seen(self._x(trial[:, lane]).copy(), float(told[0]), told[1:], slopes[0], slopes[1:])
        self._subject.note(told[:1], told[None, 1:])
        if lane in self._endings:
            nfev = np.array(self.lane.nfev)
            nfev[0, lane] += 1
            self.lane = self.lane._replace(nfev=nfev)
            self._answers.setdefault(lane, []).append(seen)
            self._pending.append(lane)
            self.tell([ident], told[:1], np.zeros((1, self.n)))
            self.best = None
            return
        begins = np.asarray(self.lane.nfev)[0, lane] == 0
        if self._whole:
            self._subject.frame = self._subject.frame._replace(spread=told_whole.flat(self._subject, slopes[1:]))
        if begins and not self._resumed[lane]:
            trial[:, lane] = told_values.scaled(trial[:, lane], slopes, self._subject)
            if self._whole:
                trial[:, lane] = told_whole.of_one_point(self._subject, trial[:, lane], seen.c, seen.J)
            self.lane = self.lane._replace(trial=trial)
            if self.at_work[lane, 0] == 0 and not self._subject.measured:  # until values of many points are known
                steepest = feasible.steepest(lagrangian.unpack(trial[:, lane], self._m).size)
                self._subject.frame = self._subject.frame._replace(steepest=steepest)
        told_endings.keep(self._paths.setdefault(lane, []), seen)
        f, g = told_values.lagrangian_at(trial[:, lane], told, slopes, self._subject)
        self.tell([ident], np.array([f]), g[None])
        self.best = None  # which is of ends alone: a point on the way may be lower by what the tolerance lets pass
