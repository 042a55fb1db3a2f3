"""The minimisers of many problems to their last digits, as a traced program."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxglobal.engine import sweep
from jaxglobal.local import implicit
from jaxglobal.problem import modes
from jaxglobal.problem.region import Region

POLISHED_AT_ONCE = 256  # problems


def polish_all(
    value: Callable[..., jax.Array], x: jax.Array, f: jax.Array, problems: sweep.Problems, own: tuple[bool, ...],
    jumps: bool,
) -> implicit.Polished:  # fmt: skip
    """The minimisers of P problems, (P, n), to their last digits; where f may jump, with the values of single calls."""
    leaves, treedef = jax.tree.flatten(problems)
    of_each = tuple(leaf for leaf, differs in zip(leaves, own, strict=True) if differs)

    def problem(own_leaves):
        left = iter(own_leaves)
        return jax.tree.unflatten(
            treedef, [next(left) if differs else leaf for leaf, differs in zip(leaves, own, strict=True)]
        )

    def polish(case):
        x, f, own_leaves = case
        region, args = problem(own_leaves)
        here = lambda x: value(x, args)  # noqa: E731
        polished = implicit.kept(here, x, f, implicit.polish(here, x, f, Region(*region)))
        return polished, modes.grad(here)(x) if jumps else polished.g

    if len(x) == 1:
        case = jax.tree.map(lambda leaf: leaf[0], (x, f, of_each))
        polished, g = jax.tree.map(lambda leaf: leaf[None], polish(case))
    else:
        polished, g = lax.map(polish, (x, f, of_each), batch_size=min(POLISHED_AT_ONCE, len(x)))
    if not jumps:
        return polished

    def alone(case):
        points, own_leaves = case
        return lax.map(lambda point: value(point, problem(own_leaves).args), points)

    # At a jump the values of many points at once may be those of its other side.
    told = lax.map(alone, (jnp.stack([polished.x, x], axis=1), of_each))
    told = jnp.where(jnp.isfinite(told), told, jnp.inf)
    back = told[:, 1] < told[:, 0]
    x, g = (jnp.where(back[:, None], a, b) for a, b in ((x, polished.x), (g, polished.g)))
    # Another program may give NaN there, at the edge of where it is defined: what was met counts.
    return polished._replace(x=x, g=g, f=jnp.where(jnp.isfinite(f), jnp.min(told, axis=1), polished.f))
