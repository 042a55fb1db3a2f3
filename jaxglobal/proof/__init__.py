"""The proof of a global minimum, by interval branch and bound over the jaxpr of a function.

In the order in which they build on each other: intervals, functions (arithmetic); node, moves, enclose, slopes,
patterns, flat (a program of operations, and what they may be in boxes); exactly, pieces, agree, tangents (its
derivatives); contract (the way back); rows (constraints), model; constant, whole, linear, convolve, searches,
complexes, lower (from a jaxpr); newton, squares, bound (the tests of a box); region, apart; feasible, weights (points
that keep constraints, and sums of these); crew, pool, branch (the search); kept, stationary, gather, certificate,
problem, entry (what a call asks for).
"""

from jaxglobal.proof.certificate import Certificate as Certificate
from jaxglobal.proof.entry import certify as certify
