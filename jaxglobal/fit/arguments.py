"""What the user gives for a fit, checked before anything compiles: data, errors, bounds, guesses, the loss."""

import inspect
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.fit.losses import LOSSES
from jaxglobal.nearest import hint
from jaxglobal.problem import objective
from jaxglobal.problem.bounds import Box, read_bounds
from jaxglobal.problem.closed import Structure, is_traced
from jaxglobal.problem.linear_algebra import own

SYMMETRIC = 1e-4  # correlations that differ by less, as by rounding in float32, are the same


def check_loss(loss: Any, f_scale: Any) -> None:
    """Raises unless these say what a residual costs."""
    if not isinstance(loss, str) or loss not in LOSSES:
        valid = ", ".join(map(repr, LOSSES))
        raise ValueError(f"`loss` must be one of {valid}; got {loss!r}{hint(loss, LOSSES) or '.'}")
    if isinstance(f_scale, bool) or not isinstance(f_scale, int | float | np.number) or not 0 < f_scale < math.inf:
        raise ValueError(f"`f_scale` must be a positive number; got {f_scale!r}.")


def read_parameters(bounds: Any, p0: Any) -> tuple[Structure, Any, Any, bool]:
    """The layout of the parameters, the bounds, and whether the model takes them one by one."""
    structure, lower, upper = read_bounds(bounds, p0, traceable=True)
    return structure, lower, upper, not isinstance(bounds, Box)


def read_guesses(p0: Any, structure: Structure, lower: Any, upper: Any) -> Any:
    """The user's own guesses, (K, n)."""
    try:
        return objective.read_starts(p0, structure, lower, upper, np.zeros((2, structure.n), bool), True)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`x0`", "`p0`")) from None


def names_of(model: Any, structure: Structure, one_by_one: bool) -> list[str]:
    """What the parameters are called: as the model's arguments, or by their paths in the pytree."""
    if not one_by_one:
        filled = jax.tree.unflatten(structure.treedef, [np.empty(shape) for shape in structure.shapes])
        names = []
        for path, leaf in jax.tree_util.tree_flatten_with_path(filled)[0]:
            name = jax.tree_util.keystr(path, simple=True, separator=".")
            inside = [f"[{','.join(map(str, i))}]" for i in np.ndindex(leaf.shape)] if leaf.ndim else [""]
            names += [f"{name or 'p'}{i}" for i in inside]
        return names
    try:
        arguments = list(inspect.signature(model).parameters.values())
    except (TypeError, ValueError):  # some built-in functions have none
        arguments = []
    kinds = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = [argument.name for argument in arguments if argument.kind in kinds][1 : 1 + structure.n]
    return names + [f"p{i}" for i in range(len(names), structure.n)]


def read_y(ydata: Any, dtype: np.dtype) -> Any:
    """The ordinates, (N,)."""
    y = xp_of(ydata).ravel(read_numbers("ydata", ydata, dtype))
    if not len(y):
        raise ValueError("`ydata` must have at least one number; got none.")
    check_finite("ydata", y)
    return y


def read_x(xdata: Any) -> Any:
    """The abscissae: arrays where they are numbers."""

    def as_array(leaf):
        if is_traced(leaf) or isinstance(leaf, jax.Array):
            return leaf
        array = np.asarray(leaf)
        if array.dtype.kind not in "biufc":
            raise TypeError(
                f"`xdata` must be arrays of numbers, or a pytree of them; got {type(leaf).__name__}: "
                "close over anything else in the model."
            )
        return array.astype(jax.dtypes.canonicalize_dtype(array.dtype))

    if isinstance(xdata, list):
        try:
            xdata = np.asarray(xdata)
        except ValueError:
            raise ValueError("`xdata` must be an array, or a tuple of arrays; got lists of several lengths.") from None
    x = jax.tree.map(as_array, xdata)
    for leaf in jax.tree.leaves(x):
        check_finite("xdata", leaf)
    return x


def without_masked(xdata: Any, ydata: Any, sigma: Any) -> tuple[Any, Any, Any]:
    """The data without the points that are masked in x, in y, or in sigma.

    An array belongs to the points if it has the shape of y, or an axis of their number, the first or the last.
    """

    def is_masked(leaf):
        return isinstance(leaf, np.ma.MaskedArray) and bool(np.any(np.ma.getmaskarray(leaf)))

    if not any(map(is_masked, jax.tree.leaves((xdata, ydata, sigma)))):
        return xdata, ydata, sigma
    xdata, ydata = (np.ma.asarray(part) if isinstance(part, list) else part for part in (xdata, ydata))
    shape, N = np.shape(ydata), int(np.size(ydata))

    def by_point(leaf):
        """The array with an axis of points in front, and where that was; None where it has none."""
        if leaf.shape == shape:
            return leaf.reshape(N), 0
        where = [axis for axis in (0, leaf.ndim - 1) if leaf.ndim and leaf.shape[axis] == N]
        return (xp_of(leaf).moveaxis(leaf, where[0], 0), where[0]) if where else (None, 0)

    masked = np.zeros(N, bool)
    for name, part in (("xdata", xdata), ("ydata", ydata), ("sigma", sigma)):
        for leaf in filter(is_masked, jax.tree.leaves(part)):
            mask, _ = by_point(np.ma.getmaskarray(leaf))
            if mask is None:
                raise ValueError(f"`{name}` must be masked by points, of which there are {N}; got shape {leaf.shape}.")
            masked |= np.any(mask.reshape(N, -1), axis=1)

    def keep(leaf):
        leaf = leaf if is_traced(leaf) else np.ma.getdata(leaf)
        points, axis = by_point(leaf)
        return leaf if points is None else xp_of(leaf).moveaxis(points[~masked], 0, axis)

    if np.shape(sigma) == (N, N) and N > 1:
        sigma = keep(keep(sigma).T).T
    elif sigma is not None:
        sigma = keep(sigma)
    return jax.tree.map(keep, xdata), keep(ydata), sigma


def xp_of(leaf: Any) -> Any:
    """The module that computes with an array."""
    return jnp if is_traced(leaf) else np


def read_numbers(name: str, array: Any, dtype: Any) -> Any:
    """An array of real numbers."""
    check_no_complex(name, array)
    try:
        return xp_of(array).array(array, dtype)  # a copy: nobody changes it during the search, or after it
    except (TypeError, ValueError, OverflowError):  # 10**400 is no number of any dtype
        raise TypeError(f"`{name}` must be an array of real numbers; got {type(array).__name__}.") from None


def check_no_complex(name: str, array: Any) -> None:
    """Raises where these are complex numbers."""
    if not hasattr(array, "dtype"):
        if is_traced(array):
            return
        try:
            array = np.asarray(array)
        except (TypeError, ValueError):
            return  # refused when it is read
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        recipe = (
            ": fit real and imaginary parts side by side, np.concatenate([y.real, y.imag]), and let the model return"
        )
        raise TypeError(f"`{name}` must be real; got {array.dtype}{recipe + ' them so' if name == 'ydata' else ''}.")


def check_finite(name: str, array: Any) -> None:
    """Raises where a concrete array has a NaN or an infinity."""
    if not is_traced(array) and not np.all(np.isfinite(array)):
        where = np.argwhere(~np.isfinite(np.asarray(array)))[0]
        raise ValueError(f"`{name}` must be finite; got {np.asarray(array)[tuple(where)]} at index {where.tolist()}.")


def read_sigma(sigma: Any, N: int, dtype: np.dtype) -> tuple[Any, bool]:
    """By what residuals are multiplied, in float64 unless it is traced, and whether that is a matrix.

    sigma: as in SciPy.
    """
    if sigma is None:
        return np.ones((), dtype), False
    sigma = read_numbers("sigma", sigma, dtype if is_traced(sigma) else np.float64)
    check_finite("sigma", sigma)
    if sigma.shape == (N, N) and N > 1:
        if is_traced(sigma):
            return own(_inverse_factor)(sigma), True
        check_symmetric(sigma)
        import scipy.linalg  # takes a while

        return scipy.linalg.solve_triangular(_cholesky(sigma), np.eye(N), lower=True), True
    if sigma.size == 1:
        sigma = sigma.reshape(())
    elif sigma.size == N:
        sigma = sigma.reshape(N)
    else:
        raise ValueError(f"`sigma` must be a number, {N} of them or a ({N}, {N}) matrix; got shape {sigma.shape}.")
    if not is_traced(sigma) and np.any(sigma <= 0):
        raise ValueError(f"`sigma` must be positive; got {np.min(sigma)}.")
    return 1 / sigma, False


def check_symmetric(sigma: np.ndarray) -> None:
    """Raises where a covariance matrix is not symmetric but for rounding."""
    errors = np.sqrt(np.abs(np.diag(sigma)))
    wrong = np.abs(sigma - sigma.T) > SYMMETRIC * errors[:, None] * errors
    if np.any(wrong):
        i, j = map(int, np.argwhere(wrong)[0])
        raise ValueError(
            f"`sigma` must be symmetric where it is a matrix; got {sigma[i, j]} at index [{i}, {j}] and {sigma[j, i]} "
            f"at [{j}, {i}]."
        )


def _inverse_factor(sigma: Any) -> Any:
    """The inverse of the Cholesky factor of a traced matrix."""
    return jax.scipy.linalg.solve_triangular(
        jnp.linalg.cholesky(sigma), jnp.eye(len(sigma), dtype=sigma.dtype), lower=True
    )


def _cholesky(sigma: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise ValueError("`sigma` must be positive definite where it is a matrix.") from None
