"""The values of a function, and of its constraints, at the points of a picture."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import host_constrained
from jaxglobal.engine.host import Host
from jaxglobal.problem import closed, constraint
from jaxglobal.problem.bounds import read_bounds
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.objective import read_args
from jaxglobal.problem.powers import power_above

AtPoints = Callable[[np.ndarray], np.ndarray]


def evaluator(fun: Callable[..., Any], bounds: Any, args: Any) -> AtPoints:
    """The function as one of flat points, (k, n) -> (k,), of a host one by one; NaN where it fails."""
    return evaluators(fun, bounds, args, None)[0]


def evaluators(
    fun: Callable[..., Any], bounds: Any, args: Any, constraints: Any
) -> tuple[AtPoints, Rows | None, AtPoints]:
    """The function and the rows of its constraints, as functions of flat points, (k, n) -> (k,) and (k, m).

    A host is called once at a point, for both.
    """
    args = args if isinstance(args, tuple) else (args,)
    structure = read_bounds(bounds, None, choosing=True)[0]
    if not callable(fun):
        raise TypeError(f"`fun` must be the function that was minimised; got {type(fun).__name__}.")
    if isinstance(fun, Host):
        rows = host_constrained.read(constraints, fun)
        both = simulated(fun, structure, args, 0 if rows is None else rows.m)
        return lambda points: both(points)[:, 0], rows, lambda points: both(points)[:, 1:]

    def value(x: Any) -> Any:
        out = fun(structure.unflatten(x), *args)
        return out[0] if isinstance(out, tuple) else out

    shapes = [jax.ShapeDtypeStruct(shape, structure.dtype) for shape in structure.shapes]
    output = closed.traced(fun, jax.tree.unflatten(structure.treedef, shapes), args)[1]
    closed.check_output(output, isinstance(output, tuple))
    rows = constraint.read(constraints, structure, read_args(args))

    def all_rows(x: Any) -> Any:
        return jnp.zeros(0) if rows is None else rows.values(structure.unflatten(x), *args)

    def at_points(one: Callable[..., Any]) -> AtPoints:
        batched = jax.jit(jax.vmap(one))

        def at(points: np.ndarray) -> np.ndarray:
            more = power_above(max(len(points), 1)) - len(points)  # few sizes, which are compiled for
            padded = np.concatenate([points, np.repeat(points[:1], more, axis=0)]) if len(points) else points
            return np.asarray(batched(jnp.asarray(padded, structure.dtype)), float)[: len(points)]

        return at

    return at_points(value), rows, at_points(all_rows)


def simulated(host: Host, structure: Structure, args: tuple[Any, ...], m: int) -> AtPoints:
    """The value and m rows of a host, (k, n) -> (k, 1 + m), each point called once; NaN where it raises."""
    known: dict[bytes, np.ndarray] = {}

    def of(out: Any) -> np.ndarray:
        value = out[0] if host.jac is True and isinstance(out, tuple) else out  # else the gradients
        parts = value if m else [value[0] if isinstance(value, tuple) else value]
        k = len(np.ravel(parts[0]))
        return np.concatenate([np.asarray(part, float).reshape(k, -1) for part in parts], axis=1)

    def one(x: np.ndarray) -> np.ndarray:
        try:
            return of(host.fun(structure.unflatten(x[None] if host.vectorized else x), *args))[0]
        except Exception:  # a simulator may raise where it has no answer
            return np.full(1 + m, np.nan)

    def together(points: list[np.ndarray]) -> Any:
        try:
            return of(host.fun(structure.unflatten(np.stack(points)), *args))
        except Exception:  # of one point, perhaps
            return map(one, points)

    def at(points: np.ndarray) -> np.ndarray:
        new = list({x.tobytes(): x for x in points if x.tobytes() not in known}.values())
        found: Any = together(new) if new and host.vectorized else map(one, new)
        known.update((x.tobytes(), seen) for x, seen in zip(new, found, strict=True))
        return np.array([known[x.tobytes()] for x in points]).reshape(-1, 1 + m)

    return at
