"""The last digits of a constrained minimum: Newton's method on the KKT system of the active rows, and what it proves.

An augmented Lagrangian finds which rows hold a minimum long before it has found the minimum; Newton's method then needs
three to six steps [BM]. Here a step solves [[H, A'], [A, 0]] [dx; lam] = [-g; -r] for the rows A that are active and
the variables that are not at a bound, by least squares, so that dependent rows do no harm.

Differs from [BM]:
1. Everything is in units of the box; the rows have length one and H is divided by its greatest entry, or the rows of a
   badly scaled problem drown in it.
2. Rows that a step violates become active; at a stationary point one multiplier of the wrong sign leaves, or one bound.
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
STEPS = 20
LONGEST = 0.3  # of the box: a longer step is no polish
ACTIVE = 1e-6  # a multiplier above this share of the greatest
SHORT = 1e-16  # a step below this, in units of the box, is the last
GOOD = 1e-13  # an error with which no further step is asked for
STATIONARY = 1e-6  # where multipliers of a wrong sign leave
WRONG = 1e-9  # of the greatest multiplier
DEPENDENT = 1e-12  # singular values below this share of the greatest
NEWTON_DEPENDENT = 1e-14
RESTORATIONS = 25
FARTHEST = 0.2  # of the box, does a step of the restoration go


class Frame(NamedTuple):
    """The box and the bounds of the rows, in float64."""

    low: np.ndarray
    """(n,)"""
    high: np.ndarray
    lower: np.ndarray
    """(m,)"""
    upper: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """(n,) Of the box, and 0 of a fixed variable."""
        return self.high - self.low

    @property
    def equal(self) -> np.ndarray:
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


def excess(c: np.ndarray, frame: Frame) -> np.ndarray:
    """By how much each row is above its upper bound, or, negative, below its lower one."""
    return np.maximum(c - frame.upper, 0) + np.minimum(c - frame.lower, 0)


def newton(x: np.ndarray, lam: np.ndarray, frame: Frame, near: float) -> Asked:
    """The KKT point near x.

    lam: (m,) multipliers that say what may be active. near: in units of the box, what counts as on a bound.
    """
    width, equal, m = frame.width, frame.equal, len(frame.lower)
    movable, best = width > 0, Point(x, lam, np.inf)
    x = np.clip(x, frame.low, frame.high)
    _, c, g, J, H = yield x, lam
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
        _, c, g, J, H = yield x, lam
    for _ in range(STEPS):
        if not all(np.all(np.isfinite(part)) for part in (c, g, J)):
            break
        active, free = side != 0, movable & ~(low | high)
        bound = np.where(side > 0, frame.upper, np.where(side < 0, frame.lower, 0))
        A, gradient = (J * width)[active][:, free], (g * width)[free]
        size = np.linalg.norm((J * width)[active], axis=1)
        length = np.maximum(np.linalg.norm(A, axis=1), np.maximum(DEPENDENT * size, TINY))
        A, r = A / length[:, None], (c - bound)[active] / length
        mult = np.linalg.lstsq(A.T, -gradient, rcond=DEPENDENT)[0] if len(r) and len(gradient) else np.zeros(len(r))
        lam = np.zeros(m)
        lam[active] = mult / length
        curved = H * width[:, None] * width
        # What a step across the box changes: the unit in which a gradient is small.
        slack = max(np.max(np.abs(g * width), initial=0), np.max(np.abs(np.nan_to_num(curved)), initial=0), TINY)
        left = np.max(np.abs(gradient + A.T @ mult), initial=0) / slack
        whole = np.maximum(np.linalg.norm(J * width, axis=1), TINY)
        others = np.max(np.abs(excess(c, frame)) / whole, initial=0)
        error = max(np.max(np.abs((c - bound)[active]) / whole[active], initial=0), others, left)
        # Multipliers and bounds of a wrong sign leave, one at a time, where the point is stationary.
        full = (g + J.T @ lam) * width
        if left < STATIONARY:
            wrong = np.where(equal | ~active, 0, np.maximum(-side * lam * np.maximum(whole, TINY), 0))
            if np.max(wrong, initial=0) > WRONG * max(slack, np.max(np.abs(mult), initial=0)):
                side[np.argmax(wrong)] = 0
                continue
            pulls = np.where(low, np.maximum(-full, 0), np.where(high, np.maximum(full, 0), 0))
            if np.max(pulls, initial=0) > STATIONARY * slack:
                k = np.argmax(pulls)
                low[k] = high[k] = False
                continue
        if error < best.error:
            best = Point(x, lam, float(error))
        if error <= GOOD:
            break
        curved = curved[np.ix_(free, free)]
        unit = max(np.max(np.abs(curved), initial=0), TINY)
        K = np.block([[curved / unit, A.T], [A, np.zeros((len(r), len(r)))]])
        if not np.all(np.isfinite(K)) or not len(K):
            break
        try:
            step = np.linalg.lstsq(K, -np.concatenate([(gradient + A.T @ mult) / unit, r]), rcond=NEWTON_DEPENDENT)[0]
        except np.linalg.LinAlgError:
            break
        step = step[: int(np.sum(free))]
        longest = np.max(np.abs(step), initial=0)
        if not np.isfinite(longest) or longest > LONGEST or longest < SHORT:
            break
        moved = x.copy()
        moved[free] += step * width[free]
        low, high = low | (movable & (moved < frame.low)), high | (movable & (moved > frame.high))
        x = np.clip(moved, frame.low, frame.high)
        _, c, g, J, H = yield x, lam
        over = excess(np.nan_to_num(c), frame)
        side = np.where((side == 0) & (np.abs(over) > GOOD * whole), np.sign(over).astype(int), side)
    return best


def restore(x: np.ndarray, frame: Frame, enough: float) -> Asked:
    """The feasible point nearby, or that of the least violation: least-norm steps onto what is violated.

    enough: an excess, in units of the box, with which it ends. Every equality stays in the system, one that holds
    exactly too: else the next step would break it.
    """
    width, equal = frame.width, frame.equal
    best, least = x, np.inf
    for _ in range(RESTORATIONS):
        x = np.clip(x, frame.low, frame.high)
        _, c, _, J, _ = yield x, None
        if not np.all(np.isfinite(c)) or not np.all(np.isfinite(J)):
            break
        r, length = excess(c, frame), np.maximum(np.linalg.norm(J * width, axis=1), TINY)
        worst = np.max(np.abs(r) / length, initial=0)
        if worst < least:
            best, least = x, worst
        if worst <= enough:
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


def multipliers(x: np.ndarray, c: np.ndarray, g: np.ndarray, J: np.ndarray, active: np.ndarray, frame: Frame, near: float):
    """(m,) Those with which the gradient of the Lagrangian is least at x, each of the sign that its bound allows.

    active: (m,) rows that a bound holds. near: in units of the box, which variables are on a bound, and drop out.
    """
    from scipy.optimize import lsq_linear  # takes a while to import

    width, lam = frame.width, np.zeros(len(active))
    pushed = (g + J.T @ lam) * width
    at_low, at_high = x - frame.low <= near * width, frame.high - x <= near * width
    free = (width > 0) & ~at_low & ~at_high
    A = (J * width)[active]
    if not len(A) or not np.all(np.isfinite(A)) or not np.all(np.isfinite(g)):
        return lam
    length = np.maximum(np.linalg.norm(A, axis=1), TINY)
    size = max(float(np.max(np.abs(pushed), initial=0)), TINY)
    low = np.where(frame.equal | ~at_upper(c, frame), -np.inf, 0.0)[active]
    high = np.where(frame.equal | at_upper(c, frame), np.inf, 0.0)[active]
    # A variable at a bound only says that the Lagrangian must not fall inwards; that rarely decides, and is left out.
    if not np.any(free):
        free = width > 0
    solved = lsq_linear((A / length[:, None])[:, free].T, -(g * width)[free] / size, (low, high), tol=1e-14)
    lam[active] = solved.x * size / length
    return lam


def at_upper(c: np.ndarray, frame: Frame) -> np.ndarray:
    """(m,) Whether a row is nearer to its upper bound than to its lower one."""
    return np.abs(c - frame.upper) <= np.abs(c - frame.lower)
