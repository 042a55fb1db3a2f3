"""When a search stops: from what it has seen and its limits to a Status, or None to go on.

By default a search that learns ends by its evidence: a sequence of finds in which the best value is old, has been met
again, and stands against a last look at fresh points by their values alone. The time to the next better value of a
search that is still finding some is of the order of the time so far, so that age is told in multiples of it; where
fresh starts, which no earlier find has drawn there, lead to the best value again and again, a better basin of a like
size would have been met too, and a smaller multiple is enough. All counts are of searches and evaluations, and are
looked at between two rounds, so that the clock, the lanes and the threads change nothing.

The constants were chosen on one set of problems and checked on another: `python benchmarks/stopping.py`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from jaxglobal.result import Unseen
from jaxglobal.status import Status

AFFORDABLE = 2**17  # local searches that a search may take if no limit is given
LOOKED = 2**13  # evaluations after which a function without a finite value is given up
LEVELS = 4  # in a row with the same best value, where starts do not learn
SPENT = (
    1000  # evaluations for each of up to two variables, likewise: fewer starts see no narrow basin beside a wide one
)
MET = 4  # searches that ended at that value, likewise
AFFORDED = 1000  # evaluations that are always spent: some ms of a cheap function
WHOLE = 10_000  # evaluations a variable that is whole, at least, where not all assignments are searched
HITS = 10  # searches that ended at the best value
OLD = 16  # times the evaluations at which the best value was first met are spent before it is believed
FRESH_HITS = 8  # searches from fresh starts that ended at the best value, from which on `OLD_ENOUGH` is
FRESH_SHARE = 0.2  # ... if they are such a share of those from fresh starts
OLD_ENOUGH = 4
WANDERED = 500  # evaluations for each n^1.5, spent where fresh starts seldom lead there: hops need time to leave
MOST_WANDERED = 64  # variables that count for it
REFINED = 1e-3  # of all that was gained since the first value: smaller gains nearby are last digits, for which ...
NEARBY = 0.01  # of a side of the box
SCATTERED = 64  # times the age of the best value without its last digits, and ...
SCATTERED_LEAST = 16_000  # ... evaluations, after which values that never repeat are told to scatter
LOOKS = 2048  # points of the last look, at least
LOOK_SHARE = 1 / 8  # of the evaluations so far, for the last look; two values alone are one
MOST_LOOKS = 2**16
SPREAD = 100  # times 1 + abs(f), of the terms that cancel in f, at most: a pole elsewhere says nothing of rounding here
NOISES = 2  # values with such errors differ by so many of them
SAME_SHARE = 1e-6  # of the scale of the values
ROUNDING = 4.0  # two values that differ by so many eps of their size are the same
CELL = 1e-4  # of a side of the box: ends of one minimum are no further apart; coarser where the root of eps is
HALF_DIGITS = (
    0.5  # times the root of eps, of its size: by what a value may differ within one minimum, which may be noise
)


@dataclasses.dataclass(frozen=True)
class Rules:
    """The stopping rules, each None (or no target) where it does not apply.

    Attributes:
        same: stop after so many levels in a row with the same best value; None: by the evidence, or after `LEVELS` of
            them where starts do not learn (and see `believed`), unless `unseen` says what to wait for.
        fatol: two values are the same within fatol + frtol abs(f).
        frtol: see fatol.
        max_time: wall-clock seconds from the call.
        max_levels: levels.
        max_starts: local searches.
        max_evals: evaluations, exceeded by at most one tick.
        target: stop once f <= target.
        unseen: stop once so small a share of the box, with 95 % confidence, leads to minima not yet seen.
    """

    same: int | None = None
    fatol: float = 1e-8
    frtol: float = 1e-8
    max_time: float | None = None
    max_levels: int | None = None
    max_starts: int | None = None
    max_evals: int | None = None
    target: float | None = None
    unseen: float | None = None

    def __post_init__(self):
        """Numbers of arrays without axes are as good as others.

        Raises:
            ValueError: a rule that makes no sense.
            TypeError: likewise.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray | jax.Array) and not isinstance(value, Tracer) and not value.ndim:
                object.__setattr__(self, field.name, value.item())
        for name, least in (("same", 1), ("max_levels", 1), ("max_starts", 1), ("max_evals", 1)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"`{name}` must be a whole number; got {value!r}.")
            if value < least:
                raise ValueError(f"`{name}` must be at least {least}; got {value}.")
        for name in ("fatol", "frtol", "max_time", "target", "unseen"):
            value = getattr(self, name)
            if value is None and name in ("max_time", "target", "unseen"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float | np.number):
                raise TypeError(f"`{name}` must be a number; got {value!r}.")
            if math.isnan(value):
                raise ValueError(f"`{name}` must be a number; got {value}.")
            if name != "target" and value < 0:
                raise ValueError(f"`{name}` must be a number of at least 0; got {value}.")
        if self.unseen is not None and self.unseen > 1:
            raise ValueError(f"`unseen` must be a share of the box, at most 1; got {self.unseen}.")

    @property
    def alike(self) -> int:
        """How many levels in a row with the same best value end a search."""
        return LEVELS if self.same is None else self.same

    @property
    def unlimited(self) -> bool:
        """Whether no limit was given, so that the size of a level is the only one."""
        return all(v is None for v in (self.max_time, self.max_levels, self.max_starts, self.max_evals))


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


def cell_side(eps: float) -> float:
    """How near ends of one minimum are, in units of the box: a few times the precision of its place, eps^(1/2)."""
    return max(CELL, 8 * eps**0.5)


def no_evidence() -> Evidence:
    """Before the first search."""
    zero, never = np.zeros((), np.int64), np.full((), -1)
    return Evidence(np.full((), np.inf), np.full((), np.inf), never, never, never, zero, zero, zero, zero, zero, zero)


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
    many: of whole numbers with more assignments than can all be searched, how many variables they are; searches keep
    theirs, so that those which end at the best value say nothing of the others, and only its age does.
    few: whether all assignments of whole numbers will have been searched from: then they are no matter of luck.

    Its age counts from the first finite value: where the feasible region is small, it says nothing how late that came.
    """
    if nfev < max(AFFORDED, WHOLE * many) or (evidence.hits < HITS and not pure) or evidence.found < 0:
        return False
    often = evidence.fresh_hits >= FRESH_HITS and evidence.fresh_hits >= FRESH_SHARE * evidence.fresh
    if not often and nfev < WANDERED * min(n, MOST_WANDERED) ** 1.5:
        return False
    since, found, refined = (date - evidence.first for date in (nfev, evidence.found, evidence.refined))
    return bool(since >= max((OLD_ENOUGH if often or few else OLD) * found, OLD_ENOUGH * refined))


def scattered(evidence: Evidence, nfev: int) -> bool:
    """Whether the last digits of the best value will not settle: it is old but for these, and few searches converge."""
    if nfev < SCATTERED_LEAST or evidence.found < 0 or 2 * evidence.rough < evidence.searches:
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


def before_level(rules: Rules, level: int, nstarts: int, size: int) -> Status | None:
    """Whether to stop instead of beginning `level`, which has `size` starts, after `nstarts` local searches."""
    if rules.max_levels is not None and level >= rules.max_levels:
        return Status.MAX_LEVELS
    if rules.unlimited and level > 0 and nstarts + size > AFFORDABLE:
        return Status.TOO_LARGE
    return within_level(rules, nstarts, 0, 0.0)


def within_level(rules: Rules, nstarts: int, nfev: int, elapsed: float, best: float = math.inf) -> Status | None:
    """Whether a limit ends the search here, in the middle of a level or between two."""
    if rules.target is not None and best <= rules.target:
        return Status.TARGET
    if rules.max_evals is not None and nfev >= rules.max_evals:
        return Status.MAX_EVALS
    if rules.max_starts is not None and nstarts >= rules.max_starts:
        return Status.MAX_STARTS
    if rules.max_time is not None and elapsed >= rules.max_time:
        return Status.MAX_TIME
    return None


def after_level(
    rules: Rules, best: Sequence[float], eps: float, nfev: float = math.inf, weighed: bool = False
) -> Status | None:
    """Whether the best values over all levels so far, one a level, have settled, after so many evaluations.

    Where none is finite, the search looks on: a feasible region may be a small part of the box. weighed: whether the
    evidence is looked at, in place of the levels where their number is not given.
    """
    last = np.asarray(best[-rules.alike :])
    if len(last) < rules.alike:
        return None
    if not np.any(np.isfinite(last)):
        return Status.NO_FINITE_VALUE if nfev >= LOOKED else None
    if rules.same is None and (weighed or rules.unseen is not None):
        return None
    return Status.SAME if settled(rules, last, eps) else None


def believed(nfev: Any, hits: Any, n: int) -> Any:
    """Whether the same best value in `LEVELS` levels of starts that do not learn is evidence enough.

    It has been met by so many searches, after so many evaluations of a function of n variables.
    """
    return (nfev >= SPENT * min(n, 2)) & (hits >= MET)


def covered(rules: Rules, seen: Unseen | None) -> Status | None:
    """Whether hardly any minimum is left to be seen."""
    return Status.COVERED if rules.unseen is not None and seen is not None and seen.most <= rules.unseen else None


def tolerance(
    rules: Rules, f: float, eps: float, spread: float = 0.0, scale: float = math.inf, noise: float = 0.0
) -> float:
    """How far values of the size of f may differ and be the same.

    spread: of values with terms that cancel in f. scale: by what values differ in the box. Tolerances up to the
    defaults, which know no units, count for at most a small share of it. noise: the error of a value.
    """
    spread = min(spread, SPREAD * (1 + abs(f)))
    given = rules.fatol + rules.frtol * abs(f)
    if rules.fatol <= Rules.fatol and rules.frtol <= Rules.frtol:
        given = min(given, SAME_SHARE * scale)
    return max(given, NOISES * noise, ROUNDING * eps * (abs(f) + spread))


def settled(rules: Rules, best: np.ndarray, eps: float) -> np.ndarray:
    """Whether the best values after levels in a row, (..., same), are the same."""
    first, last = best[..., 0], best[..., -1]
    with np.errstate(invalid="ignore"):
        return first - last <= np.maximum(rules.fatol + rules.frtol * np.abs(last), ROUNDING * eps * np.abs(last))
