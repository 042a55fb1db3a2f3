"""One operation of a flat program."""

from typing import Any, NamedTuple

from jaxglobal.proof.intervals import Interval

MIXES = {"inverse", "logdet", "map"}  # each entry depends on all entries of the operand
BY_ENTRY = frozenset(  # each entry depends on one entry of each operand, as NumPy broadcasts them
    "abs acos acosh add and anything asin asinh atan atan2 atanh bessel_i0 bessel_i0e bessel_i1 bessel_i1_slope "
    "bessel_i1e bessel_i1e_over betainc both cbrt ceil cos cosh defined digamma eq erf erf_inv erfc exp expm1 "
    "floor ge gt igamma igammac ipow le lgamma log log1p logistic lt max min mul ne neg not or pick place powc "
    "quadratic reach reciprocal rem round select sign sign_hull sin sinh sqrt square sub tan tanh trigamma trunc "
    "whole_quotient within wrapped xlogx xor".split()
)


class Node(NamedTuple):
    """A value.

    Attributes:
        op: what makes it; "x" for the variables, "const" for what does not depend on them.
        params: what else the operation needs.
        ins: the numbers of its operands.
        shape: without the batch.
        never_negative: known from its making, so that an end below zero is a rounding error.
        partial: an operation that is not defined everywhere goes into it.
        value: of a constant, its interval with a batch of one.
        undefined: of a constant, whether it may be undefined somewhere.
        nan: where, and never: where it is NaN, both by entry, with a batch of one; False nowhere.
        still: which entries depend on nothing that moves: whole numbers and fixed variables, which have no neighbours,
            so that a step is no jump to them; by entry, with a batch of one, or True or False for all.
    """

    op: str
    params: dict[str, Any]
    ins: tuple[int, ...]
    shape: tuple[int, ...]
    never_negative: bool = False
    partial: bool = False
    value: Interval | None = None
    undefined: bool = False
    nan: Any = False
    never: Any = False
    still: Any = False
