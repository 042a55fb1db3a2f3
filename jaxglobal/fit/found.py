"""What the search of one fit has found, level by level, in the units of the search; how it is kept and told."""

import dataclasses
import time
from typing import Any

import numpy as np

from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.minima import Archive, Ended
from jaxglobal.fit import agreement, outlying
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import MAX_NFEV, TOL
from jaxglobal.fit.equal import Equal
from jaxglobal.fit.polishing import LISTED, polished
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.runs import Runs
from jaxglobal.history import History, Step
from jaxglobal.result import Level, Minimum, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.status import LocalStatus, Status

PATIENCE = 2  # times the equal levels, after which a cost on which searches do not agree is the best there is


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


class Found:
    """What is known of one fit.

    Attributes:
        status: RUNNING, or why the search has ended.
        archive: of minima.
        levels: that have ended.
        history: of the lowest cost.
        screened: starts of these levels.
    """

    def __init__(self, regression: Regression, runs: Runs, units: Any, rules: stopping.Rules):
        """units: those of the search."""
        self._regression, self._runs, self._units, self._rules = regression, runs, units, rules
        self._lower, self._width = regression.lower, regression.upper - regression.lower
        self._floor = float(regression.floor(runs.data))
        self.status = Status.RUNNING
        self.archive = minima.empty(regression.structure.n, regression.structure.dtype)
        self.levels: list[Level] = []
        self.history = History()
        self.screened = self._searched = 0
        self._agreement = agreement.nothing(1)
        self._best: list[float] = []  # cost after each level, in the units of the search

    @property
    def data(self) -> Data:
        """As they are searched now."""
        return self._runs.data

    @property
    def agreed(self) -> bool:
        """Whether enough searches agree on the best cost, whatever the levels say."""
        return bool(agreement.reached(self._agreement, len(self._regression.searched))[0])

    @property
    def _equal(self) -> Equal:
        """When two costs are the same."""
        return Equal(self._rules.fatol, self._rules.frtol, self._floor, self._regression.power)

    def _parameters(self, p: np.ndarray) -> Any:
        """Those of the user: in the user's units and structure."""
        return self._regression.structure.unflatten(p * self._units.p)

    def cost(self, f: Any) -> float:
        """A cost in the user's units."""
        return float(self.data.cost(f))

    def end_level(self, level: Underway, next_size: int) -> None:
        """Takes in the ends of a level. next_size: starts of the next one."""
        ended = minima.join(level.ends) if level.ends else None
        statuses: dict[LocalStatus, int] = {}
        if ended is not None:
            self._agreement = agreement.learn(self._agreement, ended.f[None], np.array([self._equal.least]))
            numbered = ended._replace(start=self._searched + np.arange(len(ended.f)))
            self.archive = minima.add(self.archive, numbered, self._lower, self._width, self._equal.least)
            statuses = {
                LocalStatus(int(s)): int(c) for s, c in zip(*np.unique(ended.status, return_counts=True), strict=True)
            }
        searched = 0 if ended is None else len(ended.f)
        self._searched += searched
        found = bool(len(self.archive.f))
        best = int(np.argmin(self.archive.f)) if found else 0
        seconds = time.perf_counter() - level.began
        self.levels.append(
            Level(
                index=level.index,
                x=self._parameters(self.archive.x[best]) if found else None,
                fun=self.cost(self.archive.f[best]) if found else float("nan"),
                nstarts=searched,
                nfev=self._runs.nfev - level.before,
                time=seconds,
                next_time=seconds * min(next_size, 10**100) / level.size,
                spacing=level.spacing,
                complete=level.reached is None,
                statuses=statuses,
            )
        )
        self._best.append(float(self.archive.f[best]) if found else np.inf)
        if self.data.far is not None and found:
            self._go_through(self.archive.x[best])

    def settled(self) -> Status | None:
        """Whether the best cost has stood for long enough; by default enough searches must agree on it, too."""
        rules = dataclasses.replace(self._rules, fatol=self._equal.near(self._best[-1]))
        eps = float(np.finfo(self.archive.f.dtype).eps)
        status = stopping.after_level(rules, self._best, eps, self._runs.nfev)
        if status is not Status.SAME or rules.same is not None or self.agreed:
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
        ended = self._runs.descend(self.archive.x[:LISTED], TOL, MAX_NFEV)
        self.archive = minima.empty(self._regression.structure.n, self._regression.structure.dtype)
        self.archive = minima.add(self.archive, ended, self._lower, self._width, self._equal.least)
        self._agreement = agreement.learn(agreement.nothing(1), ended.f[None], np.array([self._equal.least]))
        self._best = [float(np.min(ended.f))]

    def _load_data(self, by: np.ndarray) -> None:
        """The data where only these are far, (N,)."""
        self._runs.data = self.data.nearer(by, self._regression.loss)
        self._floor = float(self._regression.floor(self.data))

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All of it between two levels."""
        levels, arrays = checkpoints.pack_levels(self.levels, self._regression.structure)
        arrays |= {f"archive_{name}": np.asarray(field) for name, field in self.archive._asdict().items()}
        arrays |= {f"known_{name}": np.asarray(field) for name, field in self._agreement._asdict().items()}
        arrays |= {} if self.data.far is None else {"far": np.asarray(self.data.far.by)}
        counts = {"screened": self.screened, "searched": self._searched, "nfev": self._runs.nfev}
        counts |= {"made": self._runs.made}
        ended = None if self.status is Status.RUNNING else self.status.name
        return dict(levels=levels, best=self._best, counts=counts, steps=self.history.steps, status=ended), arrays

    def unpack(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse."""
        self.levels = checkpoints.unpack_levels(state["levels"], arrays, self._regression.structure)
        self.archive = Archive(*(arrays[f"archive_{name}"] for name in Archive._fields))
        self._agreement = Agreement(*(arrays[f"known_{name}"] for name in Agreement._fields))
        self._best = state["best"]
        self.history.steps = [Step(nfev, 0.0, fun) for nfev, _, fun in state["steps"]]
        counts = state["counts"]
        self.screened, self._searched = counts["screened"], counts["searched"]
        self._runs.nfev, self._runs.made = counts["nfev"], counts["made"]
        if self.data.far is not None:
            self._load_data(arrays["far"])
        self.status = Status.RUNNING if state["status"] is None else Status[state["status"]]

    def minima(self) -> list[Minimum]:
        """The distinct minima, the best to their last digits unless a limit is reached."""
        best = polished(self._runs, self.archive, self._equal)
        fields = zip(best.x, best.f, best.searches, best.status, strict=True)
        return [Minimum(self._parameters(x), self.cost(f), int(n), LocalStatus(int(s))) for x, f, n, s in fields]

    def result(self, found: list[Minimum], elapsed: float) -> Result:
        """The record of the search. found: its distinct minima. elapsed: seconds since the call."""
        finite = bool(found)
        status = self.status if finite or self.status is Status.INTERRUPTED else Status.NO_FINITE_VALUE
        asked = status is Status.SAME and self._rules.same is None  # whether searches agree
        message = agreement.words(self._agreement, 0) if asked else agreement.of_model(status.value)
        nan = self._regression.structure.unflatten(np.full(self._regression.structure.n, np.nan))
        return Result(
            x=found[0].x if finite else nan,
            fun=found[0].fun if finite else float("nan"),
            jac=nan,
            aux=None,
            success=finite and status is Status.SAME,
            status=status,
            message=message,
            nit=len(self.levels),
            nfev=self._runs.nfev,
            njev=self._runs.nfev,
            calls=None,
            nstarts=self._searched,
            levels=self.levels,
            minima=found,
            unseen=None,  # the starts were chosen by their values
            lane_efficiency=min(self._runs.nfev / max(self._runs.made, 1), 1.0),
            time=elapsed,
            compile_time=self._runs.compile_time,
            history=self.history.until(self._runs.nfev, elapsed, found[0].fun) if finite else [],
        )
