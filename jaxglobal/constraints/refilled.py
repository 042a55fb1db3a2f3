"""Many small iterations side by side, as a traced program: where one is over, the next takes its place.

Under `vmap` a loop goes on until the slowest of a batch is over, which for Newton's method takes three times the steps
of the mean. Here as many lanes as pay take what waits, so that a lane idles only once nothing is left.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Iteration(NamedTuple):
    """An iteration of one case, whose state is any tree of arrays."""

    begin: Callable[[Any], Any]
    """begin(given) -> state."""
    over: Callable[[Any, Any], jax.Array]
    """over(state, given) -> (), whether no step is left to take."""
    advance: Callable[[Any, Any], Any]
    """advance(state, given) -> state, a step later."""
    result: Callable[[Any], Any]
    """result(state) -> what is kept of it."""


def alone(iteration: Iteration, given: Any) -> Any:
    """The result of one case."""
    state = lax.while_loop(
        lambda state: ~iteration.over(state, given),
        lambda state: iteration.advance(state, given),
        iteration.begin(given),
    )
    return iteration.result(state)


def refilled(iteration: Iteration, given: Any, count: jax.Array, lanes: int) -> Any:
    """The results, each (N, ...), of the first `count` of N cases, each (N, ...), in so many lanes."""
    N = len(jax.tree.leaves(given)[0])
    many: list[Any] = [jax.vmap(part) for part in iteration]
    begin, over, advance, result = many

    def taken(slot: jax.Array) -> Any:
        return jax.tree.map(lambda every: every[jnp.minimum(slot, N - 1)], given)

    def refill(slot, following, own, state, told):
        """Writes down what is over, and gives its lanes the next cases."""
        ends = over(state, own) & (slot < count)
        row = jnp.where(ends, slot, N)
        told = jax.tree.map(lambda every, new: every.at[row].set(new, mode="drop"), told, result(state))
        slot = jnp.where(ends, following + jnp.cumsum(ends) - 1, slot)
        fresh = taken(slot)
        own, state = (
            jax.tree.map(lambda new, old: jnp.where(_like(ends, new), new, old), *pair)
            for pair in ((fresh, own), (begin(fresh), state))
        )
        return slot, following + jnp.sum(ends), own, state, told

    def tick(carry):
        slot, following, own, state, told = carry
        stays = over(state, own)
        state = jax.tree.map(lambda new, old: jnp.where(_like(stays, new), old, new), advance(state, own), state)
        some = jnp.any(over(state, own) & (slot < count))
        carry = slot, following, own, state, told
        return lax.cond(some, lambda: refill(*carry), lambda: carry)

    slot = jnp.arange(lanes)
    own = taken(slot)
    told = jax.tree.map(lambda leaf: jnp.zeros((N, *leaf.shape[1:]), leaf.dtype), result(begin(own)))
    carry = slot, jnp.asarray(lanes), own, begin(own), told
    return lax.while_loop(lambda carry: jnp.any(carry[0] < count), tick, carry)[-1]


def in_blocks(function: Callable[..., Any], given: Any, count: jax.Array, block: int) -> Any:
    """The results, each (N, ...), of a function of one case for the first `count` of N cases, so many at a time.

    N is a multiple of the block.
    """
    N, many = len(jax.tree.leaves(given)[0]), jax.vmap(function)

    def run(i: Any) -> Any:
        return many(*jax.tree.map(lambda every: lax.dynamic_slice_in_dim(every, i * block, block), given))

    def body(i, told):
        put = functools.partial(lax.dynamic_update_slice_in_dim, start_index=i * block, axis=0)
        return jax.tree.map(put, told, run(i))

    told = jax.tree.map(lambda leaf: jnp.zeros((N, *leaf.shape[1:]), leaf.dtype), jax.eval_shape(run, 0))
    return lax.fori_loop(0, -(-count // block), body, told)


def _like(which: jax.Array, leaf: jax.Array) -> jax.Array:
    """(L,) which, so that it broadcasts with a leaf, (L, ...)."""
    return which.reshape(-1, *(1,) * (leaf.ndim - 1))
