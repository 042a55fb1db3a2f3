"""argmin: the global minimiser as a pure function, inside jit, vmap, grad and scan.

The search is the primal of a `custom_jvp` whose rule is the implicit function theorem (implicit.py): one rule for
forward and reverse mode, of any order. Inside it a `custom_vmap` sends a batch to the shared lanes of one program
(traced.py), where plain vmap would run every lane until the slowest problem ends.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap

from jaxglobal.constraints import constrained_function, exact, feasible, lagrangian, saddle
from jaxglobal.constraints.constrained_function import ConstrainedFunction
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.engine import devices
from jaxglobal.engine.host import refuse
from jaxglobal.local import implicit, methods
from jaxglobal.local.descent import Local, Program
from jaxglobal.nearest import helps
from jaxglobal.problem import constraint, lattice, objective
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.objective import Objective
from jaxglobal.search import hopping, traced
from jaxglobal.starts import designs as sequences


class Argmin(NamedTuple):
    """The answer of `argmin`. Under vmap every leaf has a leading axis.

    Attributes:
        x: the minimiser, in the user's structure; differentiable.
        fun: its value; differentiable. NaN where no value was finite.
        status: a `LocalStatus` as a number, of the local search that found it.
        nfev: evaluations of the local searches (a value with its gradient).
        nstarts: local searches.
        aux: the auxiliary output of fun at x, None without `has_aux`; differentiable.
        singular: the Hessian of the free variables is singular, nearly so, or not positive: the derivative of x is the
            least-norm one, or means little. Not looked at for more than 256 variables.
        touching: a variable is about to reach or to leave a bound: the derivative of x is about to jump.
        tied: another search ended elsewhere at the same value: x is about to jump.
        violation: under constraints, the largest violation of one at x, in its own units; 0 without.
        multipliers: of fun + sum of multiplier times constraint, in the structure of the constraints; differentiable.
        active: which constraints are held by a bound, likewise. Where one is violated by more than its tolerance, no
            feasible point was found: fun is NaN, the status INFEASIBLE, and x where the violation is least; the status
            is NONFINITE_VALUE where feasible points were met, and fun had no value at any of them.
    """

    x: Any
    fun: jax.Array
    status: jax.Array
    nfev: jax.Array
    nstarts: int
    aux: Any
    singular: jax.Array
    touching: jax.Array
    tied: jax.Array
    violation: Any = 0.0
    multipliers: Any = None
    active: Any = None


@helps
def argmin(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
    levels: int = 3,
    *,
    x0: Any = None,
    starts: Any = "auto",
    local: Any = "auto",
    lanes: int | str = "auto",
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    integrality: Any = None,
    constraints: Any = None,
    ctol: float = 1e-8,
) -> Argmin:
    """The global minimum of a function in a box, as a pure function of args and bounds.

    As many searches are made as the first `levels` levels have starts, and the best minimiser is polished by Newton
    steps. By default, where these are 64 or more and no constraints or whole numbers are given, later ones begin near
    the best ends of earlier ones, as those of `minimize` do; with `starts` of your own, all are of these levels. Works
    inside jit, vmap (the problems share the lanes of one program), scan, and under grad, jacfwd, jacrev and hessian:
    x and fun are differentiable in args, in the bounds, and in whatever traced values fun closes over. The derivative
    of x comes from the implicit function theorem at the minimiser, a variable at a bound moving with it; that of fun
    from the envelope theorem. They need fun to be twice differentiable.

    Where the minimiser jumps there is no derivative: see `Argmin.tied`, `touching` and `singular`.

    Args:
        fun: fun(x, *args) -> scalar, any JAX function; x is a 1-D array or any pytree of arrays.
        bounds: pairs (low, high), a tuple (lows, highs), a `scipy.optimize.Bounds` or a `jaxglobal.Box` of pytrees; may
            be traced. A traced box that is upside down gives NaN. With a `jaxglobal.Choice`, a traced x0 is moved to
            the nearest values.
        args: further arguments of fun, pytrees of arrays; may be traced.
        levels: levels of starts; 3 is levels 0, 1, 2. At most 2^17 starts.
        x0: your own guess, or several along a leading axis; may be traced.
        starts: as for `minimize`.
        local: as for `minimize`.
        lanes: local searches side by side.
        seed: of starts that are scrambled.
        has_aux: fun returns a pair (value, auxiliary output).
        open: as for `minimize`.
        integrality: as for `minimize`; the derivative is that of the other variables, and bounds must not be traced.
            Up to 256 assignments of whole numbers, each is searched from; of more, those that the levels come to.
        constraints: as for `minimize`; their bounds may be traced, and x, fun and the multipliers are differentiable in
            them, by the KKT system of the active constraints. At most 256 variables and constraints together.
        ctol: as for `minimize`.

    Returns:
        An `Argmin`.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax, jax.numpy as jnp, jaxglobal as jg
        >>> def fun(x, a):
        ...     return jnp.sum((x**2 - a) ** 2 + 0.1 * x)
        >>> best = lambda a: jg.argmin(fun, [(-3, 3)], a).x[0]
        >>> round(float(best(2.0)), 2), round(float(jax.grad(best)(2.0)), 2)
        (-1.42, -0.35)
    """
    refuse(fun)
    constraint.check_tolerance(ctol)
    problem, guesses, rows = check(fun, bounds, args, x0, open, has_aux, integrality, constraints)
    plan = make_plan(problem, len(guesses), levels, starts, local, lanes, seed, rows, ctol)
    box = jnp.stack([problem.lower, problem.upper])
    answer = solver(problem, plan)(box, jnp.asarray(guesses), *problem.leaves)
    nstarts = len(plan.first_step)
    aux = problem.closed.auxiliary(answer.x, problem.leaves) if has_aux else None
    told = {}
    if rows is not None:
        aux = None if aux is None else aux[0]  # the rows come with it
        told = dict(
            violation=answer.violation,
            multipliers=rows.structured(answer.lam),
            active=rows.structured(answer.active),
        )
    return Argmin(
        x=problem.structure.point(answer.x),
        fun=jnp.where(jnp.isfinite(answer.f), answer.f, jnp.nan),
        status=answer.status,
        nfev=answer.nfev,
        nstarts=nstarts,
        aux=aux,
        singular=answer.singular,
        touching=answer.touching,
        tied=answer.tied,
        **told,
    )


def check(
    fun: Callable[..., Any], bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, integrality: Any,
    constraints: Any,
) -> tuple[Objective, Any, Rows | None]:  # fmt: skip
    """The problem, the user's own starts, and the rows, None without; their bounds are then the first two args."""
    if callable(fun) and constraints is not None:
        box, _ = objective.check_box(bounds, x0, open, True, integrality)
        given = objective.read_args(args, True)
        rows = constraint.read(constraints, box.structure, given, traceable=True)
        if rows is not None:
            constraint.check_box(box.open)
            both = constraint.of_bounds(constraint.beside(fun, rows, has_aux))
            given = (rows.lower, rows.upper, *given)
            return *objective.check(both, bounds, given, x0, open, True, True, integrality), rows
    return *objective.check(fun, bounds, args, x0, open, has_aux, True, integrality), None


def make_plan(
    problem: Objective, guesses: int, levels: int, starts: Any, local: Any, lanes: int | str, seed: int,
    rows: Rows | None = None, ctol: float = 0.0,
) -> traced.Plan:  # fmt: skip
    """The starts and the numbers of the program. guesses: how many starts are the user's own."""
    if isinstance(levels, bool) or not isinstance(levels, int | np.integer):
        raise TypeError(f"`levels` must be a whole number; got {levels!r}.")
    if levels < 1:
        raise ValueError(f"`levels` must be at least 1; got {levels}.")
    n, free = problem.structure.n, int(np.sum(problem.free))
    sequence = sequences.of_values(sequences.read(starts, free, seed), problem.values)
    search = methods.read(local, n)
    sizes = sequences.sizes(sequence, free, levels)
    points = np.concatenate([sequence.points(k, 0, size, free) for k, size in enumerate(sizes)])
    points = lattice.completed(points, problem.values)
    unit = np.full((len(points), n), 0.5)
    unit[:, problem.free] = points
    steps = [np.full(size, search.step(sequence.spacing(k, size, free))) for k, size in enumerate(sizes)]
    steps.append(np.full(len(points) - sum(sizes), search.step(sequence.spacing(0, sizes[0], free))))
    first_step = np.concatenate([np.full(guesses, search.step()), *steps])
    value, program, constrained = problem.closed.held, search.program, None
    numbers, dtype = search.numbers(n), problem.structure.dtype
    if rows is not None:
        value, program, constrained = under(problem, search, rows.m, feasible.tolerance(ctol, dtype))
        numbers += 5 * lagrangian.packed_size(n, rows.m)
    width = devices.read_lanes(lanes, numbers, dtype, problem.closed.cost)
    rules = search.rules(problem.structure.dtype, None)
    hops = rows is None and not np.any(problem.whole) and isinstance(starts, str)
    return traced.Plan(
        value,
        program,
        jax.default_backend(),
        unit,
        first_step,
        problem.open,
        rules,
        width,
        problem.closed.jumps,
        problem.whole,
        hopping.plan(sum(sizes), seed) if hops else None,
        constrained,
    )


def under(
    problem: Objective, search: Local, m: int, most: float
) -> tuple[Callable[..., jax.Array], Program, ConstrainedFunction]:
    """What the lanes search under m rows, how, and what becomes of that. most: the violation that counts as none."""
    constrained_function.check(problem.structure.n, m, search, "argmin")
    both = problem.closed.holding(exact.outputs(problem.closed, problem.structure.dtype))
    program: Any = AugmentedLagrangian(search.program, m)  # type: ignore[arg-type]
    lagrange = lagrangian.lagrangian(both, m)
    searched = lambda x, leaves: lagrange(x, [*leaves[:2], *leaves])  # noqa: E731
    return searched, program, ConstrainedFunction(both, m, most, problem.structure.dtype, problem.whole)


def solver(problem: Objective, plan: traced.Plan) -> Callable[..., traced.Answer]:
    """solve(box, guesses, *leaves) -> the answer to one problem, differentiable; compiled once for a plan."""
    arrays = hashlib.sha256(
        b"".join(np.ascontiguousarray(a).tobytes() for a in (plan.unit, plan.first_step, plan.open, plan.whole))
    )
    numbers = tuple(None if rule is None else rule.item() for rule in plan.rules)
    moves = tuple(objective.is_traced(const) for const in problem.closed.constants)
    key = (plan.program, plan.platform, plan.lanes, numbers, arrays.digest(), moves)
    key += () if plan.constrained is None else (plan.constrained.key,)
    key += () if plan.hops is None else (plan.hops.seed, len(plan.hops.cover))
    programs = problem.closed.programs
    if key not in programs:
        safe = functools.partial(problem.closed.safe, held=False)  # it runs when this call is over

        def find(*operands):
            return jax.tree.map(lambda leaf: leaf[0], batched(safe, plan, (False,) * len(operands))(*operands))

        safely = lambda run: safe(run, plan.platform)  # noqa: E731
        if plan.constrained is None:
            programs[key] = jax.jit(implicit.differentiable(plan.value, plan.open, find, safely))
        else:
            programs[key] = jax.jit(saddle.differentiable(plan.constrained.outputs, find, safely))
    return programs[key]


def batched(safe: Callable[..., Any], plan: traced.Plan, own: tuple[bool, ...]) -> Callable[..., traced.Answer]:
    """The search for problems that differ in the operands that `own` names; vmap makes them more problems.

    safe: see `closed.Closed`.
    """

    @custom_vmap
    def solve(*operands):
        return safe(functools.partial(traced.search, plan, own), plan.platform)(*operands)

    @solve.def_vmap
    def rule(size, mapped, *operands):
        (count,) = {leaf.shape[int(new)] for leaf, new, old in zip(operands, mapped, own, strict=True) if old} or {1}
        merged = [
            _merge(leaf, size, count, new, old) if new or old else leaf
            for leaf, new, old in zip(operands, mapped, own, strict=True)
        ]
        either = tuple(new or old for new, old in zip(mapped, own, strict=True))
        answer = batched(safe, plan, either)(*merged)
        split = jax.tree.map(lambda leaf: leaf.reshape(size, count, *leaf.shape[1:]), answer)
        return split, jax.tree.map(lambda _: True, split)

    return solve


def _merge(leaf: jax.Array, size: int, count: int, mapped: bool, own: bool) -> jax.Array:
    """An operand of `count` problems, for each of `size` batches of them, with one axis of size * count problems."""
    leaf = leaf if mapped else leaf[None]
    leaf = leaf if own else leaf[:, None]
    shape = leaf.shape[2:]
    return jnp.broadcast_to(leaf, (size, count, *shape)).reshape(size * count, *shape)
