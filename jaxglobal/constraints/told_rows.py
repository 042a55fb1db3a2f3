"""The constraints of a search whose values are told: those that are told too, and JAX functions, evaluated here."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints.exact import within
from jaxglobal.problem import constraint, modes
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.constraint import Constraint, Rows, check_order


class ToldRows(NamedTuple):
    """Rows of which some are told.

    Attributes:
        rows: all of them.
        told: (m,) which are told.
        shape: of what is told with a value; None where nothing is.
        others: the other rows, (m,), and their slopes, (m, n), at x in the flat layout, (n,).
        identity: what tells these rows from others, their bounds apart.
    """

    rows: Rows
    told: np.ndarray
    shape: tuple[int, ...] | None
    others: Any
    identity: Any

    def all_of(self, x: np.ndarray, c: np.ndarray, J: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All rows, (k, m), and their slopes, (k, m, n), at points (k, n), of those that were told there."""
        if np.all(self.told):
            return c, J
        k, m = len(x), self.rows.m
        rows, slopes = np.empty((k, m)), np.empty((k, m, x.shape[1]))
        with jax.enable_x64(x.dtype == np.float64):
            for i, point in enumerate(x):
                rows[i, ~self.told], slopes[i, ~self.told] = self.others(point)
        rows[:, self.told], slopes[:, self.told] = c, J
        return rows, slopes


def read(given: Any, structure: Structure, box: tuple[np.ndarray, np.ndarray]) -> ToldRows | None:
    """The rows of `constraints=` for an x of this layout in a box, (lower, upper); None where there are none.

    Raises:
        TypeError: not a constraint, or not a JAX function.
        ValueError: bounds of a wrong shape or out of order, or two constraints that are told.
    """
    single = not isinstance(given, list | tuple)
    parts = [given] if single else list(given)
    if given is None or not parts:
        return None
    which = [isinstance(part, Constraint) and part.fun is None for part in parts]
    if sum(which) > 1:
        raise ValueError(
            f"`constraints` must have at most one Constraint(None, ...), of all that is told; got {sum(which)}."
        )
    both = zip(parts, which, strict=True)
    read = [told(part) if is_told else evaluated(part, structure) for part, is_told in both]
    lower, upper = (np.concatenate([getattr(part, side) for part in read]) for side in ("lower", "upper"))
    functions, shapes = (sum((getattr(part, name) for part in read), ()) for name in ("functions", "shapes"))
    rows = Rows(functions, lower, upper, shapes, single)
    if not rows.m:
        return None
    mask = np.concatenate([np.full(len(part.lower), is_told) for part, is_told in zip(read, which, strict=True)])

    shape = next((part.shapes[0] for part, is_told in zip(read, which, strict=True) if is_told), None)
    flat = lambda x: rows.values(structure.point(x))  # noqa: E731
    with jax.enable_x64(structure.dtype == np.float64):
        traced = jax.make_jaxpr(flat)(np.zeros(structure.n, structure.dtype)) if rows.functions else None
    identity = mask, shape, None if traced is None else (str(traced.jaxpr), [np.asarray(c) for c in traced.consts])
    inside = lambda x: within(x, (jnp.asarray(box[0]), jnp.asarray(box[1])))  # noqa: E731
    others = jax.jit(lambda x: (flat(x), modes.jacobian(flat)(inside(x))))
    return ToldRows(rows, mask, shape, others, identity)


def told(given: Constraint) -> Rows:
    """The rows of a constraint without a function, whose bounds say its shape."""
    lower, upper = np.asarray(given.lower, float), np.asarray(given.upper, float)
    try:
        lower, upper = np.broadcast_arrays(lower, upper)
    except ValueError:
        raise ValueError(
            f"`lower` and `upper` of `constraints` must be of one shape; got {lower.shape} and {upper.shape}."
        ) from None
    if not lower.size:
        raise ValueError(f"`lower` and `upper` of `constraints` must say what is told; got shape {lower.shape}.")
    check_order(lower.ravel(), upper.ravel(), "constraints")
    return Rows((), lower.ravel(), upper.ravel(), (lower.shape,), True)


def evaluated(given: Any, structure: Structure) -> Rows:
    """The rows of a constraint with a JAX function of x."""
    with jax.enable_x64(structure.dtype == np.float64):
        rows: Rows | None = constraint.read(given, structure, ())
    return rows or Rows((), np.zeros(0), np.zeros(0), ((0,),), True)
