"""Typed PRNG keys among the args: the programs see their numbers, the user's function the keys."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def is_key(leaf: Any) -> bool:
    """Whether a leaf is an array of typed keys."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def numbers(leaf: Any) -> Any:
    """The numbers of a typed key; any other leaf as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def makers(variables: Sequence[Any]) -> list[Callable[[Any], Any]]:
    """`maker` for variables of a jaxpr."""
    return [maker(jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype)) for var in variables]


def maker(leaf: Any) -> Callable[[Any], Any]:
    """The inverse of `numbers`, for a leaf, or its shape and dtype, of this kind."""
    if not is_key(leaf):
        return lambda given: given
    kinds = []
    jax.eval_shape(lambda key: kinds.append(jax.random.key_impl(key)), jax.ShapeDtypeStruct((), leaf.dtype))
    return lambda given: jax.random.wrap_key_data(given, impl=kinds[0])
