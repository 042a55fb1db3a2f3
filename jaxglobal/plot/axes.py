"""What all pictures share: axes, colours, what variables are called, and which results can be drawn."""

import math
from typing import Any

import jax
import numpy as np

from jaxglobal.fit.arguments import names_of
from jaxglobal.fit.fitted import Fit
from jaxglobal.problem.bounds import read_bounds
from jaxglobal.problem.choice import chosen
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.lattice import read
from jaxglobal.result import Result

BLUE, ORANGE, GREEN, SKY, RED, PINK = "#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7"
CYCLE = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
STYLES, MARKS = ("-", "--", "-.", ":"), ("o", "s", "D", "^", "v", "P", "X")
ROOM = 0.3  # of the height of curves: above them, for the legend
FEW = 8  # variables whose ranges are written
FLAT, TINY = 1e-9, 1e-20  # of a value, and of zero: differences below are rounding, no reason for an axis of their size


def made(ax: Any) -> Any:
    """The axes that were given, or new ones."""
    return pyplot().subplots(layout="constrained")[1] if ax is None else checked(ax)


def checked(ax: Any) -> Any:
    """The axes, if they are."""
    if not hasattr(ax, "get_xscale"):
        raise TypeError(f"`ax` must be Axes of matplotlib, a single one; got {type(ax).__name__}.")
    return ax


def panels(ax: Any, count: int, columns: int, size: tuple[float, float]) -> np.ndarray:
    """So many axes, (count,), those that were given or new ones in rows; size: of each, in inches."""
    if ax is not None:
        found = np.ravel(np.asarray(ax, object))
        if len(found) < count:
            raise ValueError(f"`ax` must be at least {count} axes; got {len(found)}.")
        return np.array([checked(one) for one in found[:count]], object)
    columns = min(count, columns)
    rows = math.ceil(count / columns)
    wide, high = size
    _, grid = pyplot().subplots(
        rows, columns, figsize=(wide * columns, high * rows), layout="constrained", squeeze=False
    )
    for left_over in grid.flat[count:]:
        left_over.set_axis_off()
    return grid.flat[:count]


def pyplot() -> Any:
    """Matplotlib's."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise ImportError('jaxglobal.plot needs matplotlib: python -m pip install "jaxglobal[plot]"') from None
    return plt


def ink(ax: Any) -> Any:
    """The colour of the style's text."""
    return ax.xaxis.label.get_color()


def ground(ax: Any) -> Any:
    """The colour of the style's ground."""
    return ax.get_facecolor()


def outline(colour: Any) -> Any:
    """An edge around what is drawn."""
    from matplotlib import patheffects

    return patheffects.withStroke(linewidth=2.2, foreground=colour)


def legend(ax: Any, **options: Any) -> None:
    """The legend inside the axes, where no savefig cuts it off, on the ground of the style."""
    options = {"loc": "best", "fontsize": "small", "framealpha": 0.85, "edgecolor": "none", **options}
    ax.legend(facecolor=ground(ax), **options)


def frame(ax: Any, low: np.ndarray, high: np.ndarray) -> None:
    """The box of a search in a picture that shows more."""
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]], [low[0], low[1]]])
    (line,) = ax.plot(*corners.T, "--", color="white", lw=1.2, label="box")
    line.set_path_effects([outline("black")])


def above(ax: Any) -> None:
    """The legend above what is drawn, inside the axes, which are made higher for it."""
    bottom, top = ax.get_ylim()
    if ax.get_yscale() == "linear":
        ax.set_ylim(bottom, top + ROOM * (top - bottom))
    legend(ax, ncols=2, columnspacing=1, loc="upper center")


def beside(drawn: np.ndarray, given: Any) -> None:
    """The legend of several axes: above them where they are our own, else in the first of them."""
    if given is not None:
        legend(drawn[0])
        return
    handles, labels = drawn[0].get_legend_handles_labels()
    place = {"loc": "outside upper center", "ncols": len(labels), "fontsize": "small", "frameon": False}
    drawn[0].figure.legend(handles, labels, **place)


def series(k: int) -> dict[str, Any]:
    """How the k-th of several curves is drawn, with a mark of its own at its end."""
    line = {"color": CYCLE[k % len(CYCLE)], "ls": STYLES[k // len(CYCLE) % len(STYLES)], "lw": 1.6}
    return {**line, "marker": MARKS[k % len(MARKS)], "ms": 6, "markevery": [-1]}


def tidy(ax: Any, whole: bool = False) -> Any:
    """Without a frame; whole: with whole numbers along the x axis."""
    ax.spines[["top", "right"]].set_visible(False)
    if whole:
        ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    return ax


def not_flat(ax: Any, values: Any) -> None:
    """Gives values that are equal but for rounding an axis of their own size."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if len(values) and np.ptp(values) <= max(FLAT * np.max(np.abs(values)), TINY):
        half = 0.1 * abs(values[0]) if abs(values[0]) > TINY else 1.0
        ax.set_ylim(values[0] - half, values[0] + half)


def search(result: Any, name: str = "result", needed: bool = True) -> Result:
    """The search of a result or a fit, which has something to show. needed: whether that is a minimum."""
    found = result.result if isinstance(result, Fit) else result
    if not isinstance(found, Result):
        several = isinstance(result, list | tuple | dict) or type(result).__name__ in ("Results", "Fits")
        what = f"{type(result).__name__}, which has several: give one" if several else type(result).__name__
        raise TypeError(f"`{name}` must be what minimize or curve_fit returned; got {what}.")
    if needed and not found.minima:
        raise ValueError(f"`{name}` must have a minimum to be drawn; it ended with {found.status.name}.")
    return found


def flat(x: Any) -> np.ndarray:
    """The variables one after another."""
    leaves = [np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(x)]
    return np.concatenate(leaves) if leaves else np.zeros(0)


def structure(x: Any) -> Structure:
    """How the variables are laid out."""
    leaves, treedef = jax.tree.flatten(x)
    return Structure(treedef, tuple(np.shape(leaf) for leaf in leaves), np.dtype(float))


def names(result: Any) -> list[str]:
    """What the variables are called: as in a fit, by their paths in a pytree, else x0, x1, ..."""
    if isinstance(result, Fit):
        return list(result.names)
    layout = structure(result.x)
    if layout.treedef == jax.tree.structure(0) and len(layout.shapes[0]) == 1:
        return [f"x{i}" for i in range(layout.n)]
    return names_of(None, layout, False)


def sides(bounds: Any, x: Any) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper bounds, (n,), of a result x."""
    found, low, high = read_bounds(bounds, None, choosing=True)
    if found.n != len(flat(x)):
        raise ValueError(f"`bounds` must be those of {len(flat(x))} variables, as the result has; got {found.n}.")
    low, high = np.asarray(low, float), np.asarray(high, float)
    for i in np.flatnonzero(chosen(found.choices, found.n)):
        low[i], high[i] = found.choices[i][0], found.choices[i][-1]
    return low, high


def discrete(bounds: Any, integrality: Any, most: int) -> list[np.ndarray | None]:
    """The values of each variable, all or so many of a whole number's; None for a continuous one."""
    found, low, high = read_bounds(bounds, None, choosing=True)
    whole = read(integrality, found)
    lists = found.choices or ((),) * found.n
    return [
        np.array(own) if own else np.unique(np.rint(np.linspace(np.ceil(a), np.floor(b), most))) if is_whole else None
        for own, is_whole, a, b in zip(lists, whole, low, high, strict=True)
    ]


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least so many."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"`{name}` must be a whole number of at least {least}; got {value!r}.")
    return int(value)
