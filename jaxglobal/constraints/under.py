"""A traced search under constraints: what it does differently, to all its problems and ends, some at a time.

Starts are packed for their lanes, and what ends there goes on to its last digits before ends are compared; see
constrained_function.py for one of them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxglobal.constraints import lagrangian
from jaxglobal.constraints.constrained_function import ConstrainedFunction, Measured, Sizes
from jaxglobal.constraints.kkt import Frame
from jaxglobal.engine import sweep
from jaxglobal.status import LocalStatus

STAGE = 1e-5, 1e-4, 500.0  # violation, projected gradient and evaluations with which a search ends in its lane
AT_ONCE = 256  # problems, or ends


class Under:
    """The problems of a search, whose scales are measured when it is made.

    What has ended is x, its multipliers and whether it is sure, in one row; -1 says that it is not, and that a feasible
    point was met at which the function has no value.
    """

    def __init__(
        self, constrained: ConstrainedFunction, own: tuple[bool, ...], lower: jax.Array, upper: jax.Array, leaves: Any
    ):
        """own: which of lower, upper, each (n,), and the leaves have an axis of problems."""
        self._constrained, self._own, self._given = constrained, own, (lower, upper, *leaves)
        self._n = lower.shape[-1]
        self._every = max((len(leaf) for leaf, differs in zip(self._given, own, strict=True) if differs), default=1)
        self._sizes = self._of(jnp.arange(self._every), lambda frame, leaves: constrained.sizes(frame, leaves))

    @property
    def length(self) -> int:
        """Of packed variables."""
        return lagrangian.packed_size(self._n, self._constrained.m)

    def searched(self, problems: sweep.Problems) -> sweep.Problems:
        """The problems as the lanes see them."""
        return problems._replace(region=lagrangian.inside(problems.region, self._constrained.m))

    def pack(self, x: jax.Array, problem: jax.Array) -> jax.Array:
        """Starts from x, (k, n), of these problems, (k,)."""
        return self._constrained.pack(x, self._sizes.size[problem], STAGE)

    def beside(self, x: jax.Array) -> jax.Array:
        """x, (..., n), with nothing beside it yet."""
        return jnp.concatenate([x, jnp.zeros((*x.shape[:-1], self._constrained.m + 1), x.dtype)], axis=-1)

    def finish(self, results: jax.Array, problem: jax.Array, number: jax.Array) -> jax.Array:
        """Rows of the lanes, (k, ...), of these problems, as what has ended, rank, status and evaluations.

        number: (k,) of the searches.
        """
        packed, status, nfev = results[:, : self.length], results[:, -2], results[:, -1]
        problem = jnp.clip(problem, 0, self._every - 1)

        def one(frame, leaves, packed, status, number, *sizes):
            return self._constrained.finish_whole(packed, status, number, Sizes(*sizes), frame, leaves)

        sizes = (part[problem] for part in self._sizes)
        end = self._of(problem, one, packed, status, jnp.maximum(number, 0), *sizes)
        status = jnp.where(end.sure, jnp.asarray(LocalStatus.CONVERGED, status.dtype), status)
        sure = jnp.where(end.sure, 1, jnp.where(end.valueless, -1, 0))
        columns = (sure, end.rank, status, nfev + jnp.ceil(end.nfev))
        return jnp.concatenate([end.x, end.lam, *(part[:, None].astype(packed.dtype) for part in columns)], axis=1)

    def valueless(self, ended: jax.Array) -> jax.Array:
        """(k,) Of what has ended, whether a feasible point was met at which the function has no value."""
        return ended[:, self._n + self._constrained.m] < 0

    def told(self, ended: jax.Array) -> tuple[jax.Array, jax.Array, Measured, jax.Array]:
        """x, whether it is sure, what is measured there, and whether it is feasible; of an end of each problem."""
        x, lam, sure = ended[:, : self._n], ended[:, self._n : -1], ended[:, -1] > 0
        constrained = self._constrained

        def one(frame, leaves, x, lam, *sizes):
            return constrained.told(x, lam, Sizes(*sizes), frame, leaves)

        problem = jnp.minimum(jnp.arange(len(x)), self._every - 1)
        told = self._of(problem, one, x, lam, *(part[problem] for part in self._sizes))
        return x, sure, told, (told.relative <= constrained.most) & jnp.isfinite(told.f)

    def _of(self, problem: jax.Array, function: Callable[..., Any], *rows: jax.Array) -> Any:
        """function(frame, leaves, *row) for problems, (k,), and rows, (k, ...), some at a time."""

        def one(case):
            problem, rows = case
            low, high, lower, upper, *rest = (
                leaf[problem] if differs else leaf for leaf, differs in zip(self._given, self._own, strict=True)
            )
            return function(Frame(low, high, lower, upper), [lower, upper, *rest], *rows)

        return lax.map(one, (problem, rows), batch_size=min(AT_ONCE, len(problem)))
