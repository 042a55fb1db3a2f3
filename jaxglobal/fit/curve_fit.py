"""curve_fit: the global least-squares, or robust, fit of a model to data, without a starting guess.

The search is that of leastsquares.py. Here is what the user gives, and how a `Fit` (fitted.py) is made of what the
search found: the covariance of the parameters from the triangular factor of the scaled Jacobian (J'J would square its
condition), and in a traced program the derivatives in the data by the implicit function theorem (implicit.py).
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.api import minimize
from jaxglobal.engine.host import Host
from jaxglobal.evidence import stopping
from jaxglobal.fit import arguments, constrained_fit, hostfit, leastsquares, models, regression, whole_fit
from jaxglobal.fit.covariance import errors
from jaxglobal.fit.data import Data, read_data
from jaxglobal.fit.finish import deviations, finish
from jaxglobal.fit.fitted import Fit
from jaxglobal.fit.pure import PURE_LEVELS, pure
from jaxglobal.fit.regression import Regression
from jaxglobal.local import implicit
from jaxglobal.nearest import helps
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.closed import arrays_last, hold, is_traced
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.problem.objective import is_tracing, refuse_tracing
from jaxglobal.problem.region import Region
from jaxglobal.result import Level, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import loop
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts import designs as sequences


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
    integrality: Any = None,
) -> Fit:
    """The best fit of a model to data anywhere in a box: `scipy.optimize.curve_fit` without a starting guess.

    Args:
        model: model(x, p1, p2, ...) -> values, a JAX function, or `jaxglobal.host` of one that is not. With a
            `jaxglobal.Box` of pytrees: model(x, p), p of their structure.
        xdata: what the model takes first: an array, or a pytree of arrays. Points that are masked here (`numpy.ma`),
            in ydata, or in sigma, are left out.
        ydata: N values to fit.
        bounds: of the parameters: pairs (low, high), a tuple (lows, highs) as SciPy's curve_fit has it, a
            `scipy.optimize.Bounds` or a `jaxglobal.Box`; finite, low == high fixes a parameter. A `jaxglobal.Choice`
            in place of a pair: the values of a parameter.
        sigma: the errors of ydata: one, N of them, or their (N, N) covariance matrix, which is symmetric.
        absolute_sigma: sigma is in the units of ydata; else only its proportions count, and the scatter of the data
            gives its size.
        loss: "linear" (least squares), "soft_l1", "huber", "cauchy" as in `scipy.optimize.least_squares`, or "lad"
            (least absolute deviations).
        f_scale: the residual, in units of sigma, from which on a robust loss counts it less; not of "lad".
        p0: your own guess, or several along a leading axis: searched too. Not needed.
        same: stop after so many levels in a row with the same best cost; None: after four, if enough searches agree
            on the lowest cost, without success after eight; of a host model as soon as enough agree.
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
        integrality: which parameters are whole numbers: True, or a mask in the structure of the parameters. The model
            is called at whole numbers alone. Up to 16 assignments of these are each fitted, and `checkpoint` is not
            taken; with more, or under constraints, a search as that of `minimize` says which one is. Errors are those
            of the other parameters: a whole number is held, and its own is 0. Outside jit.

    Returns:
        A `Fit`, which unpacks as popt, pcov. Inside jit, vmap and grad, with data or bounds that are traced, its popt,
        pcov, fun and residuals are traced and differentiable; the search then has three levels of starts, and others
        at the lowest of eight times as many points; where it meets no finite cost they are NaN, and pcov is infinite.

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
    arguments.check_loss(loss, f_scale)
    if loss == "lad" and absolute_sigma:
        raise ValueError(
            "`absolute_sigma` must be False with loss='lad': its errors come from the scatter of the data."
        )
    rules = stopping.Rules(same, 0.0, frtol, max_time, max_levels, max_evals=max_evals)
    minimize.check_callback(callback)
    observers = dict(callback=callback, progress=progress, checkpoint=checkpoint)
    shown = display.show(progress)
    lattice = whole_fit.read(model, bounds, p0, integrality)
    if lattice is not None:
        if is_traced((xdata, ydata, sigma, bounds, p0)) or is_tracing():
            raise TypeError("`integrality` and a Choice must be left out inside jit, vmap and grad: see minimize.")
        fixed = dict(sigma=sigma, absolute_sigma=absolute_sigma, loss=loss, f_scale=f_scale, same=same, frtol=frtol)
        fixed |= dict(max_levels=max_levels, starts=starts, seed=seed, constraints=constraints, ctol=ctol)
        options = dict(max_time=max_time, max_evals=max_evals, callback=callback, checkpoint=checkpoint)
        return whole(began, lattice, model, xdata, ydata, bounds, p0, integrality, fixed, options, progress)
    xdata, ydata, sigma = arguments.without_masked(xdata, ydata, sigma)
    structure, lower, upper, one_by_one = arguments.read_parameters(bounds, p0)
    dtype = np.dtype(np.float64) if isinstance(model, Host) else structure.dtype
    x, y = arguments.read_x(xdata), arguments.read_y(ydata, dtype)
    weights, covariance = arguments.read_sigma(sigma, len(y), dtype)
    guesses = arguments.read_guesses(p0, structure, lower, upper)
    data, given = read_data(x, y, weights, f_scale, loss, covariance, lower, upper, dtype)
    of_search: Any = given.units
    within = constraints if not isinstance(constraints, list | tuple) or len(constraints) else None
    if within is not None:
        is_dynamic = is_traced((data, lower, upper, guesses)) or is_tracing()
        constrained_fit.check(loss, isinstance(model, Host), is_dynamic, ctol)
    if isinstance(model, Host):
        refuse_tracing("curve_fit", "a JAX model")
        cost = hostfit.HostCost(model.fun, one_by_one, data, loss, covariance)
        with Interrupt(), hostfit.Model(model, cost, structure, lower, upper) as called:
            reg = hostfit.regression_of(called, structure, lower, upper)
            result = hostfit.search(began, called, reg, data, guesses, bounds, rules, starts, seed, observers)
            return finish(reg, data, given, bounds, result, absolute_sigma, reg.model, model)
    called = models.as_called(model, structure, one_by_one)
    read = models.read_model(model, structure, one_by_one, x, len(y))
    data, given = (part._replace(constants=read.constants) for part in (data, given))
    linear = models.linear_parameters(read, x, lower, upper, of_search)
    reg = Regression(read.call, structure, lower, upper, linear, loss, covariance, False, read.programs, safe=read.safe)
    if within is not None:
        rows = constrained_fit.read(within, reg)
        with Interrupt():
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
    kept = checkpoints.keep(checkpoint, told, (x, y, weights, data.scale), (lower, upper), guesses, rules, options)
    with Interrupt() as interrupt, one_thread(reg.factorises), arrays_last():
        inner, own = reg.within(of_search), guesses / of_search.p
        search = leastsquares.OneFit(inner, given, own, sequence, rules, shown, began, interrupt, callback, kept)
        try:
            for _ in loop.search(search):
                pass
        finally:
            shown.close()
        return finish(reg, data, search.data, bounds, search.result(), absolute_sigma, called, model)


def whole(
    began: float, lattice: whole_fit.Lattice, model: Any, xdata: Any, ydata: Any, bounds: Any, p0: Any,
    integrality: Any, fixed: dict[str, Any], options: dict[str, Any], progress: Any,
) -> Fit:  # fmt: skip
    """The best fit with some parameters whole, see whole_fit.py. fixed, options: of `curve_fit`."""
    none = fixed["constraints"]
    found, few = None, lattice.size <= whole_fit.EACH and (none is None or isinstance(none, list | tuple) and not none)
    limits = {name: options[name] for name in ("max_time", "max_evals")}
    if few and options["checkpoint"] is not None:
        raise ValueError("`checkpoint` must be None where each assignment of whole parameters is fitted; got one.")
    inner = whole_fit.still(model, lattice)
    if not few:
        if isinstance(model, Host) or fixed["loss"] == "lad":
            raise ValueError(
                f"`integrality` must leave at most {whole_fit.EACH} assignments of whole parameters, and `constraints` "
                f"must be None, with a host model or loss='lad'; got {lattice.size:,} assignments."
            )
        around, _ = lattice.held(None)
        seek = dict(bounds=bounds, x0=p0, integrality=integrality, progress=progress)
        found = sought(began, inner, xdata, ydata, around, fixed, options | seek)

    def one(held: Any, guesses: Any, **left: Any) -> Fit:
        own = dict(callback=options["callback"] if few else None, progress=False)
        fit = curve_fit(inner, xdata, ydata, held, p0=guesses, **fixed, **own, **left)
        return dataclasses.replace(fit, _model=model)

    return whole_fit.best(lattice, one, limits, began, found)


def sought(
    began: float, model: Any, xdata: Any, ydata: Any, around: Any, fixed: dict[str, Any], options: dict[str, Any]
) -> Result:
    """The search for the best whole and other parameters together. around: the box around all, of numbers."""
    rules = stopping.Rules(
        fixed["same"], 0.0, fixed["frtol"], options["max_time"], fixed["max_levels"], max_evals=options["max_evals"]
    )
    constrained_fit.check(fixed["loss"], False, False, fixed["ctol"])
    xdata, ydata, sigma = arguments.without_masked(xdata, ydata, fixed["sigma"])
    structure, lower, upper, one_by_one = arguments.read_parameters(around, None)
    x, y = arguments.read_x(xdata), arguments.read_y(ydata, structure.dtype)
    weights, covariance = arguments.read_sigma(sigma, len(y), structure.dtype)
    read = models.read_model(model, structure, one_by_one, x, len(y))
    loss, dtype = fixed["loss"], structure.dtype
    _, given = read_data(x, y, weights, fixed["f_scale"], loss, covariance, lower, upper, dtype)
    # No parameter is put at its best without being asked: it may be whole.
    reg = Regression(read.call, structure, lower, upper, (), loss, covariance, False, read.programs, safe=read.safe)
    observers = {name: options[name] for name in ("callback", "progress", "checkpoint")}
    of_lattice = {name: options[name] for name in ("bounds", "x0", "integrality")}
    none = np.zeros((0, structure.n))
    return constrained_fit.search(
        began, reg, given._replace(constants=read.constants), none, rules, fixed["starts"], fixed["seed"], observers,
        fixed["constraints"], fixed["ctol"], of_lattice,
    )  # fmt: skip


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
    levels = PURE_LEVELS if levels is None else levels
    sizes = sequences.sizes(sequence, m, levels, "max_levels")
    unit = np.concatenate([sequence.points(k, 0, size, m) for k, size in enumerate(sizes)])
    leaves, treedef = jax.tree.flatten(given)
    no = np.zeros((2, structure.n), bool)

    moves = [is_traced(const) for const in given.constants]

    def value(p, leaves):
        told = jax.tree.unflatten(treedef, leaves)
        return reg.cost_near(p, told._replace(constants=hold(told.constants, moves)))

    def find(box, guesses, *leaves):
        sides = (box[0], box[1]) if is_traced((reg.lower, reg.upper)) else (reg.lower, reg.upper)
        best = pure(reg, unit, jax.tree.unflatten(treedef, leaves), *sides, guesses)
        # The cost is flat to rounding within sqrt(eps): Newton's method on its gradient gives the digits below that.
        box = Region(box[0], box[1], box[1] - box[0])
        here = lambda p: value(p, leaves)  # noqa: E731
        polished = implicit.kept(here, best.x, best.f, implicit.polish(here, best.x, best.f, box))
        return best._replace(x=polished.x, f=polished.f)

    box = jnp.stack([jnp.asarray(reg.lower), jnp.asarray(reg.upper)])
    safe = functools.partial(reg.safe, platform=jax.default_backend(), held=False)  # it runs when this call is over
    solve = implicit.differentiable(value, no, safe(find), safe)
    best = solve(box, jnp.asarray(guesses / of_search.p), *map(jnp.asarray, leaves))
    found = jnp.isfinite(best.f)
    best = best._replace(x=jnp.where(found, best.x, jnp.nan), f=jnp.where(found, best.f, jnp.nan))
    slopes = safe(functools.partial(models.values_and_jacobian, reg.modelled(given.units)))
    y, J = slopes(data.x, best.x, data.constants)
    sure = errors(user, given, best.f, y, J, absolute_sigma).out_of(of_search)
    if reg.loss == "lad":  # without the bend, but with the derivatives
        best = best._replace(f=best.f + lax.stop_gradient(deviations(reg, given, y) - best.f))
    (y, J), p, f = of_search.seen(y, J), structure.unflatten(best.x * of_search.p), of_search.cost(best.f)
    outcome = p, sure.pcov, f, data.y - y, sure.dof, [], reg.linear, reg.loss, None
    names = arguments.names_of(model, structure, not isinstance(bounds, Box))
    return Fit(*outcome, names, data, user, bounds, sure, called, model, (y, J), of_search)
