"""A simulator that returns its value and what is constrained together, searched under constraints.

Value and rows come from the same calls, and so do the differences of both; no point is called for one of them alone, or
twice. What the lanes search is the augmented Lagrangian (lagrangian.py), whose value and gradient follow from f, the
rows c and their slopes by the chain rule, here in NumPy. There is no curvature for Newton's method, so that searches
end in their lanes, with violations far below the tolerance; and what is said of an end is what its own calls returned.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, lagrangian
from jaxglobal.constraints.exact import Slopes
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.constraints.subject import Subject
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes, Point, number
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.constraint import Constraint, Rows, check_order
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.region import Region

STAGE = 1e-10, 1e-6, 2000.0  # violation, projected gradient and evaluations with which a search ends
LEAST_SLOPE = 1e-12  # of which a scale is made


def read(given: Any, host: Host) -> Rows | None:
    """The rows of `constraints=` for a host function; None where there are none.

    Raises:
        TypeError: not one `Constraint(None, lower, upper)`, or a host whose slopes are not differences.
        ValueError: bounds out of order.
    """
    if given is None or (isinstance(given, list | tuple) and not given):
        return None
    one = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if not isinstance(one, Constraint) or one.fun is not None:
        raise TypeError(
            "`constraints` of a host function must be a jaxglobal.Constraint(None, lower, upper), of what fun returns "
            "beside its value; others are not taken yet."
        )
    if host.jac is True or callable(host.jac):
        raise TypeError(
            "`jac` of a host function must be left out under constraints, or name differences; not taken yet."
        )
    lower, upper = np.broadcast_arrays(np.asarray(one.lower, float), np.asarray(one.upper, float))
    check_order(lower.ravel(), upper.ravel(), "constraints")
    return Rows((), lower.ravel(), upper.ravel(), (lower.shape,), one is given)


class Told:
    """What calls have returned, as the slopes that a `Subject` asks for; no point is called again.

    Attributes:
        newton: there is no curvature.
    """

    newton = False

    def __init__(self, m: int, n: int):
        """Nothing is known of m rows and n variables."""
        self._m, self._n = m, n
        self.known: dict[bytes, tuple[float, np.ndarray, np.ndarray, np.ndarray]] = {}

    def slopes(self, points: np.ndarray) -> Slopes:
        """Of points, (k, n), NaN where they are not known."""
        nothing = math.nan, np.full(self._m, np.nan), np.full(self._n, np.nan), np.full((self._m, self._n), np.nan)
        told = [self.known.get(np.ascontiguousarray(x, float).tobytes(), nothing) for x in points]
        f, c, g, J = (np.array([one[i] for one in told], float) for i in range(4))
        return Slopes(f, c.reshape(-1, self._m), g.reshape(-1, self._n), J.reshape(-1, self._m, self._n))


def subject(rows: Rows, ctol: float, problem: Objective) -> Subject:
    """What is searched."""
    sides = (np.asarray(side, np.float64) for side in (problem.lower, problem.upper, rows.lower, rows.upper))
    told: Any = Told(rows.m, problem.structure.n)
    most = feasible.tolerance(ctol, np.float64)
    made = Subject(rows, told, Frame(*sides), problem.structure.dtype, most, problem.whole)
    made.measured = True
    return made


class ConstrainedHostLanes(HostLanes):
    """Lanes of a simulator under constraints; starts and ends are those of x, with ranks."""

    def __init__(
        self, host: Host, structure: Structure, arguments: Callable[[int], tuple], lanes: int, region: Region,
        program: QuasiNewton, subject: Subject,
    ):  # fmt: skip
        """See `HostLanes`."""
        m = subject.rows.m
        local: Any = AugmentedLagrangian(program, m)
        super().__init__(host, structure, arguments, lanes, lagrangian.inside(region, m), local)
        self._subject, self._plain, self._seen = subject, region, dict[bytes, Any]()

    @property
    def _m(self) -> int:
        return self._subject.rows.m

    def _x(self, packed: np.ndarray) -> np.ndarray:
        """The variables of packed rows, (k, ...), or of one."""
        return packed[..., : self.n - 2 * self._m - lagrangian.NUMBERS]

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `HostLanes`; a start has its scales once its own calls have told them."""
        k, m = len(starts), self._m
        numbers = [np.full((k, 1), one) for one in (lagrangian.PENALTY, *STAGE)]
        packed = np.concatenate([starts, np.zeros((k, m)), np.ones((k, m + 1)), *numbers], axis=1)
        super().deal(packed, first_step, number, problem)

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """See `HostLanes`; of what calls returned, that of points which lanes still stand at is kept."""
        none: Any = np.asarray(-math.inf, self.dtype)  # what a Lagrangian comes to says nothing
        ended = self._of_x(super().run(rules._replace(target=none), drain, allowed, most_ticks))
        lane = self.lane
        kept = {
            self._x(np.asarray(part)[:, i]).tobytes() for part in (lane.best_x, lane.trial) for i in range(self.lanes)
        }
        self._seen = {x: told for x, told in self._seen.items() if x in kept}
        return ended

    def cut(self) -> minima.Ended:
        """See `HostLanes`."""
        return self._of_x(super().cut())

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """See `HostLanes`."""
        return self._of_x(super().drop(problems))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Of the objective, as it was told at an end."""
        return np.where(self._subject.frame.width > 0, self._subject.exact.slopes(x[None]).g[0], 0)

    def _of_x(self, ended: minima.Ended) -> minima.Ended:
        """Ends of packed variables as those of x, with their ranks; what is known of them is kept."""
        x, told = self._x(ended.x).copy(), self._subject.exact
        known: Any = told
        for point in x:
            if point.tobytes() in self._seen:
                known.known[point.tobytes()] = self._seen[point.tobytes()]
        if not len(x):
            return ended._replace(x=x)
        return ended._replace(x=x, f=self._subject.ranks(x))

    @property
    def _box(self) -> Region:
        """See `HostLanes`: of x."""
        return self._plain

    def _begin(self, ident: int, x: np.ndarray, problem: int) -> None:
        """See `HostLanes`; x is packed. Where the multipliers have changed, the point is one whose calls were made."""
        place = self._x(x).copy()
        if place.tobytes() not in self._seen:
            super()._begin(ident, place, problem)
            return
        f, c, g, J = self._seen[place.tobytes()]
        self._tell_lane(ident, np.append(f, c), np.concatenate([g[None], J]))

    def _number(self, value: Any) -> Any:
        """The value and the rows, (1 + m,), that a call returned together."""
        shape = self._subject.rows.shapes[0]
        pair = isinstance(value, tuple) and len(value) == 2
        rows = np.asarray(value[1]) if pair else np.asarray(None)
        if not pair or rows.shape != shape or rows.dtype.kind not in "biuf":
            got = f"a pair with an array of shape {rows.shape}" if pair else type(value).__name__
            raise TypeError(
                f"`fun` must return a pair (value, constraints), these of the shape {shape} of their bounds; got {got}."
            )
        return np.concatenate([[number(value[0])], np.ravel(rows).astype(float)])

    def _part(self, values: Any, k: int, count: int, is_gradient: bool) -> Any:
        """See `HostLanes`."""
        shapes = [np.shape(leaf) for leaf in values] if isinstance(values, tuple) else []
        if len(shapes) != 2 or any(shape[:1] != (count,) for shape in shapes):
            raise TypeError(
                f"`fun` must return {count} values and as many constraints with vectorized=True; got shapes {shapes}."
            )
        return np.asarray(values[0])[k], np.asarray(values[1])[k]

    def _tell(self, point: Point) -> None:
        """See `HostLanes`."""
        told = np.full(1 + self._m, np.nan) if np.ndim(point.f) == 0 else point.f
        slopes = np.zeros((1 + self._m, len(point.x)))
        if np.all(np.isfinite(told)):
            for i, differences in point.differences.items():
                slopes[:, i] = differences.slope(told)
            self._seen[point.x.tobytes()] = told[0], told[1:], slopes[0], slopes[1:]
        self._tell_lane(point.ident, told, slopes)

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
