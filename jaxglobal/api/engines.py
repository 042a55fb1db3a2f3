"""The problem of one search, and the lanes that it gets: of a compiled JAX function, or of one that Python calls."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.constraints import constrained, exact, host_constrained, lagrangian, told
from jaxglobal.constraints.host_constrained import ConstrainedHostLanes
from jaxglobal.constraints.subject import Subject
from jaxglobal.constraints.subject import subject as make_subject
from jaxglobal.engine import devices as hardware
from jaxglobal.engine import looks, opening, processes, sweep
from jaxglobal.engine.compiling import Tier
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes
from jaxglobal.engine.lanes import Lanes
from jaxglobal.engine.opening import Opening
from jaxglobal.engine.precise import traced
from jaxglobal.local.descent import Local
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem import constraint, objective
from jaxglobal.problem.objective import Objective
from jaxglobal.search import progress as display
from jaxglobal.starts.adaptive import Adaptive


def checked(
    fun: Callable[..., Any], bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, constraints: Any, ctol: float,
    integrality: Any = None,
) -> tuple[Objective, np.ndarray, Subject | None]:  # fmt: skip
    """The problem, the user's own starts, and what is searched under constraints, None without."""
    if constraints is None or not callable(fun):
        return *objective.check(fun, bounds, args, x0, open, has_aux, integrality=integrality), None
    box, _ = objective.check_box(bounds, x0, open, integrality=integrality)
    rows = constraint.read(constraints, box.structure, objective.read_args(args))
    if rows is None:
        return *objective.check(fun, bounds, args, x0, open, has_aux, integrality=integrality), None
    if np.any(box.open):
        raise ValueError("`open` must be False under constraints; got a box that the searches may leave.")
    both = constraint.beside(fun, rows, has_aux)
    problem, guesses = objective.check(both, bounds, args, x0, open, True, integrality=integrality)
    precisely = exact.read(both, args, problem, rows.m)
    problem = dataclasses.replace(problem, has_aux=bool(has_aux))
    return problem, guesses, make_subject(rows, ctol, precisely, problem)


def check_constrained(search: Local, group: processes.Alone) -> None:
    """Raises where constraints are not taken yet."""
    if not isinstance(search.program, QuasiNewton):
        raise TypeError("`local` must be a jaxglobal.BFGS or LBFGS under constraints; got a jaxglobal.Optax.")
    if group.count > 1:
        raise ValueError("`constraints` are searched under by one process; got several (see jaxglobal.processes).")


def checked_host(
    host: Host, bounds: Any, x0: Any, open: Any, has_aux: bool, constraints: Any, ctol: float, integrality: Any,
    group: processes.Alone,
) -> tuple[Objective, np.ndarray, Subject | None]:  # fmt: skip
    """The same of a host function."""
    rows = host_constrained.read(constraints, host)
    if group.count > 1:
        raise ValueError("a host function must be searched by one process, whose `executor` can span machines.")
    with jax.enable_x64(True):
        problem, guesses = objective.check_box(bounds, x0, open, integrality=integrality)
    if rows is not None:
        constraint.check_box(problem.open)
    if has_aux:
        raise ValueError("`has_aux` must be False for a host function; got True.")
    return problem, guesses, None if rows is None else told.subject(rows, ctol, problem)


def by_host(
    host: Host, args: Any, problem: Objective, search: Local, subject: Subject | None, lanes: int | str
) -> Opening:  # fmt: skip
    """The lanes of a host function."""
    args, program = args if isinstance(args, tuple) else (args,), search.program

    def open_streams(lanes: int, short: int, tier: Tier) -> Lanes:
        what: Any = host, problem.structure, lambda _: args, lanes, problem.region, program
        return HostLanes(*what) if subject is None else ConstrainedHostLanes(*what, subject=subject)

    return Opening(host.lanes(lanes), open_streams, host.noise)


def compiled(
    fun: Callable[..., Any], args: Any, problem: Objective, search: Local, sequence: Any, subject: Subject | None,
    lanes: int | str, shown: display.Silent, given: list[Any], group: processes.Alone, lockstep: bool, at_once: int,
) -> Opening:  # fmt: skip
    """The lanes of a JAX function, in programs compiled for these devices.

    lockstep: see `Streams`. at_once: the user's own starts.
    """
    n, dtype, cost, platform = problem.structure.n, problem.structure.dtype, problem.closed.cost, given[0].platform
    numbers = search.numbers(n)
    if subject is not None:
        numbers += 5 * lagrangian.packed_size(n, subject.rows.m)
    width, fit = hardware.read_lanes(lanes, numbers, dtype, cost, platform), isinstance(lanes, str)
    needs = opening.Needs(pairs=min(width, looks.PAIRS))
    if isinstance(sequence, Adaptive):
        points = looks.width(width, cost, platform)
        needs = needs._replace(points=points, at_once=at_once, stops=sequence.stop)

    def plain(lanes: int, short: int, tier: Tier) -> Lanes:
        one, fewer = sweep.one_problem(problem), needs.halved(short)._replace(tier=tier)
        compiling = lambda: shown.compiling(lanes)  # noqa: E731
        return opening.open_streams(
            problem.closed, search.program, one, lanes, given, compiling, (), lockstep, group, fit, fewer
        )

    open_streams: Callable[[int, int, Tier], Lanes] = plain
    if subject is not None:
        open_streams = constrained.compiled(problem, search.program, subject, shown, given, group, lockstep, fit, needs)
    narrow = dtype == np.float32 and subject is None  # its last digits come from float64
    precise = traced(fun, args, problem) if narrow else None
    tiers = hardware.tiers(cost, numbers, platform)
    return Opening(width, open_streams, 0.0, precise, platform if fit else "any", tiers)
