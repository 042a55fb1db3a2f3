"""What a residual costs: squares, or a loss that grows more slowly, so that outliers count less.

With z = (r / scale)^2 the cost of a residual is scale^2 rho(z), as in `scipy.optimize.least_squares`; that of "lad" is
scale rho(z): |r|, but for a smooth bend as wide as the scale, which is so small that it does not matter. Near the
minimum of a loss Gauss-Newton steps are those of scaled residuals and a scaled Jacobian, [T] 4.3; where the curvature
of a far outlier is negative, a share of its weight takes its place, so that every step is one of a positive model.

[T] B. Triggs, P. McLauchlan, R. Hartley and A. Fitzgibbon, Bundle adjustment: a modern synthesis (2000).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

LEAST_CURVATURE = 0.1  # of a residual's curvature, as a share of its weight
SHARP = 1e-6  # the bend of "lad", in units of the data or, where these are large beside them, of the residuals


class Loss(NamedTuple):
    """A loss.

    Attributes:
        rise: rise(z0, dz) is rho(z0 + dz) - rho(z0), with all digits where dz is small.
        slope: the first derivative of rho, of z.
        bend: its second derivative times z; None where the weight alone is taken (iteratively reweighted squares).
        power: of the residuals that a cost is, and of the scale before rho.
    """

    rise: Callable[[Any, jax.Array], jax.Array]
    slope: Callable[[jax.Array], jax.Array]
    bend: Callable[[jax.Array], jax.Array] | None
    power: int = 2


def _rise_of_root(z0: Any, dz: jax.Array) -> jax.Array:
    """That of sqrt(1 + z)."""
    return dz / (jnp.sqrt(1 + z0 + dz) + jnp.sqrt(1 + z0))


def _rise_of_huber(z0: Any, dz: jax.Array) -> jax.Array:
    """That of z up to one, and of 2 sqrt(z) - 1 from there on."""
    z = z0 + dz
    within = jnp.minimum(z, 1) - jnp.minimum(z0, 1)
    beyond = jnp.where((z > 1) & (z0 > 1), dz, jnp.maximum(z, 1) - jnp.maximum(z0, 1))
    return within + 2 * beyond / (jnp.sqrt(jnp.maximum(z, 1)) + jnp.sqrt(jnp.maximum(z0, 1)))


LOSSES = {
    "linear": Loss(lambda z0, dz: dz, jnp.ones_like, jnp.zeros_like),
    "soft_l1": Loss(
        lambda z0, dz: 2 * _rise_of_root(z0, dz), lambda z: (1 + z) ** -0.5, lambda z: -0.5 * z * (1 + z) ** -1.5
    ),
    "huber": Loss(
        _rise_of_huber,
        lambda z: jnp.maximum(z, 1) ** -0.5,
        lambda z: jnp.where(z <= 1, 0, -0.5 * jnp.maximum(z, 1) ** -0.5),
    ),
    "cauchy": Loss(lambda z0, dz: jnp.log1p(dz / (1 + z0)), lambda z: 1 / (1 + z), lambda z: -(z / (1 + z)) / (1 + z)),
    "lad": Loss(_rise_of_root, lambda z: 0.5 * (1 + z) ** -0.5, None, 1),
}


def cost(loss: Loss, r: Any, scale: Any, by: Any = None) -> jax.Array:
    """The cost of residuals, (N, ...), summed over the first axis.

    by: of data far away, see outlying.py: that of r - by, counted from that of -by.
    """
    if loss is LOSSES["linear"]:
        return jnp.sum(r**2, axis=0)
    if by is None:
        return jnp.sum(scale**loss.power * loss.rise(0.0, (r / scale) ** 2), axis=0)
    return jnp.sum(scale**loss.power * loss.rise((by / scale) ** 2, r / scale * ((r - 2 * by) / scale)), axis=0)


def weigh(loss: Loss, r: jax.Array, scale: jax.Array, least: float = LEAST_CURVATURE) -> tuple[jax.Array, jax.Array]:
    """By how much the residuals and the rows of the Jacobian are multiplied, each of the shape of r."""
    z = (r / scale) ** 2
    slope = loss.slope(z)
    if loss.bend is None:
        weight = jnp.sqrt(slope * scale ** (loss.power - 2))
        return weight, weight
    least_row = jnp.maximum(least * slope, jnp.finfo(r.dtype).eps)
    rows = jnp.sqrt(jnp.maximum(slope + 2 * loss.bend(z), least_row))
    return slope / rows, rows
