"""What a program of one point gives: what a `jax.jit` of the user's has there."""

from typing import Any

import jax
import numpy as np

from jaxglobal.problem.objective import Objective
from jaxglobal.problem.programs import undisturbed


def auxiliary(objective: Objective, x: Any) -> Any:
    """The auxiliary output of the function at x, (n,)."""
    closed = objective.closed
    if "auxiliary" not in closed.programs:
        closed.programs["auxiliary"] = jax.jit(closed.safe(closed.auxiliary, jax.default_backend()))
    return closed.programs["auxiliary"](x, objective.leaves)


def single(objective: Objective, x: np.ndarray) -> float:
    """The value at x, (n,), by a program of one point: what a `jax.jit` of the user's has there."""
    closed, leaves = objective.closed, objective.leaves
    if "single" not in closed.programs:
        closed.programs["single"] = jax.jit(closed.safe(closed.value, jax.default_backend()))
    with undisturbed():
        return float(closed.programs["single"](x, leaves))
