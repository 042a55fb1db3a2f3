"""Interval branch and bound, best first: batches of the boxes with the lowest bounds are tested, and bisected.

A batch of one box takes about as long as one of hundreds: while boxes are few, they are split into more than two.

The search is over when every box that is left has a lower bound within the tolerance of the best value known. Then, for
a limited number of boxes more, what is left is made small, to say where the minimisers are.
"""

from collections.abc import Callable

import numpy as np

from jaxglobal.proof import apart
from jaxglobal.proof.batch import Outcome, drawn_in
from jaxglobal.proof.bound import WORTH, Bound
from jaxglobal.proof.crew import Crew
from jaxglobal.proof.incumbent import Incumbent
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.leaves import Leaf, least, parts, trimmed
from jaxglobal.proof.model import Model
from jaxglobal.proof.pool import Pool
from jaxglobal.proof.region import Region, polished

LONG = 3e6  # operations on numbers from which processes help: half a second or so
AHEAD = 6  # batches under way then
LOCATE, SPENT = 300_000, 2e8  # boxes, and numbers made, that are spent on where the minimisers are, at most
LITTLE = 4096  # numbers that an operation makes at about the cost of its call: so many boxes may as well be a batch
KEPT = 31 * 2**20  # bytes, below the 32 MiB up to which malloc adapts: arrays went back to the system after each use
LONGEST = 3  # batches in which the Hessian is not asked, at most
TRIES = 16  # small boxes about which a region is looked for
CLOSE = 1e-6  # sides of a box that is not split further then, in units of the search
CLOSER = 1e-9  # and of one that lies at a region, beside which it can be dropped


class Search(Incumbent):
    """The state of a proof.

    Attributes:
        pool: boxes that are left.
        leaves: boxes that are small and within the tolerance.
        boxes: how many have been tested.
    """

    def __init__(
        self, model: Model, low: np.ndarray, high: np.ndarray, points: list[np.ndarray], tol: float, history: int = 0,
        whole: np.ndarray | None = None,
    ):  # fmt: skip
        """points: known minima, the best first; tol: of the gap, by 1 + |fun|; history: tested boxes to keep.

        whole: (n,) the variables that are whole numbers, whose bounds are; None where there are none.
        """
        super().__init__(model, low, high, whole)
        self.tol, self.bound = tol, Bound(model, low, high, whole)
        self.pool, self.leaves, self.boxes = Pool(len(low)), [], 0
        self._pictured, self._tested, self._tries = history, [], TRIES
        self._pause = self._paused = 0  # batches without the Hessian: in all, and those to come
        self._paying = None  # whether it is asked without a sample
        self.valued = None  # boxes that had been tested when the value was proven
        self._given: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # to be tested now
        self.batch = batch_of(model)
        self._few = min(LITTLE / batch_cost(model), self.batch)
        with np.errstate(all="ignore"):
            self.weigh()
            for p in points:
                self.meet(p)
            for p in points:
                self.surround(p)
            plain = model.rows is None and whole is None
            alone = apart.prove(model, low, high, tol) if plain else None
        if alone is None:
            self.pool.add(low[:, None], high[:, None], np.full(1, -INF))
        else:  # of a sum of functions of one variable each it is the only minimiser
            self.regions, self.boxes = [alone], 1
            self.meet(0.5 * (alone.tiny[0] + alone.tiny[1]))

    def found(self, region: Region) -> None:
        """Leaves at a new region go back to the pool: they may lie in it, or be dropped beside it once small."""
        if self.leaves:
            lo, hi, low = (np.array(side).T for side in zip(*self.leaves, strict=True))
            at = trimmed(lo, hi, [region])[3]
            self.pool.add(lo[:, at], hi[:, at], low[at])
            self.leaves = [leaf for leaf, beside in zip(self.leaves, at, strict=True) if not beside]

    @property
    def slack(self) -> float:
        """How far below the best value a bound may be."""
        return max(self.tol * (1 + abs(self.aim)), 2 * self.noise) if self.aim < INF else 0.0

    @property
    def lower(self) -> float:
        """The lower bound that is proven so far."""
        given = (float(np.min(low)) for _, _, low in self._given)
        least = min(
            [self.pool.least, *given, *(leaf.low for leaf in self.leaves), *(r.least for r in self.regions)],
            default=INF,
        )
        return min(least, self.cut)

    @property
    def left(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes that are left, with those that are being tested: their ends, (n, B), and bounds, (B,)."""
        parts = [self.pool.boxes, *self._given]
        lo, hi, low = (np.concatenate(side, -1) for side in zip(*parts, strict=True))
        return lo, hi, low

    @property
    def tested(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first boxes that were tested, for a picture: their ends, (m, n), and how many had been before, (m,)."""
        n = self.model.n
        parts = [(np.zeros((0, n)), np.zeros((0, n)), np.zeros(0, int)), *self._tested]
        lo, hi, when = (np.concatenate(side) for side in zip(*parts, strict=True))
        return lo, hi, when

    @property
    def done(self) -> bool:
        """Whether nothing is left to be split."""
        return not self.pool.count and not self._given

    def run(self, until: Callable[[], str], workers: int = 0) -> str:
        """Goes on until it is done, or until() gives a reason to end between two batches; the reason, or nothing.

        workers: processes that help once the work is long.
        """
        np.empty(KEPT, np.uint8)  # once freed, glibc's malloc keeps what is freed up to this size: mallopt(3)
        crew = Crew(self.bound)
        try:
            return self._run(until, crew, workers)
        finally:
            self._under_way(crew)
            crew.close()

    def _run(self, until: Callable[[], str], crew: Crew, workers: int) -> str:
        cost = len(self.model.plan) * batch_cost(self.model)
        while not self.done:
            if (reason := until()) and self.boxes:  # the whole box has a bound, whatever the limit
                return reason
            if crew.most == 1 and self.boxes * cost > LONG and self.pool.count > 4 * AHEAD:
                crew.start(workers, AHEAD)
            if self.valued is None and self.lower >= self.aim - self.slack:
                self.valued = self.boxes
            room = min(LOCATE, SPENT / cost) if self.model.derives else 0
            if self.valued is not None and self.boxes > self.valued + room:
                self._under_way(crew)
                for lo, hi, low in zip(self.pool.boxes[0].T, self.pool.boxes[1].T, self.pool.boxes[2], strict=True):
                    self.leaves.append(Leaf(lo.copy(), hi.copy(), float(low)))
                self.pool = Pool(self.model.n)
                return ""
            self._advance(crew)
        return ""

    def _advance(self, crew: Crew) -> None:
        """Gives batches until enough are under way, and takes one. In what order does not hang on who is faster."""
        while self.pool.count and crew.under_way < crew.most:
            share = self.batch if crew.most == 1 else max(min(self.batch, self.pool.count // 2), 1)
            batch = self.pool.take(share)
            self._given.append(batch)
            crew.give(batch[0], batch[1], self.cut, self.weights, False if self._paused else self._paying)
            self._paused = max(self._paused - 1, 0)
        lo, hi, low = self._given[0]
        outcome, was = crew.take(), self.cut
        self._given.pop(0)
        if outcome.gain is not None:  # asked less and less often while it does not pay
            self._pause = min(2 * self._pause + 1, LONGEST) if outcome.gain < WORTH else 0
            self._paused, self._paying = self._pause, True if outcome.gain > 2 * WORTH else None
        self.improve(outcome)
        self.after(low, outcome, lo, hi)
        self.boxes += len(low)
        if self.cut < was:
            self.pool.drop(self.cut)
            if was == INF and self.leaves and self._place is not None:  # they were left since no value was known
                self.pool.add(*(np.array(side).T for side in zip(*self.leaves, strict=True)))
                self.leaves = []
            self.leaves = [leaf for leaf in self.leaves if not leaf.low > self.cut]

    def _under_way(self, crew: Crew) -> None:
        """Boxes whose batches have not been taken are left."""
        for batch in self._given:
            self.pool.add(*batch)
        self._given = []

    def improve(self, outcome: Outcome) -> None:
        """A better point than the best known, and what Newton steps from there find."""
        value, x = outcome.best
        if x is None or not value < self.cut:
            return
        far = self.cut - value > self.slack
        if self._place is not None and not far or self._repairs == 0:
            return
        self._repairs -= self._place is not None
        was = self.cut
        with np.errstate(all="ignore"):
            self.meet(x, False)
        if far and self.model.curves and (self._place is None or self.cut < was):
            with np.errstate(all="ignore"):
                better = polished(self.model, x, np.ones(len(x), bool) if self.whole is None else ~self.whole)
                if better is not None:
                    self.meet(better)
                self.surround(self.x if self.x is not None else x)

    def after(self, low: np.ndarray, outcome: Outcome, lo: np.ndarray, hi: np.ndarray) -> None:
        """Drops, keeps or splits what a batch has left."""
        bound = np.fmax(outcome.low, low[outcome.row])
        a, b, alive, near = trimmed(outcome.X.lo, outcome.X.hi, self.regions)
        if self.whole is not None:
            a, b = drawn_in(a, b, self.whole[:, None])
            alive &= (a <= b).all(0)
        alive &= ~(bound > self.cut)
        if self._pictured > 0:
            self._tested.append((lo.T, hi.T, np.full(len(low), self.boxes)))
            self._pictured -= len(low)
        a, b, bound, score, near = a[:, alive], b[:, alive], bound[alive], outcome.score[:, alive], near[alive]
        ends = (b - a <= least(a, b)).all(0)
        small = (b - a <= np.where(near, CLOSER, CLOSE) * (self.high - self.low)[:, None]).all(0)
        unknown = self._place is not None and self.aim == INF
        end = ((bound >= self.aim - self.slack) | unknown) & small | ends
        for k in np.flatnonzero(end)[: self._tries]:  # a minimum that the search did not list, perhaps
            self._tries -= 1
            self.surround(0.5 * (a[:, k] + b[:, k]))
        if end.any() and self.regions:  # with one that has just been found
            beside = trimmed(a, b, self.regions)[3]
            end &= ~beside | (b - a <= CLOSER * (self.high - self.low)[:, None]).all(0) | ends
        alive = self.settled(a, b, bound, end & (bound < self.cut - self.slack))
        a, b, score, bound, end = a[:, alive], b[:, alive], score[:, alive], bound[alive], end[alive]
        self.leaves += [Leaf(a[:, k].copy(), b[:, k].copy(), float(bound[k])) for k in np.flatnonzero(end)]
        a, b, bound, score = a[:, ~end], b[:, ~end], bound[~end], score[:, ~end]
        if len(bound):
            a, b, of = parts(a, b, score, self.whole, self._few - self.pool.count)
            self.pool.add(a, b, bound[of])

    def settled(self, a: np.ndarray, b: np.ndarray, bound: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Looks closely at some boxes that are not split further, and raises their bounds; which boxes are left."""
        alive = np.ones(len(which), bool)
        if not which.any():
            return alive
        with np.errstate(all="ignore"):
            seen = self.model.value(Interval(a[:, which], b[:, which]))
            bound[which] = np.fmax(bound[which], seen.f.lo)  # the box was larger when it was tested
            for k in np.flatnonzero(which):
                x, point = 0.5 * a[:, k] + 0.5 * b[:, k], bool(np.all(a[:, k] == b[:, k]))
                if bound[k] < self.cut and (point or self._place is not None and self._repairs > 0):
                    self._repairs -= not point
                    self.meet(x, False)
                alive[k] = not (point and self._place is not None and self._place.violates(x))
        return alive


def batch_of(model: Model) -> int:
    """Boxes at a time: so many that the arrays of the widest value fit in the cache."""
    widest = max(int(np.prod(model.program.shape(i), dtype=int)) for i in [*model.plan, model.program.x])
    if model.rows is not None and model.derives:
        widest = max(widest, model.n * len(model.rows.lower))
    return int(2 ** np.clip(np.log2(2.0**17 / widest) // 1, 0, 11))


def batch_cost(model: Model) -> float:
    """Numbers that an operation makes for a box, on average."""
    return float(np.mean([np.prod(model.program.shape(i), dtype=int) for i in model.plan]))
