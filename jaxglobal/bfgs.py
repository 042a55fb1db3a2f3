"""A bounded BFGS search from one start, as a state machine that advances by exactly one evaluation.

`begin(x)` makes a `Lane`; `lane.trial` is the point that it wants evaluated; `advance(lane, f, g, ...)` takes the value
and the gradient there. There is no inner loop: the line search, the update of the inverse Hessian, the projection and
the tests of convergence are one straight line of array operations, so that many lanes can advance together.

[NW] Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), chapter 6.
[B]  Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM J. Control Optim. 20
     (1982).

Differs from [NW]:
1. Bounds, as in [B]: trials lie on the projected path, and a variable at a bound whose gradient pushes outward is
   fixed while the direction is computed. A variable that did not move is left out of the pair (s, y), so that the
   free block of H is exactly the BFGS matrix of the face.
2. s, y, p and H are in units of the box; x itself stays in the user's coordinates, where floating point resolves it
   best.
3. The direction -H_new q is [NW] 6.17 multiplied out, so that H is read in one place and written in one place.
4. H is stored from the first update on; until then it is the identity, and at the first update it is scaled by
   s'y / y'y, [NW] 6.20.
5. The curvature test is relative, [NW] 6.7 with rounding, and the line search has a noise floor.
6. Where the model promises nothing more, yet the gradient would change f by more than abs(f) across the box, H has
   lost a direction (a long valley, far from the start): the search begins again there, without H, and ends if that
   does not lower f.
7. A lane returns the best point that it ever evaluated, also one that was no step.

Every array has the variables first and may have lanes last; what is a number for one start has shape (1,) there, so
that the same lines serve x of shape (n,) and of shape (n, L). (`jax.vmap` would do it too, but it moves the lanes to
the front, where XLA no longer vectorises over them: twice as slow in 10-D.)
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal import linesearch
from jaxglobal.linesearch import Bracket
from jaxglobal.result import LocalStatus

NOISE = 4.0  # rounding error of f, in eps of its size
FORGET = 0.5  # the size of f that sets the noise may fall by this factor an iteration; [HZ] 4.1 has 0.7
DOUBTED = 1e-3  # a promised decrease below this share of abs(f) is doubted where the gradient is large
SUPERLINEAR = 0.25  # a search whose steps shrink faster than this is about to converge
LONGEST_LAST_STEP = 1e-5  # of the box: in float32 eps^0.6 would end a search inside a long valley
LONGEST_FIRST_STEP = 0.25  # of the box; found with shifted classic functions, where it loses none at the least cost
GUESS_STEP = 0.1  # the first step from a user's own guess, in units of the box
UNROLLED = 64  # up to so many variables a sum over them is a chain of additions, which XLA fuses and vectorises


class Rules(NamedTuple):
    """The numbers that decide how a local search steps and when it ends; traced, so that new ones compile nothing."""

    ftol: jax.Array
    """Converged when the quasi-Newton model promises a decrease of less than this times abs(f)."""
    xtol: jax.Array
    """Converged when the quasi-Newton step is shorter than this in every variable, in units of the box."""
    first_step: Any
    """Length of the first trial step, in units of the box, () or (1,); None until the engine sets that of each lane."""
    max_nfev: jax.Array
    """Evaluations of one local search."""
    target: jax.Array
    """A value at or below this ends the search."""
    noise: jax.Array
    """Error of a value, beyond the rounding error."""


class Region(NamedTuple):
    """Where a local search may go, each (n,) or (n, 1), in the user's coordinates."""

    lower: jax.Array
    """-inf where the variable is open."""
    upper: jax.Array
    """+inf where the variable is open."""
    width: jax.Array
    """The unit of length of each variable: the width of the box. Zero fixes the variable."""


def region(lower: Any, upper: Any, open: np.ndarray) -> Region:
    """Where the local searches may go. lower, upper: (..., n), concrete or traced. open: (2, n)."""
    xp = np if isinstance(lower, np.ndarray) else jnp
    infinite = np.asarray(np.inf, lower.dtype)
    below, above = (np.broadcast_to(side, lower.shape) for side in open)
    low: Any = xp.where(below, -infinite, lower)
    high: Any = xp.where(above, infinite, upper)
    return Region(low, high, upper - lower)


@dataclasses.dataclass(frozen=True)
class BFGS:
    """The bounded BFGS local search, with its options.

    Attributes:
        ftol: converged when the quasi-Newton model promises a decrease of less than this times abs(fun); at least ten
            eps of the dtype.
        xtol: converged when the quasi-Newton step is shorter than this in every variable, in units of the box; None
            takes eps^0.6, at most 1e-5: 4e-10 in float64 and 1e-5 in float32.
        first_step: length of the first trial step, in units of the box. None takes the spacing of the level, but at
            most a quarter: a search looks about in its own cell first; and a tenth where your own guesses are searched.
        max_nfev: evaluations of one local search.

    Example:
        >>> import jaxglobal as jg
        >>> result = jg.minimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)], local=jg.BFGS(max_nfev=50))
    """

    ftol: float = 1e-12
    xtol: float | None = None
    first_step: float | None = None
    max_nfev: int = 1000

    def __post_init__(self):
        """Raises ValueError for an option that makes no sense."""
        for name in ("ftol", "xtol", "first_step"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
                raise TypeError(f"`{name}` must be a number; got {value!r}.")
            if value is not None and not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a finite number of at least 0; got {value}.")
        if self.first_step is not None and not 0 < self.first_step <= 1:
            raise ValueError(f"`first_step` must be in (0, 1]; got {self.first_step}.")
        if isinstance(self.max_nfev, bool) or not isinstance(self.max_nfev, int | np.integer):
            raise TypeError(f"`max_nfev` must be a whole number; got {self.max_nfev!r}.")
        if self.max_nfev < 1:
            raise ValueError(f"`max_nfev` must be at least 1; got {self.max_nfev}.")

    def step(self, spacing: float = GUESS_STEP) -> float:
        """The first step of searches whose starts are so far apart, in units of the box."""
        return min(spacing, LONGEST_FIRST_STEP) if self.first_step is None else self.first_step

    def rules(self, dtype: np.dtype, target: float | None, noise: float = 0.0) -> Rules:
        """The options as numbers of the dtype, the first step apart. noise: error of a value."""
        eps = float(jnp.finfo(dtype).eps)
        numbers: dict[str, Any] = {
            "ftol": np.asarray(max(self.ftol, 10 * eps), dtype),
            "xtol": np.asarray(min(eps**0.6, LONGEST_LAST_STEP) if self.xtol is None else self.xtol, dtype),
            "first_step": None,
            "max_nfev": np.int32(min(self.max_nfev, 2**31 - 1)),
            "target": np.asarray(-math.inf if target is None else target, dtype),
            "noise": np.asarray(noise, dtype),
        }
        return Rules(**numbers)


def read(given: Any) -> BFGS:
    """The local search for `local=`."""
    if isinstance(given, str) and given == "auto":
        return BFGS()
    if isinstance(given, BFGS):
        return given
    raise TypeError(f'`local` must be "auto" or a jaxglobal.BFGS; got {given!r}.')


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
    H: jax.Array
    """(n, n) Approximation of the inverse Hessian at `x`, in units of the box; meaningless while `updates` is 0."""
    p: jax.Array
    """(n,) The direction of the line search, in units of the box."""
    slope: jax.Array
    """(1,) g'p."""
    bracket: Bracket
    """The line search from `x` along `p`."""
    updates: jax.Array
    """(1,) BFGS updates made so far; -1 where the search begins again at `x`, without H."""
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


def begin(x: jax.Array) -> Lane:
    """A local search from x, which must lie inside the region."""
    vector, zero, count = jnp.zeros_like(x), jnp.zeros_like(x[:1]), jnp.zeros_like(x[:1], jnp.int32)
    return Lane(
        trial=x,
        x=x,
        f=zero,
        g=vector,
        H=jnp.zeros((len(x), *x.shape), x.dtype),
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


def advance(lane: Lane, f, g, region: Region, rules: Rules, once: Callable = lambda compute: compute()) -> Lane:
    """The lane after the evaluation of `lane.trial`.

    f: value, shape (1,). g: gradient in the user's coordinates, (n,). once: calls a function so that the compiler
    computes its result once, instead of again in every operation that reads it.
    """
    eps = jnp.finfo(lane.x.dtype).eps
    lower, upper, width = region
    begins = lane.nfev == 0
    fresh = begins | (lane.updates < 0)
    valued = jnp.isfinite(f)
    finite = valued & jnp.isfinite(total(jnp.abs(g)))
    best = (valued & (f < lane.best_f)) | begins
    best_f = jnp.where(best, jnp.where(valued, f, jnp.inf), lane.best_f)
    f, g = jnp.where(finite, f, jnp.inf), jnp.where(finite, g * width, 0)

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

    # The BFGS update H + s c' - rho u s', with u = H y and c = (1 + rho y'u) rho s - rho u, [NW] 6.17; v = H q.
    update = accept & ~fresh & (sy > eps * jnp.sqrt(ss * yy))
    first = fresh | (lane.updates == 0)
    rho = jnp.where(update, 1 / jnp.where(update, sy, 1), 0)
    gamma = jnp.where(update, sy / jnp.where(update, yy, 1), 1)
    u, v = once(lambda: (
        jnp.where(first, gamma * y, product(lane.H, y)),
        jnp.where(first, gamma * q, product(lane.H, q)),
    ))  # fmt: skip
    yu, uq, sq = once(lambda: (total(y * u), total(u * q), total(s * q)))

    def direction():
        c = (1 + rho * yu) * rho * s - rho * u
        p = -(v + s * ((1 + rho * yu) * rho * sq - rho * uq) - sq * rho * u)
        return c, rho * u, jnp.where((q == 0) | outward(lane.trial, -p, region), 0, p)

    c, ru, p = once(direction)
    H = jnp.where(first, gamma[None] * identity(s), lane.H) + s[:, None] * c[None, :] - ru[:, None] * s[None, :]

    # The next line search, or the next trial of this one.
    slope, p_max = once(lambda: (total(p * q), highest(jnp.abs(p))))
    downhill = slope < -eps * q_max * p_max
    p = jnp.where(accept, jnp.where(downhill, p, -q), lane.p)
    updates = jnp.where(first, 0, lane.updates)
    updates = jnp.where(accept, jnp.where(downhill, updates + update, 0), updates)
    step = jnp.where(
        updates > 0,
        1.0,
        rules.first_step / jnp.where(downhill & (p_max > 0), p_max, jnp.maximum(q_max, jnp.finfo(eps).tiny)),
    )
    slope = jnp.where(accept, jnp.where(downhill, slope, -qq), lane.slope)
    bracket = choose(accept, linesearch.begin(step, f, slope), bracket)
    x, f_x, g_x = choose(accept, (lane.trial, f, g), (lane.x, lane.f, lane.g))
    trial = jnp.clip(x + bracket.step * (p * width), lower, upper)

    # The end.
    predicted = -0.5 * slope
    near = (predicted <= rules.ftol * jnp.abs(f) + rules.noise) | (p_max <= rules.xtol)
    modelled = accept & (updates > 0)
    converged = modelled & near & (p_max <= SUPERLINEAR * moved)
    exact = modelled & (predicted <= eps * jnp.abs(f) + rules.noise)
    doubted = (
        (converged | exact)
        & (q_max > jnp.abs(f))
        & (predicted < DOUBTED * jnp.abs(f))
        & (f < lane.doubted_f - DOUBTED * jnp.abs(f))
    )
    converged = (converged & ~doubted) | (accept & (q_max <= eps * jnp.abs(f)))
    precise = lost | (exact & ~doubted) | (highest(jnp.where(trial == x, 0.0, 1.0)) == 0)
    nfev = lane.nfev + 1
    status = jnp.where(nfev >= rules.max_nfev, LocalStatus.EVALUATION_LIMIT, LocalStatus.RUNNING)
    status = jnp.where(precise, LocalStatus.CONVERGED_TO_PRECISION, status)
    status = jnp.where(converged, LocalStatus.CONVERGED, status)
    status = jnp.where(best_f <= rules.target, LocalStatus.TARGET_REACHED, status)
    status = jnp.where(
        begins & ~finite, jnp.where(valued, LocalStatus.NONFINITE_GRADIENT, LocalStatus.NONFINITE_VALUE), status
    )
    return Lane(
        trial=jnp.where(doubted, x, trial),
        x=x,
        f=f_x,
        g=g_x,
        H=H,
        p=p,
        slope=slope,
        bracket=bracket,
        updates=jnp.where(doubted, -1, updates),
        doubted_f=jnp.where(doubted, f, jnp.where(begins, jnp.inf, lane.doubted_f)),
        size=jnp.where(accept, size, lane.size),
        best_x=jnp.where(best, lane.trial, lane.best_x),
        best_f=best_f,
        nfev=nfev,
        status=status.astype(jnp.int32),
    )


def outward(x: jax.Array, g: jax.Array, region: Region) -> jax.Array:
    """Whether a step against g would leave the region, variable by variable; also where the variable is fixed."""
    return ((x <= region.lower) & (g > 0)) | ((x >= region.upper) & (g < 0)) | (region.width <= 0)


def product(H: jax.Array, v: jax.Array) -> jax.Array:
    """H v for a symmetric H."""
    if len(v) > UNROLLED:
        return jnp.sum(H * v[:, None], axis=0)
    return sum((H[j] * v[j : j + 1] for j in range(1, len(v))), H[0] * v[:1])


def total(v: jax.Array) -> jax.Array:
    """The sum over the variables, shape (1,)."""
    if len(v) > UNROLLED:
        return jnp.sum(v, axis=0, keepdims=True)
    return sum((v[i : i + 1] for i in range(1, len(v))), v[:1])


def highest(v: jax.Array) -> jax.Array:
    """The maximum over the variables, shape (1,)."""
    return jnp.max(v, axis=0, keepdims=True)


def identity(v: jax.Array) -> jax.Array:
    """The identity matrix, of shape (n, n) or (n, n, 1), for a v of shape (n,) or (n, L)."""
    return jnp.eye(len(v), dtype=v.dtype).reshape(len(v), len(v), *(1,) * (v.ndim - 1))


def choose(condition: jax.Array, yes, no):
    """`yes` where the condition holds, else `no`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
