"""What the local searches of a problem have found so far: the incumbent, which is the best point, and the minima."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.evidence import minima, stopping
from jaxglobal.evidence.unseen import estimate
from jaxglobal.local import polish
from jaxglobal.local.polish import Evaluate
from jaxglobal.problem import lattice
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.region import Region
from jaxglobal.result import Minimum, Unseen
from jaxglobal.status import LocalStatus

CHECKED = 64  # minima whose values are looked at alone, at most
ROUNDING = 64  # eps of a value: a larger difference between two programs is none of rounding


class Incumbent(NamedTuple):
    """What was found, never changed in place: a level that has to be searched again begins from the old one."""

    f: float
    """The best value; +inf where none was finite."""
    start: int
    """The number of the search that found it; of equal values the lowest number counts."""
    x: np.ndarray
    """(n,) Where it was found."""
    status: LocalStatus
    """How that search ended."""
    searches: int
    """Local searches so far."""
    archive: minima.Archive
    """The distinct minima so far."""
    even: int
    """Searches from starts that are spread evenly over the box, with a finite value."""
    full: bool
    """Whether the archive has been full, and may have had no room for a minimum."""


def nothing(problem: Objective) -> Incumbent:
    """Before the first search: no value, at the centre of the box."""
    n, dtype = problem.structure.n, problem.structure.dtype
    centre = lattice.rounded(problem.lower + (problem.upper - problem.lower) / 2, problem.whole)
    return Incumbent(math.inf, 0, centre.astype(dtype), LocalStatus.RUNNING, 0, minima.empty(n, dtype), 0, False)


class News(NamedTuple):
    """What some local searches found, in bounded memory: as a process tells it to the others."""

    f: np.ndarray
    """() The best value of them."""
    start: np.ndarray
    """() The number of the search that found it."""
    x: np.ndarray
    """(n,) Where."""
    status: np.ndarray
    """() How it ended."""
    statuses: np.ndarray
    """(s,) How many ended with each `LocalStatus`."""
    even: np.ndarray
    """() Those with a finite value whose starts are spread evenly over the box."""
    archive: minima.Archive
    """Their distinct minima, but for those of which the search knows enough better ones."""


def read(told: Incumbent) -> Incumbent:
    """What a process told of what it found, its numbers as arrays."""
    f, start, x, status, searches, archive, even, full = told
    return Incumbent(float(f), int(start), x, LocalStatus(int(status)), int(searches), archive, int(even), bool(full))


def news(ended: minima.Ended, even: np.ndarray, before: Incumbent, problem: Objective, fatol: float) -> News:
    """What these searches found, beside what had been found before.

    even: (k,) whether the start of each is one of those that are spread evenly over the box.
    """
    statuses = np.bincount(ended.status, minlength=len(LocalStatus))
    width = problem.upper - problem.lower
    kept = near(ended, before, fatol)
    empty = minima.empty(len(width), before.x.dtype)
    archive = minima.add(
        empty, minima.Ended(*(field[kept] for field in ended)), problem.lower, width, fatol, even[kept]
    )
    evenly = np.asarray(np.sum(even & np.isfinite(ended.f)))
    f, start, x, status = np.array(math.inf), np.array(0), before.x, np.array(0)
    if len(ended.f):
        best = minima.lowest(ended, 1)
        f, start, x, status = np.array(float(best.f[0])), best.start[0], best.x[0].copy(), best.status[0]
    return News(f, np.asarray(start), x, np.asarray(status), statuses, evenly, archive)


def near(ended: minima.Ended, before: Incumbent, fatol: float) -> np.ndarray | slice:
    """Which of these searches may belong in the archive: if it is full, none that ended above all of its minima."""
    values, kept = before.archive.value, np.isfinite(ended.f)
    if len(values) < minima.kept(len(before.x)):
        return slice(None)
    kept[kept] = minima.lattice_value(ended.f[kept], fatol) <= values[-1]
    return kept


def collect(found: Incumbent, news: News) -> Incumbent:
    """What has been found with this. Does not depend on the order in which it comes."""
    both = zip(found.archive, news.archive, strict=True)
    archive = minima.combine(minima.Archive(*(np.concatenate(pair) for pair in both)))
    searches = found.searches + int(np.sum(news.statuses))
    full = found.full or len(archive.f) == minima.kept(len(found.x))
    found = better(found, float(news.f), int(news.start), news.x, LocalStatus(int(news.status)))
    return found._replace(searches=searches, archive=archive, even=found.even + int(news.even), full=full)


def improve(found: Incumbent, ended: minima.Ended) -> Incumbent:
    """What has been found once these points have been evaluated too: none of them is the end of a search."""
    if not len(ended.f):
        return found
    best = minima.lowest(ended, 1)
    return better(found, float(best.f[0]), int(best.start[0]), best.x[0].copy(), LocalStatus.RUNNING)


def better(found: Incumbent, f: float, start: int, x: np.ndarray, status: LocalStatus) -> Incumbent:
    """The same with this point as the best, if it is."""
    if (f, start) < (found.f, found.start):
        return found._replace(f=f, start=start, x=x, status=status)
    return found


def hits(found: Incumbent, rules: stopping.Rules) -> int:
    """The searches that ended at the best value."""
    return int(minima.hits(found.f, found.archive.f, found.archive.searches, rules.fatol, rules.frtol))


def count_of_best(found: Incumbent) -> int:
    """The searches that are known to have ended at the best point."""
    return int(found.status is not LocalStatus.RUNNING)


def polished(
    found: Incumbent, problem: Objective, rules: stopping.Rules, evaluate: Evaluate, precisely: Evaluate | None,
    count: int,
) -> tuple[Incumbent, np.ndarray | None]:  # fmt: skip
    """The same with the best few minima to their last digits, where that raises no value, and the gradient at the best.

    evaluate: values and gradients in the dtype of the search; precisely: those in float64, if there are any; see
    `polish.side_by_side`. count: minima that may be polished.

    Newton's method follows the gradient: across a jump it leaves for a higher value, and where the value is flat to
    rounding it ends a little above the lowest that was met. So what counts is the value, and on the way back to where a
    search ended the first point is taken that is as low.
    """
    lower, upper, own = problem.lower, problem.upper, problem.structure.dtype
    dtype = own if precisely is None else np.dtype(np.float64)
    archive = minima.merge(found.archive, lower, upper - lower, rules.fatol, rules.frtol)
    archive = _with_best(found, archive, rules.fatol)  # it may have more cells than the archive keeps
    sides: Any = (np.asarray(side, dtype) for side in problem.region)
    few = min(count, polish.FEW, len(archive.f))
    before = archive.x[:few]
    ends = polish.side_by_side(precisely or evaluate, before.astype(dtype), Region(*sides))
    places = np.array([place for place, _, _ in ends]).astype(own)
    if precisely is None:
        f, g = np.array([f for _, f, _ in ends], own), np.array([g for _, _, g in ends], own)
    else:
        f, g = evaluate(places)
    x, values, gradients = archive.x.copy(), archive.f.copy(), {}

    def keep(which: np.ndarray, places: np.ndarray, f: np.ndarray, g: np.ndarray) -> None:
        for i, place, value, slope in zip(which, places, f, g, strict=True):
            if value <= archive.f[i] and int(archive.start[i]) not in gradients:
                x[i], values[i], gradients[int(archive.start[i])] = place, value, slope

    keep(np.arange(few), places, f, g)
    whole = np.isin(archive.start[:few], list(gradients))
    rest = np.flatnonzero(~whole & np.any(places != before, axis=1))
    if len(rest):
        which = np.repeat(rest, len(polish.BACK))
        back = np.tile(np.array(polish.BACK, own), len(rest))[:, None]
        tried = places[which] + back * (before[which] - places[which])
        keep(which, tried, *evaluate(tried))
    archive = archive._replace(x=x, f=values)
    finer = np.full(len(x), math.inf)  # than equal values, where the point is the polished one
    finer[:few] = np.where(whole, [f for _, f, _ in ends], math.inf)
    best = np.lexsort((archive.start, finer, values))[0]
    start = int(archive.start[best])
    found = found._replace(
        f=float(values[best]), start=start, x=x[best], status=LocalStatus(int(archive.status[best])), archive=archive
    )
    return found, gradients.get(start)


def confirmed(
    found: Incumbent, before: Incumbent, value: Callable[[np.ndarray], float], fatol: float, whole: Any = False
) -> Incumbent:
    """What was found, its best minima with the values that one point alone has there, value(x).

    A program of many points rounds differently from one of a single point, so that beside a jump they may give the
    values of its two sides. Where the best point loses its value so, the best of what was found before the polish takes
    its place; if that loses its own, bisection towards it looks for a lower point. whole: (n,) variables that are whole
    numbers.
    """
    alone = checked(found, value, fatol)
    if not _lost(alone, found):
        return alone
    alone = checked(before, value, fatol)
    held = np.array_equal(np.where(whole, alone.x, 0), np.where(whole, before.x, 0))
    return _nearer(alone, before, value) if held and _lost(alone, before) else alone


def _lost(alone: Incumbent, told: Incumbent) -> bool:
    """Whether the best value that was told is lower than that of one point alone by more than rounding."""
    eps = float(np.finfo(told.x.dtype).eps)
    return not alone.f <= told.f + ROUNDING * eps * (1 + abs(told.f))


def _nearer(known: Incumbent, lost: Incumbent, value: Callable[[np.ndarray], float]) -> Incumbent:
    """A lower point on the way from a known one to one that has lost its value: as near as bisection comes."""
    (near, far), x, f = (0.0, 1.0), known.x, known.f
    for _ in range(-int(np.log2(np.finfo(known.x.dtype).eps))):
        middle = (near + far) / 2
        point = (known.x + middle * (lost.x - known.x)).astype(known.x.dtype)
        there = value(point)
        if there < f:
            near, x, f = middle, point, there
        else:
            far = middle
    best = np.flatnonzero(known.archive.f == known.f)[:1]
    archive = known.archive._replace(x=known.archive.x.copy(), f=known.archive.f.copy())
    archive.x[best], archive.f[best] = x, f
    return known._replace(x=x, f=f, archive=archive)


def checked(found: Incumbent, value: Callable[[np.ndarray], float], fatol: float) -> Incumbent:
    """The same, the best minima with the values that they have alone.

    To the last bit: what rounding moves may be much in the units of a function of small values.
    """
    archive = _with_best(found, found.archive, fatol)
    f = archive.f.copy()
    for i in np.lexsort((archive.start, f))[:CHECKED]:
        alone = value(archive.x[i])
        f[i] = alone if math.isfinite(alone) else math.inf
    if np.array_equal(f, archive.f):
        return found
    best, finite = np.lexsort((archive.start, f))[0], np.isfinite(f)
    there = dict(f=float(f[best]), start=int(archive.start[best]), x=archive.x[best])
    kept = minima.Archive(*(field[finite] for field in archive._replace(f=f)))
    return found._replace(**there, status=LocalStatus(int(archive.status[best])), archive=kept)


def _with_best(found: Incumbent, archive: minima.Archive, fatol: float) -> minima.Archive:
    """The archive, and the best point before it where it is not in there."""
    if len(archive.f) and np.min(archive.f) == found.f:
        return archive
    return minima.Archive(*map(np.concatenate, zip(of_best(found, fatol), archive, strict=True)))


def of_best(found: Incumbent, fatol: float) -> minima.Archive:
    """The best point as an archive of its own."""
    f = np.array([found.f], found.x.dtype)
    whole = (np.array([number], np.int64) for number in (found.start, found.status, count_of_best(found), 0))
    return minima.Archive(minima.lattice_value(f, fatol), np.zeros(1, np.uint64), found.x[None], f, *whole)


def unseen(found: Incumbent, problem: Objective, rules: stopping.Rules) -> Unseen | None:
    """What the minima say about those not yet seen; None where there are more than are kept, or no even start."""
    if not found.even or found.full:
        return None
    merged = minima.merge(found.archive, problem.lower, problem.upper - problem.lower, rules.fatol, rules.frtol)
    hit = merged.even > 0
    return estimate(merged.even[hit], found.even, int(np.sum(~hit)))


def distinct_minima(found: Incumbent, problem: Objective, fatol: float, frtol: float) -> list[Minimum]:
    """The distinct minima, best first."""
    point = problem.structure.point
    merged = minima.merge(found.archive, problem.lower, problem.upper - problem.lower, fatol, frtol)
    fields = zip(merged.x, merged.f, merged.searches, merged.status, strict=True)
    distinct = [Minimum(point(x), float(f), int(count), LocalStatus(int(s))) for x, f, count, s in fields]
    if distinct and distinct[0].fun != found.f and np.any(problem.whole) and np.array_equal(merged.x[0], found.x):
        distinct[0] = dataclasses.replace(distinct[0], fun=found.f)  # two programs have rounded the value of one point
    if distinct and distinct[0].fun != found.f:  # the best value has more cells than the archive keeps
        distinct.insert(0, Minimum(point(found.x), found.f, count_of_best(found), found.status))
    return distinct
