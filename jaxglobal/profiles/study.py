"""How profiles are found: all points of a round are one batch of global searches.

1. The first points of every profile: the minima that are known, where the quadratic approximation expects the ends, and
   even ones from bound to bound. These are searched from screened starts of their own, and from what is known nearby.
2. What is lowest among its neighbours is let go: a search with nothing held. So minima come in that nobody knew; one
   that is lower than all becomes the best.
3. Ends are bracketed and found, the curve is filled where it bends (line.py): from the straight line between neighbours
   where these are of one branch, else from neighbours on either side and from screened starts.
4. Every point that does not follow from both its neighbours is searched from them until none gets lower; every end, and
   a few points inside, once more from screened starts, for a branch that nobody knew. Where something got lower, from 3
   again.

A profile point is the lowest of local searches: it can be too high where all of them miss the lowest, as a global
search can. Then a set comes out too small there; it is never too large, unless the lowest cost of all was missed.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.profiles import line as lines
from jaxglobal.profiles.line import Line
from jaxglobal.profiles.thresholds import Rule

EVEN = 12  # points between the bounds of a parameter, at first
EXPECTED = (-1.5, -1.02, -0.98, -0.5, 0.5, 0.98, 1.02, 1.5)  # times the half width of the quadratic approximation
MINIMA = 16  # known minima inside the set that profiles begin at
BESIDE = 0.05  # half widths: minima that are nearer along a parameter share their points
GUESSES = 5  # of each point, from others
ROUNDS = 60
SWEEPS = 12
LOWER = 1e-4  # of the threshold's rise: a cost that is lower by more is another minimum
BETTER = 1e-7  # and one that is lower by more than this, and than rounding, an improvement
APART = 1e-6  # of the box: minima that are nearer are one
FREED = 64  # points that are let go


class Wanted(NamedTuple):
    """A point that a profile should have."""

    line: Line
    v: float
    wide: bool
    """Whether it is searched from screened starts of its own too."""
    start: np.ndarray | None = None
    """The one other start; None: all that is known nearby."""


@dataclasses.dataclass
class Study:
    """Profiles under way.

    Attributes:
        points: what searches: `at`, `free`, `reach`.
        rule: what the costs mean.
        lines: the profiles.
        x: (n,) the best point.
        fun: its cost.
        minima: (M, n) local minima inside the set.
        costs: (M,) theirs.
        given: the cost that the profiles began with.
        held: parameters that are held at a time, for the threshold.
        done: whether all ends were found.
    """

    points: Any
    rule: Rule
    lines: list[Line]
    x: np.ndarray
    fun: float
    minima: np.ndarray
    costs: np.ndarray
    given: float
    held: int = 1
    done: bool = False

    @property
    def rise(self) -> float:
        """That of the threshold; the rounding error, if it would be less."""
        return max(self.rule.rise(self.fun, self.held), self.points.floor)

    @property
    def lower(self) -> bool:
        """Whether a lower minimum was found than the one that was given."""
        return self.fun < self.given - max(LOWER * self.rise, self.points.noise(self.given))

    @property
    def better(self) -> float:
        """A cost that is lower by more is an improvement, and not rounding."""
        return max(BETTER * self.rise, self.points.noise(self.fun))

    def heights(self, line: Line) -> np.ndarray:
        """Those of its points."""
        return line.heights(self.fun, self.rise)

    def run(self) -> None:
        """Finds the profiles."""
        self._begin()
        for _ in range(ROUNDS):
            if self.points.asked:
                return
            wanted = []
            for line in self.lines:
                z = self.heights(line)
                follows = line.follows(z)
                wanted += [Wanted(line, v, False, line.between(v, follows)) for v in lines.ends(line, z)]
                between = [(v, line.between(v, follows)) for v in lines.fill(line, z)]
                wanted += [Wanted(line, v, start is None, start) for v, start in between]
            if wanted:
                self._ask(wanted)
            elif not self._sweep() and not self._check():
                self.done = all(map(self._whole, self.lines))
                return

    def _whole(self, line: Line) -> bool:
        """Whether its set ends at searched points outside it, or where the box does."""
        z, reached = self.heights(line), line.reached
        return bool((z[0] > 1 or reached[0]) and (z[-1] > 1 or reached[1]))

    def _begin(self) -> None:
        wanted = self._begin_at(self.minima)
        for line in self.lines:
            even = np.linspace(line.low, line.high, EVEN + 2)
            wanted += [Wanted(line, v, True) for v in even]
        self._ask(wanted)
        self._free()

    def _begin_at(self, minima: np.ndarray) -> list[Wanted]:
        """Takes minima in; the points that profiles should have around them."""
        if not len(minima):
            return []
        widths = self.points.reach(minima) * np.sqrt(self.rise)
        wanted, costs = [], self.points.costs(minima)
        for k, line in enumerate(self.lines):
            v, begun = self.points.values(line.index, minima), []
            line.add(v, v, costs, minima)
            for x, value, width in zip(minima, v, widths[:, k], strict=True):
                width = width if np.isfinite(width) and width > 0 else (line.high - line.low) / 8
                if any(abs(value - other) < BESIDE * width for other in begun):
                    continue
                begun.append(value)
                around = value + width * np.array([0.0, *EXPECTED])
                around = around[(around >= line.low) & (around <= line.high)]
                wanted += [Wanted(line, v, False, x) for v in around]
        return wanted

    def _ask(self, wanted: list[Wanted]) -> None:
        """Searches points of these profiles and takes them in."""
        n = len(self.x)
        for wide in (True, False):
            batch = [one for one in wanted if one.wide == wide]
            if not batch:
                continue
            guesses = np.full((len(batch), GUESSES, n), np.nan)
            asked = np.array([one.line.asked(np.array(one.v)) for one in batch], float)
            for row, one in zip(guesses, batch, strict=True):
                known = self._near(one.line, one.v) if one.start is None else [one.start]
                row[: len(known)] = np.reshape(known, (-1, n))
            index = np.array([one.line.index for one in batch])
            v, f, x = self.points.at(index, asked, guesses, wide)
            v = np.where(np.isinf(f) & self.points.asked, np.nan, v)  # nothing is known of what was not searched
            for line in self.lines:
                mine = np.array([one.line is line for one in batch])
                line.add(v[mine], asked[mine], f[mine], x[mine])
        self._descend()

    def _near(self, line: Line, v: float) -> list[np.ndarray]:
        """The best of the others nearby, and the minima, the nearest first, each once."""
        near = np.argsort(np.abs(self.points.values(line.index, self.minima) - v), kind="stable")
        known = {x.tobytes(): x for x in (*line.around(v), *self.minima[near])}
        return list(known.values())[:GUESSES]

    def _descend(self) -> None:
        """Takes the lowest of all points for the best, searched on with nothing held, where it is lower."""
        f = np.concatenate([line.f for line in self.lines])
        if np.min(f) < self.fun - self.better:
            x = np.concatenate([line.x for line in self.lines])[np.argmin(f)]
            self._take(*self.points.free(x[None]))

    def _free(self) -> None:
        """Lets points go that are lower than their neighbours."""
        starts = []
        for line in self.lines:
            f = np.concatenate([[np.inf], line.f, [np.inf]])
            low = np.flatnonzero((f[1:-1] <= f[:-2]) & (f[1:-1] <= f[2:]) & np.isfinite(f[1:-1]))
            starts += [(line.f[i], tuple(line.x[i])) for i in low]
        starts = np.array([x for _, x in sorted(set(starts))[:FREED]])
        if len(starts):
            self._take(*self.points.free(starts))

    def _take(self, f: np.ndarray, x: np.ndarray) -> None:
        """Takes in the ends of free searches; profiles get points around minima that are new."""
        wanted = self._begin_at(self._known(x, f))
        if wanted:
            self._ask(wanted)

    def _known(self, x: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Takes in minima inside the set; those that are new."""
        width = np.where(self.points.upper > self.points.lower, self.points.upper - self.points.lower, 1)
        new = []
        for i in np.argsort(f, kind="stable"):
            best = f[i] < self.fun - self.better  # an alias that fits as well is no reason to leave the fit's own
            if best:
                self.x, self.fun = x[i], float(f[i])
            inside = f[i] <= self.fun + self.rise and len(self.minima) < MINIMA
            far = np.all(np.max(np.abs(self.minima - x[i]) / width, axis=1, initial=0.0) > APART)
            if best or (inside and far):
                self.minima, self.costs = np.concatenate([self.minima, x[i : i + 1]]), np.append(self.costs, f[i])
                new.append(x[i])
        return np.array(new).reshape(-1, len(self.x))

    def _sweep(self) -> bool:
        """Searches all points from their neighbours until none gets lower; whether any did."""
        any_lower = False
        for _ in range(SWEEPS):
            batch = [(line, i) for line in self.lines for i in line.unswept(self.heights(line))]
            if not batch or self.points.asked:
                break
            guesses = np.full((len(batch), GUESSES, len(self.x)), np.nan)
            for row, (line, i) in zip(guesses, batch, strict=True):
                near = [line.x[j] for j in (i - 1, i + 1) if 0 <= j < len(line.v)]
                row[: len(near)] = np.reshape(near, (-1, len(self.x)))
            index, asked = (
                np.array(part) for part in zip(*((line.index, line.c[i]) for line, i in batch), strict=True)
            )
            v, f, x = self.points.at(index, asked, guesses, False)
            for (line, i), value, cost, where in zip(batch, v, f, x, strict=True):
                if cost < line.f[i] - self.better:
                    line.v[i], line.f[i], line.x[i], any_lower = value, cost, where, True
        for line in self.lines:
            line.add(*(np.zeros((0, *field.shape[1:])) for field in (line.v, line.c, line.f, line.x)))  # sorts it anew
        self._descend()
        return any_lower

    def _check(self) -> bool:
        """Searches outside every end and at a few points inside from screened starts, once; whether there were any."""
        wanted = []
        for line in self.lines:
            fresh = [v for v in lines.looks(line, self.heights(line)) if v not in line.checked]
            line.checked.update(fresh)
            wanted += [Wanted(line, v, True) for v in fresh]
        if wanted:
            before = [np.interp(one.v, one.line.v, one.line.f) for one in wanted]
            self._ask(wanted)
            now = [np.interp(one.v, one.line.v, one.line.f) for one in wanted]
            if np.any(np.array(now) < np.array(before) - self.better):  # a branch that nobody knew, with its minimum
                self._free()
        return bool(wanted)
