"""The search for the global fit: levels of starts, screened, and Levenberg-Marquardt from the best of each.

Starts fill the box of the parameters in which the model is not linear; the others are at their best at every start
(separable.py). The best starts of a level are searched from (sample.py). It ends when the best cost has been the same
in as many levels as the rules say, or the next level would be too large, and is believed if enough searches agree on it
(agreement.py). The order of the steps is that of every search (search/loop.py).
"""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglobal.engine import devices
from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.minima import Archive, Ended
from jaxglobal.fit import agreement, outlying
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import MAX_NFEV, TOL, lanes
from jaxglobal.fit.equal import Equal
from jaxglobal.fit.polishing import LISTED, polished
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.runs import Runs
from jaxglobal.fit.sample import SEARCHED, Sample
from jaxglobal.history import History, Step
from jaxglobal.result import Level, Minimum, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.limits import PAUSES
from jaxglobal.search.progress import Silent
from jaxglobal.starts.designs import Starts
from jaxglobal.status import LocalStatus, Status

PATIENCE = 2  # times the equal levels, after which a cost on which searches do not agree is the best there is
COUNTS = ("_screened", "_searched")


@dataclasses.dataclass
class Underway:
    """A level that has begun.

    Attributes:
        index: of the level.
        began: when.
        before: evaluations before it.
        size: starts of the level.
        spacing: of them.
        starts: (k, n) those to search from that are left.
        reached: the limit that cuts it short, if any.
        dealt: (k, n) those that are searched from now.
        ends: of searches.
    """

    index: int
    began: float
    before: int
    size: int
    spacing: float
    starts: np.ndarray
    reached: Status | None
    dealt: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0)))
    ends: list[Ended] = dataclasses.field(default_factory=list)


class OneFit:
    """The search of one fit; see `loop.Searches`.

    Attributes:
        status: why it ended.
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
        self._regression, self._guesses, self._sequence = regression, guesses, sequence
        self._rules, self._shown, self._began = rules, shown, began
        self._units: Any = data.units
        self._lower, self._width = regression.lower, regression.upper - regression.lower
        self._floor = float(regression.floor(data))
        self._archive = minima.empty(regression.structure.n, regression.structure.dtype)
        self._levels: list[Level] = []
        self._known = agreement.nothing(1)
        self._history = History()
        self._best: list[float] = []  # cost after each level, in the units of the search
        self._screened = self._searched = 0
        self._interrupt, self._callback, self._kept = interrupt, callback, kept
        self._runs = Runs(regression, data, interrupt, shown, self._limit, rules.max_evals)
        self._level: Underway | None = None
        self.status, self._minima = Status.RUNNING, list[Minimum]()
        self._load()

    @property
    def data(self) -> Data:
        """As they are searched in the end."""
        return self._runs.data

    def goes_on(self) -> bool:
        """See `loop.Searches`; level 0 begins whatever the limits."""
        if self.status is Status.RUNNING and self._level is None and self._levels:
            size = self._sequence.size(len(self._levels), len(self._regression.searched))
            reached = stopping.before_level(self._rules, len(self._levels), self._screened, size) or self._limit()
            if reached is Status.TOO_LARGE and self._rules.same is None and self._agreed:
                reached = Status.SAME
            self.status = reached or Status.RUNNING
            if self.status not in (Status.RUNNING, *PAUSES):
                self._save()
        return self.status is Status.RUNNING

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`: chooses what is searched from among the starts of the level."""
        if self._level is None:
            began, before, index = time.perf_counter(), self._runs.nfev, len(self._levels)
            sample = Sample(self._runs, self._sequence, index, self._guesses[: None if index == 0 else 0])
            self._shown.begin(index, sample.searched)
            starts, reached = sample.draw()
            self._screened += sample.size
            self._level = Underway(index, began, before, sample.size, sample.spacing, starts, reached)
        return iter(())

    def deal(self) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        together = max(SEARCHED, lanes(self._regression, len(self.data.y)) * devices.side_by_side())
        level.dealt, level.starts = level.starts[:together], level.starts[together:]
        if self._cut:
            level.dealt = level.dealt[:0]

    @property
    def _cut(self) -> bool:
        """Whether a limit ends the level; not before there is something to return."""
        level: Any = self._level
        return level.reached is not None and bool(level.ends or len(self._archive.f))

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        level: Any = self._level
        return bool(len(level.dealt))

    def run(self) -> Ended:
        """See `loop.Searches`; after a limit one evaluation of each."""
        level: Any = self._level
        return self._runs.descend(level.dealt, TOL, MAX_NFEV)

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        level.ends.append(ended)

    def observe(self) -> None:
        """See `loop.Searches`."""
        level: Any = self._level
        if self.busy:
            lowest = self._cost(min(np.min(end.f) for end in level.ends))
            self._history.note(self._runs.nfev, time.perf_counter() - self._began, lowest)
            self._shown.update(sum(len(end.f) for end in level.ends), lowest)
            level.reached = level.reached or self._limit()

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`."""
        level = self._level
        if level is None or (len(level.starts) and not self._cut):
            return
        self.status, self._level = self._record(level) or Status.RUNNING, None
        if self.status not in PAUSES:
            self._save()
        yield self._levels[-1]

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`: its lanes are as few as can be."""
        raise error

    def end(self) -> None:
        """See `loop.Searches`: the distinct minima, the best to their last digits unless a limit is reached."""
        best = polished(self._runs, self._archive, self._equal)
        fields = zip(best.x, best.f, best.searches, best.status, strict=True)
        self._minima = [
            Minimum(self._parameters(x), self._cost(f), int(n), LocalStatus(int(s))) for x, f, n, s in fields
        ]

    @property
    def _agreed(self) -> bool:
        """Whether enough searches agree on the best cost, whatever the levels say."""
        return bool(agreement.reached(self._known, len(self._regression.searched))[0])

    def _limit(self) -> Status | None:
        """The limit that has been reached."""
        if self._interrupt.asked:
            return Status.INTERRUPTED
        return stopping.within_level(self._rules, 0, self._runs.nfev, time.perf_counter() - self._began)

    def _record(self, level: Underway) -> Status | None:
        """Takes in the ends of a level, and asks the stopping rule."""
        ended = minima.join(level.ends) if level.ends else None
        statuses: dict[LocalStatus, int] = {}
        if ended is not None:
            self._known = agreement.learn(self._known, ended.f[None], np.array([self._equal.least]))
            numbered = ended._replace(start=self._searched + np.arange(len(ended.f)))
            self._archive = minima.add(self._archive, numbered, self._lower, self._width, self._equal.least)
            statuses = {
                LocalStatus(int(s)): int(c) for s, c in zip(*np.unique(ended.status, return_counts=True), strict=True)
            }
        searched = 0 if ended is None else len(ended.f)
        self._searched += searched
        found = bool(len(self._archive.f))
        best = int(np.argmin(self._archive.f)) if found else 0
        seconds, m = time.perf_counter() - level.began, len(self._regression.searched)
        self._levels.append(
            Level(
                index=level.index,
                x=self._parameters(self._archive.x[best]) if found else None,
                fun=self._cost(self._archive.f[best]) if found else float("nan"),
                nstarts=searched,
                nfev=self._runs.nfev - level.before,
                time=seconds,
                next_time=seconds * min(self._sequence.size(level.index + 1, m), 10**100) / level.size,
                spacing=level.spacing,
                complete=level.reached is None,
                statuses=statuses,
            )
        )
        self._shown.end(self._levels[-1])
        self._best.append(float(self._archive.f[best]) if found else np.inf)
        if self.data.far is not None and found:
            self._go_through(self._archive.x[best])
        rules = dataclasses.replace(self._rules, fatol=self._equal.near(self._best[-1]))
        status = level.reached or self._settled(rules)
        if self._callback is not None:
            try:
                self._callback(self._levels[-1])
            except StopIteration:
                if status is None:
                    self._save()  # from which the same call goes on
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
        by = outlying.nearer(far.by, np.asarray(self._regression.left(self.data, self._runs.values(x)[:, None]))[:, 0])
        if np.all(by == far.by):
            return
        self._load_data(by)
        ended = self._runs.descend(self._archive.x[:LISTED], TOL, MAX_NFEV)
        self._archive = minima.empty(self._regression.structure.n, self._regression.structure.dtype)
        self._archive = minima.add(self._archive, ended, self._lower, self._width, self._equal.least)
        self._known = agreement.learn(agreement.nothing(1), ended.f[None], np.array([self._equal.least]))
        self._best = [float(np.min(ended.f))]

    def _load_data(self, by: np.ndarray) -> None:
        """The data where only these are far, (N,)."""
        self._runs.data = self.data.nearer(by, self._regression.loss)
        self._floor = float(self._regression.floor(self.data))

    def _save(self) -> None:
        """Writes the checkpoint, if there is one, between two levels, or at the end."""
        if self._kept is None:
            return
        levels, arrays = checkpoints.pack_levels(self._levels, self._regression.structure)
        arrays |= {f"archive_{name}": np.asarray(field) for name, field in self._archive._asdict().items()}
        arrays |= {f"known_{name}": np.asarray(field) for name, field in self._known._asdict().items()}
        arrays |= {} if self.data.far is None else {"far": np.asarray(self.data.far.by)}
        counts = {name: int(getattr(self, name)) for name in COUNTS}
        counts |= {"nfev": self._runs.nfev, "made": self._runs.made}
        ended = None if self.status is Status.RUNNING else self.status.name
        state = dict(levels=levels, best=self._best, counts=counts, steps=self._history.steps, status=ended)
        self._kept.write(state, arrays)

    def _load(self) -> None:
        """Goes on from the checkpoint, if there is one; if that search had ended, so has this one."""
        if self._kept is None or (read := self._kept.read()) is None:
            return
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
        self.status = Status.RUNNING if state["status"] is None else Status[state["status"]]

    def _parameters(self, p: np.ndarray) -> Any:
        """Those of the user: in the user's units and structure."""
        return self._regression.structure.unflatten(p * self._units.p)

    def _cost(self, f: Any) -> float:
        """A cost in the user's units."""
        return float(self.data.cost(f))

    @property
    def _equal(self) -> Equal:
        """When two costs are the same."""
        return Equal(self._rules.fatol, self._rules.frtol, self._floor, self._regression.power)

    def _message(self, status: Status) -> str:
        """Why the search ended, by what evidence where it decided."""
        return agreement.words(self._known, 0) if status is Status.SAME and self._rules.same is None else status.value

    def result(self) -> Result:
        """The record of the search, once it has ended."""
        found, finite = self._minima, bool(self._minima)
        status = self.status if finite or self.status is Status.INTERRUPTED else Status.NO_FINITE_VALUE
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
