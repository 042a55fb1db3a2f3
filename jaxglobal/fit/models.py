"""The user's model: traced, with what it closes over, and the parameters in which it is linear."""

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from jaxglobal.fit import quotients, separable
from jaxglobal.fit.units import Units
from jaxglobal.problem import canonical, extremes, keys, modes, objective, programs
from jaxglobal.problem.closed import Structure, check_precision, is_traced, read_constants, x64
from jaxglobal.problem.linear_algebra import as_it_is, one_at_a_time
from jaxglobal.problem.sequential import factorises
from jaxglobal.problem.untraceable import explained


def as_called(model: Any, structure: Structure, one_by_one: bool) -> Callable[[Any, Any], Any]:
    """The user's model as model(x, parts) -> (N,), for any x."""
    if not callable(model):
        raise TypeError(f"`model` must be a function model(x, *parameters); got {type(model).__name__}.")

    def call(x, parts):
        out = model(x, *parts) if one_by_one else model(x, structure.unflatten(jnp.stack(parts)))
        if out is None or isinstance(out, str | dict):  # of which JAX would say that it is no array
            raise TypeError(f"`model` must return as many real numbers as there are data; got {type(out).__name__}.")
        return jnp.ravel(jnp.asarray(out))

    return call


class Model(NamedTuple):
    """A model as it is now.

    Attributes:
        call: call(x, parts, constants) -> (N,).
        constants: the arrays that the user's model closes over.
        programs: where programs of this model are kept.
        safe: see `Regression`.
        text: text() is its jaxpr in words.
    """

    call: Callable[[Any, Any, Any], Any]
    constants: list[Any]
    programs: dict[Any, Any]
    safe: Callable[..., Any]
    text: Callable[[], str]


def read_model(model: Any, structure: Structure, one_by_one: bool, x: Any, N: int, own_x: bool = False) -> Model:
    """The user's model, traced; own_x: x has a last axis of many fits.

    Raises:
        TypeError: it does not take these parameters.
        ValueError: it does not return as many numbers as there are data.
    """
    n = structure.n
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[:-1] if own_x else leaf.shape, leaf.dtype), x)
    number = jax.ShapeDtypeStruct((), structure.dtype)
    takes, returns = f"x and the {n} parameters of the bounds", f"{N} real numbers, as many as `ydata`"
    count = 1 + n if one_by_one else 2
    with explained(model, "model", takes, returns, count, of="what it is given"):
        jaxpr = jax.make_jaxpr(as_called(model, structure, one_by_one))(shapes, [number] * n)
    out = jaxpr.out_avals[0]
    if out.shape not in ((N,), (1,)) or not jnp.issubdtype(out.dtype, jnp.floating):
        raise ValueError(f"`model` must return {returns}; got {out.shape[0]}, {out.dtype}.")
    check_precision(jaxpr, "model")
    layout = (structure.treedef, structure.shapes, structure.dtype, jax.tree.structure(x))
    key = ("regression", x64(), layout, one_by_one, N, canonical.key(jaxpr))
    made = _of_jaxpr(jaxpr, N, structure.dtype)
    return made._replace(constants=read_constants(jaxpr, "model"), programs=programs.of(key))


def _of_jaxpr(jaxpr: ClosedJaxpr, N: int, dtype: np.dtype) -> Model:
    """The model that was traced, without its constants."""
    body = canonical.lifted(jaxpr)
    makers, settled = keys.makers(body.invars[: len(body.invars) - len(jaxpr.in_avals)]), extremes.settled(body)

    def call(x, parts, constants):
        constants = [make(const) for make, const in zip(makers, constants, strict=True)]
        (values,) = quotients.evaluate(ClosedJaxpr(settled, []), *constants, *jax.tree.leaves(x), *parts)
        return jnp.broadcast_to(values, (N,)).astype(dtype)

    return Model(call, [], {}, one_at_a_time if factorises(body) else as_it_is, lambda: str(body))


def values_and_jacobian(model: Callable[..., Any], x: Any, p: Any, *constants: Any) -> tuple[Any, Any]:
    """The model, (N,), and its Jacobian, (N, n)."""
    return model(x, list(p), *constants), modes.jacobian(lambda p: model(x, list(p), *constants))(p)


def linear_parameters(read: "Model", x: Any, lower: Any, upper: Any, units: Units) -> tuple[int, ...]:
    """The parameters in which the model is linear, looked at once for each x and box; none where these are traced.

    Of parameters in these units: second derivatives in others may vanish, or not be finite, for lack of range.
    """
    if is_traced((x, lower, upper, read.constants)) or objective.is_tracing():
        return ()
    known, given = read.programs, jax.tree.map(np.asarray, (x, read.constants, units.p))
    digest = hashlib.sha256(b"".join(leaf.tobytes() for leaf in [lower, upper, *jax.tree.leaves(given[:2])]))
    key = ("linear", digest.digest())
    if key not in known:

        def call(p, x, constants, own):
            of_search = units._replace(p=own, y=np.ones((), lower.dtype))  # other data are no reason to look again
            return of_search.modelled(read.call)(x, list(p), constants)

        known[key] = separable.linear(call, lower / units.p, upper / units.p, *given, kept=known)
    return known[key]
