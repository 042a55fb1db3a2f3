"""A feasible point nearby, as a traced program: least-norm steps onto the rows, by Gauss and Newton."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxglobal.constraints import exact, kkt
from jaxglobal.constraints.elimination import LOOSE, eliminate
from jaxglobal.constraints.refilled import Iteration

GOOD = 64.0  # eps: a residual with which no further step is made
FARTHEST = 0.2  # of the box, does a step onto the rows go

Both = Callable[[jax.Array], jax.Array]
"""both(x) -> (1 + m,), f and then the rows."""


class Restored(NamedTuple):
    """Between two steps."""

    x: jax.Array
    best: jax.Array
    least: jax.Array
    """() The violation there."""
    k: jax.Array
    """() Steps."""
    go: jax.Array
    """() Whether the last one led anywhere."""


def restoration(of: Callable[[Any], Both]) -> Iteration:
    """The feasible point near x, or that of the least violation, and the steps; given (x, frame, leaves, most).

    of: of(leaves) is the function. most: steps at most. Every equality stays in the system, one that holds exactly
    too: else the next step would break it.
    """

    def begin(given):
        x, frame, *_ = given
        x = jnp.clip(x, frame.low, frame.high)
        return Restored(x, x, jnp.asarray(jnp.inf, x.dtype), jnp.int32(0), jnp.asarray(True))

    def over(state, given):
        return ~(state.go & (state.k < given[3]))

    def advance(state, given):
        x, best, least, k, _ = state
        _, frame, leaves, _ = given
        m, width, eps = len(frame.lower), frame.width, float(jnp.finfo(x.dtype).eps)
        tiny = float(jnp.finfo(x.dtype).tiny)
        _, c, _, J = exact.slopes_at(of(leaves), m, x, (frame.low, frame.high))
        rows = J * width[None]
        length = jnp.maximum(jnp.linalg.norm(rows, axis=1), jnp.maximum(frame.spread, tiny))
        r = kkt.excess(c, frame, jnp) / length
        worst = jnp.max(jnp.abs(r), initial=0)
        worst = jnp.where(jnp.all(jnp.isfinite(r)) & jnp.all(jnp.isfinite(rows)), worst, jnp.inf)
        best, least = jnp.where(worst < least, x, best), jnp.minimum(worst, least)
        wanted = frame.equal | (r != 0)
        A = jnp.where(wanted[:, None], rows / length[:, None], 0)
        step = jnp.zeros_like(x)
        for _ in range(2):  # the second time without the variables that a bound stops
            product = A @ A.T + jnp.diag(jnp.where(wanted, eps**LOOSE, 1).astype(x.dtype))
            step = A.T @ eliminate(product, jnp.where(wanted, -r, 0), m)[0]
            stopped = ((x <= frame.low) & (step < 0)) | ((x >= frame.high) & (step > 0))
            A = jnp.where(stopped[None], 0, A)
        moved = jnp.clip(x + jnp.clip(step, -FARTHEST, FARTHEST) * width, frame.low, frame.high)
        go = jnp.isfinite(worst) & (worst > GOOD * eps) & jnp.all(jnp.isfinite(moved))
        return Restored(jnp.where(go, moved, x), best, least, k + 1, go)

    return Iteration(begin, over, advance, lambda state: (state.best, state.k))
