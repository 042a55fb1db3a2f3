"""The Hessian of the free variables, and what is solved with it: its rank is judged where it is balanced.

Entries are in units of the box; see balance.py for those of the rank.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxglobal.local import balance
from jaxglobal.problem import modes
from jaxglobal.problem.linear_algebra import own
from jaxglobal.problem.modes import Product
from jaxglobal.problem.region import Region

NULL = 64.0  # an eigenvalue of the balanced H below so many n eps of the largest is zero

Value = Callable[[jax.Array], jax.Array]


def column(product: Product, x: jax.Array, region: Region, free: jax.Array, v: jax.Array) -> jax.Array:
    """H_FF v in units of the box, zero for the other variables. product: H v, see `modes.curvature`."""
    scale = jnp.where(free, region.width, 0)
    return scale * product(x, scale * v)


def hessian(value: Value, product: Product | None, x: jax.Array, region: Region, free: jax.Array) -> jax.Array:
    """H_FF in units of the box, (n, n); zero in the rows and columns of the other variables.

    product: H v; without it, from differences of gradients.
    """
    if product is None:
        scale = jnp.where(free, region.width, 0)
        H = scale[:, None] * modes.differences(modes.grad(value), x, region) * scale[None, :]
    else:
        H = jax.vmap(lambda unit: column(product, x, region, free, unit))(jnp.eye(len(x), dtype=x.dtype))
    return (H + H.T) / 2


def unsure(H: jax.Array) -> jax.Array:
    """(n,) Which variables act, but with a curvature that may be of rounding errors alone."""
    least = balance.least(H, jnp)
    return (jnp.abs(jnp.diagonal(H)) <= least) & jnp.any(H != 0, axis=1)


def without(H: jax.Array, which: jax.Array) -> jax.Array:
    """H with zeros in the rows and columns of these variables, (n,)."""
    return jnp.where(which[:, None] | which[None, :], 0, H)


def pseudoinverse(H: jax.Array, free: jax.Array, region: Region) -> jax.Array:
    """The pseudoinverse of H_FF in the user's coordinates, from H in units of the box.

    The rank is judged where H is balanced; the least norm is that of the user's coordinates: Q W A W Q with W the
    widths, balanced, A the pseudoinverse of H, balanced, and Q the projection that removes W's image of the null space.
    """
    eigenvalues, V, D = balanced(H, free)
    null = vanishing(eigenvalues)
    scale = jnp.where(free, region.width * D, 0)[:, None]
    A = (V * jnp.where(null, 0, 1 / jnp.where(null, 1, eigenvalues))[None, :]) @ V.T
    A = scale * A * scale.T
    directions = jnp.where(null[None, :], scale * V, 0)
    directions = directions / jnp.maximum(jnp.max(jnp.abs(directions)), jnp.finfo(H.dtype).tiny)
    Q = jnp.eye(len(H), dtype=H.dtype) - directions @ own(jnp.linalg.pinv)(directions)
    return jnp.where(jnp.any(null), Q @ A @ Q, A)


def conjugate_gradients(matvec: Callable[[jax.Array], jax.Array], b: jax.Array) -> jax.Array:
    """The solution of a positive semi-definite system, from Hessian-vector products."""
    return jax.scipy.sparse.linalg.cg(matvec, b, tol=float(jnp.finfo(b.dtype).eps), maxiter=4 * len(b))[0]


def balanced(H: jax.Array, free: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The eigenvalues and eigenvectors of D H_FF D, and D, (n,), of balance.py."""
    H = filled(balance.without_slight(H, jnp), free)
    D = balance.units(H, jnp)
    return *own(jnp.linalg.eigh)(D[:, None] * H * D[None, :]), D


def filled(H: jax.Array, free: jax.Array) -> jax.Array:
    """H with its own size on the diagonal of the variables that are not free, so that these do not look singular."""
    size = jnp.max(jnp.abs(H))
    return H + jnp.diag(jnp.where(free, 0, jnp.where(size > 0, size, 1)))


def vanishing(eigenvalues: jax.Array) -> jax.Array:
    """Which eigenvalues are zero to rounding."""
    size = jnp.abs(eigenvalues)
    return size <= NULL * len(eigenvalues) * jnp.finfo(eigenvalues.dtype).eps * jnp.max(size)
