"""The distinct local minima among any number of local searches, with counts, in bounded memory.

Each search ends in a cell of a lattice in (x, f). The archive keeps the cells with the lowest values. As the order of
cells is that of the lattice, not of the values found so far, a cell that belongs to the final archive is never dropped
on the way, so that its count is exact and the archive does not depend on the order in which searches end. At the end
cells that a lattice plane happens to separate are merged.
"""

from typing import Any, NamedTuple

import numpy as np

CELL = 1e-4  # of a side of the box: ends of one minimum are no further apart; coarser where the root of eps is
KEPT = 1024  # cells in the archive, at most
NUMBERS = 2**23  # in the points of these cells, at most; never fewer than 16 cells
MANY = 256  # variables from which a cell is hashed all at once
VALUE_BITS = 20  # bits of f that count, for the lattice; 12 in float32
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Knuth, The Art of Computer Programming 3, 6.4


class Ended(NamedTuple):
    """Local searches that ended."""

    x: np.ndarray
    """(k, n) The best point of each."""
    f: np.ndarray
    """(k,) Its value, +inf where none was finite."""
    start: np.ndarray
    """(k,) The number of the search."""
    status: np.ndarray
    """(k,) LocalStatus."""
    nfev: np.ndarray
    """(k,) Its evaluations."""
    problem: np.ndarray
    """(k,) The problem that it belongs to; 0 where there is one."""


class Archive(NamedTuple):
    """The best cells, in the order of the lattice value, then of the cell's key."""

    value: np.ndarray
    """(m,) Lattice value of f."""
    key: np.ndarray
    """(m,) Hash of the cell."""
    x: np.ndarray
    """(m, n) The best point of the cell."""
    f: np.ndarray
    """(m,) Its value."""
    start: np.ndarray
    """(m,) The number of the local search that found it, over all levels."""
    status: np.ndarray
    """(m,) How that search ended."""
    searches: np.ndarray
    """(m,) Local searches that ended in the cell."""
    even: np.ndarray
    """(m,) Those of them whose starts are spread evenly over the box."""


def empty(n: int, dtype: np.dtype) -> Archive:
    """An archive without minima."""
    whole = np.zeros(0, np.int64)
    return Archive(
        np.zeros(0), np.zeros(0, np.uint64), np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole
    )


def join(parts: list[Ended]) -> Ended:
    """Searches of several streams in one."""
    return parts[0] if len(parts) == 1 else Ended(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def lowest(ended: Ended, count: int) -> Ended:
    """So many of them with the lowest values; of equal values those with the lowest numbers."""
    if len(ended.f) <= count:
        return ended
    near = np.flatnonzero(ended.f <= np.partition(ended.f, count - 1)[count - 1])
    chosen = near[np.lexsort((ended.start[near], ended.f[near]))[:count]]
    return Ended(*(field[chosen] for field in ended))


def add(archive: Archive, ended: Ended, lower, width, fatol: float, even: np.ndarray | None = None) -> Archive:
    """The archive with the ends of more local searches; those without a finite value are dropped.

    even: (k,) whether the start of each is one of those that are spread evenly over the box, by default none.
    """
    evenly = np.zeros(len(ended.f), np.int64) if even is None else even.astype(np.int64)
    fields = [*ended[:4], evenly]
    finite = np.isfinite(ended.f)
    if not np.all(finite):
        fields = [field[finite] for field in fields]
    value = lattice_value(fields[1], fatol)
    if len(archive.value) == kept(fields[0].shape[1]):
        near = value <= archive.value[-1]
        fields, value = [field[near] for field in fields], value[near]
    x, f, start, status, evenly = fields
    key = mixed(cell_key(x, lower, width), value)
    ones = np.ones(len(f), np.int64)
    new = Archive(value, key, x, f, start, status, ones, evenly)
    return combine(Archive(*(np.concatenate(pair) for pair in zip(archive, new, strict=True))))


def combine(archive: Archive) -> Archive:
    """One entry a cell, and of these the lowest."""
    if not len(archive.key):
        return archive
    chosen, order, first = lowest_of_each(archive.key, archive.f, archive.start)
    merged = Archive(*(field[chosen] for field in archive))._replace(
        searches=np.add.reduceat(archive.searches[order], first), even=np.add.reduceat(archive.even[order], first)
    )
    lowest = np.lexsort((merged.key, merged.value))[: kept(merged.x.shape[1])]
    return Archive(*(field[lowest] for field in merged))


def lowest_of_each(key: np.ndarray, f: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the ends in each cell the lowest, of equal values that of the lowest number; the ends are not empty.

    key, f, start: (k,) cells, values and numbers. Returns (m,) the places of the lowest, by ascending cells; (k,) the
    order of the ends by cells; (m,) where each cell begins in it.
    """
    order = np.argsort(key)
    key, f, start = key[order], f[order], start[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    groups = np.diff(np.append(first, len(key)))
    best = f == np.repeat(np.minimum.reduceat(f, first), groups)
    earliest = np.minimum.reduceat(np.where(best, start, np.iinfo(np.int64).max), first)
    return order[best & (start == np.repeat(earliest, groups))], order, first


def cell_side(eps: float) -> float:
    """How near ends of one minimum are, in units of the box: a few times the precision of its place, eps^(1/2)."""
    return max(CELL, 8 * eps**0.5)


def kept(n: int) -> int:
    """How many cells are kept, for n variables."""
    return min(KEPT, max(NUMBERS // n, 16))


def value_bits(dtype: np.dtype) -> int:
    """The bits of f that count: less than half of those of the dtype."""
    return min(VALUE_BITS, np.finfo(dtype).nmant // 2 + 1)


def lattice_value(f: np.ndarray, fatol: float) -> np.ndarray:
    """The values rounded, to multiples of fatol and to `value_bits`, so that equal minima agree. Monotone."""
    bits = value_bits(f.dtype)
    f = np.asarray(f, np.float64)
    if fatol > 0:
        with np.errstate(over="ignore"):
            rounded = np.rint(f / fatol) * fatol
        f = np.where(np.isfinite(rounded), rounded, f)
    mantissa, exponent = np.frexp(f)
    return np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits) + 0.0  # and no negative zero


def cell_key(x: np.ndarray, lower: np.ndarray, width: np.ndarray) -> np.ndarray:
    """A hash of the cell of x, (k,). Two different cells share one with a chance of 2^-64."""
    unit = (x.astype(np.float64) - lower) / np.where(width > 0, width, 1)
    cells = (
        np.rint(np.clip(unit / cell_side(float(np.finfo(x.dtype).eps)), -(2.0**62), 2.0**62))
        .astype(np.int64)
        .view(np.uint64)
    )
    if x.shape[1] > MANY:  # all variables at once, each with an odd multiplier of its own
        multipliers = (np.arange(1, x.shape[1] + 1, dtype=np.uint64) * _MIX) | np.uint64(1)
        mixed = (cells ^ multipliers) * _MIX
        mixed = (mixed ^ (mixed >> np.uint64(29))) * multipliers
        return np.asarray(np.sum(mixed ^ (mixed >> np.uint64(32)), axis=1, dtype=np.uint64) * _MIX)
    key = np.zeros(len(x), np.uint64)
    for i in range(x.shape[1]):
        key = (key ^ cells[:, i]) * _MIX
        key ^= key >> np.uint64(29)
    return key


def mixed(key: np.ndarray, value: np.ndarray, problem: Any = 0) -> np.ndarray:
    """A hash of cells in (x, f): of their keys, their lattice values, and their problems."""
    return key ^ (value.view(np.uint64) * _MIX) ^ (np.asarray(problem, np.uint64) * _MIX)


def hits(best: Any, f: np.ndarray, searches: np.ndarray, fatol: float, frtol: float) -> Any:
    """How many searches ended at the best value, (...): cells with the values f, (M, ...), and so many searches."""
    tolerance = np.maximum(fatol, max(frtol, 2.0 ** -value_bits(f.dtype)) * np.abs(best))
    return np.sum(np.where(f <= best + tolerance, searches, 0), axis=0)


def merge(archive: Archive, lower, width, fatol: float, frtol: float) -> Archive:
    """The distinct minima, best first: a cell joins the best earlier one within two sides and the tolerances."""
    order = np.lexsort((archive.start, archive.f))
    archive = Archive(*(field[order] for field in archive))
    unit = (archive.x.astype(np.float64) - lower) / np.where(width > 0, width, 1)
    f = archive.f.astype(np.float64)
    side = cell_side(float(np.finfo(archive.x.dtype).eps))
    tolerance = np.maximum(fatol, max(frtol, 2.0 ** -value_bits(archive.f.dtype)) * np.abs(f))
    kept, count, even = np.ones(len(f), bool), archive.searches.copy(), archive.even.copy()
    index, first = np.arange(len(f)), np.searchsorted(f, f - tolerance)
    later = np.repeat(index, index - first)  # pairs of near values
    earlier = np.arange(len(later)) - np.repeat(np.cumsum(index - first) - index, index - first)
    for one in range(unit.shape[1]):  # and of near places: most pairs fall out with the first variable
        near = np.abs(unit[earlier, one] - unit[later, one]) <= 2 * side
        earlier, later = earlier[near], later[near]
    joining, starts = np.unique(later, return_index=True)
    for i, near in zip(joining, np.split(earlier, starts[1:]), strict=False):
        near = near[kept[near]]
        if len(near):
            kept[i] = False
            count[near[0]] += count[i]
            even[near[0]] += even[i]
    return Archive(*(field[kept] for field in archive._replace(searches=count, even=even)))
