"""Whether a function may jump: then two programs of it, which round otherwise, may have different values at a point."""

import jax.numpy as jnp
from jax.extend.core import Jaxpr

from jaxglobal.problem import canonical

COMPARISONS = frozenset("eq ne lt le gt ge is_finite".split())  # of floats
STEPS = frozenset("floor ceil round sign rem argmax argmin nextafter reduce_precision bitcast_convert_type".split())
ORDERS = frozenset("sort top_k approx_top_k".split())  # with more than the sorted numbers
UNKNOWN = frozenset("pure_callback io_callback ffi_call".split())


def may_jump(jaxpr: Jaxpr) -> bool:
    """Whether something in the jaxpr makes steps, or a choice, of a number that is not whole."""
    for eqn in jaxpr.eqns:
        name = eqn.primitive.name
        of_floats = any(jnp.issubdtype(getattr(atom.aval, "dtype", bool), jnp.floating) for atom in eqn.invars)
        whole = not any(jnp.issubdtype(getattr(var.aval, "dtype", bool), jnp.floating) for var in eqn.outvars)
        ordered = name in ORDERS and len(eqn.outvars) > 1
        if of_floats and (name in COMPARISONS | STEPS or ordered or (name == "convert_element_type" and whole)):
            return True
        if name in UNKNOWN or any(map(may_jump, canonical.within(eqn))):
            return True
    return False
