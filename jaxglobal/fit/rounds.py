"""The searches of many data sets, each a lane: block by block on all threads, until those of each agree.

All are screened at the same starts and searched from the best (lockstep.py); the few that have not ended after a few
steps go on among themselves. Data sets whose searches do not agree on the lowest cost (agreement.py) are searched from
further starts, with the same numbers whatever the others need.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import aside, devices
from jaxglobal.engine.streams import thread_pool
from jaxglobal.fit import agreement, leastsquares, regression
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.covariance import covariances
from jaxglobal.fit.curve_fit import CONVERGED
from jaxglobal.fit.lockstep import FURTHER, Lockstep
from jaxglobal.fit.regression import Data, Regression
from jaxglobal.problem.closed import x64
from jaxglobal.problem.linear_algebra import one_at_a_time
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts import designs as sequences
from jaxglobal.status import LocalStatus

BLOCK_MEMORY = 2**20  # bytes of the Jacobians of the data sets side by side
FEWEST, MOST = 16, 512  # data sets side by side
SEARCHES = 2  # of each data set, at first
STARTS = 63  # of the levels that are screened, at most
DENSE = 2  # searched parameters in which so many starts are dense
SCREENED = 256  # further starts that are screened at a time
MOST_SCREENINGS = 64  # after which a fit is not believed
SHORT = 16  # evaluations after which searches that have not ended go on among themselves


class Run:
    """The data sets, block by block."""

    def __init__(
        self, reg: Regression, data: Data, own_w: bool, points: np.ndarray, near: np.ndarray, guesses: np.ndarray,
        searches: int | None, seed: int, shown: display.Silent, boxes: np.ndarray | None = None,
        most: int | None = None, nfev: int = leastsquares.MAX_NFEV, until: float = math.inf,
    ):  # fmt: skip
        """data: with the data sets first. points: (G, n) the starts that are screened. near: (G, K) neighbours of each.

        guesses: (P, K, n). searches: of each data set; None: until they agree. seed: of further starts. boxes:
        (P, 2, n) of each data set, where they differ. most: data sets side by side, also where there are fewer; None:
        no more than these. nfev: evaluations of a search, at most. until: the time at which it ends.
        """
        self._reg, self._data, self._own_w, self._y = reg, data, own_w, data.y
        self._guesses, self._searches, self._seed, self._boxes = guesses, searches, seed, boxes
        self._nfev, self._until = nfev, until
        self._programs = Lockstep(reg, points, near, min(searches or SEARCHES, len(points)), own_w)
        each = (reg.structure.n + 3) * data.y.shape[1] * reg.structure.dtype.itemsize
        lanes = min(max(1 << int(np.log2(max(BLOCK_MEMORY / each, 1))), FEWEST), MOST)
        self._lanes = int(min(lanes, most or 1 << (len(data.y) - 1).bit_length()))
        self._shown, self.compile_time, self._precise = shown, 0.0, x64()

    def fit(self, absolute_sigma: bool, interrupt: Interrupt, screen: Any = None) -> tuple[np.ndarray, ...]:
        """Parameters, costs, covariances, evaluations, whether the fits are believed, and the searches.

        screen: None for the starts of `points`; else points, places and reach (see `Lockstep.further`) of those from
        which the starts beside the guesses are chosen, or () where the guesses are all.
        """
        self._interrupt, self._complete = interrupt, np.ones(len(self._y), bool)
        count, n = len(self._y), self._reg.structure.n
        w = self._data.w
        weighted = self._y @ w.T if self._reg.covariance else w * self._y
        squares = np.sum(weighted.astype(float) ** 2, axis=1)
        self._floor = leastsquares.NOISE * (regression.ROUNDING * float(np.finfo(self._y.dtype).eps)) ** 2 * squares
        everyone = np.arange(count)
        self._known, rest = agreement.nothing(count), [self._guesses]
        if screen is None:
            *ends, others = self._blocks(everyone, self._programs.first, np.zeros((count, 0), self._y.dtype))
            self._best = self._to_the_end(everyone, [np.array(field) for field in ends])
            self._known, rest = agreement.learn(self._known, self._best[1][:, None], self._floor), [*rest, others]
        else:
            zero, none = np.zeros(count, np.int64), np.full((count, n, n), np.nan)
            self._best = [none[:, 0].copy(), none[:, 0, 0].copy(), none, zero, zero.copy()]
            if screen:
                empty = np.zeros((count, 0), self._y.dtype)
                starts = self._blocks(everyone, self._programs.further, empty, *screen)[0][:, : self._searches]
                rest = [np.concatenate([self._guesses, starts], axis=1)]
        for starts in rest:
            if starts.shape[1]:
                self._search(everyone, starts)
        done = np.ones(count, bool) if self._searches is not None else self._settle()
        p, f, R, nfev, status = self._best
        points = np.sum(self._data.w > 0, axis=1) if self._own_w else self._y.shape[1]  # without those masked
        free = self._reg.free if self._boxes is None else self._boxes[:, 1] > self._boxes[:, 0]
        dof = points - np.sum(free, axis=-1)
        own: Any = self._data.units
        unit = float(own.r)
        variance = np.where(dof > 0, f / np.maximum(dof, 1), np.inf)
        size = np.full(count, 1 / unit**2) if absolute_sigma else variance
        tolerance = float(np.finfo(self._reg.structure.dtype).eps) * self._y.shape[1]
        pcov = np.empty(R.shape)
        kinds, kind = np.unique(np.atleast_2d(free), axis=0, return_inverse=True)
        for k, one in enumerate(kinds):
            which = np.broadcast_to(kind.reshape(-1) == k, count)
            pcov[which] = covariances(R[which], size[which], one, tolerance)
        success = done & np.isin(status, CONVERGED) & self._complete
        return p.reshape(count, n), f, pcov, nfev, success, self._known.made

    def _asked(self) -> bool:
        """Whether Ctrl-C or the time ends it."""
        return self._interrupt.asked or time.perf_counter() >= self._until

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
            rest = self._blocks(which[on], self._programs.rest, ends[0][on], np.int32(self._nfev))
            searched = rest[3] > 0  # the others a limit has left out
            rest[3] += ends[3][on]
            for field, part in zip(ends, rest, strict=True):
                field[on[searched]] = part[searched]
        return ends

    def _blocks(self, which: np.ndarray, make: Callable[..., Any], p: np.ndarray, *more: Any) -> list[np.ndarray]:
        """Runs a program from p, (k, n), on these data sets, (k,), in blocks on all threads.

        NaN and zeros where a limit leaves one out.
        """
        starts = range(0, len(which), self._lanes)
        blocks = [np.arange(first, min(first + self._lanes, len(which))) for first in starts]
        program, out_info = self._compiled(make, *self._block(which, blocks[0], p), *more)

        def run(block):
            if self._asked() or program is None:
                return None
            with (
                jax.enable_x64(self._precise),
                jax.disable_jit(False),
                jax.debug_nans(False),
            ):  # a bad trial is no error
                return [np.asarray(leaf)[: len(block)] for leaf in program(*self._block(which, block, p), *more)]

        pool, done = thread_pool(devices.side_by_side()), 0
        fields = [left_out(leaf, len(which)) for leaf in jax.tree.leaves(out_info)]
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
        box = (self._reg.lower, self._reg.upper) if self._boxes is None else np.moveaxis(self._boxes[rows], 1, 0)
        return p[block], data, *box

    def _compiled(self, make: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
        """The program for arguments of these shapes, None where a limit came first, and what it returns."""
        shapes = tuple(map(jax.typeof, jax.tree.leaves(args)))
        key = (make.__name__, self._programs.key, shapes)
        if key not in self._reg.programs:
            began = time.perf_counter()
            self._shown.compiling(self._lanes)
            run = one_at_a_time(make, jax.default_backend())  # of the starts' own QR factorisations too
            lowered = jax.jit(run).lower(*args)
            program = aside.unless(self._asked, lowered.compile)
            self.compile_time += time.perf_counter() - began
            if program is None:
                return None, lowered.out_info
            self._reg.programs[key] = program
        return self._reg.programs[key], self._reg.programs[key].out_info


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
