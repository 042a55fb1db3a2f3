"""Which parameters a model is linear in, and their best values given the others.

y = a exp(-b x) + c is linear in a and c. For given b the best of them is a linear least-squares problem, so that the
search for a global fit has one dimension instead of three: variable projection [GP], here without being told of it. The
linear parameters are found by looking: where the second derivatives of the model vanish, and far moves change it in
proportion.

[GP] G. H. Golub and V. Pereyra, The differentiation of pseudo-inverses and nonlinear least squares problems whose
     variables separate, SIAM J. Numer. Anal. 10 (1973).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.engine import compiling
from jaxglobal.local.levenberg import backward, triangular
from jaxglobal.problem import modes

SHARES = (1.0, 0.5, 0.1)  # of the box from its lower corner: a model may overflow in a part of it
MOST = 32  # parameters: second derivatives of more would cost much
AGREES = 1e3  # eps by which a linear model may miss the model


def linear(
    model: Callable[..., jax.Array], lower: np.ndarray, upper: np.ndarray, *given: Any, kept: dict[Any, Any]
) -> tuple[int, ...]:
    """A largest set of parameters in which the model is linear for any values of the others.

    model: (p, *given) -> (N,), p (n,). kept: where its programs are kept, for other numbers of the same shapes.
    """
    n, width = len(lower), upper - lower
    if n > MOST:
        return ()
    rng = np.random.default_rng(0)
    unit = np.stack([share * rng.uniform(size=n) for share in SHARES])
    far = (unit + rng.uniform(0.25, 0.75, unit.shape)) % 1  # of the box from there, and inside
    # Rounding must not take a point out of the box, where the model may not be defined.
    points, ends = (np.clip(lower + width * share, lower, upper).astype(lower.dtype) for share in (unit, far))

    def each(name: str, run: Callable[..., jax.Array], points: np.ndarray) -> np.ndarray:
        """run(p, *given) at each of the points."""
        if ("look", name) not in kept:
            rows = jax.vmap(run, (0, *[None] * len(given)))
            kept["look", name] = compiling.for_few(rows, points, *given)
        return np.asarray(kept["look", name](points, *given))

    try:
        bends = each("bends", jax.jacfwd(jax.jacfwd(model)), points)
        finite = np.isfinite(bends)
        curved = np.any(finite & (bends != 0), axis=(0, 1)) | ~np.any(finite, axis=(0, 1))
    except modes.FAILURES:  # a rule of the user's allows one derivative only, or reverse mode alone
        try:

            def columns(p, *given):
                return modes.jacobian(lambda p: model(p, *given))(p)

            curved = _curved(functools.partial(each, "columns", columns), points, ends)
        except modes.FAILURES:
            return ()  # no derivative at all, or inside a trace
    candidates = [i for i in range(n) if not curved[i, i] and width[i] > 0]
    chosen: list[int] = []
    for i in sorted(candidates, key=lambda i: (int(np.sum(curved[i, candidates])), i)):
        if not any(curved[i, j] for j in chosen):
            chosen.append(i)
    if not chosen:
        return ()
    values = functools.partial(each, "values", model)
    if not _in_proportion(values, points, ends, chosen):
        chosen = [i for i in chosen if _in_proportion(values, points, ends, [i])]
        chosen = chosen if _in_proportion(values, points, ends, chosen) else []
    return tuple(sorted(chosen))


def _curved(columns: Callable[[np.ndarray], np.ndarray], points: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(n, n) Whether the column of each parameter changes where another moves, or itself."""
    here = columns(points)
    there = np.stack([columns(np.where(one, ends, points)) for one in np.eye(points.shape[1], dtype=bool)])
    finite = np.isfinite(here) & np.isfinite(there)
    with np.errstate(invalid="ignore"):
        changes = np.abs(there - here) > rounding(np.abs(there) + np.abs(here))
    curved = np.any(finite & changes, axis=(1, 2)) | ~np.any(finite, axis=(1, 2))
    return curved | curved.T


def _in_proportion(
    values: Callable[[np.ndarray], np.ndarray], points: np.ndarray, ends: np.ndarray, which: list[int]
) -> bool:
    """Whether far moves of these parameters change the model in proportion: not so for max(x - c, 0)."""
    moved, middle = points.copy(), points.copy()
    moved[:, which] = ends[:, which]
    middle[:, which] = points[:, which] / 2 + ends[:, which] / 2
    here, half, there = np.split(values(np.concatenate([points, middle, moved])), 3)
    finite = np.isfinite(here) & np.isfinite(half) & np.isfinite(there)
    size = np.abs(here) + np.abs(half) + np.abs(there)
    with np.errstate(invalid="ignore"):
        wrong = finite & (np.abs(here + there - 2 * half) > rounding(size))
    return bool(np.any(finite) and not np.any(wrong))


def rounding(size: np.ndarray) -> np.ndarray:
    """What rounding may do to sums of numbers of this size; below the least normal number it takes all digits."""
    number = np.finfo(size.dtype)
    return AGREES * (number.eps * size + number.tiny)


def best_linear(
    columns: jax.Array, r: jax.Array, z: jax.Array, lower: jax.Array, upper: jax.Array, held: bool = False
) -> jax.Array:
    """The linear parameters, (s, L), that minimise |r + columns dz|^2 in the box, from residuals r at z.

    columns: (s, N, L), or (s, N, 1) where lanes share them. Where the free minimum lies outside, parameters are fixed
    at the bounds that they cross, in turn: a feasible point, and nearly always the best. held: whether some may be
    fixed from the first.
    """
    R, q, _ = triangular(columns, r)
    low, high = lower - z, upper - z

    def solve(_, carry):
        move, fixed = carry
        offset = q + jnp.sum(R * jnp.where(fixed, move, 0)[None], axis=1)
        inner, rhs, _ = triangular(jnp.swapaxes(jnp.where(fixed[None], 0, R), 0, 1), offset)
        move = jnp.where(fixed, move, -backward(inner, rhs))
        outside = (move < low) | (move > high)
        return jnp.clip(move, low, high), fixed | outside

    if held:
        start = solve(0, (jnp.zeros_like(z), low == high))
    else:
        free = -backward(R, q)
        start = jnp.clip(free, low, high), (free < low) | (free > high)
    move, _ = lax.fori_loop(1, len(R), solve, start)
    return jnp.clip(z + move, lower, upper)  # a sum that is rounded may lie outside
