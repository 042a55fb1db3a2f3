"""The last digits of constrained minima as a traced program: a semismooth Newton method on the KKT system.

What kkt.py does for one point after the other in NumPy, this does for many at once under vmap, and inside jit. With
multipliers lam, a KKT point is a zero of its natural residual [FP, ch. 1.5]: with the rows c of length one, in units of
the box,

    c - clip(c + lam, lower, upper),    x - clip(x - z, 0, 1),    z the gradient of the Lagrangian f + lam'c,

and Newton's method on that is one on the rows and bounds that the clips hold, which are chosen anew in each step
[HIK]. A step solves the KKT system of these,

    [[H + rho A'A, A'], [A, -eps]] [dx; dlam] = -[z + rho A'r; r],

which is the same as without rho, as A dx = -r, but positive definite in its first part where the minimum is one, so
that it is eliminated without pivots; eps lets rows be dependent. A pivot that is negative changes its sign: so a step
leads down, never to a saddle.

Differs from [HIK]: a step is no longer than can be trusted; what counts in the end is the best point, by its residual.

[FP] F. Facchinei and J.-S. Pang, Finite-Dimensional Variational Inequalities and Complementarity Problems (2003).
[HIK] M. Hintermueller, K. Ito and K. Kunisch, The primal-dual active set strategy as a semismooth Newton method, SIAM
      J. Optim. 13 (2002).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import exact, feasible
from jaxglobal.constraints.elimination import LOOSE, eliminate
from jaxglobal.constraints.kkt import LONGEST, Frame
from jaxglobal.constraints.refilled import Iteration, alone, in_blocks, refilled
from jaxglobal.constraints.restoration import GOOD, Both, restoration
from jaxglobal.local import hessians
from jaxglobal.problem import modes
from jaxglobal.problem.region import Region

STEPS = 30
FALLEN, PATIENCE = 0.7, 5  # steps in a row in which the residual has not fallen to this share, at most
ERROR = 1e-6, 0.5  # of a KKT point at most, in units of the box: the greater of this and eps to this power
HIGHER = 0.1  # of 1 + abs of the scaled value, may a KKT point lie above the point where it began
STIFF = -0.2  # power of eps: rho
RESTORATIONS = 25
NEAR_BOUND = 1e-7  # of the box: a variable that a bound holds
BINDING = 1e-6  # of the box: a row that a bound holds, where nothing is known of multipliers
STEEP = 10 * exact.WITHIN  # of the box: a slope that changes by its own size within it is infinite at the bound


class Point(NamedTuple):
    """Where Newton's method ended."""

    x: jax.Array
    """(n,)"""
    lam: jax.Array
    """(m,) Multipliers of f + lam'c."""
    error: jax.Array
    """() The natural residual; +inf where something is not finite."""
    definite: jax.Array
    """() Whether the Lagrangian curves upwards along the active rows."""


class End(NamedTuple):
    """A point and what is known of it, measured there."""

    x: Any
    lam: Any
    rank: Any
    """() See feasible.py."""
    sure: Any
    """() Whether it is a KKT point to its last digits."""
    nfev: Any
    """() Evaluations; a Hessian of n variables counts as n / 2."""
    valueless: Any
    """() Whether a feasible point was met at which f has no value."""
    error: Any = np.inf
    """() The natural residual of a KKT point."""


class Ended(NamedTuple):
    """A search that has ended in its lane."""

    x: Any
    """(n,)"""
    lam: Any
    """(m,) Multipliers of f + lam'c that say what may be active."""
    frame: Frame
    least: Any
    """(m,) An excess that is none but rounding."""
    f_size: Any
    """() Scale of f."""


def finish(of: Callable[[Any], Both], ended: Ended, leaves: Any, most: float, restorations: Any, dtype: Any) -> End:
    """The KKT point near x, (n,), if there is one with a value that is not much higher; else x, or a feasible point.

    of: of(leaves) is the function. most: the violation that counts as none. restorations: steps that make x feasible,
    at most, before Newton's method begins. dtype: to which x is rounded in the end.
    """
    start, restored = alone(restoration(of), (ended.x, ended.frame, leaves, restorations))
    place, lam, before = begun(of, ended, start, leaves)
    point, steps = alone(newton(of), (place, lam, ended.frame, leaves))
    return concluded(of, ended, leaves, start, before, restored, point, steps, most, dtype)


def finish_all(
    of: Callable[[Any], Both], ended: Ended, leaves: Any, most: float, restorations: Any, dtype: Any, count: Any,
    lanes: int,
) -> End:  # fmt: skip
    """The same of the first `count` of N searches, each (N, ...), in so many lanes, of which N is a multiple."""
    many = functools.partial(in_blocks, count=count, block=lanes)
    needed = jnp.where(jnp.max(restorations) > 0, count, 0)
    moved, restored = refilled(restoration(of), (ended.x, ended.frame, leaves, restorations), needed, lanes)
    start = jnp.where(needed > 0, moved, jax.vmap(lambda x, frame: jnp.clip(x, *frame[:2]))(ended.x, ended.frame))
    place, lam, before = many(functools.partial(begun, of), (ended, start, leaves))
    point, steps = refilled(newton(of), (place, lam, ended.frame, leaves), count, lanes)
    last = functools.partial(concluded, of, most=most, dtype=dtype)
    return many(last, (ended, leaves, start, before, restored, point, steps))


def begun(
    of: Callable[[Any], Both], ended: Ended, start: jax.Array, leaves: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """From where Newton's method begins, with what multipliers, and the scaled value before."""
    both, frame, lam = of(leaves), ended.frame, ended.lam
    near = NEAR_BOUND * frame.width  # searches keep off the bounds, where a slope may be infinite
    snapped = jnp.where(start - frame.low <= near, frame.low, jnp.where(frame.high - start <= near, frame.high, start))
    values = jax.vmap(both)(jnp.stack([start, snapped]))
    place = jnp.where(jnp.all(jnp.isfinite(values[1])), snapped, start)
    # Without multipliers the objective alone would say which bounds hold.
    _, c, g, J = exact.slopes_at(both, len(lam), place, (frame.low, frame.high))
    guess, _ = estimate(place, c, g, J, frame)
    return place, jnp.where(jnp.all(lam == 0) & jnp.all(jnp.isfinite(guess)), guess, lam), values[0, 0] * ended.f_size


def concluded(
    of: Callable[[Any], Both], ended: Ended, leaves: Any, start: jax.Array, before: jax.Array, restored: jax.Array,
    point: Point, steps: jax.Array, most: float, dtype: Any,
) -> End:  # fmt: skip
    """What becomes of a search that Newton's method has led from start to this point."""
    both, lam, frame, x = of(leaves), ended.lam, ended.frame, ended.x
    m, box = len(lam), (frame.low, frame.high)
    ends = jnp.stack([point.x, start])
    ends = jnp.clip(ends, frame.low[None], frame.high[None]).astype(dtype).astype(x.dtype)
    f, c, _, J = jax.vmap(lambda x: exact.slopes_at(both, m, x, box))(ends)
    violation = jax.vmap(lambda c, J: jnp.max(feasible.violations(c, J, frame, ended.least, jnp), initial=0.0))(c, J)
    rank = jax.vmap(lambda f, violation: feasible.rank_of(f, violation, most, dtype))(f, violation)
    sure = point.definite & (point.error <= jnp.maximum(ERROR[0], jnp.finfo(x.dtype).eps ** ERROR[1]))
    lower = f[0] * ended.f_size <= before + HIGHER * (1 + jnp.abs(before))
    sure &= (violation[0] <= most) & jnp.isfinite(f[0]) & (lower | ~jnp.isfinite(before))
    nfev = (2.5 + 0.5 * restored + (1 + len(x) / 2) * steps).astype(x.dtype)
    valueless = jnp.any((violation <= most) & ~jnp.isfinite(f))
    of_end, of_start = (
        End(ends[i], price, rank[i], sure, nfev, valueless, point.error) for i, price in enumerate((point.lam, lam))
    )  # fmt: skip
    return jax.tree.map(lambda end, start: jnp.where(sure, end, start), of_end, of_start)


class Search(NamedTuple):
    """Newton's method between two steps."""

    x: jax.Array
    lam: jax.Array
    best: Point
    stalled: jax.Array
    """() Steps in a row in which the residual has not fallen."""
    k: jax.Array
    """() Steps."""
    go: jax.Array
    """() Whether the last one led anywhere."""


def newton(of: Callable[[Any], Both]) -> Iteration:
    """The KKT point near x, and the steps that it took, given (x, lam, frame, leaves); of(leaves) is the function.

    lam: (m,) multipliers that say what may be active.
    """

    def begin(given):
        x, lam, frame, _ = given
        best = Point(x, lam, jnp.asarray(jnp.inf, x.dtype), jnp.asarray(False))
        x = jnp.where(frame.width > 0, jnp.clip(x, frame.low, frame.high), frame.low)
        go = jnp.all(jnp.isfinite(x)) & jnp.all(jnp.isfinite(lam))
        return Search(x, lam, best, jnp.int32(0), jnp.int32(0), go)

    def over(state, given):
        return ~(state.go & (state.stalled < PATIENCE) & (state.k < STEPS))

    def advance(state, given):
        x, lam, best, stalled, k, _ = state
        both, frame = of(given[3]), given[2]
        f, c, g, J = exact.slopes_at(both, len(lam), x, (frame.low, frame.high))
        H = curvature(both, curvature_product(both, x), x, lam, frame)
        step = _step(x, lam, c, g, J, H, frame)
        error = jnp.where(jnp.isfinite(f) & jnp.isfinite(step.error), step.error, jnp.inf)
        stalled = jnp.where(error < FALLEN * best.error, 0, stalled + 1)
        here = Point(x, lam, error, step.definite)
        best = jax.tree.map(lambda a, b: jnp.where(error < best.error, a, b), here, best)
        moved = jnp.all(jnp.isfinite(step.x)) & jnp.all(jnp.isfinite(step.lam))
        go = moved & jnp.isfinite(error) & (error > GOOD * jnp.finfo(x.dtype).eps)
        x, lam = jnp.where(go, step.x, x), jnp.where(go, step.lam, lam)
        return Search(x, lam, best, stalled, k + 1, go)

    return Iteration(begin, over, advance, lambda state: (state.best, state.k))


def estimate(
    x: jax.Array, c: jax.Array, g: jax.Array, J: jax.Array, frame: Frame, binds: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """(m,) Multipliers of the rows that bind at x with which the least is left of the slope, and which these are.

    Where their gradients are independent, and x is a KKT point, they are its multipliers. binds: (m,) the rows that
    count, those at a bound if it is left out; then none has a multiplier of the wrong sign.
    """
    width, tiny = frame.width, float(jnp.finfo(x.dtype).tiny)
    near = NEAR_BOUND * width
    free = (width > 0) & (x - frame.low > near) & (frame.high - x > near)
    rows = J * width[None]
    sides = [(c - side) / jnp.maximum(jnp.linalg.norm(rows, axis=1), tiny) for side in (frame.upper, frame.lower)]
    up, down = (frame.equal | (jnp.abs(side) <= BINDING) for side in sides)
    which = up | down if binds is None else binds
    held = jnp.where(which[:, None] & free[None], rows, 0)
    length = jnp.maximum(jnp.linalg.norm(held, axis=1), tiny)
    A, slope = held / length[:, None], jnp.where(free, g * width, 0)
    product = A @ A.T + jnp.diag(jnp.where(which, float(jnp.finfo(x.dtype).eps) ** LOOSE, 1).astype(x.dtype))
    mu = jnp.zeros(len(c), x.dtype)
    for _ in range(2):  # the second time for what the first has lost to LOOSE
        mu = mu + eliminate(product, -A @ (slope + A.T @ mu), len(c))[0]
    lam = jnp.where(which, mu / length, 0)
    if binds is None:
        lam = jnp.where((lam > 0) & ~up | (lam < 0) & ~down, 0, lam)
    return lam, which


def curvature_product(both: Both, x: jax.Array) -> Any:
    """Whether JAX has second derivatives: None where it has not."""
    return modes.curvature(lambda x: jnp.sum(both(x)), x)


def curvature(both: Both, product: Any, x: jax.Array, lam: jax.Array, frame: Frame) -> jax.Array:
    """The Hessian of the Lagrangian, (n, n), in units of the box; from differences of gradients without `product`."""
    inside = exact.within(x, (frame.low, frame.high))
    value = lambda x: both(x) @ jnp.concatenate([jnp.ones(1, x.dtype), lam])  # noqa: E731
    of_value = None if product is None else modes.curvature(value, inside)
    region = Region(frame.low, frame.high, frame.width)
    return hessians.hessian(value, of_value, inside, region, frame.width > 0)


class Step(NamedTuple):
    """What follows from a point: its natural residual, whether it may be a minimum, and the next point."""

    x: jax.Array
    lam: jax.Array
    error: jax.Array
    definite: jax.Array


def _step(
    x: jax.Array, lam: jax.Array, c: jax.Array, g: jax.Array, J: jax.Array, H: jax.Array, frame: Frame
) -> Step:  # fmt: skip
    """H in units of the box."""
    n, width, eps = len(x), frame.width, float(jnp.finfo(x.dtype).eps)
    rho, loose = eps**STIFF, eps**LOOSE
    tiny = float(jnp.finfo(x.dtype).tiny)
    movable = width > 0
    safe = jnp.where(movable, width, 1)
    slope, rows = g * width, J * width[None]
    u, to_high = jnp.where(movable, (x - frame.low) / safe, 0), jnp.where(movable, (frame.high - x) / safe, 0)
    uphill = slope + rows.T @ lam

    def at_bound(unit):
        """The variables that a bound holds."""
        return ~movable | (u - uphill / unit < 0), movable & (to_high + uphill / unit < 0)

    def largest(which):
        """Slope or curvature in these variables."""
        curved = jnp.max(jnp.where(which[:, None] & which[None], jnp.abs(H), 0))
        return jnp.maximum(jnp.max(jnp.where(which, jnp.abs(slope), 0)), curved)

    unit = jnp.maximum(largest(jnp.ones(n, bool)), tiny)
    low, high = at_bound(unit)
    # One that is held at a bound where slopes are infinite says nothing of the size of the others.
    calm = ~(movable & (low | high) & (STEEP * jnp.abs(jnp.diagonal(H)) > jnp.abs(uphill)))
    unit = jnp.where(largest(calm) > tiny, largest(calm), unit)
    (low, high), z = at_bound(unit), uphill / unit
    free = ~low & ~high
    calm_length, length = (jnp.linalg.norm(part, axis=1) for part in (jnp.where(calm[None], rows, 0), rows))
    length = jnp.where(calm_length > 0, calm_length, length)
    length = jnp.maximum(length, jnp.maximum(frame.spread, tiny))
    A, mu = rows / length[:, None], lam * length / unit
    above, below = (c - frame.upper) / length, (c - frame.lower) / length
    equal = frame.equal
    up = equal | (above + mu > 0)
    down = ~up & (below + mu < 0)
    active = up | down
    r = jnp.where(up, above, jnp.where(down, below, 0))
    onto = jnp.where(low, -u, jnp.where(high, to_high, 0))  # of the variables that a bound holds
    residual = jnp.concatenate([jnp.where(active, r, -mu), jnp.where(free, z, onto)])
    error = jnp.where(jnp.all(jnp.isfinite(residual)), jnp.max(jnp.abs(residual)), jnp.inf)

    A = jnp.where(active[:, None], A, 0)
    H = H / unit
    r = r + A @ onto
    ahead = z + H @ onto + rho * A.T @ r
    stiff = H + rho * A.T @ A
    stiff = jnp.where(free[:, None] & free[None], stiff, 0) + jnp.diag(jnp.where(free, 0, 1).astype(x.dtype))
    held = jnp.where(free[None], A, 0)
    corner = jnp.diag(jnp.where(active, -loose, -1).astype(x.dtype))
    K = jnp.concatenate([jnp.concatenate([stiff, held.T], axis=1), jnp.concatenate([held, corner], axis=1)], axis=0)
    right = jnp.concatenate([jnp.where(free, -ahead, 0), jnp.where(active, -r, mu)])
    solution, least = eliminate(K, right, n)
    d, d_mu = jnp.where(free, solution[:n], onto), solution[n:]
    longest = jnp.max(jnp.abs(d), initial=0)
    d = d * jnp.minimum(1.0, LONGEST / jnp.maximum(longest, tiny))
    trial = jnp.clip(x + d * width, frame.low, frame.high)
    whole = longest <= LONGEST
    trial = jnp.where(whole & low, frame.low, jnp.where(whole & high, frame.high, trial))
    return Step(trial, jnp.where(active, mu + d_mu, 0) * unit / length, error, least >= -(eps**LOOSE))
