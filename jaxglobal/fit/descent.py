"""Levenberg-Marquardt of a fit in lanes, as what is compiled."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

BESIDE = {"cpu": (2**17, 4, 16), "any": (2**19, 8, 64)}
"""On a platform: bytes of the Jacobians of the searches side by side, and how many these are at least and at most.

All wait for the last: a fit of five parameters to 100 points takes half the time with 16 that it takes with 64.
"""
TOL, MAX_NFEV = 1e-7, 200  # of a search
POLISH_TOL, POLISH_NFEV = 1e-14, 1000  # of the last search from each of the best minima
SHARPENED = 4  # times at most, the bend of least absolute deviations is narrowed for the best minima
NOISE = 1e4  # two costs are the same within so many times the rounding error


def region(lower: Any, upper: Any) -> Region:
    """The box in lanes."""
    return Region(*(jnp.asarray(side)[:, None] for side in (lower, upper, upper - lower)))


def descend(
    regression: Regression, data: Data, state: levenberg.State, box: Region, rules: levenberg.Rules,
    project: bool = True, until: Any = None,
) -> levenberg.State:  # fmt: skip
    """Searches on to their ends; project: with the linear parameters at their best in every step.

    until: so many evaluations each at most, if given; those that have not ended then can go on.
    """

    def step(state):
        return levenberg.advance(state, regression.evaluate(data, state.trial, box, project), box, rules)

    def goes_on(state):
        running = state.status == LocalStatus.RUNNING
        return jnp.any(running if until is None else running & (state.nfev < until))

    return lax.while_loop(goes_on, step, state)


def search_program(regression: Regression) -> Any:
    """search(state, data, lower, upper, tol, max_nfev, until) -> the searches, L, after so many evaluations each."""

    def search(state, data, lower, upper, tol, max_nfev, until):
        rules = levenberg.Rules(tol, regression.exact(data), max_nfev)
        return descend(regression, data, state, region(lower, upper), rules, until=until)

    return search


def screen_program(regression: Regression) -> Any:
    """screen(p, data, lower, upper) -> the points, (n, K), with the linear parameters at their best, and the costs."""

    def screen(p, data, lower, upper):
        return regression.project(data, p, region(lower, upper))[:2]

    return screen


def bend_program(regression: Regression) -> Any:
    """bend(p, data) -> the bend of least absolute deviations that the residuals of p, (n,), ask for."""

    def bend(p, data):
        r = regression.residuals(data, list(p[:, None]))
        return regression.sharper(data, regression.whole(data, r)[:, 0]).scale

    return bend


def left_program(regression: Regression) -> Any:
    """left(p, data) -> `Regression.residuals` of p, (n,)."""

    def left(p, data):
        return regression.residuals(data, list(p[:, None]))[:, 0]

    return left


def lanes(regression: Regression, N: int) -> int:
    """Searches side by side: a power of two whose Jacobians stay in the cache."""
    memory, fewest, most = BESIDE["cpu" if jax.default_backend() == "cpu" else "any"]
    each = (regression.structure.n + 3) * N * regression.structure.dtype.itemsize
    return int(min(max(1 << int(np.log2(max(memory / each, 1))), fewest), most))
