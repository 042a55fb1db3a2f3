"""Pictures of a search: its landscape, its minima, its levels, a fit with its band, and a proof.

Needs matplotlib, which is imported when the first picture is drawn. Every function takes the axes to draw on and
returns them. Lines and text take the colours of the current style, so that the pictures also work on a dark background;
the colours of the marks are those of [OI], which the colour-blind can tell apart, and no meaning hangs on colour alone.

[OI] M. Okabe and K. Ito, Color universal design (2008).
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.fit import Fit
from jaxglobal.proof import Certificate, picture
from jaxglobal.result import Result, counted

BLUE, ORANGE, GREEN, SKY = "#0072b2", "#e69f00", "#009e73", "#56b4e9"
GRID = 160  # points a side of a landscape
CURVE = 800  # points of a landscape of one variable, and of a fitted curve
LISTED = 30  # minima that are drawn


def waterfall(result: Result, ax: Any = None) -> Any:
    """The values of the distinct minima, best first; the area of a mark grows with how many searches ended there.

    Args:
        result: what `minimize` returned, or a `Fit`.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    result, ax = _search(result), _axes(ax)
    best = result.minima[:LISTED]
    counts = np.array([minimum.count for minimum in best], float)
    values = np.array([minimum.fun for minimum in best])
    places = np.arange(1, len(best) + 1)
    ax.plot(places, values, color=_ink(ax), alpha=0.35, lw=1, zorder=1)
    area = 20 + 200 * np.sqrt(counts / max(np.max(counts, initial=1), 1))
    ax.scatter(places[1:], values[1:], s=area[1:], color=SKY, edgecolor=_ink(ax), lw=0.6, zorder=2)
    ax.scatter(places[:1], values[:1], s=area[:1], color=ORANGE, edgecolor=_ink(ax), lw=0.6, marker="D", zorder=3)
    ax.annotate(f"found {counts[0]:,.0f} x", (1, values[0]), (13, -4), textcoords="offset points", fontsize="small")
    more = len(result.minima) - len(best)
    ax.set(xlabel=f"minimum, best first{f' ({more} more)' if more > 0 else ''}", ylabel="value")
    ax.set_title("distinct local minima", fontsize="medium")
    return _tidy(ax, whole=True)


def levels(result: Result, ax: Any = None) -> Any:
    """Level by level: the best value so far, with the seconds that the level took and its spacing written beside it.

    Args:
        result: what `minimize` returned, or a `Fit`.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    result, ax = _search(result), _axes(ax)
    index = [level.index for level in result.levels]
    values = [level.fun for level in result.levels]
    ax.step(index, values, where="post", color=BLUE, lw=1.5, zorder=1)
    ax.scatter(index, values, color=BLUE, s=36, zorder=2)
    low, high = ax.get_ylim()
    for i, level in enumerate(result.levels):
        text = f"{counted(level.nstarts, 'start')}\n{level.time:.2g} s\nspacing\n{level.spacing:.2g}"
        ax.annotate(text, (index[i], values[i]), (4, 7), textcoords="offset points", fontsize="x-small", va="bottom")
    ax.set_ylim(low, high + 0.45 * (high - low))
    ax.margins(x=0.14)
    ax.set(xlabel="level", ylabel="best value so far")
    ax.set_title(f"ended: {result.status.name}", fontsize="medium")
    return _tidy(ax, whole=True)


def minima(result: Result, bounds: Any = None, ax: Any = None) -> Any:
    """The distinct minima as lines across the variables, the best thick; each axis is one variable.

    Args:
        result: what `minimize` returned, or a `Fit`.
        bounds: of the search, to draw each variable between its bounds; None takes the range of the minima.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    result, ax = _search(result), _axes(ax)
    best = result.minima[:LISTED]
    x = np.array([_flat(minimum.x) for minimum in best])
    low, high = (np.min(x, axis=0), np.max(x, axis=0)) if bounds is None else _sides(bounds)
    unit = (x - low) / np.where(high > low, high - low, 1)
    places = np.arange(x.shape[1])
    for i in reversed(range(1, len(unit))):
        ax.plot(places, unit[i], color=SKY, alpha=max(0.9 - i / len(unit), 0.25), lw=1, marker=".", zorder=1)
    ax.plot(places, unit[0], color=ORANGE, lw=2.5, marker="D", zorder=3, label=f"best: {best[0].fun:.6g}")
    for place in places:
        ax.axvline(place, color=_ink(ax), lw=0.6, alpha=0.4, zorder=0)
    names = [f"x{place}\n{a:.3g} to {b:.3g}" for place, a, b in zip(places, low, high, strict=True)]
    ax.set_xticks(places, names, fontsize="small")
    ax.set(ylabel="place in the box" if bounds is not None else "place in the range")
    ax.set_title(f"{len(best)} best of {len(result.minima)} distinct minima", fontsize="medium")
    ax.legend(frameon=False, fontsize="small")
    return _tidy(ax)


def landscape(
    result: Result, fun: Callable[..., Any], bounds: Any, args: Any = (), starts: int | None = None, ax: Any = None
) -> Any:
    """A function of one or two variables, the starts of a level, the basins to which they lead, and the minima.

    A basin is where steepest descent on the picture's own grid ends in the same point.

    Args:
        result: what `minimize` returned.
        fun: the function that was minimised.
        bounds: its bounds, as pairs.
        args: its further arguments.
        starts: the level whose starts are drawn; None takes the last one of at most 64.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.

    Raises:
        ValueError: the function has more than two variables.
    """
    low, high = _sides(bounds)
    if len(low) not in (1, 2):
        raise ValueError(f"`bounds` must be those of one or two variables for a landscape; got {len(low)}: see minima.")
    ax = _axes(ax)
    args = args if isinstance(args, tuple) else (args,)
    values = jax.jit(jax.vmap(lambda x: fun(x, *args)))
    unit = _starts(result, len(low), starts)
    found = np.array([_flat(minimum.x) for minimum in result.minima[:LISTED]])
    if len(low) == 1:
        _curve(ax, values, low, high, low + (high - low) * unit, found, [m.fun for m in result.minima[:LISTED]])
    else:
        _surface(ax, values, low, high, low + (high - low) * unit, found)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, 1.13), ncols=4, columnspacing=1)
    return _tidy(ax)


def fit(fit: Fit, level: float = 0.95, ax: Any = None) -> Any:
    """The data, the fitted curve with the bands of its mean and of a new observation, and the next best local fit.

    Args:
        fit: what `curve_fit` returned, for one abscissa.
        level: of confidence.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.

    Raises:
        ValueError: the data have more than one abscissa.
    """
    x, y = fit.data.x, np.asarray(fit.data.y)
    if np.shape(x) != y.shape:
        raise ValueError(f"`fit` must be of data with one abscissa to be drawn; got shape {np.shape(x)} for {y.shape}.")
    ax, x = _axes(ax), np.asarray(x)
    line = np.linspace(np.min(x), np.max(x), CURVE)
    if fit.on_grid(line):
        mean, new = fit.predict(line, level), fit.predict(line, level, new=True)
    else:  # a model that is made for its abscissae
        line = np.sort(x)
        order = np.argsort(x)
        mean, new = (
            type(band)(*(part[order] for part in band))
            for band in (fit.predict(None, level), fit.predict(None, level, True))
        )
    ax.fill_between(line, new.lower, new.upper, color=SKY, alpha=0.18, lw=0, label=f"{100 * level:g} % of new data")
    ax.fill_between(
        line, mean.lower, mean.upper, color=SKY, alpha=0.5, lw=0, label=f"{100 * level:g} % band of the mean"
    )
    ax.plot(line, mean.y, color=ORANGE, lw=2, label="best fit", zorder=3)
    if len(fit.fits) > 1:
        second, order = fit.fits[1], np.argsort(x)
        ax.plot(
            x[order], (y - second.residuals)[order], color=GREEN, lw=1.2, ls="--", zorder=2,
            label=f"next local fit (cost {second.fun:.3g}, best {fit.fun:.3g})",
        )  # fmt: skip
    ax.plot(x, y, ".", color=_ink(ax), ms=5, alpha=0.7, label="data", zorder=2)
    ax.set(xlabel="x", ylabel="y")
    ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1)
    return _tidy(ax)


def certificate(certificate: Certificate, variables: tuple[int, int] = (0, 1), ax: Any = None) -> Any:
    """The boxes of a proof, coloured by when they were dropped, those that are left hatched, and the minimisers.

    Args:
        certificate: what `certify` returned.
        variables: the two that are drawn; boxes of more variables lie over each other. One of one variable is a strip.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    if not isinstance(certificate, Certificate):
        raise TypeError(f"`certificate` must be what certify returned; got {type(certificate).__name__}.")
    ax = _axes(ax)
    picture.draw(certificate, ax, _ink(ax), variables)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2, columnspacing=1)
    return _tidy(ax)


def _curve(ax: Any, values: Any, low: Any, high: Any, starts: Any, found: Any, minima_values: list[float]) -> None:
    """A function of one variable."""
    x = np.linspace(low[0], high[0], CURVE)
    y = np.asarray(values(x[:, None]))
    basin = _basins(y)
    edges = np.flatnonzero(np.diff(basin))
    ends = np.concatenate([[0], edges + 1, [len(x) - 1]])
    for k, (a, b) in enumerate(zip(ends[:-1], ends[1:], strict=True)):
        ax.axvspan(x[a], x[b], color=_ink(ax), alpha=0.07 if k % 2 else 0.0, lw=0)
    ax.plot(x, y, color=BLUE, lw=1.6, label="function")
    at = np.asarray(values(starts))
    ax.plot(starts[:, 0], at, "|", color=_ink(ax), ms=9, label=f"{len(starts)} starts")
    ax.plot(found[1:, 0], minima_values[1:], "o", color=SKY, mec=_ink(ax), mew=0.6, ms=6, label="local minima")
    ax.plot(found[:1, 0], minima_values[:1], "D", color=ORANGE, mec=_ink(ax), mew=0.6, ms=8, label="global minimum")
    ax.set(xlabel="x", ylabel="value")


def _surface(ax: Any, values: Any, low: Any, high: Any, starts: Any, found: Any) -> None:
    """A function of two variables: shades by rank, so that every scale can be seen; basins by their borders."""
    x, y = (a + (b - a) * (np.arange(GRID) + 0.5) / GRID for a, b in zip(low, high, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    z = np.asarray(values(points), float).reshape(GRID, GRID)
    shade = np.searchsorted(np.sort(z, axis=None), z) / z.size
    extent = (low[0], high[0], low[1], high[1])
    ax.imshow(shade, origin="lower", extent=extent, aspect="auto", cmap="cividis", alpha=0.9, interpolation="bilinear")
    basin = _basins(z)
    border = np.zeros_like(basin, bool)
    border[:, 1:] |= basin[:, 1:] != basin[:, :-1]
    border[1:] |= basin[1:] != basin[:-1]
    white = np.ones((*border.shape, 4)) * [1, 1, 1, 0.5] * border[..., None]
    ax.imshow(white, origin="lower", extent=extent, aspect="auto", interpolation="nearest")
    ax.plot(*starts.T, "+", color="white", ms=5, mew=1, label=f"{len(starts)} starts", ls="")
    ax.plot(*found[1:].T, "o", color=SKY, mec="black", mew=0.6, ms=6, label="local minima", clip_on=False)
    ax.plot(*found[:1].T, "D", color=ORANGE, mec="black", mew=0.8, ms=9, label="global minimum", clip_on=False)
    ax.set(xlabel="x0", ylabel="x1", xlim=extent[:2], ylim=extent[2:])
    handle = ax.get_lines()[0]
    handle.set_path_effects([_outline()])


def _basins(z: np.ndarray) -> np.ndarray:
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
    from jaxglobal.starts import Grid

    grid = Grid()
    small = [k for k in range(len(result.levels)) if grid.size(k, n) <= 64]
    k = (small[-1] if small else 0) if level is None else level
    return grid.points(k, 0, grid.size(k, n), n)


def _search(result: Any) -> Result:
    """The search of a result or a fit."""
    search = result.result if isinstance(result, Fit) else result
    if not isinstance(search, Result):
        raise TypeError(f"`result` must be what minimize or curve_fit returned; got {type(result).__name__}.")
    if not search.minima:
        raise ValueError(f"`result` must have a minimum to be drawn; it ended with {search.status.name}.")
    return search


def _flat(x: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(x)])


def _sides(bounds: Any) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper bounds, (n,)."""
    from jaxglobal.objective import read_bounds

    _, low, high = read_bounds(bounds, None)
    return low, high


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError('jaxglobal.plot needs matplotlib: python -m pip install "jaxglobal[plot]"') from None
    return plt


def _axes(ax: Any) -> Any:
    return _pyplot().subplots(layout="constrained")[1] if ax is None else ax


def _outline() -> Any:
    from matplotlib import patheffects

    return patheffects.withStroke(linewidth=2.2, foreground="black")


def _ink(ax: Any) -> Any:
    """The colour of the style's text."""
    return ax.xaxis.label.get_color()


def _tidy(ax: Any, whole: bool = False) -> Any:
    """Without a frame; whole: with whole numbers along the x axis."""
    ax.spines[["top", "right"]].set_visible(False)
    if whole:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return ax
