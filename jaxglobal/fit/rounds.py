"""The searches of many data sets, each a lane: block by block on all threads, until those of each agree.

All are screened at the same starts and searched from the best (lockstep.py); the few that have not ended after a few
steps go on among themselves. Data sets whose searches do not agree on the lowest cost (agreement.py) are searched from
further starts, with the same numbers whatever the others need. Where someone listens, or a file is kept (journal.py),
they are searched in groups, one after the other.
"""

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import aside, compiling, devices
from jaxglobal.engine.streams import thread_pool
from jaxglobal.fit import agreement, descent, outlying, regression
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.compiled import device, here
from jaxglobal.fit.covariance import covariances
from jaxglobal.fit.data import Data
from jaxglobal.fit.finish import CONVERGED
from jaxglobal.fit.journal import Journal
from jaxglobal.fit.lockstep import FIRST, FURTHER, Lockstep
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.places import NEAR, both_ways
from jaxglobal.fit.regression import Regression
from jaxglobal.problem.closed import x64
from jaxglobal.problem.linear_algebra import one_at_a_time
from jaxglobal.search import progress as display
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts import designs as sequences
from jaxglobal.status import LocalStatus, Status

BLOCK_MEMORY = 2**20  # bytes of the Jacobians of the data sets side by side
FEWEST, MOST = 16, 512  # data sets side by side
SEARCHES = 2  # of each data set, at first
DENSE = 1  # searched parameters in which so many starts are dense
SCREENED = 256  # further starts that are screened at a time
MOST_SCREENINGS = 64  # after which a fit is not believed
SHORT = 16  # evaluations after which searches that have not ended go on among themselves
SPENT, ASKED = 1, 2  # what cuts a data set off: its evaluations; Ctrl-C, the time or the callback
GROUP = 4096  # data sets that are searched to their end before others begin, where someone listens to what has ended


class Run:
    """The data sets, block by block.

    Attributes:
        data: as they are searched in the end.
    """

    def __init__(
        self, reg: Regression, data: Data, own_w: bool, points: np.ndarray, near: np.ndarray, guesses: np.ndarray,
        searches: int | None, seed: int, shown: display.Silent, boxes: np.ndarray | None = None,
        most: int | None = None, nfev: int = descent.MAX_NFEV, until: float = math.inf,
        max_evals: int | None = None, tell: Callable[..., Any] | None = None, kept: Checkpoint | None = None,
        dense: bool = True,
    ):  # fmt: skip
        """data: with the data sets first. points: (G, n) the starts that are screened. near: (G, K) neighbours of each.

        guesses: (P, K, n). searches: of each data set beside these, at most; None: until they agree. seed: of further
        starts. boxes: (P, 2, n) of each data set, where they differ. most: data sets side by side, also where there are
        fewer; None: no more than these. nfev: evaluations of a search, at most. until: the time at which it ends.
        max_evals: of a data set. tell: tell(which, p, f, done) hears of data sets that have ended, (k,), and how many
        have so far; raises StopIteration to stop. kept: where the state is kept. dense: whether points are, in up to
        `DENSE` parameters.
        """
        data = data._replace(x=data.x if reg.own_x else here(data.x), constants=here(data.constants))
        self._reg, self.data, self._own_w, self._y = reg, data, own_w, data.y
        self._guesses, self._searches, self._seed, self._boxes = guesses, searches, seed, boxes
        self._nfev, self._until, self._max_evals, self._tell = nfev, until, max_evals, tell
        self._dense = DENSE if dense and (searches or SEARCHES) >= SEARCHES else 0
        self._most = math.inf if searches is None else searches + guesses.shape[1]
        first = FIRST if max_evals is None else min(FIRST, max_evals)
        self._programs = Lockstep(reg, points, near, min(searches or SEARCHES, len(points)), own_w, first)
        each = (reg.structure.n + 3) * data.y.shape[1] * reg.structure.dtype.itemsize
        lanes = min(max(1 << int(np.log2(max(BLOCK_MEMORY / each, 1))), FEWEST), MOST)
        self._lanes = int(min(lanes, most or 1 << (len(data.y) - 1).bit_length()))
        self._shown, self.compile_time, self._precise = shown, 0.0, x64()
        self._journal, self._compiling = Journal(kept), {}
        self._group = len(data.y) if tell is None and kept is None else GROUP

    def fit(self, absolute_sigma: bool, interrupt: Interrupt, screen: Any = None) -> tuple[Any, ...]:
        """Parameters, costs, covariances, evaluations, why the searches ended, and what these say of the costs.

        screen: None for the starts of `points`; else points, places and reach (see `Lockstep.further`) of those from
        which the starts beside the guesses are chosen, or () where the guesses are all.
        """
        self._interrupt = interrupt
        count, n = len(self._y), self._reg.structure.n
        self._floor = self._noise()
        self._begin(count)
        while self._first < count:
            group = np.arange(self._first, min(self._first + self._group, count))
            if self._first and self._asked():
                self._cut_off[self._first :] = ASKED
                break
            if self._screenings < 0:
                self._open(group, screen)
            self._settle(group)
        self._journal.write()
        p, f, R, nfev, status = self._best
        points = np.sum(self.data.w > 0, axis=1) if self._own_w else self._y.shape[1]  # without those masked
        free = self._reg.free if self._boxes is None else self._boxes[:, 1] > self._boxes[:, 0]
        dof = points - np.sum(free, axis=-1)
        own: Any = self.data.units
        unit = np.asarray(own.r, float)
        variance = np.where(dof > 0, self.data.cost(f) / unit**2 / np.maximum(dof, 1), np.inf)
        size = np.full(count, 1 / unit**2) if absolute_sigma else variance
        tolerance = float(np.finfo(self._reg.structure.dtype).eps) * self._y.shape[1]
        pcov = np.empty(R.shape)
        kinds, kind = np.unique(np.atleast_2d(free), axis=0, return_inverse=True)
        for k, one in enumerate(kinds):
            which = np.broadcast_to(kind.reshape(-1) == k, count)
            pcov[which] = covariances(R[which], size[which], one, tolerance)
        return p.reshape(count, n), f, pcov, nfev, self._why(f, self._done & np.isin(status, CONVERGED)), self._known

    def _why(self, f: np.ndarray, believed: np.ndarray) -> np.ndarray:
        """(P,) of `Status`: why the searches of each data set ended."""
        asked = Status.INTERRUPTED if self._interrupt.asked else Status.MAX_TIME
        asked = Status.CALLBACK if self._stopped else asked
        ends = [(self._cut_off == ASKED, asked), (self._cut_off == SPENT, Status.MAX_EVALS), (believed, Status.SAME)]
        why = np.array([Status.UNSETTLED] * len(f), object)
        for which, status in [(~np.isfinite(f), Status.NO_FINITE_VALUE), *reversed(ends)]:
            why[which] = status
        return why

    def _noise(self) -> np.ndarray:
        """(P,) Costs below are rounding errors."""
        w, y = self.data.w, self.data.y
        squares = np.sum((y @ w.T if self._reg.covariance else w * y).astype(float) ** 2, axis=1)
        return descent.NOISE * (regression.ROUNDING * float(np.finfo(y.dtype).eps)) ** 2 * squares

    def _gone_through(self, which: np.ndarray) -> np.ndarray:
        """Those of these data sets whose fits go through data taken for far ones: nothing is known of them."""
        which = which[self._able(which)]
        if not len(which):
            return which
        far: Any = self.data.far
        by = far.by.copy()
        by[which] = outlying.nearer(by[which], self._blocks(which, self._programs.left, self._best[0][which])[0])
        through = which[np.any(by[which] != far.by[which], axis=1)]
        if len(through):
            self._load_data(by)
        for field, news in zip(self._known, agreement.nothing(len(through)), strict=True):
            field[through] = news
        return through

    def _load_data(self, by: np.ndarray) -> None:
        """The data where only these are far, (P, N)."""
        self.data = self.data.nearer(by, self._reg.loss)
        self._floor = self._noise()

    def _begin(self, count: int) -> None:
        """Before the first search, or where the file stands."""
        self._best: Any = None
        self._known, self._cut_off = agreement.nothing(count), np.zeros(count, np.int8)
        self._done, self._told, self._spent = np.zeros(count, bool), np.zeros(count, bool), np.zeros(count, np.int64)
        self._first, self._screenings, self._cut, self._stopped = 0, -1, False, False
        read = self._journal.load()
        if read is None:
            self._commit()
            return
        state, arrays = read
        self._first, self._screenings = state["first"], state["screenings"]
        self._known = Agreement(*(arrays[f"known_{name}"] for name in Agreement._fields))
        self._cut_off, self._done, self._told = (arrays[name] for name in ("cut_off", "done", "told"))
        if self.data.far is not None:
            self._load_data(arrays["far"])
        if "best_0" in arrays:
            self._best = [arrays[f"best_{i}"] for i in range(5)]
            self._spent = self._best[3].astype(np.int64)

    def _commit(self) -> None:
        """The state is one from which the same call goes on."""
        arrays = {f"known_{name}": field for name, field in self._known._asdict().items()}
        arrays |= {f"best_{i}": field for i, field in enumerate(self._best or [])}
        arrays |= dict(cut_off=self._cut_off, done=self._done, told=self._told)
        arrays |= {} if self.data.far is None else {"far": self.data.far.by}
        self._journal.commit(dict(first=self._first, screenings=self._screenings), arrays)

    def _asked(self) -> bool:
        """Whether Ctrl-C, the time or the callback ends it."""
        return self._interrupt.asked or self._stopped or time.perf_counter() >= self._until

    @property
    def _over(self) -> np.ndarray:
        """(P,) Which data sets are not searched on: their fits are believed, or a limit is reached."""
        return self._done | (self._cut_off != 0) | (self._known.made >= self._most)

    def _open(self, group: np.ndarray, screen: Any) -> None:
        """The first searches of these data sets, (U,). screen: see `fit`."""
        self._begin_with(group, screen)
        through = group if self.data.far is not None and screen is None else group[:0]
        while len(through := self._gone_through(through)):
            self._begin_with(through)
        m, known = len(self._reg.searched), Agreement(*(field[group] for field in self._known))
        seen = (m <= self._dense) & (known.hits == known.made) & (known.made > 0)
        self._done[group] = agreement.reached(known, m) | seen
        self._screenings = 0 if screen is None else MOST_SCREENINGS
        self._end_step(group)

    def _begin_with(self, group: np.ndarray, screen: Any = None) -> None:
        """Searches from the guesses of these data sets, and from the best of the screened starts."""
        count, n, rest = len(self._y), self._reg.structure.n, [self._guesses[group]]
        empty = np.zeros((len(group), 0), self._y.dtype)
        if screen is None:
            if self._max_evals is None and len(self._reg.searched) > 1:  # both are needed: compiled side by side
                block, p = np.arange(min(len(group), self._lanes)), np.zeros((len(group), n), self._y.dtype)
                self._begun(self._programs.first, *self._block(group, block, empty))
                self._begun(self._programs.rest, *self._block(group, block, p), np.int32(SHORT))
            *ends, others = self._blocks(group, self._programs.first, empty)
            np.add.at(self._spent, group, ends[3])
            ends = self._to_the_end(group, ends)
            if self._best is None:
                self._best = [left_out(field, count) for field in ends]
            for mine, field in zip(self._best, ends, strict=True):
                mine[group] = field
            self._learn(group, ends[1][:, None])
            rest.append(others)
        else:
            zero, none = np.zeros(count, np.int64), np.full((count, n, n), np.nan)
            self._best = [none[:, 0].copy(), none[:, 0, 0].copy(), none, zero, zero.copy()]
            if screen:
                starts = self._blocks(group, self._programs.further, empty, *screen)[0][:, : self._searches]
                rest = [np.concatenate([self._guesses, starts], axis=1)]
        for starts in rest:
            if starts.shape[1]:
                self._search(group, starts)

    def _settle(self, group: np.ndarray) -> None:
        """Searches on from further starts until the fits are believed, or give up.

        In one parameter the first screening is dense: that all its searches agree is enough. Each data set has the same
        searches whatever the others need.
        """
        m = len(self._reg.searched)
        one_by_one = self._max_evals is not None or self._searches is not None  # none may be for nothing then
        while self._screenings < MOST_SCREENINGS and not np.all(self._over[group]):
            which = group[~self._over[group]]
            together = self._lanes // (FURTHER * len(which))  # some are for nothing, but lanes would be idle
            together = min(max(together, 1), max(self._screenings, 1), MOST_SCREENINGS - self._screenings)
            together = 1 if one_by_one else together
            starts = [self._further(which, self._screenings + k) for k in range(together)]
            self._done[which] = self._search(which, np.concatenate(starts, axis=1), m)
            self._screenings += together
            self._end_step(group)
        self._first, self._screenings = int(group[-1]) + 1, -1
        self._end_step(group, True)

    def _end_step(self, group: np.ndarray, last: bool = False) -> None:
        """Tells which data sets have ended, and keeps the state. last: none of the group is searched again."""
        if self._cut:
            return
        ended = group if last else group[self._over[group]]
        news = ended[~self._told[ended]]
        self._told[news] = True
        if self._tell is not None and len(news):
            try:
                self._tell(news, self._best[0][news], self._best[1][news], int(np.sum(self._told)))
            except StopIteration:
                self._stopped = True
        self._commit()

    def _further(self, which: np.ndarray, index: int) -> np.ndarray:
        """Starts for these data sets, (U, FURTHER, n), NaN where there are too few: the best of new points."""
        reg, m = self._reg, len(self._reg.searched)
        sequence = sequences.Sobol(SCREENED, self._seed)
        unit = sequence.points(index + 1, 0, SCREENED, m)
        points, places = both_ways(reg, unit)
        reach = 2 * NEAR * sequence.spacing(1, SCREENED, m)
        dtype = reg.structure.dtype
        empty = np.zeros((len(which), 0), dtype)
        more = points, places.astype(dtype), np.asarray(reach, dtype)
        starts = self._blocks(which, self._programs.further, empty, *more)[0]
        left = np.arange(FURTHER) < (self._most - self._known.made[which])[:, None]
        return np.where(left[:, :, None], starts, np.asarray(np.nan, dtype))

    def _search(self, which: np.ndarray, starts: np.ndarray, m: int | None = None) -> np.ndarray:
        """Searches from the starts of these data sets, (U, S, n), NaN where there is none, and keeps what is better.

        m: until the fits are believed of models that are not linear in so many parameters; whether they are.
        """
        rows, columns = np.nonzero(np.isfinite(starts[:, :, 0]))
        f = np.full(starts.shape[:2], np.nan, starts.dtype)
        done = np.zeros(len(which), bool)
        able = self._able(which[rows])
        rows, columns = rows[able], columns[able]
        if not len(rows):
            return done
        flat = which[rows]
        ends = self._to_the_end(flat, self._rest(flat, starts[rows, columns], SHORT))
        np.add.at(self._best[3], flat, ends[3])
        f[rows, columns] = ends[1]
        for first in range(0, starts.shape[1], FURTHER):
            part = np.where(done[:, None], np.nan, f[:, first : first + FURTHER])
            told = self._learn(which, part)
            taken = ~done[rows] & (columns >= first) & (columns < first + FURTHER)
            self._keep(flat[taken], [field[taken] for field in ends])
            done |= m is not None and agreement.reached(told, m)
        return done

    def _learn(self, which: np.ndarray, f: np.ndarray) -> Agreement:
        """Takes in the costs of more searches of these data sets, (U, S); what is known of them now."""
        told = agreement.learn(Agreement(*(field[which] for field in self._known)), f, self._floor[which])
        for field, news in zip(self._known, told, strict=True):
            field[which] = news
        return told

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
        on = on[self._able(which[on])]
        if len(on):
            rest = self._rest(which[on], ends[0][on], self._nfev)
            searched = rest[3] > 0  # the others a limit has left out
            rest[3] += ends[3][on]
            for field, part in zip(ends, rest, strict=True):
                field[on[searched]] = part[searched]
        return ends

    def _rest(self, which: np.ndarray, p: np.ndarray, most: int) -> list[np.ndarray]:
        """Searches on from p, (k, n), of these data sets, with at most so many evaluations each.

        Where the evaluations of a data set are limited, as many side by side as these suffice for in any case; where a
        search has left some, others follow.
        """
        if self._max_evals is None:
            return self._blocks(which, self._programs.rest, p, np.int32(most))
        ends: Any = None
        waiting = np.arange(len(which))
        while len(waiting):
            allowed = afforded(which[waiting], self._max_evals - self._spent[which[waiting]], most)
            now, allowed = waiting[allowed > 0], allowed[allowed > 0].astype(np.int32)
            if not len(now):
                break
            part = self._blocks(which[now], self._programs.limited, (p[now], allowed))
            ends = [left_out(field, len(which)) for field in part] if ends is None else ends
            for field, news in zip(ends, part, strict=True):
                field[now] = news
            np.add.at(self._spent, which[now], part[3])
            short = (allowed < most) & (part[4] == LocalStatus.EVALUATION_LIMIT)
            self._cut_off[which[now[short]]] = SPENT
            waiting = np.setdiff1d(waiting, now)
        self._cut_off[which[waiting]] = SPENT
        return ends

    def _able(self, which: np.ndarray) -> np.ndarray:
        """Which of these data sets, (k,), have evaluations left; those without are not searched to their end."""
        able = self._spent[which] < (math.inf if self._max_evals is None else self._max_evals)
        self._cut_off[which[~able]] = SPENT
        return able

    def _blocks(self, which: np.ndarray, make: Callable[..., Any], p: Any, *more: Any) -> list[np.ndarray]:
        """Runs a program from p, (k, n), on these data sets, (k,), in blocks on all threads.

        NaN and zeros where a limit leaves one out.
        """
        starts = range(0, len(which), self._lanes)
        blocks = [np.arange(first, min(first + self._lanes, len(which))) for first in starts]
        there, fields = self._journal.known() or (np.zeros(len(which), bool), [])
        if not np.all(there):
            self._run(which, [block for block in blocks if not there[block[0]]], there, fields, make, p, *more)
        self._journal.turn()
        return [field.copy() for field in fields]

    def _run(
        self, which: np.ndarray, blocks: list[np.ndarray], there: np.ndarray, fields: list[np.ndarray],
        make: Callable[..., Any], p: Any, *more: Any,
    ) -> None:  # fmt: skip
        """Runs a program on these blocks, and notes in there, (k,), and fields what it returns."""
        program, out_info = self._compiled(make, *self._block(which, blocks[0], p), *more)
        noted = not self._cut  # what follows on a program that was cut is nothing to go on from

        def run(block):
            if self._asked() or program is None:
                return None
            with (
                jax.enable_x64(self._precise),
                jax.disable_jit(False),
                jax.debug_nans(False),
            ):  # a bad trial is no error
                return [np.asarray(leaf)[: len(block)] for leaf in program(*self._block(which, block, p), *more)]

        pool = thread_pool(devices.side_by_side())
        fields += [] if fields else [left_out(leaf, len(which)) for leaf in jax.tree.leaves(out_info)]
        for block, out in zip(blocks, pool.map(run, blocks) if len(blocks) > 1 else map(run, blocks), strict=True):
            if out is None:
                self._cut_off[which[block]], self._cut = ASKED, True
                continue
            for field, part in zip(fields, out, strict=True):
                field[block] = part
            there[block] = True
            self._shown.problems(min(self._first + int(np.sum(there)), len(self._y)), len(self._y))
            if noted:
                self._journal.note(there, fields)

    def _block(self, which: np.ndarray, block: np.ndarray, p: Any) -> tuple[Any, ...]:
        """The arguments of a program for a block of them, the first of which fill it up."""
        block = np.resize(block, self._lanes)
        rows = which[block]
        x, y, w = self.data[:3]
        x = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], x) if self._reg.own_x else x
        far = None if self.data.far is None else Far(*(part[rows] for part in self.data.far))
        own: Any = self.data.units
        data = self.data._replace(x=x, y=y[rows], w=w[rows] if self._own_w else w, far=far, units=own.of(rows))
        data = data._replace(scale=data.scale[rows]) if np.ndim(data.scale) else data
        box = (self._reg.lower, self._reg.upper) if self._boxes is None else np.moveaxis(self._boxes[rows], 1, 0)
        return jax.tree.map(lambda leaf: leaf[block], p), data, *box

    def _compiled(self, make: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
        """The program for arguments of these shapes, None where a limit came first, and what it returns."""
        key, known = self._begun(make, *args), self._reg.programs
        if key not in known:
            began, (out_info, work) = time.perf_counter(), self._compiling[key]
            self._shown.compiling(self._lanes)
            while not aside.ended(work):
                if self._asked():
                    return None, out_info
            known[key] = work.result()
            self.compile_time += time.perf_counter() - began
        return known[key], known[key].out_info

    def _begun(self, make: Callable[..., Any], *args: Any) -> Any:
        """Begins to compile that program, if it is not known; its key."""
        key = make.__name__, device(), self._programs.key, tuple(map(jax.typeof, jax.tree.leaves(args)))
        if key not in self._reg.programs and key not in self._compiling:
            began = time.perf_counter()
            run = one_at_a_time(make, jax.default_backend())  # of the starts' own QR factorisations too
            lowered, plain = jax.jit(run).lower(*args), jax.default_backend() == "cpu"
            work = aside.begin(functools.partial(compiling.compiled, lowered, plain=plain))
            self._compiling[key] = lowered.out_info, work
            self.compile_time += time.perf_counter() - began
        return key


def afforded(which: np.ndarray, left: np.ndarray, most: int) -> np.ndarray:
    """Evaluations that searches of these data sets, (k,), may take now, of so many that each has left; 0: it waits.

    As many of each have `most` as these suffice for; the first has what there is.
    """
    order = np.argsort(which, kind="stable")
    turn = np.empty(len(which), int)
    turn[order] = np.arange(len(which)) - np.searchsorted(which[order], which[order])
    return np.where(turn == 0, np.clip(left, 0, most), np.where(left >= (turn + 1) * most, most, 0))


def left_out(leaf: Any, count: int) -> np.ndarray:
    """What a program returns, for so many data sets that it has not been run for."""
    shape = (count, *leaf.shape[1:])
    return np.full(shape, np.nan, leaf.dtype) if np.issubdtype(leaf.dtype, np.floating) else np.zeros(shape, leaf.dtype)
