"""Blocks of starts of every level, one after another, each made from what is known when it begins; see adaptive.py."""

import math
from typing import Any

import jax
import numpy as np

from jaxglobal.evidence import confidence, stopping
from jaxglobal.evidence.confidence import Evidence
from jaxglobal.problem import lattice
from jaxglobal.starts import chains, cmaes, contest, elite, evolving, hops, lastlook
from jaxglobal.starts.adaptive import Adaptive
from jaxglobal.starts.candidates import COVER_STEP, Candidates, at_random
from jaxglobal.starts.elite import lowest_of
from jaxglobal.starts.state import CONTEST, EVOLVE_NEXT, EXCHANGE, LOOK, SCAN, SCREEN, SEARCH, Block, State, begin
from jaxglobal.starts.weighing import Weighing

DISTINCT = 4  # local searches of a level for each distinct minimum known when it begins
SWEPT = 256  # searches in a round from assignments of whole numbers that were left out
ONTO_ROWS = 1 / 32  # of the points of a last look none of which is feasible, are taken onto the rows, ...
MOST_ONTO = 512  # ... and no more, so that a limit on time is not exceeded by long
ROUNDING = 16  # times eps, is the relative error of a value whose terms cancel


class Rounds:
    """Gives the blocks of every level from 1 on, one after another, and learns from each before the next."""

    def __init__(
        self, sequence: Adaptive, n: int, eps: float = 0.0, rules: stopping.Rules | None = None, values: Any = 0,
        above: float = math.inf, noise: float = 0.0,
    ):  # fmt: skip
        """n: free variables. eps, rules, noise, above: see `Weighing`. values: see `lattice`."""
        self._above, self._whole, self._values = above, bool(np.any(values)), np.broadcast_to(values, n)
        self.tried = lattice.Tried(self._values)
        self.sequence, self.n, self.state = sequence, n, begin(n)
        self._weighing = Weighing(rules or stopping.Rules(), eps, noise, above, self._values)
        self._same = max(elite.SAME_VALUE, ROUNDING * eps)
        self._candidates = Candidates(sequence, n, self.tried, self._values)

    def save(self) -> dict[str, np.ndarray]:
        """The state as arrays."""
        size = np.array(str(self.state.size))  # a text, as it may have more than 64 bits
        state = self.state._replace(size=size)
        arrays = {f"course{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(state))}
        return arrays if self.tried.seen is None else arrays | {"tried": self.tried.seen, "tried_best": self.tried.best}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        treedef = jax.tree.structure(self.state)
        state = jax.tree.unflatten(treedef, [arrays[f"course{k}"] for k in range(treedef.num_leaves)])
        self.state = state._replace(size=np.asarray(int(str(state.size))))
        if self.tried.seen is not None:
            self.tried.seen, self.tried.best = arrays["tried"].copy(), arrays["tried_best"].copy()

    @property
    def level(self) -> int:
        """The level under way."""
        return int(self.state.level)

    def add(self, x: np.ndarray, f: np.ndarray, sure: np.ndarray) -> None:
        """Takes in the ends of level 0, which come in no blocks: (k, n) in the unit box, values, whether converged."""
        pool = elite.enter(self.state.pool, x, f, sure, self._same)
        self.tried.add(x, f)
        evidence = self._weighing.evidence(self.state, pool, x, f, sure, len(f))
        self.state = self.state._replace(pool=pool, evidence=evidence)

    @property
    def looking(self) -> bool:
        """Whether the searches under way are those of a last look, or of assignments that were left out."""
        return bool(self.state.looking)

    def sweep(self, searches: int) -> bool:
        """Begins searches, at most so many, from assignments of the whole numbers from which none has begun."""
        known = len(self.state.pool.f) > 0
        x = self.tried.rest(self.state.pool.x[0], min(searches, SWEPT)) if known else self.state.x[:0]
        if len(x):
            self.state = self._searches(self.state, x, COVER_STEP, looking=-1)
        return len(x) > 0

    def contest(self, searches: int) -> bool:
        """Begins more searches, at most so many, from assignments that may yet take the lead; see contest.py."""
        state, best = self.state, self.tried.best
        done, few = int(state.contests), self.tried.seen is not None and not self.tried.pure
        if not few or done >= contest.ROUNDS and contest.expected(best, state.fell) <= contest.EXPECTED:
            return False
        rivals = contest.among(best, state.fell, done, searches)
        if not len(rivals):
            return False
        x = self._candidates.rng(state).random((len(rivals), contest.POINTS, self.n))
        if not done:
            carried = state.pool.x[: contest.CARRIED]
            x[:, : len(carried)] = carried
        x = self.tried.at(np.repeat(rivals, contest.POINTS), x.reshape(-1, self.n))
        self.state = state._replace(step=np.asarray(CONTEST), x=x, rivals=rivals, contests=np.asarray(done + 1))
        return True

    @property
    def between(self) -> bool:
        """Whether a round has ended, and the next has not begun."""
        return int(self.state.step) == EVOLVE_NEXT and not int(self.state.generations)

    def evidence(self, nfev: int) -> Evidence | None:
        """The evidence after so many evaluations, None within a round."""
        if not self.between:
            return None
        self.state = self.state._replace(evidence=confidence.dated(self.state.evidence, nfev))
        return self.state.evidence

    def look(self, points: int, searches: int) -> None:
        """Begins a last look at so many fresh points, from the best of which at most so many searches begin.

        Where assignments of whole numbers are too many to be searched from, and not many, it is at each of them too,
        with the other variables of the best point: a good one among bad ones shows there alone.
        """
        x, known = lastlook.points(points, self.n, self._candidates.rng(self.state)), self.state.pool.x[:1]
        if len(known) and self.tried.glanced:
            each = np.arange(self.tried.glanced)
            x = np.concatenate([x, self.tried.at(each, np.repeat(known, len(each), axis=0))])
        self.state = self.state._replace(step=np.asarray(LOOK), x=x, chosen=np.asarray(searches))

    def blind(self, f: np.ndarray) -> int:
        """Of how many points of a last look with these values feasible ones nearby are to be looked at instead.

        Where rows are equalities, no point is feasible, so that no value of any can be lower than the best one known.
        """
        looks = int(self.state.step) == LOOK and lowest_of(self.state.pool) < self._above
        looks = looks and math.isfinite(self._above) and np.min(f) >= self._above
        return min(math.ceil(ONTO_ROWS * len(f)), MOST_ONTO) if looks else 0

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """The minima at which searches of this round may end: (k, n) in the unit box, and values, best first."""
        pool = self.state.pool
        sure = pool.sure & self.sequence.stop
        return pool.x[sure], pool.f[sure]

    def size(self, level: int) -> int:
        """Local searches of the level under way, or of the one after it."""
        if level <= self.level:
            return int(self.state.size)
        return max(self.sequence.size(level, self.n), DISTINCT * min(int(self.state.pool.distinct), elite.POOL))

    def enter(self, level: int, nfev: int) -> None:
        """Begins a level after so many evaluations, while no value is finite with as much of a look for one."""
        self.state = self.state._replace(size=np.asarray(self.size(level)), level=np.asarray(level))
        if not len(self.state.pool.f):
            self.look(confidence.first_look(nfev), lastlook.SEARCHES)

    def next(self, done: int, left: int, nfev: int) -> Block | None:
        """The next block of the level, None where the level has ended.

        done: local searches of the level so far. left: those that remain. nfev: evaluations of the whole search so far.
        """
        state, step = self.state, int(self.state.step)
        if step == EVOLVE_NEXT and left > 0:  # what it finds is searched from in the same level
            if evolving.due(state, self.n, nfev):
                return self._evolve()
            self.state = state._replace(step=np.asarray(SCREEN), generations=np.asarray(0))
        elif step in (SCAN, EXCHANGE, SEARCH, LOOK, CONTEST):
            return self.block()
        if left <= 0:
            return None
        self.state = self._candidates.screen(self.state, done, left)
        return self.block() if len(self.state.x) else None

    def block(self) -> Block:
        """The block under way."""
        if self._whole:
            self.state = self.state._replace(x=lattice.snapped(self.state.x, self._values))
        return Block(self.state.x, self.state.first_step, int(self.state.step) == SEARCH)

    def take(self, x: np.ndarray, f: np.ndarray, nfev: Any = None, sure: Any = None) -> None:
        """What has become of the block, in its order.

        x: (k, n) ends, in the unit box. f: (k,) values. nfev, sure: (k,) of searches, their evaluations and whether
        they converged.
        """
        state, step = self.state._replace(turn=self.state.turn + 1), int(self.state.step)
        state = state._replace(x=x) if step == LOOK else state
        if self.tried.pure and step != SEARCH:  # to a look, a row that is off its bound by rounding is violated
            self.tried.add(state.x[(f < self._above) | ~np.isfinite(f)])
        if step in (SCREEN, SCAN):
            self.state = self._candidates.scan(self._scaled(state, f) if step == SCREEN else state, f)
        elif step == EXCHANGE:
            self.state = self._candidates.choose(state, f)
        elif step == SEARCH:
            self.state = self._learned(state, x, f, nfev, sure)
        elif step == LOOK:
            self.state = self._looked(state, f)
        elif step == CONTEST:
            lowest = np.argmin(f.reshape(-1, contest.POINTS), axis=1) + contest.POINTS * np.arange(len(state.rivals))
            self.state = self._searches(state, state.x[lowest], COVER_STEP, looking=-1)
        else:
            self.state = evolving.told(state, self.n, f)
        if math.isfinite(self._above) and int(self.state.step) == SEARCH:
            self.state = self._begun(self.state, state, f)

    def _begun(self, state: State, before: State, f: np.ndarray) -> State:
        """The state with the values at the starts of its searches. before: with the block that had the values f."""
        points = np.concatenate([state.evolution.x[None], state.candidates, before.x])
        values = np.concatenate([[state.evolution.f], state.values, f])
        known = {x.tobytes(): value for x, value in zip(points, values, strict=True)}
        return state._replace(begun=np.array([known.get(x.tobytes(), math.inf) for x in state.x]))

    def _scaled(self, state: State, f: np.ndarray) -> State:
        """The state with the scale that the values of candidates show."""
        f = f[np.isfinite(f) & (f < self._above)]
        if not len(f):
            return state
        with np.errstate(over="ignore"):  # of values up to the largest that there are
            scale, before = np.median(f) - min(np.min(f), lowest_of(state.pool)), state.scale
        return state._replace(scale=np.maximum(scale, np.where(np.isfinite(before), before, 0.0)))

    def _looked(self, state: State, f: np.ndarray) -> State:
        """What comes after the values of the last look: searches from what is promising, or nothing."""
        apart = self.tried.glanced or self.tried.seen is not None and not self.tried.pure
        values = self._values if apart else 0 * self._values
        which, reach = lastlook.promising(state.x, f, state.pool.x, int(state.chosen), values)
        none = state._replace(x=state.x[:0], step=np.asarray(EVOLVE_NEXT))
        if not len(which):
            return none._replace(evidence=state.evidence._replace(looked=np.asarray(len(f))))
        return self._searches(state, state.x[which], min(reach, COVER_STEP), looking=len(f))

    def _searches(self, state: State, x: np.ndarray, first_step: float, looking: int) -> State:
        """Searches from x, (k, n), of no round. looking: points of the last look that they are of; -1 if of none."""
        return state._replace(
            x=x,
            first_step=np.full(len(x), first_step),
            cells=np.asarray(0),
            kind=state.kind[:0],
            bin=state.bin[:0],
            chain=state.chain[:0],
            swept=np.asarray(False),
            begun=np.zeros(0),
            looking=np.asarray(looking),
            step=np.asarray(SEARCH),
        )

    def _learned(self, state: State, x: np.ndarray, f: np.ndarray, nfev: np.ndarray, sure: np.ndarray) -> State:
        """The state after the local searches of a round.

        Under constraints, these may end above a feasible start, beside a kink that they have left: then they have found
        that, and have not converged. So what the evidence speaks for is the lowest value.
        """
        if len(state.begun):
            least = self._weighing.tolerance(state, state.pool, min(lowest_of(state.pool), np.min(state.begun)))
            back = state.begun < np.minimum(f, self._above) - least
            x, f, sure = np.where(back[:, None], state.x, x), np.where(back, state.begun, f), sure & ~back
        if len(state.rivals):
            best = self.tried.best[state.rivals]
            tolerance = self._weighing.tolerance(state, state.pool, lowest_of(state.pool))
            gained = np.append(state.fell, contest.gained(best, f, tolerance, self._above))[-contest.KEPT * len(f) :]
            state = state._replace(rivals=state.rivals[:0], fell=gained)
        self.tried.add(state.x, f)
        links, cells = len(state.chain), int(state.cells)
        by_chain, by_pool = slice(cells, cells + links), slice(cells + links, cells + len(state.kind))
        hop = state.kind[:links], state.bin[:links]
        chained = chains.after(state.chains, state.chain, hop, x[by_chain], f[by_chain], nfev[by_chain], self._same)
        hop, swept = (state.kind[links:], state.bin[links:], state.x[by_pool]), bool(state.swept)
        habits = hops.learn(state.habits, state.pool, hop, x[by_pool], f[by_pool], nfev[by_pool], swept, self._same)
        pool = elite.enter(state.pool, x, f, sure, self._same)
        fell = lowest_of(pool) < lowest_of(state.pool) - self._same * abs(lowest_of(pool))
        looking = int(state.looking)
        moved = np.max(np.abs(state.x - state.pool.x[:1]), axis=1) > elite.SAME_PLACE if len(state.pool.x) else True
        fresh = len(f) if looking > 0 else cells
        evidence = self._weighing.evidence(state, pool, x, np.where(moved, f, np.inf), sure, fresh)
        if looking > 0 and evidence.refined >= 0:  # and not new
            evidence = evidence._replace(looked=state.looking)
        self.state = state._replace(pool=pool)
        return self.state._replace(
            evidence=evidence._replace(loose=np.asarray(self._loose)),
            looking=np.asarray(0),
            habits=habits,
            idle=np.asarray(0 if fell else state.idle + len(f)),
            chains=chained,
            spent=state.spent + [[cells, np.sum(nfev[:cells])], [len(f) - cells, np.sum(nfev[cells:])]],
            step=np.asarray(EVOLVE_NEXT),
        )

    @property
    def _loose(self) -> bool:
        """Whether no search has converged at the best feasible point, under constraints: it may lie at a kink."""
        pool = self.state.pool
        return math.isfinite(self._above) and len(pool.f) > 0 and pool.f[0] < self._above and not pool.sure[0]

    def random(self, place: np.ndarray) -> np.ndarray:
        """Whether these searches of the block begin at points that no value has chosen."""
        return (place < int(self.state.cells)) & at_random(place)

    def _evolve(self) -> Block:
        """The next generation of the evolution."""
        rng = self._candidates.rng(self.state)
        state = evolving.begun(self.state, self.n, self._loose, rng)
        outside = cmaes.sample(state.evolution, rng)
        self.state = state._replace(x=self._candidates.other(state, hops.reflect(outside), rng), outside=outside)
        return self.block()
