"""profile: profile likelihoods of a fit or of a negative log-likelihood, re-optimised globally at every point."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxglobal.fit import regression
from jaxglobal.fit.fitted import Fit
from jaxglobal.nearest import helps
from jaxglobal.problem import objective
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.profiles import checks, contours
from jaxglobal.profiles import line as lines
from jaxglobal.profiles.fit_points import FitPoints, FunctionOfFit
from jaxglobal.profiles.function_points import FunctionPoints
from jaxglobal.profiles.line import Line
from jaxglobal.profiles.records import Contour, Curve, Profile
from jaxglobal.profiles.study import MINIMA, Study
from jaxglobal.profiles.thresholds import Rule
from jaxglobal.result import Result
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt


@helps
@regression.broadcasts
def profile(
    fit: Fit | Result,
    fun: Callable[..., Any] | None = None,
    bounds: Any = None,
    args: Any = (),
    *,
    confidence: float = 0.95,
    parameters: Any = None,
    pairs: Sequence[Any] = (),
    of: Callable[..., Any] | None = None,
    progress: bool | str = "auto",
) -> Profile:
    """Profile likelihoods: how sure each parameter is, where there may be several minima.

    At every point of a profile one parameter is held and all others are searched for anew, from starts of their own and
    from the points beside it. So a confidence set may consist of several intervals, and a minimum that is lower than
    that of the fit is found, said, and taken.

    Args:
        fit: what `curve_fit` returned (a JAX model, loss "linear"), or a `Result` of a negative log-likelihood.
        fun: with a `Result`, the negative log-likelihood fun(x, *args) that was minimised, without a factor.
        bounds: with a `Result`, its bounds.
        args: with a `Result`, its further arguments.
        confidence: of the intervals, and of the contours.
        parameters: which ones, by their names or numbers; None takes all. Of pytrees, numbers count their elements.
        pairs: pairs of parameters, for the confidence sets of two together.
        of: a scalar function of the parameters, g(popt), or with a `Result` g(x, *args): its profile instead, for a
            prediction, a ratio, a half-life. It must be finite at the best point, and may range over any magnitudes.
        progress: as for `minimize`.

    Returns:
        A `Profile`: a `Curve` for each parameter, with `intervals`, each end found to 1e-4 of its width.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, numpy as np, jaxglobal as jg
        >>> def line(t, a, b):
        ...     return a + b * t
        >>> t = np.linspace(0, 1, 9)
        >>> fit = jg.curve_fit(line, t, 2 + t + 0.1 * np.cos(9 * t), [(-9, 9), (-9, 9)])
        >>> ((low, high),) = jg.profile(fit)["b"].intervals
        >>> bool(abs((high - low) / (2 * fit.perr[1]) - 2.3646) < 1e-3)  # of a straight line, Student's t
        True
    """
    began = time.perf_counter()
    checks.check_confidence(confidence)
    objective.refuse_tracing("profile", "the derivatives of the fit")
    shown = display.show(progress)
    if isinstance(fit, Fit):
        structure, names = checks.check_fit(fit, fun, bounds, args), fit.names
        box = np.stack([np.asarray(fit._regression.lower, float), np.asarray(fit._regression.upper, float)])
        x, known = fit.popt, [m.popt for m in fit.fits]
        rule = Rule("chi squared" if fit._errors.known else "F", confidence, fit.dof)
    elif isinstance(fit, Result):
        structure, box, args = checks.check_result(fit, fun, bounds, args)
        names = checks.names_of(structure, not isinstance(bounds, Box))
        x, known = fit.x, [m.x for m in fit.minima]
        rule = Rule("likelihood", confidence, 0)
    else:
        raise TypeError(f"`fit` must be what curve_fit or minimize returned; got {type(fit).__name__}.")
    which = checks.read_parameters("parameters", range(len(names)) if parameters is None else parameters, names)
    twos = [checks.read_pair(pair, names, box) for pair in pairs]
    if of is not None and (not callable(of) or twos or parameters is not None):
        raise ValueError("`of` must be a function of the parameters, without `parameters` and `pairs`.")
    flat = structure.flatten(x).astype(float)
    others = [structure.flatten(m).astype(float) for m in known]
    minima = np.array([flat, *(other for other in others if np.any(other != flat))])
    with Interrupt() as interrupt, one_thread():
        if isinstance(fit, Fit):
            points = FitPoints(fit, interrupt, shown) if of is None else FunctionOfFit(fit, of, interrupt, shown)
        else:
            points = FunctionPoints(fun, structure, box, args, flat, of, interrupt)  # type: ignore[arg-type]
        try:
            costs = points.costs(minima)
            given = float(costs[0])
            if isinstance(fit, Result):
                checks.check_value(given, float(fit.fun), x)

            def study(index: list[int], held: int = 1) -> Study:
                inside = np.argsort(costs, kind="stable")[:MINIMA]
                inside = inside[costs[inside] <= given + max(rule.rise(given, held), points.floor)]
                made = [new_line(points, i, box, len(flat)) for i in index]
                one = Study(points, rule, made, flat, given, minima[inside], costs[inside], given, held)
                one.run()
                return one

            free = [i for i in which if box[1, i] > box[0, i]]
            single = study(free if of is None else [-1]) if free or of is not None else None
            both = study(sorted({i for two in twos for i in two}), 2) if twos else None
            drawn = {} if both is None else {two: draw(both, two, names, structure) for two in twos}
        finally:
            shown.close()
    found = [one for one in (single, both) if one is not None]
    best = min(found, key=lambda one: one.fun, default=None)
    labels = [names[i] for i in which] if of is None else [name_of(of)]
    at = [-1] if of is not None else which
    curves = [
        curve(single, i, name, structure)
        if single is not None and (i < 0 or i in free)
        else fixed(i, name, flat, given)
        for i, name in zip(at, labels, strict=True)
    ]
    lower = best is not None and best.lower
    done = all(one.done for one in found) and not interrupt.asked
    message = told(curves, lower, interrupt.asked, given, best, rule)
    if not done and not interrupt.asked:
        message = f"not all ends were found to 1e-4 of the width; {message}".rstrip("; ")
    return Profile(
        curves=curves,
        contours=[drawn[two] for two in twos],
        best=structure.unflatten((flat if best is None else best.x).astype(structure.dtype)),
        fun=given if best is None else best.fun,
        lower=lower,
        confidence=confidence,
        success=not lower and done,
        message=message,
        searches=points.searches,
        time=time.perf_counter() - began,
        _rule=rule,
        _layout=(None, []) if of is not None else (structure, which),
    )


def name_of(function: Any) -> str:
    """What it is called."""
    name = getattr(function, "__name__", "of")
    return "of" if name == "<lambda>" else name


def new_line(points: Any, index: int, box: np.ndarray, n: int) -> Line:
    """A profile without points."""
    low, high = box[:, index] if index >= 0 else (points.held.low, points.held.high)
    none = np.zeros(0)
    return Line(index, float(low), float(high), none, none, none, np.zeros((0, n)))


def curve(study: Study, index: int, name: str, structure: Structure) -> Curve:
    """The record of a profile."""
    line = next(line for line in study.lines if line.index == index)
    z, v, held = study.heights(line), line.v, study.points.held if index < 0 else None
    back = (lambda v: v) if held is None else held.back
    intervals, at_bound = [], []
    for first, last in lines.runs(z <= 1):
        sides = [(first, first - 1), (last, last + 1)]
        inner = [0 <= b < len(v) for _, b in sides]
        low, high = (
            lines.crossing(v, z, a, b)[0] if there else v[a] for (a, b), there in zip(sides, inner, strict=True)
        )
        intervals.append((float(back(low)), float(back(high))))
        at_bound.append((not inner[0] and line.reached[0], not inner[1] and line.reached[1]))
    best = float(study.points.values(index, study.x[None])[0])
    error = float(study.points.reach(study.x[None])[0, max(index, 0)]) * study.rule.unit(study.fun) ** 0.5
    error = error if held is None else error * held.per_unit(best)
    return Curve(
        name=name,
        values=back(v),
        fun=line.f,
        x=structure.unflatten(line.x.astype(structure.dtype)),
        threshold=study.fun + study.rise,
        intervals=intervals,
        at_bound=at_bound,
        best=float(back(best)),
        error=error if error > 0 else np.inf,
        unit=study.rule.unit(study.fun),
        fixed=False,
    )


def fixed(index: int, name: str, flat: np.ndarray, fun: float) -> Curve:
    """The record of a parameter that the box fixes."""
    value = float(flat[index])
    return Curve(name, flat[index : index + 1], np.array([fun]), flat[None], np.inf, [(value, value)],
                 [(True, True)], value, 0.0, 0.0, True)  # fmt: skip


def draw(study: Study, two: tuple[int, int], names: list[str], structure: Structure) -> Contour:
    """The record of a pair."""
    first, second = (next(line for line in study.lines if line.index == i) for i in two)
    a, b, f, x = contours.contour(study, first, second)
    best = float(study.x[two[0]]), float(study.x[two[1]])
    x = structure.unflatten(x.astype(structure.dtype))
    return Contour((names[two[0]], names[two[1]]), (a, b), f, x, study.fun + study.rise, best)


def told(curves: list[Curve], lower: bool, asked: bool, given: float, best: Study | None, rule: Rule) -> str:
    """What to know of the intervals, in words."""
    said = []
    if lower and best is not None:
        said.append(f"a minimum was found that is lower than that of the fit ({best.fun:.8g}, not {given:.8g})")
    if rule.kind == "F" and rule.dof <= 0:
        said.append("there are no more data than parameters, and the size of their errors is unknown")
    elif rule.kind == "F" and best is not None and best.fun <= best.points.floor:
        said.append("the model fits the data exactly: the sets are where its cost is rounding error")
    if asked:  # what is missing may have closed a set, or a gap
        return "; ".join(["interrupted from the keyboard: points are missing", *said])
    open_ = [curve.name for curve in curves if curve.undetermined]
    if open_:
        said.append(f"not determined within the box: {', '.join(open_)}")
    ends = [c.name for c in curves if not c.fixed and not c.undetermined and np.any(c.at_bound)]
    if ends:
        said.append(f"a bound of the box is reached (*): {', '.join(ends)}")
    several = [curve.name for curve in curves if len(curve.intervals) > 1]
    if several:
        said.append(f"several intervals: {', '.join(several)}")
    return "; ".join(said)
