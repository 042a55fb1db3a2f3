"""What every local search shares: where it may go, when it ends, and how it is run.

A local search is a `Program` of two pure functions of one start. `begin(x)` makes a lane; `lane.trial` is the point
that it wants evaluated; `advance(lane, f, g, ...)` takes the value and the gradient there. Whoever runs it (sweep.py,
still_lanes.py, traced.py) reads of a lane its `trial`, `f`, `g`, `best_x`, `best_f`, `nfev` and `status`, and knows
that a new search reads nothing of the old one's `memory`.

Every array has the variables first and may have lanes last; what is a number for one start has shape (1,) there, so
that the same lines serve x of shape (n,) and of shape (n, L). (`jax.vmap` would do it too, but it moves the lanes to
the front, where XLA no longer vectorises over them: twice as slow in 10-D.)
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

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


class Program(Protocol):
    """A local search as two functions; hashable, as compiled programs are kept by it."""

    def begin(self, x: jax.Array) -> Any:
        """A lane that searches from x, which must lie inside the region."""
        ...

    def advance(self, lane: Any, f, g, region: Region, rules: Rules, once: Callable = ...) -> Any:
        """The lane after the evaluation of `lane.trial`.

        f: value, shape (1,). g: gradient in the user's coordinates, (n,). once: calls a function so that the compiler
        computes its result once, instead of again in every operation that reads it.
        """
        ...


class Local(Protocol):
    """What a local search with its options has to offer; see `BFGS`, `LBFGS` and `Optax`."""

    @property
    def program(self) -> Program:
        """The part that is compiled."""
        ...

    @property
    def identity(self) -> Any:
        """What tells it from others, for a checkpoint."""
        ...

    def numbers(self, n: int) -> int:
        """The numbers that a lane holds, for n variables."""
        ...

    def step(self, spacing: float = GUESS_STEP) -> float:
        """The first step of searches whose starts are so far apart, in units of the box."""
        ...

    def rules(self, dtype: np.dtype, target: float | None, noise: float = 0.0) -> Rules:
        """The options as numbers of the dtype, the first step apart. noise: error of a value."""
        ...


def check_options(options: Any, tolerances: tuple[str, ...], counts: tuple[str, ...]) -> None:
    """Raises TypeError or ValueError for an option of a local search that makes no sense."""
    for name in tolerances:
        value = getattr(options, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float | np.number)):
            raise TypeError(f"`{name}` must be a number; got {value!r}.")
        if value is not None and not 0 <= value < math.inf:
            raise ValueError(f"`{name}` must be a finite number of at least 0; got {value}.")
    for name in counts:
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1; got {value}.")


def make_rules(dtype: np.dtype, ftol: float, xtol: float, max_nfev: int, target: float | None, noise: float) -> Rules:
    """The rules as numbers of the dtype, the first step apart; ftol at least ten eps."""
    numbers: dict[str, Any] = {
        "ftol": np.asarray(max(ftol, 10 * float(jnp.finfo(dtype).eps)), dtype),
        "xtol": np.asarray(xtol, dtype),
        "first_step": None,
        "max_nfev": np.int32(min(max_nfev, 2**31 - 1)),
        "target": np.asarray(-math.inf if target is None else target, dtype),
        "noise": np.asarray(noise, dtype),
    }
    return Rules(**numbers)


class Seen(NamedTuple):
    """An evaluation as a local search sees it."""

    f: jax.Array
    """(1,) The value; +inf where it or the gradient is not finite."""
    g: jax.Array
    """(n,) The gradient in units of the box; 0 where it or the value is not finite."""
    begins: jax.Array
    """(1,) Whether it is the first of the search."""
    valued: jax.Array
    """(1,) Whether the value is finite."""
    finite: jax.Array
    """(1,) Whether the gradient is finite too."""
    better: jax.Array
    """(1,) Whether it is the best so far."""
    best_f: jax.Array
    """(1,) The best value so far; +inf where none was finite."""


def see(lane: Any, f: jax.Array, g: jax.Array, region: Region) -> Seen:
    """The evaluation of `lane.trial`."""
    begins = lane.nfev == 0
    valued = jnp.isfinite(f)
    finite = valued & jnp.isfinite(total(jnp.abs(g)))
    better = (valued & (f < lane.best_f)) | begins
    best_f = jnp.where(better, jnp.where(valued, f, jnp.inf), lane.best_f)
    f, g = jnp.where(finite, f, jnp.inf), jnp.where(finite, g * region.width, 0)
    return Seen(f, g, begins, valued, finite, better, best_f)


def judge(seen: Seen, nfev: jax.Array, converged: jax.Array, precise: jax.Array, rules: Rules) -> jax.Array:
    """The `LocalStatus`, (1,), after nfev evaluations. precise: whether no better point can be told apart."""
    status = jnp.where(nfev >= rules.max_nfev, LocalStatus.EVALUATION_LIMIT, LocalStatus.RUNNING)
    status = jnp.where(precise, LocalStatus.CONVERGED_TO_PRECISION, status)
    status = jnp.where(converged, LocalStatus.CONVERGED, status)
    status = jnp.where(seen.best_f <= rules.target, LocalStatus.TARGET_REACHED, status)
    bad = jnp.where(seen.valued, LocalStatus.NONFINITE_GRADIENT, LocalStatus.NONFINITE_VALUE)
    return jnp.where(seen.begins & ~seen.finite, bad, status).astype(jnp.int32)


def outward(x: jax.Array, g: jax.Array, region: Region) -> jax.Array:
    """Whether a step against g would leave the region, variable by variable; also where the variable is fixed."""
    return ((x <= region.lower) & (g > 0)) | ((x >= region.upper) & (g < 0)) | (region.width <= 0)


def total(v: jax.Array) -> jax.Array:
    """The sum over the variables, shape (1,)."""
    if len(v) > UNROLLED:
        return jnp.sum(v, axis=0, keepdims=True)
    return sum((v[i : i + 1] for i in range(1, len(v))), v[:1])


def highest(v: jax.Array) -> jax.Array:
    """The maximum over the variables, shape (1,)."""
    return jnp.max(v, axis=0, keepdims=True)


def choose(condition: jax.Array, yes, no):
    """`yes` where the condition holds, else `no`, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def choose_by_lane(condition: jax.Array, yes, no):
    """The same for a condition of shape (L,), or () for one start, whatever the other axes of a leaf."""
    if not condition.ndim:
        return choose(condition, yes, no)
    return jax.tree.map(lambda a, b: jnp.where(condition.reshape((1,) * (a.ndim - 1) + (-1,)), a, b), yes, no)
