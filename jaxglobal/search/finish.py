"""The end of the search of one problem: its best few minima to their last digits, and what all processes agree on."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.engine import alone, processes
from jaxglobal.engine.spent import Spent
from jaxglobal.engine.width import Width
from jaxglobal.local import polish
from jaxglobal.result import Level
from jaxglobal.search import incumbent
from jaxglobal.search.limits import Limits
from jaxglobal.search.state import SearchState
from jaxglobal.status import Status

# Where no limit on time or evaluations ended the search.
POLISHED = (Status.SAME, Status.COVERED, Status.MAX_LEVELS, Status.MAX_STARTS, Status.TOO_LARGE)
AT_REST = (*POLISHED, Status.TARGET, Status.MAX_EVALS, Status.NOISE)  # ... or the clock, or whoever waits for it


def last_digits(
    state: SearchState, width: Width, precise: Any, limits: Limits, checkpoint: Any, group: processes.Alone,
    gradient: Callable[[np.ndarray], np.ndarray],
) -> None:  # fmt: skip
    """Polishes what was found; where f may jump or is steep, its values are those of one point alone.

    precise: see `Opening`. checkpoint: where the state is kept, if it is. group: the processes that search together.
    gradient: the gradient at a point.
    """
    before = state.found
    if state.status in POLISHED and math.isfinite(state.found.f):
        _polish(state, width, precise, limits, checkpoint, group)
    if state.status not in AT_REST or not math.isfinite(state.found.f):
        return
    if state.problem.closed.jumps or bool(group.gather(_steep(state, gradient))[0]):
        value = functools.partial(alone.single, state.problem)
        told = incumbent.confirmed(state.found, before, value, state.rules.fatol, state.problem.whole)
        state.found = incumbent.read(group.gather(told)[0])
        state.levels = _records(state, value)


def _steep(state: SearchState, gradient: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Whether rounding within the function may move its best value by more than its own rounding: () bool."""
    width = state.problem.upper - state.problem.lower
    with np.errstate(over="ignore", invalid="ignore"):
        moved = np.sum(np.abs(gradient(state.found.x) * width)[state.problem.moves])
        return ~(moved <= incumbent.ROUNDING * (1 + abs(state.found.f)))


def _records(state: SearchState, value: Callable[[np.ndarray], float]) -> list[Level]:
    """Those of the levels; one that is lower than what was found, as lanes round, gets the value of its point alone.

    The last is what was found. A point that has no value alone gives way to the level before, or to what was found.
    """
    found, told, x = state.found, [], state.problem.structure.point(state.found.x)
    for level in state.levels:
        if level.fun < found.f:
            there = value(state.problem.structure.of_point(level.x))
            if not math.isfinite(there):
                level = dataclasses.replace(level, x=x)
            level = dataclasses.replace(level, fun=max(found.f, there) if math.isfinite(there) else found.f)
            if told and told[-1].fun < level.fun:  # the best point so far is that of the level before
                level = dataclasses.replace(level, x=told[-1].x, fun=told[-1].fun)
        told.append(level)
    return [*told[:-1], dataclasses.replace(told[-1], x=x, fun=found.f)] if told else told


def _polish(
    state: SearchState, width: Width, precise: Any, limits: Limits, checkpoint: Any, group: processes.Alone
) -> None:
    """Takes the best few minima to their last digits, where that costs little beside the search."""
    streams, rules, nfev = width.streams, state.rules, width.spent.nfev
    left = math.inf if rules.max_evals is None else rules.max_evals - nfev
    count = polish.affordable(int(np.sum(state.problem.moves)), nfev, left)
    if not count:
        return

    def spend(nfev: int, ticks: int) -> None:
        streams.spent = streams.spent.add(nfev, ticks=ticks)

    def at_own_precision(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        spend(len(points), len(points))
        return streams.evaluate(points)

    precisely = None
    limited = rules.max_time is not None and checkpoint is None  # with one, the answer is the same
    if precise is not None and not (limited and limits.left < width.compile_time):
        began = time.perf_counter()
        precisely = precise.evaluator(width.most, spend)
        width.compile_time += time.perf_counter() - began
    mine, g = incumbent.polished(state.found, state.problem, rules, at_own_precision, precisely, count)
    # Its rounding is that of the devices, and whether time was left for float64 is the clock's: process 0 decides.
    told, g = group.gather((mine, np.zeros(0) if g is None else g))[0]
    state.found = incumbent.read(told)
    state.gradient = (state.found.x, g) if len(g) else None


def agree(
    state: SearchState, width: Width, elapsed: float, group: processes.Alone, gradient: Callable[..., np.ndarray]
) -> None:
    """Ends the search of all processes after the seconds of process 0, with its gradient at the best point.

    gradient: the gradient at a point, in this process.
    """
    if group.count > 1:
        g = gradient(state.found.x)
        spent = np.array([*width.spent, state.looked])
        told = group.gather((np.array([elapsed, width.compile_time]), g, spent))
        (elapsed, width.compile_time), g, spent = told[0]
        *spent, state.looked = (int(number) for number in spent)
        width.streams.spent = Spent(*spent)
        state.gradient = state.found.x, g
    state.seconds = float(elapsed)
