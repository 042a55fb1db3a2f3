"""The derivatives of a finished search: no search is made again."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.api.engines import checked
from jaxglobal.constraints import binding
from jaxglobal.constraints.sensitivity import sensitivity
from jaxglobal.engine.host import refuse
from jaxglobal.local import implicit
from jaxglobal.nearest import helps
from jaxglobal.problem import family, keys, objective
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.region import within
from jaxglobal.result import Result
from jaxglobal.results import Results
from jaxglobal.search import polish_many, traced


class Derivative(NamedTuple):
    """How a minimiser and its value move; of many problems, every leaf has a leading axis of these.

    Attributes:
        x: the Jacobian of x with respect to args: the structure of x, each leaf with the structure of args, shapes
            x.shape + arg.shape; None for an arg that is no floating-point number.
        fun: the gradient of the value with respect to args, in their structure.
        x_bounds: the Jacobian of x with respect to the bounds: a `Box` of the lower and the upper ones, as `x`.
        fun_bounds: the gradient of the value with respect to the bounds, a `Box`.
        singular: the Hessian of the free variables is singular, nearly so, or not positive: `x` is the least-norm
            answer, or means little.
        touching: a variable is about to reach or to leave a bound, where `x` jumps.
        tied: another minimiser has the same value: x itself is about to jump.
        x_constraints: the Jacobian of x with respect to the bounds of the constraints: the structure of x, each leaf a
            `Box` of the lower and the upper ones in the structure of the constraints; None without constraints. That of
            an equality is where its multiplier says.
        fun_constraints: the gradient of the value with respect to these, a `Box`: minus the multipliers.
    """

    x: Any
    fun: Any
    x_bounds: Box
    fun_bounds: Box
    singular: Any
    touching: Any
    tied: Any
    x_constraints: Any = None
    fun_constraints: Any = None


@helps
def derivative(
    result: Result | Results,
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
    *,
    has_aux: bool = False,
    open: Any = False,
    integrality: Any = None,
    bounds_axis: Any = "auto",
    constraints: Any = None,
) -> Derivative:
    """The derivatives of the minimiser and of the minimum of a finished search, without searching again.

    The point is polished by Newton steps, and the implicit function theorem gives the rest; fun must be twice
    differentiable. To differentiate through a search, inside a larger program, use `argmin`.

    Args:
        result: what `minimize`, or `minimize_many`, returned.
        fun: the function that was minimised; this and the other arguments as in that call.
        bounds: its bounds.
        args: its further arguments.
        has_aux: fun returns a pair (value, auxiliary output).
        open: which sides of the box were open.
        integrality: which variables were whole numbers; the rows of these are zero.
        bounds_axis: as for `minimize_many`.
        constraints: as for `minimize`; then `singular` also says that gradients of active constraints are dependent,
            and `touching` that a constraint is about to bind, or to let go.

    Returns:
        A `Derivative`.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong shape or value.

    Example:
        >>> import jaxglobal as jg
        >>> def fun(x, a):
        ...     return ((x - a) ** 2).sum() + a
        >>> result = jg.minimize(fun, [(-3, 4)], 2.0)
        >>> d = jg.derivative(result, fun, [(-3, 4)], 2.0)
        >>> round(float(d.x[0][0]), 6), round(float(d.fun[0]), 6)
        (1.0, 1.0)
    """
    if not isinstance(result, Result | Results):
        raise TypeError(f"`result` must be what minimize or minimize_many returned; got {type(result).__name__}.")
    refuse(fun)
    if isinstance(result, Results) and (result.active is not None or constraints is not None):
        raise TypeError(
            "`constraints` of many problems are not taken by derivative yet: differentiate argmin under vmap instead."
        )
    if getattr(result, "active", None) is not None or constraints is not None:
        return under_constraints(result, fun, bounds, args, has_aux, constraints, integrality)
    if isinstance(result, Results):
        several = family.check(fun, bounds, args, None, open, has_aux, bounds_axis, integrality)
        box, leaves, problem = several.box, several.leaves, several
        count, own = several.count, (several.box.ndim == 3, *several.own)
    else:
        problem, _ = objective.check(fun, bounds, args, None, open, has_aux, integrality=integrality)
        box, leaves = np.stack([problem.lower, problem.upper]), [*map(keys.numbers, jax.tree.leaves(problem.args))]
        count, own = None, (False,) * (1 + len(problem.leaves))
    x = read_x(result.x, problem.structure, count)
    programs = problem.closed.programs
    key = ("derivative", problem.open.tobytes(), problem.whole.tobytes(), own)
    if key not in programs:
        one = functools.partial(differentiate, problem.closed.value, problem.open, problem.whole, len(leaves))
        run = one if count is None else functools.partial(for_each, one, own)
        programs[key] = jax.jit(problem.closed.safe(run, jax.default_backend()))
    told = programs[key](x, box, *leaves, *problem.closed.constants)
    (to_box, *to_args), (f_to_box, *f_to_args), singular, touching = told
    structure, treedef = problem.structure, jax.tree.structure(problem.args)
    axes = 0 if count is None else 1

    return Derivative(
        x=rows(structure, to_args, axes, lambda parts: jax.tree.unflatten(treedef, parts)),
        fun=jax.tree.unflatten(treedef, f_to_args),
        x_bounds=rows(structure, [to_box], axes, lambda parts: sides(structure.unflatten, parts[0])),
        fun_bounds=sides(structure.unflatten, f_to_box),
        singular=singular,
        touching=touching,
        tied=result.tied if isinstance(result, Results) else is_tied(result),
    )


def under_constraints(
    result: Any, fun: Callable[..., Any], bounds: Any, args: Any, has_aux: bool, constraints: Any, integrality: Any
) -> Derivative:
    """The derivatives of a search under constraints; see `derivative`."""
    if constraints is None or getattr(result, "active", None) is None:
        which = "has" if constraints is None else "has none of"
        raise ValueError(f"`constraints` must be those of the search; `result` {which} the constraints of its call.")
    if not result.violation < np.inf or not np.isfinite(result.fun):
        raise ValueError("`result` must be a minimum for its derivatives to exist; got none.")
    problem, _, subject = checked(fun, bounds, args, None, False, has_aux, constraints, 1e-8, integrality)
    if subject is None:
        raise ValueError("`constraints` must be those of the search; got none.")
    structure, rows_of = problem.structure, subject.rows
    x = read_x(result.x, structure, None)
    if np.any(problem.whole):
        subject.scale()
    (here,) = binding.measure(subject, x[None])
    if not binding.kept(subject, here):
        raise ValueError("`result` must keep its constraints for its derivatives to exist; got one that does not.")
    active = np.concatenate([np.ravel(part) for part in jax.tree.leaves(here.active)])
    n_args = len(jax.tree.leaves(problem.args))
    told = sensitivity(problem.closed, problem.leaves, n_args, x, active, subject.frame_at(x))
    told.x_box[problem.whole] = 0
    treedef = jax.tree.structure(problem.args)

    return Derivative(
        x=rows(structure, told.x_args, 0, lambda parts: jax.tree.unflatten(treedef, parts)),
        fun=jax.tree.unflatten(treedef, told.f_args),
        x_bounds=rows(structure, [told.x_box], 0, lambda parts: sides(structure.unflatten, parts[0])),
        fun_bounds=sides(structure.unflatten, told.f_box),
        singular=told.singular,
        touching=told.touching,
        tied=is_tied(result),
        x_constraints=rows(structure, [told.x_rows], 0, lambda parts: sides(rows_of.structured, parts[0])),
        fun_constraints=sides(rows_of.structured, told.f_rows),
    )


def differentiate(
    value: Callable[..., jax.Array], open: np.ndarray, whole: np.ndarray, n_args: int, x: jax.Array, box: jax.Array,
    *leaves: jax.Array,
):  # fmt: skip
    """The rows of the Jacobian of x, those of the gradient of the value, and the doubts, for one problem.

    Each list has an entry for the box, (2, n), and for each of the first `n_args` leaves, None where that is no
    floating-point number.
    """
    leaves, constants = leaves[:n_args], leaves[n_args:]
    where = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def polish(box, x, *leaves):
        region = within(box[0], box[1], open, whole)
        polished = implicit.polish(lambda x: value(x, [*leaves, *constants]), x, jnp.zeros((), x.dtype), region)
        return polished._replace(g=None)

    solve = implicit.differentiable(lambda x, leaves: value(x, [*leaves, *constants]), open, polish, lambda run: run)

    def answer(box, real):
        given = list(leaves)
        for i, leaf in zip(where, real, strict=True):
            given[i] = leaf
        found = solve(box, x, *given)
        return (found.x, found.f), found

    (to_x, to_f), found = jax.jacrev(answer, argnums=(0, 1), has_aux=True)(box, [leaves[i] for i in where])

    def spread(jacobian):
        parts: list[Any] = [None] * len(leaves)
        for i, part in zip(where, jacobian[1], strict=True):
            parts[i] = part
        return [jacobian[0], *parts]

    return spread(to_x), spread(to_f), found.singular, found.touching


def for_each(one: Callable[..., Any], own: tuple[bool, ...], x: jax.Array, *operands: jax.Array):
    """`one` for every problem, some at a time."""
    mine = [operand for operand, differs in zip(operands, own, strict=True) if differs]

    def call(case):
        left = iter(case[1:])
        return one(case[0], *(next(left) if differs else op for op, differs in zip(operands, own, strict=True)))

    return lax.map(call, (x, *mine), batch_size=polish_many.POLISHED_AT_ONCE)


def sides(arrange: Callable[[Any], Any], flat: Any) -> Box:
    """The lower and the upper bounds of an array of both, (..., 2, k), each arranged as the user has them."""
    return Box(*(arrange(flat[..., side, :]) for side in range(2)))


def rows(structure: Structure, jacobian: list[Any], axes: int, arrange: Callable[[list[Any]], Any]) -> Any:
    """The rows of a Jacobian, which follow `axes` leading axes, in the structure of x; `arrange` orders the columns."""
    leaves = []
    for part, shape in zip(structure.parts, structure.shapes, strict=True):
        cut = [None if J is None else J[(*[slice(None)] * axes, part)] for J in jacobian]
        whole = [None if J is None else J.reshape(*J.shape[:axes], *shape, *J.shape[axes + 1 :]) for J in cut]
        leaves.append(arrange(whole))
    return jax.tree.unflatten(structure.treedef, leaves)


def read_x(x: Any, structure: Structure, count: int | None) -> np.ndarray:
    """The minimisers, (n,) or (P, n)."""
    lead = () if count is None else (count,)
    shapes, expected = [np.shape(leaf) for leaf in jax.tree.leaves(x)], [(*lead, *s) for s in structure.shapes]
    if jax.tree.structure(x) != structure.treedef or shapes != expected:
        raise ValueError(f"`result` must be that of these bounds and args, x of shapes {expected}; got {shapes}.")
    return structure.of_point(x, len(lead), "result.x")


def is_tied(result: Result) -> bool:
    """Whether a second minimum has the same value."""
    best = result.minima[:2]
    return len(best) == 2 and best[1].fun - result.fun <= traced.SAME * (1 + abs(result.fun))
