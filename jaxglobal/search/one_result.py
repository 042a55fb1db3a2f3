"""What the search of one problem says: the record of a level, and the result."""

import math

import numpy as np

from jaxglobal.calls import Calls, message
from jaxglobal.constraints import binding
from jaxglobal.engine import alone
from jaxglobal.engine.width import Width
from jaxglobal.evidence import confidence
from jaxglobal.result import Level, Result
from jaxglobal.search import incumbent
from jaxglobal.search.incumbent import Incumbent
from jaxglobal.search.source import MOST_STARTS, Source
from jaxglobal.search.state import SearchState, Underway
from jaxglobal.status import NOT_BEGUN, LocalStatus, Status


def record(state: SearchState, level: Underway, source: Source, nfev: int) -> Level:
    """The level that has just ended, after so many evaluations of the whole search."""
    size, following = (source.size(index) for index in (level.index, level.index + 1))
    return Level(
        index=level.index,
        x=state.problem.structure.point(state.found.x),
        fun=state.value(state.found.f),
        nstarts=level.done,
        nfev=nfev - level.nfev,
        time=level.seconds,
        next_time=level.seconds * (min(following, MOST_STARTS) / max(level.done, 1)),
        spacing=source.spacing(level.index, level.done),
        complete=level.done >= size and not level.counts[LocalStatus.CUT],
        statuses={LocalStatus(i): int(c) for i, c in enumerate(level.counts) if c},
    )


def result(
    state: SearchState, best: Incumbent, gradient: np.ndarray, has_aux: bool, source: Source, width: Width,
    calls: Calls | None, elapsed: float,
) -> Result:  # fmt: skip
    """What has been found after so many seconds.

    best: with the best point that is known. has_aux: whether the auxiliary output there is told.
    """
    problem, rules, finite = state.problem, state.rules, math.isfinite(best.f)
    value = state.shown(best.f)
    spent = width.spent.add(state.looked, ticks=state.looked)
    ended_as = [item for level in state.levels for item in level.statuses.items()]
    begun, failed = (sum(n for status, n in ended_as if (status in NOT_BEGUN) is no) for no in (False, True))
    asked = state.status in (Status.RUNNING, Status.CALLBACK, Status.INTERRUPTED, Status.CANCELLED)
    none = Status.NO_FINITE_GRADIENT if finite else Status.NO_FINITE_VALUE
    early = state.status in binding.LIMITED and np.all(np.isfinite(gradient))  # it is a limit that left no start
    status = state.status if begun or asked or not failed or (finite and early) else none
    told = Result(
        x=problem.structure.point(best.x),
        fun=state.value(best.f),
        jac=problem.structure.unflatten(gradient),
        aux=alone.auxiliary(problem, best.x) if has_aux else None,
        success=finite and status in (Status.SAME, Status.COVERED, Status.TARGET),
        status=status,
        message=_message(state, status, source, width.spent.nfev, calls),
        nit=len(state.levels),
        nfev=spent.nfev,
        njev=spent.nfev,
        calls=calls,
        nstarts=best.searches,
        levels=list(state.levels),
        minima=incumbent.distinct_minima(best, problem, rules.fatol, rules.frtol),
        unseen=incumbent.unseen(best, problem, rules),
        lane_efficiency=spent.efficiency,
        time=elapsed,
        compile_time=width.compile_time,
        history=state.history.until(spent.nfev, elapsed, value) if math.isfinite(value) else [],
    )
    return told if state.subject is None else binding.told(told, state.subject, best.x, problem.structure)


def _message(state: SearchState, status: Status, source: Source, nfev: int, calls: Calls | None) -> str:
    """Why the search ended; where that was by its evidence, what this is."""
    if status is not Status.SAME:
        return message(status, calls)
    words = f"the best value was the same in {state.rules.alike} levels in a row"
    if state.rules.same is not None:
        return words
    words += f", and {incumbent.hits(state.found, state.rules):,} of {state.found.searches:,} searches ended at it"
    evidence, tried = source.told, source.tried
    if tried.pure and tried.all:
        return f"each of the {tried.all:,} points of whole numbers was evaluated"
    if evidence is not None:
        words = confidence.words(evidence, nfev, state.found.searches)
    return f"{words}; searches began at each of the {tried.all:,} assignments of whole numbers" if tried.all else words
