"""The objective in float64, for the last digits of a search that ran in float32.

The function is traced once more, with a float64 x and args, and compiled once more, for the gradient alone; both are
kept with the function, so that later calls pay for neither. A function that cannot be traced so (it mixes its own
float32 arrays with x where JAX does not promote) has no such form, and its minima keep the digits of float32.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal import objective
from jaxglobal.closed import Closed, close
from jaxglobal.objective import Objective

ROWS = 16  # points evaluated at a time, at most

Evaluate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def evaluator(
    fun: Callable[..., Any], args: Any, problem: Objective, lanes: int, spend: Callable[[int, int], None]
) -> Evaluate | None:
    """Values, (k,), and gradients, (k, n), in float64 at points, (k, n); None where the function has no such form.

    A gradient that is not finite everywhere is NaN, as in the lanes.

    fun, args: the user's own, before anything was rounded to the dtype of the problem. spend: is told the evaluations
    that were made, and those of padding included.
    """
    with jax.enable_x64(True):
        structure = dataclasses.replace(problem.structure, dtype=np.dtype(np.float64))
        wide = jax.tree.map(widened, objective.read_args(args))
        try:
            closed = close(fun, structure, wide, problem.has_aux)
            leaves, rows = jax.tree.leaves(wide), min(lanes, ROWS)
            program = compiled(closed, leaves, rows, structure.n)
        except Exception:  # whatever the user's function raises for a dtype that it was not written for
            return None

    def evaluate(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        blocks = -(-len(points) // rows)
        padded = np.concatenate([points, np.repeat(points[-1:], blocks * rows - len(points), axis=0)])
        with jax.enable_x64(True), jax.disable_jit(False), jax.debug_nans(False):  # a bad trial is no error
            parts = [program(block, leaves) for block in np.split(padded, blocks)]
        spend(len(points), len(padded))
        f, g = (np.concatenate(fields)[: len(points)] for fields in zip(*parts, strict=True))
        finite = np.isfinite(f) & np.all(np.isfinite(g), axis=1)
        return f, np.where(finite[:, None], np.where(problem.free, g, 0), np.nan)

    return evaluate


def widened(leaf: jax.Array) -> jax.Array:
    """A leaf of the args, in float64 where it is a float."""
    return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def compiled(closed: Closed, leaves: list[Any], rows: int, n: int) -> Any:
    """The program of so many values and gradients, compiled at the first use."""
    key = ("precise", rows)
    if key not in closed.programs:
        run = jax.jit(jax.vmap(jax.value_and_grad(closed.value), in_axes=(0, None)))
        closed.programs[key] = run.lower(jax.ShapeDtypeStruct((rows, n), np.float64), leaves).compile()
    return closed.programs[key]
