"""From a level and an index to a start: the sequences of ever finer sets of points in the unit box.

A sequence is an object with three methods, `size`, `points` and `spacing`; a user can pass one of their own as
`starts=`. Points are made in blocks of bounded size, so that a level of any size takes the memory of a small one.
"""

import copy
import dataclasses
import functools
import math
import warnings
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxglobal.evidence.stopping import AFFORDABLE

NEEDED = 4  # levels of a grid that the default stopping rule takes at least
JUMP = 8  # a level that has more than so many times the starts of the one before is too large a step
_BLOCK = 2**20  # points of one Sobol sequence; a larger level has several, scrambled anew
SOBOL_VARIABLES = 21_201  # direction numbers of Joe & Kuo end there
_WORD = 64  # bits of a start's index; a level of more starts is never visited to its end


@runtime_checkable
class Starts(Protocol):
    """What a sequence of starts has to offer. A checkpoint tells two of one class apart by their `__getstate__`."""

    def size(self, level: int, n: int) -> int:
        """The number of starts of the level in n variables."""
        ...

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """The starts first, ..., first + count - 1 of the level, (count, n), in the unit box."""
        ...

    def spacing(self, level: int, done: int, n: int) -> float:
        """Greatest L-infinity distance from a point of the unit box to one of the first `done` starts."""
        ...


@dataclasses.dataclass(frozen=True)
class Grid:
    """The centres of 2^k cells a side: one point, then the 2^n points that bisect its diagonals, and so on.

    Inside a level the starts come in the order of their index with its bits dealt out to the coordinates in turn, most
    significant bit first (a van der Corput sequence in every coordinate): the first 4^n starts of a level lie in the
    4^n cells of level 2, and so on, so that a level cut short has covered the box. The bits that a coordinate has not
    yet been dealt read 0101..., a third of the way into the cell, instead of its corner.

    Reference: A. Lloyd, MKL.NET.Optimization, `Minimum_Global` (2022).

    Example:
        >>> Grid().points(1, 0, 4, 2).tolist()
        [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """

    def size(self, level: int, n: int) -> int:
        """(2^level)^n."""
        return 1 << (level * n)

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """Cell centres, (count, n)."""
        return _cells(np.full(n, level), first, count) if n else np.zeros((count, 0))

    def spacing(self, level: int, done: int, n: int) -> float:
        """1 / 2^(level+1) for a whole level. Estimate for a level cut short: the cells whose side the starts filled."""
        if n == 0:
            return 0.0
        filled = level if done >= self.size(level, n) else int(math.log2(max(done, 1)) / n)
        return 0.5 ** (filled + 1) if filled == level else 0.5**filled


@dataclasses.dataclass(frozen=True)
class ValuesGrid:
    """A `Grid` that splits the axis of a whole number no further than into its values, so that few starts repeat them.

    Attributes:
        values: how many each variable has, 0 of a continuous one.
    """

    values: tuple[int, ...]

    def _splits(self, level: int) -> np.ndarray:
        """How often each axis has been halved, (n,)."""
        return np.array([min(level, (count - 1).bit_length()) if count else level for count in self.values], np.int64)

    def size(self, level: int, n: int) -> int:
        """The product of the cells of each axis."""
        return 1 << int(np.sum(self._splits(level)))

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """Cell centres, (count, n), which are moved to the values nearby where the starts are made."""
        return _cells(self._splits(level), first, count)

    def spacing(self, level: int, done: int, n: int) -> float:
        """As `Grid`, of the continuous variables."""
        return 0.5 ** (level + 1) if done >= self.size(level, n) else 0.5 ** int(math.log2(max(done, 1)) / n)


def of_values(sequence: Starts, values: np.ndarray) -> Starts:
    """The sequence for variables that have so many values, (n,), 0 of a continuous one."""
    return ValuesGrid(tuple(values.tolist())) if isinstance(sequence, Grid) and np.any(values) else sequence


@dataclasses.dataclass(frozen=True)
class Halves:
    """A grid that is refined a few axes at a time, for some more variables than a whole grid can fill.

    Level k has `factor`^k starts, the centres of cells of equal size: the splits of the axes into halves are dealt out
    in turn, so that no side of a cell is more than twice another. The order within a level is that of `Grid`.

    Attributes:
        factor: starts of a level for each of the level before, a power of two.

    Example:
        >>> Halves(2).points(1, 0, 2, 2).tolist()
        [[0.25, 0.5], [0.75, 0.5]]
    """

    factor: int = 4

    def __post_init__(self):
        """Checks the factor."""
        if (
            isinstance(self.factor, bool)
            or not isinstance(self.factor, int)
            or self.factor < 2
            or self.factor & (self.factor - 1)
        ):
            raise ValueError(f"`factor` must be a power of two; got {self.factor!r}.")

    def _splits(self, level: int, n: int) -> np.ndarray:
        """How often each axis has been halved, (n,)."""
        bits = level * (self.factor.bit_length() - 1)
        return bits // n + (np.arange(n) < bits % n)

    def size(self, level: int, n: int) -> int:
        """factor^level."""
        return self.factor**level if n else 1

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """Cell centres, (count, n)."""
        if n == 0:
            return np.zeros((count, 0))
        return _cells(self._splits(level, n), first, count)

    def spacing(self, level: int, done: int, n: int) -> float:
        """Half the longest side of a cell for a whole level, an estimate for a level cut short."""
        if n == 0:
            return 0.0
        if done >= self.size(level, n):
            return 0.5 ** (int(np.min(self._splits(level, n))) + 1)
        return 0.5 ** int(math.log2(max(done, 1)) / n)


def _cells(splits: np.ndarray, first: int, count: int) -> np.ndarray:
    """The centres of the cells that so many halvings of each axis, (n,), make; (count, n), in a spread-out order."""
    index = np.arange(count, dtype=np.uint64) + np.uint64(first)
    cell = np.zeros((len(splits), count), np.uint64)
    order = [(turn, axis) for turn in range(int(np.max(splits))) for axis in range(len(splits)) if turn < splits[axis]]
    for bit, (turn, axis) in enumerate(order[:_WORD]):
        cell[axis] |= ((index >> np.uint64(bit)) & np.uint64(1)) << np.uint64(int(splits[axis]) - 1 - turn)
    cell ^= (np.uint64(1) << splits.astype(np.uint64)[:, None]) // np.uint64(3)
    return ((cell + 0.5) / 2.0 ** splits[:, None]).T


@dataclasses.dataclass(frozen=True)
class Sobol:
    """Low-discrepancy points in doubling levels, for more variables than a grid can fill.

    Level 0 is the centre of the box; level k has `first` 2^(k-1) starts, the next ones of a Sobol sequence with a
    random digital shift and linear matrix scramble (`scipy.stats.qmc.Sobol`). For more than 21,201 variables, where
    these end, they are random points.

    Reference: S. Joe and F. Y. Kuo, Constructing Sobol sequences with better two-dimensional projections, SIAM J. Sci.
    Comput. 30 (2008).

    Attributes:
        first: starts of level 1, a power of two.
        seed: of the scrambling.
    """

    first: int = 64
    seed: int = 0

    def __post_init__(self):
        """Checks the number of starts."""
        whole = isinstance(self.first, int | np.integer) and not isinstance(self.first, bool)
        if not whole or self.first < 1 or self.first & (self.first - 1):
            raise ValueError(f"`first` must be a power of two; got {self.first!r}.")
        check_seed(self.seed)

    def size(self, level: int, n: int) -> int:
        """1, then `first`, and twice as many each level."""
        return self.first << (level - 1) if level and n else 1

    def points(self, level: int, first: int, count: int, n: int) -> np.ndarray:
        """Points of the sequence, (count, n)."""
        if level == 0 or n == 0 or count == 0:
            return np.full((count, n), 0.5)
        blocks = range(first // _BLOCK, -(-(first + count) // _BLOCK))
        ends = [
            (max(first, b * _BLOCK) - b * _BLOCK, min(first + count, (b + 1) * _BLOCK) - b * _BLOCK) for b in blocks
        ]
        return np.concatenate([self._block(level, b, *end, n) for b, end in zip(blocks, ends, strict=True)])

    def _block(self, level: int, block: int, first: int, end: int, n: int) -> np.ndarray:
        """Points first, ..., end - 1 of a block of a level."""
        if n > SOBOL_VARIABLES:  # in so many variables no few points are spread better than random ones
            rngs = (np.random.default_rng([self.seed, level, block, i]) for i in range(first, end))
            return np.stack([rng.random(n) for rng in rngs])
        sequence = copy.copy(_scrambled(n, self.seed, level, block)).reset()
        with warnings.catch_warnings():
            # "The balance properties require n to be a power of 2": a level is one, the parts asked for need not be.
            warnings.simplefilter("ignore", UserWarning)
            if first:
                sequence.fast_forward(first)
            return sequence.random(end - first)

    def spacing(self, level: int, done: int, n: int) -> float:
        """An estimate: twice the distance of a grid of as many points, as measured for 2 to 8 variables."""
        return min(0.5, max(done, 1) ** (-1 / n)) if n else 0.0


@functools.lru_cache(4)
def _scrambled(n: int, seed: int, level: int, block: int) -> Any:
    """The sequence of a block before its first point: each round of a level takes some, and to scramble is dear."""
    from scipy.stats import qmc  # takes over a second to import

    return qmc.Sobol(n, scramble=True, rng=np.random.default_rng([seed, level, block]))


def read(given: Any, n: int, seed: int) -> Starts:
    """The sequence for `starts=`, for n free variables."""
    check_seed(seed)
    if isinstance(given, str) and given == "auto":
        return affordable(n, seed)
    if isinstance(given, Starts) and not isinstance(given, type):
        return given
    raise TypeError(
        f'`starts` must be "auto", a jaxglobal.Adaptive, Grid, Halves or Sobol, or an object like them; got {given!r}.'
    )


def check_seed(seed: Any) -> None:
    """Raises unless it is a whole number."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0; got {seed!r}.")


def affordable(n: int, seed: int) -> Starts:
    """The grid where the first `NEEDED` levels are affordable (up to 5 variables), else Sobol points."""
    grid = Grid()
    needed = sum(grid.size(level, n) for level in range(NEEDED))
    return grid if needed <= AFFORDABLE else Sobol(seed=seed)


def sizes(sequence: Starts, n: int, levels: int, name: str = "levels") -> list[int]:
    """The starts of each of the first levels, all of which are to be made.

    Raises:
        ValueError: they are too many.
    """
    each: list[int] = []
    made = 0
    for level in range(levels):
        each.append(sequence.size(level, n))
        made += each[-1]
        if made > AFFORDABLE:
            raise ValueError(
                f"`{name}` must have at most {AFFORDABLE:,} starts in all; got {levels}, of which the first "
                f"{level + 1} have {made:,}: give {name}={max(level, 1)}, or starts=jaxglobal.Sobol(), which double."
            )
    return each


def cover(n: int, seed: int) -> Starts:
    """The cover of a sequence that learns: as `affordable`, but `Halves` where a whole level is too large a step."""
    sequence = affordable(n, seed)
    return Halves() if isinstance(sequence, Grid) and 2**n > JUMP else sequence
