"""Variables with a list of values: what the user gives in place of bounds, and how a value becomes an index and back.

The search knows such a variable by the index of its value, a whole number of 0 to one less than there are values
(lattice.py). Only here, and where the layout of x turns a flat array into the user's x (`closed.Structure`), are there
values. They are rounded to the dtype of x once, where the bounds are read, so that every precision sees the same ones.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

CLOSE = float(np.finfo(np.float32).eps)  # so that a value may have come from a search in float32
TAKEN_BY = (
    "minimize, levels, aminimize, alevels, minimize_many, argmin, derivative, Search, certify, curve_fit, "
    "curve_fit_many and plot.slices"
)

Lists = tuple[tuple[float, ...], ...]
"""For each variable its values, () where it has a pair of bounds; () where all have."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """The values that a variable may have, in place of a pair (low, high) in `bounds`.

    The function and the result see the value, and the function is called at these values alone; the search moves
    between neighbours in their order. In a `jaxglobal.Box` it stands on both sides.

    Attributes:
        values: real numbers, kept in ascending order, each once; a single one fixes the variable.
        shape: of an array of variables each of which has one of the values, in a `jaxglobal.Box`.

    Other values compile anew, and so does another number of them.

    Raises:
        TypeError: a value is no real number, or the shape no tuple of whole numbers.
        ValueError: there is no value, or one is not finite.

    Example:
        >>> import jaxglobal as jg
        >>> bounds = [jg.Choice([0.25, 0.5, 1.0]), (-2.0, 2.0)]
        >>> result = jg.minimize(lambda x: (x[0] - 0.6) ** 2 + (x[1] - x[0]) ** 2, bounds)
        >>> float(result.x[0]), bool(abs(result.x[1] - 0.5) < 1e-6)
        (0.5, True)
    """

    values: tuple[float, ...]
    shape: tuple[int, ...] = ()

    def __init__(self, values: Any, shape: Any = ()):
        """See the class."""
        try:
            array = np.asarray(values)
        except (TypeError, ValueError):  # a ragged list, or a traced array
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" and not (array.dtype != object and jnp.issubdtype(array.dtype, jnp.floating)):
            raise TypeError(f"`values` of a Choice must be real numbers; got {str(values)[:80]}.")
        array = np.unique(np.ravel(array).astype(float))
        if not len(array) or not np.all(np.isfinite(array)):
            got = "none" if not len(array) else str(values)[:80]
            raise ValueError(f"`values` of a Choice must be at least one number, all of them finite; got {got}.")
        shape = (shape,) if isinstance(shape, int | np.integer) else shape
        sizes = isinstance(shape, tuple | list) and all(
            isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 0 for size in shape
        )
        if not sizes:
            raise TypeError(f"`shape` of a Choice must be a tuple of whole numbers; got {shape!r}.")
        object.__setattr__(self, "values", tuple((array + 0.0).tolist()))  # 0.0, not -0.0
        object.__setattr__(self, "shape", tuple(int(size) for size in shape))

    def __repr__(self) -> str:
        """As it is written."""
        return f"Choice({list(self.values)}{f', shape={self.shape}' if self.shape else ''})"


def within(bounds: Any) -> bool:
    """Whether there is a Choice somewhere in these bounds."""
    if not isinstance(bounds, list | tuple | Choice):
        return False
    return any(isinstance(leaf, Choice) for leaf in jax.tree.leaves(bounds))


def refuse(bounds: Any) -> None:
    """Raises where there is a Choice in bounds that are to be numbers."""
    if within(bounds):
        raise TypeError(
            "`bounds` must be numbers here: a jaxglobal.Choice stands in place of a pair in a list, or on both sides "
            f"of a Box, and is taken by {TAKEN_BY}."
        )


def indexed(bounds: Any) -> tuple[Any, Lists]:
    """The bounds with those of the index in place of every Choice, and the values of each variable.

    Raises:
        TypeError: a Choice stands where it cannot.
        ValueError: one side of a Box has it and the other has not.
    """
    if not within(bounds):
        return bounds, ()
    if _is_box(bounds):
        return _indexed_box(bounds)
    if not isinstance(bounds, list | tuple) or any(within(pair) and not isinstance(pair, Choice) for pair in bounds):
        refuse(bounds)
    lists, pairs = [], []
    for pair in bounds:
        chosen = isinstance(pair, Choice)
        if chosen and pair.shape:
            raise ValueError(f"`shape` of a Choice must be () in place of a pair of `bounds`; got {pair.shape}.")
        lists.append(pair.values if chosen else ())
        pairs.append((0.0, len(pair.values) - 1.0) if chosen else pair)
    return pairs, tuple(lists)


def _is_box(bounds: Any) -> bool:
    return isinstance(bounds, tuple) and hasattr(bounds, "lower") and hasattr(bounds, "upper")


def _indexed_box(box: Any) -> tuple[Any, Lists]:
    """See `indexed`."""
    known = lambda leaf: isinstance(leaf, Choice)  # noqa: E731
    sides = [jax.tree.flatten(side, is_leaf=known) for side in box]
    (lower, treedef), (upper, other) = sides
    if treedef != other or any((known(a) or known(b)) and a != b for a, b in zip(lower, upper, strict=True)):
        raise ValueError("`bounds` must have the same Choice in `lower` and in `upper` of a Box.")
    default = jax.dtypes.canonicalize_dtype(float)
    dtype = next((leaf.dtype for leaf in lower if isinstance(leaf, np.ndarray | np.generic | jax.Array)), default)
    lists: list[tuple[float, ...]] = []
    for leaf in lower:
        lists += [leaf.values if known(leaf) else ()] * math.prod(leaf.shape if known(leaf) else np.shape(leaf))

    def bound(leaf: Any, last: bool) -> Any:
        if not known(leaf):
            return leaf
        index = len(leaf.values) - 1.0 if last else 0.0
        return np.full(leaf.shape, index, dtype) if leaf.shape else index

    low, high = ([bound(leaf, last) for leaf in side] for side, last in ((lower, False), (upper, True)))
    return type(box)(jax.tree.unflatten(treedef, low), jax.tree.unflatten(treedef, high)), tuple(lists)


def rounded(lists: Lists, dtype: np.dtype) -> Lists:
    """The values as this dtype has them.

    Raises:
        ValueError: two of them are one there, or one is not finite.
    """
    if dtype == np.float64:
        return lists
    told = []
    for values in lists:
        with np.errstate(over="ignore"):
            narrow = np.asarray(values).astype(dtype)
        if not np.all(np.isfinite(narrow)) or len(np.unique(narrow)) < len(values):
            raise ValueError(f"`values` of a Choice must be finite and distinct in {dtype}; got {list(values)}.")
        told.append(tuple(narrow.astype(float).tolist()))
    return tuple(told)


def chosen(lists: Lists, n: int) -> np.ndarray:
    """(n,) Which variables have a list."""
    return np.array([bool(values) for values in lists], bool) if lists else np.zeros(n, bool)


def _table(lists: Lists, dtype: Any) -> np.ndarray:
    """(n, most) The values of each variable, its last one repeated; 0 where it has none."""
    most = max(map(len, lists))
    return np.array([(*values, *[values[-1] if values else 0.0] * (most - len(values))) for values in lists], dtype)


def values(flat: Any, lists: Lists) -> Any:
    """Points with values, (..., n), in place of indices, NaN of NaN; traced, or NumPy arrays."""
    xp: Any = np if isinstance(flat, np.ndarray) else jnp
    table = _table(lists, flat.dtype)
    n, most = table.shape
    at = xp.clip(xp.nan_to_num(xp.rint(flat)), 0, most - 1).astype(np.int32)
    picked = xp.asarray(table)[xp.broadcast_to(xp.arange(n), at.shape), at]
    return xp.where(xp.broadcast_to(chosen(lists, n), at.shape) & ~xp.isnan(flat), picked, flat)


def indices(points: Any, lists: Lists, name: str) -> Any:
    """The inverse of `values`: of the user's own points, (..., n).

    Traced ones take the index of the nearest value.

    Raises:
        ValueError: one is none of the values.
    """
    traced = isinstance(points, Tracer)
    xp: Any = jnp if traced else np
    columns = []
    for i, own in enumerate(lists):
        x = points[..., i]
        if own:
            table = xp.asarray(own, x.dtype)
            at = xp.argmin(xp.abs(x[..., None] - xp.broadcast_to(table, (*x.shape, len(own)))), axis=-1)
            if not traced:
                far = ~(np.abs(x - table[at]) <= CLOSE * np.abs(table[at]))
                if np.any(far):
                    raise ValueError(
                        f"`{name}` must be one of the values {list(own)} at index {i}; got {np.ravel(x[far])[0]}."
                    )
            x = at.astype(x.dtype)
        columns.append(x)
    return xp.stack(columns, axis=-1)
