"""The units in which a fit is searched, so that its numbers are near one whatever those of the user are.

Squares of data of 1e-20 vanish in float32, and so do all decisions that are made by them. Units are powers of two:
numbers that are multiplied by them keep all their digits, and the search takes the steps that it would take without.
"""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.problem.closed import is_traced

STRAIGHT = 2.0**30  # a loss that bends from so much of the data on counts squares, and its squares must not vanish
RANKS = 1, 0, 0, 0  # axes of units that data sets share
RANGE = 1 / 4  # of the powers of two that numbers have: so far from their unit they still have squares
MARGIN = 6  # powers of two that a unit keeps from the ends of the range

BEYOND = (
    "float64 has no numbers for the squares of data of this size: variances are NaN, and costs infinite or zero; give "
    "`ydata`, and the parameters, in other units"
)


class Units(NamedTuple):
    """One of what is searched, in the user's units."""

    p: Any
    """(n,) The parameters."""
    y: Any
    """() The data."""
    r: Any
    """() The residuals, in units of their errors."""
    c: Any
    """() The costs, in units of r: r of squares, one of absolute values."""

    def modelled(self, model: Callable[..., Any]) -> Callable[..., Any]:
        """model(x, parts, ...), where parameters and values are in these units."""

        def call(x, parts, *rest):
            return model(x, [part * self.p[i] for i, part in enumerate(parts)], *rest) * (1 / self.y)

        return call

    @property
    def told(self) -> bool:
        """Whether float64 has the costs of one fit in the user's units, with all their digits."""
        least = np.finfo(float).tiny / np.finfo(float).eps
        with np.errstate(over="ignore", under="ignore"):
            return bool(least <= np.asarray(self.r, float) * np.asarray(self.c, float) < np.inf)

    @property
    def own(self) -> bool:
        """Whether each data set of many has units of its own: y and r are (P,), and p is (n,) or (P, n)."""
        return np.ndim(self.y) == 1

    def covariance(self, pcov: Any) -> Any:
        """Covariances, (n, n) or (P, n, n), in the user's units; see `in_range`. Between parameters they may vanish."""
        p = self.p if is_traced(self.p) else np.asarray(self.p, float)
        return in_range(pcov, p[..., :, None], p[..., None, :], ~np.eye(p.shape[-1], dtype=bool))

    def of(self, which: Any) -> "Units":
        """Those of these data sets of many."""
        return Units(*(unit[which] if np.ndim(unit) > rank else unit for unit, rank in zip(self, RANKS, strict=True)))

    @property
    def axes(self) -> Any:
        """The axes of lanes, which come last, for `jax.vmap`."""
        return Units(*(rank if np.ndim(unit) > rank else None for unit, rank in zip(self, RANKS, strict=True)))

    def given(self, y: Any, w: Any, scale: Any, dtype: np.dtype) -> tuple[Any, Any, Any]:
        """The data, their weights and the bend of the loss in these units."""
        xp: Any = jnp if is_traced(scale / self.r) else np
        scale = xp.minimum(scale / self.r, STRAIGHT)
        if self.own:  # those of weights that data sets share are the same
            ratio = (self.y / self.r)[:, None] if np.ndim(w) == 2 else (self.y / self.r)[0]
            return tuple(cast(a, dtype) for a in (y * (1 / self.y)[:, None], w * ratio, scale))
        return tuple(cast(a, dtype) for a in (y * (1 / self.y), w * (self.y / self.r), scale))

    def cost(self, f: Any, which: Any = slice(None)) -> Any:
        """A cost, or its slope, in the user's units, in float64 unless it is traced; which: those data sets of many."""
        if is_traced((f, self.r)):
            return f * self.r * self.c
        r, c = (unit[which] if unit.ndim else float(unit) for unit in (np.asarray(u, float) for u in (self.r, self.c)))
        with np.errstate(over="ignore"):  # the squares of data beyond 1e154
            return np.asarray(f, float) * r * c

    def seen(self, y: Any, J: Any) -> tuple[Any, Any]:
        """Values, (N,), and their derivatives, (N, n), in the user's units, the latter in float64 unless traced."""
        if is_traced((y, J, *self)):
            return y * self.y, J * (self.y / self.p)
        return y * self.y, np.asarray(J, float) * (float(self.y) / np.asarray(self.p, float))


def in_range(squares: Any, first: Any, second: Any, may_vanish: Any = False) -> Any:
    """Squares times both units, in float64 unless traced; NaN, and a warning, where float64 has no such number.

    may_vanish: where one that is too small is zero, or has fewer digits.
    """
    if is_traced((squares, first, second)):
        return squares * first * second
    with np.errstate(over="ignore", under="ignore"):
        told = np.asarray(squares, float) * first * second
    small = (np.abs(told) < np.finfo(float).tiny) & (np.asarray(squares) != 0) & ~np.asarray(may_vanish)
    beyond = np.isfinite(squares) & (np.isinf(told) | small)
    if np.any(beyond):
        warnings.warn(BEYOND, stacklevel=2)
    return np.where(beyond, np.nan, told)


def choose(lower: Any, upper: Any, y: Any, w: Any, dtype: np.dtype, squares: bool = True) -> Units:
    """Those of parameters in a box, (n,) each, and of data y, (N,) or (P, N), with weights w, as in `Data`.

    squares: whether a cost is one of squares, as all but that of "lad" are.
    Of many data sets they fit the middle one, so that a single wild one does not take the digits of the others.
    """
    p = power(jnp.maximum(abs(lower), abs(upper)) if is_traced((lower, upper)) else np.maximum(-lower, upper), dtype)
    weighted = w @ y if np.ndim(w) == 2 and np.ndim(y) == 1 else w * y
    r = power(middle(weighted), dtype)
    return Units(p, power(middle(y), dtype), r, r if squares else np.ones((), dtype))


def choose_each(shared: Units, boxes: Any, y: np.ndarray, w: np.ndarray, dtype: np.dtype) -> Units:
    """Those of each of many data sets, y (P, N), where shared ones are so far from theirs that squares have no range.

    boxes: (P, 2, n), None where they share one. w: () or (N,) shared weights, (P, N) their own.
    """
    sizes = np.max(np.abs(np.asarray(y, float)), axis=1)
    of_y = np.where(sizes > 0, power(sizes, dtype), shared.y).astype(dtype)
    of_p = shared.p if boxes is None else power(np.max(np.abs(np.asarray(boxes, float)), axis=1), dtype)
    apart = [np.abs(np.log2(np.asarray(a, float) / b)) for a, b in ((of_y, shared.y), (of_p, shared.p))]
    if max(np.max(part, initial=0) for part in apart) <= -np.finfo(dtype).minexp * RANGE:
        return shared
    weighted = np.max(np.abs(w * np.asarray(y, float)), axis=1) if w.ndim == 2 else np.zeros(len(y))
    of_r = np.where(weighted > 0, power(weighted, dtype), of_y * (shared.r / shared.y)).astype(dtype)
    return Units(of_p, of_y, of_r, of_r)


def middle(y: Any) -> Any:
    """() The largest magnitude of the data, (N,); of many sets, (P, N), the median of those that are not zero."""
    if is_traced(y):
        return jnp.max(jnp.abs(y))
    sizes = np.max(np.abs(np.asarray(y, float)), axis=-1)
    return np.median(sizes[sizes > 0]) if np.any(sizes > 0) else np.zeros(())


def power(size: Any, dtype: np.dtype) -> Any:
    """The power of two next below; one where there is no size. A constant, where derivatives are taken."""
    xp: Any = jnp if is_traced(size) else np
    size = jax.lax.stop_gradient(size) if is_traced(size) else np.asarray(size, float)
    good = (size > 0) & xp.isfinite(size)
    _, exponent = xp.frexp(xp.where(good, size, 1))
    most = -int(np.finfo(dtype).minexp) - MARGIN
    return xp.ldexp(xp.ones(xp.shape(size), dtype), xp.where(good, xp.clip(exponent - 1, -most, most), 0))


def cast(a: Any, dtype: np.dtype) -> Any:
    """The numbers in the precision of the search."""
    return a.astype(dtype) if is_traced(a) else np.asarray(a, dtype)
