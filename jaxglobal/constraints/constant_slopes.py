"""Whether a function is affine in some of its variables, with slopes that the others do not change: from its program.

Samples cannot say it: they miss a small part of the box. Two programs are followed entry by entry. In that of the
derivatives along these variables each entry is known, with its value, or may change with x: zero times what changes is
zero, else what is made of what changes may change. And in that of the function nothing but smooth operations may take
what depends on these variables: the derivative of floor(x) is zero, and says nothing of it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jaxglobal.problem.canonical import within

MOVES = {"broadcast_in_dim", "concatenate", "expand_dims", "reshape", "rev", "slice", "squeeze", "stack", "transpose"}
"""Entries to other places, by positions that are not among the arguments."""
EACH = {"add", "add_any", "convert_element_type", "copy", "neg", "sub"}
"""Entry by entry."""
SMOOTH = {
    *MOVES, *EACH, "cos", "cosh", "div", "dot_general", "dynamic_slice", "exp", "exp2", "expm1", "gather",
    "integer_pow", "log", "log1p", "logistic", "mul", "pow", "reduce_sum", "select_n", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "tan", "tanh",
}  # fmt: skip
STILL, SMOOTHLY, ANYHOW = 0, 1, 2  # how an entry depends on what is given

Entries = tuple[Any, np.ndarray]  # values, None where they are not asked for; and how each depends on what is given


def constant_slopes(both: Callable[[jax.Array], tuple[jax.Array, jax.Array]], x: Any, moving: np.ndarray) -> np.ndarray:
    """(1 + m,) Whether f and the rows have the same slopes along these variables, (k,), at all points.

    both(x) -> f, (), and the rows, (m,). x: (n,) any point.
    """
    along = np.eye(len(x), dtype=x.dtype)[moving]

    def slopes(x):
        return jax.vmap(lambda t: jax.jvp(both, (x,), (t,))[1])(jnp.asarray(along))

    moves = np.where(np.isin(np.arange(len(x)), moving), SMOOTHLY, STILL)
    smooth = [how < ANYHOW for _, how in _follow(jax.make_jaxpr(both)(x), [(None, moves)])]
    same = [how == STILL for _, how in _follow(jax.make_jaxpr(slopes)(x), [(None, np.full(len(x), ANYHOW))])]
    of_f, of_c = (np.all(part, axis=0) & kind for part, kind in zip(same, smooth, strict=True))
    return np.append(of_f, of_c)


def _follow(closed: ClosedJaxpr, given: list[Entries]) -> list[Entries]:
    """What comes out."""
    known: dict[Any, Entries] = {}

    def read(atom: Any) -> Entries:
        return (atom.val, np.zeros(np.shape(atom.val), int)) if isinstance(atom, Literal) else known[atom]

    jaxpr = closed.jaxpr
    consts = [(const, np.zeros(np.shape(const), int)) for const in closed.consts]
    known |= dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *given], strict=True))
    for eqn in jaxpr.eqns:
        known |= dict(zip(eqn.outvars, _after(eqn, [read(atom) for atom in eqn.invars]), strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _after(eqn: Any, ins: list[Entries]) -> list[Entries]:
    """What an operation makes of its arguments."""
    name, shapes, inner = eqn.primitive.name, [var.aval.shape for var in eqn.outvars], eqn.params.get("jaxpr")
    if isinstance(inner, ClosedJaxpr) and name in ("jit", "pjit"):
        return _follow(inner, ins)
    values, depends = [value for value, _ in ins], [how for _, how in ins]
    most = max((int(np.max(how, initial=STILL)) for how in depends), default=STILL)
    if most == STILL:
        if within(eqn) or any(value is None for value in values):
            return [(None, np.zeros(shape, int)) for shape in shapes]
        out = eqn.primitive.bind(*values, **eqn.params)
        return [(part, np.zeros(part.shape, int)) for part in (out if eqn.primitive.multiple_results else [out])]
    if name not in SMOOTH or not all(jnp.issubdtype(var.aval.dtype, jnp.inexact) for var in eqn.outvars):
        return [(None, np.full(shape, ANYHOW)) for shape in shapes]
    if name == "select_n" and not (values[0] is not None and np.all(depends[0] == STILL) and len(ins) == 3):
        return [(None, np.full(shapes[0], ANYHOW))]
    if name == "select_n":
        how = np.where(values[0], depends[2], depends[1])
    elif name == "stop_gradient":
        how = np.where(depends[0], ANYHOW, STILL)
    elif name == "mul":
        (a, of_a), (b, of_b) = ins
        how = np.maximum(np.where(_zero(b, of_b), STILL, of_a), np.where(_zero(a, of_a), STILL, of_b))
    elif name == "div":
        (a, of_a), (_, of_b) = ins
        how = np.maximum(of_a, np.where(_zero(a, of_a), STILL, of_b))
    elif name in EACH:
        how = np.max(np.broadcast_arrays(*depends), axis=0)
    elif name in MOVES:
        how = np.asarray(eqn.primitive.bind(*(np.asarray(part) for part in depends), **eqn.params))
    else:
        return [(None, np.full(shape, most)) for shape in shapes]
    how = np.broadcast_to(how, shapes[0])
    if np.all(how) or any(value is None and not np.all(part) for value, part in ins):
        return [(None, how)]
    still = [
        np.ones(np.shape(part)) if value is None else np.where(part, 1, value) for value, part in ins
    ]  # ones in place of what depends: 0 / 1 and 0 * 1 are known
    typed = [part.astype(atom.aval.dtype) for part, atom in zip(still, eqn.invars, strict=True)]
    return [(eqn.primitive.bind(*typed, **eqn.params), how)]


def _zero(value: Any, depends: np.ndarray) -> np.ndarray:
    """Which entries are known to be zero."""
    return np.zeros(np.shape(depends), bool) if value is None else (depends == STILL) & (np.asarray(value) == 0)
