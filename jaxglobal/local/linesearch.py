"""One trial of a weak-Wolfe line search along the projected path of a bounded quasi-Newton direction.

The search looks for a step a along x(a) = P(x + a p), P the projection on the box, that decreases f enough and has
left the steep part of the slope [LO, section 3]. It never loops: `judge` takes one evaluation, and either accepts the
trial or says which step to try next.

[LO] Lewis & Overton, Nonsmooth optimization via quasi-Newton methods, Math. Program. 141 (2013), algorithm 2.6.
[HZ] Hager & Zhang, A new conjugate gradient method with guaranteed descent, SIAM J. Optim. 16 (2005), section 4.
[NW] Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), equations 3.4 and 3.59.

Differs from [LO]:
1. The first trials of a search interpolate (cubic when too long, secant when too short), because smooth functions
   then need little more than one evaluation an iteration; later trials bisect or double as in [LO], so that a
   non-smooth function converges too.
2. Within the rounding error of f the decrease is judged by slopes, as in [HZ] 4.2: the difference of two values that
   agree to the last bits says nothing, the slopes still do.
3. A trial above the best point of this line search so far is too long, even if it lies below the start: the search
   does not leave a basin that it has seen for a worse one.
4. The slope is that of the projected path: a variable that the box stopped no longer counts.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

ARMIJO = 1e-4  # c1 of [NW] 3.4
CURVATURE = 0.9  # c2 of [NW] 3.5, the usual value for quasi-Newton directions
INTERPOLATED = 3  # trials of one line search that may interpolate; later ones bisect or double
MAX_TRIALS = 30  # trials of one line search before it is given up


class Bracket(NamedTuple):
    """What a line search knows between two evaluations; steps are multiples of the direction p."""

    step: jax.Array
    """The step of the trial that is being evaluated."""
    low: jax.Array
    """The longest step known to decrease f enough and to be too short; 0 at first."""
    high: jax.Array
    """The shortest step known to be too long; infinite at first."""
    f_low: jax.Array
    """f at `low`."""
    slope_low: jax.Array
    """Slope along the path at `low`."""
    trials: jax.Array
    """Trials judged so far in this line search."""


def begin(step: jax.Array, f: jax.Array, slope: jax.Array) -> Bracket:
    """The bracket of a new line search from a point of value `f` and slope `slope` along the direction."""
    zero = jnp.zeros_like(f)
    return Bracket(step, zero, zero + jnp.inf, f, slope, jnp.zeros_like(f, jnp.int32))


def judge(bracket: Bracket, f0, slope0, f, slope, model, noise) -> tuple[jax.Array, Bracket]:
    """Judges the trial at `bracket.step`; returns whether it is accepted, and the bracket with the next step.

    f0, slope0: value and slope at the start of the line search. f, slope: those at the trial, +inf and 0 where the
    evaluation failed. model: the first-order prediction g'(x(a) - x) of the change. noise: rounding error of f.
    """
    a = bracket.step
    clear = f <= f0 + ARMIJO * model
    by_slope = (f <= f0 + noise) & (slope <= (2 * ARMIJO - 1) * slope0)
    decreased = (clear | by_slope) & (f <= bracket.f_low + noise)
    accept = decreased & (slope >= CURVATURE * slope0)

    # Too long: the minimum of the cubic through the values and slopes at `low` and at the trial, [NW] 3.59.
    width = a - bracket.low
    secant = (f - bracket.f_low) / width
    d1 = bracket.slope_low + slope - 3 * secant
    root = jnp.sqrt(jnp.maximum(d1 * d1 - bracket.slope_low * slope, 0))
    cubic = 1 - (slope + root - d1) / (slope - bracket.slope_low + 2 * root)
    cubic = jnp.where(jnp.isfinite(cubic), jnp.clip(cubic, 0.1, 0.8), 0.2)
    interpolate = bracket.trials < INTERPOLATED
    shorter = bracket.low + width * jnp.where(interpolate, cubic, jnp.where(bracket.low > 0, 0.5, 0.2))

    # Too short: the root of the slope, by the secant through `low` and the trial.
    reach = slope / (bracket.slope_low - slope)
    reach = jnp.where(jnp.isfinite(reach) & (reach > 0), reach, 10.0)
    beyond = a + width * jnp.clip(reach, 1.0, 10.0)
    gap = bracket.high - a
    between = a + jnp.where(interpolate, jnp.clip(width * reach, 0.1 * gap, 0.9 * gap), 0.5 * gap)
    longer = jnp.where(jnp.isinf(bracket.high), beyond, between)

    return accept, Bracket(
        step=jnp.where(decreased, longer, shorter),
        low=jnp.where(decreased, a, bracket.low),
        high=jnp.where(decreased, bracket.high, a),
        f_low=jnp.where(decreased, f, bracket.f_low),
        slope_low=jnp.where(decreased, slope, bracket.slope_low),
        trials=bracket.trials + 1,
    )
