"""Solver profiles: how many of a set of problems several solvers have solved, and at what cost.

[MW] J. J. Moré and S. M. Wild, Benchmarking derivative-free optimization algorithms, SIAM J. Optim. 20 (2009), eq. 2.2:
a data profile, here without the division by n + 1, which the user may do.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxglobal.plot import axes

ROOM = 1.4  # factor from the first and to the last cost, so that no curve is at the end of the axis
SPAN = 100.0  # the least factor that the axis spans


def data_profile(solved: Mapping[str, Any], ax: Any = None, *, until: Any = None, cost: str = "evaluations") -> Any:
    """The share of a set of problems that each solver has solved, against what it spent on one [MW].

    Args:
        solved: {name of a solver: the evaluations at which it solved each problem}, arrays of one length; inf where it
            did not.
        ax: axes to draw on; None makes new ones.
        until: the evaluations after which a solver was stopped, a number or {name: number}, where its curve ends. None:
            at the last one of all.
        cost: what was counted, for the axis: "evaluations", "seconds", ...

    Returns:
        The axes.

    Raises:
        TypeError: `solved` is no mapping of numbers.
        ValueError: it is empty, solvers have different numbers of problems, or a cost is not positive.

    Example:
        >>> import jaxglobal as jg
        >>> ax = jg.plot.data_profile({"one": [30, 200, 90], "another": [10, float("inf"), 500]}, until=1000)
    """
    costs = read(solved)
    ends = read_ends(until, costs)
    ax = axes.made(ax)
    count = len(next(iter(costs.values())))
    last = max(ends.values())
    first = min(last / SPAN, *(np.min(spent) for spent in costs.values()))
    shares = {name: float(np.mean(spent <= ends[name])) for name, spent in costs.items()}
    for k, (name, spent) in enumerate(costs.items()):
        at = np.sort(spent[spent <= ends[name]])
        share = np.arange(len(at) + 1) / count
        label = f"{name}: {100 * shares[name]:.3g} %"
        style = {**axes.series(k), "clip_on": False, "zorder": 3}
        ax.step([first / ROOM, *at, ends[name]], [*share, share[-1]], where="post", label=label, **style)
    ax.set(xscale="log", xlim=(first / ROOM, last * ROOM), ylim=(0, 1.02), xlabel=cost)
    ax.set_ylabel(f"share of {count} problems solved" if count > 1 else "solved")
    handles, labels = ax.get_legend_handles_labels()
    order = np.argsort([-shares[name] for name in costs], kind="stable")
    axes.legend(ax, handles=[handles[i] for i in order], labels=[labels[i] for i in order])
    return axes.tidy(ax)


def read(solved: Any) -> dict[str, np.ndarray]:
    """The costs of each solver, (P,), checked."""
    if not isinstance(solved, Mapping):
        raise TypeError(f"`solved` must be a mapping {{solver: evaluations}}; got {type(solved).__name__}.")
    costs: dict[str, np.ndarray] = {}
    for name, spent in solved.items():
        try:
            costs[str(name)] = np.asarray(spent, float)
        except (TypeError, ValueError):
            raise TypeError(f"`solved` must have numbers, inf where unsolved; got {spent!r:.60} of {name!r}.") from None
    shapes = {name: array.shape for name, array in costs.items()}
    if len(set(shapes.values())) != 1 or any(len(shape) != 1 or not shape[0] for shape in shapes.values()):
        raise ValueError(f"`solved` must have as many problems, at least one, of every solver; got shapes {shapes}.")
    for name, array in costs.items():
        if not np.all(array > 0):
            i = int(np.argmin(array > 0))
            raise ValueError(f"`solved` must be positive, inf where unsolved; got {array[i]} of {name!r} at index {i}.")
    return costs


def read_ends(until: Any, costs: dict[str, np.ndarray]) -> dict[str, float]:
    """Where the curve of each solver ends."""
    finite = [float(np.max(array[np.isfinite(array)], initial=0)) for array in costs.values()]
    last = max(finite) or 1.0
    given = until if isinstance(until, Mapping) else dict.fromkeys(costs, last if until is None else until)
    missing = [name for name in costs if name not in given]
    if missing:
        raise ValueError(f"`until` must have every solver; got none for {missing}.")
    ends = {name: given[name] for name in costs}
    for name, end in ends.items():
        if isinstance(end, bool) or not isinstance(end, int | float | np.number) or not 0 < end < np.inf:
            raise ValueError(f"`until` must be a positive number; got {end!r} of {name!r}.")
    return {name: float(end) for name, end in ends.items()}
