"""Many fits whose parameters are under constraints: their search, and what it says of each.

The costs of all data sets are searched as many problems (many.py), in the units of the fit; what is said of a data set
is what constrained_fit.py says of one.
"""

import dataclasses
import math
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.api.minimize_many import minimize_many
from jaxglobal.fit import constrained_fit, models
from jaxglobal.fit.covariance import errors
from jaxglobal.fit.data import Data
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.regression import Regression
from jaxglobal.problem import constraint, modes
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.constraint import Rows
from jaxglobal.results import Results


class Found(NamedTuple):
    """What was found for P data sets, in the units of the search, but the constraints' own.

    Attributes:
        p: (P, n) parameters, NaN where no search began.
        f: (P,) costs, likewise.
        pcov: (P, n, n) covariances, of the directions along what binds.
        results: of the search.
        multipliers: in the user's units, in the structure of the constraints.
    """

    p: np.ndarray
    f: np.ndarray
    pcov: np.ndarray
    results: Results
    multipliers: Any


def read(constraints: Any, reg: Regression, count: int) -> Rows | None:
    """The rows of the constraints, whose bounds may be each data set's own; None where there are none.

    Raises:
        TypeError: not a constraint of the parameters.
        ValueError: bounds of a wrong shape, or out of order.
    """
    return constraint.read(constraints, reg.structure, (), count=count)


def search(
    reg: Regression, data: Data, own_w: bool, rows: Rows, guesses: np.ndarray, boxes: np.ndarray | None,
    constraints: Any, ctol: float, absolute_sigma: bool, until: float, options: dict[str, Any],
) -> Found:  # fmt: skip
    """The best fits. reg, data: in the units of the search, with the data sets first.

    guesses: (P, K, n), K 0 or 1, and boxes, (P, 2, n), in the user's units. options: of `minimize_many`.
    """
    structure, units = reg.structure, units_of(data)

    def cost(p: Any, y: Any, more: dict[str, Any]) -> Any:
        flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(p)])
        return reg.cost(flat / units.p, data._replace(y=y, **more))

    of_each = ("x", reg.own_x), ("w", own_w), ("far", data.far is not None)
    args = data.y, {name: getattr(data, name) for name, is_own in of_each if is_own}
    sides = (reg.lower * units.p, reg.upper * units.p) if boxes is None else (boxes[:, 0], boxes[:, 1])
    results = minimize_many(
        cost,
        Box(*(structure.unflatten(side) for side in sides)),
        args,
        x0=structure.unflatten(guesses[:, 0]) if guesses.shape[1] else None,
        bounds_axis=None if boxes is None else 0,
        fatol=0.0,
        max_time=None if math.isinf(until) else max(until - time.perf_counter(), 0.0),
        constraints=constrained_fit.of_parameters(constraints),
        ctol=ctol,
        **options,
    )
    begun = results.nstarts > 0
    p = np.where(begun[:, None], structure.flatten(results.x, axes=1), np.nan) / units.p
    f = np.where(begun, results.fun, np.nan)
    pcov = covariances(reg, data, own_w, rows, boxes, results, p, f, absolute_sigma)
    prices = jax.tree.map(lambda lam: np.asarray(units.cost(lam)), results.multipliers)
    return Found(p.astype(structure.dtype), f, pcov, results, prices)


def units_of(data: Data) -> Any:
    """Those of the search, in which the data are."""
    return data.units


def covariances(
    reg: Regression, data: Data, own_w: bool, rows: Rows, boxes: np.ndarray | None, results: Results, p: np.ndarray,
    f: np.ndarray, absolute_sigma: bool,
) -> np.ndarray:  # fmt: skip
    """(P, n, n) Those of the directions in which the parameters, (P, n), can move along what binds."""
    structure, own, count = reg.structure, units_of(data), len(p)
    p = p.astype(structure.dtype)
    axes = (0 if reg.own_x else None, 0, None)
    model = own.modelled(reg.model)
    seen = jax.vmap(lambda x, p, constants: models.values_and_jacobian(model, x, p, constants), axes)
    y, J = (np.asarray(part) for part in jax.jit(reg.safe(seen, jax.default_backend()))(data.x, p, data.constants))
    flat = lambda p: rows.values(structure.unflatten(p))  # noqa: E731
    A = np.asarray(jax.jit(jax.vmap(modes.jacobian(flat)))(structure.flatten(results.x, axes=1)))
    active = np.concatenate([np.reshape(leaf, (count, -1)) for leaf in jax.tree.leaves(results.active)], axis=1)
    pcov = np.full((count, structure.n, structure.n), np.inf)
    for i in range(count):
        if not (np.isfinite(f[i]) and np.all(np.isfinite(J[i])) and np.all(np.isfinite(A[i]))):
            continue
        one = reg if boxes is None else dataclasses.replace(reg, lower=boxes[i, 0], upper=boxes[i, 1])
        there = data.w[i] > 0 if own_w else np.ones(len(y[i]), bool)  # without those masked
        far = None if data.far is None else Far(data.far.by[i][there], data.far.cost[i], data.far.y[i][there])
        given = data._replace(y=data.y[i][there], w=data.w[i][there] if own_w else data.w, far=far)
        of_all = float(f[i]) + (0.0 if far is None else float(far.cost))
        along = constrained_fit.base(A[i][active[i]], one.free, own)
        pcov[i] = errors(one, given, of_all, y[i][there], J[i][there], absolute_sigma, along).pcov
    return pcov
