"""The fit that a search has come to."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.fit import arguments, regression, stepped
from jaxglobal.fit.covariance import errors
from jaxglobal.fit.data import Data
from jaxglobal.fit.fitted import Fit, LocalFit
from jaxglobal.fit.regression import Regression
from jaxglobal.problem.bounds import Box
from jaxglobal.result import Result
from jaxglobal.status import LocalStatus

CONVERGED = (LocalStatus.CONVERGED, LocalStatus.CONVERGED_TO_PRECISION)
LISTED = 256  # local fits that a fit keeps with their residuals


def finish(
    reg: Regression, data: Data, given: Data, bounds: Any, result: Result, absolute_sigma: bool, called: Any,
    model: Any, along: np.ndarray | None = None,
) -> Fit:  # fmt: skip
    """The fit that a search has come to; given: the data in the units of the search. along: see `covariance.errors`."""
    own: Any = given.units
    flat = reg.structure.flatten(result.x) / own.p
    y, J = model_and_jacobian(reg, given, flat)
    r, weighted = regression.weigh(reg, given, y, J)
    jac = own.cost(np.where(reg.free, 2 * np.asarray(weighted.T @ r), 0)) / own.p
    with np.errstate(over="ignore"):  # a gradient that float32 cannot hold is infinite there
        result = dataclasses.replace(result, jac=reg.structure.unflatten(jac.astype(flat.dtype)))
    f = result.fun / float(own.r) / float(own.c)
    if not own.told:
        f = reg.cost_of(given, regression.left(reg, given, y))
    sure = errors(reg, given, f, y, J, absolute_sigma, along).out_of(own)
    y, J = own.seen(y, J)
    ordinates = np.asarray(data.y)
    # Where another than the best was cut off is no minimum.
    listed = [i for i, m in enumerate(result.minima) if i == 0 or m.status in CONVERGED][:LISTED]
    modelled = values(reg, given, [reg.structure.flatten(result.minima[i].x) / own.p for i in listed])
    minima = list(result.minima)
    if reg.loss == "lad" and minima:
        for i, y_there in zip(listed, modelled, strict=True):
            minima[i] = dataclasses.replace(minima[i], fun=whole_deviations(reg, data, y_there * own.y))
        result = dataclasses.replace(result, fun=minima[0].fun, minima=minima)
    minima = [minima[i] for i in listed]
    fits = [
        LocalFit(m.x, m.fun, m.count, m.status, ordinates - y * own.y) for m, y in zip(minima, modelled, strict=True)
    ]
    outcome = result.x, sure.pcov, result.fun, ordinates - y, sure.dof, fits, reg.linear, reg.loss, result
    called_by = model.fun if isinstance(model, Host) else model
    names = arguments.names_of(called_by, reg.structure, not isinstance(bounds, Box))
    return Fit(*outcome, names, data, reg, bounds, sure, called, model, (y, J), own)


def deviations(reg: Regression, data: Data, y: Any) -> Any:
    """The traced cost of a model, (N,), by absolute deviations, without the bend of the loss."""
    return jnp.sum(abs(reg.whiten(data.w, y - data.y)))


def whole_deviations(reg: Regression, data: Data, y: Any) -> float:
    """The same in float64, all in the user's units."""
    r, w = np.asarray(y, float) - np.asarray(data.y, float), np.asarray(data.w, float)
    return float(np.sum(np.abs(w @ r if reg.covariance else w * r)))


def model_and_jacobian(reg: Regression, data: Data, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """The model, (N,), and its Jacobian, (N, n), for one set of parameters, all in the units of the data."""
    own: Any = data.units
    if reg.host is not None:
        y, J = reg.host(data.x, p * own.p)
        return y / own.y, J * (own.p / own.y)
    if np.all(np.isnan(p)):  # nothing was found, perhaps since Ctrl-C came before anything was compiled
        return np.full(len(data.y), np.nan, p.dtype), np.full((len(data.y), len(p)), np.nan, p.dtype)
    y, J = stepped.evaluate(reg, data, p[None])
    return y[0], J[0]


def values(reg: Regression, data: Data, points: list[Any]) -> list[np.ndarray]:
    """The model, (N,), for several sets of parameters, all in the units of the data."""
    if reg.host is None:
        return list(stepped.evaluate(reg, data, np.stack(points))[0]) if points else []
    own: Any = data.units
    return [y / own.y for y in reg.host.values(data.x, [p * own.p for p in points])]
