"""Points of whole numbers whose other variables the rows tell: one look is then all of an assignment.

Where equalities tie continuous variables to whole numbers, all random points are infeasible, and by how much says
nothing of their whole numbers. But the rows are often linear in the continuous variables, with slopes that no whole
number changes. Then one value of the rows tells where they hold, in two cases:

1. as many equalities are so as there are continuous variables;
2. f and all rows are so, and some rows are equalities: what is left of an assignment is a linear program, whose minimum
   is at a vertex. Up to `VERTICES` are compared by what the slopes say of them: first by violation, then by value.

So nothing is left to search for but the whole numbers. That slopes do not change is seen at the points that scale the
rows, and then read from the program itself (constant_slopes.py), as samples would miss a small part of the box. A point
so found is one like any other, evaluated anew.

What was tried (`python benchmarks/integers.py --minlplib`; evaluations to the optimum, warm, on two cores):
- nothing of this: nvs02, nvs14 (five whole numbers of 0 to 200, three equalities) and gear4 (slacks on both sides of
  one) are not solved in 6 s; ex1225 takes 4,600, st_e40 12,000;
- this: nvs02 and nvs14 457,000 (1.4 s), gear4 5,100 (0.2 s), ex1225 160, st_e40 700;
- the shortest way onto equalities that leave something to search for: ex1223 takes 189,600 for 1,700, and ex1226 ends
  after 291,600 for 8,000;
- a step of Gauss and Newton before each look, with the slopes there: three values a look, and none of the three solved
  in 11 s.
"""

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxglobal.constraints.kkt import TINY, Frame

VERTICES = 64  # of an assignment, that are compared
TRIED = 4  # times as many choices of what holds may make them
STEADY = 0.75  # power of eps: by so much of its size may a slope change that does not
DEPENDENT = 1e-9  # beside the largest singular value: rows that say nothing new
ALIKE = 1e-9  # violations, in units of the box, below which places are compared by value


Constant = Callable[[np.ndarray], np.ndarray]


class Completion(NamedTuple):
    """How continuous variables are found from the rows.

    k of them move. A place is where some of the rows and variables, r, have the values that they are to have.
    """

    moving: np.ndarray
    """(k,) Which variables."""
    slopes: np.ndarray
    """(1 + m, k) Of f and the rows, in units of the box; zero where they change."""
    steady: np.ndarray
    """(1 + m,) Whether those of f and of the rows do not change."""
    held: np.ndarray
    """(V, r) Rows, and from m on variables, that have the values of these places."""
    at: np.ndarray
    """(V, r) These values; those of variables in units of the box."""
    onto: np.ndarray
    """(V, k, r) The step by which one more of them is got."""

    def moved(self, x: np.ndarray, f: np.ndarray, c: np.ndarray, frame: Frame) -> np.ndarray:
        """Points, (N, n), at which f is (N,) and the rows c, (N, m): each at the best place for its whole numbers."""
        low, width = frame.low[self.moving], frame.width[self.moving]
        y = (x[:, self.moving] - low) / width
        now = np.concatenate([c, y], axis=1)
        steps = np.einsum("vkr,nvr->nvk", self.onto, self.at - now[:, self.held])
        places = np.clip(y[:, None] + steps, 0, 1)
        change = (places - y[:, None]) @ self.slopes.T
        rows = c[:, None] + change[..., 1:]
        size = np.maximum(np.linalg.norm(self.slopes[1:], axis=1), TINY)
        over = np.maximum(np.maximum(rows - frame.upper, frame.lower - rows), 0) / size
        over = np.max(np.where(self.steady[1:] & np.any(self.slopes[1:], axis=1), over, 0), axis=2, initial=0)
        value = np.where(over <= ALIKE, f[:, None] + change[..., 0], math.inf)
        best = np.lexsort((value.T, np.where(over <= ALIKE, 0, over).T), axis=0)[0]
        ends = low + width * places[np.arange(len(x)), best]
        good = np.all(np.isfinite(ends), axis=1)
        told = x.copy()
        told[:, self.moving] = np.where(good[:, None], ends, x[:, self.moving])
        return told


def _room(slopes: np.ndarray, eps: float) -> np.ndarray:
    """By how much slopes, (N, 1 + m, k), may differ and yet be the same."""
    return eps**STEADY * np.max(np.abs(slopes), axis=2, keepdims=True)


def completion(
    g: np.ndarray, J: np.ndarray, frame: Frame, whole: np.ndarray, eps: float, constant: Constant
) -> Completion | None:  # fmt: skip
    """From slopes at some points, g (N, n) and J (N, m, n), with rounding eps; None where nothing can be told.

    constant: of these variables, whether slopes of f and the rows, (1 + m,), are the same at all points.
    """
    moving = np.flatnonzero(~whole & (frame.width > 0))
    if not np.any(whole & (frame.width > 0)) or not len(moving):
        return None
    both = np.concatenate([g[:, None], J], axis=1)[:, :, moving] * frame.width[moving]
    both = both[np.all(np.isfinite(both), axis=(1, 2))]
    if len(both) < 2:
        return None
    steady = np.all(np.abs(both - both[:1]) <= _room(both, eps), axis=(0, 2))
    if not np.any(steady[1:] & frame.equal):
        return None
    steady &= constant(moving)
    slopes = np.where(steady[:, None], both[0], 0.0)
    tied = np.flatnonzero(steady[1:] & frame.equal & np.any(slopes[1:], axis=1))
    rows, k = slopes[1:], len(moving)
    tied = tied[_independent(rows[tied])]
    if not len(tied) or (len(tied) < k and not np.all(steady)):
        return None
    found = _vertices(rows, tied, frame)
    return None if found is None else Completion(moving, slopes, steady, *found)


def _independent(rows: np.ndarray) -> np.ndarray:
    """Which of these rows, (r, k), say something new beside those before them."""
    kept: list[int] = []
    unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), TINY)
    for i in range(len(rows)):
        sizes = np.linalg.svd(unit[[*kept, i]], compute_uv=False)
        if len(kept) < rows.shape[1] and sizes[-1] > DEPENDENT * sizes[0]:
            kept.append(i)
    return np.array(kept, int)


def _vertices(rows: np.ndarray, tied: np.ndarray, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """What holds at the vertices, what it is, and the steps onto it, see `Completion`; None where they are many."""
    m, k = rows.shape
    uneven = np.flatnonzero(~frame.equal & np.any(rows, axis=1))
    sides = [(i, bound[i]) for i in uneven for bound in (frame.lower, frame.upper) if np.isfinite(bound[i])]
    sides += [(m + j, b) for j in range(k) for b in (0.0, 1.0)]
    free = k - len(tied)
    if math.comb(len(sides), free) > TRIED * VERTICES:
        return None
    size = np.concatenate([np.linalg.norm(rows, axis=1), np.ones(k)])
    unit, found = np.concatenate([rows, np.eye(k)]) / np.maximum(size, TINY)[:, None], []
    for chosen in itertools.combinations(sides, free):
        which = np.array([*tied, *(i for i, _ in chosen)], int)
        sizes = np.linalg.svd(unit[which], compute_uv=False)
        if sizes[-1] > DEPENDENT * sizes[0]:
            at = np.array([*frame.lower[tied], *(b for _, b in chosen)])
            found.append((which, at, np.linalg.inv(unit[which]) / size[which]))
    if not found or len(found) > VERTICES:
        return None
    held, at, onto = (np.array(part) for part in zip(*found, strict=True))
    return held, at, onto
