"""Pictures of where minima lie: across the variables, in pairs of them, and on cuts through the best."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.plot import axes
from jaxglobal.plot.axes import BLUE, ORANGE, SKY
from jaxglobal.plot.evaluated import evaluator
from jaxglobal.result import Result

LISTED = 30  # minima that are drawn as lines
POINTS = 240  # of a cut
MOST_CUTS = 24
DOTTED = 60  # values of a variable with steps, each of which is a point of its cut, at most
ALIKE = 1e-4  # relative difference of places, as searches leave
SAME = 1e-6  # relative difference of values that float32 has rounded
PAIRED = 5  # variables that are paired where there are more
SPREAD = 0.9  # share of the values of a cut that its axis shows


def minima(result: Result, bounds: Any = None, ax: Any = None) -> Any:
    """The distinct minima as lines across the variables, the best thick; each axis is one variable.

    Args:
        result: what `minimize` returned, or a `Fit`.
        bounds: of the search, to draw each variable between its bounds; None takes the range of the minima.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    found = axes.search(result)
    names, given, result = axes.names(result), ax, found
    best = result.minima[:LISTED]
    x = np.array([axes.flat(minimum.x) for minimum in best])
    n = x.shape[1]
    if given is None and n > axes.FEW:
        given = axes.panels(None, 1, 1, (min(0.42 * n + 1.5, 14), 4.2))[0]
    ax = axes.made(given)
    low, high = (np.min(x, axis=0), np.max(x, axis=0)) if bounds is None else axes.sides(bounds, result.x)
    wide = high - low > ALIKE * (1 + np.abs(low))
    unit = np.where(wide, (x - low) / np.where(wide, high - low, 1), 0.5)
    places = np.arange(n)
    for i in reversed(range(1, len(unit))):
        ax.plot(places, unit[i], color=SKY, alpha=max(0.9 - i / len(unit), 0.25), lw=1, marker=".", zorder=1)
    ax.plot(places, unit[0], color=ORANGE, lw=2.5, marker="D", zorder=3, label=f"best: {best[0].fun:.6g}")
    for place in places:
        ax.axvline(place, color=axes.ink(ax), lw=0.6, alpha=0.4, zorder=0)
    if n <= axes.FEW:
        names = [f"{name}\n{a:.3g} to {b:.3g}" for name, a, b in zip(names, low, high, strict=True)]
    ax.set_xticks(places, names, fontsize="small", rotation=0 if n <= axes.FEW else 90)
    what = "box" if bounds is not None else "range of the minima"
    ax.set(ylabel=f"place in the {what}", ylim=(-0.04, 1.04), xlim=(-0.4, n - 0.6), yticks=[0, 0.5, 1])
    ax.set_title(minima_of(len(result.minima), len(best)), fontsize="medium")
    axes.legend(ax)
    return axes.tidy(ax)


def minima_of(count: int, shown: int) -> str:
    """How many distinct minima there are, and are shown."""
    return (
        f"{shown} best of {count} distinct minima"
        if shown < count
        else f"{count} distinct minim{'a' if count > 1 else 'um'}"
    )


def slices(
    result: Result, fun: Callable[..., Any], bounds: Any, args: Any = (), ax: Any = None, integrality: Any = None
) -> Any:
    """Cuts of the function through the best point, along each variable; the other minima are marked at their values.

    Whole numbers, and variables with a `jaxglobal.Choice`, are drawn as steps, with a point at each value where these
    are few.

    Args:
        result: what `minimize` returned.
        fun: the function that was minimised, a JAX one or a `host`.
        bounds: its bounds.
        args: its further arguments.
        ax: as many axes as there are variables, 24 at most, to draw on; None makes new ones.
        integrality: which variables were whole numbers.

    Returns:
        The axes, as an array.
    """
    found_by = axes.search(result)
    names, result = axes.names(result), found_by
    low, high = axes.sides(bounds, result.x)
    best, n = axes.flat(result.x), min(len(low), MOST_CUTS)
    values = evaluator(fun, bounds, args)
    found = np.array([[*axes.flat(m.x), m.fun] for m in result.minima[:LISTED]])
    drawn, steps = axes.panels(ax, n, 4 if n > 2 else n, (3.2, 2.6)), axes.discrete(bounds, integrality, POINTS)
    for i, one in enumerate(drawn):
        a, b = min(low[i], best[i]), max(high[i], best[i])
        own = steps[i]
        if own is None:
            places = np.sort(np.append(np.linspace(a, b, POINTS), best[i]))
        else:
            places = np.sort(np.append(own[np.abs(own - best[i]) > SAME * (1 + abs(best[i]))], best[i]))
        points = np.repeat(best[None], len(places), axis=0)
        points[:, i] = places
        f = values(points)
        if own is None:
            one.plot(places, f, color=BLUE, lw=1.5, label="function")
        else:
            few = len(places) <= DOTTED
            one.plot(
                places, f, color=BLUE, lw=0.8 if few else 1.2, drawstyle="steps-mid", marker="o" if few else None, ms=4,
                label="function",
            )  # fmt: skip
        one.plot(found[1:, i], found[1:, -1], "o", color=SKY, mec=axes.ink(one), mew=0.6, ms=5, label="other minima")
        one.plot(best[i], result.fun, "D", color=ORANGE, mec=axes.ink(one), mew=0.6, ms=7, label="best", zorder=4)
        axes.tidy(one).set_xlabel(names[i])
        finite = f[np.isfinite(f)]
        finite = finite if own is not None and len(finite) else np.append(finite, found[:, -1])
        top = np.quantile(finite, SPREAD)
        size = top - result.fun
        if size > axes.FLAT * abs(result.fun):
            one.set_ylim(result.fun - 0.08 * size, top + 0.15 * size)
        if i % 4 == 0:
            one.set_ylabel("value")
    axes.beside(drawn, ax)
    if len(low) > n:
        drawn[0].set_title(f"the first {n} of {len(low)} variables", fontsize="medium")
    return drawn


def numbers_of(variables: Any, names: list[str]) -> list[int]:
    """The numbers of at least two variables that are given by numbers or names."""
    given = list(variables) if isinstance(variables, list | tuple | range | np.ndarray) else [variables]
    which = [names.index(i) if isinstance(i, str) and i in names else i for i in given]
    valid = all(isinstance(i, int | np.integer) and not isinstance(i, bool) and 0 <= i < len(names) for i in which)
    if not valid or len(which) < 2 or len(set(which)) < len(which):
        listed = ", ".join(names[: axes.FEW]) + (", ..." if len(names) > axes.FEW else "")
        raise ValueError(
            f"`variables` must be at least two different ones of {len(names)} ({listed}); got {variables!r}."
        )
    return [int(i) for i in which]


def triangle(side: int) -> tuple[np.ndarray, Any]:
    """New axes below the diagonal of so many rows, one row after another, and a place above it; None where none is."""
    size = (2.4 * side + (1.6 if side < 2 else 0.6), 2.3 * side + 0.4)
    _, grid = axes.pyplot().subplots(side, side, figsize=size, layout="constrained", squeeze=False)
    for row, column in np.ndindex(side, side):
        if column > row:
            grid[row, column].set_axis_off()
    return np.array([grid[i] for i in zip(*np.tril_indices(side), strict=True)], object), grid[
        0, 1
    ] if side > 1 else None


def pairs(result: Result, bounds: Any = None, variables: Any = None, ax: Any = None) -> Any:
    """The distinct minima by pairs of variables, coloured by value, the best marked.

    Args:
        result: what `minimize` returned, or a `Fit`.
        bounds: of the search, for the ends of the axes; None takes the range of the minima.
        variables: the numbers or names of those that are paired; None takes all, or the five in which minima differ
            most.
        ax: axes for all pairs to draw on, one after another; None makes new ones.

    Returns:
        The axes, as an array: (1, 0), (2, 0), (2, 1), (3, 0), ...
    """
    found = axes.search(result)
    names = axes.names(result)
    x = np.array([axes.flat(minimum.x) for minimum in found.minima])
    f = np.array([minimum.fun for minimum in found.minima])
    low, high = (np.min(x, axis=0), np.max(x, axis=0)) if bounds is None else axes.sides(bounds, found.x)
    if x.shape[1] < 2:
        raise ValueError("`result` must have at least two variables for pairs; got one: see slices and landscape.")
    if variables is None:
        spread = np.std(x, axis=0) / np.where(high > low, high - low, 1)
        variables = sorted(np.argsort(-spread, kind="stable")[:PAIRED]) if x.shape[1] > PAIRED else range(x.shape[1])
    which = numbers_of(variables, names)
    places = [(row, column) for row in range(1, len(which)) for column in range(row)]
    drawn, empty = triangle(len(which) - 1) if ax is None else (axes.panels(ax, len(places), len(places), (3, 3)), None)
    order = np.argsort(-f, kind="stable")  # the best on top
    marks = None
    for one, (row, column) in zip(drawn, places, strict=True):
        i, j = which[column], which[row]
        marks = one.scatter(
            x[order, i], x[order, j], c=f[order], cmap="cividis_r", s=30, edgecolor=axes.ink(one), lw=0.4, zorder=2
        )
        one.plot(x[0, i], x[0, j], "D", color=ORANGE, mec=axes.ink(one), mew=0.8, ms=9, zorder=3, label="best")
        for k, limits in ((i, one.set_xlim), (j, one.set_ylim)):
            wide = high[k] - low[k] > ALIKE * (1 + abs(low[k]))
            margin = 0.06 * (high[k] - low[k]) if wide else 0.5 * (1 + abs(low[k]))
            limits(low[k] - margin, high[k] + margin)
        if row == len(which) - 1 or ax is not None:
            one.set_xlabel(names[i])
        else:
            one.tick_params(labelbottom=False)
        if column == 0 or ax is not None:
            one.set_ylabel(names[j])
        else:
            one.tick_params(labelleft=False)
        axes.tidy(one)
    if empty is None:
        drawn[0].figure.colorbar(marks, ax=list(drawn), label="value", shrink=0.8)
        axes.legend(drawn[0])
    else:
        bar = empty.inset_axes((0.05, 0.3, 0.95, 0.09))
        drawn[0].figure.colorbar(marks, cax=bar, orientation="horizontal", label="value")
        bar.locator_params(axis="x", nbins=4)
        axes.legend(empty, handles=drawn[0].get_legend_handles_labels()[0], loc="upper left")
    more = f", {len(which)} of {x.shape[1]} variables" if len(which) < x.shape[1] else ""
    drawn[0].set_title(minima_of(len(f), len(f)) + more, fontsize="medium", loc="left" if more else "center")
    return drawn
