"""L-BFGS: the inverse Hessian as its last few pairs of a step and a change of the gradient.

[NW] Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), section 7.2.
[LN] D. C. Liu & J. Nocedal, On the limited memory BFGS method for large scale optimization, Math. Program. 45 (1989).

Differs from [NW] algorithms 7.4 and 7.5:
1. The pairs are those of quasi_newton.py: a variable that did not move is left out of its pair, and a pair that shows
   no positive curvature is none.
2. The pairs lie newest first and move up by one, instead of going round in a ring, since each lane has its own age: a
   ring would gather and scatter in every lane.

The recursion is that of `optax.scale_by_lbfgs`, written anew because that one takes the pairs itself: as differences of
what it is given, with the gradient of a variable in y when a bound has just stopped it, and without a test of the
curvature. It also updates at every call, while a lane here has trials that are no step. What each takes in lanes is
measured by `python benchmarks/large.py --part direction`.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxglobal.local import descent
from jaxglobal.local.descent import total
from jaxglobal.local.quasi_newton import Options, Pair, QuasiNewton


class Memory(NamedTuple):
    """The last m pairs, newest first; in units of the box."""

    S: jax.Array
    """(m, n) Steps."""
    Y: jax.Array
    """(m, n) Changes of the gradient."""
    rho: jax.Array
    """(m, 1) 1 / s'y, [NW] 7.17; 0 where there is no pair."""
    gamma: jax.Array
    """(1,) s'y / y'y of the newest pair, [NW] 7.20."""


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The inverse Hessian by its last m pairs; a `quasi_newton.Curvature`."""

    m: int

    def begin(self, x: jax.Array) -> Memory:
        """See `quasi_newton.Curvature`."""
        pairs = jnp.zeros((self.m, *x.shape), x.dtype)
        return Memory(pairs, pairs, pairs[:, :1], jnp.ones_like(x[:1]))

    def turn(self, memory: Memory, pair: Pair, q, restrict: Callable, once: Callable) -> tuple[Memory, jax.Array]:
        """The two loops of [NW] algorithm 7.4."""
        s, y, update, first, rho, gamma = pair

        def push(new, old):
            return jnp.where(update[None], jnp.concatenate([new[None], old[:-1]]), old)

        S, Y = push(s, memory.S), push(y, memory.Y)
        rhos = push(rho, jnp.where(first[None], 0, memory.rho))
        gamma = jnp.where(update | first, gamma, memory.gamma)

        def newest_to_oldest(i, carry):
            r, alpha = carry
            a = once(lambda: jnp.where(rhos[i] > 0, rhos[i] * total(S[i] * r), 0))
            return r - a * Y[i], alpha.at[i].set(a)

        def oldest_to_newest(k, r):
            i = self.m - 1 - k
            b = once(lambda: jnp.where(rhos[i] > 0, rhos[i] * total(Y[i] * r), 0))
            return r + (alpha[i] - b) * S[i]

        r, alpha = lax.fori_loop(0, self.m, newest_to_oldest, (q, jnp.zeros_like(rhos)))
        r = lax.fori_loop(0, self.m, oldest_to_newest, gamma * r)
        return Memory(S, Y, rhos, gamma), restrict(-r)


@dataclasses.dataclass(frozen=True)
class LBFGS(Options):
    """The bounded L-BFGS local search, for many variables, with its options.

    It has the line search, the treatment of bounds and the ends of `BFGS`, and keeps the last few pairs of a step and a
    change of the gradient instead of a matrix: 2 memory n numbers a lane, not n^2. `local="auto"` takes it for
    more than 64 variables.

    Attributes:
        ftol: as for `BFGS`.
        xtol: as for `BFGS`.
        first_step: as for `BFGS`.
        max_nfev: evaluations of one local search.
        memory: pairs that are kept.

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> def fun(x):
        ...     return jnp.sum((x[1:] - x[:-1] ** 2) ** 2) + jnp.sum((x - 1) ** 2)
        >>> result = jg.minimize(fun, [(-2, 2)] * 1000, local=jg.LBFGS(), max_levels=1)
        >>> bool(result.fun < 1e-6)
        True
    """

    max_nfev: int = 15_000
    memory: int = 10

    def __post_init__(self):
        """Raises TypeError or ValueError for an option that makes no sense."""
        super().__post_init__()
        descent.check_options(self, (), ("memory",))

    @property
    def program(self) -> QuasiNewton:
        """See `descent.Local`."""
        return QuasiNewton(Pairs(self.memory))

    def numbers(self, n: int) -> int:
        """See `descent.Local`."""
        return (2 * self.memory + 12) * n + 16
