"""What an evaluation costs, roughly: counted from its jaxpr, so that the count is the same on every run and machine."""

import math
from typing import Any

from jaxglobal.problem import canonical

WHILE_TRIPS = 32  # a while loop is assumed to run so many times, as its length is not known
TRANSCENDENTAL = 20  # cost of an exp, sin, ... in multiplications
_DEAR = frozenset("exp exp2 log log1p expm1 sin cos tan tanh logistic pow erf lgamma atan2".split())


def jaxpr_cost(jaxpr: Any) -> float:
    """A rough count of the multiplications in a jaxpr; loops of unknown length count `WHILE_TRIPS` times."""
    cost = 0.0
    for eqn in jaxpr.eqns:
        inner = [jaxpr_cost(j) for j in canonical.within(eqn)]
        if inner:
            trips = eqn.params.get("length", WHILE_TRIPS if eqn.primitive.name == "while" else 1)
            cost += trips * sum(inner)
            continue
        size = max((math.prod(getattr(v.aval, "shape", ())) for v in (*eqn.invars, *eqn.outvars)), default=1)
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            size = math.prod(eqn.outvars[0].aval.shape) * math.prod(eqn.invars[0].aval.shape[i] for i in contracted)
        cost += size * (TRANSCENDENTAL if eqn.primitive.name in _DEAR else 1)
    return cost
