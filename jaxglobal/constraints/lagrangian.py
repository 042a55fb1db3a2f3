"""The augmented Lagrangian: a local search under constraints, as a state machine that takes one evaluation a tick.

An augmented Lagrangian is a function of x and of its multipliers, and its gradient in the multipliers is what is left
of the constraints. So the lanes search in *packed* variables: x, the multipliers, the scales of the rows, and the
numbers that one search has of its own. One value with gradient of that function tells everything, whatever the number
of rows; the engines (sweep.py) run it as they run any other. The multipliers change where the search of x for fixed
ones has ended, in the same tick and without an evaluation.

With t = c + lam / rho and d = t - clip(t, lower, upper),
    L(x, lam) = f + rho / 2 d'd - lam'lam / (2 rho),    dL/dlam = d - lam / rho,    new lam = rho d = lam + rho dL/dlam.
One term serves equalities, one-sided rows and ranges [BM, ch. 4].

Differs from [BM]:
1. f and the rows are scaled to slopes of about one in units of the box; the scales come with the start.
2. A search ends far from convergence, where Newton's method on the KKT system takes over (kkt.py); only where that
   fails it goes on, from where it was.

[BM] E. G. Birgin and J. M. Martinez, Practical Augmented Lagrangian Methods for Constrained Optimization (2014).
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.local.descent import Rules, highest, outward
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

PENALTY = 10.0  # the first rho, for slopes of one
GROWTH = 10.0  # of rho, where the violation has not fallen to
ENOUGH = 0.25  # this share of the least so far
LARGEST_PENALTY = 1e8
LARGEST_MULTIPLIER = 1e6  # safeguard, [BM] algorithm 4.1
OMEGA = 0.1  # first inner tolerance: the projected gradient, in units of the box
SHRINK = 0.1  # of it, with each change of the multipliers
MOST_CHANGES = 30  # of the multipliers
NEXT_STEP = 0.02  # at most, is the first step of the inner searches after the first
HOPELESS_PENALTY = 1e6  # beyond it, a violation that does not fall and is stationary
STATIONARY = 1e-3  # to this share of its weight is a minimum of the violation
INSIDE = 1e-8  # of the box: a search keeps so far from the bounds, where a slope may be infinite


class Packed(NamedTuple):
    """The packed variables, in order; each with variables first and maybe lanes last."""

    x: Any
    """(n,)"""
    lam: Any
    """(m,) Multipliers, of the scaled rows."""
    size: Any
    """(m,) Scales of the rows."""
    f_size: Any
    """(1,) Scale of f."""
    rho: Any
    """(1,) Penalty."""
    least: Any
    """(1,) The violation at which the search ends, of scaled rows; of a search that has ended, its violation."""
    flat: Any
    """(1,) The projected gradient at which it ends."""
    most: Any
    """(1,) Its evaluations, at most."""


NUMBERS = 5  # that are neither x nor rows


def packed_size(n: int, m: int) -> int:
    """Numbers of the packed variables."""
    return n + 2 * m + NUMBERS


def unpack(packed: Any, m: int) -> Packed:
    """The parts of (n + 2 m + NUMBERS, ...)."""
    n = len(packed) - 2 * m - NUMBERS
    numbers = (packed[n + 2 * m + i : n + 2 * m + i + 1] for i in range(NUMBERS))
    return Packed(packed[:n], packed[n : n + m], packed[n + m : n + 2 * m], *numbers)


def pack(parts: Packed) -> Any:
    """The inverse of `unpack`."""
    xp: Any = np if all(isinstance(part, np.ndarray) for part in parts) else jnp
    return xp.concatenate(list(parts))


def lagrangian(outputs: Callable[..., tuple[jax.Array, jax.Array]], m: int) -> Callable[..., jax.Array]:
    """L(packed, [lower, upper, *leaves]) for outputs(x, leaves) -> f, c of shape (m,)."""

    def value(packed: jax.Array, leaves: list[Any]) -> jax.Array:
        lower, upper, *rest = leaves
        x, lam, size, f_size, rho, *_ = unpack(packed, m)
        size, f_size, rho = (jax.lax.stop_gradient(part) for part in (size, f_size[0], rho[0]))
        f, c = outputs(x, rest)
        t = c * size + lam / rho
        d = t - jnp.clip(t, lower * size, upper * size)
        return f * f_size + rho / 2 * jnp.sum(d * d) - jnp.sum(lam * lam) / (2 * rho)

    return value


def inside(region: Region, m: int) -> Region:
    """The region of the packed variables: of x a little less than its own, so that no slope there is infinite."""
    xp: Any = jnp if any(isinstance(side, jax.Array) for side in region) else np
    lower, upper, width = (xp.asarray(side) for side in region)
    margin = INSIDE * width
    more = (*lower.shape[:-1], 2 * m + NUMBERS)
    low, high, none = np.full(more, -np.inf), np.full(more, np.inf), np.zeros(more)
    sides: Any = (
        xp.concatenate([side, beyond], axis=-1).astype(width.dtype)
        for side, beyond in ((lower + margin, low), (upper - margin, high), (width, none))
    )
    return Region(*sides)


class Lane(NamedTuple):
    """A local search under constraints between two evaluations; as `quasi_newton.Lane`, of packed variables."""

    trial: jax.Array
    """(n + 2 m + NUMBERS,) The point to evaluate next, and the multipliers, penalty and scales as they are."""
    x: jax.Array
    f: jax.Array
    g: jax.Array
    """Its x, f and g are those of the last evaluation."""
    memory: Any
    """That of the inner search."""
    inner: Any
    """The search of x for these multipliers, without its memory."""
    residual: jax.Array
    """(m,) dL/dlam at the best point of the inner search: the violation of rows, and of complementarity."""
    omega: jax.Array
    """(1,) The tolerance of the inner search."""
    before: jax.Array
    """(1,) The least violation at a change of the multipliers so far."""
    changes: jax.Array
    """(1,) Of the multipliers, so far."""
    best_x: jax.Array
    """Packed: the best point of the inner search, with the multipliers that follow from it, and its violation."""
    best_f: jax.Array
    nfev: jax.Array
    status: jax.Array


@dataclasses.dataclass(frozen=True)
class AugmentedLagrangian:
    """The local search under m rows, around one of x alone; a `descent.Program` of packed variables."""

    inner: QuasiNewton
    m: int

    def begin(self, x: jax.Array) -> Lane:
        """See `descent.Program`."""
        inner = self.inner.begin(x[: len(x) - 2 * self.m - NUMBERS])
        zero, count = jnp.zeros_like(x[:1]), jnp.zeros_like(x[:1], jnp.int32)
        return Lane(
            trial=x,
            x=x,
            f=zero,
            g=jnp.zeros_like(x),
            memory=inner.memory,
            inner=inner._replace(memory=None),
            residual=jnp.zeros_like(x[: self.m]),
            omega=zero,
            before=zero,
            changes=count,
            best_x=x,
            best_f=zero + jnp.inf,
            nfev=count,
            status=count,
        )

    def advance(
        self, lane: Lane, f, g, region: Region, rules: Rules, once: Callable = lambda compute: compute()
    ) -> Lane:
        """See `descent.Program`."""
        m, begins, now = self.m, lane.nfev == 0, unpack(lane.trial, self.m)
        n, nfev = len(now.x), lane.nfev + 1
        region = Region(*(side[:n] for side in region))
        omega, before = jnp.where(begins, OMEGA, lane.omega), jnp.where(begins, jnp.inf, lane.before)
        changes = jnp.where(begins, 0, lane.changes)

        # The inner search, which knows no end of its own but convergence.
        inner = lane.inner._replace(trial=now.x, memory=lane.memory, nfev=jnp.where(begins, 0, lane.inner.nfev))
        best_before, starts = jnp.where(inner.nfev == 0, jnp.inf, inner.best_f), inner.nfev == 0
        step = jnp.where(changes == 0, rules.first_step, jnp.minimum(rules.first_step, NEXT_STEP))
        own = rules._replace(first_step=step, max_nfev=jnp.iinfo(jnp.int32).max, target=jnp.asarray(-jnp.inf, f.dtype))
        inner = self.inner.advance(inner, f, g[:n], region, own, once)
        improved = (inner.best_f < best_before) | starts
        residual = jnp.where(improved, g[n : n + m], lane.residual)
        slope = highest(jnp.where(outward(inner.x, inner.g, region), 0, jnp.abs(inner.g)))
        violation = highest(jnp.abs(residual))

        # Whether it ends, and with it the search.
        spent = nfev >= jnp.minimum(now.most, rules.max_nfev).astype(nfev.dtype)
        bad = (inner.status == LocalStatus.NONFINITE_VALUE) | (inner.status == LocalStatus.NONFINITE_GRADIENT)
        still = inner.status != LocalStatus.RUNNING
        ends = still | ((slope <= omega) & (inner.nfev > 1)) | spent
        kept = violation <= now.least
        done = kept & ((slope <= now.flat) | still)
        stands = (violation > ENOUGH * before) & ~kept
        hopeless = stands & (slope <= STATIONARY * violation * now.rho) & (now.rho > HOPELESS_PENALTY)
        spent = spent | (changes >= MOST_CHANGES)
        status = jnp.where(spent, LocalStatus.EVALUATION_LIMIT, LocalStatus.RUNNING)
        status = jnp.where(hopeless, LocalStatus.INFEASIBLE, status)
        status = jnp.where(done, LocalStatus.CONVERGED, status)
        status = jnp.where(bad, inner.status, status)
        status = jnp.where(ends, status, LocalStatus.RUNNING).astype(jnp.int32)

        # The multipliers that follow, and the next inner search.
        lam = jnp.clip(now.lam + now.rho * residual, -LARGEST_MULTIPLIER, LARGEST_MULTIPLIER)
        lam = jnp.where(jnp.isfinite(lam), lam, 0)
        rho = jnp.where(stands, jnp.minimum(GROWTH * now.rho, LARGEST_PENALTY), now.rho)
        best = now._replace(x=inner.best_x, lam=lam, least=violation)
        following = now._replace(
            x=jnp.where(ends, inner.best_x, inner.trial),
            lam=jnp.where(ends, lam, now.lam),
            rho=jnp.where(ends, rho, now.rho),
        )
        return Lane(
            trial=pack(following),
            x=lane.trial,
            f=f,
            g=g,
            memory=inner.memory,
            inner=inner._replace(memory=None, nfev=jnp.where(ends, 0, inner.nfev)),
            residual=residual,
            omega=jnp.where(ends, jnp.maximum(omega * SHRINK, now.flat / 2), omega),
            before=jnp.where(ends, jnp.minimum(violation, before), before),
            changes=jnp.where(ends, changes + 1, changes),
            best_x=pack(best),
            best_f=inner.best_f,
            nfev=nfev,
            status=status,
        )
