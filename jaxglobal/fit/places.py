"""Where the searches of a fit begin: a design of the box, even or crowded towards zero; the best that were screened."""

from typing import Any

import numpy as np

from jaxglobal.fit.regression import Regression
from jaxglobal.starts import designs as sequences

CROWDING = 4  # power by which starts are drawn towards zero
APART = 10.0  # in units of the box, so that two starts are no neighbours
COMPARED = 2048  # starts of a level that are compared with their neighbours: the best so many
COMPARISONS = 2**24  # of starts with all others at once
NEAR = 1.01  # times twice the spacing of the level: neighbours of a grid's cell
STARTS = 63  # of the levels that are screened, at most


def place(regression: Regression, unit: np.ndarray, crowded: bool = False) -> np.ndarray:
    """Points of the unit box of the searched parameters, (k, m), as parameters, (k, n); the others in the middle.

    crowded: towards zero, where the box touches or contains it.
    """
    lower, upper = regression.lower, regression.upper
    whole = np.full((len(unit), regression.structure.n), 0.5)
    whole[:, regression.searched] = unit
    points = lower + (upper - lower) * whole
    if crowded:
        zero = np.clip(0.0, lower, upper)
        side = np.where(points < zero, lower, upper) - zero
        share = (points - zero) / np.where(side != 0, side, 1)
        points = np.where(sizes(regression), zero + side * share**CROWDING, points)
    return np.clip(points, lower, upper).astype(regression.structure.dtype)


def uncrowd(regression: Regression, points: np.ndarray) -> np.ndarray:
    """Where `place` would have to put points, (k, n), evenly to have them here when crowded; from the lower bounds."""
    lower, upper = regression.lower, regression.upper
    zero = np.clip(0.0, lower, upper)
    side = np.where(points < zero, lower, upper) - zero
    share = (points - zero) / np.where(side != 0, side, 1)
    return np.where(sizes(regression), zero + side * share ** (1 / CROWDING), points) - lower


def sizes(regression: Regression) -> np.ndarray:
    """(n,) Which parameters a box at zero leaves the order of magnitude of open."""
    return (regression.lower <= 0) & (regression.upper >= 0) & regression.free


def sheets(regression: Regression) -> tuple[bool, ...]:
    """In which ways the starts are placed: evenly, and crowded towards zero where that differs."""
    return (False, True) if np.any(sizes(regression)[regression.searched]) else (False,)


def choose(unit: np.ndarray, f: np.ndarray, spacing: float, count: int) -> np.ndarray:
    """Which starts to search from: those that no near one beats, then the best others; at most count."""
    order = np.argsort(f, kind="stable")[:COMPARED]
    order = order[np.isfinite(f[order])]
    if len(order) <= count:
        return order
    lowest = np.ones(len(order), bool)
    for i in range(1, len(order)):
        lowest[i] = not np.any(np.max(np.abs(unit[order[:i]] - unit[order[i]]), axis=1) <= NEAR * 2 * spacing)
    return order[np.argsort(~lowest, kind="stable")[:count]]


def screened(sequence: Any, m: int, levels: int | None) -> tuple[np.ndarray, float]:
    """The starts of the first levels in the unit box, (k, m), and how far apart neighbours are."""
    if levels is None:
        made = np.cumsum([sequence.size(k, m) for k in range(8)])
        levels = max(int(np.searchsorted(made, STARTS, side="right")), 1) if m else 1
    each = sequences.sizes(sequence, m, levels)
    unit = np.concatenate([sequence.points(k, 0, size, m) for k, size in enumerate(each)])
    return unit, 2 * NEAR * sequence.spacing(levels - 1, each[-1], m)


def both_ways(reg: Regression, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The starts as parameters, (G, n), placed in each of the ways of `sheets`; where they are, (G, k).

    Their coordinates are those of both ways, in units of the box: near is what is near in both.
    """
    ways = sheets(reg)
    points = np.concatenate([place(reg, unit, way) for way in ways])
    width = np.where(reg.upper > reg.lower, reg.upper - reg.lower, 1)
    even, crowded = points - reg.lower, uncrowd(reg, points)
    return points, np.concatenate([(place / width)[:, reg.searched] for place in (even, crowded)], axis=1)


def on_sheets(reg: Regression, unit: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """The starts as parameters, (G, n), placed in each of the ways of `sheets`; their neighbours, (G, K).

    Neighbours are near as they are placed; those placed in different ways, if they are near in both. G stands for none.
    """
    points, places = both_ways(reg, unit)
    even, crowded = np.split(places, 2, axis=1)
    way = np.arange(len(points)) // len(unit)
    lists = []
    for first in range(0, len(points), max(COMPARISONS // len(points), 1)):
        rows = slice(first, first + max(COMPARISONS // len(points), 1))
        near_even, near_crowded = (_near(place[rows], place, reach) for place in (even, crowded))
        same = way[rows, None] == way[None]
        near = np.where(same, np.where(way[rows, None] > 0, near_crowded, near_even), near_even & near_crowded)
        np.fill_diagonal(near[:, rows], False)
        lists += [np.flatnonzero(row) for row in near]
    neighbours = np.full((len(points), max(1, *map(len, lists))), len(points))
    for row, found in zip(neighbours, lists, strict=True):
        row[: len(found)] = found
    return points, neighbours


def _near(some: np.ndarray, places: np.ndarray, reach: float) -> np.ndarray:
    """(some, G) Which of the places, (G, k), differ from some of them by at most reach in every coordinate."""
    near = np.ones((len(some), len(places)), bool)
    for one, place in zip(some.T, places.T, strict=True):
        near &= np.abs(one[:, None] - place[None]) <= reach
    return near
