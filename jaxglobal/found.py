"""What the local searches have found so far: the best point, and the archive of minima."""

import math
from typing import NamedTuple

import numpy as np

from jaxglobal import minima
from jaxglobal.objective import Objective
from jaxglobal.result import LocalStatus, Minimum


class Found(NamedTuple):
    """A value, never changed in place: a level that has to be searched again begins from the old one."""

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


def nothing(problem: Objective) -> Found:
    """Before the first search: no value, at the centre of the box."""
    n, dtype = problem.structure.n, problem.structure.dtype
    centre = problem.lower + (problem.upper - problem.lower) / 2
    return Found(math.inf, 0, centre.astype(dtype), LocalStatus.RUNNING, 0, minima.empty(n, dtype))


class News(NamedTuple):
    """What some local searches found, in bounded memory: what a process tells of its own."""

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
    archive: minima.Archive
    """Their distinct minima, but for those of which the search knows enough better ones."""


def news(ended: minima.Ended, before: Found, problem: Objective, fatol: float) -> News:
    """What these searches found, beside what had been found before."""
    statuses = np.bincount(ended.status, minlength=len(LocalStatus))
    width = problem.upper - problem.lower
    archive = minima.add(
        minima.empty(len(width), before.x.dtype), near(ended, before, fatol), problem.lower, width, fatol
    )
    f, start, x, status = np.array(math.inf), np.array(0), before.x, np.array(0)
    if len(ended.f):
        lowest = np.flatnonzero(ended.f == np.min(ended.f))
        i = lowest[np.argmin(ended.start[lowest])]
        f, start, x, status = np.array(float(ended.f[i])), ended.start[i], ended.x[i].copy(), ended.status[i]
    return News(f, np.asarray(start), x, np.asarray(status), statuses, archive)


def near(ended: minima.Ended, before: Found, fatol: float) -> minima.Ended:
    """Without the searches that end above all minima of a full archive."""
    values = before.archive.value
    if len(values) < minima.KEPT:
        return ended
    kept = np.isfinite(ended.f)
    kept[kept] = minima.lattice_value(ended.f[kept], fatol) <= values[-1]
    return minima.Ended(*(field[kept] for field in ended))


def collect(found: Found, news: News) -> Found:
    """What has been found with this. Does not depend on the order in which it comes."""
    both = zip(found.archive, news.archive, strict=True)
    archive = minima.combine(minima.Archive(*(np.concatenate(pair) for pair in both)))
    searches = found.searches + int(np.sum(news.statuses))
    return improve(found, news)._replace(searches=searches, archive=archive)


def improve(found: Found, news: News) -> Found:
    """What has been found once these points have been evaluated too, which count for no minimum."""
    f, start = float(news.f), int(news.start)
    if (f, start) < (found.f, found.start):
        return found._replace(f=f, start=start, x=news.x, status=LocalStatus(int(news.status)))
    return found


def polished(found: Found, x: np.ndarray, f: float) -> Found:
    """The same with the best point at x. Its value f is the same within the rounding error, of which no rise counts."""
    f = min(f, found.f)
    archive, mine = found.archive, found.archive.start == found.start
    places, values = np.where(mine[:, None], x, archive.x), np.where(mine, f, archive.f).astype(archive.f.dtype)
    return found._replace(x=x, f=f, archive=archive._replace(x=places, f=values))


def distinct_minima(found: Found, problem: Objective, fatol: float, frtol: float) -> list[Minimum]:
    """The distinct minima, best first."""
    unflatten = problem.structure.unflatten
    merged = minima.merge(found.archive, problem.lower, problem.upper - problem.lower, fatol, frtol)
    fields = zip(merged.x, merged.f, merged.searches, merged.status, strict=True)
    distinct = [Minimum(unflatten(x), float(f), int(count), LocalStatus(int(s))) for x, f, count, s in fields]
    if distinct and distinct[0].fun != found.f:  # the best value has more cells than the archive keeps
        distinct.insert(0, Minimum(unflatten(found.x), found.f, 1, found.status))
    return distinct
