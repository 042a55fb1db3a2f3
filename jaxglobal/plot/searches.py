"""Pictures of what a search did: its values by minimum, by level, by evaluations and seconds."""

from typing import Any

import numpy as np

from jaxglobal.plot import axes
from jaxglobal.plot.axes import BLUE, ORANGE, SKY
from jaxglobal.printing import counted
from jaxglobal.result import Result

LISTED = 30  # minima that are drawn
WRITTEN = 6  # levels whose seconds and spacing are written
WIDE = 20.0  # the last over the first, from which on an axis is logarithmic
SMALLEST = 1e-16  # above the best, as far as a logarithmic axis reaches


def waterfall(result: Result, ax: Any = None) -> Any:
    """The values of the distinct minima, best first; the area of a mark grows with how many searches ended there.

    Args:
        result: what `minimize` returned, or a `Fit`.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    result, ax = axes.search(result), axes.made(ax)
    best = result.minima[:LISTED]
    counts = np.array([minimum.count for minimum in best], float)
    values = np.array([minimum.fun for minimum in best])
    places = np.arange(1, len(best) + 1)
    ax.plot(places, values, color=axes.ink(ax), alpha=0.35, lw=1, zorder=1)
    area = 20 + 200 * np.sqrt(counts / max(np.max(counts, initial=1), 1))
    ax.scatter(places[1:], values[1:], s=area[1:], color=SKY, edgecolor=axes.ink(ax), lw=0.6, zorder=2)
    ax.scatter(places[:1], values[:1], s=area[:1], color=ORANGE, edgecolor=axes.ink(ax), lw=0.6, marker="D", zorder=3)
    more = len(result.minima) - len(best)
    ax.set(xlabel=f"minimum, best first{f' ({more} more)' if more > 0 else ''}", ylabel="value")
    ax.set_xlim(0.5, len(best) + 0.5)
    axes.not_flat(ax, values)
    what = "distinct local minima, the best" if len(best) > 1 else "the only minimum,"
    ax.set_title(f"{what} found {counts[0]:,.0f} x", fontsize="medium")
    axes.tidy(ax, whole=True)
    if len(best) == 1:
        ax.set_xticks([1])
    return ax


def levels(result: Result, ax: Any = None) -> Any:
    """Level by level: the best value so far, with the starts of the level and the seconds that it took.

    Args:
        result: what `minimize` returned, or a `Fit`.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    result, ax = axes.search(result), axes.made(ax)
    index = [level.index for level in result.levels]
    values = [level.fun for level in result.levels]
    ax.step(index, values, where="post", color=BLUE, lw=1.5, zorder=1)
    ax.scatter(index, values, color=BLUE, s=36, zorder=2)
    step = -(-len(index) // (2 * WRITTEN))
    shown = result.levels[::step]
    texts = [f"{level.index}\n{level.nstarts:,}" for level in shown]
    if len(shown) <= WRITTEN:
        texts = [
            f"{text}\n{level.time:.2g} s\n{level.spacing:.2g}" for text, level in zip(texts, shown, strict=True)
        ]  # fmt: skip
    ax.set_xticks([level.index for level in shown], texts, fontsize="small")
    what = "level, starts, seconds, spacing" if len(shown) <= WRITTEN else "level, starts"
    ax.margins(x=0.08, y=0.12)
    axes.not_flat(ax, values)
    ax.set(xlabel=what, ylabel="best value so far")
    ax.set_title(f"ended: {result.status.name}, {counted(result.nit, 'level')}", fontsize="medium")
    return axes.tidy(ax)


def history(results: Any, ax: Any = None, *, best: float | None = None) -> Any:
    """The best value against evaluations and against seconds, of one search or of several.

    Args:
        results: a `Result` or a `Fit`; a list of them, or a dictionary {label: one}. Something else, such as another
            optimiser's run, is a list of triples (evaluations, seconds, best value) in their place.
        ax: two axes to draw on; None makes new ones.
        best: the lowest value that is known: the axis is then logarithmic in the distance from it. None draws values.

    Returns:
        The two axes, as an array.
    """
    if isinstance(results, list | tuple | dict) and not len(results):
        raise ValueError(f"`results` must have at least one run; got an empty {type(results).__name__}.")
    runs = {label: steps_of(one) for label, one in labelled(results).items()}
    left, right = axes.panels(ax, 2, 2, (4.6, 3.6))
    for k, (label, steps) in enumerate(runs.items()):
        nfev, seconds, fun = np.array(steps, float).T
        shown = fun if best is None else np.maximum(fun - best, SMALLEST * max(abs(best), 1))
        for one, spent in ((left, nfev), (right, seconds)):
            one.step(spent, shown, where="post", label=label or None, **axes.series(k))
    for one, what in ((left, "evaluations"), (right, "seconds")):
        spent = np.array([step[what == "seconds"] for steps in runs.values() for step in steps], float)
        wide = np.max(spent) > WIDE * np.min(spent) > 0
        one.set(xlabel=what, xscale="log" if wide else "linear", yscale="linear" if best is None else "log")
        if best is None:
            axes.not_flat(one, [step[2] for steps in runs.values() for step in steps])
        axes.tidy(one)
    left.set_ylabel("best value" if best is None else "best value above the lowest known")
    if len(runs) > 1 or next(iter(runs)):
        axes.legend(left)
    return np.array([left, right])


def labelled(results: Any) -> dict[str, Any]:
    """The runs by their labels."""
    if isinstance(results, dict):
        return {str(label): one for label, one in results.items()}
    several = isinstance(results, list | tuple) and not is_triples(results)
    return {f"{i}": one for i, one in enumerate(results)} if several and results else {"": results}


def is_triples(run: Any) -> bool:
    """Whether these are triples (evaluations, seconds, value)."""
    try:
        return np.ndim(np.asarray(run, float)) == 2 and np.shape(run)[1] == 3 and len(run) > 0
    except (TypeError, ValueError):
        return False


def steps_of(run: Any) -> list[Any]:
    """The triples of a run."""
    if is_triples(run):
        return list(run)
    found = axes.search(run, "results")
    if not found.history:
        raise ValueError("`results` must have a history to be drawn; got one without steps.")
    return list(found.history)
