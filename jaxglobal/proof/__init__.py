"""The proof of a global minimum, by interval branch and bound over the jaxpr of a function.

In the order in which they build on each other: intervals, functions (arithmetic); node, moves, enclose, flat (a program
of operations and what they may be in boxes); agree, lower, tangents (from a jaxpr, and its derivatives); contract (the
way back); model, newton, squares, bound, region, pool, branch (the search); certificate, gather, kept, certify.
"""

from jaxglobal.proof.certificate import Certificate as Certificate
from jaxglobal.proof.certify import certify as certify
