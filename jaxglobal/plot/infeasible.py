"""Where constraints are violated, in a picture of one or two variables.

An inequality has an area, which is veiled and hatched; an equality has a line, as has a range that is narrower than the
picture's grid. The lines are those along which the row's distance from its bound changes its sign, where it has no jump
there, and those that it touches without a change of sign, as (x - 1)**2 == 0 does.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.plot import axes
from jaxglobal.plot.axes import PINK
from jaxglobal.plot.evaluated import AtPoints
from jaxglobal.problem.constraint import Rows

SMALL = 1e-6  # of what a row differs by in the picture: violations below are rounding
HALVES, THIRDS = 24, 40  # steps of a bisection and of a ternary search between neighbours
LEFT = 1e-3  # of the values of these: where no more is left between them, the distance is zero, else it jumps
ON_GRID = 1e-6  # of a step of the grid
VEIL, HATCH, SLANT = 0.72, 0.45, "\\" * 3  # alphas, and the pattern, of what lies over the infeasible area


class Kept(NamedTuple):
    """How far constraints are kept at the points of a picture, of any shape.

    Attributes:
        excess: the largest violation of an inequality, in units of what its row differs by; at most `SMALL` where all
            are kept. None where there are equalities alone.
        lines: of each equality, its distance from its value.
        distances: the same as functions of flat points, (k, n) -> (k,).
    """

    excess: np.ndarray | None
    lines: list[np.ndarray]
    distances: list[AtPoints]

    @property
    def inside(self) -> np.ndarray | bool:
        """Where all inequalities are kept."""
        return True if self.excess is None else self.excess <= SMALL


def kept(rows: Rows, at: AtPoints, points: np.ndarray, lattice: bool = False) -> Kept:
    """How far the rows are kept at points, (..., n); at: the rows at flat points.

    lattice: whether there are single points alone, at which an equality is kept or not.
    """
    shape = points.shape[:-1]
    c = at(points.reshape(-1, points.shape[-1])).T.reshape(-1, *shape)
    excess, lines, distances = [], [], []
    for i, (row, low, high) in enumerate(zip(c, rows.lower, rows.upper, strict=True)):
        if not lattice and is_line(row, low, high):
            value = 0.5 * (low + high)
            lines.append(row - value)
            distances.append(lambda x, i=i, value=value: at(x)[:, i] - value)
        else:
            over = np.maximum(low - row, row - high) / spread(row)
            excess.append(np.where(np.isnan(over), 1.0, np.clip(over, -1, 1)))
    return Kept(np.max(excess, axis=0) if excess else None, lines, distances)


def spread(row: np.ndarray) -> float:
    """What a row differs by in the picture."""
    finite = row[np.isfinite(row)]
    return float(np.ptp(finite)) or float(np.max(np.abs(finite), initial=0.0)) or 1.0 if len(finite) else 1.0


def is_line(row: np.ndarray, low: float, high: float) -> bool:
    """Whether a row is held to a value, or to a range that lies between the points of the grid."""
    if low == high:
        return True
    inside, below, above = (low <= row) & (row <= high), row < low, row > high
    for axis in range(row.ndim):  # whole cells
        along = np.moveaxis(inside, axis, 0)
        inside = np.moveaxis(along[1:] & along[:-1], 0, axis)
    return bool(np.any(below) and np.any(above) and not np.any(inside))


def shade(ax: Any, x: np.ndarray, y: np.ndarray, points: np.ndarray, kept: Kept, dear: bool) -> None:
    """Of two variables: x (k,) and y (l,), points (l, k, 2). dear: whether no further point should be evaluated."""
    from contourpy import contour_generator
    from matplotlib.collections import LineCollection

    for k, (distance, line) in enumerate(zip(kept.distances, kept.lines, strict=True)):
        parts: Any = contour_generator(x, y, np.ma.masked_invalid(line)).lines(0.0)
        if not dear:
            parts = [part for whole in parts for part in zeros(x, y, np.asarray(whole), distance)]
        lines = LineCollection(parts, colors=PINK, lw=2, label=None if k else "equality", zorder=1.5, gid="equality")
        lines.set_path_effects([axes.outline("black")])
        ax.add_collection(lines, autolim=False)
        if not dear:
            both = [touched(points, line, distance), touched(points.swapaxes(0, 1), line.T, distance)]
            ax.plot(*np.concatenate(both).T, ".", color=PINK, ms=3, zorder=1.5, gid="touched")
    if kept.excess is not None and not np.all(kept.inside):
        over = [SMALL, 2.0]
        ax.contourf(x, y, kept.excess, levels=over, colors=[axes.ground(ax)], alpha=VEIL, zorder=1.2)
        hatched = ax.contourf(x, y, kept.excess, levels=over, colors="none", hatches=[SLANT], zorder=1.2)
        hatched.set_edgecolor(faint(ax))
        hatched.set_linewidth(0)
        ax.contour(x, y, kept.excess, levels=[SMALL], colors=[axes.ink(ax)], linewidths=1.2, zorder=1.3)
        key(ax)


def shade_line(ax: Any, x: np.ndarray, points: np.ndarray, kept: Kept, dear: bool) -> None:
    """Of one variable: x (k,), points (k, n)."""
    moved = int(np.argmax(np.abs(points[-1] - points[0])))
    for k, (distance, line) in enumerate(zip(kept.distances, kept.lines, strict=True)):
        places = crossings(x, line)
        if not dear:
            i = np.searchsorted(x, places) - 1
            at, good = bisected(points[i], points[i + 1], distance)
            places = np.append(at[good, moved], touched(points[None], line[None], distance)[:, moved])
        for i, place in enumerate(places):
            ax.axvline(place, color=PINK, lw=2, label=None if i or k else "equality", gid="equality")
    if kept.excess is not None and not np.all(kept.inside):
        over = kept.excess - SMALL
        ends = np.concatenate([[x[0]], crossings(x, over), [x[-1]]])
        middles = np.interp(0.5 * (ends[1:] + ends[:-1]), x, over)
        for a, b, middle in zip(ends[:-1], ends[1:], middles, strict=True):
            if middle > 0:
                ax.axvspan(a, b, facecolor=axes.ground(ax), alpha=VEIL, lw=0, zorder=2.2)
                ax.axvspan(a, b, facecolor="none", edgecolor=faint(ax), hatch=SLANT, lw=0, zorder=2.2, gid="infeasible")
        key(ax)


def faint(ax: Any) -> Any:
    """The colour of hatches."""
    from matplotlib.colors import to_rgba

    return to_rgba(axes.ink(ax), HATCH)


def key(ax: Any) -> None:
    """What the hatched area is, for the legend."""
    ax.fill([], [], facecolor=axes.ground(ax), edgecolor=faint(ax), hatch=SLANT, lw=0.4, label="infeasible")


def crossings(x: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where values at x, (k,), change their sign, between neighbours."""
    with np.errstate(invalid="ignore"):
        (i,) = np.nonzero((values[:-1] < 0) != (values[1:] < 0))
    i = i[np.isfinite(values[i]) & np.isfinite(values[i + 1])]
    return x[i] - values[i] * (x[i + 1] - x[i]) / (values[i + 1] - values[i])


def zeros(x: np.ndarray, y: np.ndarray, line: np.ndarray, distance: AtPoints) -> list[np.ndarray]:
    """A contour, (p, 2), with its points moved along the edges of the grid to where the distance is zero.

    It is split where that is a jump.
    """
    at = [np.interp(place, side, np.arange(len(side))) for side, place in zip((x, y), line.T, strict=True)]
    a, b = (
        np.stack([side[index.astype(int)] for side, index in zip((x, y), rounded, strict=True)], axis=1)
        for rounded in ([np.floor(i + ON_GRID) for i in at], [np.ceil(i - ON_GRID) for i in at])
    )
    place, good = bisected(a, b, distance)
    ends = np.flatnonzero(np.diff(good)) + 1
    parts = zip(np.split(place, ends), np.split(good, ends), strict=True)
    return [part for part, is_good in parts if is_good[0] and len(part) > 1]


def bisected(a: np.ndarray, b: np.ndarray, distance: AtPoints) -> tuple[np.ndarray, np.ndarray]:
    """Where between points, (p, n) each, the distance changes its sign, and whether it is zero there."""
    below = distance(a) < 0
    size = np.maximum(np.abs(distance(a)), np.abs(distance(b)))
    for _ in range(HALVES):
        middle = 0.5 * (a + b)
        first = ((distance(middle) < 0) == below)[:, None]
        a, b = np.where(first, middle, a), np.where(first, b, middle)
    return 0.5 * (a + b), np.abs(distance(0.5 * (a + b))) <= LEFT * size


def touched(points: np.ndarray, values: np.ndarray, distance: AtPoints) -> np.ndarray:
    """(p, n) Where the distance is zero without a change of sign, on lines of points, (l, k, n); values (l, k)."""
    size = np.abs(values)
    with np.errstate(invalid="ignore"):
        least = (size[:, 1:-1] <= size[:, :-2]) & (size[:, 1:-1] <= size[:, 2:])
        least &= (values[:, :-2] * values[:, 2:] > 0) & (values[:, 1:-1] * values[:, 2:] >= 0)
    a, b = points[:, :-2][least], points[:, 2:][least]
    most = np.minimum(size[:, :-2], size[:, 2:])[least]
    if not len(a):
        return a
    for _ in range(THIRDS):
        first, second = a + (b - a) / 3, b - (b - a) / 3
        lower = (np.abs(distance(first)) < np.abs(distance(second)))[:, None]
        a, b = np.where(lower, a, first), np.where(lower, second, b)
    middle = 0.5 * (a + b)
    return middle[np.abs(distance(middle)) <= LEFT * most]
