"""The search for the global fit: levels of starts, screened, and Levenberg-Marquardt from the best of each.

Starts fill the box of the parameters in which the model is not linear; the others are at their best at every start
(separable.py). Of the starts of a level those are searched from that no near one beats, and the best others: a reduced
sample, as in [RT]. It ends when the best cost has been the same in as many levels as the rules say, or the next level
would be too large, and is believed if enough searches agree on it (agreement.py).

[RT] A. H. G. Rinnooy Kan and G. T. Timmer, Stochastic global optimization methods, part II: multi level methods,
     Mathematical Programming 39 (1987).
"""

import dataclasses
import itertools
import time
from typing import Any

import numpy as np

from jaxglobal.engine import devices
from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.minima import Archive, Ended
from jaxglobal.fit import agreement, outlying, regression
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import (
    MAX_NFEV,
    NOISE,
    POLISH_NFEV,
    POLISH_TOL,
    SHARPENED,
    TOL,
    lanes,
)
from jaxglobal.fit.fused import SCREENED
from jaxglobal.fit.places import APART, COMPARED, choose, place, sheets
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.runs import Runs
from jaxglobal.history import History, Step
from jaxglobal.result import Level, Minimum, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.progress import Silent
from jaxglobal.starts.designs import Starts
from jaxglobal.status import LocalStatus, Status

SEARCHED = 64  # starts of a level that are searched from, at least
PATIENCE = 2  # times the equal levels, after which a cost on which searches do not agree is the best there is
LISTED = 64  # minima that are searched from again, at most
CLOSE = 1e-4  # relative: parameters that differ by less are no exchange
SHARE = 32  # and one in so many
SIMILAR = 0.5  # of equal fits those count that were found so often beside the one that was found most
PAUSES = (Status.MAX_TIME, Status.INTERRUPTED, Status.CALLBACK)  # a checkpoint goes on after these, level by level
COUNTS = ("_screened", "_searched")


def comes_before(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether a is less than b in the first number in which they differ by more than a little."""
    differ = np.flatnonzero(np.abs(a - b) > CLOSE * (np.abs(a) + np.abs(b)))
    return bool(len(differ) and a[differ[0]] < b[differ[0]])


class Search:
    """A search under way: its levels, and the archive of minima.

    Attributes:
        data: as they are searched in the end.
    """

    def __init__(
        self, regression: Regression, data: Data, guesses: np.ndarray, sequence: Starts, rules: stopping.Rules,
        shown: Silent, began: float, interrupt: Interrupt, callback: Any = None,
        kept: checkpoints.Checkpoint | None = None,
    ):  # fmt: skip
        """regression, data, guesses: in units, of which nothing is left in what comes out.

        guesses: (K, n) of the user's own. interrupt: what asks the search to end. callback: hears of each level. kept:
        where the state is kept between two levels.
        """
        self._regression, self.data, self._guesses, self._sequence = regression, data, guesses, sequence
        self._rules, self._shown, self._began = rules, shown, began
        self._units: Any = data.units
        self._box = regression.lower, regression.upper
        self._floor = float(regression.floor(data))
        self._archive = minima.empty(regression.structure.n, regression.structure.dtype)
        self._levels: list[Level] = []
        self._known = agreement.nothing(1)
        self._history = History()
        self._best: list[float] = []  # cost after each level, in the units of the search
        self._screened = self._searched = self._narrowed = 0
        self._interrupt, self._callback, self._kept = interrupt, callback, kept
        self._runs = Runs(regression, self._box, interrupt, shown, self._limit, rules.max_evals)

    def run(self) -> tuple[Status, list[Minimum]]:
        """Searches level by level; why it ended, and the distinct minima, best first.

        Minima come to their last digits, as far as the limits and Ctrl-C leave room for that.
        """
        m, status = len(self._regression.searched), self._load()
        while status is None:
            index = len(self._levels)
            size = self._sequence.size(index, m) + (len(self._guesses) if index == 0 else 0)
            if index:
                status = stopping.before_level(self._rules, index, self._screened, size) or self._limit()
                if status is Status.TOO_LARGE and self._rules.same is None and self._agreed:
                    status = Status.SAME
            if status is None:
                status = self._level(index, size)
            if status not in PAUSES:
                self._save(status)
        return status, self._polish()

    @property
    def _agreed(self) -> bool:
        """Whether enough searches agree on the best cost, whatever the levels say."""
        return bool(agreement.reached(self._known, len(self._regression.searched))[0])

    def _limit(self) -> Status | None:
        """The limit that has been reached."""
        if self._interrupt.asked:
            return Status.INTERRUPTED
        return stopping.within_level(self._rules, 0, self._runs.nfev, time.perf_counter() - self._began)

    def _level(self, index: int, size: int) -> Status | None:
        """Screens and searches a level, records it, and asks the stopping rule."""
        began, before, m = time.perf_counter(), self._runs.nfev, len(self._regression.searched)
        spacing, status = self._sequence.spacing(index, size, m), None
        count = max(SEARCHED, size // SHARE)
        placed = size + (len(sheets(self._regression)) - 1) * self._sequence.size(index, m)
        self._shown.begin(index, min(count, placed))
        p = self._guesses if index == 0 else self._guesses[:0]
        f = np.full(len(p), -np.inf)  # the user's own come first
        unit = APART * (2.0 + np.arange(len(p))[:, None] + np.zeros(m))  # and are nobody's neighbours
        blocks = range(0, self._sequence.size(index, m), SCREENED)
        for sheet, first in [(sheet, first) for sheet in sheets(self._regression) for first in blocks]:
            many = min(SCREENED, self._sequence.size(index, m) - first, max(self._runs.left, 1))
            block = self._sequence.points(index, first, int(many), m)
            points = place(self._regression, block, sheet)
            block = block + APART * sheet
            value = np.zeros(len(block))
            if placed > count:
                points, value = self._runs.screen(self.data, points, placed)
            unit, p, f = np.concatenate([unit, block]), np.concatenate([p, points]), np.concatenate([f, value])
            best = np.argsort(np.where(np.isnan(f), np.inf, f), kind="stable")[: max(COMPARED, count)]
            unit, p, f = unit[best], p[best], f[best]
            status = self._limit()
            if status is not None:
                break
        self._screened += size
        f = np.where(np.isneginf(f), -np.finfo(float).max, f)
        starts = p[choose(unit, f, spacing, count)]
        ends, together = [], max(SEARCHED, lanes(self._regression, len(self.data.y)) * devices.side_by_side())
        for first in range(0, len(starts), together):
            if status is not None and (ends or len(self._archive.f)):  # else one evaluation of each, to have a fit
                break
            ends.append(self._runs.descend(self.data, starts[first : first + together], TOL, MAX_NFEV))
            lowest = self._cost(min(np.min(end.f) for end in ends))
            self._history.note(self._runs.nfev, time.perf_counter() - self._began, lowest)
            self._shown.update(sum(len(end.f) for end in ends), lowest)
            status = status or self._limit()
        return self._record(index, minima.join(ends) if ends else None, spacing, size, began, before, status)

    def _record(self, index, ended: Ended | None, spacing, size, began, before, status: Status | None) -> Status | None:
        """Takes in the ends of a level."""
        statuses: dict[LocalStatus, int] = {}
        if ended is not None:
            self._known = agreement.learn(self._known, ended.f[None], np.array([self.same]))
            numbered = ended._replace(start=self._searched + np.arange(len(ended.f)))
            self._archive = minima.add(self._archive, numbered, self._box[0], self._box[1] - self._box[0], self.same)
            statuses = {
                LocalStatus(int(s)): int(c) for s, c in zip(*np.unique(ended.status, return_counts=True), strict=True)
            }
        searched = 0 if ended is None else len(ended.f)
        self._searched += searched
        found = bool(len(self._archive.f))
        best = int(np.argmin(self._archive.f)) if found else 0
        seconds, m = time.perf_counter() - began, len(self._regression.searched)
        self._levels.append(
            Level(
                index=index,
                x=self._parameters(self._archive.x[best]) if found else None,
                fun=self._cost(self._archive.f[best]) if found else float("nan"),
                nstarts=searched,
                nfev=self._runs.nfev - before,
                time=seconds,
                next_time=seconds * min(self._sequence.size(index + 1, m), 10**100) / size,
                spacing=spacing,
                complete=status is None,
                statuses=statuses,
            )
        )
        self._shown.end(self._levels[-1])
        self._best.append(float(self._archive.f[best]) if found else np.inf)
        if self.data.far is not None and found:
            self._go_through(self._archive.x[best])
        rules = dataclasses.replace(self._rules, fatol=self._alike(self._best[-1]))
        status = status or self._settled(rules)
        if self._callback is not None:
            try:
                self._callback(self._levels[-1])
            except StopIteration:
                if status is None:
                    self._save(None)  # from which the same call goes on
                return status or Status.CALLBACK
        return status

    def _settled(self, rules: stopping.Rules) -> Status | None:
        """Whether the best cost has stood for long enough; by default enough searches must agree on it, too."""
        eps = float(np.finfo(self._archive.f.dtype).eps)
        status = stopping.after_level(rules, self._best, eps, self._runs.nfev)
        if status is not Status.SAME or self._rules.same is not None or self._agreed:
            return status
        longer = dataclasses.replace(rules, same=PATIENCE * rules.alike)
        return Status.UNSETTLED if stopping.after_level(longer, self._best, eps) is Status.SAME else None

    def _go_through(self, x: np.ndarray) -> None:
        """Begins again, with what was found, where the best fit goes through data that were taken for far ones."""
        far: Any = self.data.far
        by = outlying.nearer(
            far.by, np.asarray(self._regression.left(self.data, self._runs.values(self.data, x)[:, None]))[:, 0]
        )
        if np.all(by == far.by):
            return
        self._load_data(by)
        ended = self._runs.descend(self.data, self._archive.x[:LISTED], TOL, MAX_NFEV)
        self._archive = minima.empty(self._regression.structure.n, self._regression.structure.dtype)
        self._archive = minima.add(self._archive, ended, self._box[0], self._box[1] - self._box[0], self.same)
        self._known = agreement.learn(agreement.nothing(1), ended.f[None], np.array([self.same]))
        self._best = [float(np.min(ended.f))]

    def _load_data(self, by: np.ndarray) -> None:
        """The data where only these are far, (N,)."""
        self.data = self.data.nearer(by, self._regression.loss)
        self._floor = float(self._regression.floor(self.data))

    def _save(self, status: Status | None) -> None:
        """Writes the checkpoint, if there is one, between two levels, or at the end."""
        if self._kept is None:
            return
        levels, arrays = checkpoints.pack_levels(self._levels, self._regression.structure)
        arrays |= {f"archive_{name}": np.asarray(field) for name, field in self._archive._asdict().items()}
        arrays |= {f"known_{name}": np.asarray(field) for name, field in self._known._asdict().items()}
        arrays |= {} if self.data.far is None else {"far": np.asarray(self.data.far.by)}
        counts = {name: int(getattr(self, name)) for name in COUNTS}
        counts |= {"nfev": self._runs.nfev, "made": self._runs.made}
        ended = None if status is None else status.name
        state = dict(levels=levels, best=self._best, counts=counts, steps=self._history.steps, status=ended)
        self._kept.write(state, arrays)

    def _load(self) -> Status | None:
        """Goes on from the checkpoint, if there is one; how the search has ended, if it has."""
        if self._kept is None or (read := self._kept.read()) is None:
            return None
        state, arrays = read
        self._levels = checkpoints.unpack_levels(state["levels"], arrays, self._regression.structure)
        self._archive = Archive(*(arrays[f"archive_{name}"] for name in Archive._fields))
        self._known = Agreement(*(arrays[f"known_{name}"] for name in Agreement._fields))
        self._best = state["best"]
        self._history.steps = [Step(nfev, 0.0, fun) for nfev, _, fun in state["steps"]]
        for name in COUNTS:
            setattr(self, name, state["counts"][name])
        self._runs.nfev, self._runs.made = state["counts"]["nfev"], state["counts"]["made"]
        if self.data.far is not None:
            self._load_data(arrays["far"])
        return None if state["status"] is None else Status[state["status"]]

    def _parameters(self, p: np.ndarray) -> Any:
        """Those of the user: in the user's units and structure."""
        return self._regression.structure.unflatten(p * self._units.p)

    def _cost(self, f: Any) -> float:
        """A cost in the user's units."""
        return float(self.data.cost(f))

    @property
    def same(self) -> float:
        """Two costs that differ by less are the same: what rounding does to a vanishing one."""
        return max(self._rules.fatol, NOISE ** (self._regression.power / 2) * self._floor)

    def _alike(self, f: float) -> float:
        """Two costs near f that differ by less are the same: what rounding does to squares of small residuals."""
        squares = self._regression.power == 2 and np.isfinite(f)
        return self.same + 2 * (max(f, 0.0) * self._floor) ** 0.5 if squares else self.same

    def _polish(self) -> list[Minimum]:
        """The distinct minima; the best of them to their last digits, unless a limit is reached. See `_chosen`."""
        width = self._box[1] - self._box[0]
        merged = minima.merge(self._archive, self._box[0], width, self.same, self._rules.frtol)
        if not len(merged.f):
            return []
        x, f, status = merged.x.copy(), merged.f.copy(), merged.status.copy()
        if self._limit() is None:
            count = min(LISTED, len(f))
            ended = self._runs.descend(self.data, x[:count], POLISH_TOL, POLISH_NFEV)
            lower = np.flatnonzero(ended.f < f[:count])
            x[lower], f[lower], status[lower] = ended.x[lower], ended.f[lower], ended.status[lower]
        while self._sharpens(x[np.argmin(f)]):  # costs below are those of another bend
            ended = self._runs.descend(self.data, x, POLISH_TOL, POLISH_NFEV)
            x, f, status = ended.x, ended.f, ended.status
        again = minima.merge(
            merged._replace(x=x, f=f, status=status), self._box[0], width, self.same, self._rules.frtol
        )
        first = self._chosen(again)
        x, f = self._exchanged(again.x[first], float(again.f[first]))
        again.x[first], again.f[first] = x, f
        order = [first, *(i for i in range(len(again.f)) if i != first)]
        fields = zip(*(field[order] for field in (again.x, again.f, again.searches, again.status)), strict=True)
        return [Minimum(self._parameters(x), self._cost(f), int(n), LocalStatus(int(s))) for x, f, n, s in fields]

    def _sharpens(self, x: np.ndarray) -> bool:
        """Narrows the bend of least absolute deviations where the residuals of the best fit ask for that."""
        if self._regression.loss != "lad" or self._narrowed == SHARPENED or self._limit() is not None:
            return False
        before, r = self.data.scale, regression.left(self._regression, self.data, self._runs.values(self.data, x))
        self.data = self.data._replace(scale=np.asarray(self._regression.sharper(self.data, r).scale))
        self._narrowed += 1
        return bool(self.data.scale < before)

    def _exchanged(self, x: np.ndarray, f: float) -> tuple[np.ndarray, float]:
        """The fit with equal parts of a sum in ascending order, where exchanging parameters gives an equal fit."""
        pairs = list(itertools.combinations(self._regression.searched, 2))
        moves = [(pair,) for pair in pairs]
        moves += [both for both in itertools.combinations(pairs, 2) if len({*both[0], *both[1]}) == 4]
        searched = self._regression.searched
        for _ in range(len(searched)):
            tried = np.repeat(x[None], len(moves), axis=0)
            for row, move in zip(tried, moves, strict=True):
                for i, j in move:
                    row[[i, j]] = row[[j, i]]
            inside = np.all((tried >= self._box[0]) & (tried <= self._box[1]), axis=1)
            earlier = np.array([comes_before(row[searched], x[searched]) for row in tried], bool)
            tried = tried[inside & earlier][:LISTED]
            if not len(tried) or self._limit() is not None:
                break
            ended = self._runs.descend(self.data, tried, POLISH_TOL, MAX_NFEV)
            equal = ended.x[ended.f <= f + self._alike(f) + self._rules.frtol * abs(f)]
            equal = [row for row in equal if comes_before(row[searched], x[searched])]
            if not equal:
                break
            for row in equal:
                x = row if comes_before(row[searched], x[searched]) else x
            f = float(ended.f[np.argmin(np.max(np.abs(ended.x - x), axis=1))])
        return x, f

    def _chosen(self, archive: Archive) -> int:
        """The best minimum; of several with the same cost the first in the order of the searched parameters.

        Equal parts of a sum can change places: so they come out in ascending order. Aliases of a period also fit
        equally, but are hardly ever found: those do not count.
        """
        best = float(archive.f[0])
        ties = archive.f <= best + self._alike(best) + self._rules.frtol * abs(best)
        ties = np.flatnonzero(ties & (archive.searches >= SIMILAR * np.max(archive.searches[ties])))
        searched = self._regression.searched
        first = ties[0]
        for i in ties[1:]:
            first = i if comes_before(archive.x[i][searched], archive.x[first][searched]) else first
        return int(first)

    def _message(self, status: Status) -> str:
        """Why the search ended, by what evidence where it decided."""
        return agreement.words(self._known, 0) if status is Status.SAME and self._rules.same is None else status.value

    def result(self, status: Status, found: list[Minimum]) -> Result:
        """The record of the search."""
        finite = bool(found)
        status = status if finite or status is Status.INTERRUPTED else Status.NO_FINITE_VALUE
        nan = self._regression.structure.unflatten(np.full(self._regression.structure.n, np.nan))
        elapsed = time.perf_counter() - self._began
        return Result(
            x=found[0].x if finite else nan,
            fun=found[0].fun if finite else float("nan"),
            jac=nan,
            aux=None,
            success=finite and status is Status.SAME,
            status=status,
            message=self._message(status),
            nit=len(self._levels),
            nfev=self._runs.nfev,
            njev=self._runs.nfev,
            calls=None,
            nstarts=self._searched,
            levels=self._levels,
            minima=found,
            unseen=None,  # the starts were chosen by their values
            lane_efficiency=min(self._runs.nfev / max(self._runs.made, 1), 1.0),
            time=elapsed,
            compile_time=self._runs.compile_time,
            history=self._history.until(self._runs.nfev, elapsed, found[0].fun) if finite else [],
        )
