"""Searches that are about to end in a known minimum end there, and count for it.

A quasi-Newton search near a minimum steps to where its model has its own. If that is a known minimum, and if the
decrease that the model promises is the one that is left to that minimum's value, then the search is in its basin, and
what is left of it would show nothing new.
Both tests are relative to the step, so that a known minimum stops no search of a finer structure beside it.

The few known minima that can matter to a lane are found by a table of cells, so that their number costs nothing; one
that lies in the next cell is overlooked, and its search goes on as it would have.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.local.descent import highest
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

MOST = 64  # known minima
CELLS = 64  # a side of the box
SLOTS = 10  # bits of the table's size
MIX = np.uint32(0x9E3779B1)  # 2^32 / golden ratio: Knuth, The Art of Computer Programming 3, 6.4
CLOSE = 0.1  # of a step: so near its end is the minimum
AGREE = 0.1  # of the decrease that is left: so well the model predicts it
UPDATES = 2  # of the curvature, before a model is trusted


class Known(NamedTuple):
    """Known minima, in the user's coordinates; the last one stands for none."""

    x: Any
    """(n, MOST + 1)"""
    f: Any
    """(MOST + 1,)"""
    table: Any
    """(2^SLOTS,) The minimum in each cell."""
    origin: Any
    """(n,) A corner of the cells."""


def none(n: int, dtype: np.dtype) -> Known:
    """No minimum is known."""
    inf = np.asarray(np.inf, dtype)
    return Known(
        np.full((n, MOST + 1), inf), np.full(MOST + 1, inf), np.full(2**SLOTS, MOST, np.int32), np.zeros(n, dtype)
    )


def known(x: np.ndarray, f: np.ndarray, lower: np.ndarray, width: np.ndarray) -> Known:
    """The best of these minima, (k, n) and (k,), best first."""
    x, f = x[:MOST].astype(lower.dtype), f[:MOST].astype(lower.dtype)
    empty = none(len(lower), lower.dtype)._replace(origin=lower)
    empty.x[:, : len(f)], empty.f[: len(f)] = x.T, f
    with np.errstate(over="ignore"):
        slots = slot(x.T, lower[:, None], per(width)[:, None], np)
    empty.table[slots[0, ::-1]] = np.arange(len(f))[::-1]  # the best of a cell
    return empty


def per(width: Any, xp: Any = np) -> Any:
    """1 / width, 0 for a fixed variable."""
    return xp.where(width > 0, 1 / xp.where(width > 0, width, 1), 0)


def slot(x: Any, origin: Any, per_width: Any, xp: Any) -> Any:
    """(1, L) Where the table keeps the cell of each point, (n, L)."""
    cell = xp.clip(xp.floor((x - origin) * per_width * CELLS), -(2.0**20), 2.0**20).astype(np.int32).astype(np.uint32)
    multipliers = (np.arange(1, len(x) + 1, dtype=np.uint32) * MIX) | np.uint32(1)
    mixed = xp.sum(cell * multipliers[:, None], axis=0, keepdims=True, dtype=np.uint32) * MIX
    return mixed >> np.uint32(32 - SLOTS)


def settle(lane: Any, known: Known, region: Region) -> Any:
    """The lanes of a quasi-Newton search, those ended of which the model's minimum is a known one."""
    per_width = per(region.width, jnp)
    k = jnp.asarray(known.table)[slot(lane.trial, jnp.asarray(known.origin)[:, None], per_width, jnp)[0]]
    x, f = jnp.asarray(known.x)[:, k], jnp.asarray(known.f)[k][None]
    step, off = (highest(jnp.abs(lane.trial - other) * per_width) for other in (lane.x, x))
    predicted = lane.f + lane.slope / 2
    unit_step = (lane.bracket.trials == 0) & (lane.updates >= UPDATES)
    ends = (
        (lane.status == LocalStatus.RUNNING)
        & unit_step
        & (off <= CLOSE * step)
        & (jnp.abs(predicted - f) <= AGREE * (lane.f - f))
        & (lane.best_f >= f)
    )
    return lane._replace(
        status=jnp.where(ends, LocalStatus.KNOWN, lane.status),
        best_x=jnp.where(ends, x, lane.best_x),
        best_f=jnp.where(ends, f, lane.best_f),
    )


def shapes(n: int, dtype: np.dtype, like: Any) -> Known:
    """Shapes and dtypes for the compiler. like: makes one of them."""
    return jax.tree.map(lambda leaf: like(leaf.shape, leaf.dtype), none(n, dtype))
