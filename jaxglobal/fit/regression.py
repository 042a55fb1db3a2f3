"""A checked fit: its weighted residuals and their derivatives, in lanes, and what they cost."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.fit import losses, separable
from jaxglobal.fit.data import Data
from jaxglobal.fit.losses import LOSSES, SHARP, Loss
from jaxglobal.fit.units import Units
from jaxglobal.local.levenberg import ROUNDING, Seen
from jaxglobal.problem import modes
from jaxglobal.problem.closed import Structure, is_traced
from jaxglobal.problem.linear_algebra import as_it_is
from jaxglobal.problem.programs import undisturbed
from jaxglobal.problem.region import Region

LOOSE = 1e-4  # of the residuals: a bend of "lad" that is wider than this moves the fit

P = ParamSpec("P")
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Regression:
    """A checked fit.

    Attributes:
        model: model(x, parts, constants) -> (N,), parts a list of n numbers, constants as in `Data`.
        structure: the layout of the parameters.
        lower: (n,) bounds.
        upper: (n,) bounds.
        linear: the parameters in which the model is linear.
        loss: what a residual costs, by its name.
        covariance: whether `Data.w` is a matrix.
        own_x: whether each fit of many has abscissae of its own.
        own_box: whether each has bounds of its own; lower and upper are those of a box around them.
        programs: where compiled programs are kept.
        host: a model that is not JAX, called for its values and its Jacobian (`hostfit.Model`), else None.
        safe: a program of this model as it is to be traced; see `closed.Closed`.
    """

    model: Callable[[Any, Any, Any], Any]
    structure: Structure
    lower: Any
    upper: Any
    linear: tuple[int, ...]
    loss: str
    covariance: bool
    own_x: bool
    programs: dict[Any, Any]
    host: Any = None
    safe: Callable[..., Callable[..., Any]] = as_it_is
    own_box: bool = False

    @property
    def factorises(self) -> bool:
        """Whether there is linear algebra in the model."""
        return self.safe is not as_it_is

    @property
    def free(self) -> np.ndarray:
        """(n,) Which parameters may move."""
        return np.ones(self.structure.n, bool) if is_traced((self.lower, self.upper)) else self.upper > self.lower

    @property
    def searched(self) -> np.ndarray:
        """The parameters that a search starts from: free, and not linear."""
        return np.array([i for i in np.flatnonzero(self.free) if i not in self.linear], int)

    @property
    def key(self) -> tuple[Any, ...]:
        """What a compiled program depends on, beside the shapes of the data."""
        return (
            self.structure.shapes, self.structure.dtype, self.linear, self.loss, self.covariance, self.own_x,
            self.own_box,
        )  # fmt: skip

    @property
    def _loss(self) -> Loss:
        return LOSSES[self.loss]

    @property
    def power(self) -> int:
        """Of the residuals that the cost is."""
        return self._loss.power

    def whiten(self, w: Any, r: Any) -> Any:
        """Residuals, (N,) or (N, L), in units of their errors."""
        if self.covariance:
            return jnp.matmul(w, r, precision="highest")
        return (w[:, None] if w.ndim == 1 and r.ndim == 2 else w) * r

    def within(self, units: Units) -> "Regression":
        """The same fit, of parameters in these units."""
        lower, upper = self.lower / units.p, self.upper / units.p
        if np.ndim(lower) == 2:  # around the boxes of all data sets
            lower, upper = np.min(lower, axis=0), np.max(upper, axis=0)
        return dataclasses.replace(self, lower=lower, upper=upper)

    def modelled(self, units: Units | None) -> Callable[[Any, Any, Any], Any]:
        """The model in these units."""
        return self.model if units is None else units.modelled(self.model)

    def in_lanes(self, function: Callable[..., Any], data: Data, parts: list[Any]) -> Any:
        """What function(x, parts, constants, units) returns in lanes, which come last, for parameters (L,) each."""
        units = data.units
        if units is not None and units.own:
            parts = [jnp.broadcast_to(part, units.y.shape) for part in parts]
        axes = (-1 if self.own_x else None, 0, None, None if units is None else units.axes)
        return jax.vmap(function, in_axes=axes, out_axes=-1)(data.x, parts, data.constants, units)

    def values(self, data: Data, parts: list[Any]) -> Any:
        """The model in lanes, (N, L), for parameters (L,) each."""
        return self.in_lanes(lambda x, p, constants, own: self.modelled(own)(x, p, constants), data, parts)

    def residuals(self, data: Data, parts: list[Any]) -> Any:
        """What is left of the data, in units of its error, (N, L); of `Data.y`, see `whole`."""
        return self.left(data, self.values(data, parts))

    def left(self, data: Data, y: Any) -> Any:
        """The same of the model's values, (N, L)."""
        return self.whiten(data.w, y - (data.y if data.y.ndim == 2 else data.y[:, None]))

    def whole(self, data: Data, r: Any) -> Any:
        """What is left of data far away too, of which `residuals` are those of others in their place."""
        return r if data.far is None else r - _beside(data.far.by, r)

    def cost_of(self, data: Data, r: Any) -> Any:
        """The cost of `residuals`."""
        return losses.cost(self._loss, r, data.scale, None if data.far is None else _beside(data.far.by, r))

    def columns(self, data: Data, parts: list[Any], which: list[int]) -> list[Any]:
        """The derivatives of the residuals in these parameters, (N, L) each."""
        return [self.whiten(data.w, column) for column in self.slopes(data, parts, which)]

    def slopes(self, data: Data, parts: list[Any], which: list[int]) -> list[Any]:
        """Those of the model, (N, L) each."""

        def values(which: list[int]) -> Any:
            def of(*some: Any) -> Any:
                given = dict(zip(which, some, strict=True))
                return self.values(data, [given.get(i, part) for i, part in enumerate(parts)])

            return of

        def by_rows(x: Any, parts: list[Any], constants: Any, own: Any) -> list[Any]:
            J = modes.jacobian(lambda p: self.modelled(own)(x, list(p), constants))(jnp.stack(parts))
            return [J[:, i] for i in which]

        chosen = tuple(parts[i] for i in which)
        if modes.pushes(values(which), chosen, chosen):
            pairs = zip(which, chosen, strict=True)
            return [jax.jvp(values([i]), (v,), (jnp.ones_like(v),))[1] for i, v in pairs]
        return self.in_lanes(by_rows, data, parts)

    def project(self, data: Data, p: Any, region: Region) -> tuple[Any, Any, dict[int, Any]]:
        """The points with their linear parameters at their best; the cost; and the columns of these parameters.

        p: (n, L), or (n, 1) where the lanes are those of many data sets.
        """
        r = self.residuals(data, list(p))
        columns = self.columns(data, list(p), list(self.linear)) if self.linear else []
        return *self.at_best(data, p, r, columns, region), dict(zip(self.linear, columns, strict=True))

    def at_best(self, data: Data, p: Any, r: Any, columns: list[Any], region: Region) -> tuple[Any, Any]:
        """The same of `residuals` and the columns of the linear parameters, without these columns."""
        f, which = self.cost_of(data, r), np.array(self.linear, int)
        p = jnp.broadcast_to(p, (len(p), *r.shape[1:]))
        if not self.linear:
            return p, f
        A, z = jnp.stack(columns), p[which]
        weighted, rhs = A, r
        if self.loss != "linear":
            whole = self.whole(data, r)
            by_residual, by_row = losses.weigh(self._loss, whole, data.scale)
            weighted, rhs = A * by_row[None], whole * by_residual
        best = separable.best_linear(weighted, rhs, z, region.lower[which], region.upper[which], self.own_box)
        f_best = self.cost_of(data, r + jnp.sum(A * (best - z)[:, None], axis=0))
        better = f_best < jnp.where(jnp.isnan(f), jnp.inf, f)
        return p.at[which].set(jnp.where(better, best, z)), jnp.where(better, f_best, f)

    def evaluate(self, data: Data, p: Any, region: Region, project: bool = True) -> Seen:
        """The residuals and the Jacobian at the points, (n, L), or at better ones beside them where they may move."""
        p, _, columns = self.project(data, p, region) if project else (p, None, {})
        f = self.cost_of(data, self.residuals(data, list(p)))
        return Seen(p, f, *self.jacobian(data, p, columns))

    def jacobian(
        self, data: Data, p: Any, known: dict[int, Any] | None = None, least: float = losses.LEAST_CURVATURE
    ) -> tuple[Any, Any]:
        """The columns of the Jacobian, (n, N, L), and the residuals, (N, L), as the loss weighs them.

        known: columns that have been computed. least: of steps; 0 for the errors of a fit, as in `weigh`.
        """
        parts, known = list(p), known or {}
        r = self.residuals(data, parts)
        rest = [i for i in range(len(parts)) if i not in known]
        columns = known | dict(zip(rest, self.columns(data, parts, rest), strict=True))
        return self.weighted(data, jnp.stack([columns[i] for i in range(len(parts))]), r, least)

    def weighted(self, data: Data, J: Any, r: Any, least: float = losses.LEAST_CURVATURE) -> tuple[Any, Any]:
        """The same of the derivatives of the residuals, (n, N, L), and of `residuals`, (N, L)."""
        r = self.whole(data, r)
        if self.loss == "linear":
            return J, r
        by_residual, by_row = losses.weigh(self._loss, r, data.scale, least)
        return J * by_row[None], r * by_residual

    def cost(self, p: Any, data: Data) -> Any:
        """The cost of one fit, p (n,)."""
        return self.cost_of(data, self._left(p, data))

    def cost_near(self, p: Any, data: Data) -> Any:
        """The cost of one fit, p (n,), with the bend that `sharper` leaves there; for derivatives at a fit."""
        if self.loss == "lad":
            data = self.sharper(data, jax.lax.stop_gradient(self.whole(data, self._left(p, data))))
        return self.cost(p, data)

    def _left(self, p: Any, data: Data) -> Any:
        """What is left of the data, in units of its error, (N,), by one fit, p (n,)."""
        return self.whiten(data.w, self.modelled(data.units)(data.x, list(p), data.constants) - data.y)

    def sharper(self, data: Data, r: Any) -> Data:
        """The data with a narrower bend of "lad" where the residuals r, (N,), of a fit are small beside it.

        A bend that is narrower than what rounding leaves of the residuals serves nothing.
        """
        eps, size = jnp.finfo(self.structure.dtype).eps, jnp.median(jnp.abs(r))
        y = jnp.abs(self.whiten(data.w, data.y))
        width = jnp.maximum(SHARP * size, ROUNDING * eps * jnp.median(y) + eps**2 * jnp.max(y))
        narrower = jnp.minimum(data.scale, width.astype(data.scale.dtype))
        return data._replace(scale=jnp.where(data.scale > LOOSE * size, narrower, data.scale))

    def floor(self, data: Data) -> Any:
        """Costs that differ by less differ by rounding errors: () or (L,)."""
        eps = jnp.finfo(self.structure.dtype).eps
        return losses.cost(self._loss, ROUNDING * eps * self.whiten(data.w, data.y), data.scale)

    def exact(self, data: Data) -> Any:
        """A cost at or below this is that of rounding errors: () or (L,)."""
        return self.floor(data) - (0 if data.far is None else data.far.cost)


def broadcasts(function: Callable[P, T]) -> Callable[P, T]:
    """The function, where a user forbids implicit rank promotion, a NaN or programs too.

    Lanes come last, and what has none broadcasts; a trial at which the model is NaN is no error.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.numpy_rank_promotion("allow"), undisturbed():
            return function(*args, **kwargs)

    return call


def _beside(by: Any, r: Any) -> Any:
    """The same for all lanes, where these share it."""
    return by[:, None] if by.ndim == 1 and r.ndim == 2 else by


def left(regression: Regression, data: Data, y: Any) -> Any:
    """What a model, (N,), leaves of the data, in units of its errors."""
    return regression.whole(data, regression.whiten(data.w, y - data.y))


def weigh(regression: Regression, data: Data, y: Any, J: Any) -> tuple[Any, Any]:
    """The residuals, (N,), and the Jacobian, (N, n), in units of the errors and as the loss weighs them."""
    r = left(regression, data, y)
    J = data.w @ J if regression.covariance else (data.w[:, None] if data.w.ndim else data.w) * J
    if regression.loss == "linear":
        return r, J
    by_residual, by_row = losses.weigh(LOSSES[regression.loss], r, data.scale, 0.0)
    return by_residual * r, by_row[:, None] * J
