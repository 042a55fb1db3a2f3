"""Levenberg-Marquardt in a box, as a state machine that advances by one evaluation, for many fits side by side.

`advance(state, seen, region, rules)` takes the residuals and the Jacobian at `state.trial`. Lanes come last: parameters
are (n, L), residuals (N, L), columns of a Jacobian (n, N, L), so that sums over the data are vectorised over the lanes.

[M]  J. J. More, The Levenberg-Marquardt algorithm: implementation and theory (1978).
[N]  H. B. Nielsen, Damping parameter in Marquardt's method (1999).
[B]  A. Bjorck, Numerical methods for least squares problems (1996), section 2.4.
[BW] D. M. Bates and D. G. Watts, A relative offset orthogonality convergence criterion, Technometrics 23 (1981).

Differs from [M]:
1. The damping follows [N]; the scaling by the largest norm of each column so far is that of [M] 6.3.
2. Steps come from the triangular factor of J alone, by modified Gram-Schmidt with the residuals as a further column,
   which is as stable as Householder's, [B]; J'J, which squares the condition, is never formed.
3. A parameter that would leave the box goes most of the way to the bound and arrives there only from close by: one that
   is thrown onto a bound (an amplitude onto zero) would hide all that depends on it. The others take the step that is
   best beside it. At the bound it is fixed while the gradient pushes outward.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxglobal.local.descent import outward
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

ACCEPTED = 1e-4  # share of the promised decrease that makes a step, as in [M]
FIRST_DAMPING = 1e-3  # [N], tau
MOST_DAMPING = 1e20
TOWARDS = 0.9  # of the way to a bound that a step would cross
CLOSE = 1e-9  # of the box: so near a bound a step arrives
ROUNDING = 4.0  # error of a residual, in eps of the data
DEPENDENT = 4.0  # a column of so many n eps of its size, after those before it are taken out, depends on them
UNROLLED = 3  # columns


class Rules(NamedTuple):
    """When a search ends."""

    tol: Any
    """Converged when the tangent plane promises to lower the norm of the residuals by less than this, [BW]."""
    floor: Any
    """(L,) or () A cost at or below this is rounding error."""
    max_nfev: Any
    """Evaluations."""


class Seen(NamedTuple):
    """What an evaluation shows."""

    p: jax.Array
    """(n, L) Where: `trial`, or a better point that was found beside it."""
    f: jax.Array
    """(L,) The cost."""
    columns: jax.Array
    """(n, N, L) The Jacobian, weighted."""
    r: jax.Array
    """(N, L) The residuals, weighted."""


class State(NamedTuple):
    """Searches between two evaluations."""

    trial: jax.Array
    """(n, L) The points to evaluate next."""
    p: jax.Array
    """(n, L) The best points."""
    f: jax.Array
    """(L,) Their cost."""
    R: jax.Array
    """(n, n, L) Triangular factor of the Jacobian there, zero in the columns of fixed parameters."""
    q: jax.Array
    """(n, L) Q'r."""
    scale: jax.Array
    """(n, L) The largest norm of each column so far."""
    damping: jax.Array
    """(L,)"""
    growth: jax.Array
    """(L,) By how much the next rejection raises the damping."""
    promised: jax.Array
    """(L,) The decrease that the linear model promises at `trial`."""
    nfev: jax.Array
    """(L,)"""
    status: jax.Array
    """(L,) A `LocalStatus`."""


def begin(p: Any, xp: Any = jnp) -> State:
    """Searches from p, (n, L), inside the box; xp: NumPy's functions or JAX's."""
    n, lanes = p.shape
    zero, count = xp.zeros(lanes, p.dtype), xp.zeros(lanes, xp.int32)
    return State(
        trial=p,
        p=p,
        f=zero + xp.inf,
        R=xp.zeros((n, n, lanes), p.dtype),
        q=xp.zeros_like(p),
        scale=xp.zeros_like(p),
        damping=zero + FIRST_DAMPING,
        growth=zero + 2,
        promised=zero,
        nfev=count,
        status=count,
    )


def advance(state: State, seen: Seen, region: Region, rules: Rules) -> State:
    """The searches after the evaluation of `state.trial`; those that have ended stay as they are."""
    eps = jnp.finfo(seen.p.dtype).eps
    begins = state.nfev == 0
    norms = jnp.sqrt(jnp.sum(seen.columns**2, axis=1))
    finite = jnp.isfinite(seen.f) & jnp.all(jnp.isfinite(norms), axis=0)
    ratio = (state.f - seen.f) / jnp.maximum(state.promised, jnp.finfo(eps).tiny)
    accept = finite & (begins | ((seen.f < state.f) & (ratio > ACCEPTED)))

    # The linear model of the parameters that may move.
    held = outward(seen.p, jnp.sum(seen.columns * seen.r[None], axis=1), region)
    R, q, _ = triangular(jnp.where(held[:, None], 0, seen.columns), seen.r)
    p, f, R, q = (jnp.where(accept, new, old) for new, old in zip((seen.p, seen.f, R, q), state[1:5], strict=True))
    scale = jnp.where(accept, jnp.maximum(state.scale, norms), state.scale)

    # The damping.
    cube = jnp.maximum(1 / 3, 1 - (2 * jnp.clip(ratio, 0, 1) - 1) ** 3)
    damping = jnp.where(accept, jnp.where(begins, 1, cube), state.growth) * state.damping
    damping = jnp.maximum(damping, eps**2)
    growth = jnp.where(accept, 2, 2 * state.growth)

    # The next trial.
    step, cut = bounded(R, q, jnp.sqrt(damping) * jnp.where(scale > 0, scale, 1), p, region)
    trial = jnp.clip(p + step, region.lower, region.upper)  # a sum that is rounded may lie outside
    along = jnp.sum(R * (trial - p)[None], axis=1)
    promised = -jnp.sum(along * (2 * q + along), axis=0)

    # The end.
    left = jnp.sum(q**2, axis=0)
    converged = finite & accept & ((left <= rules.tol**2 * f) | (f <= rules.floor))
    nothing = (promised <= eps**2 * f) & ((promised >= 0) | ~cut)  # a step that is cut may rise: then a shorter one
    precise = jnp.isfinite(f) & ((damping > MOST_DAMPING) | nothing | jnp.all(trial == p, axis=0))
    nfev = state.nfev + 1
    status = jnp.where(nfev >= rules.max_nfev, LocalStatus.EVALUATION_LIMIT, LocalStatus.RUNNING)
    status = jnp.where(precise, LocalStatus.CONVERGED_TO_PRECISION, status)
    status = jnp.where(converged, LocalStatus.CONVERGED, status)
    status = jnp.where(begins & ~finite, LocalStatus.NONFINITE_VALUE, status)
    new = State(trial, p, f, R, q, scale, damping, growth, promised, nfev, status.astype(jnp.int32))
    return jax.tree.map(lambda after, before: jnp.where(state.status > 0, before, after), new, state)


def bounded(R: jax.Array, q: jax.Array, diagonal: jax.Array, p: jax.Array, region: Region) -> Any:
    """The damped step from p inside the box, (n, L), and whether a bound has cut it, (L,).

    A parameter that would leave goes most of the way to its bound, or onto it from close by, and the others take the
    step that is best then, as long as more of them would leave.
    """

    def solve(carry):
        step, fixed, _ = carry
        rest = damped(jnp.where(fixed[None], 0, R), q + jnp.sum(R * jnp.where(fixed, step, 0)[None], axis=1), diagonal)
        step = jnp.where(fixed, step, rest)
        to = p + step
        bound = jnp.where(to < region.lower, region.lower, region.upper)
        crosses = ~fixed & ((to < region.lower) | (to > region.upper))
        near = jnp.abs(bound - p) <= CLOSE * region.width
        short = jnp.where(near, bound - p, TOWARDS * (bound - p))
        return jnp.where(crosses, short, step), fixed | crosses, jnp.any(crosses)

    start = jnp.zeros_like(p), jnp.zeros(p.shape, bool), jnp.ones((), bool)
    step, fixed, _ = lax.while_loop(lambda carry: carry[-1], solve, start)
    return step, jnp.any(fixed, axis=0)


def triangular(columns: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """R, (n, n, L), and Q'r, (n, L), of a matrix given by its columns, (n, N, L); and what is left of r, (N, L).

    A column that depends on those before it has a zero on the diagonal. Few columns are unrolled, more would take long
    to compile.
    """
    n, eps = len(columns), jnp.finfo(columns.dtype).eps
    size = jnp.sum(columns**2, axis=1)
    index = jnp.arange(n)[:, None]

    def orthogonalise(j, carry):
        columns, r, R, q = carry
        column = columns[j]
        square = jnp.sum(column**2, axis=0)
        square = jnp.where(square > (DEPENDENT * n * eps) ** 2 * size[j], square, 0)
        norm = jnp.sqrt(square)
        unit = column * jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0)
        along = jnp.where(index > j, jnp.sum(unit * columns, axis=1), 0)
        onto = jnp.sum(unit * r, axis=0)
        R = R.at[j].set(jnp.where(index == j, norm, along))
        return columns - along[:, None] * unit, r - onto * unit, R, q.at[j].set(onto)

    start = columns, r, jnp.zeros((n, n, columns.shape[2]), r.dtype), jnp.zeros((n, r.shape[1]), r.dtype)
    _, r, R, q = lax.fori_loop(0, n, orthogonalise, start, unroll=True if n <= UNROLLED else 1)
    return R, q, r


def damped(R: jax.Array, q: jax.Array, diagonal: jax.Array) -> jax.Array:
    """The step that minimises |R s + q|^2 + |diagonal s|^2, each with lanes last."""
    below = jnp.eye(len(R), dtype=R.dtype)[:, :, None] * diagonal[None]
    R, q, _ = triangular(jnp.swapaxes(jnp.concatenate([R, below]), 0, 1), jnp.concatenate([q, jnp.zeros_like(q)]))
    return -backward(R, q)


def backward(R: jax.Array, q: jax.Array) -> jax.Array:
    """R^-1 q, zero where the diagonal is; R (n, n, L) upper triangular, q (n, L)."""
    n = len(R)

    def substitute(k, found):
        i = n - 1 - k
        row = R[i]
        pivot = row[i]
        rest = q[i] - jnp.sum(row * found, axis=0)
        return found.at[i].set(jnp.where(pivot != 0, rest / jnp.where(pivot != 0, pivot, 1), 0))

    return lax.fori_loop(0, n, substitute, jnp.zeros_like(q), unroll=True if n <= UNROLLED else 1)
