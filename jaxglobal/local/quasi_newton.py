"""A bounded quasi-Newton search from one start, as a state machine that advances by exactly one evaluation.

There is no inner loop: the line search, the update of the curvature, the projection and the tests of convergence are
one straight line of array operations, so that many lanes can advance together. What is known of the curvature, and the
direction that follows from it, are those of a `Curvature`: a matrix in bfgs.py, pairs of vectors in lbfgs.py.

[NW] Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), chapter 6.
[B]  Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM J. Control Optim. 20
     (1982).

Differs from [NW]:
1. Bounds, as in [B]: trials lie on the projected path, and a variable at a bound whose gradient pushes outward is
   fixed while the direction is computed. A variable that did not move is left out of the pair (s, y).
2. s, y, p and the curvature are in units of the box; x itself stays in the user's coordinates, where floating point
   resolves it best.
3. The curvature test is relative, [NW] 6.7 with rounding, and the line search has a noise floor.
4. Where the model promises nothing more, yet the gradient would change f by more than abs(f) across the box, it has
   lost a direction (a long valley, far from the start): the search begins again there, without what was known of the
   curvature, and ends if that does not lower f.
5. A lane returns the best point that it ever evaluated, also one that was no step.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.local import descent, linesearch
from jaxglobal.local.descent import GUESS_STEP, LONGEST_FIRST_STEP, Rules, choose, highest, outward, total
from jaxglobal.local.linesearch import Bracket
from jaxglobal.problem.region import Region

NOISE = 4.0  # rounding error of f, in eps of its size
FORGET = 0.5  # the size of f that sets the noise may fall by this factor an iteration; [HZ] 4.1 has 0.7
DOUBTED = 1e-3  # a promised decrease below this share of abs(f) is doubted where the gradient is large
SUPERLINEAR = 0.25  # a search whose steps shrink faster than this is about to converge
LONGEST_LAST_STEP = 1e-5  # of the box: in float32 eps^0.6 would end a search inside a long valley


class Lane(NamedTuple):
    """A local search between two evaluations. Shapes are for one start; lanes come last."""

    trial: jax.Array
    """(n,) The point to evaluate next, inside the region."""
    x: jax.Array
    """(n,) The last accepted point."""
    f: jax.Array
    """(1,) Its value."""
    g: jax.Array
    """(n,) Its gradient, in units of the box."""
    memory: Any
    """What the `Curvature` keeps of the search, in units of the box; meaningless while `updates` is 0."""
    p: jax.Array
    """(n,) The direction of the line search, in units of the box."""
    slope: jax.Array
    """(1,) g'p."""
    bracket: Bracket
    """The line search from `x` along `p`."""
    updates: jax.Array
    """(1,) Updates of the curvature so far; -1 where the search begins again at `x`, without it."""
    doubted_f: jax.Array
    """(1,) The value where the search last began again; +inf where it did not."""
    size: jax.Array
    """(1,) A slowly falling bound on abs(f), which sets the rounding error of f."""
    best_x: jax.Array
    """(n,) The best point evaluated so far, a step or not."""
    best_f: jax.Array
    """(1,) Its value; +inf where no value was finite."""
    nfev: jax.Array
    """(1,) Evaluations so far; at 0 every other field but `trial` is meaningless."""
    status: jax.Array
    """(1,) A `LocalStatus`."""


class Pair(NamedTuple):
    """A step and what it shows of the curvature, in units of the box."""

    s: jax.Array
    """(n,) The step."""
    y: jax.Array
    """(n,) The change of the gradient; 0 where the variable did not move."""
    update: jax.Array
    """(1,) Whether the pair shows a positive curvature, and the step is accepted."""
    first: jax.Array
    """(1,) Whether nothing is known of the curvature before it."""
    rho: jax.Array
    """(1,) 1 / s'y, [NW] 6.14; 0 without update."""
    gamma: jax.Array
    """(1,) s'y / y'y, [NW] 6.20; 1 without update."""


class Curvature(Protocol):
    """What is known of the inverse Hessian H; hashable, as compiled programs are kept by it."""

    def begin(self, x: jax.Array) -> Any:
        """The memory of a search from x."""
        ...

    def turn(
        self, memory: Any, pair: Pair, q: jax.Array, restrict: Callable[[jax.Array], jax.Array], once: Callable
    ) -> tuple[Any, jax.Array]:
        """The memory after the pair, and the direction -H q restricted to the variables that may move.

        q: (n,) the gradient of the variables that are not held by a bound, else 0. once: as for `Program.advance`.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Options:
    """The options that all bounded quasi-Newton searches have; see `BFGS`."""

    ftol: float = 1e-12
    xtol: float | None = None
    first_step: float | None = None
    max_nfev: int = 1000

    def __post_init__(self):
        """Raises TypeError or ValueError for an option that makes no sense."""
        descent.check_options(self, ("ftol", "xtol", "first_step"), ("max_nfev",))
        if self.first_step is not None and not 0 < self.first_step <= 1:
            raise ValueError(f"`first_step` must be in (0, 1]; got {self.first_step}.")

    @property
    def identity(self) -> Any:
        """See `descent.Local`."""
        return self

    def step(self, spacing: float = GUESS_STEP) -> float:
        """See `descent.Local`."""
        return min(spacing, LONGEST_FIRST_STEP) if self.first_step is None else self.first_step

    def rules(self, dtype: np.dtype, target: float | None, noise: float = 0.0) -> Rules:
        """See `descent.Local`."""
        eps = float(jnp.finfo(dtype).eps)
        xtol = min(eps**0.6, LONGEST_LAST_STEP) if self.xtol is None else self.xtol
        return descent.make_rules(dtype, self.ftol, xtol, self.max_nfev, target, noise)


@dataclasses.dataclass(frozen=True)
class QuasiNewton:
    """The local search with this curvature; a `descent.Program`."""

    curvature: Curvature

    def begin(self, x: jax.Array) -> Lane:
        """See `descent.Program`."""
        vector, zero, count = jnp.zeros_like(x), jnp.zeros_like(x[:1]), jnp.zeros_like(x[:1], jnp.int32)
        return Lane(
            trial=x,
            x=x,
            f=zero,
            g=vector,
            memory=self.curvature.begin(x),
            p=vector,
            slope=zero,
            bracket=linesearch.begin(zero, zero, zero),
            updates=count,
            doubted_f=zero + jnp.inf,
            size=zero,
            best_x=x,
            best_f=zero + jnp.inf,
            nfev=count,
            status=count,
        )

    def advance(
        self, lane: Lane, f, g, region: Region, rules: Rules, once: Callable = lambda compute: compute()
    ) -> Lane:
        """See `descent.Program`."""
        eps = jnp.finfo(lane.x.dtype).eps
        lower, upper, width = region
        seen = descent.see(lane, f, g, region)
        begins, finite, f, g = seen.begins, seen.finite, seen.f, seen.g
        fresh = begins | (lane.updates < 0)

        # What the trial shows: its step s, the change y of the gradient, and the slope of the projected path.
        per_width = jnp.where(width > 0, 1 / jnp.where(width > 0, width, 1), 0)
        s = (lane.trial - lane.x) * per_width
        y = jnp.where(s != 0, g - lane.g, 0)
        straight = lane.x + lane.bracket.step * (lane.p * width)
        moving = (straight >= lower) & (straight <= upper)
        q = jnp.where(outward(lane.trial, g, region), 0, g)
        s, y, q, model, slope, sy, ss, yy, qq, moved, q_max = once(lambda: (
            s,
            y,
            q,
            total(lane.g * s),
            total(jnp.where(moving, g * lane.p, 0)),
            total(s * y),
            total(s * s),
            total(y * y),
            total(q * q),
            highest(jnp.abs(s)),
            highest(jnp.abs(q)),
        ))  # fmt: skip

        size = jnp.where(begins, jnp.abs(f), jnp.maximum(jnp.abs(f), FORGET * lane.size))
        noise = NOISE * eps * jnp.maximum(jnp.abs(lane.f), lane.size) + rules.noise
        accept, bracket = linesearch.judge(lane.bracket, lane.f, lane.slope, f, slope, model, noise)
        accept = (accept | fresh) & finite
        lost = ~accept & (
            (bracket.trials >= linesearch.MAX_TRIALS)
            | (-lane.slope * bracket.step < NOISE * eps * jnp.abs(lane.f) + rules.noise)
        )

        # What it shows of the curvature, and the direction.
        update = accept & ~fresh & (sy > eps * jnp.sqrt(ss * yy))
        first = fresh | (lane.updates == 0)
        rho = jnp.where(update, 1 / jnp.where(update, sy, 1), 0)
        gamma = jnp.where(update, sy / jnp.where(update, yy, 1), 1)

        def restrict(p):
            return jnp.where((q == 0) | outward(lane.trial, -p, region), 0, p)

        memory, p = self.curvature.turn(lane.memory, Pair(s, y, update, first, rho, gamma), q, restrict, once)

        # The next line search, or the next trial of this one.
        slope, p_max = once(lambda: (total(p * q), highest(jnp.abs(p))))
        downhill = slope < -eps * q_max * p_max
        p = jnp.where(accept, jnp.where(downhill, p, -q), lane.p)
        updates = jnp.where(first, 0, lane.updates)
        updates = jnp.where(accept, jnp.where(downhill, updates + update.astype(updates.dtype), 0), updates)
        step = jnp.where(
            updates > 0,
            1.0,
            rules.first_step / jnp.where(downhill & (p_max > 0), p_max, jnp.maximum(q_max, jnp.finfo(eps).tiny)),
        )
        slope = jnp.where(accept, jnp.where(downhill, slope, -qq), lane.slope)
        bracket = choose(accept, linesearch.begin(step, f, slope), bracket)
        x, f_x, g_x = choose(accept, (lane.trial, f, g), (lane.x, lane.f, lane.g))

        # The next trial, and the end.
        predicted = -0.5 * slope
        near = (predicted <= rules.ftol * jnp.abs(f) + rules.noise) | (p_max <= rules.xtol)
        modelled = accept & (updates > 0)
        converged = modelled & near & (p_max <= SUPERLINEAR * moved)
        exact = modelled & (predicted <= eps * jnp.abs(f) + rules.noise)
        trial, doubted = once(lambda: (
            jnp.clip(x + bracket.step * (p * width), lower, upper),
            (converged | exact)
            & (q_max > jnp.abs(f))
            & (predicted < DOUBTED * jnp.abs(f))
            & (f < lane.doubted_f - DOUBTED * jnp.abs(f)),
        ))  # fmt: skip
        converged = (converged & ~doubted) | (accept & (q_max <= eps * jnp.abs(f)))
        precise = lost | (exact & ~doubted) | (highest(jnp.where(trial == x, 0.0, 1.0)) == 0)
        nfev = lane.nfev + 1
        return Lane(
            trial=jnp.where(doubted, x, trial),
            x=x,
            f=f_x,
            g=g_x,
            memory=memory,
            p=p,
            slope=slope,
            bracket=bracket,
            updates=jnp.where(doubted, -1, updates),
            doubted_f=jnp.where(doubted, f, jnp.where(begins, jnp.inf, lane.doubted_f)),
            size=jnp.where(accept, size, lane.size),
            best_x=jnp.where(seen.better, lane.trial, lane.best_x),
            best_f=seen.best_f,
            nfev=nfev,
            status=once(lambda: descent.judge(seen, nfev, converged, precise, rules)),
        )
