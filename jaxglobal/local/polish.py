"""The last digits of the best few minima: a few Newton steps with a Hessian of differences.

A local search ends when its model promises no lower value, which leaves an error of some 1e-8 in x. The differences of
the gradient cost two evaluations a variable and need no second derivative and no further program; a Hessian that is
good to six digits makes every step gain as many. The rules are those of `implicit.polish`, whose Hessian is exact.
"""

import math
from collections.abc import Callable, Generator

import numpy as np

from jaxglobal.problem.region import Region

Evaluated = tuple[np.ndarray, np.ndarray]
"""Values, (k,), and gradients, (k, n)."""
Polished = tuple[np.ndarray, float, np.ndarray]
"""A point, (n,), its value, and its gradient, (n,)."""

Evaluate = Callable[[np.ndarray], Evaluated]
"""Evaluates points, (k, n)."""

STEPS = 4  # at most; the second usually reaches the rounding error
LONGEST = 0.01  # a step beyond this, in units of the box, is not a polish
NEAR = 1e-6  # of the box: a variable so near a bound is taken to be on it
FEW = 5  # minima that are polished, at most
BACK = (2.0**-8, 2.0**-6, 2.0**-4, 2.0**-2)  # of the way from a polished point back to where it began
SHARE = 0.1  # of the evaluations of the search that a polish may take
SETTLED = 0.5  # an eigenvalue below eps to this power of the largest is within the error of differences


def affordable(free: int, nfev: int, left: float = math.inf) -> int:
    """How many minima may be polished, so that it costs little beside a search of so many evaluations.

    free: variables that may move. left: evaluations that a limit leaves.
    """
    return int(min(SHARE * nfev, left) // (2 * free + STEPS + 3 + len(BACK)))


def side_by_side(evaluate: Evaluate, points: np.ndarray, region: Region) -> list[Polished]:
    """What `polish` makes of each point, (k, n); all that they ask for at a time is evaluated in one call."""
    working, ended = [polish(x, region) for x in points], {}
    asked = {i: next(one) for i, one in enumerate(working)}
    while asked:
        ends = np.cumsum([len(part) for part in asked.values()])[:-1]
        f, g = (np.split(part, ends) for part in evaluate(np.concatenate(list(asked.values()))))
        told, asked = zip(list(asked), f, g, strict=True), {}
        for i, f_of, g_of in told:
            try:
                asked[i] = working[i].send((f_of, g_of))
            except StopIteration as end:
                ended[i] = end.value
    return [ended[i] for i in range(len(points))]


def polish(x: np.ndarray, region: Region) -> Generator[np.ndarray, Evaluated, Polished]:
    """A point near x, (n,), with a smaller gradient, or x; yields points, (k, n), and is sent what they have."""
    (f,), (g,) = yield x[None]
    lower, upper, width = (np.asarray(side) for side in region)
    # A variable that all but touches the bound to which it is drawn would bend the step of the others.
    drawn = outward(x, g, lower + NEAR * width, upper - NEAR * width, width) & (width > 0)
    onto, free = np.where(g > 0, lower, upper), np.flatnonzero(~drawn & (width > 0))
    if not len(free) or not np.all(np.isfinite(g)):
        return x, float(f), g
    H = yield from hessian(x, free, lower, upper, width)
    if not np.all(np.isfinite(H)):
        return x, float(f), g
    eigenvalues, V = np.linalg.eigh(H)
    inexact = np.finfo(x.dtype).eps ** SETTLED * np.max(np.abs(eigenvalues))
    if eigenvalues[0] < -inexact:  # no minimum of a smooth function
        return x, float(f), g
    inverse = np.where(eigenvalues > inexact, 1 / np.where(eigenvalues > inexact, eigenvalues, 1), 0)
    for _ in range(STEPS):
        step = np.zeros_like(x)
        step[free] = -V @ (inverse * (V.T @ (g * width)[free]))
        trial = np.where(drawn, onto, np.clip(x + step * width, lower, upper))
        (f_trial,), (g_trial,) = yield trial[None]
        before, after = (residual(*point, lower, upper, width) for point in ((x, g), (trial, g_trial)))
        if not (np.max(np.abs(step)) <= LONGEST and np.isfinite(f_trial) and after < before):
            break
        x, f, g = trial, f_trial, g_trial
    return x, float(f), g


def hessian(x: np.ndarray, free: np.ndarray, lower, upper, width) -> Generator[np.ndarray, Evaluated, np.ndarray]:
    """Central differences of the gradient in units of the box, (m, m) for m free variables; one-sided at a bound."""
    away = np.zeros((len(free), len(x)), x.dtype)
    away[np.arange(len(free)), free] = np.finfo(x.dtype).eps ** (1 / 3) * width[free]
    above, below = np.clip(x + away, lower, upper), np.clip(x - away, lower, upper)
    _, g = yield np.concatenate([above, below])
    apart = ((above - below) / np.where(width > 0, width, 1))[np.arange(len(free)), free]
    with np.errstate(over="ignore", invalid="ignore"):  # then it is not finite
        H = ((g[: len(free)] - g[len(free) :]) * width)[:, free] / apart[:, None]
        return (H + H.T) / 2


def outward(x, g, lower, upper, width) -> np.ndarray:
    """Whether a step against g would leave the region, as in `descent.outward`."""
    return ((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0)) | (width <= 0)


def residual(x, g, lower, upper, width) -> float:
    """What is left of the gradient of the free variables, in units of the box."""
    return float(np.max(np.where(outward(x, g, lower, upper, width), 0, np.abs(g * width))))
