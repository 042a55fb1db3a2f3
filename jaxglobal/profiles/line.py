"""A profile while it grows: its points, and where the next ones belong.

Heights are square roots of the rise above the minimum, in units of the threshold's: nearly straight on either side of a
minimum, and 1 at an end of a confidence set, so that interpolation finds the ends in few rounds. Every bracket of an
end also gets its middle: it is halved at least, whatever the curve is.
"""

import dataclasses

import numpy as np

TOL = 1e-4  # of an interval's width, to which its ends are found
GAP = 0.3  # heights between neighbours of the curve, at most
SHARE = 8  # parts of an interval's width, of which neighbours are one apart at most
ZONE = 1.6  # height up to which the curve is filled
MOST = 96  # points of a curve that fill it
LOOKS = 3  # points inside an interval that are searched from screened starts
SAME = 4e-16  # of the numbers: two places are one
BENT = 0.25  # of the way to the nearer neighbour: how far a point on their branch lies from the straight line between
STRAIGHT = 0.01  # of the width of the set: the same, however near they are


@dataclasses.dataclass
class Line:
    """Points of a profile, in ascending order.

    Attributes:
        index: the parameter that is held; -1 where it is a function of all.
        low: the lower bound of what is held.
        high: the upper bound.
        v: (K,) values of what is held.
        c: (K,) what was asked for; v, but for a function.
        f: (K,) the lowest costs found there.
        x: (K, n) where.
        checked: points that have been searched once more, globally.
        swept: points with their neighbours, as they were when they were searched from these.
    """

    index: int
    low: float
    high: float
    v: np.ndarray
    c: np.ndarray
    f: np.ndarray
    x: np.ndarray
    checked: set[float] = dataclasses.field(default_factory=set)
    swept: set[bytes] = dataclasses.field(default_factory=set)

    def add(self, v: np.ndarray, c: np.ndarray, f: np.ndarray, x: np.ndarray) -> None:
        """Takes in points; of several at one place the lowest stays."""
        f = np.where(np.isfinite(f), f, np.inf)
        v, c, f = (np.concatenate(pair) for pair in ((self.v, v), (self.c, c), (self.f, f)))
        x, real = np.concatenate([self.x, x]), np.isfinite(v)
        order = np.lexsort((f, v))
        order = order[real[order]]
        apart = np.diff(v[order], prepend=-np.inf) > SAME * np.abs(v[order])
        group = np.cumsum(apart)
        order = order[np.lexsort((f[order], group))]
        first = np.flatnonzero(np.diff(group, prepend=-1) > 0)
        self.v, self.c, self.f, self.x = (field[order[first]] for field in (v, c, f, x))

    def heights(self, best: float, rise: float) -> np.ndarray:
        """(K,) See the module; without a threshold none is high, with one of zero all are."""
        above = np.maximum(self.f - best, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.sqrt(above / rise)
        return np.where(np.isinf(rise) & np.isfinite(self.f), 0.0, np.where(above > 0, z, 0.0))

    def around(self, at: float) -> list[np.ndarray]:
        """Points of the others' best nearby: left, right, and between."""
        known = np.flatnonzero(np.isfinite(self.f))
        j = np.searchsorted(self.v[known], at)
        sides = [known[i] for i in (j - 1, j) if 0 <= i < len(known)]
        found = [self.x[i] for i in sides]
        if len(sides) == 2 and self.v[sides[1]] > self.v[sides[0]]:
            share = (at - self.v[sides[0]]) / (self.v[sides[1]] - self.v[sides[0]])
            found.insert(0, found[0] + share * (found[1] - found[0]))
        return found

    def follows(self, z: np.ndarray) -> np.ndarray:
        """(K,) Whether all parameters are about where the straight line between both neighbours has them.

        Then the point is on the branch of both. The unit is how far each moves in the set.
        """
        whole = np.concatenate([self.x, self.v[:, None]], axis=1)
        inside = whole[z <= ZONE]
        size = np.ptp(inside, axis=0) if len(inside) else np.zeros(whole.shape[1])
        size = np.where(size > 0, size, np.ptp(whole, axis=0))
        whole = whole / np.where(size > 0, size, 1)
        steps = np.diff(whole[:, -1])
        near, told = np.minimum(steps[:-1], steps[1:]), np.zeros(len(z), bool)
        middle = whole[:-2] + (steps[:-1] / (steps[:-1] + steps[1:]))[:, None] * (whole[2:] - whole[:-2])
        told[1:-1] = np.max(abs(whole[1:-1] - middle), axis=1) <= BENT * near + STRAIGHT
        return told & np.isfinite(z)

    def between(self, at: float, follows: np.ndarray) -> np.ndarray | None:
        """Where a value lies on the branch of its neighbours; None unless they are on one."""
        j = int(np.searchsorted(self.v, at))
        return self.around(at)[0] if 0 < j < len(self.v) and follows[j - 1] and follows[j] else None

    def unswept(self, z: np.ndarray) -> list[int]:
        """Points that are not on the branch of their neighbours, nor have been searched from these, as they are."""
        whole = np.concatenate([self.f[:, None], self.x], axis=1)
        padded = np.concatenate([np.zeros((1, whole.shape[1])), whole, np.zeros((1, whole.shape[1]))])
        near = [(padded[i].tobytes() + self.v[i].tobytes() + padded[i + 2].tobytes()) for i in range(len(self.v))]
        follows = self.follows(z)
        fresh = [i for i, key in enumerate(near) if key not in self.swept and not follows[i]]
        self.swept.update(near[i] for i in fresh)
        return fresh

    @property
    def reached(self) -> tuple[bool, bool]:
        """Whether it has been searched as far as its bounds."""
        return bool(np.min(self.c) <= self.low), bool(np.max(self.c) >= self.high)

    def asked(self, v: np.ndarray) -> np.ndarray:
        """What to ask for so that these values come: they differ as they did nearby."""
        return v if self.index >= 0 or not len(self.v) else v + np.interp(v, self.v, self.c - self.v)


def runs(inside: np.ndarray) -> list[tuple[int, int]]:
    """The first and last index of each run of points inside."""
    edges = np.diff(np.concatenate([[False], inside, [False]]).astype(int))
    return [(int(i), int(j) - 1) for i, j in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)]


def crossing(v: np.ndarray, z: np.ndarray, a: int, b: int) -> tuple[float, float]:
    """Where the height is one between the neighbours a, inside, and b, outside; and how unsure that is."""
    if not np.isfinite(z[b]):
        return (v[a] + v[b]) / 2, abs(v[b] - v[a])
    straight = v[a] + (v[b] - v[a]) * (1 - z[a]) / (z[b] - z[a])
    used, step = [a, b], b - a
    if 0 <= a - step < len(v) and z[a - step] < z[a]:
        used.insert(0, a - step)
    if 0 <= b + step < len(v) and np.isfinite(z[b + step]) and z[b + step] > z[b]:
        used.append(b + step)
    terms = [
        v[i] * np.prod([(1 - z[j]) / (z[i] - z[j]) for j in used if j != i])
        for i in used
    ]  # fmt: skip
    bent = float(np.sum(terms))
    low, high = sorted((v[a], v[b]))
    root = bent if low < bent < high else straight
    return float(root), float(abs(root - straight))


def brackets(v: np.ndarray, z: np.ndarray) -> list[tuple[int, int, float]]:
    """Each end of a set: the neighbours inside and outside it, and how close they have to be."""
    found = []
    for first, last in runs(z <= 1):
        inner = v[last] - v[first]
        outer = v[min(last + 1, len(v) - 1)] - v[max(first - 1, 0)]
        tol = TOL * (inner if inner > 0 else TOL * outer)
        found += [(first, first - 1, tol)] if first > 0 else []
        found += [(last, last + 1, tol)] if last + 1 < len(v) else []
    return found


def is_found(v: np.ndarray, a: int, b: int, tol: float) -> bool:
    """Whether a bracket is narrow enough, or as narrow as numbers are."""
    return abs(v[b] - v[a]) <= max(tol, 4 * SAME * (abs(v[a]) + abs(v[b])))


def ends(line: Line, z: np.ndarray) -> list[float]:
    """The next values by which the ends of the sets are found."""
    v, wanted = line.v, []
    for a, b, tol in brackets(v, z):
        if is_found(v, a, b, tol):
            continue
        root, unsure = crossing(v, z, a, b)
        size = abs(v[b] - v[a])
        step = float(np.clip(unsure / 10, min(0.4 * tol, size / 20), size / 20))
        wanted += [root - step, root + step, (v[a] + v[b]) / 2]
    return wanted


def fill(line: Line, z: np.ndarray) -> list[float]:
    """The next values that draw the curve where it bends, and look for humps inside a set."""
    v, wanted = line.v, []
    if len(v) > MOST:
        return wanted
    for first, last in runs(z <= 1):
        left, right = max(first - 1, 0), min(last + 1, len(v) - 1)
        width = v[last] - v[first] if last > first else v[right] - v[left]
        for i in range(max(left - 1, 0), min(right + 1, len(v) - 1)):
            near = max(z[i], z[i + 1]) <= ZONE
            if near and (abs(z[i + 1] - z[i]) > GAP or v[i + 1] - v[i] > width / SHARE):
                wanted.append((v[i] + v[i + 1]) / 2)
    return wanted


def looks(line: Line, z: np.ndarray) -> list[float]:
    """Where it is looked globally, once the curve is drawn: outside every end, and evenly inside, where nobody has."""
    v, wanted = line.v, [float(line.v[b]) for _, b, _ in brackets(line.v, z)]
    for first, last in runs(z <= 1):
        inside, apart = v[first : last + 1], (v[last] - v[first]) / (LOOKS + 1)
        for at in v[first] + apart * np.arange(1, LOOKS + 1):
            if not any(abs(at - other) <= apart / 2 for other in line.checked):
                wanted.append(float(inside[np.argmin(np.abs(inside - at))]))
    return wanted
