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


def collect(found: Found, ended: minima.Ended, problem: Objective, fatol: float) -> Found:
    """What has been found once these searches have ended too. Does not depend on the order in which they come."""
    if not len(ended.f):
        return found
    archive = minima.add(found.archive, ended, problem.lower, problem.upper - problem.lower, fatol)
    return improve(found, ended)._replace(searches=found.searches + len(ended.f), archive=archive)


def improve(found: Found, ended: minima.Ended) -> Found:
    """What has been found once these points have been evaluated too, which count for no minimum."""
    if not len(ended.f):
        return found
    lowest = np.flatnonzero(ended.f == np.min(ended.f))
    i = lowest[np.argmin(ended.start[lowest])]
    f, start = float(ended.f[i]), int(ended.start[i])
    if (f, start) < (found.f, found.start):
        return found._replace(f=f, start=start, x=ended.x[i].copy(), status=LocalStatus(int(ended.status[i])))
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
