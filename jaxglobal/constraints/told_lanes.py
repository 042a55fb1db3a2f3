"""Searches under constraints whose values somebody tells, a person or a call, with the value and the slopes of both.

What the lanes search is the augmented Lagrangian (lagrangian.py), whose value and gradient follow from f, the rows c
and their slopes by the chain rule, here in NumPy. No point is evaluated for one of them alone, or twice. There is no
curvature for Newton's method, so that searches end in their lanes, with violations far below the tolerance; and what is
said of an end is what was told there.
"""

import math
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, lagrangian
from jaxglobal.constraints.exact import Slopes
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.constraints.subject import Subject
from jaxglobal.constraints.told_rows import ToldRows
from jaxglobal.engine.asked import Asked, AskedLanes
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.region import Region

STAGE = 1e-10, 1e-6, 2000.0  # violation, projected gradient and evaluations with which a search ends
LEAST_SLOPE = 1e-12  # of which a scale is made


class Told:
    """What was told, as the slopes that a `Subject` asks for; no point is evaluated again.

    Attributes:
        newton: there is no curvature.
    """

    newton = False

    def __init__(self, m: int, n: int):
        """Nothing is known of m rows and n variables."""
        self._m, self._n = m, n
        self.known: dict[bytes, tuple[float, np.ndarray, np.ndarray, np.ndarray]] = {}  # by x in float64

    def slopes(self, points: np.ndarray) -> Slopes:
        """Of points, (k, n), NaN where they are not known."""
        nothing = math.nan, np.full(self._m, np.nan), np.full(self._n, np.nan), np.full((self._m, self._n), np.nan)
        told = [self.known.get(np.ascontiguousarray(x, float).tobytes(), nothing) for x in points]
        f, c, g, J = (np.array([one[i] for one in told], float) for i in range(4))
        return Slopes(f, c.reshape(-1, self._m), g.reshape(-1, self._n), J.reshape(-1, self._m, self._n))

    def add(self, x: np.ndarray, told: tuple[float, np.ndarray, np.ndarray, np.ndarray]) -> None:
        """What has been told at x: the value, the rows, and the slopes of both."""
        self.known[np.ascontiguousarray(x, float).tobytes()] = told

    def save(self) -> dict[str, np.ndarray]:
        """What is known, as arrays."""
        x = np.array([np.frombuffer(key) for key in self.known]).reshape(-1, self._n)
        return {"told_x": x} | {f"told_{name}": part for name, part in self.slopes(x)._asdict().items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        for x, f, c, g, J in zip(*(arrays[f"told_{name}"] for name in ("x", *Slopes._fields)), strict=True):
            self.add(x, (float(f), c, g, J))


def subject(rows: Rows, ctol: float, problem: Objective) -> Subject:
    """What is searched."""
    sides = (np.asarray(side, np.float64) for side in (problem.lower, problem.upper, rows.lower, rows.upper))
    told: Any = Told(rows.m, problem.structure.n)
    most = feasible.tolerance(ctol, np.float64)
    made = Subject(rows, told, Frame(*sides), problem.structure.dtype, most, problem.whole)
    made.measured = True
    return made


class ToldLanes(AskedLanes):
    """Lanes under constraints that are told; starts and ends are those of x, with ranks."""

    def __init__(self, subject: Subject, region: Region, program: QuasiNewton, *first: Any):
        """first: what the lanes take before the region and the program."""
        m, told = subject.rows.m, subject.exact
        local: Any = AugmentedLagrangian(program, m)
        super().__init__(*first, region=lagrangian.inside(region, m), program=local)
        self._subject, self._plain = subject, region
        self._told_at: Any = told
        self._seen = Told(m, len(subject.frame.low))  # at points on the way

    @property
    def _m(self) -> int:
        return self._subject.rows.m

    def _x(self, packed: np.ndarray) -> np.ndarray:
        """The variables of packed rows, (k, ...), or of one."""
        return packed[..., : self.n - 2 * self._m - lagrangian.NUMBERS]

    def ask(self, k: int) -> Asked:
        """See `AskedLanes`; points of x."""
        asked = super().ask(k)
        return asked._replace(x=self._x(asked.x).copy())

    def save(self) -> dict[str, np.ndarray]:
        """See `AskedLanes`."""
        seen = {f"seen_{name}": part for name, part in self._seen.save().items()}
        return super().save() | seen | self._subject.save()

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `AskedLanes`."""
        super().load(arrays)
        self._subject.load(arrays)
        self._seen.load({name.removeprefix("seen_"): part for name, part in arrays.items() if name.startswith("seen_")})

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `AskedLanes`; a start has its scales once what is told of it gives them."""
        k, m = len(starts), self._m
        numbers = [np.full((k, 1), one) for one in (lagrangian.PENALTY, *STAGE)]
        packed = np.concatenate([starts, np.zeros((k, m)), np.ones((k, m + 1)), *numbers], axis=1)
        super().deal(packed, first_step, number, problem)

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """See `AskedLanes`; of what was told, that of points which lanes still stand at is kept."""
        none: Any = np.asarray(-math.inf, self.dtype)  # what a Lagrangian comes to says nothing
        ended = self._of_x(super().run(rules._replace(target=none), drain, allowed, most_ticks))
        lane, known = self.lane, self._seen.known
        places = (self._x(np.asarray(part).T) for part in (lane.best_x, lane.trial))
        kept = {x.tobytes() for x in np.concatenate(list(places)).astype(float)}
        self._seen.known = {x: told for x, told in known.items() if x in kept}
        return ended

    def cut(self) -> minima.Ended:
        """See `AskedLanes`."""
        return self._of_x(super().cut())

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """See `AskedLanes`."""
        return self._of_x(super().drop(problems))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Of the objective, as it was told at an end."""
        return np.where(self._subject.frame.width > 0, self._subject.exact.slopes(x[None]).g[0], 0)

    def _of_x(self, ended: minima.Ended) -> minima.Ended:
        """Ends of packed variables as those of x, with their ranks; what is known of them is kept."""
        x, known = self._x(ended.x).copy(), self._seen.known
        for point in x:
            if (key := point.astype(float).tobytes()) in known:
                self._told_at.known[key] = known[key]
        if not len(x):
            return ended._replace(x=x)
        return ended._replace(x=x, f=self._subject.ranks(x))

    def _tell_lane(self, ident: int, told: np.ndarray, slopes: np.ndarray) -> None:
        """Tells a lane the augmented Lagrangian at its packed variables, and its slopes. slopes: (1 + m, n)."""
        (lane,) = np.flatnonzero(self._ids == ident)
        trial = np.array(self.lane.trial)
        if np.asarray(self.lane.nfev)[0, lane] == 0:
            trial[:, lane] = self._scaled(trial[:, lane], slopes)
            self.lane = self.lane._replace(trial=trial)
        f, g = self._lagrangian(trial[:, lane], told, slopes)
        self.tell([ident], np.array([f]), g[None])
        self.best = None  # which is of ends alone: a point on the way may be lower by what the tolerance lets pass

    def _scaled(self, packed: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """A packed start with the scales that its own slopes, (1 + m, n), give."""
        length = np.linalg.norm(slopes * self._subject.frame.width, axis=1)
        size = np.where(np.isfinite(length) & (length > LEAST_SLOPE), 1 / np.maximum(length, LEAST_SLOPE), 1.0)
        parts = lagrangian.unpack(packed, self._m)
        return lagrangian.pack(parts._replace(size=size[1:], f_size=size[:1]))

    def _lagrangian(self, packed: np.ndarray, told: np.ndarray, slopes: np.ndarray) -> tuple[float, np.ndarray]:
        """Value and gradient of the augmented Lagrangian in the packed variables; see lagrangian.py."""
        parts, frame = lagrangian.unpack(packed, self._m), self._subject.frame
        lam, size, f_size, rho = parts.lam, parts.size, float(parts.f_size[0]), float(parts.rho[0])
        t = told[1:] * size + lam / rho
        d = t - np.clip(t, frame.lower * size, frame.upper * size)
        value = told[0] * f_size + rho / 2 * d @ d - lam @ lam / (2 * rho)
        g = np.zeros(self.n)
        g[: slopes.shape[1]] = f_size * slopes[0] + (rho * d * size) @ slopes[1:]
        g[slopes.shape[1] : slopes.shape[1] + self._m] = d - lam / rho
        return float(value), g


class ConstrainedAskedLanes(ToldLanes):
    """Lanes whose points the user evaluates. Where the multipliers have changed, a point is one that was told."""

    def told(self, ids: np.ndarray, f: np.ndarray, g: np.ndarray, c: np.ndarray, J: np.ndarray, rows: ToldRows) -> None:
        """Takes values, (k,), and gradients, (k, n), and of the rows that are told c, (k, m), and their slopes.

        See `AskedLanes.tell`.
        """
        lanes, known = self.lanes_of(ids)
        x = self._x(np.asarray(self.lane.trial)[:, lanes].T)
        c, J = rows.all_of(x, c[known], J[known])
        for lane, place, *told in zip(lanes, x, f[known], c, g[known].astype(float), J, strict=True):
            if np.isfinite(told[0]) and np.all(np.isfinite(told[1])):
                self._seen.add(place, tuple(told))
            self._tell_lane(int(self._ids[lane]), *beside(told))

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `ToldLanes`."""
        super().deal(starts, first_step, number, problem)
        self._again()

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """See `ToldLanes`."""
        ended = super().run(rules, drain, allowed, most_ticks)
        self._again()
        return ended

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `ToldLanes`."""
        super().load(arrays)
        self._again()

    def _again(self) -> None:
        """Tells the lanes that stand at a point that was told before."""
        lanes = self.open_lanes
        x = self._x(np.asarray(self.lane.trial)[:, lanes].T).astype(float)
        there = np.array([place.tobytes() in self._seen.known for place in x], bool)
        for ident, place in zip(self.give(lanes[there]).ids, x[there], strict=True):
            self._tell_lane(int(ident), *beside(self._seen.known[place.tobytes()]))


def beside(told: Any) -> tuple[np.ndarray, np.ndarray]:
    """Value and rows, (1 + m,), and their slopes, (1 + m, n), of what was told at a point."""
    f, c, g, J = told
    return np.append(f, c), np.concatenate([g[None], J])
