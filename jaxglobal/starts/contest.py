"""Whether one search of each assignment of whole numbers is enough, where the other variables may have many minima.

An assignment may have lost because its search has ended in a poor minimum. So the best assignments are searched from
again, each from the lowest of some points of its own, round by round. What a search gains on the best end of its
assignment, in the last round, tells what another round may gain: with a chance that is the share of these searches
which gained more than an assignment lies behind, that would have taken the lead. Rounds end where this is to be
expected of few of the assignments together.

In the first round some of the points have the other variables of the best minima, which are good where assignments are
alike: then the second round gains nothing, however many minima there are. The best assignment itself has the evidence
of its own searches.
"""

import numpy as np

POINTS = 32  # of an assignment in a round, of which the lowest is searched from
CARRIED = 4  # of them from the best minima, in the first round
MOST = 256  # assignments of a round, the best
FEWEST = 32  # searches of a round: of fewer assignments some for each
ROUNDS = 2  # at least, which are enough where no search gains anything
KEPT = 4  # rounds whose gains count
EXPECTED = 0.1  # assignments that another round would make the best


def expected(best: np.ndarray, fell: np.ndarray) -> float:
    """How many assignments another round may make the best: best, (A,) of each; fell, (k,) what the last one gained."""
    if not len(fell):
        return 0.0
    behind = np.sort(best)[1:] - np.min(best)
    higher = len(fell) - np.searchsorted(np.sort(fell), behind, side="right")
    return float(np.sum(higher)) / len(fell)


def among(best: np.ndarray, fell: np.ndarray, done: int, most: int) -> np.ndarray:
    """(k,) Those of the next searches, at most so many: after the first rounds of what may yet take the lead."""
    order = np.argsort(best, kind="stable")[1 : 1 + MOST]
    if done >= ROUNDS:
        order = order[best[order] - np.min(best) < np.max(fell, initial=0.0)]
    return np.resize(order, min(max(len(order), FEWEST), most)) if len(order) else order


def gained(before: np.ndarray, f: np.ndarray, tolerance: float, above: float) -> np.ndarray:
    """(k,) By how much values, f, are lower than those before; by nothing where they are infeasible, see `feasible`."""
    f = np.where(np.isfinite(f) & (f < above), f, np.inf)
    with np.errstate(invalid="ignore"):
        fell = before - f
    return np.where(np.isfinite(f) & (fell > tolerance), fell, 0.0)
