"""The objective in float64, for the last digits of a search that ran in float32.

The function is traced once more by the same call, with a float64 x and args, and compiled once more, for the gradient
alone, at the end of its first search. A function that cannot be traced so (it mixes its own float32 arrays with x where
JAX does not promote, or JAX remembers a part of it in float32, or it keeps an array of its first trace) has no such
form, and its minima keep the digits of float32.
"""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.engine import compiling
from jaxglobal.local.polish import Evaluate
from jaxglobal.problem import keys, lattice, modes, objective
from jaxglobal.problem.closed import Closed, close
from jaxglobal.problem.objective import Objective

LOG = logging.getLogger("jaxglobal")
ROWS = 16  # points evaluated at a time, at most


def traced(fun: Callable[..., Any], args: Any, problem: Objective) -> "Precise | None":
    """The function in float64, as it is now; None where it has no such form.

    fun, args: the user's own, before anything was rounded to the dtype of the problem.
    """
    with jax.enable_x64(True):
        structure = dataclasses.replace(problem.structure, dtype=np.dtype(np.float64))
        wide = jax.tree.map(widened, objective.read_args(args))
        try:
            closed = close(lattice.held(fun, problem.whole, structure), structure, wide, problem.has_aux)
        except Exception as error:  # whatever the user's function raises for a dtype that it was not written for
            return missing(error)
    if closed.captured:
        return missing(TypeError("it keeps an array of its first trace"))
    return Precise(closed, [*map(keys.numbers, jax.tree.leaves(wide)), *closed.constants], problem)


@dataclasses.dataclass(frozen=True)
class Precise:
    """A function in float64.

    Attributes:
        closed: the function.
        leaves: what it takes beside x.
        problem: that of the search.
    """

    closed: Closed
    leaves: list[Any]
    problem: Objective

    def evaluator(self, lanes: int, spend: Callable[[int, int], None]) -> Evaluate | None:
        """Values, (k,), and gradients, (k, n), in float64 at points, (k, n), by a program compiled at the first use.

        A gradient that is not finite everywhere is NaN, as in the lanes. None where it cannot be compiled after all.

        spend: is told the evaluations that were made, and those of padding included.
        """
        rows, leaves, free = min(lanes, ROWS), self.leaves, self.problem.moves
        try:
            with jax.enable_x64(True):
                program = compiled(self.closed, leaves, rows, self.problem.structure.n)
        except TypeError as error:  # two precisions meet in it
            return missing(error)

        def evaluate(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            blocks = -(-len(points) // rows)
            padded = np.concatenate([points, np.repeat(points[-1:], blocks * rows - len(points), axis=0)])
            with compiling.called(True):
                parts = [program(block, leaves) for block in np.split(padded, blocks)]
            spend(len(points), len(padded))
            f, g = (np.concatenate(fields)[: len(points)] for fields in zip(*parts, strict=True))
            finite = np.isfinite(f) & np.all(np.isfinite(g), axis=1)
            return f, np.where(finite[:, None], np.where(free, g, 0), np.nan)

        return evaluate


def missing(error: Exception) -> None:
    """Says why there is no such form."""
    LOG.info("no float64 form of the function, so no polish in float64: %s: %s", type(error).__name__, error)


def widened(leaf: jax.Array) -> jax.Array:
    """A leaf of the args, in float64 where it is a float."""
    return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def compiled(closed: Closed, leaves: list[Any], rows: int, n: int) -> Any:
    """The program of so many values and gradients, compiled at the first use."""
    key = ("precise", rows, tuple(leaf.sharding if isinstance(leaf, jax.Array) else None for leaf in leaves))
    if key not in closed.programs:
        run = jax.vmap(modes.value_and_grad(closed.value), in_axes=(0, None))
        jitted = jax.jit(closed.safe(run, jax.default_backend()))
        closed.programs[key] = jitted.lower(jax.ShapeDtypeStruct((rows, n), np.float64), leaves).compile()
    return closed.programs[key]
