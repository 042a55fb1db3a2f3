"""Derivatives of a minimum under constraints: those of the saddle point of its Lagrangian, by the rule of implicit.py.

With the bounds b of the active rows A, a KKT point (x, lam) is where the gradient of

    L(x, lam) = f(x) + sum over A of lam (c(x) - b)

vanishes in lam, and in the variables of x that no bound holds. Its Hessian there is the KKT matrix, so that the
implicit function theorem for (x, lam) gives dx and dlam [F], and as L = f there, the envelope theorem gives df: what
implicit.py does for a minimum, which of the Hessian needs no more than that it is symmetric.

[F] A. V. Fiacco, Introduction to Sensitivity and Stability Analysis in Nonlinear Programming (1983), chapter 3.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxglobal.constraints import exact, kkt
from jaxglobal.constraints.kkt import Frame
from jaxglobal.local import implicit
from jaxglobal.problem.region import Region


def differentiable(
    outputs: Callable[..., tuple[jax.Array, jax.Array]], find: Callable[..., Any], safe: Callable[[Any], Any]
) -> Callable[..., Any]:
    """find(box, start, lower, upper, *leaves) -> a named tuple with x, f, lam and active; with their derivatives.

    outputs: f, () and c, (m,), of x and all leaves, lower and upper among them. safe: see `implicit.differentiable`.
    """

    def moved(x, lam, active, box, leaves, d_box, d_leaves):
        return tangents(outputs, x, lam, active, box, leaves, d_box, d_leaves)

    safely = safe(moved)

    def move(answer, box, leaves, d_box, d_leaves):
        d_x, d_lam, d_f = safely(answer.x, answer.lam, answer.active, box, leaves, d_box, d_leaves)
        return {"x": d_x, "lam": d_lam, "f": d_f}

    return implicit.with_rule(find, move)


def tangents(
    outputs: Callable[..., tuple[jax.Array, jax.Array]], x: jax.Array, lam: jax.Array, active: jax.Array,
    box: jax.Array, leaves: list[Any], d_box: jax.Array, d_leaves: list[Any],
) -> tuple[jax.Array, jax.Array, jax.Array]:  # fmt: skip
    """How x, (n,), lam, (m,), and the value, (), move with the box, (2, n), and the leaves.

    The bounds of the rows, each (m,), are the first two leaves.
    """
    n, m = len(x), len(lam)
    frame = Frame(box[0], box[1], leaves[0], leaves[1])
    c = outputs(x, leaves)[1]
    upper = jnp.where(frame.equal, lam >= 0, kkt.at_upper(c, frame, jnp))  # an equality's bounds move together

    def value(y, leaves):
        f, c = outputs(y[:n], leaves)
        bound = jnp.where(active, jnp.where(upper, leaves[1], leaves[0]), 0)
        return (f + jnp.sum(jnp.where(active, y[n:] * (c - bound), 0))).astype(y.dtype)

    none = jnp.zeros(m, x.dtype)
    region = Region(
        jnp.concatenate([box[0], none - jnp.inf]),
        jnp.concatenate([box[1], none + jnp.inf]),
        jnp.concatenate([frame.width, _units(outputs, x, leaves, frame)]),
    )
    d_bounds = tuple(jnp.concatenate([side, none]) for side in d_box)
    still = jnp.concatenate([jnp.zeros(n, bool), ~active])
    d_y, d_f = implicit.tangents(
        value, jnp.concatenate([x, lam]), jax.lax.stop_gradient(region), leaves, d_bounds, d_leaves, still
    )
    return d_y[:n], d_y[n:], d_f


def _units(outputs: Callable[..., Any], x: jax.Array, leaves: list[Any], frame: Frame) -> jax.Array:
    """(m,) Units of the multipliers: with them the rows of the KKT matrix are as long as the slope of f."""
    both = lambda x: jnp.concatenate([jnp.reshape(part, -1) for part in outputs(x, leaves)])  # noqa: E731
    *_, g, J = exact.slopes_at(both, len(frame.lower), x, (frame.low, frame.high))
    tiny = float(jnp.finfo(x.dtype).tiny)
    slope = jnp.maximum(jnp.linalg.norm(g * frame.width), tiny)
    return slope / jnp.maximum(jnp.linalg.norm(J * frame.width[None], axis=1), tiny)
