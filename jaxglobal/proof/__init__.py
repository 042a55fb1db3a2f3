"""The proof of a global minimum, by interval branch and bound over the jaxpr of a function.

In the order in which they build on each other: intervals, functions (interval arithmetic); node, moves, enclosure,
special, verified, elementary, steps, chosen, maps, enclose (forward evaluation of operations); slopes, patterns,
mapped, simplify, writing, flat (a program of them); switched, contract (constraint propagation); rows (constraints);
exactly, pieces, agree, stacks, terms, tangents (automatic differentiation), model; constant, whole, linear, convolve,
writer, complexes, reductions, matrices, places, arithmetic, searches, lower (from a jaxpr); newton, squares, batch,
binding, disjunction, bound (the tests of a box); region, apart; feasible, weights (points that keep constraints, and
sums of these); crew, pool, incumbent, leaves, branch (branch and bound); kept, stationary, gather, certificate,
picture, problem, entry (what a call asks for).
"""

from jaxglobal.proof.certificate import Certificate as Certificate
from jaxglobal.proof.entry import certify as certify
