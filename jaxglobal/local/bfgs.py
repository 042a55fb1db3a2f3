"""BFGS: the inverse Hessian as a matrix.

[NW] Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), chapter 6.

Differs from [NW]:
1. As a variable that did not move is left out of the pair (s, y), the free block of H is exactly the BFGS matrix of the
   face of the box.
2. The direction -H_new q is [NW] 6.17 multiplied out, so that H is read in one place and written in one place.
3. H is stored from the first update on; until then it is the identity, and at the first update it is scaled by
   s'y / y'y, [NW] 6.20.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxglobal.local.descent import UNROLLED, total
from jaxglobal.local.quasi_newton import Options, Pair, QuasiNewton


@dataclasses.dataclass(frozen=True)
class Matrix:
    """The inverse Hessian as a matrix H, (n, n); a `quasi_newton.Curvature`."""

    def begin(self, x: jax.Array) -> jax.Array:
        """See `quasi_newton.Curvature`."""
        return jnp.zeros((len(x), *x.shape), x.dtype)

    def turn(self, memory: jax.Array, pair: Pair, q, restrict: Callable, once: Callable) -> tuple[jax.Array, jax.Array]:
        """H + s c' - rho u s', with u = H y and c = (1 + rho y'u) rho s - rho u, [NW] 6.17; v = H q."""
        H, (s, y, _, first, rho, gamma) = memory, pair
        u, v = once(lambda: (
            jnp.where(first, gamma * y, product(H, y)),
            jnp.where(first, gamma * q, product(H, q)),
        ))  # fmt: skip
        yu, uq, sq = once(lambda: (total(y * u), total(u * q), total(s * q)))

        def direction():
            c = (1 + rho * yu) * rho * s - rho * u
            p = -(v + s * ((1 + rho * yu) * rho * sq - rho * uq) - sq * rho * u)
            return c, rho * u, restrict(p)

        c, ru, p = once(direction)
        H = jnp.where(first, gamma[None] * identity(s), H) + s[:, None] * c[None, :] - ru[:, None] * s[None, :]
        return H, p


@dataclasses.dataclass(frozen=True)
class BFGS(Options):
    """The bounded BFGS local search, with its options.

    Attributes:
        ftol: converged when the quasi-Newton model promises a decrease of less than this times abs(fun); at least ten
            eps of the dtype.
        xtol: converged when the quasi-Newton step is shorter than this in every variable, in units of the box; None
            takes eps^0.6, at most 1e-5: 4e-10 in float64 and 1e-5 in float32.
        first_step: length of the first trial step, in units of the box. None takes the spacing of the level, but at
            most a quarter: a search looks about in its own cell first; and a tenth where your own guesses are searched.
        max_nfev: evaluations of one local search.

    Example:
        >>> import jaxglobal as jg
        >>> result = jg.minimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)], local=jg.BFGS(max_nfev=50))
    """

    @property
    def program(self) -> QuasiNewton:
        """See `descent.Local`."""
        return QuasiNewton(Matrix())

    def numbers(self, n: int) -> int:
        """See `descent.Local`."""
        return n * n + 12 * n + 16


def product(H: jax.Array, v: jax.Array) -> jax.Array:
    """H v for a symmetric H."""
    if len(v) > UNROLLED:
        return jnp.sum(H * v[:, None], axis=0)
    return sum((H[j] * v[j : j + 1] for j in range(1, len(v))), H[0] * v[:1])


def identity(v: jax.Array) -> jax.Array:
    """The identity matrix, of shape (n, n) or (n, n, 1), for a v of shape (n,) or (n, L)."""
    return jnp.eye(len(v), dtype=v.dtype).reshape(len(v), len(v), *(1,) * (v.ndim - 1))
