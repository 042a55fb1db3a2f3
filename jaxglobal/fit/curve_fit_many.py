"""curve_fit_many: one model fitted to thousands of data sets at once.

What is asked is read here, once for all data sets; how they are searched is in rounds.py.
"""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.api import minimize
from jaxglobal.engine.host import Host
from jaxglobal.evidence import stopping
from jaxglobal.fit import arguments, constrained_fit, constrained_fits, models, outlying, regression, units, whole_fit
from jaxglobal.fit.arguments_many import (
    check_sets,
    has_axis,
    own_boxes,
    read_box,
    read_guesses,
    read_many,
    read_weights,
    refuse_masks,
    unlike,
)  # fmt: skip
from jaxglobal.fit.data import Data, read_data
from jaxglobal.fit.fits import Fits
from jaxglobal.fit.host_fits import one_by_one
from jaxglobal.fit.limits import Limits
from jaxglobal.fit.places import on_sheets, screened
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.rounds import SEARCHES, ManyFits
from jaxglobal.nearest import helps
from jaxglobal.problem import choice, objective
from jaxglobal.problem.closed import arrays_last, is_traced
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.results import Finished
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts import designs as sequences
from jaxglobal.status import Status


@helps
@regression.broadcasts
def curve_fit_many(
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
    levels: int | None = None,
    searches: int | None = None,
    max_time: float | None = None,
    x_axis: Any = "auto",
    starts: Any = "auto",
    seed: int = 0,
    progress: bool | str = "auto",
    bounds_axis: Any = "auto",
    integrality: Any = None,
    max_evals: int | None = None,
    callback: Callable[[Finished], Any] | None = None,
    checkpoint: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
) -> Fits:
    """The best fits of a model to many data sets of the same size, without starting guesses.

    For every data set all starts of the first levels are screened, and it is searched from the best few; where these do
    not agree on the lowest cost, from further ones until enough do. After a limit or Ctrl-C what has been found is
    returned: NaN for data sets that no search has begun for.

    Args:
        model: as for `curve_fit`.
        xdata: what the model takes first, shared by all data sets; or of each, with a leading axis P.
        ydata: (P, N) values to fit. Points that are masked (`numpy.ma`) are left out.
        bounds: as for `curve_fit`, for all; or of each data set, with a leading axis P (see `bounds_axis`).
        sigma: the errors of ydata: one, (N,) for all, or (P, N).
        absolute_sigma: as for `curve_fit`.
        loss: as for `curve_fit`, "lad" excepted.
        f_scale: as for `curve_fit`.
        p0: a guess for each data set, leading axis P: one more start. Not needed.
        levels: levels of starts that are screened; None takes as many as have 63 starts
            at most. Of a host model, those of each fit at most.
        searches: local searches of each data set beside those from `p0`, at most: from its best starts that no near one
            beats, then from further ones; None: as many as it takes for enough to agree, or two where `levels` is
            given. Success asks for as many as without it: 48 at least, 8 for each of more than six parameters in which
            the model is not linear, of which ten agree; or ten, five for each of more than two such parameters, that
            agree and are half of all. Not of a host model, each fit of which is that of
            `curve_fit`.
        max_time: wall-clock seconds from the call; also while a program compiles, which is left to its end then.
        x_axis: 0 where each data set has abscissae of its own, None where they share them; "auto" sees it by the
            shapes.
        starts: as for `curve_fit`.
        seed: of starts that are scrambled.
        progress: as for `minimize`.
        bounds_axis: 0 where the bounds have a leading axis of data sets, as for `minimize_many`; None where they do
            not; "auto" sees it by their shapes. Not for a host model.
        integrality: as for `curve_fit`, for all data sets, and so is a `jaxglobal.Choice` in bounds that all share: at
            most 16 assignments, each of which is fitted to each data set. Success asks for that of all of them.
        max_evals: evaluations of the model with its Jacobian of each data set, `Fits.nfev`, which are not exceeded;
            those of starts that are screened are not counted. Under constraints kept to a tick of the lanes, and never
            fewer than the 32 at which rows are scaled. Assignments of whole parameters share them evenly. Of a
            host model as for `curve_fit`.
        callback: callback(finished) is called as data sets end, after each round of searches, with a
            `jaxglobal.Finished`, `x` the parameters and `fun` the costs; raises StopIteration to stop. Not where
            parameters are whole, as all data sets end with the last assignment.
        checkpoint: a file that keeps the state, written about once a second and at the end, from which the same call
            goes on and gives the same answer. Not of a host model, under constraints, or where parameters are whole.
        constraints: of the parameters alone, as for `curve_fit`; their bounds may be each data set's own, as for
            `minimize_many`, which then searches the costs: no start is screened, `levels` are those of each fit at
            most, and `searches` and `integrality` must be left out. Where no point keeps them, success is False and
            `violation` says by how much.
        ctol: as for `minimize`.

    Returns:
        A `Fits`.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, numpy as np, jaxglobal as jg
        >>> def decay(t, a, k):
        ...     return a * jnp.exp(-k * t)
        >>> t, rates = np.linspace(0, 4, 30), np.linspace(0.5, 3, 100)
        >>> fits = jg.curve_fit_many(decay, t, 2 * np.exp(-rates[:, None] * t), bounds=[(0, 10), (0, 5)])
        >>> bool(np.allclose(fits.popt[:, 1], rates, atol=1e-3)), len(fits)
        (True, 100)
    """
    began = time.perf_counter()
    arguments.check_loss(loss, f_scale)
    if loss == "lad":
        raise ValueError("`loss` must be 'linear', 'soft_l1', 'huber' or 'cauchy' for many fits; got 'lad'.")
    for name, given in (("searches", searches), ("levels", levels)):
        whole = isinstance(given, int | np.integer) and not isinstance(given, bool) and given >= 1
        if given is not None and not whole:
            raise ValueError(f"`{name}` must be a whole number of at least 1; got {given!r}.")
    rules = stopping.Rules(max_time=max_time, max_evals=max_evals)
    minimize.check_callback(callback)
    until = math.inf if max_time is None else began + max_time
    shown = display.show(progress)
    objective.refuse_tracing("curve_fit_many", "vmap and curve_fit")
    if is_traced((xdata, ydata, sigma, bounds)):
        raise TypeError("`ydata` must be concrete; got a traced array: use vmap and curve_fit inside jit and grad.")
    refuse_masks(xdata=xdata, sigma=sigma)
    check_sets(ydata)
    chosen = choice.within(bounds)
    if (integrality is not None or chosen) and (bounds_axis == 0 if chosen else own_boxes(bounds, bounds_axis, ydata)):
        raise ValueError("`bounds` must be those of all data sets where parameters are whole; got some for each.")
    lattice = whole_fit.read(model, bounds, p0, integrality)
    if constraints is not None and not (isinstance(constraints, list | tuple) and not constraints):
        constrained_fit.check(loss, isinstance(model, Host), False, ctol)
        if checkpoint is not None:
            raise ValueError("`checkpoint` must be None for many fits under constraints; curve_fit keeps one of each.")
        if lattice is not None or searches is not None:
            name = "searches" if searches is not None else "integrality"
            raise TypeError(f"`constraints` are not taken with `{name}` by curve_fit_many yet: see curve_fit.")
    if lattice is not None:
        inner = whole_fit.still(model, lattice)
        for name, given in (("callback", callback), ("checkpoint", checkpoint)):
            if given is not None:
                raise ValueError(f"`{name}` must be None for many fits where parameters are whole; got one.")

        def one(held: Any, guesses: Any, max_time: float | None, max_evals: int | None) -> Fits:
            return curve_fit_many(
                inner, xdata, ydata, held, sigma, absolute_sigma, loss, f_scale=f_scale, p0=guesses, levels=levels,
                searches=searches, max_time=max_time, x_axis=x_axis, starts=starts, seed=seed, progress=progress,
                bounds_axis=None, max_evals=max_evals,
            )  # fmt: skip

        return whole_fit.best_of_many(lattice, one, max_time, max_evals, began)
    if isinstance(model, Host):
        if searches is not None:
            raise ValueError(f"`searches` must be left out for a host model, fitted level by level; got {searches}.")
        if checkpoint is not None:
            raise ValueError("`checkpoint` must be None for many fits of a host model: curve_fit keeps one of each.")
        return one_by_one(
            began, until, model, xdata, ydata, bounds, sigma, x_axis, p0,
            dict(absolute_sigma=absolute_sigma, loss=loss, f_scale=f_scale, starts=starts, seed=seed, progress=False,
                 max_levels=levels, max_evals=max_evals), callback,
        )  # fmt: skip
    structure, lower, upper, singly, boxes = read_box(bounds, bounds_axis, ydata)
    y, there = read_many(ydata, structure.dtype)
    count, N = y.shape
    x = arguments.read_x(xdata)
    own_x = has_axis(x, x_axis, count, N)
    of_lanes = jax.tree.map(lambda leaf: np.moveaxis(np.asarray(leaf), 0, -1), x) if own_x else x
    w, own_w = read_weights(sigma, count, N)
    if not np.all(there):
        w, own_w = np.where(there, w, 0), True
    _, data = read_data(x, y, w, f_scale, loss, False, lower, upper, structure.dtype)
    own: Any = data.units
    read = models.read_model(model, structure, singly, of_lanes, N, own_x)
    some = [jax.tree.map(lambda leaf, i=i: leaf[..., i], of_lanes) for i in unlike(of_lanes)] if own_x else [x]
    seen = [set(models.linear_parameters(read, one_x, lower, upper, own)) for one_x in some]
    linear = tuple(sorted(set.intersection(*seen)))
    reg = Regression(read.call, structure, lower, upper, linear, loss, False, own_x, read.programs)
    reg = dataclasses.replace(reg, own_box=boxes is not None).within(own)
    rows = None if constraints is None else constrained_fits.read(constraints, reg, count)
    if rows is not None:
        heard = (
            None
            if callback is None
            else lambda news: callback(dataclasses.replace(news, fun=data.cost(news.fun, news.problems)))
        )
        found = constrained_fits.search(
            reg, data._replace(constants=read.constants), own_w, rows,
            read_guesses(p0, structure, lower, upper, count, boxes), boxes, constraints, ctol, absolute_sigma, until,
            dict(
                starts=starts, seed=seed, max_levels=levels, progress=progress, max_evals=max_evals, callback=heard,
                checkpoint=checkpoint,
            ),
        )  # fmt: skip
        results = found.results
        return Fits(
            structure.unflatten(found.p * own.p), own.covariance(found.pcov),
            data.cost(found.f), results.success, results.status, results.nfev, results.nstarts,
            results.minima.count[:, 0], 0, linear, time.perf_counter() - began, results.compile_time,
            results.violation, found.multipliers, results.active,
        )  # fmt: skip
    sequence = sequences.read(starts, len(reg.searched), seed)
    with (interrupt := Interrupt()):  # many levels take a while to choose
        unit, reach = screened(sequence, len(reg.searched), levels)
    edged = y if loss == "linear" else outlying.split(y, w, False, structure.dtype)[0]
    own = units.choose_each(own, boxes, edged, w, structure.dtype)
    if own.own:
        data = Data(x, y, w, f_scale).within(own, loss, False, structure.dtype)
        reg = dataclasses.replace(reg, lower=lower, upper=upper).within(own)
    each = own.p[:, None] if np.ndim(own.p) == 2 else own.p
    guesses = read_guesses(p0, structure, lower, upper, count, boxes) / each
    with interrupt:
        points, near = on_sheets(reg, unit, reach)
    fixed = SEARCHES if searches is None and levels is not None else searches
    boxes = None if boxes is None else boxes / each
    kept = checkpoints.keep(
        checkpoint, lambda: (read.text(), read.constants), (x, y, w, f_scale), (lower, upper, boxes), guesses, rules,
        (sequence, unit, fixed, seed, loss, absolute_sigma),
    )  # fmt: skip

    def tell(which: np.ndarray, p: np.ndarray, f: np.ndarray, done: int) -> None:
        costs = run.data.cost(np.where(np.isfinite(f), f, np.nan), which)
        if callback is not None:
            callback(Finished(which, structure.unflatten(p * own.of(which).p), costs, done, count))

    try:
        with interrupt, one_thread(), arrays_last():
            run = ManyFits(
                reg, data._replace(constants=read.constants), own_w, points, near, guesses, fixed, seed, shown,
                Limits(count, interrupt, until, max_evals), boxes, tell=None if callback is None else tell, kept=kept,
                dense=len(unit) >= len(screened(sequence, len(reg.searched), None)[0]),
            )  # fmt: skip
            p, f, pcov, nfev, status, known = run.fit(absolute_sigma)
    finally:
        shown.close()
    return Fits(
        popt=structure.unflatten(p * own.p),
        pcov=own.covariance(pcov),
        fun=run.data.cost(np.where(np.isfinite(f), f, np.nan)),
        violation=np.zeros(count),
        success=status == Status.SAME,
        status=status,
        nfev=nfev,
        searches=known.made,
        hits=known.hits,
        nstarts=len(points) + guesses.shape[1],
        linear=linear,
        time=time.perf_counter() - began,
        compile_time=run.compile_time,
    )
