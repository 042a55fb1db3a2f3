"""Levenberg-Marquardt of a fit in lanes, as what is compiled."""

from collections.abc import Callable
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

Where they wait for the last, a fit of five parameters to 100 points takes half the time with 16 that it takes with 64;
where they do not (fused.py), 32 take up to a third more than 16.
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


def stepper(
    regression: Regression, data: Data, box: Region, rules: levenberg.Rules, project: bool = True
) -> Callable[[levenberg.State], levenberg.State]:
    """The next evaluation of searches; project: with the linear parameters at their best in every step."""

    def step(state: levenberg.State) -> levenberg.State:
        return levenberg.advance(state, regression.evaluate(data, state.trial, box, project), box, rules)

    return step


def descend(
    regression: Regression, data: Data, state: levenberg.State, box: Region, rules: levenberg.Rules,
    project: bool = True,
) -> levenberg.State:  # fmt: skip
    """Searches on to their ends; project: see `stepper`."""
    step = stepper(regression, data, box, rules, project)
    return lax.while_loop(lambda state: jnp.any(state.status == LocalStatus.RUNNING), step, state)


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
