"""Generations of the evolution strategy between the rounds: when one is due, from where, and what comes of it."""

import math

import numpy as np

from jaxglobal.starts import cmaes
from jaxglobal.starts.state import State, begin

MOST = 100  # variables; beyond, the axes of the evolution's distribution would cost more than its evaluations
FROM = 100  # evaluations a variable from which on it takes part
SHARE = 1 / 2  # its share of the evaluations, at most
WHOLLY = 20  # variables up to which it has that share; beyond, it falls: a distribution adapts in n^2 samples
FIRST_GENERATION = 3  # times as large as usual: where few samples are enough, searches are faster
GENERATIONS = 16  # of a round for each variable, at most, so that a cheap function does not wait for this module


def due(state: State, n: int, nfev: int) -> bool:
    """Whether a generation comes next, after so many evaluations of the whole search, in n free variables."""
    share = SHARE * min(WHOLLY / n, 1)
    behind = nfev >= FROM * n and state.evolved / 2 < share * nfev and n <= MOST
    return bool(behind and state.generations < GENERATIONS * n)


def begun(state: State, n: int, loose: bool, rng: np.random.Generator) -> State:
    """The state with an evolution under way, where none is a new one, twice as large as the one before.

    loose: whether no search has converged at the best point, so that every other evolution begins there.
    """
    if int(state.evolution.size):
        return state
    mean = np.full(n, 0.5) if state.restarts == 0 else rng.uniform(0.1, 0.9, n)
    size = FIRST_GENERATION * cmaes.default_size(n) << min(int(state.restarts), 10)
    if loose and state.restarts % 2 == 1:
        mean, size = state.pool.x[0], cmaes.default_size(n)
    return state._replace(evolution=cmaes.begin(mean, size), restarts=state.restarts + 1)


def told(state: State, n: int, f: np.ndarray) -> State:
    """The state after a generation; where it was the last, its best point will be searched from."""
    evolution = cmaes.tell(state.evolution, state.outside, f, state.x)
    state = state._replace(evolved=state.evolved + len(f), generations=state.generations + 1)
    if math.isfinite(evolution.f) and not cmaes.ended(evolution):
        return state._replace(evolution=evolution)
    ends = [evolution.x] if math.isfinite(evolution.f) else []
    return state._replace(
        evolution=begin(n).evolution, pending=np.concatenate([state.pending, np.reshape(ends, (-1, n))])
    )
