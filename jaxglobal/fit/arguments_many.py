"""What the user gives for many fits, checked before anything compiles."""

from typing import Any

import jax
import numpy as np

from jaxglobal.fit import arguments
from jaxglobal.problem import family
from jaxglobal.problem.bounds import Box

UNLIKE = 2.0**10  # times the smallest abscissae, the largest ones may show other parameters to be linear


def refuse_masks(**data: Any) -> None:
    """Raises where points are masked in what all data sets may share."""
    for name, part in data.items():
        if any(np.any(np.ma.getmaskarray(a)) for a in jax.tree.leaves(part) if isinstance(a, np.ma.MaskedArray)):
            raise ValueError(
                f"`{name}` must not have masked points here: mask those of `ydata`, drop points that all data sets "
                "lack, or give each data set to curve_fit."
            )


def check_sets(ydata: Any) -> None:
    """Raises unless these are real numbers, as many in each data set."""
    try:
        np.shape(ydata)
    except ValueError:
        raise ValueError(
            "`ydata` must be an array (data sets, values); got sets of several lengths: mask what the shorter ones "
            "lack, or give each data set to curve_fit."
        ) from None
    arguments.check_no_complex("ydata", ydata)


def read_many(ydata: Any, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """The ordinates, (P, N), zero where they are masked, and where they are not."""
    there = ~np.ma.getmaskarray(ydata) if isinstance(ydata, np.ma.MaskedArray) else np.ones(np.shape(ydata), bool)
    try:
        y = np.array(np.ma.filled(ydata, 0) if isinstance(ydata, np.ma.MaskedArray) else ydata, dtype)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"`ydata` must be an array (data sets, values); got {type(ydata).__name__}.") from None
    if y.ndim != 2 or 0 in y.shape:
        raise ValueError(f"`ydata` must be an array (data sets, values); got shape {y.shape}.")
    arguments.check_finite("ydata", y)
    if not np.all(np.any(there, axis=1)):
        which = int(np.argmin(np.any(there, axis=1)))
        raise ValueError(f"`ydata` must have a point that is not masked in each data set; got none in set {which}.")
    return y, there


def has_axis(x: Any, x_axis: Any, count: int, N: int) -> bool:
    """Whether each data set has abscissae of its own."""
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(x)]
    if x_axis == "auto" and not isinstance(x_axis, bool):
        return bool(shapes) and all(len(shape) > 1 and shape[0] == count for shape in shapes)
    if x_axis is None:
        return False
    if x_axis != 0 or isinstance(x_axis, bool):
        raise ValueError(f'`x_axis` must be "auto", None or 0; got {x_axis!r}.')
    if not shapes or any(shape[:1] != (count,) for shape in shapes):
        raise ValueError(f"`xdata` must have a leading axis of {count} data sets, as `ydata`; got shapes {shapes}.")
    return True


def unlike(x: Any) -> list[int]:
    """The first data set, and those of the smallest and largest abscissae, data sets last, where these differ much.

    exp(-k t) does not depend on k, and so is linear in it, where all k t are large.
    """
    leaves = [np.abs(np.reshape(leaf, (-1, leaf.shape[-1])).astype(float)) for leaf in jax.tree.leaves(x)]
    sizes = [np.max(leaf, axis=0) for leaf in leaves]
    wide = [size for size in sizes if np.max(size) > UNLIKE * np.min(size)]
    return sorted({0, *(int(i) for size in wide for i in (np.argmin(size), np.argmax(size)))})


def read_weights(sigma: Any, count: int, N: int) -> tuple[np.ndarray, bool]:
    """By what residuals are multiplied, in float64, and whether each data set has weights of its own."""
    if sigma is None:
        return np.ones(()), False
    sigma = arguments.read_numbers("sigma", sigma, np.float64)
    if sigma.shape not in ((), (1,), (N,), (count, N)):
        raise ValueError(f"`sigma` must be a number, ({N},) or ({count}, {N}); got shape {sigma.shape}.")
    arguments.check_finite("sigma", sigma)
    if np.any(sigma <= 0):
        raise ValueError(f"`sigma` must be positive; got {np.min(sigma)}.")
    return (1 / sigma.reshape(()) if sigma.size == 1 else 1 / sigma), sigma.shape == (count, N)


def read_box(bounds: Any, bounds_axis: Any, ydata: Any) -> tuple[Any, Any, Any, bool, np.ndarray | None]:
    """The layout of the parameters, the box around all, whether the model takes them singly; the boxes of each, if any.

    The boxes are (P, 2, n), None where the data sets share one.
    """
    if not own_boxes(bounds, bounds_axis, ydata):
        return *arguments.read_parameters(bounds, None), None
    structure, boxes = family.read_boxes(bounds, None, len(ydata) if np.ndim(ydata) else 0, opens=False)
    return structure, np.min(boxes[:, 0], axis=0), np.max(boxes[:, 1], axis=0), not isinstance(bounds, Box), boxes


def own_boxes(bounds: Any, bounds_axis: Any, ydata: Any) -> bool:
    """Whether each data set has bounds of its own."""
    if bounds_axis not in ("auto", None, 0) or isinstance(bounds_axis, bool):
        raise ValueError(f'`bounds_axis` must be "auto", None or 0; got {bounds_axis!r}.')
    return family.differ(bounds, len(ydata) if np.ndim(ydata) else 0) if bounds_axis == "auto" else bounds_axis == 0


def read_guesses(
    p0: Any, structure: Any, lower: Any, upper: Any, count: int, boxes: np.ndarray | None = None
) -> np.ndarray:
    """The user's own starts, (P, K, n), K 0 or 1."""
    if p0 is None:
        return np.zeros((count, 0, structure.n), structure.dtype)
    if boxes is not None:
        try:
            return family.read_guesses(p0, structure, boxes, np.zeros((2, structure.n), bool), count)
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("`x0`", "`p0`").replace("problem", "data set")) from None
    if structure.shapes == ((1,),) and np.shape(p0) == (count,):  # a number for each
        p0 = np.reshape(np.asarray(p0), (count, 1))
    points = arguments.read_guesses(p0, structure, lower, upper)
    if len(points) != count:
        raise ValueError(f"`p0` must have a leading axis of {count} data sets, as `ydata`; got {len(points)}.")
    return points[:, None]
