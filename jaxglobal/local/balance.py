"""Units in which the rank of a symmetric matrix is judged: those that make the largest entry of each row about 1.

A box may be a million times wider than what its variable is: the curvature in the others is no less sure for that. So
the diagonal is made 1, which is all where the matrix is positive definite; then rows without one, as those of
multipliers, get what their largest entry asks for; then all rows at once [R], where one is larger still.

[R] D. Ruiz, A scaling algorithm to equilibrate both rows and columns norms in matrices, RAL-TR-2001-034 (2001).
"""

from typing import Any

import numpy as np

ROUNDS = 8  # each halves what is left of the logarithms of the rows
SLIGHT = 4.0  # a row below so many n eps of the largest entry may be of rounding alone
INDEFINITE = 2.0  # times the geometric mean of two curvatures: what couples their variables is at most 1 at a minimum


def units(H: Any, xp: Any = np) -> Any:
    """(n,) D, powers of two, with which D H D is balanced."""

    def log(positive):
        return xp.where(positive > 0, xp.log2(xp.where(positive > 0, positive, 1)), 0)

    def rows(d):
        return xp.max(xp.abs(H) * xp.exp2(d)[None, :], axis=1, initial=0)

    curvature = xp.abs(xp.diagonal(H))
    d = -log(curvature) / 2
    d = xp.where(curvature > 0, d, -log(rows(d)))
    for _ in range(ROUNDS):
        d = d - log(rows(d) * xp.exp2(d)) / 2
    return xp.exp2(xp.round(d))


def least(H: Any, xp: Any = np) -> Any:
    """() Entries below it may be of rounding alone."""
    return SLIGHT * len(H) * xp.finfo(H.dtype).eps * xp.max(xp.abs(H), initial=0)


def without_slight(H: Any, xp: Any = np) -> Any:
    """H with zeros in the rows and columns of variables that act by rounding errors of others alone.

    Their rows are so small, and are no part of a minimum beside a variable of more curvature. A row as small that could
    be is one of a variable whose box is narrow beside that of another.
    """
    root = xp.sqrt(xp.abs(xp.diagonal(H)))
    beyond = (xp.abs(H) > INDEFINITE * root[:, None] * root[None, :]) & (root[None, :] >= root[:, None])
    slight = (xp.max(xp.abs(H), axis=1, initial=0) <= least(H, xp)) & xp.any(beyond, axis=1)
    return xp.where(slight[:, None] | slight[None, :], 0, H)
