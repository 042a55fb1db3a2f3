"""The landscape of a function of one or two variables."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.plot import axes, infeasible
from jaxglobal.plot.axes import BLUE, ORANGE, SKY
from jaxglobal.plot.evaluated import AtPoints, evaluators
from jaxglobal.problem.bounds import read_bounds
from jaxglobal.problem.constraint import Rows
from jaxglobal.result import Result
from jaxglobal.starts.designs import Grid

GRID, HOST_GRID = 160, 40  # points a side of a landscape
CURVE, HOST_CURVE = 800, 200  # points of a landscape of one variable
LISTED = 30  # minima that are drawn
MARGIN = 0.05  # of the box, beyond minima outside it
HOLLOWS = 200  # local minima of a grid that are searched from, the lowest
TOGETHER = 0.02  # of the picture: searches that end so near each other end in one minimum
WALL = 1e300  # where the function is not defined
COVERED = (0.7, 0.25)  # of the picture, by its legend
VALUES = 4096  # of a whole number, at most
TICKS = 5  # values at the colour bar
FEW_FEASIBLE = 0.002  # share of the picture from which on the colours are those of feasible values


def landscape(
    result: Result, fun: Callable[..., Any], bounds: Any, args: Any = (), starts: int | None = None, ax: Any = None,
    constraints: Any = None, integrality: Any = None,
) -> Any:  # fmt: skip
    """A function of one or two variables, the starts of a level, the basins to which they lead, and the minima.

    A basin is where steepest descent on the picture's own grid ends in the same minimum: hollows of the grid along a
    curved valley are one where a local search from each ends in one place. Where the function is not defined there is
    no colour. Of two variables of which the bounds fix one the other is drawn.

    Under constraints the infeasible area is veiled and hatched, equalities are lines, colours are the ranks of feasible
    values, and no basins are drawn. Where no feasible point was found, the one of the least violation is marked. Whole
    numbers, and variables with a `jaxglobal.Choice`, have a cell for each value, and no basins.

    Args:
        result: what `minimize` returned.
        fun: the function that was minimised, a JAX one or a `host`.
        bounds: its bounds, as pairs or a `Box`.
        args: its further arguments.
        starts: the level whose starts are drawn; None takes the last one of at most 64.
        ax: axes to draw on; None makes new ones.
        constraints: those of the search.
        integrality: which variables were whole numbers.

    Returns:
        The axes.

    Raises:
        TypeError: it is no result, no function, or no constraint.
        ValueError: the function has more than two variables, none that may move, or no such level.
    """
    result = axes.search(result, needed=constraints is None)
    n = read_bounds(bounds, None, choosing=True)[0].n
    if n not in (1, 2):
        raise ValueError(f"`bounds` must be those of one or two variables for a landscape; got {n}: see minima.")
    low, high = axes.sides(bounds, result.x)
    ax, names = axes.made(ax), axes.names(result)
    values, rows, rows_at = evaluators(fun, bounds, args, constraints)
    free = np.flatnonzero(high > low)
    if not len(free):
        raise ValueError("`bounds` must leave a variable free for a landscape; they fix all.")
    own = axes.discrete(bounds, integrality, VALUES)
    begun = snapped(low + (high - low) * _starts(result, n, starts), own)
    low, high = widened(low, high, own)
    minima = result.minima[:LISTED]
    found = np.array([axes.flat(minimum.x) for minimum in minima] or [axes.flat(result.x)])
    heights = [minimum.fun for minimum in minima] or [result.fun]
    fixed, box, more = low, (low, high), MARGIN * (high - low)
    low = np.where(np.min(found, axis=0) < low, np.min(found, axis=0) - more, low)
    high = np.where(np.max(found, axis=0) > high, np.max(found, axis=0) + more, high)
    best = Best("global minimum", "D") if result.success else Best("best minimum", "D")
    best = best if minima else Best("least violation", "X")
    stepped = np.array([listed is not None for listed in own])
    if np.any(stepped):
        values, rows_at = (lambda x, of=of: of(snapped(x, own)) for of in (values, rows_at))
    drawn = Drawn(values, rows, rows_at, isinstance(fun, Host), begun, found, heights, best, stepped)
    if len(free) == 1:
        _curve(ax, drawn, low, high, fixed, int(free[0]), names)
    else:
        _surface(ax, drawn, low, high, names)
        if np.any(low < box[0]) or np.any(high > box[1]):
            axes.frame(ax, *box)
    if len(free) == 1:
        axes.above(ax)
    else:
        axes.legend(ax, ncols=2, columnspacing=1, loc=corner((found - low) / (high - low)))
    return axes.tidy(ax)


def corner(found: np.ndarray) -> str:
    """Where a legend covers the fewest points of the unit square, (m, 2), and is far from the first of them."""
    places = {
        f"{side} {end}": (end == "right", side == "upper") for side in ("upper", "lower") for end in ("right", "left")
    }

    def cost(place: str) -> tuple[Any, ...]:
        far = np.abs(found - np.array(places[place]))
        covered = (far[:, 0] < COVERED[0]) & (far[:, 1] < COVERED[1])
        return covered[0], np.sum(covered), -np.round(np.linalg.norm(far[0]), 6)

    return min(places, key=cost)


def snapped(points: np.ndarray, own: list[np.ndarray | None]) -> np.ndarray:
    """Points, (k, n), with the nearest of its own values in place of each variable that has some."""
    columns = [
        x if listed is None else listed[np.searchsorted(0.5 * (listed[1:] + listed[:-1]), x)]
        for x, listed in zip(points.T, own, strict=True)
    ]
    return np.stack(columns, axis=1)


def widened(low: np.ndarray, high: np.ndarray, own: list[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
    """The sides of the picture, at the ends of the cells of the first and the last values."""
    low, high = low.copy(), high.copy()
    for i, listed in enumerate(own):
        if listed is not None and len(listed) > 1:
            low[i] = 1.5 * listed[0] - 0.5 * listed[1]
            high[i] = 1.5 * listed[-1] - 0.5 * listed[-2]
    return low, high


class Best(NamedTuple):
    """What the best point is called, and its mark."""

    label: str
    mark: str


class Drawn(NamedTuple):
    """What a landscape shows.

    Attributes:
        values: the function of flat points.
        rows: of the constraints, None without; rows_at: as functions of flat points.
        dear: whether a host evaluates them.
        starts: (k, n).
        found: (m, n) the minima, the best first; heights: (m,) their values.
        best: what the first one is.
        stepped: (n,) which variables have values of their own.
    """

    values: AtPoints
    rows: Rows | None
    rows_at: AtPoints
    dear: bool
    starts: np.ndarray
    found: np.ndarray
    heights: list[float]
    best: Best
    stepped: np.ndarray


def _curve(ax: Any, drawn: Drawn, low: Any, high: Any, fixed: Any, i: int, names: list[str]) -> None:
    """A function of one variable, the i-th."""
    x = np.linspace(low[i], high[i], HOST_CURVE if drawn.dear else CURVE)
    along = lambda places: np.where(np.arange(len(fixed)) == i, places[:, None], fixed)  # noqa: E731
    values = lambda points: drawn.values(along(points[:, 0]))  # noqa: E731
    y, starts = drawn.values(along(x)), np.unique(drawn.starts[:, i])
    if drawn.rows is None and not drawn.stepped[i]:
        basin = basins(y, values, x[:, None])
        edges = np.flatnonzero(np.diff(basin))
        ends = np.concatenate([[0], edges + 1, [len(x) - 1]])
        for k, (a, b) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
            ax.axvspan(x[a], x[b], color=axes.ink(ax), alpha=0.07 if k % 2 else 0.0, lw=0)
    ax.plot(x, y, color=BLUE, lw=1.6, label="function")
    if drawn.rows is not None:
        kept = infeasible.kept(drawn.rows, drawn.rows_at, along(x), bool(drawn.stepped[i]))
        infeasible.shade_line(ax, x, along(x), kept, drawn.dear)
    ax.plot(starts, drawn.values(along(starts)), "|", color=axes.ink(ax), ms=9, label=f"{len(starts)} starts")
    found, edge = drawn.found[:, i], {"mec": axes.ink(ax), "mew": 0.6, "ls": ""}
    if len(found) > 1:
        ax.plot(found[1:], drawn.heights[1:], "o", color=SKY, ms=6, label="local minima", zorder=3, **edge)
    label, mark = drawn.best
    ax.plot(found[:1], drawn.heights[:1], mark, color=ORANGE, ms=8, label=label, zorder=3, **edge)
    ax.set(xlabel=names[i], ylabel="value")


def _surface(ax: Any, drawn: Drawn, low: Any, high: Any, names: list[str]) -> None:
    """A function of two variables: shades by rank, so that every scale can be seen; basins by their borders."""
    count = HOST_GRID if drawn.dear else GRID
    x, y = (a + (b - a) * (np.arange(count) + 0.5) / count for a, b in zip(low, high, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1)
    z = drawn.values(points.reshape(-1, 2)).reshape(count, count)
    finite = np.isfinite(z)
    lattice = bool(np.all(drawn.stepped))
    kept = None if drawn.rows is None else infeasible.kept(drawn.rows, drawn.rows_at, points, lattice)
    ranked = np.sort(z[finite if kept is None else finite & kept.inside])
    ranked = ranked if len(ranked) >= FEW_FEASIBLE * z.size else np.sort(z[finite])
    shade = np.ma.masked_array(np.searchsorted(ranked, np.where(finite, z, 0)) / max(len(ranked), 1), ~finite)
    extent = (low[0], high[0], low[1], high[1])
    image = ax.imshow(
        shade, origin="lower", extent=extent, aspect="auto", cmap="cividis", vmin=0, vmax=1,
        interpolation="nearest" if np.any(~finite) or np.any(drawn.stepped) else "bilinear",
    )  # fmt: skip
    if np.any(~finite):
        ax.fill([], [], facecolor="none", edgecolor=axes.ink(ax), hatch="///", lw=0.4, label="not defined")
        ax.contourf(x, y, (~finite).astype(float), levels=[0.5, 1.5], colors="none", hatches=["///"])
    flat = not len(ranked) or ranked[-1] - ranked[0] <= axes.FLAT * np.abs(ranked[0])
    if kept is None and not flat and not np.any(drawn.stepped):
        basin = basins(z, drawn.values, points)
        border = np.zeros_like(basin, bool)
        border[:, 1:] |= basin[:, 1:] != basin[:, :-1]
        border[1:] |= basin[1:] != basin[:-1]
        white = np.ones((*border.shape, 4)) * [1, 1, 1, 0.5] * (border & finite)[..., None]
        ax.imshow(white, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    elif kept is not None:
        infeasible.shade(ax, x, y, points, kept, drawn.dear)
    starts, found, edge = drawn.starts, drawn.found, {"mec": "black", "ls": "", "clip_on": False}
    (marks,) = ax.plot(*starts.T, "+", color="white", ms=5, mew=1, label=f"{len(starts)} starts", ls="")
    marks.set_path_effects([axes.outline("black")])
    if len(found) > 1:
        ax.plot(*found[1:].T, "o", color=SKY, mew=0.6, ms=6, label="local minima", **edge)
    label, mark = drawn.best
    ax.plot(*found[:1].T, mark, color=ORANGE, mew=0.8, ms=9, label=label, **edge)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=extent[:2], ylim=extent[2:])
    shares = np.array([0.5]) if flat else np.linspace(0, 1, TICKS)
    bar = ax.figure.colorbar(image, ax=ax, ticks=shares, pad=0.02)
    bar.ax.set_yticklabels([f"{value:.4g}" for value in np.quantile(ranked, shares)] if len(ranked) else [])
    bar.set_label("value, by rank")


def basins(z: np.ndarray, values: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    """The number of the minimum to which steepest descent on the grid leads from each point, of the shape of z.

    z: (...) the values at points, (..., n). Hollows of the grid from which searches end in one place are one.
    """
    hollow = descended(z)
    flat, lows = points.reshape(-1, points.shape[-1]), np.unique(hollow)
    lows = lows[np.isfinite(z.ravel()[lows])]
    lows = lows[np.argsort(z.ravel()[lows], kind="stable")]
    if len(lows) < 2:
        return hollow
    size = np.max(flat, axis=0) - np.min(flat, axis=0)
    ends, number = [], np.arange(z.size)
    for low in lows[:HOLLOWS]:
        end = settled(flat[low], values, size)
        near = [of for of, other in ends if np.max(np.abs(other - end) / size) < TOGETHER]
        ends += [] if near else [(low, end)]
        number[low] = near[0] if near else low
    return number[hollow]


def settled(x: np.ndarray, values: Callable[[np.ndarray], np.ndarray], size: np.ndarray) -> np.ndarray:
    """Where a local search on values alone ends, begun with steps of a hundredth of the picture."""
    from scipy.optimize import minimize  # takes a while to import

    simplex = np.vstack([x, x + np.diag(0.01 * size)])
    options = {"initial_simplex": simplex, "xatol": np.inf, "fatol": 1e-9, "maxfev": 200}
    wall = lambda y: np.where(np.isfinite(y), y, WALL)  # noqa: E731
    return minimize(lambda p: float(wall(values(p[None]))[0]), x, method="Nelder-Mead", options=options).x


def descended(z: np.ndarray) -> np.ndarray:
    """The number of the grid's local minimum to which steepest descent from each point leads, of the shape of z."""
    z = np.where(np.isfinite(z), z, np.inf)
    index = np.arange(z.size).reshape(z.shape)
    padded = np.pad(z, 1, constant_values=np.inf)
    numbers = np.pad(index, 1)
    best, to = z.copy(), index.copy()
    for shift in np.ndindex(*(3,) * z.ndim):
        part = tuple(slice(s, s + size) for s, size in zip(shift, z.shape, strict=True))
        lower = padded[part] < best
        best, to = np.where(lower, padded[part], best), np.where(lower, numbers[part], to)
    to = to.ravel()
    while True:
        further = to[to]
        if np.array_equal(further, to):
            return to.reshape(z.shape)
        to = further


def _starts(result: Result, n: int, level: int | None) -> np.ndarray:
    """The starts of a level of the grid, in the unit box."""
    grid = Grid()
    small = [k for k in range(len(result.levels)) if grid.size(k, n) <= 64]
    k = (small[-1] if small else 0) if level is None else axes.whole("starts", level, 0)
    if k >= max(len(result.levels), 1):
        raise ValueError(f"`starts` must be a level of the search, below {len(result.levels)}; got {level}.")
    return grid.points(k, 0, grid.size(k, n), n)
