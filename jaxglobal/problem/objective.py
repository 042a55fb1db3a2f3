"""What the user gave, checked, and turned into one function of a flat array in a box.

Everything that can be wrong with the arguments is found here, before anything compiles.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxglobal.problem import choice, keys, lattice
from jaxglobal.problem.closed import NO_FUNCTION, Closed, Structure, close, is_traced
from jaxglobal.problem.region import Region, within


class Box(NamedTuple):
    """Bounds as pytrees of the structure of x.

    Attributes:
        lower: the lower bounds, finite.
        upper: the upper bounds, finite, nowhere less than `lower`; equal bounds fix a variable.

    Example:
        >>> import jax.numpy as jnp
        >>> box = Box({"rate": 0.0, "weights": -jnp.ones(3)}, {"rate": 1.0, "weights": jnp.ones(3)})
    """

    lower: Any
    upper: Any


@dataclasses.dataclass(frozen=True)
class Objective:
    """A checked problem. Bounds are flat arrays of the dtype of x: NumPy arrays unless they are traced.

    Attributes:
        structure: the layout of x.
        lower: (n,) lower bounds of the starts; those of whole numbers half a step below the lowest, see lattice.py.
        upper: (n,) upper bounds of the starts.
        free: (n,) whether a variable may move: not where the bounds are equal. All may where they are traced.
        whole: (n,) whether a variable is a whole number, which local searches hold still.
        open: (2, n) whether local searches may leave the box, below and above.
        args: a pytree of arrays.
        has_aux: whether fun returns a pair (value, auxiliary output).
        closed: the function.
    """

    structure: Structure
    lower: Any
    upper: Any
    free: np.ndarray
    open: np.ndarray
    args: tuple[Any, ...]
    has_aux: bool
    closed: Closed
    whole: np.ndarray

    @property
    def region(self) -> Region:
        """Where the local searches may go."""
        return within(self.lower, self.upper, self.open, self.whole)

    @property
    def moves(self) -> np.ndarray:
        """(n,) Which variables local searches may move."""
        return self.free & ~self.whole

    @functools.cached_property
    def values(self) -> np.ndarray:
        """(m,) How many values each free variable has, 0 where it is continuous."""
        if not np.any(self.whole):
            return np.zeros(int(np.sum(self.free)), np.int64)
        return lattice.values(*self._sides, self.whole[self.free])

    @property
    def leaves(self) -> list[Any]:
        """What the programs take beside x: the leaves of the args, and the arrays that the function closes over."""
        return [*map(keys.numbers, jax.tree.leaves(self.args)), *self.closed.constants]

    def place(self, unit: np.ndarray) -> np.ndarray:
        """Points of the unit box of the free variables, (k, m), as points of the user's box, (k, n)."""
        inside = self._inside(unit)
        if unit.shape[1] == self.structure.n:
            return inside.astype(self.lower.dtype)
        points = np.broadcast_to(self.lower, (len(unit), self.structure.n)).copy()
        points[:, self.free] = inside
        return points

    def _inside(self, unit: np.ndarray) -> np.ndarray:
        """Points of the box of the free variables, (k, m)."""
        low, high = self._sides
        inside = np.clip(low + (high - low) * lattice.snapped(unit, self.values), low, high)
        return lattice.rounded(inside, self.whole[self.free])

    @functools.cached_property
    def _sides(self) -> tuple[Any, Any]:
        """Bounds of the free variables."""
        return self.lower[self.free], self.upper[self.free]


def check(
    fun: Any, bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, traceable: bool = False,
    integrality: Any = None,
) -> tuple[Objective, Any]:  # fmt: skip
    """The checked problem, and the user's own starts as a (k, n) array.

    traceable: whether bounds, args, x0 and what fun closes over may be traced.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong shape or value.
    """
    if not callable(fun):
        raise TypeError(f"`fun` must be a function fun(x, *args); got {type(fun).__name__}.")
    problem, starts = check_box(bounds, x0, open, traceable, integrality)
    args = read_args(args, traceable)
    closed = close(lattice.held(fun, problem.whole, problem.structure), problem.structure, args, bool(has_aux))
    if closed.captured and not traceable:
        raise TypeError("`fun` must not close over a traced array: call argmin instead.")
    return dataclasses.replace(problem, args=args, has_aux=bool(has_aux), closed=closed), starts


def check_box(
    bounds: Any, x0: Any, open: Any, traceable: bool = False, integrality: Any = None, opens: bool = True
) -> tuple[Objective, Any]:
    """A problem without a function, and the user's own starts; see `check`. opens: as in `read_bounds`."""
    structure, lower, upper = read_bounds(bounds, x0, traceable, True, opens)
    whole = lattice.read(integrality, structure)
    if np.any(whole):
        if is_traced((lower, upper)):
            raise TypeError("`bounds` must be concrete where variables are whole or chosen; got traced ones.")
        lower, upper = lattice.widened(lower, upper, whole)
    free = np.ones(structure.n, bool) if is_traced((lower, upper)) else upper > lower
    is_open = read_open(open, structure) & free
    starts = read_starts(x0, structure, lower, upper, is_open, traceable)
    check_whole(whole, is_open, starts)
    return Objective(structure, lower, upper, free, is_open, (), False, NO_FUNCTION, whole), starts


def check_whole(whole: np.ndarray, is_open: np.ndarray, starts: Any) -> None:
    """Raises ValueError where a variable that is whole is open, or has a start between two whole numbers."""
    if np.any(whole & is_open):
        i = int(np.argmax(whole & np.any(is_open, axis=0)))
        raise ValueError(
            "`open` must be False for variables that `integrality` says are whole, or that have a Choice; got True at "
            f"index {i}."
        )
    if np.any(whole) and not is_traced(starts):
        lattice.check_starts(starts, whole)


def read_bounds(
    bounds: Any, x0: Any, traceable: bool = False, choosing: bool = False, opens: bool = False
) -> tuple[Structure, Any, Any]:
    """The layout of x, the lower and the upper bounds, from pairs, (lows, highs), `scipy.optimize.Bounds` or a `Box`.

    Traced bounds, where they are `traceable`, are checked for their shapes alone. choosing: whether there may be a
    `Choice` among them. opens: whether the user has an argument `open`.
    """
    lists: choice.Lists = ()
    if choosing:
        bounds, lists = choice.indexed(bounds)
    lower, upper = read_sides(bounds, x0)
    structure = read_structure(lower, upper, x0, traceable)
    if lists:
        structure = dataclasses.replace(structure, choices=choice.rounded(lists, structure.dtype))
    low, high = structure.flatten(lower), structure.flatten(upper)
    if not is_traced((low, high)):
        check_sides(low, high, opens)
    return structure, low, high


def read_sides(bounds: Any, x0: Any) -> tuple[Any, Any]:
    """The lower and the upper bounds as pytrees of the structure of x."""
    choice.refuse(bounds)
    if isinstance(bounds, Box):
        lower, upper = bounds
    elif hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        lower, upper = np.broadcast_arrays(np.asarray(bounds.lb, float), np.asarray(bounds.ub, float))
        if x0 is not None and lower.size == 1:
            lower, upper = (np.broadcast_to(b, np.shape(x0)[-1:]) for b in (lower, upper))
        lower, upper = _default(np.atleast_1d(lower)), _default(np.atleast_1d(upper))
    elif is_lows_and_highs(bounds):
        xp: Any = jnp if is_traced(bounds) else np
        lower, upper = (xp.asarray(side, jax.dtypes.canonicalize_dtype(float)) for side in numbers_of(bounds))
        lower, upper = xp.broadcast_arrays(lower, upper)
    elif is_traced(bounds):
        pairs = jnp.asarray(bounds, jax.dtypes.canonicalize_dtype(float))
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"`bounds` must be pairs (low, high); got a traced array of shape {pairs.shape}.")
        lower, upper = pairs[:, 0], pairs[:, 1]
    else:
        expected = (
            "`bounds` must be pairs (low, high), two arrays (lows, highs), a scipy.optimize.Bounds or a jaxglobal.Box"
        )
        if isinstance(bounds, str) or not isinstance(bounds, Sequence | np.ndarray | jax.Array):
            raise TypeError(f"{expected}; got {type(bounds).__name__}.")
        try:
            pairs = np.array([[np.nan if b is None else b for b in pair] for pair in bounds])
        except (TypeError, ValueError):
            raise ValueError(f"{expected}; got {_brief(bounds)}.") from None
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"{expected}; got {_brief(bounds)}.")
        if not np.can_cast(pairs.dtype, float):
            raise TypeError(f"`bounds` must be real numbers; got {_brief(bounds)}.")
        lower, upper = _default(pairs[:, 0]), _default(pairs[:, 1])
    return lower, upper


def is_lows_and_highs(bounds: Any) -> bool:
    """Whether bounds are a tuple of all lower and all upper bounds, as SciPy's curve_fit has them.

    A list is one of pairs, and so is a tuple of two tuples of two numbers. Where both sides are lists or arrays of two
    numbers, a reading counts if no bound is upside down and some variable can move.

    Raises:
        ValueError: both readings count.
    """
    if type(bounds) is not tuple or len(bounds) != 2:
        return False
    try:
        sides = numbers_of(bounds)
    except (TypeError, ValueError):
        return False
    shapes = [np.shape(side) for side in sides]
    lengths = [shape for shape in shapes if shape]
    if not lengths or lengths[0] == (0,) or any(len(shape) != 1 or shape != lengths[0] for shape in lengths):
        return False
    if shapes != [(2,), (2,)]:
        return True
    if any(isinstance(side, tuple) for side in bounds):
        return False
    if is_traced(bounds):
        pairs = sides_fit = True
    else:
        table = np.array(sides)
        pairs, sides_fit = (bool(np.all(a <= b) and np.any(a < b)) for a, b in (table.T, table))
    if pairs and sides_fit:
        raise ValueError(
            "`bounds` must say which numbers belong together, as two lists of two read both ways: give a list of pairs "
            f"[(low, high), ...], or scipy.optimize.Bounds(lows, highs); got {_brief(bounds)}."
        )
    return sides_fit


def numbers_of(sides: tuple[Any, Any]) -> list[Any]:
    """Two sides of real numbers as arrays; None is no number."""

    def as_array(side):
        if is_traced(side):
            return jnp.asarray(side, jax.dtypes.canonicalize_dtype(float))
        array = np.asarray([np.nan if b is None else b for b in side] if isinstance(side, list | tuple) else side)
        if not np.can_cast(array.dtype, float):
            raise TypeError(f"{array.dtype} is no real number")
        return array.astype(float)

    return [as_array(side) for side in sides]


def read_structure(lower: Any, upper: Any, x0: Any, traceable: bool) -> Structure:
    """The layout of x that both sides share."""
    leaves, treedef = jax.tree.flatten(lower)
    upper_leaves, upper_treedef = jax.tree.flatten(upper)
    if treedef != upper_treedef:
        raise ValueError(f"`upper` must have the structure of `lower`, {treedef}; got {upper_treedef}.")
    for name, side in (("lower", leaves), ("upper", upper_leaves)):
        for leaf in side:
            check_real(f"`{name}`", leaf, traceable)
    shapes = tuple(np.shape(leaf) for leaf in leaves)
    upper_shapes = tuple(np.shape(leaf) for leaf in upper_leaves)
    if shapes != upper_shapes:
        raise ValueError(f"`upper` must have the shapes of `lower`, {list(shapes)}; got {list(upper_shapes)}.")
    structure = Structure(treedef, shapes, _dtype(leaves + upper_leaves, x0))
    if structure.n == 0:
        raise ValueError("`bounds` must have at least one variable; got none.")
    return structure


def check_sides(low: np.ndarray, high: np.ndarray, opens: bool = False) -> None:
    """Raises unless the bounds, (n,), are finite and in order. opens: as in `read_bounds`."""
    for name, side in (("lower", low), ("upper", high)):
        if not np.all(np.isfinite(side)):
            i = int(np.argmin(np.isfinite(side)))
            leave = "; `open=True` lets the searches leave it" if opens else ""
            raise ValueError(f"`{name}` must be finite (the starts fill the box{leave}); got {side[i]} at index {i}.")
    if np.any(low > high):
        i = int(np.argmax(low > high))
        raise ValueError(
            f"`upper` must be greater than or equal to `lower`; got lower={low[i]}, upper={high[i]} at index {i}."
        )
    if not np.all(np.isfinite(high - low)):
        i = int(np.argmin(np.isfinite(high - low)))
        raise ValueError(f"`upper` - `lower` must not overflow in {low.dtype}; got {low[i]}, {high[i]} at index {i}.")


def read_args(args: Any, traceable: bool = False) -> tuple[Any, ...]:
    """The args as a tuple of pytrees of arrays; a single argument need not be in a tuple, as in SciPy."""
    args = args if isinstance(args, tuple) else (args,)

    def as_array(leaf):
        if isinstance(leaf, Tracer) and not traceable:
            raise TypeError("`args` must be concrete; got a traced array: call minimize outside jit, vmap and grad.")
        try:
            array = jnp.asarray(leaf)
        except (TypeError, ValueError):
            raise TypeError(
                f"`args` must be pytrees of arrays and numbers; got {type(leaf).__name__}: "
                "close over anything else in fun."
            ) from None
        if isinstance(array, Tracer) or keys.is_key(array):
            return array
        # An array that was made in float64 keeps that dtype where JAX has been switched to float32 since.
        dtype = jax.dtypes.canonicalize_dtype(array.dtype)
        return array if array.dtype == dtype else jnp.asarray(np.asarray(array), dtype)

    return jax.tree.map(as_array, args)


def read_open(open: Any, structure: Structure) -> np.ndarray:
    """The masks of open sides, (2, n), from a bool, a mask of the variables or a `Box` of two masks."""
    if isinstance(open, Box):
        return np.stack([read_open(side, structure)[0] for side in open])
    if isinstance(open, bool | np.bool_):
        return np.full((2, structure.n), bool(open))
    leaves, treedef = jax.tree.flatten(open)
    if treedef != structure.treedef and len(structure.shapes) == 1:
        leaves, treedef = [np.asarray(open)], structure.treedef
    shapes = tuple(np.shape(leaf) for leaf in leaves)
    kinds = {np.asarray(leaf).dtype.kind for leaf in leaves}
    if treedef != structure.treedef or shapes != structure.shapes or kinds != {"b"}:
        raise ValueError(
            f"`open` must be True, False, booleans of the structure of x with shapes {list(structure.shapes)}, "
            f"or a Box of two of these; got {_brief(open)}."
        )
    return np.broadcast_to(np.concatenate([np.ravel(leaf) for leaf in leaves]), (2, structure.n))


def read_starts(x0: Any, structure: Structure, lower: Any, upper: Any, is_open: np.ndarray, traceable=False) -> Any:
    """The user's own starts, (k, n), from one point or several along a leading axis of every leaf."""
    if x0 is None:
        return np.zeros((0, structure.n), structure.dtype)
    leaves, treedef = jax.tree.flatten(x0)
    if treedef != structure.treedef and len(structure.shapes) == 1 and isinstance(x0, list | tuple):
        try:
            leaves, treedef = [(jnp if is_traced(x0) else np).array(x0, structure.dtype)], structure.treedef
        except (TypeError, ValueError):
            raise ValueError(f"`x0` must be one point or several of {structure.n} numbers; got {_brief(x0)}.") from None
    if treedef != structure.treedef:
        raise ValueError(f"`x0` must have the structure of the bounds, {structure.treedef}; got {treedef}.")
    for leaf in leaves:
        check_real("`x0`", leaf, traceable, whole=True)
    shapes = tuple(np.shape(leaf) for leaf in leaves)
    if shapes == structure.shapes or (shapes, structure.shapes) == (((),), ((1,),)):
        points = structure.of_point(leaves, name="x0")[None]
    elif (
        len({shape[:1] for shape in shapes}) == 1
        and shapes[0][:1] != (0,)
        and tuple(shape[1:] for shape in shapes) == structure.shapes
    ):
        points = structure.of_point(leaves, 1, "x0")
    else:
        raise ValueError(
            f"`x0` must have shapes {list(structure.shapes)}, or these with a leading axis of several starts; "
            f"got {list(shapes)}."
        )
    if is_traced((points, lower, upper)):
        return points
    wrong = ~np.isfinite(points) | (~is_open[0] & (points < lower)) | (~is_open[1] & (points > upper))
    if np.any(wrong):
        row, i = np.argwhere(wrong)[0]
        raise ValueError(
            f"`x0` must lie inside the bounds; got {points[row, i]} outside [{lower[i]}, {upper[i]}] at index {i}."
        )
    return points


def is_tracing() -> bool:
    """Whether this call is made while JAX traces a function, so that nothing can be run, whatever goes in."""
    return isinstance(jnp.zeros(()), Tracer)


def refuse_tracing(name: str, instead: str) -> None:
    """Raises inside jit and the like, where no search can be run."""
    if is_tracing():
        raise TypeError(
            f"`{name}` must be called outside jit and whatever else JAX traces, as its search runs at once: use "
            f"{instead} inside, or call {name} before and close over its result."
        )


def check_real(name: str, leaf: Any, traceable: bool = False, whole: bool = False) -> None:
    """Raises unless the leaf is a Python number or a real floating-point array, and concrete unless `traceable`.

    whole: whether an array of whole numbers will do.
    """
    if isinstance(leaf, bool) or not isinstance(leaf, int | float | np.ndarray | np.generic | jax.Array):
        raise TypeError(f"{name} must be real floating-point numbers; got {type(leaf).__name__}.")
    if isinstance(leaf, Tracer) and not traceable:
        raise TypeError(
            f"{name} must be concrete numbers; got a traced array: call minimize outside jit, vmap and grad."
        )
    kinds = (jnp.floating, jnp.integer) if whole else (jnp.floating,)
    if not isinstance(leaf, int | float) and not any(jnp.issubdtype(leaf.dtype, kind) for kind in kinds):
        raise TypeError(f"{name} must be real {'' if whole else 'floating-point '}numbers; got {leaf.dtype}.")


def _dtype(leaves: list[Any], x0: Any) -> np.dtype:
    """The dtype of x0 or of the box where these are arrays, else JAX's default float."""
    arrays = [leaf for leaf in [*jax.tree.leaves(x0), *leaves] if isinstance(leaf, np.ndarray | np.generic | jax.Array)]
    arrays = [leaf for leaf in arrays if jnp.issubdtype(leaf.dtype, jnp.floating)]
    default = jax.dtypes.canonicalize_dtype(float)
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(arrays[0].dtype) if arrays else default)
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"`x0` and `bounds` must be float32 or float64; got {dtype}.")
    return dtype


def _default(side: np.ndarray) -> np.ndarray:
    return np.asarray(side, jax.dtypes.canonicalize_dtype(float))


def _brief(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
