"""Derivatives in whichever mode JAX can form them: in reverse as a rule, forwards where that is all there is.

Reverse mode does not know `lax.while_loop`, whose number of steps is found out only at run time; forward mode does not
know `jax.custom_vjp`, and with it most solvers of differential equations. What works is found by trying, each time a
program is traced: nothing is remembered that could become wrong.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree

from jaxglobal.problem.region import Region

FAILURES = (TypeError, ValueError, NotImplementedError, RuntimeError)  # what JAX, or a rule of the user's, raises
AT_ONCE = 256  # forward tangents side by side

Value = Callable[..., jax.Array]
Product = Callable[[jax.Array, jax.Array], jax.Array]


def value_and_grad(value: Value) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """As `jax.value_and_grad`, for value(x, *rest) with x of shape (n,); by n forward tangents where that fails.

    Raises:
        TypeError: neither mode works; when it is traced.
    """
    reverse = jax.value_and_grad(value)

    def call(x: jax.Array, *rest: Any) -> tuple[jax.Array, jax.Array]:
        try:
            return reverse(x, *rest)
        except FAILURES as error:
            return _forward(value, error, x, *rest)

    return call


def grad(value: Value) -> Callable[..., jax.Array]:
    """As `jax.grad`, likewise."""
    both = value_and_grad(value)
    return lambda x, *rest: both(x, *rest)[1]


def jacobian(function: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
    """The Jacobian, (N, n), of a function from (n,) to (N,): forwards, or by rows where that fails.

    Raises:
        TypeError: neither mode works; when it is traced.
    """

    def call(p: jax.Array) -> jax.Array:
        if works(lambda: jax.jacfwd(function)(p)):
            return jax.jacfwd(function)(p)
        try:
            return jax.jacrev(function)(p)
        except FAILURES as error:
            raise unable("model", error) from error

    return call


def curvature(value: Value, x: jax.Array) -> Product | None:
    """product(x, v), the Hessian of value(x) times v; None where JAX has no second derivatives of it."""
    slope = grad(value)
    ways: tuple[Product, ...] = (
        lambda x, v: jax.jvp(slope, (x,), (v,))[1],
        lambda x, v: jax.vjp(slope, x)[1](v)[0],  # a Hessian is symmetric
    )
    return next((way for way in ways if works(lambda: jax.vmap(way, in_axes=(None, 0))(x, x[None]))), None)  # noqa: B023


def by_rows(value: Value, x: jax.Array, args: Any, region: Region) -> Callable[[jax.Array, Any], Any]:
    """moved(d_x, d_args) -> how the value, (), and its gradient in x, (n,), move; by products with arrays.

    These are linear in both, so that they can be transposed, whatever the mode in which the arrays were formed. Where
    JAX has no second derivatives, they are central differences of the gradients.
    """
    leaves, treedef = jax.tree.flatten(args)
    real = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    point, unravel = ravel_pytree((x, [leaves[i] for i in real]))

    def along(point: jax.Array) -> jax.Array:
        x, moved = unravel(point)
        given = list(leaves)
        for i, leaf in zip(real, moved, strict=True):
            given[i] = leaf
        return value(x, jax.tree.unflatten(treedef, given))

    slope, units = grad(along), jnp.eye(len(x), len(point), dtype=point.dtype)

    def forward() -> jax.Array:
        return jax.vmap(lambda unit: jax.jvp(slope, (point,), (unit,))[1])(units)

    def reverse() -> jax.Array:
        _, pull = jax.vjp(lambda point: slope(point)[: len(x)], point)
        return jax.vmap(lambda row: pull(row)[0])(units[:, : len(x)])

    def apart() -> jax.Array:
        return differences(lambda x: slope(jnp.concatenate([x, point[len(x) :]])), x, region)

    rows = next(way for way in (forward, reverse, apart) if way is apart or works(way))()
    first = slope(point)

    def moved(d_x: jax.Array, d_args: Any) -> Any:
        of_leaves = jax.tree.leaves(d_args)
        move, _ = ravel_pytree((d_x, [of_leaves[i] for i in real]))
        return first @ move, rows @ move

    return moved


def differences(function: Callable[[jax.Array], jax.Array], x: jax.Array, region: Region) -> jax.Array:
    """The central differences of a function of x, (n,), one row a variable, inside the box; zero for fixed ones."""
    step = float(jnp.finfo(x.dtype).eps) ** (1 / 3) * region.width

    def along(unit: jax.Array) -> jax.Array:
        above, below = (jnp.clip(x + side * step * unit, region.lower, region.upper) for side in (1, -1))
        span = jnp.sum(above - below)
        return (function(above) - function(below)) / jnp.where(span > 0, span, 1)

    return jax.vmap(along)(jnp.eye(len(x), dtype=x.dtype))


def pushes(function: Callable[..., Any], primals: Any, moves: Any) -> bool:
    """Whether JAX can differentiate the function forwards along these moves, as for `jax.jvp`."""

    def push(size: jax.Array) -> Any:
        scaled = jax.tree.map(lambda v: v if v.dtype == jax.dtypes.float0 else v * size.astype(v.dtype), moves)
        return jax.jvp(function, primals, scaled)[1]

    # Alone, what only reverse mode can differentiate passes here, and fails when it is compiled; not so under vmap.
    return works(lambda: jax.vmap(push)(jnp.ones(1)))


def works(function: Callable[[], Any]) -> bool:
    """Whether JAX can trace the function."""
    try:
        jax.eval_shape(function)
    except Exception:  # JAX raises one of its own, which has no public name, for a rule that is given a tracer
        return False
    return True


def unable(name: str, error: Exception) -> TypeError:
    """What is wrong with a function that JAX can differentiate in no mode. error: of JAX."""
    first = str(error).split("\n")[0]
    return TypeError(
        f"`{name}` must be differentiable by JAX, in reverse or in forward mode: give its loops a fixed length "
        "(`lax.fori_loop` with static bounds, `lax.scan`), or wrap it in `jaxglobal.host(...)` and do without "
        f"derivatives; got: {first}"
    )


def _forward(value: Value, error: Exception, x: jax.Array, *rest: Any) -> tuple[jax.Array, jax.Array]:
    """The value and its gradient by forward tangents. error: why not in reverse."""

    def push(i: jax.Array) -> jax.Array:
        return jax.jvp(lambda x: value(x, *rest), (x,), (jnp.zeros_like(x).at[i].set(1),))[1]

    try:
        if len(x) <= AT_ONCE:
            g, f = jax.jacfwd(lambda x: (value(x, *rest),) * 2, has_aux=True)(x)
            return f, g
        return value(x, *rest), lax.map(push, jnp.arange(len(x)), batch_size=AT_ONCE)
    except FAILURES:
        raise unable("fun", error) from error
