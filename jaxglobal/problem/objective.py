"""What the user gave, checked, and turned into one function of a flat array in a box.

Everything that can be wrong with the arguments is found here, before anything compiles.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxglobal.problem import keys, lattice
from jaxglobal.problem.bounds import Box, check_real, read_bounds, shortened
from jaxglobal.problem.closed import NO_FUNCTION, Closed, Structure, close, is_traced
from jaxglobal.problem.region import Region, within


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
        inside = low + (high - low) * lattice.snapped(unit, self.values)
        return lattice.rounded(np.minimum(np.maximum(inside, low), high), self.whole[self.free])

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
    if not traceable:
        closed.refuse_captured("call argmin instead")
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


def whole_of(problem: Objective) -> tuple[np.ndarray, ...]:
    """Which variables are whole, where any is: the bounds of a checkpoint do not say it."""
    return (problem.whole,) if np.any(problem.whole) else ()


def read_args(args: Any, traceable: bool = False) -> tuple[Any, ...]:
    """The args as a tuple of pytrees of arrays; a single argument need not be in a tuple, as in SciPy."""
    args = args if isinstance(args, tuple) else (args,)

    def as_array(leaf):
        if isinstance(leaf, Tracer) and not traceable:
            raise TypeError("`args` must be concrete; got a traced array: call minimize outside jit, vmap and grad.")
        try:
            array = jnp.asarray(leaf)
        except OverflowError:
            kind = jax.dtypes.canonicalize_dtype(int)
            raise ValueError(f"`args` must be numbers that {kind} holds; got {leaf}: write it as a float.") from None
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
            f"or a Box of two of these; got {shortened(open)}."
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
            raise ValueError(
                f"`x0` must be one point or several of {structure.n} numbers; got {shortened(x0)}."
            ) from None
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


def refuse_tracing(name: str, instead: str | None = None) -> None:
    """Raises inside jit and the like, where no search can be run."""
    if is_tracing():
        use = "" if instead is None else f"use {instead} inside, or "
        raise TypeError(
            f"`{name}` must be called outside jit and whatever else JAX traces, as its search runs at once: {use}"
            f"call {name} before and close over its result."
        )
