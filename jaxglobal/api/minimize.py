"""minimize and levels: what a call asks for, checked and put together before anything compiles.

The loop is in search/loop.py, what its steps are for one problem in search/one.py.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.api import engines
from jaxglobal.engine import devices as hardware
from jaxglobal.engine import processes
from jaxglobal.engine.host import Host
from jaxglobal.evidence import stopping
from jaxglobal.local import methods
from jaxglobal.nearest import helps
from jaxglobal.problem import constraint, objective
from jaxglobal.result import Level, Result
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import progress as display
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.levels import Levels
from jaxglobal.search.one import One
from jaxglobal.starts import adaptive, designs


@helps
def minimize(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
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
    unseen: float | None = None,
    lanes: int | str = "auto",
    devices: Any = None,
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    integrality: Any = None,
    callback: Callable[[Level], Any] | None = None,
    progress: bool | str = "auto",
    checkpoint: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
) -> Result:
    """The global minimum of a JAX function in a box.

    Local searches start from ever finer sets of points, level by level, until the evidence speaks for the best value
    or a limit is reached. A limit never raises and never loses the best point.

    Args:
        fun: fun(x, *args) -> scalar, any JAX function; x is a 1-D array or any pytree of arrays.
        bounds: pairs (low, high), a tuple (lows, highs), a `scipy.optimize.Bounds` or a `jaxglobal.Box` of pytrees.
            Finite; low == high fixes a variable. A `jaxglobal.Choice` in place of a pair: the values of a variable.
        args: further arguments of fun, pytrees of arrays. New values never compile anew.
        x0: your own guess, or several along a leading axis: searched first, with level 0.
        starts: "auto" (`jaxglobal.Adaptive`: a grid, or Sobol points, looked at before it is searched from, and hops
            from what was found), `jaxglobal.Grid()` or `jaxglobal.Sobol()` for a search from every point, or an object
            of your own with their three methods.
        local: `jaxglobal.BFGS(...)`, `jaxglobal.LBFGS(...)` for many variables, `jaxglobal.Optax(...)` for large or
            noisy models; "auto" takes one of the first two by the number of variables.
        same: stop after so many levels in a row with the same best value; None: by the evidence (how long ago and how
            often the best value was found, and a last look at fresh points), which `message` says; with starts that
            do not learn (`Grid()`) after four levels and, of a JAX function, 1,000 evaluations for each of up to two
            variables and four searches that ended there; with `unseen`, not by this rule.
        fatol: two values are the same within fatol + frtol abs(f) (and never closer than a few eps of the dtype). Where
            the evidence is told, tolerances up to the defaults, which know no units, are at most a millionth of what
            values differ by in the box.
        frtol: see fatol.
        max_time: wall-clock seconds from the call, compilation included.
        max_levels: levels; 3 is levels 0, 1, 2.
        max_starts: local searches, those from x0 too.
        max_evals: evaluations (a value with its gradient, or two values alone); exceeded by at most one tick.
        target: stop once a value is at or below it.
        unseen: stop after a level once, with 95 % confidence, at most this share of the box leads to minima not yet
            seen, by the estimate of `Result.unseen`; this needs at least 3 / unseen searches from even starts.
        lanes: local searches side by side on a thread or device, "auto" (from the size and cost of fun, and the memory
            that it takes) or a number.
        devices: the jax devices that search, by default all local ones; on a CPU all cores are used in any case. With
            several processes (see `jaxglobal.processes`), those of each process.
        seed: of starts that are scrambled.
        has_aux: fun returns a pair (value, auxiliary output).
        open: the local searches may leave the box, which then only says where they start: True, a mask of the
            variables, or a `jaxglobal.Box` of two masks, one for each side.
        integrality: which variables are whole numbers: True, or a mask in the structure of x. fun is called at whole
            numbers alone; local searches move the other variables.
        callback: called with each `Level`; raising `StopIteration` in it ends the search. With several processes it is
            called in each, and process 0 decides.
        progress: "auto" (a live bar in a terminal or a notebook), True (also lines in a log), False.
        checkpoint: a file in which the whole state is kept, written about once a second and at the end. The same call
            goes on from it and gives the same answer as one that was not interrupted; `max_time` counts anew.
        constraints: a `jaxglobal.Constraint`, a `scipy.optimize.LinearConstraint` or `NonlinearConstraint` (whose
            functions take x alone), or a list of these. Points that violate one come after all others; `target`, levels
            and `callback` see feasible values alone; without a feasible point, x is where the violation is least, and
            the status INFEASIBLE, or NO_FINITE_VALUE if it is fun that has no value where they are kept.
        ctol: a violation up to this share of a row's own scale counts as none: abs(bound) plus abs(gradient) times the
            width of the box, which no unit changes (and never less than 64 eps of the dtype).

    Where no limit on time, evaluations or the value ended the search, the best few minima are polished by Newton steps,
    as long as that takes at most a tenth of its evaluations. After a search in float32 this is done in float64, at the
    cost of one more trace and one more compilation of fun (kept for later calls; where `max_time` leaves no time for
    it and there is no checkpoint, in float32), and x comes back rounded. A polished point is kept where its value, in
    the precision of the search, is no higher than the one that was found; so fun is the value at x, and not above that
    of any level. But where fun may jump, and no limit on time or evaluations ended the search, it is the value of one
    point alone, as `jax.jit(fun)(x)` has it, even if many at once had a lower one.

    Returns:
        A `Result`: x, fun, jac, success, status, message, levels, the distinct minima and counts.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> def rastrigin(x):
        ...     return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))
        >>> result = jg.minimize(rastrigin, [(-4, 5.12), (-4, 5.12)])
        >>> bool(result.fun < 1e-6), result.status.name
        (True, 'SAME')
    """
    search = levels(**locals())
    with Interrupt():  # between two levels, and while the result is put together
        for _ in search:
            pass
        return search.result


@helps
def levels(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
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
    unseen: float | None = None,
    lanes: int | str = "auto",
    devices: Any = None,
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    integrality: Any = None,
    callback: Callable[[Level], Any] | None = None,
    progress: bool | str = "auto",
    checkpoint: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
) -> "Levels":
    """The search of `minimize` as an iterator of `Level` records; the arguments are those of `minimize`.

    Returns:
        An iterator; its `result` is the `Result` so far, at any time.

    Example:
        >>> import jaxglobal as jg
        >>> search = jg.levels(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)])
        >>> for level in search:
        ...     if level.fun < 1e-6:
        ...         break
        >>> bool(abs(search.result.x[0] - 1) < 1e-6)
        True
    """
    began = time.perf_counter()
    rules = stopping.Rules(same, fatol, frtol, max_time, max_levels, max_starts, max_evals, target, unseen)
    check_callback(callback)
    group, given = processes.group(), hardware.read_devices(devices)
    shown = display.show(progress if group.index == 0 or progress not in (True, "auto") else False)
    objective.refuse_tracing("minimize", "argmin")
    constraint.check_tolerance(ctol)
    host = fun if isinstance(fun, Host) else None
    if host is None:
        problem, guesses, subject = engines.checked(
            fun, bounds, args, x0, open, has_aux, constraints, ctol, integrality
        )
    else:
        problem, guesses, subject = engines.checked_host(
            host, bounds, x0, open, has_aux, constraints, ctol, integrality, group
        )
    if target is not None:  # as the lanes will see it
        with np.errstate(over="ignore"):
            rules = dataclasses.replace(rules, target=float(np.asarray(target, problem.structure.dtype)))
    sequence = (adaptive.read if host is None else adaptive.told)(starts, int(np.sum(problem.free)), seed)
    sequence = designs.of_values(sequence, problem.values)
    search = methods.read(local, problem.structure.n)
    if subject is not None:
        engines.check_constrained(search, group)
    if host is None:
        lockstep, at_once = max_evals is not None, len(guesses)
        opening = engines.compiled(
            fun, args, problem, search, sequence, subject, lanes, shown, given, group, lockstep, at_once
        )
    else:
        opening = engines.by_host(host, args, problem, search, subject, lanes)
    options = (sequence, search.identity, opening.lanes, opening.noise, bool(has_aux), *objective.whole_of(problem))
    options += () if subject is None else (subject.rows.lower, subject.rows.upper, float(ctol))
    box = problem.lower, problem.upper, problem.open, str(problem.structure)
    known = problem.closed if host is None else host
    kept = checkpoints.keep(checkpoint, lambda: known.identity, args, box, guesses, rules, options, group)
    parts = began, problem, guesses, sequence, search, rules, opening, callback, shown, kept, group, subject
    return Levels(One(*parts))


def check_callback(callback: Any) -> None:
    """Raises unless it is a function, or None."""
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function callback(level); got {type(callback).__name__}.")
