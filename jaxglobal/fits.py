"""curve_fit_many: one model fitted to thousands of data sets at once, each data set a lane.

All data sets share the starts, so that a dense screening is nearly free (lockstep.py). Each data set is then searched
from its best starts, block by block on all threads; the few that have not ended after a few steps go on among
themselves, and data sets whose searches do not agree (agreement.py) are searched from further starts.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal import agreement, devices, leastsquares, objective, regression, units
from jaxglobal import progress as display
from jaxglobal import starts as sequences
from jaxglobal.agreement import Agreement
from jaxglobal.closed import is_traced, x64
from jaxglobal.covariance import covariances
from jaxglobal.fit import CONVERGED, Fit, curve_fit
from jaxglobal.host import Host
from jaxglobal.interrupt import Interrupt
from jaxglobal.linear_algebra import one_at_a_time, one_thread
from jaxglobal.lockstep import FURTHER, Lockstep
from jaxglobal.nearest import helps
from jaxglobal.regression import Data, Regression
from jaxglobal.result import LocalStatus, duration, table
from jaxglobal.streams import thread_pool

BLOCK_MEMORY = 2**20  # bytes of the Jacobians of the data sets side by side
FEWEST, MOST = 16, 512  # data sets side by side
SEARCHES = 2  # of each data set, at first
STARTS = 63  # of the levels that are screened, at most
DENSE = 2  # searched parameters in which so many starts are dense
SCREENED = 256  # further starts that are screened at a time
MOST_SCREENINGS = 64  # after which a fit is not believed
SHORT = 16  # evaluations after which searches that have not ended go on among themselves


@dataclasses.dataclass(frozen=True, eq=False)
class Fits:
    """The outcome of `curve_fit_many`: every array has a leading axis of P data sets.

    Attributes:
        popt: (P, n) the parameters, or the structure of the `Box` with a leading axis.
        pcov: (P, n, n) their covariances; infinite for parameters that the data do not determine.
        perr: (P, n) their standard deviations.
        fun: (P,) the costs in float64, NaN where no value was finite.
        success: (P,) whether the fit is believed: enough of its searches agree on the lowest cost, and Ctrl-C left none
            out. With `levels` or `searches`: whether the search that found it converged.
        nfev: (P,) evaluations of the model with its Jacobian.
        searches: (P,) local searches.
        nstarts: starts that were screened, for each data set, before the first search.
        linear: the indices of the parameters in which the model was seen to be linear.
        time: seconds from the call to the result, compilation included.
        compile_time: seconds of these for tracing and compiling.
    """

    popt: Any
    pcov: np.ndarray
    fun: np.ndarray
    success: np.ndarray
    nfev: np.ndarray
    searches: np.ndarray
    nstarts: int
    linear: tuple[int, ...]
    time: float
    compile_time: float

    def __len__(self) -> int:
        """The number of data sets."""
        return len(self.fun)

    @property
    def perr(self) -> np.ndarray:
        """(P, n) The standard deviations of the parameters."""
        return np.sqrt(np.diagonal(self.pcov, axis1=1, axis2=2))

    def _rows(self) -> list[tuple[str, str]]:
        low, middle, high = np.nanquantile(self.fun, [0, 0.5, 1]) if np.any(np.isfinite(self.fun)) else [np.nan] * 3
        return [
            ("data sets", f"{len(self):,}, {int(np.sum(self.success)):,} with success"),
            ("cost", f"{low:.6g} at least, {middle:.6g} in the median, {high:.6g} at most"),
            ("starts", f"{self.nstarts:,} screened for each, {float(np.mean(self.nfev)):.1f} evaluations in the mean"),
            ("time", f"{duration(self.time)}, of it {duration(self.compile_time)} compiling"),
        ]

    def __repr__(self) -> str:
        """The essentials."""
        return "\n".join(f"{name:>12}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        return table(self._rows())


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
    x_axis: Any = "auto",
    starts: Any = "auto",
    seed: int = 0,
    progress: bool | str = "auto",
) -> Fits:
    """The best fits of a model to many data sets of the same size, without starting guesses.

    For every data set all starts of the first levels are screened, and it is searched from the best few; where these do
    not agree on the lowest cost, from further ones until enough do. After Ctrl-C what has been found is returned: NaN
    for data sets that no search has begun for.

    Args:
        model: as for `curve_fit`.
        xdata: what the model takes first, shared by all data sets; or of each, with a leading axis P.
        ydata: (P, N) values to fit.
        bounds: as for `curve_fit`, for all.
        sigma: the errors of ydata: one, (N,) for all, or (P, N).
        absolute_sigma: as for `curve_fit`.
        loss: as for `curve_fit`, "lad" excepted.
        f_scale: as for `curve_fit`.
        p0: a guess for each data set, leading axis P: one more start. Not needed.
        levels: levels of starts that are screened; None takes as many as have 63 starts
            at most. Of a host model, those of each fit at most.
        searches: local searches of each data set, from its best starts that no near one beats; None: as many as it
            takes for enough to agree, or two where `levels` is given. Not of a host model, each fit of which is that of
            `curve_fit`.
        x_axis: 0 where each data set has abscissae of its own, None where they share them; "auto" sees it by the
            shapes.
        starts: as for `curve_fit`.
        seed: of starts that are scrambled.
        progress: as for `minimize`.

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
    regression.check_loss(loss, f_scale)
    if loss == "lad":
        raise ValueError("`loss` must be 'linear', 'soft_l1', 'huber' or 'cauchy' for many fits; got 'lad'.")
    whole = isinstance(searches, int | np.integer) and not isinstance(searches, bool) and searches >= 1
    if searches is not None and not whole:
        raise ValueError(f"`searches` must be a whole number of at least 1; got {searches!r}.")
    shown = display.show(progress)
    objective.refuse_tracing("curve_fit_many", "vmap and curve_fit")
    if is_traced((xdata, ydata, sigma, bounds)):
        raise TypeError("`ydata` must be concrete; got a traced array: use vmap and curve_fit inside jit and grad.")
    refuse_masks(xdata=xdata, ydata=ydata, sigma=sigma)
    if isinstance(model, Host):
        if searches is not None:
            raise ValueError(f"`searches` must be left out for a host model, fitted level by level; got {searches}.")
        return one_by_one_fits(
            began, model, xdata, ydata, bounds, sigma, x_axis, p0,
            dict(absolute_sigma=absolute_sigma, loss=loss, f_scale=f_scale, starts=starts, seed=seed, progress=False,
                 max_levels=levels),
        )  # fmt: skip
    structure, lower, upper, singly = regression.read_parameters(bounds, None)
    y = read_many(ydata, structure.dtype)
    count, N = y.shape
    x = regression.read_x(xdata)
    own_x = has_axis(x, x_axis, count, N)
    of_lanes = jax.tree.map(lambda leaf: np.moveaxis(np.asarray(leaf), 0, -1), x) if own_x else x
    w, own_w = read_weights(sigma, count, N)
    own = units.choose(lower, upper, y, w, structure.dtype)
    read = regression.read_model(model, structure, singly, of_lanes, N, own_x)
    one_x = jax.tree.map(lambda leaf: leaf[..., 0], of_lanes) if own_x else x
    linear = regression.linear_parameters(read, one_x, lower, upper, own)
    reg = Regression(read.call, structure, lower, upper, linear, loss, False, own_x, read.programs).within(own)
    sequence = sequences.read(starts, len(reg.searched), seed)
    unit, reach = screened(sequence, len(reg.searched), levels)
    guesses = read_guesses(p0, structure, lower, upper, count) / own.p
    points, near = on_sheets(reg, unit, reach)
    data = Data(x, y, w, f_scale, read.constants).within(own, structure.dtype)
    fixed = SEARCHES if searches is None and levels is not None else searches
    run = Run(reg, data, own_w, points, near, guesses, fixed, seed, shown)
    try:
        with Interrupt() as interrupt, one_thread():
            p, f, pcov, nfev, success, made = run.fit(absolute_sigma, interrupt)
    finally:
        shown.close()
    return Fits(
        popt=structure.unflatten(p * own.p),
        pcov=pcov * np.multiply.outer(own.p.astype(float), own.p),
        fun=own.cost(np.where(np.isfinite(f), f, np.nan)),
        success=success,
        nfev=nfev,
        searches=made,
        nstarts=len(points) + guesses.shape[1],
        linear=linear,
        time=time.perf_counter() - began,
        compile_time=run.compile_time,
    )


class Run:
    """The data sets, block by block."""

    def __init__(
        self, reg: Regression, data: Data, own_w: bool, points: np.ndarray, near: np.ndarray, guesses: np.ndarray,
        searches: int | None, seed: int, shown: display.Silent,
    ):  # fmt: skip
        """data: with the data sets first. points: (G, n) the starts that are screened. near: (G, K) neighbours of each.

        guesses: (P, K, n). searches: of each data set; None: until they agree. seed: of further starts.
        """
        self._reg, self._data, self._own_w, self._y = reg, data, own_w, data.y
        self._guesses, self._searches, self._seed = guesses, searches, seed
        self._programs = Lockstep(reg, points, near, min(searches or SEARCHES, len(points)), own_w)
        each = (reg.structure.n + 3) * data.y.shape[1] * reg.structure.dtype.itemsize
        lanes = min(max(1 << int(np.log2(max(BLOCK_MEMORY / each, 1))), FEWEST), MOST)
        self._lanes = int(min(lanes, 1 << (len(data.y) - 1).bit_length()))
        self._shown, self.compile_time, self._precise = shown, 0.0, x64()

    def fit(self, absolute_sigma: bool, interrupt: Interrupt) -> tuple[np.ndarray, ...]:
        """Parameters, costs, covariances, evaluations, whether the fits are believed, and the searches."""
        self._interrupt, self._complete = interrupt, np.ones(len(self._y), bool)
        count, n = len(self._y), self._reg.structure.n
        squares = np.sum((self._data.w * self._y).astype(float) ** 2, axis=1)
        self._floor = leastsquares.NOISE * (regression.ROUNDING * float(np.finfo(self._y.dtype).eps)) ** 2 * squares
        everyone = np.arange(count)
        *ends, others = self._blocks(everyone, self._programs.first, np.zeros((count, 0), self._y.dtype))
        self._best = self._to_the_end(everyone, [np.array(field) for field in ends])
        self._known = agreement.learn(agreement.nothing(count), self._best[1][:, None], self._floor)
        for starts in (self._guesses, others):
            if starts.shape[1]:
                self._search(everyone, starts)
        done = np.ones(count, bool) if self._searches is not None else self._settle()
        p, f, R, nfev, status = self._best
        dof = self._y.shape[1] - int(np.sum(self._reg.free))
        own: Any = self._data.units
        unit = float(own.r)
        size = np.full(count, 1 / unit**2) if absolute_sigma else f / dof if dof > 0 else np.full(count, np.inf)
        tolerance = float(np.finfo(self._reg.structure.dtype).eps) * self._y.shape[1]
        pcov = covariances(R, size, self._reg.free, tolerance)
        success = done & np.isin(status, CONVERGED) & self._complete
        return p.reshape(count, n), f, pcov, nfev, success, self._known.made

    def _settle(self) -> np.ndarray:
        """Searches on from further starts until the fits are believed, or give up; whether each is.

        In one or two parameters the first screening is dense: that all its searches agree is enough. Each data set has
        the same searches whatever the others need.
        """
        m = len(self._reg.searched)
        done = agreement.reached(self._known, m) | ((m <= DENSE) & (self._known.hits == self._known.made))
        screenings = 0
        while screenings < MOST_SCREENINGS and not np.all(done | ~self._complete):
            which = np.flatnonzero(~done & self._complete)
            together = self._lanes // (FURTHER * len(which))  # some are for nothing, but lanes would be idle
            together = min(max(together, 1), max(screenings, 1), MOST_SCREENINGS - screenings)
            starts = [self._further(which, screenings + k) for k in range(together)]
            done[which] = self._search(which, np.concatenate(starts, axis=1), m)
            screenings += together
        return done

    def _further(self, which: np.ndarray, index: int) -> np.ndarray:
        """Starts for these data sets, (U, FURTHER, n), NaN where there are too few: the best of new points."""
        reg, m = self._reg, len(self._reg.searched)
        sequence = sequences.Sobol(SCREENED, self._seed)
        unit = sequence.points(index + 1, 0, SCREENED, m)
        points, places = both_ways(reg, unit)
        reach = 2 * leastsquares.NEAR * sequence.spacing(1, SCREENED, m)
        dtype = reg.structure.dtype
        empty = np.zeros((len(which), 0), dtype)
        more = points, places.astype(dtype), np.asarray(reach, dtype)
        return self._blocks(which, self._programs.further, empty, *more)[0]

    def _search(self, which: np.ndarray, starts: np.ndarray, m: int | None = None) -> np.ndarray:
        """Searches from the starts of these data sets, (U, S, n), NaN where there is none, and keeps what is better.

        m: until the fits are believed of models that are not linear in so many parameters; whether they are.
        """
        rows, columns = np.nonzero(np.isfinite(starts[:, :, 0]))
        f = np.full(starts.shape[:2], np.nan, starts.dtype)
        done = np.zeros(len(which), bool)
        if not len(rows):
            return done
        flat = which[rows]
        ends = self._to_the_end(flat, self._blocks(flat, self._programs.rest, starts[rows, columns], np.int32(SHORT)))
        np.add.at(self._best[3], flat, ends[3])
        f[rows, columns] = ends[1]
        for first in range(0, starts.shape[1], FURTHER):
            part = np.where(done[:, None], np.nan, f[:, first : first + FURTHER])
            told = agreement.learn(Agreement(*(field[which] for field in self._known)), part, self._floor[which])
            for field, news in zip(self._known, told, strict=True):
                field[which] = news
            taken = ~done[rows] & (columns >= first) & (columns < first + FURTHER)
            self._keep(flat[taken], [field[taken] for field in ends])
            done |= m is not None and agreement.reached(told, m)
        return done

    def _keep(self, which: np.ndarray, ends: list[np.ndarray]) -> None:
        """Takes the best end of each data set where it is better than the best so far; of equal ones the first."""
        order = np.lexsort((np.arange(len(which)), np.where(np.isnan(ends[1]), np.inf, ends[1]), which))
        first = order[np.flatnonzero(np.diff(which[order], prepend=-1))]
        known = self._best[1][which[first]]
        first = first[(ends[1][first] < known) | (np.isnan(known) & np.isfinite(ends[1][first]))]
        for i in (0, 1, 2, 4):
            self._best[i][which[first]] = ends[i][first]

    def _to_the_end(self, which: np.ndarray, ends: list[np.ndarray]) -> list[np.ndarray]:
        """The ends of searches of these data sets, those that are cut short after they have gone on."""
        on = np.flatnonzero(ends[4] == LocalStatus.EVALUATION_LIMIT)
        if len(on):
            rest = self._blocks(which[on], self._programs.rest, ends[0][on], np.int32(leastsquares.MAX_NFEV))
            searched = rest[3] > 0  # the others Ctrl-C has left out
            rest[3] += ends[3][on]
            for field, part in zip(ends, rest, strict=True):
                field[on[searched]] = part[searched]
        return ends

    def _blocks(self, which: np.ndarray, make: Callable[..., Any], p: np.ndarray, *more: Any) -> list[np.ndarray]:
        """Runs a program from p, (k, n), on these data sets, (k,), in blocks on all threads.

        NaN and zeros where Ctrl-C leaves one out.
        """
        starts = range(0, len(which), self._lanes)
        blocks = [np.arange(first, min(first + self._lanes, len(which))) for first in starts]
        program = self._compiled(make, *self._block(which, blocks[0], p), *more)

        def run(block):
            if self._interrupt.asked:
                return None
            with (
                jax.enable_x64(self._precise),
                jax.disable_jit(False),
                jax.debug_nans(False),
            ):  # a bad trial is no error
                return [np.asarray(leaf)[: len(block)] for leaf in program(*self._block(which, block, p), *more)]

        pool, done = thread_pool(devices.side_by_side()), 0
        fields = [left_out(leaf, len(which)) for leaf in jax.tree.leaves(program.out_info)]
        for block, out in zip(blocks, pool.map(run, blocks) if len(blocks) > 1 else map(run, blocks), strict=True):
            if out is None:
                self._complete[which[block]] = False
                continue
            for field, part in zip(fields, out, strict=True):
                field[block] = part
            done += len(block)
            self._shown.problems(min(done, len(self._y)), len(self._y))
        return fields

    def _block(self, which: np.ndarray, block: np.ndarray, p: np.ndarray) -> tuple[Any, ...]:
        """The arguments of a program for a block of them, the first of which fill it up."""
        block = np.resize(block, self._lanes)
        rows = which[block]
        x, y, w = self._data[:3]
        x = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], x) if self._reg.own_x else x
        data = self._data._replace(x=x, y=y[rows], w=w[rows] if self._own_w else w)
        return p[block], data, self._reg.lower, self._reg.upper

    def _compiled(self, make: Callable[..., Any], *args: Any) -> Any:
        shapes = tuple(map(jax.typeof, jax.tree.leaves(args)))
        key = (make.__name__, self._programs.key, shapes)
        if key not in self._reg.programs:
            began = time.perf_counter()
            self._shown.compiling(self._lanes)
            run = one_at_a_time(make, jax.default_backend())  # of the starts' own QR factorisations too
            self._reg.programs[key] = jax.jit(run).lower(*args).compile()
            self.compile_time += time.perf_counter() - began
        return self._reg.programs[key]


def left_out(leaf: Any, count: int) -> np.ndarray:
    """What a program returns, for so many data sets that it has not been run for."""
    shape = (count, *leaf.shape[1:])
    return np.full(shape, np.nan, leaf.dtype) if np.issubdtype(leaf.dtype, np.floating) else np.zeros(shape, leaf.dtype)


def screened(sequence: Any, m: int, levels: int | None) -> tuple[np.ndarray, float]:
    """The starts of the first levels in the unit box, (k, m), and how far apart neighbours are."""
    if levels is None:
        sizes = np.cumsum([sequence.size(k, m) for k in range(8)])
        levels = max(int(np.searchsorted(sizes, STARTS, side="right")), 1) if m else 1
    elif isinstance(levels, bool) or not isinstance(levels, int | np.integer) or levels < 1:
        raise ValueError(f"`levels` must be a whole number of at least 1; got {levels!r}.")
    unit = np.concatenate([sequence.points(k, 0, sequence.size(k, m), m) for k in range(levels)])
    return unit, 2 * leastsquares.NEAR * sequence.spacing(levels - 1, sequence.size(levels - 1, m), m)


def both_ways(reg: Regression, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The starts as parameters, (G, n), placed in each of the ways of `leastsquares.sheets`; where they are, (G, k).

    Their coordinates are those of both ways, in units of the box: near is what is near in both.
    """
    ways = leastsquares.sheets(reg)
    points = np.concatenate([leastsquares.place(reg, unit, way) for way in ways])
    width = np.where(reg.upper > reg.lower, reg.upper - reg.lower, 1)
    even, crowded = points - reg.lower, leastsquares.uncrowd(reg, points)
    return points, np.concatenate([(place / width)[:, reg.searched] for place in (even, crowded)], axis=1)


def on_sheets(reg: Regression, unit: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The starts as parameters, (G, n), placed in each of the ways of `leastsquares.sheets`; their neighbours, (G, K).

    Neighbours are near as they are placed; those placed in different ways, if they are near in both. G stands for none.
    """
    points, places = both_ways(reg, unit)
    near_even, near_crowded = (_near(place, reach) for place in np.split(places, 2, axis=1))
    way = np.arange(len(points)) // len(unit)
    same = way[:, None] == way[None]
    near = np.where(same, np.where(way[:, None] > 0, near_crowded, near_even), near_even & near_crowded)
    np.fill_diagonal(near, False)
    neighbours = np.full((len(points), max(int(np.max(np.sum(near, axis=1))), 1)), len(points))
    for i, row in enumerate(near):
        neighbours[i, : np.sum(row)] = np.flatnonzero(row)
    return points, neighbours


def _near(places: np.ndarray, reach: float) -> np.ndarray:
    """(G, G) Which of the places, (G, k), differ by at most reach in every coordinate."""
    near = np.ones((len(places), len(places)), bool)
    for place in places.T:
        near &= np.abs(place[:, None] - place[None]) <= reach
    return near


def refuse_masks(**data: Any) -> None:
    """Raises where points are masked: the data sets would have different numbers of points."""
    for name, part in data.items():
        if any(np.any(np.ma.getmaskarray(a)) for a in jax.tree.leaves(part) if isinstance(a, np.ma.MaskedArray)):
            raise ValueError(
                f"`{name}` must not have masked points, as all data sets must have as many as each other: drop those "
                "that all lack, or give each data set to curve_fit."
            )


def read_many(ydata: Any, dtype: np.dtype) -> np.ndarray:
    """The ordinates, (P, N)."""
    regression.check_no_complex("ydata", ydata)
    try:
        y = np.asarray(ydata, dtype)
    except (TypeError, ValueError):
        raise TypeError(f"`ydata` must be an array (data sets, values); got {type(ydata).__name__}.") from None
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(f"`ydata` must be an array (data sets, values); got shape {y.shape}.")
    regression.check_finite("ydata", y)
    return y


def has_axis(x: Any, x_axis: Any, count: int, N: int) -> bool:
    """Whether each data set has abscissae of its own."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(x)]
    if x_axis == "auto" and not isinstance(x_axis, bool):
        return bool(shapes) and all(len(shape) > 1 and shape[0] == count for shape in shapes)
    if x_axis is None:
        return False
    if x_axis != 0 or isinstance(x_axis, bool):
        raise ValueError(f'`x_axis` must be "auto", None or 0; got {x_axis!r}.')
    if not shapes or any(shape[:1] != (count,) for shape in shapes):
        raise ValueError(f"`xdata` must have a leading axis of {count} data sets, as `ydata`; got shapes {shapes}.")
    return True


def read_weights(sigma: Any, count: int, N: int) -> tuple[np.ndarray, bool]:
    """By what residuals are multiplied, in float64, and whether each data set has weights of its own."""
    if sigma is None:
        return np.ones(()), False
    regression.check_no_complex("sigma", sigma)
    sigma = np.asarray(sigma, np.float64)
    if sigma.shape not in ((), (1,), (N,), (count, N)):
        raise ValueError(f"`sigma` must be a number, ({N},) or ({count}, {N}); got shape {sigma.shape}.")
    regression.check_finite("sigma", sigma)
    if np.any(sigma <= 0):
        raise ValueError(f"`sigma` must be positive; got {np.min(sigma)}.")
    return (1 / sigma.reshape(()) if sigma.size == 1 else 1 / sigma), sigma.shape == (count, N)


def read_guesses(p0: Any, structure: Any, lower: Any, upper: Any, count: int) -> np.ndarray:
    """The user's own starts, (P, K, n), K 0 or 1."""
    if p0 is None:
        return np.zeros((count, 0, structure.n), structure.dtype)
    if structure.shapes == ((1,),) and np.shape(p0) == (count,):  # a number for each
        p0 = np.reshape(np.asarray(p0), (count, 1))
    points = regression.read_guesses(p0, structure, lower, upper)
    if len(points) != count:
        raise ValueError(f"`p0` must have a leading axis of {count} data sets, as `ydata`; got {len(points)}.")
    return points[:, None]


def one_by_one_fits(
    began: float, model: Host, xdata: Any, ydata: Any, bounds: Any, sigma: Any, x_axis: Any, p0: Any,
    options: dict[str, Any],
) -> Fits:  # fmt: skip
    """The fits of a model that is not a JAX function, one after the other."""
    y = read_many(ydata, np.dtype(float))
    own_x = has_axis(regression.read_x(xdata), x_axis, y.shape[0], y.shape[1])
    _, own_w = read_weights(sigma, y.shape[0], y.shape[1])
    structure, lower, upper, _ = regression.read_parameters(bounds, None)
    guesses = read_guesses(p0, structure, lower, upper, y.shape[0])

    def one(i: int) -> Fit:
        x = jax.tree.map(lambda leaf: np.asarray(leaf)[i], xdata) if own_x else xdata
        guess = None if p0 is None else structure.unflatten(guesses[i, 0])
        return curve_fit(model, x, y[i], bounds, np.asarray(sigma)[i] if own_w else sigma, p0=guess, **options)

    fits: list[Fit] = []
    with Interrupt() as interrupt:
        while len(fits) < len(y) and not interrupt.asked:
            fits.append(one(len(fits)))

    def all_of(leaves: Any, missing: Any) -> np.ndarray:
        done = np.stack(leaves)
        return np.concatenate([done, np.full((len(y) - len(done), *done.shape[1:]), missing, done.dtype)])

    return Fits(
        popt=jax.tree.map(lambda *leaves: all_of(leaves, np.nan), *(fit.popt for fit in fits)),
        pcov=all_of([fit.pcov for fit in fits], np.inf),
        fun=all_of([fit.fun for fit in fits], np.nan),
        success=all_of([fit.success for fit in fits], False),
        nfev=all_of([fit.result.nfev for fit in fits], 0),
        searches=all_of([fit.result.nstarts for fit in fits], 0),
        nstarts=fits[0].result.nstarts,
        linear=(),
        time=time.perf_counter() - began,
        compile_time=0.0,
    )
