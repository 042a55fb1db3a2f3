"""A fit whose parameters are under constraints: its search, and the directions in which its parameters can move.

The cost is searched as any function is under constraints (minimize.py), in the units of the fit, so that neither the
units of the data nor their number change what a tolerance means. The parameters of the best fit can move along the
constraints that bind, and nowhere else: their covariance is that of this tangent space [AS].

[AS] J. Aitchison and S. D. Silvey, Maximum-likelihood estimation of parameters subject to restraints, Ann. Math.
     Statist. 29 (1958).
"""

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.api import minimize
from jaxglobal.constraints import kkt
from jaxglobal.evidence.stopping import Rules
from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.units import Units
from jaxglobal.problem import constraint
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.constraint import Constraint, Rows
from jaxglobal.result import Level, Result


def of_parameters(constraints: Any) -> Any:
    """Constraints fun(p) of parameters, as those of a search, whose functions take the data too."""
    if isinstance(constraints, list | tuple):
        return [of_parameters(part) for part in constraints]
    if not isinstance(constraints, Constraint):
        return constraints
    fun = constraints.fun
    return dataclasses.replace(constraints, fun=lambda p, *_: fun(p))


def read(constraints: Any, reg: Regression) -> Rows | None:
    """The rows of the constraints; None where there are none.

    Raises:
        TypeError: not a constraint of the parameters.
        ValueError: bounds of a wrong shape, or out of order.
    """
    return constraint.read(constraints, reg.structure, ())


def search(
    began: float, reg: Regression, given: Data, guesses: np.ndarray, rules: Rules, starts: Any, seed: int,
    observers: dict[str, Any], constraints: Any, ctol: float, whole: dict[str, Any] | None = None,
) -> Result:  # fmt: skip
    """The search for the best fit, in the user's units. given: the data in those of the search.

    observers: callback, progress and checkpoint. whole: bounds, x0 and integrality where some parameters are whole.
    """
    structure = reg.structure
    if (heard := observers["callback"]) is not None:  # of costs in the user's units
        observers = observers | {"callback": lambda level: heard(leveled(level, given))}

    def cost(p: Any, given: Data) -> Any:
        leaves: Any = given.units
        flat = jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(p)])
        return reg.cost(flat / leaves.p, given)

    left = None if rules.max_time is None else max(rules.max_time - (time.perf_counter() - began), 0.0)
    box = Box(structure.unflatten(reg.lower), structure.unflatten(reg.upper))
    plain = dict(bounds=box, x0=structure.unflatten(guesses) if len(guesses) else None)
    result = minimize.minimize(
        cost,
        args=(given,),
        **(plain if whole is None else whole),
        starts=starts,
        seed=seed,
        same=rules.same,
        fatol=0.0,
        frtol=rules.frtol,
        max_time=left,
        max_levels=rules.max_levels,
        max_evals=rules.max_evals,
        **observers,
        constraints=of_parameters(constraints),
        ctol=ctol,
    )
    return in_units(result, given)


def leveled(level: Level, given: Data) -> Level:
    """A level whose cost is in the units of the data, in the user's."""
    return dataclasses.replace(level, fun=float(given.cost(level.fun)))


def in_units(result: Result, given: Data) -> Result:
    """A result whose costs are in the units of the data, in the user's."""
    own: Any = given.units
    cost = lambda f: float(given.cost(f))  # noqa: E731
    prices = lambda multipliers: jax.tree.map(own.cost, multipliers)  # noqa: E731
    return dataclasses.replace(
        result,
        fun=cost(result.fun),
        levels=[leveled(level, given) for level in result.levels],
        minima=[dataclasses.replace(m, fun=cost(m.fun), multipliers=prices(m.multipliers)) for m in result.minima],
        multipliers=prices(result.multipliers),
        history=[step._replace(fun=cost(step.fun)) for step in result.history],
    )


def directions(rows: Rows, reg: Regression, result: Result, units: Units) -> np.ndarray:
    """(n, k) A base of the directions in which the parameters, in these units, can move along what binds."""
    structure, free = reg.structure, reg.free
    flat = structure.flatten(result.x)
    J = jax.jacobian(lambda flat: rows.values(structure.unflatten(flat)))(jnp.asarray(flat))
    active = np.concatenate([np.ravel(part) for part in jax.tree.leaves(result.active)])
    return base(np.asarray(J)[active], free, units)


def base(J: np.ndarray, free: np.ndarray, units: Units) -> np.ndarray:
    """(n, k) The same, of rows that bind, whose slopes in the user's units are J, (a, n). free: (n,) parameters."""
    A = (np.asarray(J, np.float64) * np.asarray(units.p, np.float64))[:, free]
    length = np.linalg.norm(A, axis=1, keepdims=True)
    A = A[length[:, 0] > 0] / length[length[:, 0] > 0]
    inner = kkt.along(A) if len(A) else np.eye(int(np.sum(free)))
    directions = np.zeros((len(free), inner.shape[1]))
    directions[free] = inner
    return directions


def check(loss: str, host: bool, traced: bool, ctol: Any) -> float:
    """The tolerance, if such a fit can be searched under constraints.

    Raises:
        TypeError: it cannot yet.
        ValueError: the tolerance makes no sense.
    """
    for wrong, what in ((host, "a host function"), (traced, "traced data"), (loss == "lad", "loss='lad'")):
        if wrong:
            raise TypeError(
                f"`constraints` are not taken with {what} yet: fit a JAX model by a smooth loss, outside jit."
            )
    return constraint.check_tolerance(ctol)
