"""Blocks of starts of every level, one after another, each made from what is known when it begins; see adaptive.py."""

import math
from typing import Any

import jax
import numpy as np

from jaxglobal.evidence import stopping
from jaxglobal.evidence.stopping import Evidence
from jaxglobal.problem import lattice
from jaxglobal.starts import chains, cmaes, hops, lastlook, scans
from jaxglobal.starts.adaptive import Adaptive
from jaxglobal.starts.course import EVOLVE_NEXT, EXCHANGE, LOOK, SCAN, SCREEN, SEARCH, Block, Course, begin
from jaxglobal.starts.hops import Hops, Pool

MOST_EVOLVED = 100  # variables; beyond, the axes of the evolution's distribution would cost more than its evaluations
DISTINCT = 4  # local searches of a level for each distinct minimum known when it begins
COVER = 4  # one local search in so many begins at the cover, or fewer while there are chains
AT_RANDOM = 4  # one cell in so many is searched from a random point of it instead of the lowest
ROUND = 16  # local searches of a round, at least
ROUNDS = 16  # of a level, at most, before its rounds grow
LARGEST_ROUND = 4096
SHORTER = 4  # times, is a round after one in which exchanges lowered f: they come again soon
EVOLVE_FROM = 100  # evaluations a variable from which on the evolution strategy takes part
EVOLVE = 1 / 2  # its share of the evaluations, at most
EVOLVE_WHOLLY = 20  # variables up to which it has that share; beyond, it falls: a distribution adapts in n^2 samples
FIRST_GENERATION = 3  # times as large as usual: where few samples are enough, searches are faster
GENERATIONS = 16  # of a round for each variable, at most, so that a cheap function does not wait for this module
STILL = 10  # patiences of a chain that the best value stands still before the first chains; after that, one is enough
CHAINED = 3 / 4  # share of the hops that chains then make
NEXT = 1 / 2  # share of the starts with the best whole numbers that take some next to them
SWEPT = 256  # searches in a round from assignments of whole numbers that were left out
COVER_STEP = 0.1  # first steps from the cover are at most so long, in units of the box
SHORTEST_STEP = 1e-7
ROUNDING = 16  # times eps, is the relative error of a value whose terms cancel


class Guide:
    """Gives the blocks of every level from 1 on, one after another, and learns from each before the next."""

    def __init__(
        self, sequence: Adaptive, n: int, eps: float = 0.0, rules: stopping.Rules | None = None, values: Any = 0,
        above: float = math.inf, noise: float = 0.0,
    ):  # fmt: skip
        """n: free variables. eps: rounding of the values. rules: which values are the same. values: see `lattice`.

        above: see `stopping.learn`. noise: the error of a value.
        """
        self._above, self._noise = above, noise
        self._values = np.broadcast_to(values, n)
        self.tried = lattice.Tried(self._values)
        self.sequence, self.n, self.course = sequence, n, begin(n)
        self._rules, self._eps = rules or stopping.Rules(), eps
        self._same = max(hops.SAME_VALUE, ROUNDING * eps)

    def save(self) -> dict[str, np.ndarray]:
        """The course as arrays."""
        size = np.array(str(self.course.size))  # a text, as it may have more than 64 bits
        course = self.course._replace(size=size)
        arrays = {f"course{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(course))}
        return arrays if self.tried.seen is None else arrays | {"tried": self.tried.seen}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        treedef = jax.tree.structure(self.course)
        course = jax.tree.unflatten(treedef, [arrays[f"course{k}"] for k in range(treedef.num_leaves)])
        self.course = course._replace(size=np.asarray(int(str(course.size))))
        if self.tried.seen is not None:
            self.tried.seen = arrays["tried"].copy()

    def _rng(self, course: Course) -> np.random.Generator:
        return np.random.default_rng([self.sequence.seed, int(course.turn)])

    @property
    def level(self) -> int:
        """The level under way."""
        return int(self.course.level)

    def add(self, x: np.ndarray, f: np.ndarray, sure: np.ndarray) -> None:
        """Takes in the ends of level 0, which come in no blocks: (k, n) in the unit box, values, whether converged."""
        pool = hops.enter(self.course.pool, x, f, sure, self._same)
        self.tried.add(x)
        self.course = self.course._replace(pool=pool, evidence=self._weigh(self.course, pool, x, f, sure, len(f)))

    def _weigh(
        self, course: Course, pool: Pool, x: np.ndarray, f: np.ndarray, sure: np.ndarray, fresh: int
    ) -> Evidence:
        """The evidence with searches that ended at x and f, so many of them from fresh starts. pool: after them."""
        spread = float(np.median(pool.f) - pool.f[0]) if len(pool.f) else 0.0
        best = min(lowest_of(pool), float(course.evidence.f))
        tolerance = 0.0
        if math.isfinite(best):
            scale = float(course.scale)
            tolerance = stopping.tolerance(self._rules, best, self._eps, spread, scale, self._noise)
        known = len(course.pool.f) and len(pool.f)
        moved = float(np.max(np.abs(pool.x[0] - course.pool.x[0]))) if known else math.inf
        side = 2 * stopping.cell_side(self._eps)  # within which two ends are one minimum
        near = np.max(np.abs(x - pool.x[:1]), axis=1, initial=0) <= side if len(pool.x) else False
        noise = stopping.HALF_DIGITS * self._eps**0.5 * abs(best)
        moved = 0.0 if moved <= side else moved
        return stopping.learn(
            course.evidence, f, np.arange(len(f)) < fresh, sure, tolerance, moved, near, noise, self._above
        )

    @property
    def looking(self) -> bool:
        """Whether the searches under way are those of a last look, or of assignments that were left out."""
        return bool(self.course.looking)

    def sweep(self, searches: int) -> bool:
        """Begins searches, at most so many, from assignments of the whole numbers from which none has begun."""
        known = len(self.course.pool.f) > 0
        x = self.tried.rest(self.course.pool.x[0], min(searches, SWEPT)) if known else self.course.x[:0]
        if len(x):
            self.course = self._searches(self.course, x, COVER_STEP, looking=-1)
        return len(x) > 0

    def evidence(self, nfev: int) -> Evidence | None:
        """The evidence after so many evaluations, None within a round."""
        if self.course.step != EVOLVE_NEXT or self.course.generations:
            return None
        self.course = self.course._replace(evidence=stopping.dated(self.course.evidence, nfev))
        return self.course.evidence

    def look(self, points: int, searches: int) -> None:
        """Begins a last look at so many fresh points, from the best of which at most so many searches begin."""
        x = lastlook.points(points, self.n, self._rng(self.course))
        self.course = self.course._replace(step=np.asarray(LOOK), x=x, chosen=np.asarray(searches))

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """The minima at which searches of this round may end: (k, n) in the unit box, and values, best first."""
        pool = self.course.pool
        sure = pool.sure & self.sequence.stop
        return pool.x[sure], pool.f[sure]

    def size(self, level: int) -> int:
        """Local searches of the level under way, or of the one after it."""
        if level <= self.level:
            return int(self.course.size)
        return max(self.sequence.size(level, self.n), DISTINCT * min(int(self.course.pool.distinct), hops.POOL))

    def enter(self, level: int, nfev: int) -> None:
        """Begins a level after so many evaluations, while no value is finite with as much of a look for one."""
        self.course = self.course._replace(size=np.asarray(self.size(level)), level=np.asarray(level))
        if not len(self.course.pool.f):
            self.look(stopping.first_look(nfev), lastlook.SEARCHES)

    def next(self, done: int, left: int, nfev: int) -> Block | None:
        """The next block of the level, None where the level has ended.

        done: local searches of the level so far. left: those that remain. nfev: evaluations of the whole search so far.
        """
        course = self.course
        if course.step == EVOLVE_NEXT and left > 0:  # what it finds is searched from in the same level
            share = EVOLVE * min(EVOLVE_WHOLLY / self.n, 1)
            due = nfev >= EVOLVE_FROM * self.n and course.evolved / 2 < share * nfev and self.n <= MOST_EVOLVED
            if due and course.generations < GENERATIONS * self.n:
                return self._evolve()
            self.course = course._replace(step=np.asarray(SCREEN), generations=np.asarray(0))
        if self.course.step in (SCAN, EXCHANGE, SEARCH, LOOK):
            return self.block()
        screened = self._screen(self.level, done, left) if left > 0 else None
        return screened if screened is not None and len(screened.x) else None

    def block(self) -> Block:
        """The block under way."""
        if np.any(self._values):
            self.course = self.course._replace(x=lattice.snapped(self.course.x, self._values))
        course, searched = self.course, bool(self.course.step == SEARCH)
        return Block(course.x, course.first_step if searched else np.ones(len(course.x)), searched)

    def take(self, x: np.ndarray, f: np.ndarray, nfev: np.ndarray, sure: np.ndarray) -> None:
        """What has become of the block, in its order.

        x: (k, n) ends, in the unit box. f, nfev: (k,) values and evaluations. sure: (k,) whether a search converged.
        """
        course = self.course._replace(turn=self.course.turn + 1)
        if course.step == SEARCH or self.tried.pure:
            self.tried.add(course.x)
        if course.step in (SCREEN, SCAN):
            self.course = self._scan(self._scaled(course, f) if course.step == SCREEN else course, f)
        elif course.step == EXCHANGE:
            self.course = self._choose(course, f)
        elif course.step == SEARCH:
            self.course = self._learned(course, x, f, nfev, sure)
        elif course.step == LOOK:
            self.course = self._looked(course, f)
        else:
            self.course = self._evolved(course, f)

    def _scaled(self, course: Course, f: np.ndarray) -> Course:
        """The course with the scale that the values of candidates show."""
        f = f[np.isfinite(f) & (f < self._above)]
        if not len(f):
            return course
        scale, before = np.median(f) - min(np.min(f), lowest_of(course.pool)), course.scale
        return course._replace(scale=np.maximum(scale, np.where(np.isfinite(before), before, 0.0)))

    def _looked(self, course: Course, f: np.ndarray) -> Course:
        """What comes after the values of the last look: searches from what is promising, or nothing."""
        which, reach = lastlook.promising(course.x, f, course.pool.x, int(course.chosen))
        none = course._replace(x=course.x[:0], step=np.asarray(EVOLVE_NEXT))
        if not len(which):
            return none._replace(evidence=course.evidence._replace(looked=np.asarray(len(f))))
        return self._searches(course, course.x[which], min(reach, COVER_STEP), looking=len(f))

    def _searches(self, course: Course, x: np.ndarray, first_step: float, looking: int) -> Course:
        """Searches from x, (k, n), of no round. looking: points of the last look that they are of; -1 if of none."""
        return course._replace(
            x=x,
            first_step=np.full(len(x), first_step),
            cells=np.asarray(0),
            kind=course.kind[:0],
            bin=course.bin[:0],
            chain=course.chain[:0],
            swept=np.asarray(False),
            looking=np.asarray(looking),
            step=np.asarray(SEARCH),
        )

    def _learned(self, course: Course, x: np.ndarray, f: np.ndarray, nfev: np.ndarray, sure: np.ndarray) -> Course:
        """The course after the local searches of a round."""
        links, cells = len(course.chain), int(course.cells)
        by_chain, by_pool = slice(cells, cells + links), slice(cells + links, cells + len(course.kind))
        hop = course.kind[:links], course.bin[:links]
        chained = chains.after(course.chains, course.chain, hop, x[by_chain], f[by_chain], nfev[by_chain], self._same)
        hop, swept = (course.kind[links:], course.bin[links:], course.x[by_pool]), bool(course.swept)
        habits = hops.learn(course.habits, course.pool, hop, x[by_pool], f[by_pool], nfev[by_pool], swept, self._same)
        pool = hops.enter(course.pool, x, f, sure, self._same)
        fell = lowest_of(pool) < lowest_of(course.pool) - self._same * abs(lowest_of(pool))
        looking = int(course.looking)
        moved = np.max(np.abs(course.x - course.pool.x[:1]), axis=1) > hops.SAME_PLACE if len(course.pool.x) else True
        fresh = len(f) if looking > 0 else cells
        evidence = self._weigh(course, pool, x, np.where(moved, f, np.inf), sure, fresh)
        if looking > 0 and evidence.refined >= 0:  # and not new
            evidence = evidence._replace(looked=course.looking)
        return course._replace(
            evidence=evidence,
            looking=np.asarray(0),
            pool=pool,
            habits=habits,
            idle=np.asarray(0 if fell else course.idle + len(f)),
            chains=chained,
            spent=course.spent + [[cells, np.sum(nfev[:cells])], [len(f) - cells, np.sum(nfev[cells:])]],
            step=np.asarray(EVOLVE_NEXT),
        )

    def random(self, place: np.ndarray) -> np.ndarray:
        """Whether these searches of the block begin at points that no value has chosen."""
        return (place < int(self.course.cells)) & at_random(place)

    def _screen(self, level: int, done: int, left: int) -> Block:
        """The candidates of the next round: points of the cover, of the hops, and of a scan if one is due."""
        course, n, rng = self.course, self.n, self._rng(self.course)
        size, points = int(course.size), self.sequence.cover.size(level, n)
        whole = round_size(size) // (SHORTER if course.swept else 1)
        count = min(whole, left)
        known = len(course.pool.f) > 0
        first, end = points * done // size, points * min(done + whole, size) // size
        cover = self.sequence.cover.points(level, first, end - first, n)
        cells = min(-(-count // COVER) if known else count, len(cover))
        still = known and course.idle > chains.patience(n) * (1 if len(course.chains.f) else STILL)
        if still:  # chains begin at random, too: the cover takes half of the evaluations, by the mean costs so far
            of_cover, of_others = course.spent[:, 1] / course.spent[:, 0]
            cells = min(cells, max(AT_RANDOM, math.ceil(count * of_others / (of_cover + of_others))))
        links = int(CHAINED * (count - cells)) if still else 0
        chained, linked, chain = chains.propose(course.chains, links, rng)
        pooled = [hops.propose(course.pool, course.habits, count - cells - links, rng)] if known else []
        hopped = Hops(*(np.concatenate(parts) for parts in zip(linked, *pooled, strict=True)))
        spacing = min(self.sequence.cover.spacing(level, points, n), COVER_STEP)
        lines = scans.lines(course.pool, course.scanning, rng)
        self.course = course._replace(
            chains=chained,
            x=np.concatenate([self._other(course, np.concatenate([cover, hopped.x.reshape(-1, n)]), rng), lines]),
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
        return self.block()

    def _scan(self, course: Course, f: np.ndarray) -> Course:
        """What comes after values of candidates, f: more points of a scan, if one is under way, or the exchanges."""
        x, values = np.concatenate([course.candidates, course.x]), np.append(course.values, f)
        course = course._replace(candidates=x, values=values)
        split = int(course.covered) + len(course.kind) * hops.CANDIDATES
        closer = scans.closer(course.pool, course.scanning, x[split:], values[split:]) if len(x) > split else x[:0]
        closer = lattice.unknown(closer, x[split:], self._values)
        if len(closer):
            return course._replace(x=closer, step=np.asarray(SCAN))
        return self._exchange(course, split)

    def _exchange(self, course: Course, split: int) -> Course:
        """What comes after all candidates have values: exchanges of coordinates, if there are any."""
        course, none = course._replace(x=course.x[:0]), np.zeros(0)
        if not len(course.pool.f):
            return self._choose(course, none)
        proposed = scans.proposals(course.pool, course.candidates[split:], course.values[split:])
        parent, exchanged, axis = hops.exchanges(course.pool, course.habits, proposed, self._rng(course))
        course = course._replace(x=exchanged, parent=np.asarray(parent), axis=axis, step=np.asarray(EXCHANGE))
        return course if len(axis) else self._choose(course, none)

    def _choose(self, course: Course, f: np.ndarray) -> Course:
        """The starts of the round: the lowest candidates, of each cell, of each hop; what the exchanges, f, gave."""
        covered, cells, slots, rng = int(course.covered), int(course.cells), len(course.kind), self._rng(course)
        candidates, values = course.candidates, course.values
        # The order of a cover is spread out: the points of one cell are those of equal index modulo the cells.
        chosen = [
            rng.choice(range(j, covered, cells)) if at_random(j) else j + cells * np.argmin(of_cell)
            for j, of_cell in ((j, values[j:covered:cells]) for j in range(cells))
        ]
        split = covered + slots * hops.CANDIDATES
        if slots:
            of_hop = np.argmin(values[covered:split].reshape(slots, hops.CANDIDATES), axis=1)
            chosen = np.append(chosen, covered + hops.CANDIDATES * np.arange(slots) + of_hop)
        x, first_step = candidates[np.asarray(chosen, np.int64)], course.first_step.copy()
        swept = x[:0]
        if len(course.axis):
            swept = hops.combine(course.pool, int(course.parent), course.x, course.axis, f)
        # What values have shown to be good takes the places of the last hops. One place, if need be that of a cell, is
        # for the lowest point so far that no search has begun from.
        room = max(slots - 1, 0)
        good = np.concatenate([swept, course.pending])[:room]
        kept = len(x) - len(good)
        values = np.concatenate([[course.evolution.f], values, f])
        points = np.concatenate([course.evolution.x[None], candidates, course.x])
        lowest = points[[np.argmin(values)]]
        chosen = np.any(np.all(np.concatenate([x[:kept], good]) == lowest, axis=1))
        if np.min(values) < lowest_of(course.pool) and not chosen:
            kept, good = kept - 1, np.concatenate([good, lowest])
        first_step[kept:] = hops.SAME_BASIN
        cells = min(cells, kept)
        return course._replace(
            x=self._elsewhere(course, np.concatenate([x[:kept], good]), rng),
            first_step=np.clip(first_step, SHORTEST_STEP, 1),
            cells=np.asarray(cells),
            kind=course.kind[: kept - cells],
            chain=course.chain[: kept - cells],
            bin=course.bin[: kept - cells],
            pending=course.pending[max(room - len(swept), 0) :],
            scanning=scans.after(course.scanning, len(candidates) > split, len(swept) > 0),
            swept=np.asarray(len(swept) > 0),
            step=np.asarray(SEARCH),
        )

    def _evolve(self) -> Block:
        """The next generation of the evolution, or the first of a new one, twice as large as the one before."""
        course, rng = self.course, self._rng(self.course)
        if not int(course.evolution.size):
            mean = np.full(self.n, 0.5) if course.restarts == 0 else rng.uniform(0.1, 0.9, self.n)
            size = FIRST_GENERATION * cmaes.default_size(self.n) << min(int(course.restarts), 10)
            course = course._replace(evolution=cmaes.begin(mean, size), restarts=course.restarts + 1)
        outside = cmaes.sample(course.evolution, rng)
        self.course = course._replace(x=self._other(course, hops.reflect(outside), rng), outside=outside)
        return self.block()

    def _other(self, course: Course, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Points of whole numbers alone, those that are the best one's beside it: nobody need evaluate that again."""
        return lattice.elsewhere(x, course.pool.x[:1], self._values, 1.0, rng) if self.tried.pure else x

    def _elsewhere(self, course: Course, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Starts, some of those that have the whole numbers of the best point with others next to these."""
        share = 1.0 if self.tried.pure else NEXT
        return lattice.elsewhere(x, course.pool.x[:1], self._values, share, rng) if np.any(self._values) else x

    def _evolved(self, course: Course, f: np.ndarray) -> Course:
        """The course after a generation; where it was the last, its best point will be searched from."""
        evolution = cmaes.tell(course.evolution, course.outside, f, course.x)
        course = course._replace(evolved=course.evolved + len(f), generations=course.generations + 1)
        if math.isfinite(evolution.f) and not cmaes.ended(evolution):
            return course._replace(evolution=evolution)
        ends = [evolution.x] if math.isfinite(evolution.f) else []
        return course._replace(
            evolution=begin(self.n).evolution, pending=np.concatenate([course.pending, np.reshape(ends, (-1, self.n))])
        )


def lowest_of(pool: Pool) -> float:
    """The best value of the pool."""
    return float(pool.f[0]) if len(pool.f) else math.inf


def at_random(cell: Any) -> Any:
    """Whether these cells of a round are searched from a random point instead of the lowest."""
    return cell % AT_RANDOM == AT_RANDOM - 1


def round_size(size: int) -> int:
    """Local searches of a round in a level of this size."""
    return min(max(ROUND, size // ROUNDS), LARGEST_ROUND)
