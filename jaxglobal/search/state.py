"""What the search of one problem knows: what it has found, the levels that have ended, and the one under way."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxglobal.calls import Calls
from jaxglobal.constraints import feasible
from jaxglobal.constraints.subject import Subject
from jaxglobal.engine.spent import Spent
from jaxglobal.evidence import stopping
from jaxglobal.history import History
from jaxglobal.problem.objective import Objective
from jaxglobal.result import Level
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search.incumbent import Incumbent
from jaxglobal.search.limits import PAUSES
from jaxglobal.status import Status


@dataclasses.dataclass
class Underway:
    """A level that has begun: what the search keeps beside the lanes.

    Attributes:
        index: of the level.
        dealt: starts dealt to the lanes.
        done: local searches that ended.
        counts: of them by `LocalStatus`.
        nfev: evaluations when the level began.
        seconds: that the level has taken so far.
    """

    index: int
    dealt: int
    done: int
    counts: np.ndarray
    nfev: int
    seconds: float = 0.0


@dataclasses.dataclass
class SearchState:
    """What is known beside the lanes and the source of the starts.

    Attributes:
        subject: what is searched under constraints, None without; values are then ranks.
        level: the one under way.
        gradient: a point, and the gradient there.
        looked: gradients that were evaluated for a `result`, of which the search itself knows nothing.
        calls: of a checkpoint.
        seconds: from the call to the end, None before.
    """

    problem: Objective
    rules: stopping.Rules
    subject: Subject | None
    found: Incumbent
    levels: list[Level] = dataclasses.field(default_factory=list)
    level: Underway | None = None
    status: Status = Status.RUNNING
    history: History = dataclasses.field(default_factory=History)
    gradient: tuple[np.ndarray, np.ndarray] | None = None
    looked: int = 0
    calls: Calls | None = None
    seconds: float | None = None

    @property
    def under_way(self) -> Underway:
        """The level under way."""
        if self.level is None:
            raise RuntimeError("no level is under way.")
        return self.level

    def value(self, f: float) -> float:
        """The value of a point that was found, NaN where it has none, or is not feasible."""
        if self.subject is not None:
            return feasible.value(f, self.subject.dtype)
        return f if math.isfinite(f) else math.nan

    def shown(self, f: float) -> float:
        """The same for the display, which knows no NaN."""
        value = self.value(f)
        return math.inf if math.isnan(value) else value

    def note_values(self, f: np.ndarray, spent: Spent, elapsed: float) -> None:
        """Notes where values alone, (k,), the last that were spent, have lowered the best."""
        lowest = np.minimum.accumulate(np.append(self.found.f, f))
        for i in np.flatnonzero(lowest[1:] < lowest[:-1]):
            nfev = spent._replace(values=spent.values - len(f) + int(i) + 1).nfev
            self.history.note(nfev, elapsed, self.shown(f[i]))

    def packed(self, calls: Calls | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All of it for a checkpoint, from which a search that was stopped can go on. calls: so far."""
        found, found_arrays = checkpoints.pack_found(self.found)
        levels, levels_arrays = checkpoints.pack_levels(self.levels, self.problem.structure)
        state = {
            "found": found,
            "levels": levels,
            "level": None if self.level is None else {**vars(self.level), "counts": self.level.counts.tolist()},
            "looked": self.looked,
            "status": (Status.RUNNING if self.status in PAUSES or self.level else self.status).name,
            "calls": None if calls is None else dataclasses.asdict(calls),
        }
        gradient = {} if self.gradient is None else dict(zip(("jac_of", "jac"), self.gradient, strict=True))
        return state, found_arrays | levels_arrays | gradient

    def unpack(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `packed`."""
        self.found = checkpoints.unpack_found(self.found, state["found"], arrays)
        self.levels = checkpoints.unpack_levels(state["levels"], arrays, self.problem.structure)
        for k, level in enumerate(self.levels):
            self.history.note(sum(before.nfev for before in self.levels[: k + 1]), 0.0, level.fun)
        if state["level"] is not None:
            self.level = Underway(**{**state["level"], "counts": np.array(state["level"]["counts"])})
        self.looked, self.status = state["looked"], Status[state["status"]]
        self.calls = None if state["calls"] is None else Calls(**state["calls"])
        self.gradient = (arrays["jac_of"], arrays["jac"]) if "jac" in arrays else None
