"""Largest and least entries of an array, with slopes that are numbers.

JAX's slope of a maximum is the mean of those of the entries that equal it. XLA may compute the entries twice, in two
loops that round differently, as only one of them multiplies and adds in one step; then none equals the maximum, and the
slope is 0 / 0: in float64 a quarter of the searches of a least distance to ten points ended so, at their first point.
Where no entry does, the slope here is that of the first that is the largest when looked for: of one loop.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Jaxpr

from jaxglobal.problem import canonical

PLACES = {"reduce_max": jnp.argmax, "reduce_min": jnp.argmin}


def settled(jaxpr: Jaxpr) -> Jaxpr:
    """The jaxpr, and those inside it, with such slopes; itself if there is nothing to change."""
    known: dict[int, Any] = {}
    eqns = [_settled_equation(eqn, known) for eqn in jaxpr.eqns]
    changed = any(new is not old for new, old in zip(eqns, jaxpr.eqns, strict=True))
    return jaxpr.replace(eqns=eqns) if changed else jaxpr


def _settled_equation(eqn: Any, known: dict[int, Any]) -> Any:
    if eqn.primitive.name not in PLACES or not jnp.issubdtype(eqn.invars[0].aval.dtype, jnp.floating):
        return canonical.inside(eqn, settled, known)
    if not eqn.invars[0].aval.size:
        return eqn
    shape = jax.ShapeDtypeStruct(eqn.invars[0].aval.shape, eqn.invars[0].aval.dtype)
    (call,) = jax.make_jaxpr(jax.jit(extreme(eqn.primitive, tuple(eqn.params.items()))))(shape).eqns
    return eqn.replace(primitive=call.primitive, params=call.params)


@functools.lru_cache(128)
def extreme(primitive: Any, params: tuple[tuple[str, Any], ...]) -> Any:
    """The reduction, as a function of an array."""
    axes = dict(params)["axes"]

    @jax.custom_jvp
    def reduced(x: jax.Array) -> jax.Array:
        return primitive.bind(x, **dict(params))

    @reduced.defjvp
    def rule(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        (x,), (slope,) = primals, tangents
        y = reduced(x)
        equal = (x == jnp.expand_dims(y, axes)).astype(x.dtype)
        count, total = jnp.sum(equal, axes), jnp.sum(equal * slope, axes)  # side by side, so that both see the same
        first = jnp.sum(jnp.where(_first(primitive.name, x, axes), slope, 0), axes)
        return y, jnp.where(count > 0, total / jnp.where(count > 0, count, 1), first)

    return reduced


def _first(name: str, x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """Where along these axes x is the largest, or the least: at one place."""
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = jnp.moveaxis(x, axes, last)
    flat = moved.reshape(*moved.shape[: x.ndim - len(axes)], -1)
    place = PLACES[name](flat, axis=-1, keepdims=True)
    there = lax.broadcasted_iota(place.dtype, flat.shape, flat.ndim - 1) == place
    return jnp.moveaxis(there.reshape(moved.shape), last, axes)
