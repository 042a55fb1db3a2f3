"""certify: what a call asks for, checked and put together; the search is in branch.py."""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.api import minimize
from jaxglobal.engine.host import Host
from jaxglobal.fit.fitted import Fit
from jaxglobal.nearest import helps
from jaxglobal.problem import objective
from jaxglobal.proof import incumbent, kept
from jaxglobal.proof.branch import Search
from jaxglobal.proof.certificate import Boxes, Certificate, Minimizer, Tested
from jaxglobal.proof.crew import cores
from jaxglobal.proof.gather import minimizers
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.problem import Problem
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt

PICTURED = 20_000  # boxes that are kept for a picture
SHOWN = 0.2  # seconds between two lines of progress
RESTS = (
    "up to the accuracy that JAX publishes for its elementary functions and the processor's float64 arithmetic, for "
    "fun of real numbers"
)
NARROW = "; fun, which rounds to less than float64 somewhere, was taken without that rounding"


@helps
def certify(
    fun: Any,
    bounds: Any = None,
    args: Any = (),
    result: Any = None,
    *,
    tol: float = 1e-8,
    max_time: float | None = None,
    max_boxes: int | None = None,
    progress: bool | str = "auto",
    checkpoint: Any = None,
    constraints: Any = None,
    integrality: Any = None,
) -> Certificate:
    """A proven lower bound of a JAX function in a box, and boxes that hold its global minimisers.

    The function is evaluated on boxes instead of points, in interval arithmetic that rounds outwards; boxes whose
    values lie above the best one known are dropped, and the others split, until the best value is shown to be the
    least. That is a proof where `minimize` gives evidence; it costs more, and its cost grows fast with the number of
    variables that are coupled (the documentation has a table).

    Args:
        fun: fun(x, *args) -> scalar, as `minimize` takes it, or a `Fit` of `curve_fit`, which brings all else along.
            It is taken as a function of real numbers in float64, whatever the precision of its search, and its
            derivative is that of its operations: custom rules and `stop_gradient` are left out.
        bounds: finite, as `minimize` takes them; a `jaxglobal.Choice` in place of a pair: the values of a variable.
        args: further arguments of fun.
        result: what `minimize` returned, or a point: the better it is, the sooner boxes are dropped; a wrong one only
            costs time. None: searches first.
        tol: the proof is over when upper - lower <= tol (1 + abs(upper)).
        max_time: wall-clock seconds from the call, that of a search included.
        max_boxes: boxes that are tested; exceeded by at most one batch.
        progress: "auto" (a live bar in a terminal or a notebook), True (also lines in a log), False.
        checkpoint: a file in which the boxes that are left are kept, written about once a second and at the end. The
            same call goes on from it.
        constraints: as `minimize` takes them: those of JAX functions. They are meant exactly, without a tolerance:
            `lower` is a bound over all points that keep them, and `upper` the value at a point, beside `x`, that is
            proven to keep them.
        integrality: which variables are whole numbers, as `minimize` takes it.

    A limit and Ctrl-C end the proof with the bound so far, which holds as well: that of the whole box at least.

    Returns:
        A `Certificate`: lower, upper, gap, proven, minimizers, what is left undecided, counts and message.

    Raises:
        NotImplementedError: fun has an operation without an enclosure; it and its line are named.
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong shape or value.

    References:
        E. R. Hansen and G. W. Walster, Global Optimization Using Interval Analysis (Dekker, 2004).

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> def himmelblau(x):
        ...     return (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2
        >>> certificate = jg.certify(himmelblau, [(-5, 5), (-5, 5)])
        >>> certificate.proven, len(certificate.minimizers), all(m.unique for m in certificate.minimizers)
        (True, 4, True)
    """
    began = time.perf_counter()
    check_numbers(tol, max_time, max_boxes)
    objective.refuse_tracing("certify")
    shown = display.show(progress)
    if isinstance(fun, Fit):
        if constraints is not None or integrality is not None:
            raise TypeError("`constraints` and `integrality` must be None for a Fit, which has its own; got some.")
        fun, bounds, args, result = *fun.objective(), fun.result if result is None else result
    if isinstance(fun, Host):
        raise TypeError("`fun` must be a JAX function, whose operations can be enclosed; got a host function.")
    with jax.enable_x64(True):
        problem = Problem.read(fun, bounds, args, constraints, integrality)
        if result is None:
            left = None if max_time is None else max(0.5 * (max_time - (time.perf_counter() - began)), 0.0)
            box = bounds if problem.structure.choices else problem.box
            result = minimize.minimize(
                fun, box, args, max_time=left, progress=progress, constraints=constraints, integrality=integrality
            )
        points = problem.points(result)
    with np.errstate(all="ignore"):
        search = Search(problem.model, problem.low, problem.high, points, tol, PICTURED, problem.whole)
        file = problem.checkpoint(checkpoint, points, tol)
        stored = None if file is None else file.read()
        if stored is not None:
            kept.load(search, *stored)
        try:
            reason = run(search, began, max_time, max_boxes, shown, file)
        finally:
            shown.close()
        if file is not None:
            file.write(*kept.save(search))
        return conclude(problem, search, reason, time.perf_counter() - began)


def check_numbers(tol: Any, max_time: Any, max_boxes: Any) -> None:
    """Raises unless they are numbers as they should be."""
    for name, value, least in (("tol", tol, 0.0), ("max_time", max_time, 0.0), ("max_boxes", max_boxes, 1)):
        if value is None and name != "tol":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
            raise TypeError(f"`{name}` must be a number; got {type(value).__name__}.")
        if not value >= least or name == "tol" and not math.isfinite(value):
            raise ValueError(f"`{name}` must be at least {least:g}; got {value}.")


def run(search: Search, began: float, max_time: float | None, max_boxes: int | None, shown: Any, file: Any) -> str:
    """Runs the search to its end or to a limit; the reason of the latter, or nothing."""
    seen = [0.0]
    with Interrupt() as interrupt:

        def until() -> str:
            now = time.perf_counter()
            if now - seen[0] > SHOWN:
                seen[0] = now
                shown.proof(search.boxes, search.pool.count, search.lower, search.cut)
            if file is not None and file.due:
                file.write(*kept.save(search))
            if interrupt.asked:
                return "it was interrupted from the keyboard"
            if max_time is not None and now - began > max_time:
                return "max_time was reached"
            return "max_boxes was reached" if max_boxes is not None and search.boxes >= max_boxes else ""

        return search.run(until, cores() if cores() > 1 else 0)


def conclude(problem: Problem, search: Search, reason: str, seconds: float) -> Certificate:
    """The certificate of what has been proven."""
    unflatten: Callable[[np.ndarray], Any] = problem.structure.point
    found = [Minimizer(unflatten(b.lo), unflatten(b.hi), b.unique, b.low) for b in minimizers(search)]
    lo, hi, low = search.left
    lower, upper = search.lower, search.cut
    gap = upper - lower if upper < np.inf else np.inf
    proven = bool(np.isfinite(gap) and gap <= search.tol * (1 + abs(upper)))
    if lower == np.inf:  # no point keeps the constraints, or fun is defined nowhere
        gap, proven = 0.0, True
    nowhere = np.full(problem.structure.n, np.nan)
    x = problem.structure.unflatten(nowhere) if search.x is None else unflatten(search.x)
    return Certificate(
        lower, upper, float(gap), proven, x, found, Boxes(lo.T.copy(), hi.T.copy(), low.copy()), search.done,
        search.boxes, seconds, message(search, proven, reason, gap, problem.model.narrow), Tested(*search.tested),
        np.stack([problem.low, problem.high]),
    )  # fmt: skip


def message(search: Search, proven: bool, reason: str, gap: float, narrow: bool) -> str:
    """What is proven, in words."""
    rests = RESTS + (NARROW if narrow else "")
    if search.lower == np.inf and search.model.rows is not None:
        return f"infeasible, proven: no point of the box keeps the constraints where fun is defined, {rests}"
    if search.lower == np.inf:
        return f"proven: fun is defined nowhere in the box, {rests}"
    if proven and search.done:
        return f"proven, {rests}"
    if proven:
        return f"the value is proven, {rests}; where else it may be taken is not: {reason}"
    if search.cut == np.inf and search.model.rows is not None:
        share = f"{incumbent.LEAST_VIOLATION:g} of their scales"
        nearly = "" if search.x is None else f", though x does to {share}, with fun = {search.goal:.12g}"
        return f"no point is proven to keep the constraints{nearly}; the lower bound holds, {rests}" + (
            f"; {reason}" if reason else ""
        )
    if search.cut == np.inf:
        return f"at no point that is known fun is proven to be defined; the lower bound holds, {rests}" + (
            f"; {reason}" if reason else ""
        )
    if reason:
        return f"not proven, as {reason}: the bound holds, {rests}, and {gap:.2g} are missing; allow more"
    if gap <= search.slack and search.x is not None:
        with np.errstate(all="ignore"):
            switches = not search.model.value(Interval(search.x[:, None], search.x[:, None])).smooth[0]
        why = "fun may jump at x, where its value is no surer" if switches else "it is the rounding error of fun at x"
        return f"not proven to `tol`: the gap is {gap:.2g}, as {why}; the bound holds, {rests}"
    return f"not proven: boxes of a few roundings have bounds {gap:.2g} below the value; the bound holds, {rests}"
