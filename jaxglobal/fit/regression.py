"""A model and its data, checked, and turned into weighted residuals and their derivatives in lanes.

Everything that can be wrong with the arguments of a fit is found here, before anything compiles.
"""

import dataclasses
import functools
import hashlib
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from jaxglobal.fit import losses, outlying, quotients, separable, units
from jaxglobal.fit.losses import LOSSES, SHARP, Loss
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.units import MARGIN, Units, cast
from jaxglobal.local.levenberg import ROUNDING, Seen
from jaxglobal.nearest import hint
from jaxglobal.problem import canonical, keys, modes, objective, programs
from jaxglobal.problem.bounds import Box, read_bounds
from jaxglobal.problem.closed import NOT_JAX, Structure, check_precision, is_traced, read_constants, x64
from jaxglobal.problem.linear_algebra import as_it_is, one_at_a_time, own
from jaxglobal.problem.region import Region
from jaxglobal.problem.sequential import factorises

LOOSE = 1e-4  # of the residuals: a bend of "lad" that is wider than this moves the fit
SYMMETRIC = 1e-4  # correlations that differ by less, as by rounding in float32, are the same

P = ParamSpec("P")
T = TypeVar("T")


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
        look: a model that is not JAX, called for its values and its Jacobian (`hostfit.Model`), else None.
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
    look: Any = None
    safe: Callable[[Callable[..., Any], str], Callable[..., Any]] = as_it_is
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
        return self.whiten(data.w, self.values(data, parts) - (data.y if data.y.ndim == 2 else data.y[:, None]))

    def whole(self, data: Data, r: Any) -> Any:
        """What is left of data far away too, of which `residuals` are those of others in their place."""
        return r if data.far is None else r - _beside(data.far.by, r)

    def _cost(self, data: Data, r: Any) -> Any:
        """The cost of `residuals`."""
        return losses.cost(self._loss, r, data.scale, None if data.far is None else _beside(data.far.by, r))

    def columns(self, data: Data, parts: list[Any], which: list[int]) -> list[Any]:
        """The derivatives of the residuals in these parameters, (N, L) each."""

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
            return [
                self.whiten(data.w, jax.jvp(values([i]), (v,), (jnp.ones_like(v),))[1])
                for i, v in zip(which, chosen, strict=True)
            ]
        return [self.whiten(data.w, column) for column in self.in_lanes(by_rows, data, parts)]

    def project(self, data: Data, p: Any, region: Region) -> tuple[Any, Any, dict[int, Any]]:
        """The points with their linear parameters at their best; the cost; and the columns of these parameters.

        p: (n, L), or (n, 1) where the lanes are those of many data sets.
        """
        parts, which = list(p), np.array(self.linear, int)
        r = self.residuals(data, parts)
        f = self._cost(data, r)
        p = jnp.broadcast_to(p, (len(p), *r.shape[1:]))
        if not self.linear:
            return p, f, {}
        columns = dict(zip(self.linear, self.columns(data, parts, list(self.linear)), strict=True))
        A, z = jnp.stack(list(columns.values())), p[which]
        weighted, rhs = A, r
        if self.loss != "linear":
            whole = self.whole(data, r)
            by_residual, by_row = losses.weigh(self._loss, whole, data.scale)
            weighted, rhs = A * by_row[None], whole * by_residual
        best = separable.best_linear(weighted, rhs, z, region.lower[which], region.upper[which], self.own_box)
        f_best = self._cost(data, r + jnp.sum(A * (best - z)[:, None], axis=0))
        better = f_best < jnp.where(jnp.isnan(f), jnp.inf, f)
        return p.at[which].set(jnp.where(better, best, z)), jnp.where(better, f_best, f), columns

    def evaluate(self, data: Data, p: Any, region: Region, project: bool = True) -> Seen:
        """The residuals and the Jacobian at the points, (n, L), or at better ones beside them where they may move."""
        p, _, columns = self.project(data, p, region) if project else (p, None, {})
        f = self._cost(data, self.residuals(data, list(p)))
        return Seen(p, f, *self.jacobian(data, p, columns))

    def jacobian(
        self, data: Data, p: Any, known: dict[int, Any] | None = None, least: float = losses.LEAST_CURVATURE
    ) -> tuple[Any, Any]:
        """The columns of the Jacobian, (n, N, L), and the residuals, (N, L), as the loss weighs them.

        known: columns that have been computed. least: of steps; 0 for the errors of a fit, as in `weigh`.
        """
        parts, known = list(p), known or {}
        r = self.whole(data, self.residuals(data, parts))
        rest = [i for i in range(len(parts)) if i not in known]
        columns = known | dict(zip(rest, self.columns(data, parts, rest), strict=True))
        J = jnp.stack([columns[i] for i in range(len(parts))])
        if self.loss == "linear":
            return J, r
        by_residual, by_row = losses.weigh(self._loss, r, data.scale, least)
        return J * by_row[None], r * by_residual

    def cost(self, p: Any, data: Data) -> Any:
        """The cost of one fit, p (n,)."""
        return self._cost(data, self._left(p, data))

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
    """The function, where a user forbids implicit rank promotion or a NaN too.

    Lanes come last, and what has none broadcasts; a trial at which the model is NaN is no error.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with jax.numpy_rank_promotion("allow"), jax.debug_nans(False):
            return function(*args, **kwargs)

    return call


def far_cost(by: np.ndarray, loss: Loss, scale: Any) -> np.ndarray:
    """What data that lie farther by so much, (N,) or (P, N), cost at the edge: () or (P,) in float64."""
    with jax.enable_x64(True):
        scale = np.asarray(scale, float)
        return np.asarray(jnp.sum(losses.cost(loss, by[None].astype(float), scale[..., None]), axis=-1))


def _beside(by: Any, r: Any) -> Any:
    """The same for all lanes, where these share it."""
    return by[:, None] if by.ndim == 1 and r.ndim == 2 else by


def check_loss(loss: Any, f_scale: Any) -> None:
    """Raises unless these say what a residual costs."""
    if not isinstance(loss, str) or loss not in LOSSES:
        valid = ", ".join(map(repr, LOSSES))
        raise ValueError(f"`loss` must be one of {valid}; got {loss!r}{hint(loss, LOSSES) or '.'}")
    if isinstance(f_scale, bool) or not isinstance(f_scale, int | float | np.number) or not 0 < f_scale < math.inf:
        raise ValueError(f"`f_scale` must be a positive number; got {f_scale!r}.")


def read_parameters(bounds: Any, p0: Any) -> tuple[Structure, Any, Any, bool]:
    """The layout of the parameters, the bounds, and whether the model takes them one by one."""
    structure, lower, upper = read_bounds(bounds, p0, traceable=True)
    return structure, lower, upper, not isinstance(bounds, Box)


def read_guesses(p0: Any, structure: Structure, lower: Any, upper: Any) -> Any:
    """The user's own guesses, (K, n)."""
    try:
        return objective.read_starts(p0, structure, lower, upper, np.zeros((2, structure.n), bool), True)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`x0`", "`p0`")) from None


def names_of(model: Any, structure: Structure, one_by_one: bool) -> list[str]:
    """What the parameters are called: as the model's arguments, or by their paths in the pytree."""
    if not one_by_one:
        filled = jax.tree.unflatten(structure.treedef, [np.empty(shape) for shape in structure.shapes])
        names = []
        for path, leaf in jax.tree_util.tree_flatten_with_path(filled)[0]:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            inside = [f"[{','.join(map(str, i))}]" for i in np.ndindex(leaf.shape)] if leaf.ndim else [""]
            names += [f"{name or 'p'}{i}" for i in inside]
        return names
    try:
        arguments = list(inspect.signature(model).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have none
        arguments = []
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [argument.name for argument in arguments if argument.kind in kinds][1 : 1 + structure.n]
    return names + [f"p{i}" for i in range(len(names), structure.n)]


def as_called(model: Any, structure: Structure, one_by_one: bool) -> Callable[[Any, Any], Any]:
    """The user's model as model(x, parts) -> (N,), for any x."""
    if not callable(model):
        raise TypeError(f"`model` must be a function model(x, *parameters); got {type(model).__name__}.")

    def call(x, parts):
        out = model(x, *parts) if one_by_one else model(x, structure.unflatten(jnp.stack(parts)))
        return jnp.ravel(jnp.asarray(out))

    return call


class Model(NamedTuple):
    """A model as it is now.

    Attributes:
        call: call(x, parts, constants) -> (N,).
        constants: the arrays that the user's model closes over.
        programs: where programs of this model are kept.
        safe: see `Regression`.
        text: text() is its jaxpr in words.
    """

    call: Callable[[Any, Any, Any], Any]
    constants: list[Any]
    programs: dict[Any, Any]
    safe: Callable[..., Any]
    text: Callable[[], str]


def read_model(model: Any, structure: Structure, one_by_one: bool, x: Any, N: int, own_x: bool = False) -> Model:
    """The user's model, traced; own_x: x has a last axis of many fits.

    Raises:
        TypeError: it does not take these parameters.
        ValueError: it does not return as many numbers as there are data.
    """
    n = structure.n
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[:-1] if own_x else leaf.shape, leaf.dtype), x)
    number = jax.ShapeDtypeStruct((), structure.dtype)
    try:
        jaxpr = jax.make_jaxpr(as_called(model, structure, one_by_one))(shapes, [number] * n)
    except NOT_JAX as error:
        first = str(error).split("\n")[0]
        raise TypeError(
            "`model` must be a JAX function, but makes a Python or NumPy value of what it is given: use jax.numpy in "
            f"it, or wrap it in jaxglobal.host(...) ({first})"
        ) from error
    except TypeError as error:
        if "positional argument" not in str(error):
            raise
        raise TypeError(f"`model` must take x and the {n} parameters of the bounds; got: {error}.") from None
    out = jaxpr.out_avals[0]
    if out.shape not in ((N,), (1,)) or not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(f"`model` must return {N} real numbers, as many as `ydata`; got {out.shape[0]}, {out.dtype}.")
    check_precision(jaxpr, "model")
    layout = (structure.treedef, structure.shapes, structure.dtype, jax.tree.structure(x))
    key = ("regression", x64(), layout, one_by_one, N, canonical.key(jaxpr))
    made = _of_jaxpr(jaxpr, N, structure.dtype)
    return made._replace(constants=read_constants(jaxpr, "model"), programs=programs.known(key))


def _of_jaxpr(jaxpr: ClosedJaxpr, N: int, dtype: np.dtype) -> Model:
    """The model that was traced, without its constants."""
    body = canonical.lifted(jaxpr)
    makers = keys.makers(body.invars[: len(body.invars) - len(jaxpr.in_avals)])

    def call(x, parts, constants):
        constants = [make(const) for make, const in zip(makers, constants, strict=True)]
        (values,) = quotients.evaluate(ClosedJaxpr(body, []), *constants, *jax.tree.leaves(x), *parts)
        return jnp.broadcast_to(values, (N,)).astype(dtype)

    return Model(call, [], {}, one_at_a_time if factorises(body) else as_it_is, lambda: str(body))


def read_y(ydata: Any, dtype: np.dtype) -> Any:
    """The ordinates, (N,)."""
    y = xp_of(ydata).ravel(read_numbers("ydata", ydata, dtype))
    if not len(y):
        raise ValueError("`ydata` must have at least one number; got none.")
    check_finite("ydata", y)
    return y


def read_x(xdata: Any) -> Any:
    """The abscissae: arrays where they are numbers."""

    def as_array(leaf):
        if is_traced(leaf) or isinstance(leaf, jax.Array):
            return leaf
        array = np.asarray(leaf)
        if array.dtype.kind not in "biufc":
            raise TypeError(
                f"`xdata` must be arrays of numbers, or a pytree of them; got {type(leaf).__name__}: "
                "close over anything else in the model."
            )
        return array.astype(jax.dtypes.canonicalize_dtype(array.dtype))

    if isinstance(xdata, list):
        xdata = np.asarray(xdata)
    x = jax.tree.map(as_array, xdata)
    for leaf in jax.tree.leaves(x):
        check_finite("xdata", leaf)
    return x


def without_masked(xdata: Any, ydata: Any, sigma: Any) -> tuple[Any, Any, Any]:
    """The data without the points that are masked in x, in y, or in sigma.

    An array belongs to the points if it has the shape of y, or an axis of their number, the first or the last.
    """

    def is_masked(leaf):
        return isinstance(leaf, np.ma.MaskedArray) and bool(np.any(np.ma.getmaskarray(leaf)))

    if not any(map(is_masked, jax.tree.leaves((xdata, ydata, sigma)))):
        return xdata, ydata, sigma
    xdata, ydata = (np.ma.asarray(part) if isinstance(part, list) else part for part in (xdata, ydata))
    shape, N = np.shape(ydata), int(np.size(ydata))

    def by_point(leaf):
        """The array with an axis of points in front, and where that was; None where it has none."""
        if leaf.shape == shape:
            return leaf.reshape(N), 0
        where = [axis for axis in (0, leaf.ndim - 1) if leaf.ndim and leaf.shape[axis] == N]
        return (xp_of(leaf).moveaxis(leaf, where[0], 0), where[0]) if where else (None, 0)

    masked = np.zeros(N, bool)
    for name, part in (("xdata", xdata), ("ydata", ydata), ("sigma", sigma)):
        for leaf in filter(is_masked, jax.tree.leaves(part)):
            mask, _ = by_point(np.ma.getmaskarray(leaf))
            if mask is None:
                raise ValueError(f"`{name}` must be masked by points, of which there are {N}; got shape {leaf.shape}.")
            masked |= np.any(mask.reshape(N, -1), axis=1)

    def keep(leaf):
        leaf = leaf if is_traced(leaf) else np.ma.getdata(leaf)
        points, axis = by_point(leaf)
        return leaf if points is None else xp_of(leaf).moveaxis(points[~masked], 0, axis)

    if np.shape(sigma) == (N, N) and N > 1:
        sigma = keep(keep(sigma).T).T
    elif sigma is not None:
        sigma = keep(sigma)
    return jax.tree.map(keep, xdata), keep(ydata), sigma


def xp_of(leaf: Any) -> Any:
    """The module that computes with an array."""
    return jnp if is_traced(leaf) else np


def read_numbers(name: str, array: Any, dtype: Any) -> Any:
    """An array of real numbers."""
    check_no_complex(name, array)
    try:
        return xp_of(array).asarray(array, dtype)
    except (TypeError, ValueError):
        raise TypeError(f"`{name}` must be an array of real numbers; got {type(array).__name__}.") from None


def check_no_complex(name: str, array: Any) -> None:
    """Raises where these are complex numbers."""
    if not hasattr(array, "dtype"):
        if is_traced(array):
            return
        try:
            array = np.asarray(array)
        except (TypeError, ValueError):
            return  # refused when it is read
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        recipe = (
            ": fit real and imaginary parts side by side, np.concatenate([y.real, y.imag]), and let the model return"
        )
        raise TypeError(f"`{name}` must be real; got {array.dtype}{recipe + ' them so' if name == 'ydata' else ''}.")


def check_finite(name: str, array: Any) -> None:
    """Raises where a concrete array has a NaN or an infinity."""
    if not is_traced(array) and not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(np.asarray(array)))[0]
        raise ValueError(f"`{name}` must be finite; got {np.asarray(array)[tuple(where)]} at index {where.tolist()}.")


def read_sigma(sigma: Any, N: int, dtype: np.dtype) -> tuple[Any, bool]:
    """By what residuals are multiplied, in float64 unless it is traced, and whether that is a matrix.

    sigma: as in SciPy.
    """
    if sigma is None:
        return np.ones((), dtype), False
    sigma = read_numbers("sigma", sigma, dtype if is_traced(sigma) else np.float64)
    check_finite("sigma", sigma)
    if sigma.shape == (N, N) and N > 1:
        if is_traced(sigma):
            return own(_inverse_factor)(sigma), True
        check_symmetric(sigma)
        import scipy.linalg  # takes a while

        return scipy.linalg.solve_triangular(_cholesky(sigma), np.eye(N), lower=True), True
    if sigma.size == 1:
        sigma = sigma.reshape(())
    elif sigma.size == N:
        sigma = sigma.reshape(N)
    else:
        raise ValueError(f"`sigma` must be a number, {N} of them or a ({N}, {N}) matrix; got shape {sigma.shape}.")
    if not is_traced(sigma) and np.any(sigma <= 0):
        raise ValueError(f"`sigma` must be positive; got {np.min(sigma)}.")
    return 1 / sigma, False


def check_symmetric(sigma: np.ndarray) -> None:
    """Raises where a covariance matrix is not symmetric but for rounding."""
    errors = np.sqrt(np.abs(np.diag(sigma)))
    wrong = np.abs(sigma - sigma.T) > SYMMETRIC * errors[:, None] * errors
    if np.any(wrong):
        i, j = map(int, np.argwhere(wrong)[0])
        raise ValueError(
            f"`sigma` must be symmetric where it is a matrix; got {sigma[i, j]} at index [{i}, {j}] and {sigma[j, i]} "
            f"at [{j}, {i}]."
        )


def _inverse_factor(sigma: Any) -> Any:
    """The inverse of the Cholesky factor of a traced matrix."""
    return jax.scipy.linalg.solve_triangular(
        jnp.linalg.cholesky(sigma), jnp.eye(len(sigma), dtype=sigma.dtype), lower=True
    )


def _cholesky(sigma: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise ValueError("`sigma` must be positive definite where it is a matrix.") from None


def values_and_jacobian(model: Callable[..., Any], x: Any, p: Any, *constants: Any) -> tuple[Any, Any]:
    """The model, (N,), and its Jacobian, (N, n)."""
    return model(x, list(p), *constants), modes.jacobian(lambda p: model(x, list(p), *constants))(p)


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


def linear_parameters(read: "Model", x: Any, lower: Any, upper: Any, units: Units) -> tuple[int, ...]:
    """The parameters in which the model is linear, looked at once for each x and box; none where these are traced.

    Of parameters in these units: second derivatives in others may vanish, or not be finite, for lack of range.
    """
    if is_traced((x, lower, upper, read.constants)) or objective.is_tracing():
        return ()
    given, known = [*jax.tree.leaves(x), lower, upper, *read.constants], read.programs
    digest = hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in given))
    key = ("linear", digest.digest())
    if key not in known:
        own = units._replace(y=np.ones((), lower.dtype))  # other data are no reason to look again
        call, box = own.modelled(read.call), (lower / units.p, upper / units.p)
        known[key] = separable.linear(lambda p: call(x, list(p), read.constants), *box)
    return known[key]
