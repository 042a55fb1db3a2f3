"""Data that lie far from all others, under a loss that grows slowly: their costs are counted from nearer by.

A datum of 1e9 among data of one costs 1e9 by absolute deviations. In float32 a sum with it has no digit of what the
others cost, nor its residual one of the model. So the residual of such a datum is kept as d - by: d that of a datum on
the edge of the others, which takes its place, and by how much farther it lies. Its cost is counted from that of d = 0,
and this difference has all its digits (losses.py). Without such data nothing is different.

Where the best fit goes through such data, as the peak of a spectrum without background may lie, its cost is below that
of d = 0, which is zero: then these are none that are far, and the search begins again. Of traced data none are.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.problem.closed import is_traced

EDGE = -1 / 3  # power of eps: a datum is far that is so many times as large as the middle one


class Far(NamedTuple):
    """What the data in the place of those far away leave out, in the units of the search."""

    by: Any
    """(N,) By how much farther they lie, whitened; (P, N) of many data sets, (N, L) in lanes. Zero for the others."""
    cost: Any
    """() The costs that those of a fit are counted from; (P,)."""
    y: Any
    """(N,) The data as they are, those far away too; (P, N), (N, L)."""


def split(y: Any, w: Any, matrix: bool, dtype: np.dtype) -> tuple[Any, Any]:
    """The data, (N,) or (P, N), with those far away on the edge of the others, and by how much, whitened; None: none.

    w, matrix: the weights, see `Data`, and whether they are a matrix.
    """
    if is_traced((y, w)):
        return y, None
    y64, w64 = np.asarray(y, float), np.asarray(w, float)
    whitened = w64 @ y64 if matrix else w64 * y64
    sizes = np.where(whitened != 0, np.abs(whitened), np.nan)
    some = np.any(whitened != 0, axis=-1, keepdims=True)
    middle = np.nanmedian(np.where(some, sizes, 1), axis=-1, keepdims=True)
    edge = float(np.finfo(dtype).eps) ** EDGE * middle
    on_edge = np.clip(whitened, -edge, edge)
    by = whitened - on_edge
    if not np.any(by):
        return y, None
    if matrix:
        import scipy.linalg  # takes a while

        return (y64 - scipy.linalg.solve_triangular(w64, by, lower=True)).astype(y.dtype), by
    return np.where(by != 0, on_edge / np.where(w64 > 0, w64, 1), y64).astype(y.dtype), by


def nearer(by: np.ndarray, left: np.ndarray) -> np.ndarray:
    """`Far.by` without the data beyond the edge to which a fit comes, of which these residuals are left."""
    return np.where(by * left > 0, 0, by).astype(by.dtype)
