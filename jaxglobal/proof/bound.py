"""What a batch of boxes goes through: each test narrows boxes, or drops those that hold no global minimiser.

In order, the cheap ones first: fun <= cut, and constraints, propagated backwards; sums of squares; the sign of the
gradient and the mean value form; concavity, interval Newton and the second-order bound.

What rests on a minimiser's being stationary (signs, concavity, Newton) holds only where no constraint can bind: in
boxes where all of them are loose, or, of the signs, where moving that variable keeps them. Where they bind, sums of fun
and rows (weights.py) narrow boxes by their mean value forms.
"""

import functools
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import enclose, newton, squares
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Model, Values

ROUNDS = 3  # of propagation, while it narrows; of few boxes more, and most where there are no derivatives
FEW, MORE, MOST = 4, 8, 40
SAMPLE = 8  # boxes on which the Hessian is tried first
WORTH = 0.25  # the share of them that it has to drop or to narrow


class Outcome(NamedTuple):
    """What came of a batch.

    Attributes:
        X: the boxes that are left, (n, B).
        low: (B,) lower bounds of fun.
        score: (n, B) how much each side wants to be split.
        row: (B,) which of the boxes that went in.
        best: the least upper bound of fun at a point that was met, and that point.
    """

    X: Interval
    low: np.ndarray
    score: np.ndarray
    row: np.ndarray
    best: tuple[float, np.ndarray | None]


class Bound:
    """The tests for one function in one box."""

    def __init__(self, model: Model, low: np.ndarray, high: np.ndarray, whole: np.ndarray | None = None):
        """low, high: (n,) the bounds of the search; whole: (n,) the variables that are whole numbers, if any."""
        self.model, self.low, self.high = model, low[:, None], high[:, None]
        self.width = np.maximum(self.high - self.low, 1e-300)
        self.whole = None if whole is None else whole[:, None]

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

    def __call__(self, lo: np.ndarray, hi: np.ndarray, cut: float, weights: np.ndarray | None = None) -> Outcome:
        """The tests, of boxes with ends lo and hi, (n, B); cut: an upper bound of the minimum.

        weights: (K, 1 + m) of fun and the constraints, see weights.py.
        """
        with np.errstate(all="ignore"):
            return _Batch(self, lo, hi, cut, weights).outcome()


class _Batch:
    """The state of one batch."""

    def __init__(self, bound: Bound, lo: np.ndarray, hi: np.ndarray, cut: float, weights: np.ndarray | None):
        self.bound, self.model, self.cut, self.weights = bound, bound.model, cut, weights
        self.X, self.row = Interval(lo, hi), np.arange(lo.shape[1])
        self.low = np.full(lo.shape[1], -INF)
        self.share = np.zeros_like(lo)
        self.G = Interval(np.full_like(lo, -INF), np.full_like(lo, INF))
        self.best: tuple[float, np.ndarray | None] = (INF, None)
        self.more: dict[str, np.ndarray] = {}  # what else is known of each box, under constraints

    def outcome(self) -> Outcome:
        seen = self.propagated()
        if len(self.row) and self.model.derives:
            self.derived(seen)
        return Outcome(self.X, self.low, self.score(), self.row, self.best)

    def keep(self, alive: np.ndarray) -> None:
        """Drops the other boxes."""
        if not alive.all():
            pick = lambda box: Interval(box.lo[:, alive], box.hi[:, alive])  # noqa: E731
            self.X, self.G, self.share = pick(self.X), pick(self.G), self.share[:, alive]
            self.row, self.low = self.row[alive], self.low[alive]
            self.more = {name: part[..., alive] for name, part in self.more.items()}

    def narrow(self, new: Interval, dead: np.ndarray) -> np.ndarray:
        """Meets the boxes with others, and drops those that are dead or empty; which are left. NaN says nothing."""
        lo, hi = np.fmax(self.X.lo, new.lo), np.fmin(self.X.hi, new.hi)
        if self.bound.whole is not None:
            lo, hi = drawn_in(lo, hi, self.bound.whole)
        alive = ~(dead | (lo > hi).any(0) | (self.low > self.cut))
        self.X = Interval(np.where(alive, lo, self.X.lo), np.where(alive, hi, self.X.hi))
        self.keep(alive)
        return alive

    def raise_low(self, low: np.ndarray) -> None:
        """Lower bounds that hold as well; NaN says nothing."""
        self.low = np.fmax(self.low, low)

    def propagated(self) -> Values:
        """Fun <= cut, forwards and back, again where that has narrowed the boxes; the last values."""
        few = self.X.lo.shape[1] <= FEW
        rounds = ROUNDS if not few else MORE if self.model.derives else MOST
        for _ in range(rounds):
            seen = self.model.value(self.X)
            self.raise_low(seen.f.lo)
            was = self.X.hi - self.X.lo
            new, empty = self.model.narrowed(seen, self.cut)
            alive = self.narrow(new, empty)
            if not len(self.row):
                return seen
            shrunk = (self.X.hi - self.X.lo < 0.9 * was[:, alive]).any(0)
            if alive.all() and not shrunk.any():
                return seen
            if np.mean(shrunk) < 0.3:
                break
        return self.model.value(self.X)

    def derived(self, seen: Values) -> None:
        """The tests by derivatives."""
        self.G, kept = self.model.slope(seen)[0], np.arange(len(self.row))
        c = self.snapped(self.centre() if self.bound.squares is None else newton.middle(self.X))
        f = self.at(c)
        if self.model.rows is not None:
            self.constrained(seen, c, f)
        if self.bound.squares is not None:
            kept = kept[self.relaxed(seen, c)]
        kept = kept[self.monotone(self.G)]
        if not len(kept):
            return
        f, c = Interval(f.lo[kept], f.hi[kept]), c[:, kept]
        self.mean_value(f, c)
        for w in self.weights if self.weights is not None else ():
            if len(self.row):
                self.weighted(w)
        if len(self.row) and self.model.curves and (self.model.rows is None or self.more["loose"].any()):
            self.curved()

    def snapped(self, c: np.ndarray) -> np.ndarray:
        """Points of the boxes, at whole numbers where these are asked for."""
        return c if self.bound.whole is None else np.where(self.bound.whole, np.rint(c), c)

    def constrained(self, seen: Values, c: np.ndarray, f: Interval) -> None:
        """What the constraints allow in each box, and what is needed for sums of rows; c: points, f: fun there."""
        rows, kept, at = self.model.rows, seen.rows, self.points.rows
        if rows is None or kept is None or at is None:
            return
        J, usable = self.model.row_slopes(seen)
        above, below, fine = kept.above, kept.below, kept.smooth & usable
        apart = ~rows.depends.T[..., None]  # (n, m, 1)
        down = (apart | (below | (J.lo > 0)) & (above | (J.hi < 0))).all(1) & fine
        up = (apart | (below | (J.hi < 0)) & (above | (J.lo > 0))).all(1) & fine
        self.more = {"loose": kept.loose, "down": down, "up": up}
        if self.weights is not None and len(self.weights):
            known = fine & at.safe
            self.more |= {
                "J.lo": np.where(known, J.lo, -INF), "J.hi": np.where(known, J.hi, INF), "c": c, "f": f.lo,
                "rows.lo": np.where(known, at.c.lo, -INF), "rows.hi": np.where(known, at.c.hi, INF),
            }  # fmt: skip

    def weighted(self, w: np.ndarray) -> None:
        """Narrows by the mean value form of w[0] fun + w[1:] (c - bound), which is at most w[0] cut."""
        rows, more, used = self.model.rows, self.more, w[1:] != 0
        if rows is None or "c" not in more or not used.any():
            return
        bound = np.where(w[1:] > 0, rows.upper, rows.lower)[used]
        b, v = (Interval(*2 * (part[:, None],)) for part in (bound, w[1:][used]))
        terms = iv.mul(v, iv.sub(Interval(more["rows.lo"][used], more["rows.hi"][used]), b))
        slopes = iv.mul(Interval(*2 * (v.lo[None],)), Interval(more["J.lo"][:, used], more["J.hi"][:, used]))
        f, G = iv.total(terms, (0,)), iv.total(slopes, (1,))
        if w[0] > 0:
            own = Interval(*2 * (np.full(1, w[0]),))
            f, G = iv.add(iv.mul(own, Interval(more["f"], more["f"])), f), iv.add(iv.mul(own, self.G), G)
        most = float(iv.up(np.asarray(w[0] * self.cut))) if w[0] > 0 else 0.0
        self.mean_value(f, more["c"], G, most, w[0] == 1)

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

    def feasible(self, upper: np.ndarray) -> np.ndarray:
        """The values at points that keep the constraints; where none does, that of the one that is nearest to it."""
        rows, at = self.model.rows, self.points.rows
        if rows is None or at is None:
            return upper
        value = np.where(at.all, upper, INF)
        if np.isfinite(value).any():
            return value
        lower, top = rows.lower[:, None], rows.upper[:, None]
        lack = np.maximum(np.fmax(at.c.lo - top, lower - at.c.hi), 0.0)
        lack = (lack / (1.0 + np.where(np.isfinite(lower), abs(lower), 0.0))).max(0, initial=0.0)
        lack = np.where((upper < self.cut) & at.safe & (lack == lack), lack, INF)
        if (lack == 0).any():  # as far as its enclosure tells
            return np.where(lack == 0, upper, INF)
        j = int(np.argmin(lack))
        value[j] = upper[j] if lack[j] < INF else INF
        return value

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
        X, low, high, whole = self.X, self.bound.low, self.bound.high, self.bound.whole
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

    def mean_value(
        self, f: Interval, at: np.ndarray, slopes: Any = None, most: float | None = None, below: bool = True
    ) -> None:
        """Fun >= f(at) + G (x - at); at: points of the boxes as they were, inside which G holds.

        slopes, most: of something else, that is at most so much; below: whether it is nowhere above fun.
        """
        X, G, cut = self.X, self.G if slopes is None else slopes, self.cut if most is None else most
        D = iv.sub(X, Interval(at, at))
        p = iv.mul(G, D)
        if below:
            self.raise_low(iv.add(f, iv.total(p, (0,))).lo)
        lows = np.where(np.isfinite(p.lo), p.lo, 0.0)
        bad = ~np.isfinite(p.lo)
        others = iv.total(Interval(lows, lows), (0,)).lo - lows
        others = iv.down(others, 4) - np.abs(lows).sum(0) * (len(lows) + 8) * 2.0**-52
        others = np.where(bad.sum(0) - bad > 0, -INF, others)
        room = iv.up(cut - iv.down(f.lo + others, 2), 2)  # G_i (x_i - at_i) is at most this
        t = iv.quotient(Interval(np.full_like(room, -INF), np.where(room == room, room, INF)), G)
        self.narrow(iv.add(Interval(at, at), t), np.zeros(X.lo.shape[1], bool))

    def curved(self) -> None:
        """Tests by the Hessian, where a sample of the boxes gains by them."""
        if len(self.row) > 2 * SAMPLE:
            pick = np.linspace(0, len(self.row) - 1, SAMPLE).astype(int)
            lo, hi = self.X.lo[:, pick], self.X.hi[:, pick]
            new, dead, low = self.hessian(Interval(lo, hi))
            gained = dead | (low > self.cut) | ((np.fmin(new.hi, hi) - np.fmax(new.lo, lo)) < 0.5 * (hi - lo)).any(0)
            if gained.mean() < WORTH:
                return
        new, dead, low = self.hessian(self.X)
        self.raise_low(low)
        self.narrow(new, dead)

    def hessian(self, X: Interval) -> tuple[Interval, np.ndarray, np.ndarray]:
        """Narrower boxes, which are dead, and lower bounds."""
        model, low, high = self.model, self.bound.low, self.bound.high
        c = newton.middle(X)
        seen = model.value(X)
        _, kinked = model.slope(seen)
        H, usable = model.curvature(seen, kinked)
        at = model.value(Interval(c, c))
        g, _ = model.slope(at)
        f = Interval(np.where(at.safe, at.f.lo, -INF), np.where(at.safe, at.f.hi, INF))
        free, d = (X.lo < X.hi) & (X.lo > low) & (X.hi < high), np.arange(model.n)
        if self.bound.whole is not None:
            free = free & ~self.bound.whole
        concave = usable & ((H.hi[d, d] < 0) & free).any(0)  # no minimiser inside
        bound = np.where(usable, newton.taylor(X, c, f, g, H), -INF)
        if seen.rows is not None:
            usable = usable & seen.rows.loose
            concave = concave & usable
        new, empty, _ = newton.step(X, c, g, H, free, usable)
        new = Interval(np.where(usable, new.lo, X.lo), np.where(usable, new.hi, X.hi))
        return new, concave | empty & usable, bound

    def score(self) -> np.ndarray:
        """By how much each side may change fun (smear), or what it costs a sum of squares, or its width."""
        w = self.X.hi - self.X.lo
        score, smear = w / self.bound.width, iv.size(self.G).hi * w
        if self.cut == INF:  # no point that keeps the constraints is known, and fun does not tell where one is
            return score
        good = np.isfinite(smear).all(0) & (smear > 0).any(0)
        score = np.where(good, smear / np.where(good, smear.max(0, initial=0.0), 1.0), score)
        good = (self.share > 0).any(0)
        total = np.where(good, self.share.sum(0), 1.0)
        return np.where(good, self.share / total + score / np.maximum(score.sum(0), 1e-300), score)


def drawn_in(lo: np.ndarray, hi: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of boxes, at whole numbers where `whole`, (n, 1)."""
    return np.where(whole, np.ceil(lo), lo), np.where(whole, np.floor(hi), hi)
