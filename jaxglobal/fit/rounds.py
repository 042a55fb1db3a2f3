"""The fits of many data sets: searched in rounds, until the searches of each agree on the lowest cost.

All are screened at the same starts and searched from the best (many_searches.py); those whose searches do not agree
(agreement.py) are searched from further starts, with the same numbers whatever the others need. Where someone listens,
or a file is kept (journal.py), they are searched in groups, one after the other.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxglobal.fit import agreement, descent, outlying
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.blocks import Blocks
from jaxglobal.fit.covariance import covariances
from jaxglobal.fit.data import Data
from jaxglobal.fit.finish import CONVERGED
from jaxglobal.fit.journal import Journal
from jaxglobal.fit.limits import ASKED, Limits
from jaxglobal.fit.lockstep import FIRST, FURTHER, Lockstep
from jaxglobal.fit.many_searches import ManySearches
from jaxglobal.fit.places import NEAR, both_ways
from jaxglobal.fit.regression import Regression
from jaxglobal.result import Level
from jaxglobal.search import loop
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.progress import Silent
from jaxglobal.starts import designs as sequences

SEARCHES = 2  # of each data set, at first
DENSE = 1  # searched parameters in which so many starts are dense
SCREENED = 256  # further starts that are screened at a time
MOST_SCREENINGS = 64  # after which a fit is not believed
GROUP = 4096  # data sets that are searched to their end before others begin, where someone listens to what has ended


class ManyFits:
    """The data sets, group by group; see `loop.Searches`."""

    def __init__(
        self, reg: Regression, data: Data, own_w: bool, points: np.ndarray, near: np.ndarray, guesses: np.ndarray,
        searches: int | None, seed: int, shown: Silent, limits: Limits, boxes: np.ndarray | None = None,
        most: int | None = None, nfev: int = descent.MAX_NFEV, tell: Callable[..., Any] | None = None,
        kept: Checkpoint | None = None, dense: bool = True,
    ):  # fmt: skip
        """data: with the data sets first. own_w: whether each has weights of its own.

        points: (G, n) the starts that are screened. near: (G, K) neighbours of each. guesses: (P, K, n). searches: of
        each data set beside these, at most; None: until they agree. seed: of further starts. boxes: (P, 2, n) of each
        data set, where they differ. most: data sets side by side, also where there are fewer; None: no more than these.
        nfev: evaluations of a search, at most. tell: tell(which, p, f, done) hears of data sets that have ended, (k,),
        and how many have so far; raises StopIteration to stop. kept: where the state is kept. dense: whether points
        are, in up to `DENSE` parameters.
        """
        self._reg, self._own_w, self._guesses, self._few, self._seed = reg, own_w, guesses, searches, seed
        self._boxes, self._limits, self._tell = boxes, limits, tell
        self._dense = DENSE if dense and (searches or SEARCHES) >= SEARCHES else 0
        self._most = math.inf if searches is None else searches + guesses.shape[1]
        first = FIRST if limits.max_evals is None else min(FIRST, limits.max_evals)
        self._programs = Lockstep(reg, points, near, min(searches or SEARCHES, len(points)), own_w, first)
        self._journal = Journal(kept)
        self._blocks = Blocks(reg, data, own_w, boxes, most, self._programs.key, limits, self._journal, shown)
        self._searches = ManySearches(reg, self._blocks, self._programs, limits, nfev)
        self._count = len(data.y)
        self._together = self._count if tell is None and kept is None else GROUP
        self._screen: Any = None
        self._dealt: tuple[np.ndarray, np.ndarray, int] | None = None
        self._begin()

    @property
    def data(self) -> Data:
        """As they are searched in the end."""
        return self._blocks.data

    @property
    def compile_time(self) -> float:
        """Seconds."""
        return self._blocks.compile_time

    def fit(self, absolute_sigma: bool, screen: Any = None) -> tuple[Any, ...]:
        """Parameters, costs, covariances, evaluations, why the searches ended, and what these say of the costs.

        screen: None for the starts of `points`; else points, places and reach (see `Lockstep.further`) of those from
        which the starts beside the guesses are chosen, or () where the guesses are all.
        """
        self._screen = screen
        for _ in loop.search(self):
            pass
        p, f, R, nfev, status = self._searches.best
        p = np.where(np.isfinite(f)[:, None], p, np.asarray(np.nan, p.dtype))
        why = self._limits.why(f, self._done & np.isin(status, CONVERGED))
        return p, f, self._covariances(f, R, absolute_sigma), nfev, why, self._searches.agreement

    def goes_on(self) -> bool:
        """See `loop.Searches`; the first group begins whatever the limits."""
        opens = self._screenings < 0
        if opens and self._first and self._limits.asked():
            self._limits.cut_off[self._first :] = ASKED
            return False
        return self._first < self._count

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`: programs are compiled as they are run."""
        self._group = np.arange(self._first, min(self._first + self._together, self._count))
        self._blocks.done = self._first
        return iter(())

    def deal(self) -> None:
        """See `loop.Searches`: further starts of those data sets of the group whose searches do not agree."""
        self._dealt = None if self._screenings < 0 or self._group_over else self._further_starts()

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        return self._screenings < 0 or self._dealt is not None

    def run(self) -> tuple[np.ndarray, np.ndarray, int]:
        """See `loop.Searches`: which data sets were searched, whether their fits are believed, screenings by then."""
        if self._dealt is None:
            return self._group, self._open(self._group), 0 if self._screen is None else MOST_SCREENINGS
        which, starts, screenings = self._dealt
        return which, self._searches.search(which, starts, len(self._reg.searched)), screenings

    def take(self, ended: tuple[np.ndarray, np.ndarray, int]) -> None:
        """See `loop.Searches`."""
        which, believed, self._screenings = ended
        self._done[which] = believed

    def observe(self) -> None:
        """See `loop.Searches`."""
        self._end_step(self._group[self._over[self._group]])

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`: ends a group; its data sets have no levels of their own."""
        if self._group_over:
            self._first, self._screenings = int(self._group[-1]) + 1, -1
            self._end_step(self._group)
        return iter(())

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`: its lanes are as few as can be."""
        raise error

    def end(self) -> None:
        """See `loop.Searches`."""
        self._journal.write()

    def _covariances(self, f: np.ndarray, R: np.ndarray, absolute_sigma: bool) -> np.ndarray:
        """(P, n, n) Those of the parameters, from the costs and the triangular factors of the Jacobians."""
        count, N = self.data.y.shape
        points = np.sum(self.data.w > 0, axis=1) if self._own_w else N  # without those masked
        free = self._reg.free if self._boxes is None else self._boxes[:, 1] > self._boxes[:, 0]
        dof = points - np.sum(free, axis=-1)
        own: Any = self.data.units
        unit = np.asarray(own.r, float)
        squared = self.data._replace(units=own._replace(r=1 / unit)).cost(f)  # over unit^2, which may overflow
        variance = np.where(dof > 0, squared / np.maximum(dof, 1), np.inf)
        size = np.full(count, 1 / unit**2) if absolute_sigma else variance
        tolerance = float(np.finfo(self._reg.structure.dtype).eps) * N
        sides = np.stack([self._reg.lower, self._reg.upper])[None] if self._boxes is None else self._boxes
        width = np.broadcast_to(sides[:, 1] - sides[:, 0], (count, R.shape[1]))
        hidden = np.sqrt(descent.noise(self._reg, self.data) / descent.NOISE)
        pcov = np.empty(R.shape)
        kinds, kind = np.unique(np.atleast_2d(free), axis=0, return_inverse=True)
        for k, one in enumerate(kinds):
            which = np.broadcast_to(kind.reshape(-1) == k, count)
            pcov[which] = covariances(R[which], size[which], one, tolerance, width[which], hidden[which])
        return pcov

    def _begin(self) -> None:
        """Before the first search, or where the file stands."""
        self._done, self._told = np.zeros(self._count, bool), np.zeros(self._count, bool)
        self._first, self._screenings = 0, -1
        read = self._journal.load()
        if read is None:
            self._commit()
            return
        state, arrays = read
        self._first, self._screenings = state["first"], state["screenings"]
        self._searches.agreement = Agreement(*(arrays[f"known_{name}"] for name in Agreement._fields))
        self._limits.cut_off, self._done, self._told = (arrays[name] for name in ("cut_off", "done", "told"))
        if self.data.far is not None:
            self._searches.nearer(arrays["far"])
        if "best_0" in arrays:
            self._searches.best = [arrays[f"best_{i}"] for i in range(5)]
            self._limits.spent = self._searches.best[3].astype(np.int64)

    def _commit(self) -> None:
        """The state is one from which the same call goes on."""
        arrays = {f"known_{name}": field for name, field in self._searches.agreement._asdict().items()}
        arrays |= {f"best_{i}": field for i, field in enumerate(self._searches.best or [])}
        arrays |= dict(cut_off=self._limits.cut_off, done=self._done, told=self._told)
        arrays |= {} if self.data.far is None else {"far": self.data.far.by}
        self._journal.commit(dict(first=self._first, screenings=self._screenings), arrays)

    @property
    def _over(self) -> np.ndarray:
        """(P,) Which data sets are not searched on: their fits are believed, or a limit is reached."""
        return self._done | (self._limits.cut_off != 0) | (self._searches.agreement.made >= self._most)

    @property
    def _group_over(self) -> bool:
        """Whether no data set of the group is searched on; they give up after so many screenings."""
        return self._screenings >= MOST_SCREENINGS or bool(np.all(self._over[self._group]))

    def _open(self, group: np.ndarray) -> np.ndarray:
        """The first searches of these data sets, (U,); whether their fits are believed.

        In one parameter the first screening is dense: that all its searches agree is enough.
        """
        self._begin_with(group)
        through = group if self.data.far is not None and self._screen is None else group[:0]
        while len(through := self._gone_through(through)):
            self._begin_with(through)
        m, known = len(self._reg.searched), Agreement(*(field[group] for field in self._searches.agreement))
        seen = (m <= self._dense) & (known.hits == known.made) & (known.made > 0)
        return agreement.reached(known, m) | seen

    def _begin_with(self, group: np.ndarray) -> None:
        """Searches from the guesses of these data sets, and from the best of the screened starts."""
        rest, screen = [self._guesses[group]], self._screen
        if screen is None:
            rest.append(self._searches.begin(group))
        else:
            self._searches.begin_without()
            if screen:
                empty = np.zeros((len(group), 0), self.data.y.dtype)
                starts = self._blocks.run(group, self._programs.further, empty, *screen)[0][:, : self._few]
                rest = [np.concatenate([self._guesses, starts], axis=1)]
        for starts in rest:
            if starts.shape[1]:
                self._searches.search(group, starts)

    def _gone_through(self, which: np.ndarray) -> np.ndarray:
        """Those of these data sets whose fits go through data taken for far ones: nothing is known of them."""
        which = which[self._limits.able(which)]
        if not len(which):
            return which
        far: Any = self.data.far
        by = far.by.copy()
        left = self._blocks.run(which, self._programs.left, self._searches.best[0][which])[0]
        by[which] = outlying.nearer(by[which], left)
        through = which[np.any(by[which] != far.by[which], axis=1)]
        if len(through):
            self._searches.nearer(by)
        self._searches.forget(through)
        return through

    def _further_starts(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Which data sets are searched on, their starts, (U, S, n), and the screenings by then.

        Each data set has the same searches whatever the others need.
        """
        which = self._group[~self._over[self._group]]
        together = self._blocks.lanes // (FURTHER * len(which))  # some are for nothing, but lanes would be idle
        together = min(max(together, 1), max(self._screenings, 1), MOST_SCREENINGS - self._screenings)
        if self._limits.max_evals is not None or self._few is not None:  # none may be for nothing then
            together = 1
        starts = [self._further(which, self._screenings + k) for k in range(together)]
        return which, np.concatenate(starts, axis=1), self._screenings + together

    def _end_step(self, ended: np.ndarray) -> None:
        """Tells which data sets have ended, of these that are not searched again, and keeps the state."""
        if self._blocks.cut:
            return
        news = ended[~self._told[ended]]
        self._told[news] = True
        if self._tell is not None and len(news):
            try:
                self._tell(news, self._searches.best[0][news], self._searches.best[1][news], int(np.sum(self._told)))
            except StopIteration:
                self._limits.stopped = True
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
        starts = self._blocks.run(which, self._programs.further, empty, *more)[0]
        left = np.arange(FURTHER) < (self._most - self._searches.agreement.made[which])[:, None]
        return np.where(left[:, :, None], starts, np.asarray(np.nan, dtype))
