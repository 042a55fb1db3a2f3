"""Whether slopes are the same at all points, read from the program of the function: what samples cannot say.

The derivatives along some variables are a jaxpr of x. It is followed entry by entry: an entry is known, with its value,
or may change with x. Zero times what changes, or by it, is zero; else what is made of what changes may change.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxglobal.problem.canonical import within

MOVES = {
    "broadcast_in_dim",
    "concatenate",
    "expand_dims",
    "reshape",
    "rev",
    "slice",
    "squeeze",
    "stack",
    "transpose",
}  # entries to other places, by positions that are not in the arguments
EACH = {"add", "add_any", "convert_element_type", "copy", "neg", "sub"}  # entry by entry


def constant_slopes(both: Callable[[jax.Array], tuple[jax.Array, jax.Array]], x: Any, moving: np.ndarray) -> np.ndarray:
    """(1 + m,) Whether f and the rows have the same slopes along these variables, (k,), at all points.

    both(x) -> f, (), and the rows, (m,). x: (n,) any point.
    """
    along = np.eye(len(x), dtype=x.dtype)[moving]

    def slopes(x):
        return jax.vmap(lambda t: jax.jvp(both, (x,), (t,))[1])(jnp.asarray(along))

    closed = jax.make_jaxpr(slopes)(x)
    (_, of_f), (_, of_c) = _follow(closed, [(np.zeros(x.shape), np.ones(x.shape, bool))])
    return np.concatenate([[not np.any(of_f)], ~np.any(of_c, axis=0)])


Entries = tuple[Any, np.ndarray]  # values, and which of them may change


def _follow(closed: ClosedJaxpr, given: list[Entries]) -> list[Entries]:
    """What comes out."""
    known: dict[Any, Entries] = {}

    def read(atom: Any) -> Entries:
        return (atom.val, np.zeros(np.shape(atom.val), bool)) if isinstance(atom, Literal) else known[atom]

    jaxpr = closed.jaxpr
    known |= {
        var: (const, np.zeros(np.shape(const), bool)) for var, const in zip(jaxpr.constvars, closed.consts, strict=True)
    }
    known |= dict(zip(jaxpr.invars, given, strict=True))
    for eqn in jaxpr.eqns:
        known |= dict(zip(eqn.outvars, _after(eqn, [read(atom) for atom in eqn.invars]), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _after(eqn: Any, ins: list[Entries]) -> list[Entries]:
    """What an operation makes of its arguments."""
    name, shapes = eqn.primitive.name, [var.aval.shape for var in eqn.outvars]
    values, changes = zip(*ins, strict=True) if ins else ((), ())
    inner = eqn.params.get("jaxpr")
    if isinstance(inner, ClosedJaxpr) and name in ("jit", "pjit"):
        return _follow(inner, ins)
    if not any(np.any(part) for part in changes) and not within(eqn):
        out = eqn.primitive.bind(*values, **eqn.params)
        return [(part, np.zeros(part.shape, bool)) for part in (out if eqn.primitive.multiple_results else [out])]
    if name == "mul":
        (a, of_a), (b, of_b) = ins
        change = (of_a & (of_b | (np.asarray(b) != 0))) | (of_b & (of_a | (np.asarray(a) != 0)))
        change = np.broadcast_to(change, shapes[0])
    elif name == "div":
        (a, of_a), (_, of_b) = ins
        change = np.broadcast_to(of_a | (of_b & (np.asarray(a) != 0)), shapes[0])
    elif name in EACH:
        change = np.broadcast_to(np.any(np.broadcast_arrays(*changes), axis=0), shapes[0])
    elif name in MOVES:
        change = np.asarray(eqn.primitive.bind(*(np.asarray(part) for part in changes), **eqn.params))
    else:
        return [(np.zeros(shape), np.ones(shape, bool)) for shape in shapes]
    if np.all(change):
        return [(np.zeros(shapes[0]), change)]
    still = [np.where(moves, 1, value).astype(np.asarray(value).dtype) for value, moves in ins]
    return [(eqn.primitive.bind(*still, **eqn.params), change)]
