"""A function of the parameters that is held: what it is at points, and the scale on which its profile is found.

No box can hold it: it is drawn to a number by a penalty instead (fit_points.py, function_points.py). A function that
ranges over many orders of magnitude in the box, as a prediction far ahead does, is held and drawn on the scale
log(1 + |g| / s) with the sign of g, which is nearly straight below s, so that numbers and slopes stay moderate
everywhere. A confidence set is the same on any such scale.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.problem.closed import Structure
from jaxglobal.starts.designs import Sobol

SAMPLE = 1024  # points by which the range of a function is seen
WIDER = 0.1  # of the range that was seen: how far beyond it is looked
STRAIGHT = 1e4  # standard errors that a range has at most to be held as it is
SMALL = 0.05  # of the sizes of a function of one sign are below that from which on its scale is logarithmic


class Held:
    """A function g of the parameters, as `entry.profile` is given it.

    Attributes:
        error: the standard error at the best point, on its scale; a part of the range where there is none.
    """

    def __init__(
        self, g: Callable[..., Any], structure: Structure, box: tuple[np.ndarray, np.ndarray], best: np.ndarray,
        covariance: np.ndarray, args: tuple[Any, ...] = (),
    ):  # fmt: skip
        """best: (n,) the best point. covariance: (n, n) of the parameters there."""
        self._g, self._structure, self._args, self._s = g, structure, args, None
        shape = jax.eval_shape(self._number, jax.ShapeDtypeStruct((structure.n,), structure.dtype)).shape
        if np.prod(shape) != 1:
            raise ValueError(f"`of` must return one number; got the shape {shape}.")
        unit = Sobol(SAMPLE).points(1, 0, SAMPLE, structure.n)
        at_best, seen = self.of(best[None])[0], self.of(box[0] + (box[1] - box[0]) * unit)
        seen = np.append(seen[np.isfinite(seen)], at_best)
        if not np.isfinite(at_best):
            raise ValueError(f"`of` must be finite at the best point; got {at_best} at {structure.unflatten(best)}.")
        if not np.ptp(seen) > 0:
            raise ValueError(f"`of` must depend on the parameters; it is {at_best:.8g} all over the box.")
        error = float(self._spread(best[None], covariance[None])[0])
        sure = 0 < error < np.inf
        if not sure or np.ptp(seen) > STRAIGHT * error:
            self._s = scale(seen, error if sure else np.inf, structure.dtype)
        seen = self._on_scale(seen)
        self.error = error / float(self._slope(at_best)) if sure else float(np.ptp(seen)) / 8
        more = WIDER * np.ptp(seen)
        self.low, self.high = float(np.min(seen) - more), float(np.max(seen) + more)

    def __call__(self, p: Any) -> Any:
        """What is held, of flat parameters, (n,) -> (), in a traced program."""
        g = jnp.reshape(self._number(p), ())
        return g if self._s is None else bent(jnp, g, self._s)

    def of(self, x: np.ndarray) -> np.ndarray:
        """(P,) The function at points, (P, n)."""
        number = jax.vmap(lambda p: jnp.reshape(self._number(p), ()))
        return np.asarray(number(jnp.asarray(x, self._structure.dtype)), float)

    def values(self, x: np.ndarray) -> np.ndarray:
        """(P,) What is held at points, (P, n)."""
        return self._on_scale(self.of(x))

    def back(self, v: np.ndarray) -> np.ndarray:
        """The function where this is what is held."""
        return v if self._s is None else straightened(np.asarray(v, float), self._s)

    def errors(self, x: np.ndarray, pcov: np.ndarray) -> np.ndarray:
        """(P, 1) The standard errors of what is held at points with these covariances; infinite where these are."""
        return (self._spread(x, pcov) / self._slope(self.of(x)))[:, None]

    def per_unit(self, v: float) -> float:
        """How far the function moves where what is held moves by one, from v on."""
        return float(self._slope(self.back(np.asarray(v))))

    def _number(self, p: Any) -> Any:
        return jnp.asarray(self._g(self._structure.unflatten(p), *self._args), self._structure.dtype)

    def _on_scale(self, g: np.ndarray) -> np.ndarray:
        return g if self._s is None else bent(np, g, self._s)

    def _slope(self, g: Any) -> Any:
        return np.ones(np.shape(g)) if self._s is None else np.abs(g) + self._s

    def _spread(self, x: np.ndarray, pcov: np.ndarray) -> np.ndarray:
        number = jax.vmap(jax.grad(lambda p: jnp.reshape(self._number(p), ())))
        slope = np.asarray(number(jnp.asarray(x, self._structure.dtype)), float)
        with np.errstate(invalid="ignore", over="ignore"):
            error = np.sqrt(np.einsum("pi,pij,pj->p", slope, pcov, slope))
        return np.where(np.isnan(error), np.inf, error)


def bent(xp: Any, g: Any, s: float) -> Any:
    """A number on the module's scale, without an overflow; xp: the module of its arrays."""

    def above(u: Any) -> Any:
        return xp.log1p(xp.minimum(u, s) / s) + xp.log(xp.maximum(u, s) + s) - xp.log(2 * s)

    return above(xp.maximum(g, 0.0)) - above(xp.maximum(-g, 0.0))


def straightened(v: np.ndarray, s: float) -> np.ndarray:
    """What is so much on the module's scale."""
    size = np.abs(v)
    return np.sign(v) * np.where(size < 1, s * np.expm1(np.minimum(size, 1)), np.exp(size + np.log(s)) - s)


def scale(seen: np.ndarray, error: float, dtype: np.dtype) -> float:
    """The s of the module's scale: one error, and less where a function keeps its sign, which may be small in a set."""
    size = np.abs(seen[seen != 0])
    error = error if np.isfinite(error) else float(np.median(size))
    if np.all(seen >= 0) or np.all(seen <= 0):
        error = min(error, float(np.quantile(size, SMALL)))
    return max(error, float(np.finfo(dtype).tiny))
