"""The last digits of a constrained minimum: Newton's method on the KKT system of the active rows, and what it proves.

An augmented Lagrangian finds which rows hold a minimum long before it has found the minimum; Newton's method then needs
three to six steps [BM]. Here a step goes onto the rows A that are active, by least squares, so that dependent rows do
no harm, and along them to where the gradient of the Lagrangian vanishes, in the variables that are not at a bound.

Differs from [BM]:
1. Everything is in units of the box, and the rows have length one. Along the rows the sizes of the curvature count, so
   that no step leads to a saddle.
2. Rows that a step violates become active. Where only the signs of multipliers are wrong, those rows and bounds leave
   that the steepest feasible way down leads away from; it is what is left of a least-squares problem with signs, which
   also proves a point where more rows and bounds meet than there are variables.
3. The error that counts is the greatest of what is left of the active rows, of the violation of the others, and of the
   gradient of the Lagrangian.

Multipliers are those of f + lam'c: positive where an upper bound holds a row, negative where a lower one does.

[BM] E. G. Birgin and J. M. Martinez, Improving ultimate convergence of an augmented Lagrangian method, Optim. Methods
     Softw. 23 (2008).
"""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

TINY = 1e-300
STEPS = 30
LONGEST = 0.1  # of the box, is a step at most
ACTIVE = 1e-6  # a multiplier above this share of the greatest
SHORT = 1e-16  # a step below this, in units of the box, is the last
GOOD = 1e-13  # an error with which no further Hessian is asked for
FALLEN, PATIENCE = 0.7, 5  # steps in a row in which the error has not fallen to this share, at most; nor the value
FALLEN_VALUE, NEARLY = 1e-6, 1e-3  # by this share of its slope across the box, at a violation below that
STATIONARY = 1e-6  # where multipliers of a wrong sign leave
DEPENDENT = 1e-12  # singular values below this share of the greatest
NEWTON_DEPENDENT = 1e-13
FLAT, ROUNDED = 1e-10, 1e-15  # a curvature, and a slope, below this share of the greatest entries is none
RESTORATIONS = 25
HALVED = 0.5  # of the violation, after a step of the restoration that counts
FARTHEST = 0.2  # of the box, does a step of the restoration go


class Frame(NamedTuple):
    """The box and the bounds of the rows, in float64, or traced."""

    low: Any
    """(n,)"""
    high: Any
    lower: Any
    """(m,)"""
    upper: Any
    spread: Any = 0.0
    """(m,) What rows that depend on whole numbers alone change by, 0 of the others."""
    steepest: Any = np.inf
    """(m,) What a slope across the box counts for at most, in the scale of a row."""

    @property
    def width(self) -> Any:
        """(n,) Of the box, and 0 of a fixed variable."""
        return self.high - self.low

    @property
    def equal(self) -> Any:
        """(m,) Which rows are equalities."""
        return self.lower == self.upper


class Point(NamedTuple):
    """Where Newton's method ended."""

    x: np.ndarray
    """(n,)"""
    lam: np.ndarray
    """(m,)"""
    error: float
    """In units of the box."""


Asked = Generator[tuple[np.ndarray, np.ndarray | None], Any, Any]
"""Yields a point, with multipliers where the Hessian is wanted too; is sent f, c, g, J, H."""


def excess(c: Any, frame: Frame, xp: Any = np) -> Any:
    """By how much each row is above its upper bound, or, negative, below its lower one. xp: jnp where it is traced."""
    with np.errstate(invalid="ignore"):  # a row that is infinite has none from a bound that is
        return xp.maximum(c - frame.upper, 0) + xp.minimum(c - frame.lower, 0)


def newton(x: np.ndarray, lam: np.ndarray, frame: Frame, near: float) -> Asked:
    """The KKT point near x.

    lam: (m,) multipliers that say what may be active. near: in units of the box, what counts as on a bound.
    """
    width, equal = frame.width, frame.equal
    movable, best = width > 0, Point(x, lam, np.inf)
    x = np.clip(x, frame.low, frame.high)
    f, c, g, J, H = yield x, lam
    if not all(np.all(np.isfinite(part)) for part in (c, g, J)):
        return best
    length = np.maximum(np.linalg.norm(J * width, axis=1), TINY)
    side = np.where(c >= frame.upper - near * length, 1, np.where(c <= frame.lower + near * length, -1, 0))
    weight = np.abs(lam) * length
    held = weight > ACTIVE * max(np.max(weight, initial=0), TINY)
    side = np.where(equal, 1, np.where(held & (side == 0), np.sign(lam), side)).astype(int)
    side[np.isinf(frame.upper) & (side > 0)] = 0
    side[np.isinf(frame.lower) & (side < 0)] = 0
    low, high = movable & (x - frame.low <= near * width), movable & (frame.high - x <= near * width)
    snapped = np.where(low, frame.low, np.where(high, frame.high, x))
    if np.any(snapped != x):
        x = snapped
        f, c, g, J, H = yield x, lam
    last, stands, lowest, curved = False, 0, np.inf, np.zeros((len(x), len(x)))
    for _ in range(STEPS):
        if not all(np.all(np.isfinite(part)) for part in (c, g, J)):
            break
        active, free = side != 0, movable & ~(low | high)
        bound = np.where(side > 0, frame.upper, np.where(side < 0, frame.lower, 0))
        if H is not None:
            curved = H * width[:, None] * width
        slope, rows = g * width, J * width
        whole = np.maximum(np.linalg.norm(rows, axis=1), np.maximum(frame.spread, TINY))
        # What a step across the box changes: the unit in which a gradient is small.
        slack = max(np.max(np.abs(slope), initial=0), np.max(np.abs(np.nan_to_num(curved)), initial=0), TINY)
        lam, downhill = prices(slope, rows, side, equal, low, high, movable)
        left = np.max(np.abs(downhill), initial=0) / slack
        others = np.max(np.abs(excess(c, frame)) / whole, initial=0)
        broken = max(np.max(np.abs((c - bound)[active]) / whole[active], initial=0), others)
        error = max(broken, left)
        A = rows[active][:, free]
        length = np.maximum(np.linalg.norm(A, axis=1), np.maximum(DEPENDENT * whole[active], TINY))
        A, r = A / length[:, None], (c - bound)[active] / length
        mult = np.linalg.lstsq(A.T, -slope[free], rcond=DEPENDENT)[0] if len(r) and np.any(free) else np.zeros(len(r))
        rest = slope[free] + A.T @ mult
        # Where nothing but signs is wrong, the rows and bounds leave that the steepest way down leads away from.
        if left > STATIONARY >= np.max(np.abs(rest), initial=0) / slack:
            away = side * (rows @ downhill) < -STATIONARY * whole * np.max(np.abs(downhill))
            inward = (low & (downhill > STATIONARY * slack)) | (high & (downhill < -STATIONARY * slack))
            if np.any(away & active & ~equal) or np.any(inward):
                side[away & ~equal] = 0
                low, high = low & ~inward, high & ~inward
                stands = 0
                continue
        lower = broken <= NEARLY and f < lowest - FALLEN_VALUE * slack
        stands = 0 if error < FALLEN * best.error or lower else stands + 1
        lowest = min(lowest, f) if broken <= NEARLY else lowest
        if error < best.error:
            best = Point(x, lam, float(error))
        if last or stands >= PATIENCE:
            break
        last = error <= GOOD  # one more step, with the Hessian at hand, takes the rows to their rounding error
        inner = curved[np.ix_(free, free)]
        if not np.any(free) or not np.all(np.isfinite(inner)):
            break
        onto, along = steps(A, r, inner, rest)
        step = shortened(onto) + shortened(along)
        longest = np.max(np.abs(step), initial=0)
        if not np.isfinite(longest) or longest < SHORT:
            break
        moved = x.copy()
        moved[free] += step * width[free]
        low, high = low | (movable & (moved < frame.low)), high | (movable & (moved > frame.high))
        x = np.clip(moved, frame.low, frame.high)
        f, c, g, J, H = yield x, None if last else lam
        over = excess(np.nan_to_num(c), frame)
        joins = (side == 0) & (np.abs(over) > GOOD * whole)
        side = np.where(joins, np.sign(over).astype(int), side)
        if np.any(joins) or np.sum(low | high) != np.sum(movable & ~free):
            stands = 0
    return best


def steps(A: np.ndarray, r: np.ndarray, H: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step onto the rows A x = -r, of least length, and that of Newton along them, where the curvature H counts.

    Where it is negative, its size is taken instead: so a step leads down, never to a saddle. Where it is none, the step
    is as long as can be.
    """
    n = len(gradient)
    if len(r):
        U, sizes, Vt = np.linalg.svd(A, full_matrices=True)
        rank = int(np.sum(sizes > NEWTON_DEPENDENT * max(sizes[0], TINY)))
        onto = Vt[:rank].T @ ((U.T @ -r)[:rank] / sizes[:rank])
        Z = Vt[rank:].T
    else:
        onto, Z = np.zeros(n), np.eye(n)
    if not Z.shape[1]:
        return onto, np.zeros(n)
    values, V = np.linalg.eigh(Z.T @ H @ Z)
    down = V.T @ (Z.T @ -(gradient + H @ onto))
    unit = max(np.max(np.abs(H)), np.max(np.abs(gradient)), TINY)
    flat = np.abs(down) <= ROUNDED * unit  # no slope but that of rounding
    along = np.where(flat, 0, down / np.maximum(np.abs(values), FLAT * unit))
    return onto, Z @ (V @ along)


def along(A: np.ndarray) -> np.ndarray:
    """(n, k) An orthonormal base of the directions along the rows A."""
    if not len(A):
        return np.eye(A.shape[1])
    _, sizes, Vt = np.linalg.svd(A, full_matrices=True)
    return Vt[int(np.sum(sizes > NEWTON_DEPENDENT * max(sizes[0], TINY))) :].T if len(sizes) else Vt.T


def shortened(step: np.ndarray) -> np.ndarray:
    """The step, of a length that can be trusted."""
    longest = np.max(np.abs(step), initial=0)
    return step * min(1.0, LONGEST / longest) if longest > 0 else step


def restore(x: np.ndarray, frame: Frame, enough: float, patience: int = RESTORATIONS) -> Asked:
    """The feasible point nearby, or that of the least violation: least-norm steps onto what is violated.

    enough: an excess, in units of the box, with which it ends. Every equality stays in the system, one that holds
    exactly too: else the next step would break it. patience: steps in a row that do not halve the violation, at most.
    """
    width, equal = frame.width, frame.equal
    best, least, before, stands = x, np.inf, np.inf, 0
    for _ in range(RESTORATIONS):
        x = np.clip(x, frame.low, frame.high)
        _, c, _, J, _ = yield x, None
        if not np.all(np.isfinite(c)) or not np.all(np.isfinite(J)):
            break
        r, length = excess(c, frame), np.maximum(np.linalg.norm(J * width, axis=1), np.maximum(frame.spread, TINY))
        worst = np.max(np.abs(r) / length, initial=0)
        stands, before = (0, worst) if worst <= HALVED * before else (stands + 1, before)
        if worst < least:
            best, least = x, worst
        if stands >= patience:
            break
        if worst <= enough or np.any((r != 0) & (frame.spread > 0)):  # no step changes what has no slope
            break
        rows = equal | (r != 0)
        A, r, length = (J * width)[rows] / length[rows][:, None], r[rows] / length[rows], length[rows]
        step = np.zeros(len(x))
        for _ in range(2):  # the second time without the variables that a bound stops
            step = np.linalg.lstsq(A, -r, rcond=1e-10)[0]
            stopped = ((x <= frame.low) & (step < 0)) | ((x >= frame.high) & (step > 0))
            A = A * ~stopped
        x = x + np.clip(step, -FARTHEST, FARTHEST) * width
    return best


def prices(
    slope: np.ndarray, rows: np.ndarray, side: np.ndarray, equal: np.ndarray, low: np.ndarray, high: np.ndarray,
    movable: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Multipliers, (m,), of the signs that their bounds allow, and what they leave of -slope, (n,): the way down.

    slope: (n,) of f. rows: (m, n) of the rows; both in units of the box. side: (m,) the bound that holds a row: 1, -1,
    or 0. low, high: (n,) whether a variable is on a bound, whose multiplier is one more.
    """
    active = np.flatnonzero(side)
    signs = np.where(equal[active], 1, side[active])
    length = np.maximum(np.linalg.norm(rows[active], axis=1), TINY)
    own = rows[active] / length[:, None] * signs[:, None]
    twice = equal[active]  # an equality has both signs
    unit = np.eye(len(slope))
    columns = np.concatenate([own, -own[twice], -unit[low & movable], unit[high & movable]])[:, movable].T
    down, lam = np.zeros(len(slope)), np.zeros(len(side))
    size = max(float(np.max(np.abs(slope[movable]), initial=0)), TINY)
    goal = -slope[movable] / size
    weights = signed(columns, goal) if columns.shape[1] else np.zeros(0)
    mult = weights[: len(active)].copy()
    mult[twice] -= weights[len(active) : len(active) + int(np.sum(twice))]
    lam[active] = signs * mult * size / length
    down[movable] = (goal - columns @ weights) * size
    return lam, down


def signed(columns: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The weights, none negative, with which the columns come nearest to the goal."""
    from scipy.optimize import nnls  # takes a while to import

    try:
        weights = nnls(columns, goal)[0]
    except RuntimeError:  # it has not ended
        weights = np.maximum(np.linalg.lstsq(columns, goal, rcond=DEPENDENT)[0], 0)
    # To the last digits, which normal equations would lose.
    used = weights > 0
    if np.any(used):
        exact = np.linalg.lstsq(columns[:, used], goal, rcond=DEPENDENT)[0]
        if np.all(exact >= 0):
            weights[used] = exact
    return weights


def at_upper(c: Any, frame: Frame, xp: Any = np) -> Any:
    """(m,) Whether a row is nearer to its upper bound than to its lower one."""
    with np.errstate(invalid="ignore"):  # of an infinite row it does not matter
        return xp.abs(c - frame.upper) <= xp.abs(c - frame.lower)
