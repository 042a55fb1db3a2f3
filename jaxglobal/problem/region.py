"""Where a local search may go: the box, without the sides that are open, and the unit of length of each variable."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Region(NamedTuple):
    """Where a local search may go, each (n,) or (n, 1), in the user's coordinates."""

    lower: jax.Array
    """-inf where the variable is open."""
    upper: jax.Array
    """+inf where the variable is open."""
    width: jax.Array
    """The unit of length of each variable: the width of the box. Zero fixes the variable."""


def within(lower: Any, upper: Any, open: np.ndarray, whole: np.ndarray | None = None) -> Region:
    """Where the local searches may go. lower, upper: (..., n), concrete or traced. open: (2, n).

    whole: (n,) variables that they hold still; see lattice.py.
    """
    xp = np if isinstance(lower, np.ndarray) else jnp
    infinite = np.asarray(np.inf, lower.dtype)
    below, above = (np.broadcast_to(side, lower.shape) for side in open)
    low: Any = xp.where(below, -infinite, lower)
    high: Any = xp.where(above, infinite, upper)
    width: Any = upper - lower
    if whole is not None and np.any(whole):
        width = xp.where(whole, 0, width)
    return Region(low, high, width)
