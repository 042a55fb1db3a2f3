"""curve_fit: the global least-squares, or robust, fit of a model to data, without a starting guess.

The search is that of leastsquares.py; here are what the user gives and gets: the parameters, their covariance from the
triangular factor of the scaled Jacobian (J'J would square its condition), the other local fits, prediction bands, and
the derivatives in the data by the implicit function theorem (implicit.py).
"""

import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.api import driver
from jaxglobal.api.derivative import Derivative, derivative
from jaxglobal.engine.host import Host
from jaxglobal.evidence import stopping
from jaxglobal.fit import constrained_fit, hostfit, leastsquares, quotients, regression, stored, units
from jaxglobal.fit.covariance import Errors, error_of_new, errors
from jaxglobal.fit.regression import Data, Regression
from jaxglobal.fit.units import Units
from jaxglobal.local import implicit
from jaxglobal.nearest import helps
from jaxglobal.printing import brief, duration, table
from jaxglobal.problem.closed import hold, is_traced
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.problem.objective import Box, is_tracing, refuse_tracing
from jaxglobal.problem.region import Region
from jaxglobal.result import Level, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts import designs as sequences
from jaxglobal.status import LocalStatus

SHOWN = 6  # local fits that a printed fit lists
TRACED = "the search was traced, with a fixed number of levels: success says whether its cost is finite"
CONVERGED = (LocalStatus.CONVERGED, LocalStatus.CONVERGED_TO_PRECISION)
LISTED = 256  # local fits that a fit keeps with their residuals


@dataclasses.dataclass(frozen=True, eq=False)
class LocalFit:
    """One of the local fits.

    Attributes:
        popt: the parameters.
        fun: the cost.
        count: local searches that ended there.
        status: how the one that is listed ended.
        residuals: (N,) data minus model.
    """

    popt: Any
    fun: float
    count: int
    status: LocalStatus
    residuals: np.ndarray


class Band(NamedTuple):
    """A prediction with its band.

    Attributes:
        y: the model at the best parameters.
        lower: the lower end of the band.
        upper: the upper end.
        error: the standard deviation.
    """

    y: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """The outcome of `curve_fit`; unpacks as `popt, pcov`.

    Attributes:
        popt: the parameters of the best fit: (n,), or the structure of the `Box`.
        pcov: (n, n) their covariance; infinite for those of `undetermined`.
        perr: (n,) their standard deviations.
        undetermined: the names of the parameters that the data do not determine, alone or with others.
        fun: the cost: the weighted sum of squared residuals, or of what the loss makes of them.
        residuals: (N,) data minus model.
        dof: degrees of freedom: data minus free parameters.
        fits: the distinct local fits, minima of the cost, with their residuals, best first.
        linear: the indices of the parameters in which the model was seen to be linear.
        loss: its name.
        result: the search as a `Result`, None inside jit and grad.
        names: of the parameters: the arguments of the model, or the paths in the `Box`.
        data: the x, y and weights that were fitted, without points that were masked.

    It can be pickled and copied; once loaded it predicts anywhere if the model is a function of a module, else at the
    abscissae of the data.
    """

    popt: Any
    pcov: Any
    fun: Any
    residuals: Any
    dof: int
    fits: list[LocalFit]
    linear: tuple[int, ...]
    loss: str
    result: Any
    names: list[str]
    data: Data = dataclasses.field(repr=False)
    _regression: Regression = dataclasses.field(repr=False)
    _bounds: Any = dataclasses.field(repr=False)
    _errors: Errors = dataclasses.field(repr=False)
    _call: Callable[[Any, Any], Any] = dataclasses.field(repr=False)
    _model: Any = dataclasses.field(repr=False)
    _seen: tuple[Any, Any] = dataclasses.field(repr=False)  # the model and its Jacobian at the data
    _units: Units = dataclasses.field(repr=False)  # in which it was searched

    def __getstate__(self) -> dict[str, Any]:
        """All data, and the model where it can be pickled."""
        return stored.pack(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The inverse."""
        self.__dict__.update(stored.unpack(state))

    def __copy__(self) -> "Fit":
        """A fit of the same arrays, model and programs."""
        return dataclasses.replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Fit":
        """A fit of other arrays, and the same model and programs."""
        shared = ("_regression", "_call", "_model")
        own = {name: copy.deepcopy(part, memo) for name, part in self.__dict__.items() if name not in shared}
        return dataclasses.replace(self, **own)

    def __iter__(self) -> Iterator[Any]:
        """popt, pcov."""
        return iter((self.popt, self.pcov))

    def __len__(self) -> int:
        """Two."""
        return 2

    def __getitem__(self, index: int) -> Any:
        """Popt or pcov."""
        return (self.popt, self.pcov)[index]

    @property
    def perr(self) -> Any:
        """The standard deviations of the parameters."""
        xp: Any = jnp if is_traced(self.pcov) else np
        return xp.sqrt(xp.diag(self.pcov))

    @property
    def undetermined(self) -> list[str]:
        """The names of the parameters that the data do not determine."""
        if is_traced(self._errors.touched):
            raise TypeError("`undetermined` must be asked of a fit outside jit, vmap and grad.")
        return [name for name, touched in zip(self.names, self._errors.touched, strict=True) if touched]

    @property
    def success(self) -> Any:
        """Whether the search ended because the best cost settled; inside jit and grad, whether the cost is finite."""
        return jnp.isfinite(self.fun) if self.result is None else self.result.success

    @property
    def message(self) -> str:
        """Why the search ended."""
        return TRACED if self.result is None else self.result.message

    def predict(self, xdata: Any = None, level: float = 0.95, new: bool = False, sigma: Any = None) -> Band:
        """The model at the best parameters with its band, to first order in their errors.

        Args:
            xdata: where; None for the abscissae of the data.
            level: of confidence.
            new: the band of a new observation, with the scatter of the data, instead of that of the model's mean.
            sigma: the errors of new observations, in the units of the `sigma` of the fit. By default those of the data;
                at other abscissae theirs if they are all equal, else between those of the neighbours, or of the last.

        Returns:
            A `Band`.

        Raises:
            ValueError: the level is not between 0 and 1, or the errors of new observations are not known.
        """
        if not 0 < level < 1:
            raise ValueError(f"`level` must be between 0 and 1; got {level}.")
        x = self.data.x if xdata is None else regression.read_x(xdata)
        p = self._regression.structure.flatten(self.popt)
        if xdata is None:
            y, J = map(np.asarray, self._seen)
        elif self._regression.look is not None:
            y, J = self._regression.look(x, p)
        else:
            call = self._units.modelled(quotients.careful(self._call))
            seen = regression.values_and_jacobian(call, x, jnp.asarray(p / self._units.p))
            y, J = self._units.seen(*map(np.asarray, seen))
        if sigma is not None and not new:
            raise ValueError("`sigma` must be left out unless new=True: the band of the mean does not depend on it.")
        variance = self._errors.variance(np.asarray(J, float))
        if new:
            at = None if xdata is None else x
            size = error_of_new(self.data, self._regression.covariance, at, sigma, len(y))
            variance = variance + (self._errors.scatter(level) * size) ** 2
        error = np.sqrt(variance)
        reach = self._errors.spread(level)
        spread = np.where(error > 0, reach, 1.0) * error  # none is no error, however far it reaches
        return Band(y, y - spread, y + spread, error)

    def on_grid(self, xdata: Any) -> bool:
        """Whether the model can be evaluated at other abscissae than those of the data."""
        try:
            return self.predict(xdata).y.shape == np.shape(xdata)
        except (TypeError, ValueError):
            return False

    def objective(self) -> tuple[Callable[..., Any], Any, tuple[Any, ...]]:
        """The cost as a function fun(p, *args) of the parameters, their bounds, and the args, which are the data."""
        reg = self._regression
        self.check_unconstrained()
        if reg.look is not None:
            raise TypeError("`fit` must be that of a JAX model; got a host function.")

        def cost(p, x, y, w, scale):
            leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(p)]
            return reg.cost(jnp.concatenate(leaves), Data(x, y, w, scale, self.data.constants))

        return cost, self._bounds, tuple(self.data[:4])

    def derivative(self) -> Derivative:
        """How the parameters and the cost move with x, y, and the weights of the data (1 / sigma), in this order.

        Returns:
            A `Derivative`: `x[1]` is the Jacobian of popt in ydata, (n, N).
        """
        reg = self._regression
        self.check_unconstrained()
        if reg.look is not None:
            raise ValueError("`model` must be a JAX function for its fit to be differentiated; got a host function.")

        def cost(p, x, y, w, scale):
            given = Data(x, y, w, scale, self.data.constants).within(self._units, reg.structure.dtype)
            return reg.cost(reg.structure.flatten(p) / self._units.p, given)

        moves = derivative(self.result, cost, self._bounds, tuple(self.data[:4]))
        fun, fun_bounds = jax.tree.map(self._units.cost, (moves.fun, moves.fun_bounds))
        return moves._replace(fun=fun, fun_bounds=fun_bounds)

    def bootstrap(self, count: int = 1000, seed: int = 0, progress: bool | str = "auto") -> Any:
        """Global fits of as many data sets made of the fitted curve and residuals drawn from its own.

        Args:
            count: of the data sets.
            seed: of the draws.
            progress: as for `curve_fit_many`, which makes the fits.

        Returns:
            A `Bootstrap`: `perr`, `pcov`, `intervals(confidence)`, and the parameters of every set, `popt`.

        Raises:
            TypeError: the fit is that of a traced program or of a host function.
            ValueError: it has no residuals to draw from, or they hang together.
        """
        many = import_module("jaxglobal.profiles.bootstrap")  # which stands on this module
        return many.bootstrap(self, count, seed, progress)

    def check_unconstrained(self) -> None:
        """Raises for what does not know the constraints of a fit yet.

        Raises:
            TypeError: it has some.
        """
        if self.result is not None and self.result.active is not None:
            raise TypeError(
                "`fit` must have no `constraints`, which derivatives, profiles, bootstraps and proofs of fits do not "
                "know yet; got one under constraints."
            )

    def _rows(self) -> list[tuple[str, str]]:
        flat, errors = self._regression.structure.flatten(self.popt), self.perr
        rows = [
            (name, f"{value:.10g} +- {error:.3g}") for name, value, error in zip(self.names, flat, errors, strict=True)
        ]
        loss = "" if self.loss == "linear" else f" ({self.loss})"
        return [
            *rows,
            ("cost", f"{self.fun:.10g}{loss}, {self.dof} degrees of freedom"),
            ("success", str(self.success)),
            ("status", f"{self.result.status.name}: {self.message}"),
            *([] if self.result.active is None else [("violation", f"{self.result.violation:.3g}")]),
            ("searches", f"{self.result.nstarts:,} in {self.result.nit} levels, {self.result.nfev:,} evaluations"),
            *([] if self.result.calls is None else [("calls", str(self.result.calls))]),
            ("time", f"{duration(self.result.time)}, of it {duration(self.result.compile_time)} compiling"),
            ("local fits", f"{len(self.fits)} distinct"),
            *([("undetermined", ", ".join(self.undetermined))] if self.undetermined else []),
        ]

    def __repr__(self) -> str:
        """The parameters with their standard deviations, and the local fits."""
        if self.result is None:
            return f"Fit(popt={self.popt}, pcov={self.pcov})"
        rows = self._rows()
        width = max(12, *(len(name) for name, _ in rows))
        lines = [f"{name:>{width}}: {value}" for name, value in rows]
        lines += [f"{'':>14}{m.fun:<20.12g} {m.count:>8,} x  {brief(m.popt)}" for m in self.fits[:SHOWN]]
        if len(self.fits) > SHOWN:
            lines.append(f"{'':>14}and {len(self.fits) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if self.result is None:
            return f"<pre>{self!r}</pre>"
        fits = "".join(
            f"<tr><td>{m.fun:.12g}</td><td>{m.count:,}</td><td>{brief(m.popt)}</td></tr>" for m in self.fits[:SHOWN]
        )
        return f"{table(self._rows())}<table><tr><th>cost</th><th>count</th><th>parameters</th></tr>{fits}</table>"


@helps
@regression.broadcasts
def curve_fit(
    model: Callable[..., Any],
    xdata: Any,
    ydata: Any,
    bounds: Any,
    sigma: Any = None,
    absolute_sigma: bool = False,
    loss: str = "linear",
    *,
    f_scale: float = 1.0,
    p0: Any = None,
    same: int | None = None,
    frtol: float = 1e-8,
    max_time: float | None = None,
    max_levels: int | None = None,
    max_evals: int | None = None,
    starts: Any = "auto",
    seed: int = 0,
    callback: Callable[[Level], Any] | None = None,
    progress: bool | str = "auto",
    checkpoint: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
) -> Fit:
    """The best fit of a model to data anywhere in a box: `scipy.optimize.curve_fit` without a starting guess.

    Args:
        model: model(x, p1, p2, ...) -> values, a JAX function, or `jaxglobal.host` of one that is not. With a
            `jaxglobal.Box` of pytrees: model(x, p), p of their structure.
        xdata: what the model takes first: an array, or a pytree of arrays. Points that are masked here (`numpy.ma`),
            in ydata, or in sigma, are left out.
        ydata: N values to fit.
        bounds: of the parameters: pairs (low, high), a tuple (lows, highs) as SciPy's curve_fit has it, a
            `scipy.optimize.Bounds` or a `jaxglobal.Box`; finite, low == high fixes a parameter.
        sigma: the errors of ydata: one, N of them, or their (N, N) covariance matrix.
        absolute_sigma: sigma is in the units of ydata; else only its proportions count, and the scatter of the data
            gives its size.
        loss: "linear" (least squares), "soft_l1", "huber", "cauchy" as in `scipy.optimize.least_squares`, or "lad"
            (least absolute deviations).
        f_scale: the residual, in units of sigma, from which on a robust loss counts it less; not of "lad".
        p0: your own guess, or several along a leading axis: searched too. Not needed.
        same: stop after so many levels in a row with the same best cost; None: after four.
        frtol: two costs are the same within frtol times their size.
        max_time: wall-clock seconds from the call, after which the best fit so far is returned; so it is after Ctrl-C.
        max_levels: levels of starts.
        max_evals: evaluations of the model, those of starts that are screened included; of a search under way one more
            of each start at work.
        starts: "auto", `jaxglobal.Grid()`, `jaxglobal.Sobol()` or an object like them.
        seed: of starts that are scrambled.
        callback: callback(level) is called after each level; raises StopIteration to stop.
        progress: as for `minimize`.
        checkpoint: a file that keeps the state after each level, from which the same call goes on.
        constraints: as for `minimize`, of the parameters alone: a `jaxglobal.Constraint` of fun(p), p an array or the
            structure of the `Box`. The covariance is then that of the directions along the constraints that bind. Of
            JAX models and smooth losses, outside jit.
        ctol: as for `minimize`.

    Returns:
        A `Fit`, which unpacks as popt, pcov. Inside jit, vmap and grad, with data or bounds that are traced, its popt,
        pcov, fun and residuals are traced and differentiable; the search then has three levels.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, numpy as np, jaxglobal as jg
        >>> def decay(t, a, k, c):
        ...     return a * jnp.exp(-k * t) + c
        >>> t = np.linspace(0, 4, 40)
        >>> y = 2.5 * np.exp(-1.3 * t) + 0.5 + 0.01 * np.sin(40 * t)
        >>> popt, pcov = jg.curve_fit(decay, t, y, bounds=[(0, 10), (0, 10), (0, 1)])
        >>> [round(float(v), 1) for v in popt]
        [2.5, 1.3, 0.5]
    """
    began = time.perf_counter()
    regression.check_loss(loss, f_scale)
    if loss == "lad" and absolute_sigma:
        raise ValueError(
            "`absolute_sigma` must be False with loss='lad': its errors come from the scatter of the data."
        )
    rules = stopping.Rules(same, 0.0, frtol, max_time, max_levels, max_evals=max_evals)
    driver.check_callback(callback)
    observers = dict(callback=callback, progress=progress, checkpoint=checkpoint)
    shown = display.show(progress)
    xdata, ydata, sigma = regression.without_masked(xdata, ydata, sigma)
    structure, lower, upper, one_by_one = regression.read_parameters(bounds, p0)
    dtype = np.dtype(np.float64) if isinstance(model, Host) else structure.dtype
    x, y = regression.read_x(xdata), regression.read_y(ydata, dtype)
    weights, covariance = regression.read_sigma(sigma, len(y), dtype)
    guesses = regression.read_guesses(p0, structure, lower, upper)
    scale = regression.spread(weights @ y if covariance else weights * y) if loss == "lad" else f_scale
    of_search = units.choose(lower, upper, y, weights, dtype)
    data = Data(x, y, *(units.cast(a, dtype) for a in (weights, scale)))
    given = Data(x, y, weights, scale).within(of_search, dtype)
    within = constraints if not isinstance(constraints, list | tuple) or len(constraints) else None
    if within is not None:
        is_dynamic = is_traced((data, lower, upper, guesses)) or is_tracing()
        constrained_fit.check(loss, isinstance(model, Host), is_dynamic, ctol)
    if isinstance(model, Host):
        refuse_tracing("curve_fit", "a JAX model")
        cost = hostfit.HostCost(model.fun, one_by_one, data, loss, covariance)
        with hostfit.Model(model, cost, structure, lower, upper) as called:
            reg = hostfit.regression_of(called, structure, lower, upper)
            result = hostfit.search(began, called, reg, data, guesses, bounds, rules, starts, seed, observers)
            return finish(reg, data, given, bounds, result, absolute_sigma, reg.model, model)
    called = regression.as_called(model, structure, one_by_one)
    read = regression.read_model(model, structure, one_by_one, x, len(y))
    data, given = (part._replace(constants=read.constants) for part in (data, given))
    linear = regression.linear_parameters(read, x, lower, upper, of_search)
    reg = Regression(read.call, structure, lower, upper, linear, loss, covariance, False, read.programs, safe=read.safe)
    if within is not None:
        rows = constrained_fit.read(within, reg)
        result = constrained_fit.search(began, reg, given, guesses, rules, starts, seed, observers, within, ctol)
        along = None if rows is None else constrained_fit.directions(rows, reg, result, of_search)
        return finish(reg, data, given, bounds, result, absolute_sigma, called, model, along)
    sequence = sequences.read(starts, len(reg.searched), seed)
    if is_traced((data, lower, upper, guesses)) or is_tracing():
        if callback is not None or checkpoint is not None:
            raise ValueError("`callback` and `checkpoint` must be left out inside jit, vmap and grad.")
        return traced(reg, data, given, bounds, guesses, sequence, max_levels, absolute_sigma, called, model)
    if not len(reg.searched):  # one start says all
        rules = dataclasses.replace(rules, same=1)
    options, told = (sequence, loss, covariance), lambda: (read.text(), read.constants)
    kept = checkpoints.keep(checkpoint, told, (x, y, weights, scale), (lower, upper), guesses, rules, options)
    with Interrupt() as interrupt, one_thread(reg.factorises):
        inner, own = reg.within(of_search), guesses / of_search.p
        search = leastsquares.Search(inner, given, own, sequence, rules, shown, began, interrupt, callback, kept)
        try:
            status, found = search.run()
        finally:
            shown.close()
        return finish(reg, data, given, bounds, search.result(status, found), absolute_sigma, called, model)


def traced(
    reg: Regression, data: Data, given: Data, bounds: Any, guesses: Any, sequence: Any, levels: int | None,
    absolute_sigma: bool, called: Any, model: Any,
) -> Fit:  # fmt: skip
    """The fit as a traced program, differentiable by the implicit function theorem.

    given: the data in the units of the search.
    """
    of_search: Any = given.units
    reg, user = reg.within(of_search), reg
    m, structure = len(reg.searched), reg.structure
    levels = leastsquares.PURE_LEVELS if levels is None else levels
    unit = np.concatenate([sequence.points(k, 0, sequence.size(k, m), m) for k in range(levels)])
    leaves, treedef = jax.tree.flatten(given)
    no = np.zeros((2, structure.n), bool)

    moves = [is_traced(const) for const in given.constants]

    def value(p, leaves):
        told = jax.tree.unflatten(treedef, leaves)
        return reg.cost(p, told._replace(constants=hold(told.constants, moves)))

    def find(box, guesses, *leaves):
        sides = (box[0], box[1]) if is_traced((reg.lower, reg.upper)) else (reg.lower, reg.upper)
        best = leastsquares.pure(reg, unit, jax.tree.unflatten(treedef, leaves), *sides, guesses)
        # The cost is flat to rounding within sqrt(eps): Newton's method on its gradient gives the digits below that.
        box = Region(box[0], box[1], box[1] - box[0])
        here = lambda p: value(p, leaves)  # noqa: E731
        polished = implicit.kept(here, best.x, best.f, implicit.polish(here, best.x, best.f, box))
        return best._replace(x=polished.x, f=polished.f)

    box = jnp.stack([jnp.asarray(reg.lower), jnp.asarray(reg.upper)])
    solve = implicit.differentiable(value, no, find, lambda run: reg.safe(run, jax.default_backend()))
    best = solve(box, jnp.asarray(guesses / of_search.p), *map(jnp.asarray, leaves))
    y, J = regression.values_and_jacobian(reg.modelled(given), data.x, best.x, data.constants)
    sure = errors(reg, given, best.f, y, J, absolute_sigma).out_of(of_search)
    (y, J), p, f = of_search.seen(y, J), structure.unflatten(best.x * of_search.p), of_search.cost(best.f)
    outcome = p, sure.pcov, f, data.y - y, sure.dof, [], reg.linear, reg.loss, None
    names = regression.names_of(model, structure, not isinstance(bounds, Box))
    return Fit(*outcome, names, data, user, bounds, sure, called, model, (y, J), of_search)


def finish(
    reg: Regression, data: Data, given: Data, bounds: Any, result: Result, absolute_sigma: bool, called: Any,
    model: Any, along: np.ndarray | None = None,
) -> Fit:  # fmt: skip
    """The fit that a search has come to; given: the data in the units of the search. along: see `covariance.errors`."""
    own: Any = given.units
    flat = reg.structure.flatten(result.x) / own.p
    y, J = look(reg, given, flat)
    r, weighted = regression.weigh(reg, given, y, J)
    jac = own.cost(np.where(reg.free, 2 * np.asarray(weighted.T @ r), 0)) / own.p
    with np.errstate(over="ignore"):  # a gradient that float32 cannot hold is infinite there
        result = dataclasses.replace(result, jac=reg.structure.unflatten(jac.astype(flat.dtype)))
    f = result.fun / float(own.r) / float(own.r)
    sure = errors(reg, given, f, y, J, absolute_sigma, along).out_of(own)
    y, J = own.seen(y, J)
    ordinates = np.asarray(data.y)
    # Where another than the best was cut off is no minimum.
    minima = [m for i, m in enumerate(result.minima) if i == 0 or m.status in CONVERGED][:LISTED]
    modelled = values(reg, given, [reg.structure.flatten(m.x) / own.p for m in minima])
    fits = [
        LocalFit(m.x, m.fun, m.count, m.status, ordinates - y * own.y) for m, y in zip(minima, modelled, strict=True)
    ]
    outcome = result.x, sure.pcov, result.fun, ordinates - y, sure.dof, fits, reg.linear, reg.loss, result
    called_by = model.fun if isinstance(model, Host) else model
    names = regression.names_of(called_by, reg.structure, not isinstance(bounds, Box))
    return Fit(*outcome, names, data, reg, bounds, sure, called, model, (y, J), own)


def look(reg: Regression, data: Data, p: Any) -> tuple[np.ndarray, np.ndarray]:
    """The model, (N,), and its Jacobian, (N, n), for one set of parameters, all in the units of the data."""
    own: Any = data.units
    if reg.look is not None:
        y, J = reg.look(data.x, p * own.p)
        return y / own.y, J * (own.p / own.y)
    if "look" not in reg.programs:

        def run(own, x, p, constants):
            return regression.values_and_jacobian(own.modelled(reg.model), x, p, constants)

        reg.programs["look"] = jax.jit(reg.safe(run, jax.default_backend()))
    y, J = reg.programs["look"](own, data.x, p, data.constants)
    return np.asarray(y), np.asarray(J)


def values(reg: Regression, data: Data, points: list[Any]) -> list[np.ndarray]:
    """The model, (N,), for several sets of parameters, all in the units of the data."""
    if reg.look is None:
        return [look(reg, data, p)[0] for p in points]
    own: Any = data.units
    return [y / own.y for y in reg.look.values(data.x, [p * own.p for p in points])]
