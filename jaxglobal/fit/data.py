"""The data of a fit: in the user's units, and as they are searched."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.fit import losses, outlying, units
from jaxglobal.fit.arguments import xp_of
from jaxglobal.fit.losses import LOSSES, SHARP, Loss
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.units import MARGIN, Units, cast
from jaxglobal.local.levenberg import ROUNDING
from jaxglobal.problem.closed import is_traced


class Data(NamedTuple):
    """What is fitted."""

    x: Any
    """The abscissae: whatever the model takes."""
    y: Any
    """(N,) The ordinates; (N, L) in lanes."""
    w: Any
    """() or (N,) or (N, L) by which a residual is multiplied; (N, N) the inverse factor of a covariance matrix."""
    scale: Any
    """() The residual, in units of its error, from which on a robust loss bends; below which "lad" does."""
    constants: Any = ()
    """The arrays that the model closes over."""
    units: Units | None = None
    """Those of y, w, scale, and of the parameters; None for the user's own."""
    far: Far | None = None
    """Of the data far from all others, in the place of which others are in y; None where there are none."""

    @property
    def of_model(self) -> "Data":
        """What the model's values are computed from."""
        return self._replace(y=None, w=None, scale=None, far=None)

    @property
    def of_cost(self) -> "Data":
        """What a cost is computed from, beside these."""
        return self._replace(x=None, constants=(), units=None)

    def within(self, units: Units, loss: str, matrix: bool, dtype: np.dtype) -> "Data":
        """The same data in these units, as they are searched."""
        near, by = self.y, None
        if loss != "linear":
            near, by = outlying.split(self.y, self.w, matrix, dtype)
        y, w, scale = units.given(near, self.w, self.scale, dtype)
        data = self._replace(y=y, w=w, scale=scale, units=units)
        if by is None:
            return data
        whole, _, _ = units.given(self.y, self.w, self.scale, dtype)
        by = by / np.reshape(units.r, (-1, 1) if units.own else ())
        most = scale[..., None] * 2.0 ** (np.finfo(dtype).maxexp // 2 - MARGIN)  # (by / scale)^2 is a number
        with np.errstate(over="ignore"):
            left = cast(far_cost(by, LOSSES[loss], scale), dtype)
        return data._replace(far=Far(cast(np.clip(by, -most, most), dtype), left, whole))

    def nearer(self, by: np.ndarray, loss: str) -> "Data":
        """The same data, of which only these are far: `Far.by`."""
        far: Any = self.far
        left = np.where(
            np.all(by == far.by, axis=-1), far.cost, far_cost(by, LOSSES[loss], self.scale).astype(by.dtype)
        )
        return self._replace(y=np.where(by == 0, far.y, self.y), far=far._replace(by=by, cost=left))

    def cost(self, f: Any, which: Any = slice(None)) -> Any:
        """A cost in the user's units; which: those data sets of many."""
        units: Any = self.units
        if self.far is None:
            return units.cost(f, which)
        left = np.asarray(self.far.cost, float)
        return units.cost(np.asarray(f, float) + (left[which] if left.ndim else left), which)


def read_data(
    x: Any, y: Any, w: Any, f_scale: Any, loss: str, matrix: bool, lower: Any, upper: Any, dtype: np.dtype
) -> tuple[Data, Data]:  # fmt: skip
    """The data in the user's units, and as they are searched. f_scale: not of "lad"."""
    near = y if loss == "linear" else outlying.split(y, w, matrix, dtype)[0]
    scale = bend(w @ near if matrix else w * near, dtype) if loss == "lad" else f_scale
    own = units.choose(lower, upper, near, w, dtype, loss != "lad")
    return Data(x, y, *(cast(a, dtype) for a in (w, scale))), Data(x, y, w, scale).within(own, loss, matrix, dtype)


def bend(y: Any, dtype: np.dtype) -> Any:
    """() How wide the bend of "lad" is for data in units of their errors, (N,), whatever a few outliers are.

    In units of the median distance from the median; where most agree, of that of the others.
    """
    xp, eps = xp_of(y), np.finfo(dtype).eps
    y = jax.lax.stop_gradient(y) if is_traced(y) else np.asarray(y, float)
    middle, top = xp.median(y), xp.max(xp.abs(y))
    away = xp.abs(y - middle)
    apart = away > ROUNDING * eps * (xp.abs(y) + xp.abs(middle))
    size = xp.sort(xp.where(apart, away, xp.inf))[xp.maximum(xp.sum(apart) - 1, 0) // 2]
    size = xp.where(xp.isfinite(size), size, xp.where(top > 0, top, 1))
    return xp.maximum(SHARP * size, eps**2 * top)  # its inverse square is a number


def far_cost(by: np.ndarray, loss: Loss, scale: Any) -> np.ndarray:
    """What data that lie farther by so much, (N,) or (P, N), cost at the edge: () or (P,) in float64."""
    with jax.enable_x64(True):
        scale = np.asarray(scale, float)
        return np.asarray(jnp.sum(losses.cost(loss, by[None].astype(float), scale[..., None]), axis=-1))
