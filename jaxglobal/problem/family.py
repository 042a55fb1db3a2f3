"""Many problems of one function, checked: every leaf of the args, and if wanted of the bounds, has an axis of problems.

What `objective.Objective` is for one problem, `Family` is for many; lanes see either as `sweep.Problems`.

Everything that can be wrong with the arguments is found here, before anything compiles.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxglobal.problem import choice, keys, lattice, objective
from jaxglobal.problem.bounds import Box, check_real, check_sides, read_bounds, read_structure
from jaxglobal.problem.closed import NO_FUNCTION, Closed, Structure, close


@dataclasses.dataclass(frozen=True)
class Family:
    """P checked problems.

    Attributes:
        count: P.
        structure: the layout of the x of one problem.
        box: (2, n) bounds that all problems share, or (P, 2, n).
        free: (n,) whether a variable may move in any problem.
        open: (2, n) whether local searches may leave the box.
        guesses: (P, K, n) the user's own starts.
        args: a pytree; every leaf has a leading axis of problems.
        has_aux: whether fun returns a pair (value, auxiliary output).
        closed: the function, for the args of one problem.
        whole: (n,) whether a variable is a whole number, which local searches hold still.
    """

    count: int
    structure: Structure
    box: np.ndarray
    free: np.ndarray
    open: np.ndarray
    guesses: np.ndarray
    args: tuple[Any, ...]
    has_aux: bool
    closed: Closed
    whole: np.ndarray

    @property
    def leaves(self) -> list[Any]:
        """The leaves of the args, each with a leading axis of problems."""
        return [keys.numbers(leaf) for leaf in jax.tree.leaves(self.args)]

    def args_of(self, row: list[Any]) -> tuple[Any, ...]:
        """The args of one problem from its row of every leaf."""
        leaves, treedef = jax.tree.flatten(self.args)
        return jax.tree.unflatten(treedef, [keys.maker(leaf)(part) for leaf, part in zip(leaves, row, strict=True)])

    @property
    def own(self) -> tuple[bool, ...]:
        """Which of the things that the function takes beside x differ: the args do, what it closes over does not."""
        return (True,) * len(self.leaves) + (False,) * len(self.closed.constants)


def check(
    fun: Any, bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, bounds_axis: Any, integrality: Any = None,
    host: bool = False,
) -> Family:  # fmt: skip
    """The checked problems. host: whether Python evaluates the function, in float64.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong shape or value.
    """
    if not callable(fun):
        raise TypeError(f"`fun` must be a function fun(x, *args); got {type(fun).__name__}.")
    if host:
        with jax.enable_x64(True):
            return check_problems(None, bounds, args, x0, open, has_aux, bounds_axis, integrality)
    return check_problems(fun, bounds, args, x0, open, has_aux, bounds_axis, integrality)


def check_problems(
    fun: Any, bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, bounds_axis: Any, integrality: Any = None
) -> Family:
    """See `check`; fun: None where it is not a JAX function."""
    if bounds_axis not in ("auto", None, 0) or isinstance(bounds_axis, bool):
        raise ValueError(f'`bounds_axis` must be "auto", None or 0; got {bounds_axis!r}.')
    args = read_args(args)
    count = count_problems(args)
    if bounds_axis == 0 and choice.within(bounds):
        raise ValueError(
            "`bounds_axis` must be None where there is a Choice in `bounds`, which all problems share; got 0."
        )
    own_bounds = differ(bounds, count) if bounds_axis == "auto" else bounds_axis == 0
    structure, box = read_boxes(bounds, x0, count) if own_bounds else read_box(bounds, x0)
    whole = lattice.read(integrality, structure)
    if np.any(whole):
        box = np.stack(lattice.widened(box[..., 0, :], box[..., 1, :], whole), axis=-2)
    free = np.any(np.reshape(box[..., 1, :] > box[..., 0, :], (-1, structure.n)), axis=0, keepdims=False)
    is_open = objective.read_open(open, structure) & free
    guesses = read_guesses(x0, structure, box, is_open, count)
    objective.check_whole(whole, is_open, guesses)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), args)
    closed = NO_FUNCTION if fun is None else close(lattice.held(fun, whole, structure), structure, one, bool(has_aux))
    closed.refuse_captured("use vmap and argmin instead")
    return Family(count, structure, box, free, is_open, guesses, args, bool(has_aux), closed, whole)


def read_args(args: Any) -> tuple[Any, ...]:
    """The args as a tuple of pytrees of arrays; those that NumPy holds stay there."""
    args = args if isinstance(args, tuple) else (args,)

    def as_array(leaf):
        if objective.is_traced(leaf):
            raise TypeError("`args` must be concrete; got a traced array: use vmap and argmin inside jit and grad.")
        if keys.is_key(leaf):
            return leaf
        array = leaf if isinstance(leaf, jax.Array | np.ndarray) else np.asarray(leaf)
        if array.dtype.kind not in "biufc" and not jax.numpy.issubdtype(array.dtype, jax.numpy.floating):
            raise TypeError(
                f"`args` must be pytrees of arrays and numbers; got {type(leaf).__name__}: "
                "close over anything else in fun."
            )
        return array if isinstance(array, jax.Array) else array.astype(jax.dtypes.canonicalize_dtype(array.dtype))

    return jax.tree.map(as_array, args)


def count_problems(args: Any) -> int:
    """The length of the axis of problems."""
    leaves = jax.tree.leaves(args)
    if not leaves:
        raise ValueError("`args` must have arrays with a leading axis of problems; got none.")
    shapes = [np.shape(leaf) for leaf in leaves]
    if () in shapes:
        raise ValueError("every leaf of `args` must have a leading axis of problems; got a number without an axis.")
    counts = sorted({shape[0] for shape in shapes})
    if len(counts) > 1:
        raise ValueError(f"all leaves of `args` must have the same leading axis, of problems; got lengths {counts}.")
    if counts[0] == 0:
        raise ValueError("`args` must have at least one problem along its leading axis; got none.")
    return counts[0]


def differ(bounds: Any, count: int) -> bool:
    """Whether bounds look like those of each problem: one axis more than needed, of as many problems as the args."""
    if isinstance(bounds, Box):
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(bounds)]
        several = len(shapes) > 2 or any(len(shape) > 1 for shape in shapes)
        return several and all(shape[:1] == (count,) for shape in shapes)
    if hasattr(bounds, "lb"):
        return np.ndim(bounds.lb) > 1
    return is_sides_of_each(bounds, count) or (isinstance(bounds, np.ndarray | jax.Array) and np.ndim(bounds) == 3)


def is_sides_of_each(bounds: Any, count: int) -> bool:
    """Whether bounds are a tuple of two arrays, (P, n): the lower and the upper bounds of each problem.

    Raises:
        ValueError: the arrays could also be those of two problems, of pairs.
    """
    if type(bounds) is not tuple or len(bounds) != 2:
        return False
    shapes = {np.shape(side) if isinstance(side, np.ndarray | jax.Array) else () for side in bounds}
    if len(shapes) > 1 or len(shape := shapes.pop()) != 2 or shape[0] != count:
        return False
    if shape == (2, 2):
        raise ValueError(
            "`bounds` must say which numbers belong together, as two arrays (2, 2) read both ways: give an array "
            "(problems, variables, 2), or scipy.optimize.Bounds(lows, highs)."
        )
    return True


def read_box(bounds: Any, x0: Any) -> tuple[Structure, np.ndarray]:
    """The layout of x and the bounds that all problems share, (2, n)."""

    def of_first(leaf):  # a leaf without the axis is refused when the guesses are read
        return np.asarray(leaf)[0] if np.ndim(leaf) and np.size(leaf) else leaf

    first = None if x0 is None else jax.tree.map(of_first, x0)
    structure, lower, upper = read_bounds(bounds, first, choosing=True, opens=True)
    return structure, np.stack([lower, upper])


def read_boxes(bounds: Any, x0: Any, count: int, opens: bool = True) -> tuple[Structure, np.ndarray]:
    """The layout of x and the bounds of each problem, (P, 2, n). opens: as in `bounds.read_bounds`."""
    choice.refuse(bounds)
    if isinstance(bounds, Box):
        lower, upper = bounds
    elif hasattr(bounds, "lb"):
        lower, upper = np.asarray(bounds.lb), np.asarray(bounds.ub)
    elif is_sides_of_each(bounds, count):
        lower, upper = (np.asarray(side, jax.dtypes.canonicalize_dtype(float)) for side in bounds)
    else:
        pairs: Any = None
        try:
            pairs = np.asarray(bounds)
        except ValueError:  # rows of different lengths
            pairs = np.empty(0)
        if pairs.ndim != 3 or pairs.shape[2] != 2:
            raise ValueError(
                "`bounds` of each problem must be an array (problems, variables, 2), a scipy.optimize.Bounds or a "
                f"jaxglobal.Box with a leading axis; got shape {pairs.shape}."
            )
        lower, upper = pairs[..., 0], pairs[..., 1]
    for name, side in (("lower", lower), ("upper", upper)):
        for leaf in jax.tree.leaves(side):
            if np.shape(leaf)[:1] != (count,):
                raise ValueError(
                    f"`{name}` must have a leading axis of {count} problems, as `args`; got shape {np.shape(leaf)}."
                )
    first_lower, first_upper = (jax.tree.map(lambda leaf: np.asarray(leaf)[0], side) for side in (lower, upper))
    structure = read_structure(first_lower, first_upper, x0, False)
    box = np.stack([structure.flatten(lower, axes=1), structure.flatten(upper, axes=1)], axis=1)
    with np.errstate(invalid="ignore"):
        good = np.all(np.isfinite(box), axis=(1, 2)) & np.all(box[:, 0] <= box[:, 1], axis=1)
        good &= np.all(np.isfinite(box[:, 1] - box[:, 0]), axis=1)
    if not np.all(good):
        check_sides(*box[np.argmin(good)], opens=opens)
    return structure, box


def read_guesses(x0: Any, structure: Structure, box: np.ndarray, is_open: np.ndarray, count: int) -> np.ndarray:
    """The user's own starts, (P, K, n): one or several for each problem."""
    if x0 is None:
        return np.zeros((count, 0, structure.n), structure.dtype)
    leaves, treedef = jax.tree.flatten(x0)
    if treedef != structure.treedef and len(structure.shapes) == 1 and isinstance(x0, list | tuple):
        try:
            leaves, treedef = [np.array(x0, structure.dtype)], structure.treedef
        except (TypeError, ValueError):
            raise ValueError("`x0` must be an array (problems, variables) or (problems, guesses, variables).") from None
    for leaf in leaves:
        check_real("`x0`", leaf, whole=True)
    shapes = [np.shape(leaf) for leaf in leaves]
    if structure.shapes == ((1,),) and shapes == [(count,)]:  # a number for each
        leaves, shapes = [np.asarray(leaves[0])[:, None]], [(count, 1)]
    one = [(count, *shape) for shape in structure.shapes]
    axes = 1 if shapes == one else 2
    several = [(count, *shape[1:2], *inner) for shape, inner in zip(shapes, structure.shapes, strict=False)]
    if treedef != structure.treedef or (axes == 2 and (shapes != several or len({s[1:2] for s in shapes}) > 1)):
        raise ValueError(f"`x0` must have shapes {one}, or these with a second axis of several starts; got {shapes}.")
    points = structure.of_point(leaves, axes, "x0").reshape(count, -1, structure.n)
    lower, upper = box[..., 0, None, :], box[..., 1, None, :]
    wrong = ~np.isfinite(points) | (~is_open[0] & (points < lower)) | (~is_open[1] & (points > upper))
    if np.any(wrong):
        i, k, j = np.argwhere(wrong)[0]
        raise ValueError(f"`x0` must lie inside the bounds; got {points[i, k, j]} at index {j} of problem {i}.")
    return points
