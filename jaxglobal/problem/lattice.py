"""Whole numbers among the variables: which they are, and where they lie in the box.

A whole number of a..b owns the cell of length one around it, so that inside the search its bounds are a - 1/2 and
b + 1/2, every value has the same share of the unit box, and a point is on the lattice once it lies at the middle of its
cell. Starts of every kind (designs, hops, scans, the evolution strategy) are moved there before anybody evaluates them,
and local searches hold these variables still: so the function is called at whole numbers alone, and every search is one
of the continuous variables for one assignment of the others.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.problem import choice

ASSIGNMENTS = 2**12  # of whole numbers, up to which each is searched from before a search ends by its evidence
STEPS = (-2, -1, -1, 1, 1, 2)  # of whole numbers, to one next to another
MORE = 0.5  # share of such moves in which one more takes a step, and so on
MOVES = 8  # that take one, at most
POINTS = 2**14  # the same where nothing is continuous; beside continuous ones, a last look has one value of each
EACH = 2**8  # assignments up to which `argmin`, whose starts are fixed, has one from each
EACH_POINT = 2**12  # the same where nothing is continuous
BLOCK = 2**16  # starts that are looked at together
MOST = 2**30  # values of a variable: beyond that, whole numbers and floats of 32 bits are not told apart


def read(integrality: Any, structure: Any) -> np.ndarray:
    """Which variables are whole numbers, (n,), from None, a bool, or a mask in the structure of x.

    Those with a list of values are, as they are indices here.

    Raises:
        ValueError: it is no such mask.
    """
    own = choice.chosen(structure.choices, structure.n)
    if integrality is None:
        return own
    leaves, treedef = jax.tree.flatten(integrality)
    kinds = {np.asarray(leaf).dtype.kind for leaf in leaves}
    if kinds <= set("bui") and all(np.all(np.isin(leaf, (0, 1))) for leaf in leaves):
        if isinstance(integrality, bool | int | np.bool_ | np.integer):
            return own | bool(integrality)
        if treedef != structure.treedef and len(structure.shapes) == 1 and isinstance(integrality, list | tuple):
            leaves, treedef = [np.asarray(integrality)], structure.treedef
        fits = treedef == structure.treedef and all(
            np.shape(leaf) in ((), shape) for leaf, shape in zip(leaves, structure.shapes, strict=True)
        )
        if fits:
            masks = [np.broadcast_to(leaf, shape).ravel() for leaf, shape in zip(leaves, structure.shapes, strict=True)]
            return own | np.concatenate(masks).astype(bool)
    raise ValueError(
        "`integrality` must be True, False, or booleans (or 0 and 1) of the structure of x with shapes "
        f"{list(structure.shapes)}; got {str(integrality)[:80]}."
    )


def widened(lower: np.ndarray, upper: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bounds inside the search, (..., n) each; those of a single whole number are equal.

    Raises:
        ValueError: there is no whole number between the bounds of one, or there are too many.
    """
    low, high = np.ceil(lower), np.floor(upper)
    bad = whole & ((low > high) | (high - low >= MOST) | (np.maximum(np.abs(low), np.abs(high)) >= MOST))
    if np.any(bad):
        i = int(np.argwhere(bad)[0][-1])
        a, b = (np.broadcast_to(side, bad.shape)[bad][0] for side in (lower, upper))
        raise ValueError(
            "`bounds` of a variable that `integrality` says is whole must have a whole number between them, of less "
            f"than {MOST} in size; got ({a}, {b}) at index {i}."
        )
    half = np.where(low < high, 0.5, 0.0)
    return (
        np.where(whole, low - half, lower).astype(lower.dtype),
        np.where(whole, high + half, upper).astype(upper.dtype),
    )


def check_starts(points: np.ndarray, whole: np.ndarray) -> None:
    """Raises ValueError unless the user's own starts, (..., n), are whole numbers where they have to be."""
    wrong = whole & (points != np.rint(points))
    if np.any(wrong):
        where = tuple(np.argwhere(wrong)[0])
        raise ValueError(
            f"`x0` must be whole where `integrality` says so; got {points[where]} at index {int(where[-1])}."
        )


def values(lower: np.ndarray, upper: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """How many values each variable can take, (n,), given the bounds inside the search; 0 where it is continuous."""
    return np.where(whole, np.maximum(np.rint(upper - lower), 1), 0).astype(np.int64)


def snapped(unit: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Points of the unit box, (..., m), moved to the lattice. count: (m,) values of each variable, 0 if continuous."""
    if not count.any():
        return unit
    cells = np.maximum(count, 1)
    middle = (np.clip(np.floor(unit * cells), 0, cells - 1) + 0.5) / cells
    return np.where(count > 0, middle, unit)


def unknown(unit: np.ndarray, known: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The points, (k, m), once each and on the lattice, that are not among the known ones, (l, m)."""
    if not np.any(count):
        return unit
    rows = np.concatenate([known, snapped(unit, count)])
    first = np.unique(rows, axis=0, return_index=True)[1]
    return rows[np.sort(first[first >= len(known)])]


class Tried:
    """Which assignments of the whole numbers have been searched from, where these are few enough to be told apart.

    Attributes:
        pure: whether there are no continuous variables.
        seen: (A,) which; None where there are no whole numbers, or too many.
        best: (A,) the lowest value at which a search from each has ended.
        many: how many variables are whole where these have too many assignments, else 0.
        glanced: how many assignments there are where these are too many, but few enough for one value of each; else 0.
    """

    def __init__(self, count: np.ndarray):
        """count: (m,) values of each free variable, 0 where it is continuous."""
        self._where, self.pure = np.flatnonzero(count), bool(len(count)) and bool(np.all(count))
        self._count = count[self._where]
        total = np.prod(self._count, dtype=float) if len(self._where) else np.inf
        few = total <= (POINTS if self.pure else ASSIGNMENTS)
        self.many = 0 if few else len(self._where)
        self.glanced = int(total) if self.many and total <= POINTS else 0
        self.seen = np.zeros(int(total), bool) if few else None
        self.best = np.full(int(total) if few else 0, np.inf)

    @property
    def all(self) -> int:
        """How many there are where each has been, else 0."""
        return len(self.seen) if self.seen is not None and np.all(self.seen) else 0

    def add(self, x: np.ndarray, f: np.ndarray | float = math.inf) -> None:
        """Searches have begun at x, (k, m), in the unit box, and have ended at values f, (k,)."""
        if self.seen is not None and len(x):
            places = np.clip(np.floor(x[:, self._where] * self._count), 0, self._count - 1).astype(np.int64)
            which = np.ravel_multi_index(tuple(places.T), tuple(self._count))
            self.seen[which] = True
            np.fmin.at(self.best, which, f)

    def at(self, which: np.ndarray, x: np.ndarray) -> np.ndarray:
        """(k, m) These points, (k, m), with these assignments, (k,)."""
        x = x.copy()
        x[:, self._where] = (np.stack(np.unravel_index(which, tuple(self._count)), axis=1) + 0.5) / self._count
        return x

    def rest(self, best: np.ndarray, most: int) -> np.ndarray:
        """(k, m) The best point with other assignments, of those not yet searched from the nearest, at most so many."""
        left = np.flatnonzero(~self.seen) if self.seen is not None else np.zeros(0, np.int64)
        if not len(left):
            return np.zeros((0, len(best)))
        unit = (np.stack(np.unravel_index(left, tuple(self._count)), axis=1) + 0.5) / self._count
        near = np.argsort(np.sum(np.abs(unit - best[self._where]) * self._count, axis=1), kind="stable")[:most]
        return self.at(left[near], np.repeat(best[None], len(near), axis=0))


def reached(sequence: Any, starts: int, count: np.ndarray) -> Tried:
    """Which assignments so many starts of a plain sequence, of its first levels, begin at. count: see `Tried`."""
    tried, n, level = Tried(count), len(count), 0
    while starts > 0 and tried.seen is not None and not tried.all:
        size = min(sequence.size(level, n), starts)
        for first in range(0, size, BLOCK):
            tried.add(sequence.points(level, first, min(BLOCK, size - first), n))
        starts, level = starts - size, level + 1
    return tried


def completed(x: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Starts, (k, m), on the lattice; where that has few assignments, with one more from each that has none."""
    x, tried = snapped(x, count), Tried(count)
    if tried.seen is None or len(tried.seen) > (EACH_POINT if tried.pure else EACH) or not len(x):
        return x
    tried.add(x)
    return np.concatenate([x, tried.rest(x[0], len(tried.seen))])


def elsewhere(x: np.ndarray, best: np.ndarray, count: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Points, (k, m), such a share of those that have the whole numbers of the best, (1, m) or (0, m), next to these.

    One of them moves by a step or two, or some.
    """
    whole = np.flatnonzero(count)
    x, cells = snapped(x, count), count[whole]
    if len(best):
        home = np.all(np.abs(x[:, whole] - best[:, whole]) * cells < 0.5, axis=1)
        home = np.flatnonzero(home & (rng.random(len(x)) < share))
        for _ in range(MOVES):
            axis, move = rng.integers(len(cells), size=len(home)), rng.choice(STEPS, len(home))
            there = x[home, whole[axis]] + move / cells[axis]
            x[home, whole[axis]] = 1 - np.abs(there % 2 - 1)  # reflected at the faces
            home = home[rng.random(len(home)) < MORE]
    return x


def rounded(x: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Points, (..., n), with exactly whole numbers where they are whole but for rounding."""
    return np.where(whole, np.rint(x), x).astype(x.dtype) if whole.any() else x


def held(fun: Any, whole: np.ndarray, structure: Any) -> Any:
    """The function without derivatives by whole numbers, of which it need not have any, nor finite ones."""
    if not np.any(whole):
        return fun

    def still(x: Any, *args: Any) -> Any:
        leaves, treedef = jax.tree.flatten(x)
        masks = [whole[part].reshape(shape) for part, shape in zip(structure.parts, structure.shapes, strict=True)]
        parts = [
            jnp.where(mask, jax.lax.stop_gradient(leaf), leaf) if not np.all(mask) else jax.lax.stop_gradient(leaf)
            for leaf, mask in zip(leaves, masks, strict=True)
        ]
        return fun(jax.tree.unflatten(treedef, parts), *args)

    return still
