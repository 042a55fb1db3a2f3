"""Levenberg-Marquardt of a fit in lanes, as what is compiled."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.local.levenberg import ROUNDING
from jaxglobal.problem.powers import power_below
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


class Ends(NamedTuple):
    """What searches side by side have come to, lanes last: of `levenberg.State`."""

    p: np.ndarray
    f: np.ndarray
    nfev: np.ndarray
    status: np.ndarray

    @classmethod
    def of(cls, state: levenberg.State, count: int) -> "Ends":
        """Those of the first so many lanes."""
        return cls(*(np.asarray(field)[..., :count] for field in (state.p, state.f, state.nfev, state.status)))


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


def noise(regression: Regression, data: Data) -> np.ndarray:
    """(P,) Costs below are rounding errors; of many data sets, which come first."""
    w, y = data.w, data.y
    squares = np.sum((y @ w.T if regression.covariance else w * y).astype(float) ** 2, axis=1)
    return NOISE * (ROUNDING * float(np.finfo(y.dtype).eps)) ** 2 * squares


def lanes(regression: Regression, N: int) -> int:
    """Searches side by side: a power of two whose Jacobians stay in the cache."""
    memory, fewest, most = BESIDE["cpu" if jax.default_backend() == "cpu" else "any"]
    each = (regression.structure.n + 3) * N * regression.structure.dtype.itemsize
    return min(max(power_below(memory / each), fewest), most)
