"""Fits of a model that is not a JAX function: the search by its cost, the last digits by Levenberg-Marquardt.

The search is `minimize` with a host function, its pool and its differences; the best minima are then searched from once
more with the residuals themselves, whose Jacobian comes from central differences.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal import driver, leastsquares, levenberg, losses, regression, stopping
from jaxglobal.closed import Structure
from jaxglobal.host import Host
from jaxglobal.levenberg import Seen
from jaxglobal.regression import Data, Regression
from jaxglobal.result import LocalStatus, Minimum, Result

POLISHED = 4  # of the best minima
MAX_NFEV = 50
TOL = 1e-10
STEP = 1.0  # of the differences, in units of eps^(1/3) of a parameter's size


class HostCost:
    """The cost of a fit as a function of the parameters; can be sent to a process."""

    def __init__(self, fun: Any, one_by_one: bool, data: Data, loss: str, covariance: bool):
        """fun: the model."""
        self.fun, self.one_by_one, self.data, self.loss, self.covariance = fun, one_by_one, data, loss, covariance

    def values(self, x: Any, p: Any) -> np.ndarray:
        """The model, (N,), for parameters in the user's structure."""
        out = self.fun(x, *p) if self.one_by_one else self.fun(x, p)
        return np.ravel(np.asarray(out, float))

    def __call__(self, p: Any) -> float:
        """The cost."""
        values = self.values(self.data.x, p)
        if values.shape != self.data.y.shape:
            raise ValueError(
                f"`model` must return {len(self.data.y)} real numbers, as many as `ydata`; got {len(values)}."
            )
        r = values - self.data.y
        r = self.data.w @ r if self.covariance else self.data.w * r
        if self.loss == "linear":
            return float(np.sum(r**2))
        return float(losses.cost(losses.LOSSES[self.loss], r, self.data.scale))


def regression_of(
    host: Host, structure: Structure, lower: Any, upper: Any, one_by_one: bool, data: Data, loss: str, covariance: bool
) -> Regression:
    """The fit, with a model of NumPy."""
    cost = HostCost(host.fun, one_by_one, data, loss, covariance)
    width = upper - lower

    def look(x, p):
        """Values and Jacobian by central differences, one-sided at a bound."""
        p = np.asarray(p, float)
        y = cost.values(x, structure.unflatten(p))
        J = np.zeros((len(y), len(p)))
        for i in np.flatnonzero(width > 0):
            h = STEP * np.finfo(float).eps ** (1 / 3) * max(abs(p[i]), 1e-3 * width[i])
            ends = np.clip([p[i] - h, p[i] + h], lower[i], upper[i])
            low, high = (cost.values(x, structure.unflatten(np.where(np.arange(len(p)) == i, end, p))) for end in ends)
            J[:, i] = (high - low) / (ends[1] - ends[0])
        return y, J

    return Regression(
        lambda x, parts, constants: cost(parts), structure, lower, upper, (), loss, covariance, False, {}, look
    )


def search(
    host: Host, one_by_one: bool, reg: Regression, data: Data, guesses: Any, bounds: Any, rules: stopping.Rules,
    starts: Any, seed: int, progress: Any,
) -> Result:  # fmt: skip
    """The search, and the best minima to their last digits."""
    cost = HostCost(host.fun, one_by_one, data, reg.loss, reg.covariance)
    x0 = reg.structure.unflatten(guesses) if len(guesses) else None
    with host.of(cost) as fun:
        result = driver.minimize(
            fun, bounds, x0=x0, starts=starts, seed=seed, same=rules.same, frtol=rules.frtol, fatol=0.0,
            max_time=rules.max_time, max_levels=rules.max_levels, progress=progress,
        )  # fmt: skip
    polished = [polish(reg, data, minimum) for minimum in result.minima[:POLISHED]]
    found = sorted([*polished, *result.minima[POLISHED:]], key=lambda minimum: minimum.fun)
    return dataclasses.replace(result, x=found[0].x, fun=found[0].fun, minima=found) if found else result


def polish(reg: Regression, data: Data, minimum: Minimum) -> Minimum:
    """A minimum to the digits that the differences allow."""
    look: Any = reg.look
    with jax.enable_x64(True):
        p = jnp.asarray(reg.structure.flatten(minimum.x))[:, None]
        box = leastsquares.region(reg.lower, reg.upper)
        rules = levenberg.Rules(TOL, float(reg.floor(data)), MAX_NFEV)
        state, advance = levenberg.begin(p), jax.jit(levenberg.advance)
        while int(state.status[0]) == LocalStatus.RUNNING:
            at = np.asarray(state.trial[:, 0])
            y, J = look(data.x, at)
            f = losses.cost(losses.LOSSES[reg.loss], reg.whiten(data.w, y - data.y), data.scale)
            r, J = regression.weigh(reg, data, y, J)
            seen = Seen(
                jnp.asarray(at)[:, None], jnp.reshape(f, 1), jnp.asarray(J).T[:, :, None], jnp.asarray(r)[:, None]
            )
            state = advance(state, seen, box, rules)
        if not float(state.f[0]) < minimum.fun:
            return minimum
        found = reg.structure.unflatten(np.asarray(state.p[:, 0]))
        return Minimum(found, float(state.f[0]), minimum.count, LocalStatus(int(state.status[0])))
