"""The tests of a batch of boxes: each narrows them, or drops those that hold no global minimiser.

In order, the cheap ones first: propagation of fun <= cut and of constraints; constructive disjunction where a step is
undecided; sums of squares; monotonicity and the mean value form; non-convexity, interval Newton and the second-order
Taylor form.

What rests on a minimiser's being stationary (signs, concavity, Newton) holds only where no constraint can bind: in
boxes where all of them are loose, or, of the signs, where moving that variable keeps them. Where they bind, sums of fun
and rows (weights.py) narrow boxes by their mean value forms.
"""

import functools
from typing import Any

import numpy as np

from jaxglobal.proof import disjunction, enclose, newton, squares
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.batch import Box, Outcome
from jaxglobal.proof.binding import Binding
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Model, Values

ROUNDS = 3  # of propagation, while it narrows; of few boxes more, and most where there are no derivatives
FEW, MORE, MOST = 4, 8, 40
SAMPLE = 8  # boxes on which the Hessian is tried first
WORTH = 0.25  # the share of them that it has to drop or to narrow


class Bound:
    """The tests for one function in one box."""

    def __init__(self, model: Model, low: np.ndarray, high: np.ndarray, whole: np.ndarray | None = None):
        """low, high: (n,) the bounds of the search; whole: (n,) the variables that are whole numbers, if any."""
        self.model, whole = model, None if whole is None else whole[:, None]
        self.box = Box(low[:, None], high[:, None], np.maximum(high - low, 1e-300)[:, None], whole)

    @functools.cached_property
    def switches(self) -> bool:
        """Whether fun or a constraint has a step."""
        return bool(disjunction.switches(self.model))

    @functools.cached_property
    def squares(self) -> Any:
        """Fun as a sum of squares with the derivatives of the residuals; None where it is none, or too large."""
        model = self.model
        found = squares.find(model.program, model.f) if model.derives and model.n <= 32 else None
        if found is None:
            return None
        stacks = [model.tangents.first(i) for i, _ in found.terms]
        known = {model.program.x, *model.plan}
        plan = model.program.needed([s.id for s in stacks if s is not None], known)
        return found, stacks, plan, squares.weights_of(found)

    def __call__(
        self, lo: np.ndarray, hi: np.ndarray, cut: float, weights: np.ndarray | None = None, curves: bool | None = None
    ) -> Outcome:
        """The tests, of boxes with ends lo and hi, (n, B); cut: an upper bound of the minimum.

        weights: (K, 1 + m) of fun and the constraints, see weights.py; curves: whether to ask the Hessian; None: where
            that pays in a sample of the boxes.
        """
        with np.errstate(all="ignore"):
            return _Tests(self, lo, hi, cut, weights, curves).outcome()


class _Tests(Binding):
    """The tests of one batch, in their order."""

    def __init__(
        self,
        bound: Bound,
        lo: np.ndarray,
        hi: np.ndarray,
        cut: float,
        weights: np.ndarray | None,
        curves: bool | None,
    ):
        super().__init__(bound.model, bound.box, lo, hi, cut)
        self.bound, self.weights, self.gain = bound, weights, None
        self.curves = curves if bound.model.curves else False

    def outcome(self) -> Outcome:
        seen = self.propagated()
        if len(self.row) and self.disjoined(seen):
            seen = self.model.value(self.X)
        if len(self.row):
            self.raise_low(seen.f.lo)
        if len(self.row) and self.model.derives:
            self.derived(seen)
        return Outcome(self.X, self.low, self.score(), self.row, self.best, self.gain)

    def propagated(self) -> Values:
        """Forward evaluation and propagation of fun <= cut, in rounds while that narrows; the values of the last.

        In long programs the next round begins with what values are where fun <= cut: states that data hold in place do
        not drift apart. What it tells of fun is true of such points alone, which is enough for a bound up to the cut.
        """
        few = self.X.lo.shape[1] <= FEW
        rounds = ROUNDS if not few else MORE if self.model.derives else MOST
        deep, held = bool(self.model.way), enclose.NOTHING
        for k in range(rounds):
            seen = self.model.value(self.X, held)
            self.raise_low(seen.f.lo)
            was = self.X.hi - self.X.lo
            new, empty, pinned = self.model.pinned(seen, self.cut)
            alive = self.narrow(new, empty)
            if not len(self.row):
                return seen
            if deep:
                held = {i: Interval(z.lo[..., alive], z.hi[..., alive]) for i, z in pinned.items()}
            shrunk = (self.X.hi - self.X.lo < 0.9 * was[:, alive]).any(0)
            if deep and k == 0:
                continue
            if alive.all() and not shrunk.any() and not deep:
                return seen
            if np.mean(shrunk) < 0.3:
                break
        return self.model.value(self.X)

    def disjoined(self, seen: Values) -> bool:
        """Steps that are undecided, case by case, where a sample of the boxes gains by it; whether any box did."""
        rough = np.flatnonzero(~seen.smooth)
        if not len(rough) or not self.bound.switches:
            return False
        pick = lambda k: Interval(self.X.lo[:, k], self.X.hi[:, k])  # noqa: E731
        if len(rough) > 2 * SAMPLE:
            some = rough[np.linspace(0, len(rough) - 1, SAMPLE).astype(int)]
            tried = disjunction.decided(self.model, pick(some), self.cut)
            if disjunction.gained(pick(some), self.low[some], *tried, self.cut).mean() < WORTH:
                return False
        new, low, dead = disjunction.decided(self.model, pick(rough), self.cut)
        if not disjunction.gained(pick(rough), self.low[rough], new, low, dead, self.cut).any():
            return False
        lo, hi, gone = self.X.lo.copy(), self.X.hi.copy(), np.zeros(len(self.row), bool)
        lo[:, rough], hi[:, rough], gone[rough] = new.lo, new.hi, dead
        self.low[rough] = np.fmax(self.low[rough], low)
        self.narrow(Interval(lo, hi), gone)
        return len(self.row) > 0

    def derived(self, seen: Values) -> None:
        """The tests by derivatives."""
        kept, way, none = np.arange(len(self.row)), bool(self.model.way), np.zeros(len(self.row), bool)
        if not way:
            self.G = self.model.slope(seen)[0]
        c = self.snapped(newton.middle(self.X) if way or self.bound.squares is not None else self.centre())
        f = self.at(c)
        if way:
            seen = self.model.centred(self.X, c, self.points)
            self.raise_low(seen.f.lo)
            self.G = self.model.slope(seen)[0]
        new, empty = self.model.narrowed(seen, self.cut) if way else (self.X, none)
        if self.model.rows is not None:
            self.constrained(seen, c, f, self.weights is not None and len(self.weights) > 0)
        if self.bound.squares is not None:
            kept = kept[self.relaxed(seen, c)]
        kept = kept[self.monotone(self.G)]
        if way and len(kept):
            kept = kept[self.narrow(Interval(new.lo[:, kept], new.hi[:, kept]), empty[kept])]
        if not len(kept):
            return
        f, c = Interval(f.lo[kept], f.hi[kept]), c[:, kept]
        self.mean_value(f, c)
        for w in self.weights if self.weights is not None else ():
            if len(self.row):
                self.weighted(w)
        if len(self.row) and self.curves is not False and (self.model.rows is None or self.more["loose"].any()):
            self.curved()

    def centre(self) -> np.ndarray:
        """Baumann's centre, the best for the lower bound of the mean value form; the middle where there is none."""
        X, G = self.X, self.G
        rise, fall = np.maximum(G.hi, 0), np.minimum(G.lo, 0)
        c = (rise * X.lo - fall * X.hi) / (rise - fall)
        return np.clip(np.where(np.isfinite(c), c, newton.middle(X)), X.lo, X.hi)

    def at(self, c: np.ndarray) -> Interval:
        """Fun at points, the best of which is kept; where it is undefined it says nothing about its neighbours."""
        self.points = self.model.value(Interval(c, c))
        f, safe = self.points.f, self.points.safe
        upper = np.where(safe, f.hi, INF)
        value = upper if self.points.rows is None else self.feasible(upper)
        j = int(np.argmin(value))
        if value[j] < self.best[0]:
            self.best = (float(value[j]), c[:, j].copy())
        return Interval(np.where(safe, f.lo, -INF), upper)

    def relaxed(self, seen: Values, c: np.ndarray) -> np.ndarray:
        """The sum of squares through its residuals."""
        found, stacks, plan, weights = self.bound.squares
        program, (n, batch) = self.model.program, self.X.lo.shape
        enclose.run(program.nodes, [i for i in plan if i not in seen.all], seen.all)
        _, J = squares.rows(program, found, stacks, seen.all, n, batch)
        R, _ = squares.rows(program, found, [None] * len(stacks), self.points.all, n, batch)
        usable = seen.smooth & self.points.safe
        new, low, share = squares.relax(self.X, c, R, J, weights, self.cut - found.offset, usable)
        self.share = share
        self.raise_low(iv.down(low + found.offset))
        return self.narrow(new, np.zeros(batch, bool))

    def monotone(self, G: Interval) -> np.ndarray:
        """A minimiser has g = 0, or g >= 0 at the low end of the search, g <= 0 at the high one.

        A whole number of a box is then at the end of the box.
        """
        X, low, high, whole = self.X, self.box.low, self.box.high, self.box.whole
        fixed, at_low, at_high = low == high, X.lo <= low, X.hi >= high
        rise, fall = G.lo > 0, G.hi < 0
        if "down" in self.more:
            rise, fall = rise & self.more["down"], fall & self.more["up"]
        if whole is not None:
            fixed = fixed | whole
        dead = (rise & ~at_low | fall & ~at_high) & ~fixed
        lo = np.where(fall & at_high, high, -INF)
        hi = np.where(rise & at_low, low, INF)
        if whole is not None:
            lo, hi = np.where(whole & fall, X.hi, lo), np.where(whole & rise, X.lo, hi)
        return self.narrow(Interval(lo, hi), dead.any(0))

    def curved(self) -> None:
        """Tests by the Hessian, where a sample of the boxes gains by them."""
        if self.curves is None and len(self.row) > 2 * SAMPLE:
            pick = np.linspace(0, len(self.row) - 1, SAMPLE).astype(int)
            lo, hi = self.X.lo[:, pick], self.X.hi[:, pick]
            self.gain = self.gained(Interval(lo, hi), *self.hessian(Interval(lo, hi)))
            if self.gain < WORTH:
                return
        new, dead, low = self.hessian(self.X)
        self.gain = self.gained(self.X, new, dead, low)
        self.raise_low(low)
        self.narrow(new, dead)

    def gained(self, X: Interval, new: Interval, dead: np.ndarray, low: np.ndarray) -> float:
        """The share of boxes that were dropped, or narrowed to half a side."""
        narrow = ((np.fmin(new.hi, X.hi) - np.fmax(new.lo, X.lo)) < 0.5 * (X.hi - X.lo)).any(0)
        return float((dead | (low > self.cut) | narrow).mean())

    def hessian(self, X: Interval) -> tuple[Interval, np.ndarray, np.ndarray]:
        """Narrower boxes, which are dead, and lower bounds."""
        model, low, high = self.model, self.box.low, self.box.high
        c = newton.middle(X)
        at = model.value(Interval(c, c))
        seen = model.centred(X, c, at) if model.way else model.value(X)
        _, kinked = model.slope(seen)
        H, usable = model.curvature(seen, kinked)
        g, _ = model.slope(at)
        f = Interval(np.where(at.safe, at.f.lo, -INF), np.where(at.safe, at.f.hi, INF))
        free, d = (X.lo < X.hi) & (X.lo > low) & (X.hi < high), np.arange(model.n)
        if self.box.whole is not None:
            free = free & ~self.box.whole
        concave = usable & ((H.hi[d, d] < 0) & free).any(0)  # no minimiser inside
        bound = np.where(usable, newton.taylor(X, c, f, g, H), -INF)
        if seen.rows is not None:
            usable = usable & seen.rows.loose
            concave = concave & usable
        new, empty, _ = newton.step(X, c, g, H, free, usable)
        new = Interval(np.where(usable, new.lo, X.lo), np.where(usable, new.hi, X.hi))
        return new, concave | empty & usable, bound
