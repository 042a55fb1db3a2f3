"""What `profile` is given, checked before anything compiles: a fit or a result, its function, and which parameters."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.fit import arguments
from jaxglobal.fit.fitted import Fit
from jaxglobal.nearest import hint
from jaxglobal.problem import choice, objective
from jaxglobal.problem.closed import Structure
from jaxglobal.result import Result

LIKE = 1e-3  # of a value: one that differs by less, and by less than LITTLE, is that of the same function
LITTLE = 0.1


def check_value(found: float, given: float, x: Any) -> None:
    """Raises unless a result is that of its function, as far as single precision shows."""
    if not abs(found - given) <= LITTLE + LIKE * abs(given):
        raise ValueError(f"`fit` must be the result of `fun`, which is {found:.8g} at {x}, not {given:.8g}.")


def check_confidence(confidence: Any) -> None:
    """Raises unless it is a share."""
    number = isinstance(confidence, int | float | np.number) and not isinstance(confidence, bool)
    if not number or not 0 < confidence < 1:
        raise ValueError(f"`confidence` must be between 0 and 1; got {confidence!r}.")


def check_fit(fit: Fit, fun: Any, bounds: Any, args: Any) -> Structure:
    """The layout of the parameters of a fit that has profiles."""
    if fun is not None or bounds is not None or not (isinstance(args, tuple) and args == ()):
        raise TypeError("`fun`, `bounds` and `args` must be left out for a fit, which has its own.")
    if fit.result is None:
        raise TypeError("`fit` must be a finished one; got that of a traced program.")
    fit.check_unconstrained()
    if fit._regression.host is not None or isinstance(fit._model, Host):
        raise TypeError("`fit` must be that of a JAX model; got a host function.")
    if fit.loss != "linear":
        raise ValueError(f"`fit` must be of loss='linear', which is a likelihood; got {fit.loss!r}.")
    if not np.isfinite(fit.fun):
        raise ValueError(f"`fit` must have a finite cost; got {fit.fun}.")
    return fit._regression.structure


def check_result(result: Result, fun: Any, bounds: Any, args: Any) -> tuple[Structure, np.ndarray, tuple[Any, ...]]:
    """The layout of the variables, their bounds, (2, n), and the args of a negative log-likelihood."""
    if not callable(fun) or isinstance(fun, Host):
        raise TypeError(f"`fun` must be the JAX function that was minimised; got {type(fun).__name__}.")
    if bounds is None:
        raise TypeError("`bounds` must be those of the search; got None.")
    choice.refuse(bounds)
    if result.active is not None:
        raise TypeError(
            "`fit` must have no `constraints`, which profiles do not know yet; got a result under constraints."
        )
    problem, _ = objective.check(fun, bounds, args, None, False, False)
    box = np.stack([np.asarray(problem.lower, float), np.asarray(problem.upper, float)])
    if jax.tree.structure(result.x) != problem.structure.treedef or not np.isfinite(result.fun):
        raise ValueError("`fit` must be the result of this function in these bounds, with a finite value.")
    flat = problem.structure.flatten(result.x)
    if np.any(flat < problem.lower) or np.any(flat > problem.upper):
        raise ValueError("`bounds` must contain the point of the result; it lies outside.")
    return problem.structure, box, args if isinstance(args, tuple) else (args,)


def names_of(structure: Structure, flat: bool) -> list[str]:
    """What variables are called: x0, x1, ..., or by their paths in the pytree."""
    return [f"x{i}" for i in range(structure.n)] if flat else arguments.names_of(None, structure, False)


def read_parameters(what: str, given: Any, names: list[str]) -> list[int]:
    """The numbers of parameters, by their numbers or names, in ascending order."""
    given = list(given) if isinstance(given, Sequence | np.ndarray | range) and not isinstance(given, str) else [given]
    found = []
    for one in given:
        if isinstance(one, str) and one in names:
            found.append(names.index(one))
        elif isinstance(one, int | np.integer) and not isinstance(one, bool) and 0 <= one < len(names):
            found.append(int(one))
        else:
            like = hint(one, names) if isinstance(one, str) else ""
            raise ValueError(f"`{what}` must be among {', '.join(names)}; got {one!r}{like or '.'}")
    return sorted(set(found))


def read_pair(pair: Any, names: list[str], box: np.ndarray) -> tuple[int, int]:
    """The numbers of two parameters that may move."""
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(f"`pairs` must be pairs of parameters; got {pair!r}.")
    i, j = (read_parameters("pairs", one, names)[0] for one in pair)
    if i == j or np.any(box[1, [i, j]] <= box[0, [i, j]]):
        raise ValueError(f"`pairs` must be of two different parameters that are not fixed; got {pair!r}.")
    return i, j
