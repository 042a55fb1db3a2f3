"""What the finds of a search that learns say for its best value: whether that is likely to be the lowest of all.

The evidence is a sequence of finds in which the best value is old, has been met again, and stands against a last look
at fresh points by their values alone. The time to the next better value of a search that is still finding some is of
the order of the time so far, so that age is told in multiples of it; where fresh starts, which no earlier find has
drawn there, lead to the best value again and again, a better basin of a like size would have been met too, and a
smaller multiple is enough. All counts are of searches and evaluations, and are looked at between two rounds, so that
the clock, the lanes and the threads change nothing.

The constants were chosen on one set of problems and checked on another: `python benchmarks/stopping.py`.
"""

import math
from typing import NamedTuple

import numpy as np

AFFORDED = 1000  # evaluations that are always spent: some ms of a cheap function
WHOLE = 10_000  # evaluations a variable that is whole, at least, where not all assignments are searched
HITS = 10  # searches that ended at the best value
OLD = 16  # times the evaluations at which the best value was first met are spent before it is believed
FRESH_HITS = 8  # searches from fresh starts that ended at the best value, from which on `OLD_ENOUGH` is
FRESH_SHARE = 0.2  # ... if they are such a share of those from fresh starts
OLD_ENOUGH = 4
WANDERED = 500  # evaluations for each n^1.5, spent where fresh starts seldom lead there: hops need time to leave
RARE = 0.1  # of fresh starts: where fewer lead there, its basin is so small that a better one may not have been met ...
RARE_SPENT = 16_000  # ... by fewer evaluations, some dozen ms; in one or two variables the last look sees more
MOST_WANDERED = 64  # variables that count for it
REFINED = 1e-3  # of all that was gained since the first value: smaller gains nearby are last digits, for which ...
NEARBY = 0.01  # of a side of the box
SCATTERED = 32  # times the age of the best value without its last digits, and ...
SCATTERED_LEAST = 16_000  # ... evaluations, after which values that never repeat are told to scatter
LOOKS = 2048  # points of the last look, at least
LOOK_SHARE = 1 / 8  # of the evaluations so far, for the last look; two values alone are one
MOST_LOOKS = 2**16


class Evidence(NamedTuple):
    """What the local searches say about their best value. All leaves are arrays."""

    f: np.ndarray
    """() The best value when it was first met; +inf where none was finite."""
    top: np.ndarray
    """() The first finite value."""
    refined: np.ndarray
    """() Evaluations at which the best value was first met; -1 until they are counted."""
    found: np.ndarray
    """() The same, of a value nearby that was as good but for its last digits."""
    first: np.ndarray
    """() Evaluations at which the first finite value was found; -1 until then."""
    hits: np.ndarray
    """() Searches that ended at it."""
    fresh_hits: np.ndarray
    """() Those of them whose starts owe nothing to earlier finds."""
    fresh: np.ndarray
    """() Searches from such starts with a finite value."""
    rough: np.ndarray
    """() Searches with a finite value that did not converge."""
    searches: np.ndarray
    """() All with a finite value."""
    looked: np.ndarray
    """() Points of the last look at which nothing lower was found; 0 before."""
    loose: np.ndarray
    """() Whether no search has converged at it, under constraints."""


def no_evidence() -> Evidence:
    """Before the first search."""
    zero, never = np.zeros((), np.int64), np.full((), -1)
    return Evidence(np.full((), np.inf), np.full((), np.inf), never, never, never, zero, zero, zero, zero, zero, zero,
        np.zeros((), bool),
    )  # fmt: skip


def learn(
    evidence: Evidence, f: np.ndarray, fresh: np.ndarray, sure: np.ndarray, tolerance: float, moved: float,
    near: np.ndarray | bool = False, noise: float = 0.0, above: float = math.inf,
) -> Evidence:  # fmt: skip
    """The evidence with the ends of more searches: values, (k,), whether their starts were fresh and they converged.

    moved: how far the best point has moved with them, in units of the box. near: (k,) which ended at the minimum that
    the best point is in. noise: by what values may differ there; the best one has moved within it if `moved` is 0.
    above: from here on, values are ranks of infeasible points: once there is a feasible one, they count for nothing.
    """
    if min(np.min(f, initial=np.inf), evidence.f) < above:
        f = np.where(f < above, f, np.inf)
        evidence = evidence if evidence.f < above else no_evidence()._replace(first=evidence.first)
    finite = np.isfinite(f)
    lowest = np.min(f[finite], initial=np.inf)
    if lowest < evidence.f - (tolerance if moved else max(tolerance, noise)):
        zero, never, known = np.zeros((), np.int64), np.full((), -1), np.isfinite(evidence.f)
        same = known and moved <= NEARBY and evidence.f - lowest <= REFINED * (evidence.top - lowest)
        evidence = evidence._replace(
            f=np.asarray(lowest), top=evidence.top if known else np.asarray(f[finite][0]), refined=never,
            found=evidence.found if same else never, hits=zero, fresh_hits=zero, looked=zero,
        )  # fmt: skip
    hit = finite & (f <= evidence.f + np.where(near, max(tolerance, noise), tolerance))
    return evidence._replace(
        hits=evidence.hits + np.sum(hit),
        fresh_hits=evidence.fresh_hits + np.sum(hit & fresh),
        fresh=evidence.fresh + np.sum(finite & fresh),
        rough=evidence.rough + np.sum(finite & ~sure),
        searches=evidence.searches + np.sum(finite),
    )


def dated(evidence: Evidence, nfev: int) -> Evidence:
    """The evidence with the evaluations so far as the date of what is new in it."""
    now, known = np.asarray(nfev), np.isfinite(evidence.f)
    return evidence._replace(
        refined=now if known and evidence.refined < 0 else evidence.refined,
        found=now if known and evidence.found < 0 else evidence.found,
        first=now if known and evidence.first < 0 else evidence.first,
    )


def convincing(evidence: Evidence, nfev: int, n: int, pure: bool = False, many: int = 0, few: bool = False) -> bool:
    """Whether the best value of a function of n variables is likely to be the lowest, but for a last look.

    pure: whether all are whole numbers, so that a search ends where it begins and none comes to the best point twice.
    many: how many variables are whole, where their assignments are too many to be all searched from. A search keeps its
    assignment, so that those which ended at the best value say nothing of the others: only the age of the value counts.
    few: whether all assignments of whole numbers will have been searched from: then they are no matter of luck.

    Its age counts from the first finite value: where the feasible region is small, it says nothing how late that came.
    """
    if nfev < max(AFFORDED, WHOLE * many) or (evidence.hits < HITS and not pure) or evidence.found < 0:
        return False
    often = evidence.fresh_hits >= FRESH_HITS and evidence.fresh_hits >= FRESH_SHARE * evidence.fresh
    dimension, rare = min(n, MOST_WANDERED), not few and evidence.fresh_hits < RARE * evidence.fresh
    spent = WANDERED * dimension**1.5
    spent = max(spent, RARE_SPENT if dimension > 2 else spent * dimension) if rare else spent
    if not often and nfev < spent:
        return False
    since, found, refined = (date - evidence.first for date in (nfev, evidence.found, evidence.refined))
    return bool(since >= max((OLD_ENOUGH if often or few else OLD) * found, OLD_ENOUGH * refined))


def scattered(evidence: Evidence, nfev: int) -> bool:
    """Whether the last digits of the best value will not settle: it is old but for these, and few searches converge.

    Few do too where none does at the best value.
    """
    rough = evidence.loose or 2 * evidence.rough >= evidence.searches
    if nfev < SCATTERED_LEAST or evidence.found < 0 or not rough:
        return False
    return bool(nfev - evidence.first >= SCATTERED * (evidence.found - evidence.first))


def words(evidence: Evidence, nfev: int, searches: int) -> str:
    """The evidence by which a search has ended, after so many evaluations and searches."""
    return (
        f"the evidence speaks for the best value: {int(evidence.hits):,} of {searches:,} searches ended at it "
        f"({int(evidence.fresh_hits):,} of {int(evidence.fresh):,} from fresh starts), it was first met after "
        f"{int(evidence.refined):,} of {nfev:,} evaluations, and a last look at {int(evidence.looked):,} fresh points "
        "found nothing lower"
    )


def last_look(nfev: int) -> int:
    """Points of the last look after so many evaluations."""
    return min(max(LOOKS, int(2 * LOOK_SHARE * nfev)), MOST_LOOKS)


def first_look(nfev: int) -> int:
    """Points of a look for a finite value after so many evaluations without one: as much again."""
    return min(max(LOOKS, 2 * nfev), MOST_LOOKS)
