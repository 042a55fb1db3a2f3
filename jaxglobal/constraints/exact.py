"""Values, slopes and curvature of the objective and its constraints at a few points, in float64 where that is possible.

What the end of a constrained search needs: the Jacobian of all rows, and the Hessian of the Lagrangian. They are
programs of a few points beside the lanes. Slopes are taken a hair inside the box, as one may be infinite at a bound
(x^0.6 at 0).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints.constant_slopes import constant_slopes
from jaxglobal.engine import compiling, devices, precise
from jaxglobal.problem import modes
from jaxglobal.problem.closed import Closed
from jaxglobal.problem.modes import FAILURES
from jaxglobal.problem.objective import Objective

ROWS = 8  # points of a call
WIDE = 64  # of one of values alone, or of the slopes of more
WITHIN = 1e-12  # of the box, from its bounds
LARGEST = 500  # variables and rows up to which a Hessian is formed


class Slopes(NamedTuple):
    """The objective and m rows at k points."""

    f: np.ndarray
    """(k,)"""
    c: np.ndarray
    """(k, m)"""
    g: np.ndarray
    """(k, n)"""
    J: np.ndarray
    """(k, m, n)"""


@dataclasses.dataclass(frozen=True)
class Exact:
    """The programs of a function with m rows.

    Attributes:
        closed: the function, whose auxiliary output ends with the rows.
        leaves: what it takes beside x.
        lower, upper: (n,) the box, of the dtype of the programs.
        m: rows.
    """

    closed: Closed
    leaves: list[Any]
    lower: np.ndarray
    upper: np.ndarray
    m: int

    @property
    def newton(self) -> bool:
        """Whether the Hessian of the Lagrangian can be formed at a price."""
        return len(self.lower) + self.m <= LARGEST and self._program("curved") is not None

    def compile(self) -> None:
        """Compiles what a search needs, beside other programs."""
        self._program("slopes")
        _ = self.newton

    def slopes(self, points: np.ndarray) -> Slopes:
        """Of points, (k, n)."""
        return Slopes(*self._call("slopes", points))

    def values(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f, (k,), and the rows, (k, m), of points, (k, n)."""
        f, c = self._call("values", points)
        return f, c

    def curved(self, points: np.ndarray, lam: np.ndarray) -> tuple[Slopes, np.ndarray]:
        """The same, and the Hessians, (k, n, n), of f + lam @ c for multipliers (k, m)."""
        *slopes, H = self._call("curved", points, lam)
        return Slopes(*slopes), H

    def constant(self, moving: np.ndarray) -> np.ndarray:
        """(1 + m,) Whether f and the rows have the same slopes along these variables, (k,), at all points."""
        with compiling.called(self.lower.dtype == np.float64):
            both = outputs(self.closed, self.lower.dtype)
            try:
                return constant_slopes(lambda x: both(x, self.leaves), self.lower, moving)
            except FAILURES:  # there is no forward mode
                return np.zeros(1 + self.m, bool)

    def save(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps: nothing, as all is evaluated anew."""
        return {}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""

    def _call(self, name: str, *given: np.ndarray) -> list[np.ndarray]:
        k = len(given[0])
        rows = _rows(name, k)
        program = self._program(name, rows)
        blocks = -(-k // rows)
        padded = [
            np.concatenate([part, np.repeat(part[-1:], blocks * rows - k, axis=0)]).astype(self.lower.dtype)
            for part in given
        ]
        box, parts = (self.lower, self.upper), []
        with compiling.called(self.lower.dtype == np.float64):
            for i in range(blocks):
                block = [part[i * rows : (i + 1) * rows] for part in padded]
                parts.append(jax.device_get(program(*block, box, self.leaves)))
        return [np.concatenate(fields)[:k] for fields in zip(*parts, strict=True)]

    def _program(self, name: str, rows: int = ROWS) -> Any:
        """The program for so many points, compiled at the first use; None where JAX cannot differentiate so often."""
        shapes = tuple(np.shape(leaf) for leaf in self.leaves)
        key = ("exact", name, rows, self.m, shapes)
        if key not in self.closed.programs:
            n, dtype = len(self.lower), self.lower.dtype
            with jax.enable_x64(self.lower.dtype == np.float64):
                of = lambda *shape: jax.ShapeDtypeStruct(shape, dtype)  # noqa: E731
                given = [of(rows, n), *([of(rows, self.m)] if name == "curved" else [])]
                run = self.closed.safe(getattr(self, f"_{name}"), jax.default_backend())
                soon = devices.soon(self.closed.cost, jax.default_backend()) > 0
                try:
                    lowered = jax.jit(run).lower(*given, (of(n), of(n)), self.leaves)
                    self.closed.programs[key] = compiling.compiled(lowered, soon)
                except FAILURES:
                    if name == "slopes":
                        raise
                    self.closed.programs[key] = None
        return self.closed.programs[key]

    def _values(self, points, box, leaves):
        return jax.vmap(lambda x: outputs(self.closed, self.lower.dtype)(x, leaves))(points)

    def _slopes(self, points, box, leaves):
        return jax.vmap(lambda x: self._first(x, box, leaves))(points)

    def _curved(self, points, lam, box, leaves):
        def one(x, lam):
            slope = modes.grad(lambda x: self._both(x, leaves) @ jnp.concatenate([jnp.ones(1, x.dtype), lam]))
            return *self._first(x, box, leaves), modes.jacobian(slope)(within(x, box))

        return jax.vmap(one)(points, lam)

    def _both(self, x, leaves):
        f, c = outputs(self.closed, self.lower.dtype)(x, leaves)
        return jnp.concatenate([f[None], c])

    def _first(self, x, box, leaves):
        return slopes_at(lambda x: self._both(x, leaves), self.m, x, box)


def _rows(name: str, k: int) -> int:
    """Points of a call of this program, where there are k."""
    return WIDE if name == "values" or (name == "slopes" and k > WIDE) else ROWS


def within(x: jax.Array, box: tuple[jax.Array, jax.Array]) -> jax.Array:
    """x, a hair inside the box."""
    lower, upper = box
    margin = WITHIN * (upper - lower)
    return jnp.clip(x, lower + margin, upper - margin)


def slopes_at(both: Callable[[jax.Array], jax.Array], m: int, x: jax.Array, box: Any) -> tuple[jax.Array, ...]:
    """f, (), c, (m,), g, (n,), and J, (m, n), of both(x) -> (1 + m,), f and then the rows. box: lower, upper, (n,)."""
    values, inside = both(x), within(x, box)
    few = m + 1 < len(x) and modes.works(lambda: jax.jacrev(both)(inside))
    J = jax.jacrev(both)(inside) if few else modes.jacobian(both)(inside)
    return values[0], values[1:], J[0], J[1:]


def outputs(closed: Closed, dtype: Any) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """f, () and c, (m,), of x, (n,), and the leaves, for a function that `constraint.beside` has made."""

    def both(x, leaves):
        f, (_, c) = closed.outputs(x, leaves)
        return jnp.asarray(f, dtype), jnp.asarray(c, dtype)

    return both


def read(fun: Callable[..., Any], args: Any, problem: Objective, m: int) -> Exact:
    """The programs of fun, as `constraint.beside` makes it, for a problem; in float64 if it can be traced so.

    args: the user's own, before anything was rounded.
    """
    closed, leaves, dtype = problem.closed, problem.leaves, problem.structure.dtype
    wide = precise.traced(fun, args, problem) if dtype == np.float32 else None
    if wide is not None:
        closed, leaves, dtype = wide.closed, wide.leaves, np.dtype(np.float64)
    return Exact(closed, leaves, problem.lower.astype(dtype), problem.upper.astype(dtype), m)
