"""minimize_many: many problems at once, in shared lanes: what is asked is read here; the search is search/many.py."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.api import minimize
from jaxglobal.constraints import constrained_function, lagrangian, subjects
from jaxglobal.engine import devices as hardware
from jaxglobal.engine import processes
from jaxglobal.engine.host import Host
from jaxglobal.evidence import stopping
from jaxglobal.local import methods
from jaxglobal.nearest import helps
from jaxglobal.problem import constraint, family, lattice, objective
from jaxglobal.problem.closed import NO_FUNCTION, arrays_last
from jaxglobal.problem.family import Family
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.results import Finished, Results
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.many import Many
from jaxglobal.search.many_constrained import Constrained
from jaxglobal.search.many_mixed import CHEAP
from jaxglobal.starts import adaptive, designs
from jaxglobal.starts.adaptive import Adaptive, EasyFirst
from jaxglobal.starts.designs import Starts

FEW = 128  # problems, each of which has what `minimize` would give it
DEAR = 1e8  # multiplications: a tenth of a second


@helps
def minimize_many(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any,
    *,
    x0: Any = None,
    starts: Any = "auto",
    local: Any = "auto",
    same: int | None = None,
    fatol: float = 1e-8,
    frtol: float = 1e-8,
    max_time: float | None = None,
    max_levels: int | None = None,
    max_starts: int | None = None,
    max_evals: int | None = None,
    target: float | None = None,
    lanes: int | str = "auto",
    devices: Any = None,
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    integrality: Any = None,
    bounds_axis: Any = "auto",
    callback: Callable[[Finished], Any] | None = None,
    progress: bool | str = "auto",
    checkpoint: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
    unseen: float | None = None,
) -> Results:
    """The global minima of many problems, which share a function but not their args, in shared lanes.

    Each problem is searched as by `minimize`, with a stopping rule of its own; a problem that has stopped frees its
    lanes for the others.

    Args:
        fun: fun(x, *args) -> scalar, for one problem; a JAX function, or a `jaxglobal.host` one.
        bounds: as for `minimize`, for all problems; or of each problem, with a leading axis (see `bounds_axis`).
        args: further arguments of fun; every leaf has a leading axis of P problems. What all problems share is better
            closed over in fun.
        x0: a guess for each problem, leading axis P, or several, axes (P, K).
        starts: as for `minimize`: by default those of each problem learn from its own finds, which takes Python some 10
            us an evaluation. Of more than 128 problems of a cheap function those are spared it that plain levels settle
            within 20,000 evaluations, the best value being that of a fifth of all searches; unless `same`, `unseen` or
            a limit of each problem is given. A plain sequence, `Grid` or `Sobol`, never learns.
        local: as for `minimize`.
        same: as for `minimize`, for each problem; the evidence is looked at where starts learn, else it is four levels
            and what else `minimize` asks of starts that do not (of more than about two million numbers in all points,
            where few minima of each problem are kept, not the four searches), and with whole numbers as many levels as
            come to each assignment (of more than 4,096, to 10,000 evaluations for each of these variables).
        fatol: as for `minimize`.
        frtol: as for `minimize`.
        max_time: wall-clock seconds for all problems together.
        max_levels: levels of each problem.
        max_starts: local searches of each problem.
        max_evals: evaluations of each problem, exceeded by at most one of each of its searches at work. The polish of
            the best point is not counted. Which searches have been made by then depends on what shares the lanes.
        target: a problem ends as soon as it has found a value at or below it.
        lanes: as for `minimize`.
        devices: as for `minimize`.
        seed: of starts that are scrambled.
        has_aux: fun returns a pair (value, auxiliary output).
        open: as for `minimize`, for all problems.
        integrality: as for `minimize`, for all problems.
        bounds_axis: 0 where the bounds have a leading axis of problems: an array (P, n, 2), a `Bounds` or a
            `jaxglobal.Box` whose leaves have it; None where they do not. "auto" sees it by their shapes.
        callback: callback(finished) is called as problems end, with a `Finished`; raises StopIteration to stop.
        progress: as for `minimize`; shows the problems that are done.
        checkpoint: as for `minimize`, for one process, and without constraints.
        constraints: as for `minimize`, functions of the args of one problem. Bounds of a `jaxglobal.Constraint` with
            one axis more than what its function returns are those of each problem, along a leading axis of P. What
            finishes a search counts as evaluations too, beyond `max_evals`. At most 256 variables and constraints, and
            none beside a host function, which `minimize` searches under them.
        ctol: as for `minimize`.
        unseen: as for `minimize`, for each problem, of which up to 1,024 minima are kept, fewer where there are many
            problems; one that has more ends by the evidence, with `Status.FULL`.

    Returns:
        A `Results`: every array has a leading axis of problems.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> def fun(x, a):
        ...     return jnp.sum((x**2 - a) ** 2 + 0.1 * x)
        >>> results = jg.minimize_many(fun, [(-3, 3)], jnp.array([1.0, 2.0, 3.0]))
        >>> [round(float(x), 2) for x in results.x[:, 0]], bool(results.success.all())
        ([-1.01, -1.42, -1.74], True)
    """
    began = time.perf_counter()
    rules = stopping.Rules(same, fatol, frtol, max_time, max_levels, max_starts, max_evals, target, unseen)
    group, given = processes.group(), hardware.read_devices(devices)
    shown = display.show(progress if group.index == 0 or progress not in (True, "auto") else False)
    minimize.check_callback(callback)
    objective.refuse_tracing("minimize_many", "vmap and argmin")
    constraint.check_tolerance(ctol)
    given_args = fun, bounds, args, x0, open, has_aux, bounds_axis, integrality
    under, host = None, fun if isinstance(fun, Host) else None
    if host is not None:
        constraint.refuse(constraints, "minimize_many of a host function", "call minimize for each of its problems")
    elif callable(fun) and constraints is not None:
        under = subjects.read(*given_args, constraints, ctol)
    problems = family.check(*given_args, host=host is not None) if under is None else under[0]
    structure = problems.structure
    search = methods.read(local, structure.n)
    sequence = read_starts(starts, problems, seed, rules if under is None else None)
    if host is not None and has_aux:
        raise ValueError("`has_aux` must be False for a host function; got True.")
    if host is not None and group.count > 1:
        raise ValueError("a host function must be searched by one process, whose `executor` can span machines.")
    if under is not None:
        constrained_function.check(structure.n, under[1].constrained.m, search, "minimize_many")
        if not isinstance(sequence, Adaptive | EasyFirst):
            starts_of_each = sum(sequence.size(level, int(np.sum(problems.free))) for level in range(stopping.LEVELS))
            under = problems, dataclasses.replace(under[1], together=problems.count * starts_of_each)
        if group.count > 1:
            raise ValueError("`constraints` are searched under by one process; got several (see jaxglobal.processes).")
    numbers, cost, platform = search.numbers(structure.n), problems.closed.cost, given[0].platform
    numbers += 0 if under is None else 5 * lagrangian.packed_size(structure.n, under[1].constrained.m)
    width = host.lanes(lanes) if host else hardware.read_lanes(lanes, numbers, structure.dtype, cost, platform)
    if checkpoint is not None and group.count > 1:
        raise ValueError("`checkpoint` must be None for many problems in several processes (see jaxglobal.processes).")
    if checkpoint is not None and under is not None:
        raise ValueError("`checkpoint` must be None for many problems under constraints; minimize keeps one.")
    known = host if host is not None else problems.closed
    box = problems.box, problems.open, str(structure)
    options = search.identity, sequence, width, bool(has_aux)
    kept = checkpoints.keep(
        checkpoint, lambda: known.identity, problems.args, box, problems.guesses, rules, options, group
    )
    what = began, problems, sequence, search, rules, width, shown, host, given, group, isinstance(lanes, str)
    run = Many(*what, callback, kept) if under is None else Constrained(*what, callback, kept, under[1])
    with Interrupt(), one_thread(), arrays_last():  # while the results are put together, too
        try:
            run.search()
        finally:
            shown.close()
        return run.results()


def read_starts(given: Any, problems: Family, seed: int, rules: stopping.Rules | None) -> Starts | EasyFirst:
    """The sequence for `starts=`: by default one that learns, after plain ones for many cheap problems.

    A point, which has no start to learn, has a plain one. rules: None under constraints.
    """
    n, closed = int(np.sum(problems.free)), problems.closed
    if n > 0 and isinstance(given, Adaptive | str):
        sequence = (adaptive.told if closed is NO_FUNCTION else adaptive.read)(given, n, seed)
        cheap = closed is not NO_FUNCTION and problems.count > FEW and closed.cost * CHEAP <= DEAR
        easy = isinstance(given, str) and cheap and rules is not None and rules.by_evidence
        if easy and isinstance(sequence, Adaptive) and not np.any(problems.whole):
            return EasyFirst(sequence, designs.affordable(n, seed))
        return sequence
    sequence = designs.read(given.cover if isinstance(given, Adaptive) else given, n, seed)
    values = np.atleast_2d(lattice.values(problems.box[..., 0, :], problems.box[..., 1, :], problems.whole))
    return designs.of_values(sequence, np.max(values, axis=0)[problems.free])
