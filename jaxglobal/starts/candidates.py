"""The candidates of a round, which are evaluated first, and the starts that it makes of the lowest; see adaptive.py."""

import math
from typing import Any

import numpy as np

from jaxglobal.problem import lattice
from jaxglobal.starts import chains, elite, hops, scans
from jaxglobal.starts.adaptive import Adaptive
from jaxglobal.starts.elite import lowest_of
from jaxglobal.starts.hops import Hops
from jaxglobal.starts.state import EXCHANGE, SCAN, SEARCH, State

COVER = 4  # one local search in so many begins at the cover, or fewer while there are chains
AT_RANDOM = 4  # one cell in so many is searched from a random point of it instead of the lowest
ROUND = 16  # local searches of a round, at least
ROUNDS = 16  # of a level, at most, before its rounds grow
LARGEST_ROUND = 4096
SHORTER = 4  # times, is a round after one in which exchanges lowered f: they come again soon
STILL = 10  # patiences of a chain that the best value stands still before the first chains; after that, one is enough
CHAINED = 3 / 4  # share of the hops that chains then make
NEXT = 1 / 2  # share of the starts with the best whole numbers that take some next to them
COVER_STEP = 0.1  # first steps from the cover are at most so long, in units of the box
SHORTEST_STEP = 1e-7


class Candidates:
    """Makes the rounds of a sequence that learns."""

    def __init__(self, sequence: Adaptive, n: int, tried: lattice.Tried, values: np.ndarray):
        """n: free variables. values: how many each has; see `lattice`."""
        self.sequence, self.n, self._tried, self._values = sequence, n, tried, values

    def rng(self, state: State) -> np.random.Generator:
        """The random numbers of a block."""
        return np.random.default_rng([self.sequence.seed, int(state.turn)])

    def screen(self, state: State, done: int, left: int) -> State:
        """The candidates of the next round: points of the cover, of the hops, and of a scan if one is due.

        done, left: as in `rounds.Rounds.next`.
        """
        n, rng, level = self.n, self.rng(state), int(state.level)
        size, points = int(state.size), self.sequence.cover.size(level, n)
        whole = round_size(size) // (SHORTER if state.swept else 1)
        count = min(whole, left)
        known = len(state.pool.f) > 0
        first, end = points * done // size, points * min(done + whole, size) // size
        cover = self.sequence.cover.points(level, first, end - first, n)
        cells = min(-(-count // COVER) if known else count, len(cover))
        still = known and state.idle > chains.patience(n) * (1 if len(state.chains.f) else STILL)
        if still:  # chains begin at random, too: the cover takes half of the evaluations, by the mean costs so far
            of_cover, of_others = state.spent[:, 1] / state.spent[:, 0]
            cells = min(cells, max(AT_RANDOM, math.ceil(count * of_others / (of_cover + of_others))))
        links = int(CHAINED * (count - cells)) if still else 0
        chained, linked, chain = chains.propose(state.chains, links, rng)
        pooled = [hops.propose(state.pool, state.habits, count - cells - links, rng)] if known else []
        hopped = Hops(*(np.concatenate(parts) for parts in zip(linked, *pooled, strict=True)))
        spacing = min(self.sequence.cover.spacing(level, points, n), COVER_STEP)
        lines = scans.lines(state.pool, state.scanning, rng)
        return state._replace(
            chains=chained,
            x=np.concatenate([self.other(state, np.concatenate([cover, hopped.x.reshape(-1, n)]), rng), lines]),
            candidates=np.zeros((0, n)),
            values=np.zeros(0),
            cells=np.asarray(cells),
            covered=np.asarray(len(cover)),
            first_step=np.append(np.full(cells, spacing), hopped.first_step),
            kind=hopped.kind,
            bin=hopped.bin,
            chain=chain,
            axis=np.zeros(0, np.int64),
        )

    def scan(self, state: State, f: np.ndarray) -> State:
        """What comes after values of candidates, f: more points of a scan, if one is under way, or the exchanges."""
        x, values = np.concatenate([state.candidates, state.x]), np.append(state.values, f)
        state = state._replace(candidates=x, values=values)
        split = int(state.covered) + len(state.kind) * hops.CANDIDATES
        closer = scans.closer(state.pool, state.scanning, x[split:], values[split:]) if len(x) > split else x[:0]
        closer = lattice.unknown(closer, x[split:], self._values)
        if len(closer):
            return state._replace(x=closer, step=np.asarray(SCAN))
        return self._exchange(state, split)

    def _exchange(self, state: State, split: int) -> State:
        """What comes after all candidates have values: exchanges of coordinates, if there are any."""
        state, none = state._replace(x=state.x[:0]), np.zeros(0)
        if not len(state.pool.f):
            return self.choose(state, none)
        proposed = scans.proposals(state.pool, state.candidates[split:], state.values[split:])
        parent, exchanged, axis = hops.exchanges(state.pool, state.habits, proposed, self.rng(state))
        state = state._replace(x=exchanged, parent=np.asarray(parent), axis=axis, step=np.asarray(EXCHANGE))
        return state if len(axis) else self.choose(state, none)

    def choose(self, state: State, f: np.ndarray) -> State:
        """The starts of the round: the lowest candidates, of each cell, of each hop; what the exchanges, f, gave."""
        covered, cells, slots, rng = int(state.covered), int(state.cells), len(state.kind), self.rng(state)
        candidates, values = state.candidates, state.values
        # The order of a cover is spread out: the points of one cell are those of equal index modulo the cells.
        chosen = [
            rng.choice(range(j, covered, cells)) if at_random(j) else j + cells * np.argmin(of_cell)
            for j, of_cell in ((j, values[j:covered:cells]) for j in range(cells))
        ]
        split = covered + slots * hops.CANDIDATES
        if slots:
            of_hop = np.argmin(values[covered:split].reshape(slots, hops.CANDIDATES), axis=1)
            chosen = np.append(chosen, covered + hops.CANDIDATES * np.arange(slots) + of_hop)
        x, first_step = candidates[np.asarray(chosen, np.int64)], state.first_step.copy()
        swept = x[:0]
        if len(state.axis):
            swept = hops.combine(state.pool, int(state.parent), state.x, state.axis, f)
        # What values have shown to be good takes the places of the last hops. One place, if need be that of a cell, is
        # for the lowest point so far that no search has begun from.
        room = max(slots - 1, 0)
        good = np.concatenate([swept, state.pending])[:room]
        kept = len(x) - len(good)
        values = np.concatenate([[state.evolution.f], values, f])
        points = np.concatenate([state.evolution.x[None], candidates, state.x])
        lowest = points[[np.argmin(values)]]
        chosen = np.any(np.all(np.concatenate([x[:kept], good]) == lowest, axis=1))
        if np.min(values) < lowest_of(state.pool) and not chosen:
            kept, good = kept - 1, np.concatenate([good, lowest])
        first_step[kept:] = elite.SAME_BASIN
        cells = min(cells, kept)
        return state._replace(
            x=self._elsewhere(state, np.concatenate([x[:kept], good]), rng),
            first_step=np.clip(first_step, SHORTEST_STEP, 1),
            cells=np.asarray(cells),
            kind=state.kind[: kept - cells],
            chain=state.chain[: kept - cells],
            bin=state.bin[: kept - cells],
            pending=state.pending[max(room - len(swept), 0) :],
            scanning=scans.after(state.scanning, len(candidates) > split, len(swept) > 0),
            swept=np.asarray(len(swept) > 0),
            step=np.asarray(SEARCH),
        )

    def other(self, state: State, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Points of whole numbers alone, those that are the best one's beside it: nobody need evaluate that again."""
        return lattice.elsewhere(x, state.pool.x[:1], self._values, 1.0, rng) if self._tried.pure else x

    def _elsewhere(self, state: State, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Starts, some of those that have the whole numbers of the best point with others next to these."""
        share = 1.0 if self._tried.pure else NEXT
        return lattice.elsewhere(x, state.pool.x[:1], self._values, share, rng) if np.any(self._values) else x


def at_random(cell: Any) -> Any:
    """Whether these cells of a round are searched from a random point instead of the lowest."""
    return cell % AT_RANDOM == AT_RANDOM - 1


def round_size(size: int) -> int:
    """Local searches of a round in a level of this size."""
    return min(max(ROUND, size // ROUNDS), LARGEST_ROUND)
