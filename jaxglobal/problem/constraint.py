"""Constraints: what the user gave, checked, and put beside the objective as rows of one traced function.

A row is one number, lower <= c(x) <= upper; equal bounds make it an equality. All rows are traced together with the
objective, so that what they share is computed once. Their bounds are arguments of the programs: new ones never compile
anew.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.problem.closed import Structure, is_traced
from jaxglobal.problem.untraceable import explained

ACCEPTED = (
    "`constraints` must be a jaxglobal.Constraint, a scipy.optimize.LinearConstraint or NonlinearConstraint, or a list "
    "of these"
)


@dataclasses.dataclass(frozen=True)
class Constraint:
    """lower <= fun(x, *args) <= upper, row by row.

    Attributes:
        fun: fun(x, *args), any JAX function that returns a real number, an array of them, of any shape, or a list of
            such of one shape; x and args are those of the objective. None for a `jaxglobal.host` function, which
            returns a pair (value, constraints).
        lower: the lower bounds, a number or an array that broadcasts to the shape of what fun returns; -inf: none.
        upper: the upper bounds, likewise; +inf: none. Where both are equal, the row is an equality.

    New bounds of the same shape never compile anew.

    Raises:
        TypeError: fun is not a function, or a bound is no real number.
        ValueError: a bound is NaN, or a lower bound above the upper one.

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> disc = jg.Constraint(lambda x: jnp.sum(x**2), upper=1.0)
        >>> result = jg.minimize(lambda x: jnp.sum(x), [(-2, 2)] * 2, constraints=disc)
        >>> bool(abs(result.fun + 2**0.5) < 1e-6), result.success
        (True, True)
    """

    fun: Any
    lower: Any = -math.inf
    upper: Any = math.inf

    def __post_init__(self):
        """Checks what can be checked without x."""
        if self.fun is not None and not callable(self.fun):
            raise TypeError(f"`fun` of a constraint must be a function fun(x, *args); got {type(self.fun).__name__}.")
        for name in ("lower", "upper"):
            side = getattr(self, name)
            if is_traced(side):
                continue
            try:
                array = np.asarray(side)
            except (TypeError, ValueError):
                array = np.asarray(None)
            if array.dtype.kind not in "biuf":
                raise TypeError(f"`{name}` of a constraint must be real numbers; got {type(side).__name__}.")
            if np.any(np.isnan(array)):
                raise ValueError(f"`{name}` of a constraint must be numbers, -inf or inf for none; got NaN.")


class Rows(NamedTuple):
    """The rows of all constraints, one after another.

    Attributes:
        functions: fun(x, *args) of each constraint.
        lower: (m,) lower bounds.
        upper: (m,) upper bounds.
        shapes: of what each constraint returns.
        single: whether the user gave one constraint, not a list.
    """

    functions: tuple[Callable[..., Any], ...]
    lower: Any
    upper: Any
    shapes: tuple[tuple[int, ...], ...]
    single: bool

    @property
    def m(self) -> int:
        """The number of rows."""
        return sum(math.prod(shape) for shape in self.shapes)

    def values(self, x: Any, *args: Any) -> jax.Array:
        """(m,) The rows at x in the user's structure."""
        parts = [jnp.ravel(fun(x, *args)) for fun in self.functions]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def structured(self, flat: np.ndarray) -> Any:
        """Numbers of the rows, (..., m), in the structure of the constraints: an array, or a list of arrays."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        parts = [
            flat[..., end - math.prod(shape) : end].reshape((*flat.shape[:-1], *shape))
            for end, shape in zip(ends, self.shapes, strict=True)
        ]
        return parts[0] if self.single else parts

    def name(self, row: int) -> str:
        """What to call a row in a message."""
        for k, shape in enumerate(self.shapes):
            size = math.prod(shape)
            if row < size:
                place = "" if self.single else f"[{k}]"
                index = "".join(f"[{i}]" for i in np.unravel_index(row, shape)) if shape else ""
                return f"constraints{place}{index}"
            row -= size
        raise IndexError(f"`row` must be below {self.m}; got {row}.")


def beside(fun: Callable[..., Any], rows: Rows, has_aux: bool) -> Callable[..., Any]:
    """fun(x, *args) -> (value, (aux, rows)): the objective and all rows as one; without has_aux, aux is None."""

    def both(x, *args):
        out = fun(x, *args)
        value, aux = out if has_aux and isinstance(out, tuple) and len(out) == 2 else (out, None)
        if has_aux and aux is None and value is out:
            raise TypeError("`fun` must return a pair (value, aux) with has_aux=True.")
        return value, (aux, rows.values(x, *args))

    return both


def of_bounds(both: Callable[..., Any]) -> Callable[..., Any]:
    """both(x, *args) as a function of x, the lower and the upper bounds of the rows, and the args."""
    return lambda x, lower, upper, *args: both(x, *args)


def check_box(is_open: np.ndarray) -> None:
    """Raises for a box that does not go with constraints."""
    if np.any(is_open):
        raise ValueError("`open` must be False under constraints; got a box that the searches may leave.")


def read(
    given: Any, structure: Structure, args: tuple[Any, ...], traceable: bool = False, count: int | None = None
) -> Rows | None:
    """The rows of `constraints=`, for an x of this layout and args of these shapes; None where there is none.

    traceable: whether bounds may be traced. count: of problems, whose bounds may be their own, along a leading axis.

    Raises:
        TypeError: not a constraint, or one whose function is no JAX function of x and these args.
        ValueError: bounds of a wrong shape, or out of order.
    """
    if given is None:
        return None
    single = not isinstance(given, list | tuple)
    parts = [given] if single else list(given)
    if not parts:
        return None
    x = jax.tree.unflatten(structure.treedef, [jax.ShapeDtypeStruct(s, structure.dtype) for s in structure.shapes])
    functions, lowers, uppers, shapes = [], [], [], []
    for k, part in enumerate(parts):
        name = "constraints" if single else f"constraints[{k}]"
        constraint, own = of_scipy(part, name, structure)
        fun = (lambda x, *_, fun=constraint.fun: fun(x)) if own else constraint.fun
        fun, shape = with_shape(fun, x, args, name)
        low, high = (
            spread(side, shape, structure.dtype, f"{which}` of `{name}", traceable, count)
            for side, which in ((constraint.lower, "lower"), (constraint.upper, "upper"))
        )
        if not is_traced((low, high)):
            check_order(low, high, name)
        functions.append(fun)
        lowers.append(low)
        uppers.append(high)
        shapes.append(shape)
    xp: Any = jnp if is_traced((lowers, uppers)) else np
    if count is not None and any(side.ndim > 1 for side in (*lowers, *uppers)):
        lowers, uppers = (
            [np.broadcast_to(part, (count, part.shape[-1])) for part in sides] for sides in (lowers, uppers)
        )
    lower, upper = (xp.concatenate(sides, axis=-1) for sides in (lowers, uppers))
    rows = Rows(tuple(functions), lower, upper, tuple(shapes), single)
    return rows if rows.m else None


def of_scipy(part: Any, name: str, structure: Structure) -> tuple[Constraint, bool]:
    """A constraint, and whether its function takes x alone, as SciPy's do."""
    if isinstance(part, Constraint):
        if part.fun is None:
            raise TypeError(f"`fun` of `{name}` must be a function fun(x, *args), but for a host function; got None.")
        return part, False
    if hasattr(part, "lb") and hasattr(part, "ub"):
        if hasattr(part, "A"):
            A = part.A.toarray() if hasattr(part.A, "toarray") else np.asarray(part.A)
            A = np.atleast_2d(A)
            if A.ndim != 2 or A.shape[1] != structure.n:
                raise ValueError(f"`A` of `{name}` must have {structure.n} columns, one a variable; got {A.shape}.")
            if not np.all(np.isfinite(A)):
                row, column = np.argwhere(~np.isfinite(A))[0]
                raise ValueError(f"`A` of `{name}` must be finite; got {A[row, column]} at index ({row}, {column}).")
            rows = jnp.asarray(A, structure.dtype)
            return Constraint(lambda x: rows @ structure.flatten(x), part.lb, part.ub), True
        if callable(getattr(part, "fun", None)):
            return Constraint(part.fun, part.lb, part.ub), True
    listed = "; a dict of SciPy's older form is not taken" if isinstance(part, dict) else ""
    raise TypeError(f"{ACCEPTED}; got {type(part).__name__} as `{name}`{listed}.")


def with_shape(
    fun: Callable[..., Any], x: Any, args: tuple[Any, ...], name: str
) -> tuple[Callable[..., Any], tuple[int, ...]]:
    """A constraint's function, with an array for a list of numbers, and the shape of what it returns."""

    def now(*args):  # JAX would remember the trace of `fun` itself
        return fun(*args)

    takes, returns = f"x and the {len(args)} further arguments in `args`", "a real floating-point number or array"
    with explained(fun, f"fun` of `{name}", takes, returns, 1 + len(args), host=False):
        out = jax.eval_shape(now, x, *args)
    shapes = {getattr(part, "shape", None) for part in out} if isinstance(out, list | tuple) else set()
    if len(shapes) == 1 and None not in shapes:
        return with_shape(lambda x, *args: jnp.stack([jnp.asarray(part) for part in fun(x, *args)]), x, args, name)
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape is None or dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        got = f"{dtype}" if dtype is not None else type(out).__name__
        raise TypeError(f"`fun` of `{name}` must return {returns}; got {got}.")
    return fun, tuple(shape)


def spread(
    side: Any, shape: tuple[int, ...], dtype: np.dtype, name: str, traceable: bool, count: int | None = None
) -> Any:
    """A side of the bounds for each of the numbers of this shape, flat; of each problem where it has one axis more."""
    if is_traced(side) and not traceable:
        raise TypeError(f"`{name}` must be concrete; got a traced array: call argmin instead.")
    xp: Any = jnp if is_traced(side) else np
    array = xp.asarray(side, dtype)
    if count is not None and array.ndim == len(shape) + 1:
        try:
            return np.broadcast_to(array, (count, *shape)).reshape(count, -1)
        except ValueError:
            raise ValueError(
                f"`{name}` must have {count} problems along its leading axis, each of the shape {shape} of its "
                f"function; got {array.shape}."
            ) from None
    if not shape and array.shape == (1,):  # SciPy's bounds are lists of one for a function that returns a number
        array = array[0]
    try:
        return xp.broadcast_to(array, shape).reshape(-1)
    except ValueError:
        raise ValueError(f"`{name}` must broadcast to the shape {shape} of its function; got {array.shape}.") from None


def check_order(low: np.ndarray, high: np.ndarray, name: str) -> None:
    """Raises unless the bounds, (m,) or (P, m), leave a value to every row."""
    low, high = (np.ravel(side) for side in np.broadcast_arrays(low, high))
    for side, which, wrong in ((low, "lower", np.inf), (high, "upper", -np.inf)):
        if np.any(np.isnan(side)):
            raise ValueError(f"`{which}` of `{name}` must be numbers, -inf or inf for none; got NaN.")
        if np.any(side == wrong):
            i = int(np.argmax(side == wrong))
            raise ValueError(f"`{which}` of `{name}` must leave a value to each row; got {side[i]} at index {i}.")
    if np.any(low > high):
        i = int(np.argmax(low > high))
        raise ValueError(
            f"`upper` of `{name}` must be greater than or equal to `lower`; got lower={low[i]}, upper={high[i]} at "
            f"index {i}."
        )


def check_tolerance(ctol: Any) -> float:
    """The tolerance, if it is one."""
    if isinstance(ctol, bool) or not isinstance(ctol, int | float | np.number):
        raise TypeError(f"`ctol` must be a number; got {ctol!r}.")
    if not 0 < ctol < 1:
        raise ValueError(f"`ctol` must be above 0 and below 1, a share of a row's own scale; got {ctol}.")
    return float(ctol)


def refuse(given: Any, where: str, instead: str) -> None:
    """Raises for constraints that an entry point does not take; better than to ignore them."""
    if given is not None and not (isinstance(given, Sequence) and not len(given)):
        raise TypeError(f"`constraints` are not taken by {where} yet: {instead}.")
