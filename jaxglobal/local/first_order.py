"""First-order local searches: the steps of any optax transformation, projected on the box.

For models whose values are noisy, or so large that a line search costs too much: no value is ever compared but to keep
the best point, and no curvature is kept but what the transformation keeps itself.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.local import descent
from jaxglobal.local.descent import GUESS_STEP, Rules, choose_by_lane, highest, outward
from jaxglobal.problem.region import Region

if TYPE_CHECKING:
    import optax  # which takes a while to import


class Lane(NamedTuple):
    """A first-order search between two evaluations. Shapes are for one start; lanes come last."""

    trial: jax.Array
    """(n,) The point to evaluate next, inside the region."""
    x: jax.Array
    """(n,) The last point whose value and gradient were finite."""
    f: jax.Array
    """(1,) Its value."""
    g: jax.Array
    """(n,) Its gradient, in units of the box."""
    memory: Any
    """The state of the transformation."""
    best_x: jax.Array
    """(n,) The best point evaluated so far."""
    best_f: jax.Array
    """(1,) Its value; +inf where no value was finite."""
    nfev: jax.Array
    """(1,) Evaluations so far; at 0 every other field but `trial` is meaningless."""
    status: jax.Array
    """(1,) A `LocalStatus`."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """A search by the steps of a transformation; a `descent.Program`."""

    transformation: "optax.GradientTransformation"

    def begin(self, x: jax.Array) -> Lane:
        """See `descent.Program`."""
        zero, count = jnp.zeros_like(x[:1]), jnp.zeros_like(x[:1], jnp.int32)
        return Lane(x, x, zero, jnp.zeros_like(x), self.start(x), x, zero + jnp.inf, count, count)

    def start(self, x: jax.Array) -> Any:
        """The state of the transformation at x."""
        return each_lane(self.transformation.init, x)(x)

    def advance(
        self, lane: Lane, f, g, region: Region, rules: Rules, once: Callable = lambda compute: compute()
    ) -> Lane:
        """See `descent.Program`."""
        lower, upper, width = region
        seen = descent.see(lane, f, g, region)
        f, g, finite = seen.f, seen.g, seen.finite
        x, f_x, g_x = (jnp.where(finite, new, old) for new, old in ((lane.trial, lane.x), (f, lane.f), (g, lane.g)))

        # The transformation sees x and its steps in units of the box.
        unit = x / jnp.where(width > 0, width, 1)
        fresh = self.start(unit)
        memory = choose_by_lane(seen.begins[0], fresh, lane.memory)
        import optax

        update = optax.with_extra_args_support(self.transformation).update
        steps, after = each_lane(lambda g, memory, x, f: update(g, memory, x, value=f, grad=g), x)(
            g, memory, unit, f[0]
        )
        after = jax.tree.map(lambda new, old: new.astype(old.dtype), after, memory)
        steps = jnp.where(jnp.isfinite(steps), steps, 0).astype(x.dtype)
        # A bad trial is no step: the next one is half as far from the last good point, and the transformation begins
        # anew there, as its momentum would lead to bad trials again.
        back = lane.x + (lane.trial - lane.x) / 2
        trial = jnp.where(finite, jnp.clip(x + steps * width, lower, upper), back)

        q_max = highest(jnp.abs(jnp.where(outward(x, g, region), 0, g)))
        converged = finite & (q_max <= rules.ftol * jnp.abs(f))
        stuck = ~finite & (highest(jnp.where(trial == lane.trial, 0.0, 1.0)) == 0)
        nfev = lane.nfev + 1
        return Lane(
            trial=trial,
            x=x,
            f=f_x,
            g=g_x,
            memory=choose_by_lane(finite[0], after, fresh),
            best_x=jnp.where(seen.better, lane.trial, lane.best_x),
            best_f=seen.best_f,
            nfev=nfev,
            status=descent.judge(seen, nfev, converged, stuck, rules),
        )


def each_lane(function: Callable, x: jax.Array) -> Callable:
    """A function of one start, for all lanes where x has them."""
    return function if x.ndim == 1 else jax.vmap(function, in_axes=-1, out_axes=-1)


@dataclasses.dataclass(frozen=True)
class Optax:
    """A first-order local search by the steps of an optax transformation, for large or noisy models.

    Each step is projected on the box, and the best point that was evaluated is what the search returns. The
    transformation sees a flat x, its gradient and its steps in units of the box: with `optax.adam(0.01)` a step is a
    hundredth of the box. A search ends after its steps with the status EVALUATION_LIMIT, or before with CONVERGED.
    Programs are compiled anew for each transformation: make it once, not in every call.

    Attributes:
        transformation: any `optax.GradientTransformation` whose update needs no function (as line searches do).
        steps: evaluations of one local search.
        gtol: converged when the gradient of the variables that may move promises a change of less than this times
            abs(fun) across the box; at least ten eps of the dtype.

    Example:
        >>> import jax.numpy as jnp, optax, jaxglobal as jg
        >>> adam = optax.adam(optax.cosine_decay_schedule(0.1, 200))
        >>> fun = lambda x: jnp.sum((x - 1) ** 2) + 1
        >>> result = jg.minimize(fun, [(-3, 4)] * 3, local=jg.Optax(adam, steps=200))
        >>> bool(result.fun < 1 + 1e-3)
        True
    """

    transformation: "optax.GradientTransformation"
    steps: int = 1000
    gtol: float = 1e-8

    def __post_init__(self):
        """Raises TypeError or ValueError for an option that makes no sense."""
        import optax

        descent.check_options(self, ("gtol",), ("steps",))
        if not isinstance(self.transformation, optax.GradientTransformation):
            raise TypeError(
                f"`transformation` must be an optax.GradientTransformation; got {type(self.transformation).__name__}."
            )
        try:
            self._update_of_one_variable()
        except Exception as error:
            raise TypeError(
                "`transformation` must have an update(gradient, state, x) that needs no further function; "
                f"got one that raises {type(error).__name__}: {' '.join(str(error).split())[:200]}."
            ) from error

    def _update_of_one_variable(self) -> Any:
        """The jaxpr of a step."""
        import optax

        lane = jnp.zeros((1,))
        update = optax.with_extra_args_support(self.transformation).update
        return jax.make_jaxpr(lambda g, x: update(g, self.transformation.init(x), x, value=x[0], grad=g))(lane, lane)

    @property
    def program(self) -> Steps:
        """See `descent.Local`."""
        return Steps(self.transformation)

    @property
    def identity(self) -> Any:
        """See `descent.Local`."""
        return "Optax", self.steps, self.gtol, str(self._update_of_one_variable())

    def numbers(self, n: int) -> int:
        """See `descent.Local`."""
        state = jax.eval_shape(self.transformation.init, jax.ShapeDtypeStruct((n,), np.float32))
        return sum(leaf.size for leaf in jax.tree.leaves(state)) + 8 * n + 8

    def step(self, spacing: float = GUESS_STEP) -> float:
        """See `descent.Local`; the transformation decides itself how far it steps."""
        return GUESS_STEP

    def rules(self, dtype: np.dtype, target: float | None, noise: float = 0.0) -> Rules:
        """See `descent.Local`."""
        return descent.make_rules(dtype, self.gtol, 0.0, self.steps, target, noise)
