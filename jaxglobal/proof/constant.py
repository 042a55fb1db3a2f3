"""What does not depend on x, as NumPy arrays that are known exactly: to call JAX would compile each operation.

Random keys stay JAX's arrays, and what is made of them is what JAX makes of them.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from jaxglobal.problem.keys import is_key


def known(value: Any) -> Any:
    """An array of the user's; one in lower precision becomes float64, exactly."""
    if is_key(value):
        return value
    array = np.asarray(value)
    return array.astype(float) if array.dtype.kind not in "biuc" else array


def _iota(p):
    shape = [1] * len(p["shape"])
    shape[p["dimension"]] = -1
    return np.broadcast_to(np.arange(p["shape"][p["dimension"]], dtype=p["dtype"]).reshape(shape), p["shape"])


def _broadcast(p, a):
    shape = [1] * len(p["shape"])
    for d, size in zip(p["broadcast_dimensions"], a.shape, strict=True):
        shape[d] = size
    return np.broadcast_to(a.reshape(shape), p["shape"])


def _sliced(p, a):
    strides = p["strides"] or (1,) * a.ndim
    return a[tuple(slice(*c) for c in zip(p["start_indices"], p["limit_indices"], strides, strict=True))]


def _chosen(p, which, *cases):
    index = np.broadcast_to(which, np.shape(cases[0])).astype(int)
    return np.take_along_axis(np.stack(cases), index[None], 0)[0]


def _converted(p, a):
    new = np.dtype(p["new_dtype"])
    return a.astype(float if new.kind not in "biuc" else new)


EXACT: dict[str, Any] = {
    "iota": _iota, "broadcast_in_dim": _broadcast, "slice": _sliced, "convert_element_type": _converted,
    "reshape": lambda p, a: a.reshape(p["new_sizes"]), "squeeze": lambda p, a: a.squeeze(tuple(p["dimensions"])),
    "expand_dims": lambda p, a: np.expand_dims(a, p["dimensions"]), "rev": lambda p, a: np.flip(a, p["dimensions"]),
    "transpose": lambda p, a: a.transpose(p["permutation"]), "neg": lambda p, a: -a,
    "concatenate": lambda p, *a: np.concatenate(a, p["dimension"]), "stop_gradient": lambda p, a: a,
    "lt": lambda p, a, b: a < b, "le": lambda p, a, b: a <= b, "gt": lambda p, a, b: a > b,
    "ge": lambda p, a, b: a >= b, "eq": lambda p, a, b: a == b, "ne": lambda p, a, b: a != b,
    "abs": lambda p, a: np.abs(a), "max": lambda p, a, b: np.maximum(a, b), "min": lambda p, a, b: np.minimum(a, b),
    "select_n": _chosen, "gather": None, "dynamic_slice": None, "pad": None,
}  # fmt: skip
WRAPPING: dict[str, Any] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}
WRAPPING |= {"and": np.bitwise_and, "or": np.bitwise_or, "not": np.bitwise_not}


def has_keys(eqn: Any) -> bool:
    """Whether an equation takes or makes random keys."""
    return any(is_key(v.aval) for v in (*eqn.invars, *eqn.outvars))


def by_jax(jaxpr: Any, eqn: Any, args: Sequence[Any]) -> list[Any]:
    """The results of an equation of this jaxpr on known arrays and keys."""
    given = {v: a for v, a in zip(eqn.invars, args, strict=True) if not isinstance(v, Literal)}
    alone = jaxpr.replace(constvars=[], invars=list(given), outvars=eqn.outvars, eqns=[eqn])
    with jax.ensure_compile_time_eval():
        return [known(out) for out in jaxpr_as_fun(ClosedJaxpr(alone, []))(*given.values())]


def evaluate(eqn: Any, args: Sequence[np.ndarray], params: dict[str, Any] | None = None) -> list[np.ndarray]:
    """The results of an equation on known arrays."""
    name, params = eqn.primitive.name, dict(eqn.params) if params is None else params
    if EXACT.get(name) is not None:
        return [np.asarray(EXACT[name](params, *args))]
    if name in WRAPPING:
        with np.errstate(all="ignore"):
            return [np.asarray(WRAPPING[name](*args))]
    with jax.ensure_compile_time_eval():
        outs = eqn.primitive.bind(*args, **params)
    return [np.asarray(out) for out in (outs if eqn.primitive.multiple_results else [outs])]
