"""Points that are proven to keep the constraints.

The value at a point bounds the minimum from above only if the point keeps every row exactly. Where the rows' enclosures
at a point lie within their bounds, or its values in exact arithmetic, it does. Else the rows that bind are taken as
equations in as many of the variables, the others held, and a contracting Newton step proves that they have a solution
in a box of a few roundings, in which the other rows are kept. Where that cannot be shown, a point a little further
inside may do.
"""

import numpy as np

from jaxglobal.proof import newton
from jaxglobal.proof.exactly import exactly
from jaxglobal.proof.intervals import EPS, Interval
from jaxglobal.proof.model import Model

STEPS = 12  # of Newton's method towards the rows
SIZES = 20  # boxes about a point that are tried, each four times as wide
INWARD = (1e-14, 1e-12, 1e-10, 1e-8)  # of a row's own scale, how far inside its bounds a point may have to lie
Ends = tuple[np.ndarray, np.ndarray]


class Place:
    """Where points may be.

    Attributes:
        low, high: (n,) the bounds.
        still: (n,) variables that do not move: whole numbers.
    """

    def __init__(self, model: Model, low: np.ndarray, high: np.ndarray, still: np.ndarray):
        """Of a model with rows."""
        self.model, self.low, self.high, self.still = model, low, high, still
        rows = model.rows
        if rows is None:
            raise ValueError("`model` must have rows.")
        self.lower, self.upper, self.equal = rows.lower, rows.upper, rows.lower == rows.upper

    def slopes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rows, (m,), their Jacobian, (m, n), and the gradient of fun, (n,), about; NaN where they are unknown."""
        seen = self.model.value(Interval(x[:, None], x[:, None]))
        G, _ = self.model.slope(seen)
        J, _ = self.model.row_slopes(seen)
        c = seen.rows.c if seen.rows is not None else G
        middle = lambda part: (0.5 * part.lo + 0.5 * part.hi)[..., 0]  # noqa: E731
        return middle(c), middle(J).T, middle(G)

    def scale(self, c: np.ndarray, J: np.ndarray) -> np.ndarray:
        """(m,) What a row can be expected to change by: its nearest bound and what it does across the box."""
        near = np.where(abs(c - self.upper) <= abs(c - self.lower), self.upper, self.lower)
        return np.where(np.isfinite(near), abs(near), 0.0) + abs(J) @ (self.high - self.low)

    def lacks(self, c: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(m,) How far a row is from its bounds, moved inside by so much where they are not equal."""
        by = np.where(self.equal, 0.0, np.minimum(inside, 0.25 * (self.upper - self.lower)))
        by = np.where(np.isfinite(by), by, inside)
        low, high = self.lower + by, self.upper - by
        return np.where(c < low, low - c, np.where(c <= high, 0.0, high - c))  # NaN where c is

    def violation(self, x: np.ndarray) -> float:
        """The largest violation of a row, of its own scale; inf where it is unknown."""
        c, J, _ = self.slopes(x)
        worst = float(np.max(abs(self.lacks(c, np.zeros(len(c)))) / (self.scale(c, J) + 1e-300)))
        return worst if worst >= 0 else np.inf

    def moved(self, x: np.ndarray, inward: float) -> np.ndarray:
        """Towards where the rows hold, by steps of least length."""
        for _ in range(STEPS):
            c, J, _ = self.slopes(x)
            lack = self.lacks(c, inward * self.scale(c, J))
            active, free = lack != 0, ~self.still & (self.low < self.high)
            if not active.any() or not (np.isfinite(J).all() and np.isfinite(lack).all()):
                break
            width = np.where(self.high > self.low, self.high - self.low, 1.0)
            step = np.zeros(len(x))
            for _ in range(3):  # without those that would leave the box
                step[:] = 0.0
                if free.any():
                    A = J[np.ix_(active, free)] * width[free]
                    step[free] = width[free] * np.linalg.lstsq(A, lack[active], rcond=None)[0]
                leaves = free & ((x + step < self.low) & (x <= self.low) | (x + step > self.high) & (x >= self.high))
                if not leaves.any():
                    break
                free &= ~leaves
            new = np.clip(x + step, self.low, self.high)
            if np.all(abs(new - x) <= 2 * EPS * abs(x)):
                break
            x = new
        return x

    def kept(self, lo: np.ndarray, hi: np.ndarray) -> tuple[np.ndarray, bool]:
        """Which rows every point of a box keeps, (m,), and whether fun is defined there."""
        seen = self.model.value(Interval(lo[:, None], hi[:, None]))
        if seen.rows is None:
            raise ValueError("`model` must have rows.")
        c = seen.rows.c
        inside = (c.lo >= self.lower[:, None]) & (c.hi <= self.upper[:, None]) & seen.rows.safe
        return inside[:, 0], bool(seen.safe[0])

    def exactly(self, x: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """Which rows are kept at a point, (m,): those that are inside, and of the others by exact arithmetic."""
        if inside.all() or self.model.rows is None:
            return inside
        out, c = inside.copy(), exactly(self.model.program, self.model.rows.id, x)
        for k in np.flatnonzero(~inside):
            out[k] = c[k] == c[k] and self.lower[k] <= c[k] <= self.upper[k]
        return out

    def violates(self, x: np.ndarray) -> bool:
        """Whether a point surely violates a row, by exact arithmetic."""
        c = self.model.rows and exactly(self.model.program, self.model.rows.id, x)
        return c is not None and any(
            value == value and not low <= value <= high
            for value, low, high in zip(c, self.lower, self.upper, strict=True)
        )

    def keeps(self, x: np.ndarray) -> bool:
        """Whether a point keeps the rows, and fun is defined there."""
        inside, defined = self.kept(x, x)
        return defined and bool(self.exactly(x, inside).all())


def near(place: Place, x: np.ndarray, further: bool = True) -> Ends | None:
    """Ends of a small box near x in which there is a point that keeps the rows and at which fun is defined.

    further: whether points further inside are tried as well.
    """
    if place.keeps(x):
        return x, x
    if not place.model.derives:
        return None
    found = exact(place, place.moved(x, 0.0))
    if found is not None:
        return found
    for inward in INWARD if further else ():
        p = place.moved(x, inward)
        if place.keeps(p):
            return p, p
        if place.equal.any() and (found := exact(place, p)) is not None:
            return found
    return None


def exact(place: Place, x: np.ndarray) -> Ends | None:
    """Ends of a box about x in which the rows that bind are proven to have a solution, and the others are kept."""
    rows = place.model.rows
    if not np.isfinite(x).all() or rows is None:
        return None
    met = place.exactly(x, place.kept(x, x)[0])
    active = ~met
    for _ in range(len(met)):
        ends = solved(place, x, active)
        if ends is None:
            return None
        inside, defined = place.kept(*ends)
        moved = (ends[0] != x) | (ends[1] != x)
        inside |= active | met & ~(rows.depends & moved).any(1)
        if not defined or inside.all():
            return ends if defined else None
        active |= ~inside
    return None


def solved(place: Place, x: np.ndarray, active: np.ndarray) -> Ends | None:
    """Ends of a box about x in which these rows are proven to be at their nearest bounds somewhere."""
    model, n = place.model, len(x)
    c, J, _ = place.slopes(x)
    target = np.where(abs(c - place.upper) <= abs(c - place.lower), place.upper, place.lower)[active]
    width = place.high - place.low
    moves = ~place.still & (x > place.low) & (x < place.high)
    basis = pivots(J[active] * np.where(moves, width, 0.0))
    if basis is None or not np.isfinite(target).all():
        return None
    free = np.zeros(n, bool)
    free[basis] = True
    size = np.where(free, np.maximum(abs(x), 1e-6 * width), 0.0)[:, None] * (EPS * 4.0 ** np.arange(1, SIZES + 1))
    centre = np.broadcast_to(x[:, None], size.shape)
    X = Interval(np.maximum(centre - size, place.low[:, None]), np.minimum(centre + size, place.high[:, None]))
    seen, at = model.value(X), model.value(Interval(centre, centre))
    model.slope(seen)
    slopes, usable = model.row_slopes(seen)
    if at.rows is None:
        return None
    g, H = np.zeros((2, n, size.shape[1])), np.zeros((2, n, n, size.shape[1]))
    for k in (0, 1):  # the row of a variable of the basis is a row of the constraints
        g[k][basis] = at.rows.c[k][active]
        H[k][basis] = np.swapaxes(slopes[k], 0, 1)[active]
    t = np.zeros((n, 1))
    t[basis, 0] = target
    gap = Interval(np.nextafter(g[0] - t, -np.inf), np.nextafter(g[1] - t, np.inf))
    wide = np.broadcast_to(free[:, None], size.shape)
    N, _, inside = newton.step(X, centre, gap, Interval(*H), wide, usable & at.rows.safe)
    good = inside & usable & at.rows.safe
    if not good.any():
        return None
    j = int(np.argmax(good))
    return N.lo[:, j], N.hi[:, j]


def pivots(A: np.ndarray) -> np.ndarray | None:
    """As many columns of A, (k, n), as it has rows, that are far from dependent; None where there are none."""
    if not np.isfinite(A).all():
        return None
    left, chosen = A / np.maximum(np.abs(A).max(1, keepdims=True, initial=0.0), 1e-300), []
    for _ in range(len(A)):
        sizes = (left * left).sum(0)
        j = int(np.argmax(sizes)) if len(sizes) else 0
        if not len(sizes) or not sizes[j] > 1e-20:
            return None
        q = left[:, j] / np.sqrt(sizes[j])
        left = left - np.outer(q, q @ left)
        chosen.append(j)
    return np.array(chosen, int)
