"""What counts as feasible, and one number that orders all points: first by violation, then by value [D].

The rank of a feasible point is its value; that of any other is above every value and grows with the violation. So all
that compares values (pools, scans, evolutions, minima, stopping) works under constraints as it is, and takes no
infeasible point for an answer.

A row's violation is measured in its own scale, abs(bound) + abs(gradient) times the width of the box, which no unit
changes; a gradient that is far steeper than usual (that of sqrt(x) near 0) counts no more than `STEEPEST` usual ones.
Some eps of what the row changes across the box, where it changes the least, are no violation.

[D] K. Deb, An efficient constraint handling method for genetic algorithms, Comput. Methods Appl. Mech. Eng. 186 (2000).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import kkt
from jaxglobal.constraints.kkt import Frame

WORST = 1e6  # violations beyond it are alike
STEEPEST = 1e3  # times the usual slope of a row across the box, is what its slope counts for at most
ROUNDING = 64.0  # eps of a row's scale: its rounding error


def above(dtype: Any) -> float:
    """A rank that no value reaches; those of infeasible points lie beyond it."""
    return 1e100 if np.dtype(dtype) == np.float64 else 1e30


def valueless(dtype: Any) -> float:
    """What a program gives for a feasible point at which f has no value: finite, and beyond all ranks."""
    return float(np.finfo(dtype).max)


def told_apart(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of `rank`, (k,), as they count, and which are those of feasible points without a value."""
    nowhere = ranks == valueless(ranks.dtype)
    return np.where(nowhere, np.inf, ranks).astype(ranks.dtype), nowhere


def rank(f: Any, c: Any, lower: Any, upper: Any, size: Any, least: Any = None, xp: Any = jnp) -> Any:
    """The rank, (...), of points whose slopes are not known. size: (m,) one over the usual slopes of the rows.

    f: (...). c: (..., m). least: (m,) an excess that is none but rounding; none is where it is not given. xp: np where
    it is not traced.

    As the slopes at hand may be far greater there, it counts as feasible only where no bound is exceeded at all; see
    `valueless` for one of those where f is not finite.
    """
    over = xp.maximum(c - upper, 0) + xp.maximum(lower - c, 0)
    over = over if least is None else xp.where(over > least, over, 0)
    violation = xp.sum(xp.minimum(over * size, WORST), axis=-1)
    kept = xp.all(over == 0, axis=-1)
    rank = xp.where(kept, xp.minimum(f, above(f.dtype)), above(f.dtype) * (1 + violation))
    rank = xp.where(xp.isfinite(f) & xp.all(xp.isfinite(c), axis=-1), rank, xp.inf)
    return xp.where(kept & ~xp.isfinite(f), valueless(f.dtype), rank)


def scales(c: Any, J: Any, frame: Frame, xp: Any = np) -> Any:
    """(m,) The rows' own scales: abs(bound), of the bound that is nearer, plus abs(gradient) times width.

    Of a row of whole numbers alone, which has no gradient, plus what it changes by.
    xp: jnp where it is traced.
    """
    bound = xp.where(kkt.at_upper(c, frame, xp), frame.upper, frame.lower)
    slope = xp.minimum(xp.abs(J) @ frame.width, frame.steepest)
    return xp.abs(xp.where(xp.isfinite(bound), bound, 0)) + slope + frame.spread


def steepest(size: Any, xp: Any = np) -> Any:
    """(m,) What the slopes of rows count for at most. size: (m,) one over the usual ones, 1 where these are not known.

    xp: jnp where it is traced.
    """
    return xp.where(size == 1, xp.inf, STEEPEST / size)


def violations(c: Any, J: Any, frame: Frame, least: Any, xp: Any = np) -> Any:
    """(m,) By how much each row is violated, in its own scale; infinite where it is not finite.

    least: (m,) an excess that is none but rounding. xp: jnp where it is traced.
    """
    over, scale = xp.abs(kkt.excess(c, frame, xp)), scales(c, J, frame, xp)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = xp.where(over > least, xp.where(xp.isfinite(scale), over / scale, xp.inf), 0.0)
    return xp.where(xp.isfinite(c), xp.nan_to_num(relative, nan=xp.inf), xp.inf)


def tolerance(ctol: float, dtype: Any) -> float:
    """The violation that counts as none, for an x of this dtype."""
    return max(ctol, ROUNDING * float(np.finfo(dtype).eps))


def ranked(f: Any, violation: Any, most: float, dtype: Any) -> Any:
    """The rank of points with these values and violations, of which so much counts as none."""
    rank = np.where(violation <= most, np.minimum(f, above(dtype)), above(dtype) * (1 + np.minimum(violation, WORST)))
    return np.where(np.isfinite(f) & ~np.isnan(violation), rank, np.inf)


def rank_of(f: jax.Array, violation: jax.Array, most: Any, dtype: Any) -> jax.Array:
    """The same, (), where it is traced; for an x of this dtype."""
    unfit = above(dtype) * (1 + jnp.minimum(violation, WORST))
    rank = jnp.where(violation <= most, jnp.minimum(f, above(dtype)), unfit)
    return jnp.where(jnp.isfinite(f) & ~jnp.isnan(violation), rank, jnp.inf)


def value(rank: float, dtype: Any) -> float:
    """The value of a feasible point of this rank, NaN of any other."""
    return rank if rank < above(dtype) else np.nan
