"""Quotients whose derivatives are in range wherever they are themselves.

JAX's rule for x / y divides by y^2. In float32 that has no value for y = w^2 and a width w of 1e-10, as in the exponent
of a Gaussian whose abscissae are wavelengths in metres. Here the derivative is (dx - (x / y) dy) / y.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from jaxglobal.problem import canonical


@jax.custom_jvp
def divide(x: jax.Array, y: jax.Array) -> jax.Array:
    """The quotient x / y."""
    return lax.div(x, y)


@divide.defjvp
def _moved(primals: tuple[Any, Any], moves: tuple[Any, Any]) -> tuple[Any, Any]:
    (x, y), (dx, dy) = primals, moves
    quotient = divide(x, y)
    return quotient, divide(dx - quotient * dy, y)


def careful(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The function of arrays, with such quotients in float32."""

    def call(*args):
        closed = jax.make_jaxpr(function)(*args)
        return evaluate(closed, *jax.tree.leaves(args))[0]

    return call


def evaluate(closed: ClosedJaxpr, *args: Any) -> list[Any]:
    """What the traced function returns, with such quotients in float32, apart from those inside loops and branches."""
    jaxpr = closed.jaxpr
    if not _divides(jaxpr):
        return jaxpr_as_fun(closed)(*args)
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True))

    def read(var):
        return known[var] if _named(var) else var.val

    needed = {var for part in [*(eqn.invars for eqn in jaxpr.eqns), jaxpr.outvars] for var in part if _named(var)}
    for eqn in jaxpr.eqns:
        outs = [var for var in eqn.outvars if var in needed]
        if _is_quotient(eqn):
            values = [divide(*map(read, eqn.invars))]
        elif eqn.primitive.name in canonical.CALLS:
            values = evaluate(eqn.params["jaxpr"], *map(read, eqn.invars))
            values = [value for var, value in zip(eqn.outvars, values, strict=True) if var in needed]
        else:
            ins = list(dict.fromkeys(filter(_named, eqn.invars)))
            one = jaxpr.replace(constvars=[], invars=ins, outvars=outs, eqns=[eqn])
            values = jaxpr_as_fun(ClosedJaxpr(one, []))(*map(read, ins))
        known.update(zip(outs, values, strict=True))
    return [read(var) for var in jaxpr.outvars]


def _named(var: Any) -> bool:
    return not isinstance(var, Literal)


def _is_quotient(eqn: Any) -> bool:
    return eqn.primitive.name == "div" and eqn.outvars[0].aval.dtype == jnp.float32


def _divides(jaxpr: Jaxpr) -> bool:
    """Whether there is a quotient in it, or in a `jax.jit` inside it."""
    return any(
        _is_quotient(eqn) or (eqn.primitive.name in canonical.CALLS and _divides(eqn.params["jaxpr"].jaxpr))
        for eqn in jaxpr.eqns
    )
