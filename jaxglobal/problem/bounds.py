"""Bounds as users give them, checked: the layout of x, and its lower and upper bounds as flat arrays."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxglobal.problem import choice
from jaxglobal.problem.closed import Structure, is_traced


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
            pairs = _plain(np.array([[np.nan if b is None else b for b in pair] for pair in bounds]))
        except (TypeError, ValueError):
            raise ValueError(f"{expected}; got {shortened(bounds)}.") from None
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"{expected}; got {shortened(bounds)}.")
        if not np.can_cast(pairs.dtype, float):
            raise TypeError(f"`bounds` must be real numbers; got {shortened(bounds)}.")
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
            f"[(low, high), ...], or scipy.optimize.Bounds(lows, highs); got {shortened(bounds)}."
        )
    return sides_fit


def numbers_of(sides: tuple[Any, Any]) -> list[Any]:
    """Two sides of real numbers as arrays; None is no number."""

    def as_array(side):
        if is_traced(side):
            return jnp.asarray(side, jax.dtypes.canonicalize_dtype(float))
        array = np.asarray([np.nan if b is None else b for b in side] if isinstance(side, list | tuple) else side)
        array = _plain(array)
        if not np.can_cast(array.dtype, float):
            raise TypeError(f"{array.dtype} is no real number")
        return array.astype(float)

    return [as_array(side) for side in sides]


def _plain(array: np.ndarray) -> np.ndarray:
    """Numbers that NumPy knows as objects alone, such as 10**20 and fractions, as floats."""
    real = array.dtype == object and all(isinstance(number, numbers.Real) for number in array.flat)
    return array.astype(float) if real else array


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


def shortened(value: Any) -> str:
    """What was given, for an error."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."
