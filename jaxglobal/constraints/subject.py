"""What is searched under constraints: the rows, their scales, and what all searches of one problem have learned."""

import dataclasses
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, kkt, lagrangian
from jaxglobal.constraints.completion import Completion, completion
from jaxglobal.constraints.exact import Exact
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.lagrangian import Packed
from jaxglobal.problem import lattice
from jaxglobal.problem.closed import NO_FUNCTION
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.objective import Objective
from jaxglobal.starts import lastlook

SAMPLE = 32  # points at whose slopes f and the rows are scaled
LEAST_SLOPE = 1e-12  # of which a scale is made
SAME_PLACE = 1e-3  # of the box: an end is that of a known minimum
SAME_VALUE = 1e-3  # of 1 + abs of the scaled value
KEPT = 64  # minima that an end is compared with
SAME_HELD, KEPT_HELD = 1e-2, 512  # the same where whole numbers are held, and agree


@dataclasses.dataclass
class Subject:
    """What the streams of one search share.

    Attributes:
        rows: the constraints.
        exact: values, slopes and curvature.
        frame: box and bounds in float64.
        dtype: of x.
        most: the violation that counts as none.
        whole: (n,) which variables are whole numbers, which searches hold still.
        size: (1 + m,) one over the usual slopes of f and the rows, in units of the box.
        measured: whether these are known.
        least: (m,) an excess of each row that is none but rounding.
        barren: (k, n) of whole numbers, zeros beside: where a search has been led to no feasible point, once each time.
        known: (k, n), (k,) and (k,) polished minima, their scaled values and their ranks, best first.
        completion: how continuous variables are found from the rows, if they are; see there.
        valueless: whether a feasible point was met at which the objective has no value.
        ends: the program of many ends at a time (subjects.py), where many come together.
    """

    rows: Rows
    exact: Exact
    frame: Frame
    dtype: np.dtype
    most: float
    whole: np.ndarray
    size: np.ndarray = dataclasses.field(init=False)
    measured: bool = False
    least: np.ndarray = dataclasses.field(init=False)
    barren: np.ndarray = dataclasses.field(init=False)
    known: tuple[np.ndarray, np.ndarray, np.ndarray] = dataclasses.field(init=False)
    completion: Completion | None = None
    valueless: bool = False
    ends: Any = None
    _owed: int = 0

    def __post_init__(self):
        """Nothing is known."""
        self.size, self.least = np.ones(1 + self.rows.m), np.zeros(self.rows.m)
        self.known = np.zeros((0, len(self.frame.low))), np.zeros(0), np.zeros(0)
        self.barren = np.zeros((0, len(self.frame.low)))

    def starting(self, problem: Objective) -> Objective:
        """The problem whose starts are dealt: of its whole numbers alone, where the rows tell the other variables.

        Then the scales have been measured.
        """
        tied = np.any(self.whole & problem.free) and np.any(self.whole < problem.free) and np.any(self.frame.equal)
        if not tied or problem.closed is NO_FUNCTION:
            return problem
        if not self.measured:
            self._owed = self.scale()
        return dataclasses.replace(problem, free=problem.free & self.whole) if self.still else problem

    def scale(self) -> int:
        """Measures the scales, if they are not known; how many evaluations that took which nobody has counted."""
        if self.measured:
            owed, self._owed = self._owed, 0
            return owed
        frame = self.frame
        unit = lastlook.points(SAMPLE, len(frame.low), np.random.default_rng(0))
        unit = lattice.snapped(unit, lattice.values(frame.low, frame.high, self.whole))
        seen = self.exact.slopes(lattice.rounded(frame.low + frame.width * unit, self.whole))
        slopes = lengths(seen.g, seen.J, frame)
        if np.any(self.whole):  # what has no slope may change with whole numbers alone
            flat = ~np.any(slopes > 0, axis=0)
            slopes[:, flat] = spreads(np.concatenate([seen.f[:, None], seen.c], axis=1))[flat]
            self.frame = frame._replace(spread=np.where(flat, np.nan_to_num(slopes[0]), 0.0)[1:])
        slopes = np.where(np.isfinite(slopes) & (slopes > LEAST_SLOPE), slopes, np.nan)
        some = np.any(np.isfinite(slopes), axis=0)
        self.size[some] = 1 / usual(slopes[:, some], away(seen.c, frame)[:, some])
        lowest = np.zeros(len(some))
        lowest[some] = np.nanmin(slopes[:, some], axis=0)
        self.least = feasible.ROUNDING * float(np.finfo(self.dtype).eps) * lowest[1:]
        self.use(self.size)
        eps = float(np.finfo(self.exact.lower.dtype).eps)
        self.completion = completion(seen.g, seen.J, self.frame, self.whole, eps, self.exact.constant)
        self.note(seen.f, seen.c)
        return SAMPLE

    def use(self, size: np.ndarray) -> None:
        """Goes on with these scales, (1 + m,)."""
        self.size, self.measured = size, True
        self.frame = self.frame._replace(steepest=feasible.steepest(size[1:]))

    def frame_at(self, x: np.ndarray) -> Frame:
        """The box and the bounds of the rows for a search from x, (n,), which holds its whole numbers."""
        if not np.any(self.whole):
            return self.frame
        low, high = (np.where(self.whole, x, side) for side in (self.frame.low, self.frame.high))
        return self.frame._replace(low=low, high=high)

    @property
    def still(self) -> bool:
        """Whether no variable moves in a search."""
        if self.completion is not None:
            return True
        return bool(np.any(self.whole)) and not np.any(~self.whole & (self.frame.width > 0))

    def hopeless(self, x: np.ndarray) -> np.ndarray:
        """(k,) Whether a search from x, (k, n), changes nothing, as a row of whole numbers is violated."""
        over = np.abs(np.array([kkt.excess(c, self.frame) for c in self.exact.slopes(x).c]))
        return np.any((over > self.least) & (self.frame.spread > 0), axis=1)

    def packed(self, x: np.ndarray, lam: np.ndarray, size: np.ndarray, rho: Any, stage: tuple) -> np.ndarray:
        """(k, ...) Starts from x, (k, n), with scaled multipliers lam, (k, m), and scales (k, 1 + m).

        stage: violation, projected gradient and evaluations with which the searches end.
        """
        column = lambda number: np.broadcast_to(np.asarray(number, float).reshape(-1, 1), (len(x), 1))  # noqa: E731
        least, flat, most = (column(number) for number in stage)
        parts = Packed(x, lam, size[:, 1:], size[:, :1], column(rho), least, flat, most)
        return np.concatenate(parts, axis=1).astype(self.dtype)

    def unpacked(self, packed: np.ndarray) -> Packed:
        """The parts of packed rows, (k, ...), in float64, each (k, ...)."""
        parts = lagrangian.unpack(packed.astype(np.float64).T, self.rows.m)
        return Packed(*(np.asarray(part).T for part in parts))

    def violation(self, c: np.ndarray, J: np.ndarray) -> float:
        """The largest of a point, in the rows' own scales."""
        return float(np.max(feasible.violations(c, J, self.frame, self.least), initial=0.0))

    def completed(self, x: np.ndarray) -> np.ndarray:
        """Points, (k, n), at the best places for their whole numbers, see `completion.py`; one value each."""
        if self.completion is None or not len(x):
            return x
        return self.completion.moved(x.astype(np.float64), *self.exact.values(x), self.frame).astype(x.dtype)

    def note(self, f: np.ndarray, c: np.ndarray) -> None:
        """Notes whether f, (k,), has no value at a feasible one of some points, whose rows are c, (k, m)."""
        over = np.abs(kkt.excess(c, self.frame))
        kept = np.all(over <= np.maximum(self.least, self.most / self.size[1:]), axis=1)
        self.valueless |= bool(np.any(kept & ~np.isfinite(f)))

    def ranks(self, x: np.ndarray) -> np.ndarray:
        """(k,) The ranks of points, (k, n), as they are."""
        seen = self.exact.slopes(x.astype(self.dtype))
        self.note(seen.f, seen.c)
        violation = np.max(feasible.violations(seen.c, seen.J, self.frame, self.least), axis=1, initial=0.0)
        return feasible.ranked(seen.f, violation, self.most, self.dtype)

    def at_known(self, x: np.ndarray, value: np.ndarray) -> np.ndarray:
        """(k,) The known minimum at which searches have ended, at x, (k, n), with these scaled values; -1 for none."""
        places, values, _ = self.known
        if not len(values) or not len(x):
            return np.full(len(x), -1)
        width = np.where(self.frame.width > 0, self.frame.width, 1)
        apart = SAME_HELD if np.any(self.whole) else SAME_PLACE
        near = np.abs(values - value[:, None]) <= SAME_VALUE * (1 + np.abs(values))
        for j in range(x.shape[1]):
            away = np.abs(places[:, j] - x[:, j, None])
            near &= away == 0 if self.whole[j] else away / width[j] <= apart
        return np.where(np.any(near, axis=1), np.argmax(near, axis=1), -1)

    def remember_all(self, x: np.ndarray, rank: np.ndarray) -> None:
        """Of minima, (k, n), and their ranks, those that are not known, among the best that are kept."""
        order = np.argsort(rank, kind="stable")
        x, rank, value = x[order], rank[order], rank[order] * self.size[0]
        for _ in range(KEPT):
            new = self.at_known(x, value) < 0
            x, rank, value = x[new], rank[new], value[new]
            if not len(x):
                return
            self.remember(x[0], value[0], rank[0])

    def remember(self, x: np.ndarray, value: float, rank: float) -> None:
        """One more minimum, among the best that are kept."""
        places, values, ranks = self.known
        if len(values) and np.any(np.all(places == x, axis=1)):
            return
        values, ranks = np.append(values, value), np.append(ranks, rank)
        kept = KEPT_HELD if np.any(self.whole) else KEPT
        places, order = np.concatenate([places, x[None]]), np.argsort(values, kind="stable")[:kept]
        self.known = places[order], values[order], ranks[order]

    def save(self) -> dict[str, np.ndarray]:
        """What is known, as arrays."""
        known = dict(zip(("known_x", "known_f", "known_rank"), self.known, strict=True))
        spread, steepest = (np.broadcast_to(part, self.least.shape) for part in self.frame[-2:])
        sizes = {"sizes": self.size, "least": self.least, "spread": spread, "steepest": steepest}
        kept = {
            "barren": self.barren, "measured": np.array(self.measured), "valueless": np.array(self.valueless)
        }  # fmt: skip
        found = {} if self.completion is None else self.completion._asdict()
        named = {f"completion_{name}": np.asarray(part) for name, part in found.items()}
        return known | sizes | kept | named | self.exact.save()

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self._owed = 0
        self.known = arrays["known_x"], arrays["known_f"], arrays["known_rank"]
        self.size, self.least, self.measured = arrays["sizes"], arrays["least"], bool(arrays["measured"])
        self.frame = self.frame._replace(spread=arrays["spread"], steepest=arrays["steepest"])
        self.barren, self.valueless = arrays["barren"], bool(arrays["valueless"])
        if "completion_moving" in arrays:
            self.completion = Completion(*(arrays[f"completion_{name}"] for name in Completion._fields))
        self.exact.load(arrays)


def subject(rows: Rows, ctol: float, exact: Exact, problem: Objective) -> Subject:
    """What is searched. ctol: the violation that counts as none."""
    sides = (np.asarray(side, np.float64) for side in (problem.lower, problem.upper, rows.lower, rows.upper))
    dtype = problem.structure.dtype
    return Subject(rows, exact, Frame(*sides), dtype, feasible.tolerance(ctol, dtype), problem.whole)


def spreads(values: Any, xp: Any = np) -> Any:
    """(1 + m,) By how much values at points, (k, 1 + m), differ: the median distance from the median; NaN for none.

    xp: jnp where they are traced.
    """
    some = xp.any(xp.isfinite(values), axis=0)
    values = xp.where(some[None], xp.where(xp.isfinite(values), values, xp.nan), 0)
    return xp.where(some, xp.nanmedian(xp.abs(values - xp.nanmedian(values, axis=0, keepdims=True)), axis=0), xp.nan)


def away(c: Any, frame: Frame, xp: Any = np) -> Any:
    """(k, 1 + m) How far the rows, (k, m), are from their bounds; 0 for f, and infinite where that is not known."""
    own = frame._replace(lower=xp.broadcast_to(frame.lower, c.shape), upper=xp.broadcast_to(frame.upper, c.shape))
    over = xp.nan_to_num(xp.abs(kkt.excess(c, own, xp)), nan=xp.inf, posinf=xp.inf)
    return xp.concatenate([xp.zeros_like(over[:, :1]), over], axis=1)


def usual(slopes: Any, away: Any, xp: Any = np) -> Any:
    """The usual slopes of some, (k, ...), NaN where there are none: the median.

    That of exp(x) is by far steeper than any slope at which a bound of it is kept: beyond `STEEPEST` times these, or
    that of the point nearest to the bound, they count instead.
    """
    middle, away = xp.nanmedian(slopes, axis=0), xp.where(xp.isnan(slopes), xp.inf, away)
    near = xp.nanmedian(xp.where(away <= xp.min(away, axis=0, keepdims=True), slopes, xp.nan), axis=0)
    return xp.where(middle > feasible.STEEPEST * near, near, middle)


def lengths(g: np.ndarray, J: np.ndarray, frame: Frame) -> np.ndarray:
    """(k, 1 + m) Lengths of the slopes of f and the rows, in units of the box."""
    both = np.concatenate([g[:, None], J], axis=1) * frame.width
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(both, axis=2)
