"""The last digits of a search under constraints of which somebody tells values and slopes, but no curvature.

As finishing.py has it, for one search at a time, and from what was told to it alone, so that the order of the answers
does not matter: Newton's method on the KKT system (kkt.py), from where the lane ended, then from the feasible point
nearby; where both fail, the search goes on in its lane, once. The curvature of the Lagrangian comes from the slopes
that were told at the search's last points, by the symmetric rank-one update [NW, 6.2]: it may be indefinite, as that of
a Lagrangian is, and what was told holds for any multipliers.

[NW] J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed., Springer (2006).
"""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.constraints import exact, finishing, kkt, lagrangian, penalties
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.lagrangian import Packed
from jaxglobal.constraints.subject import Subject, lengths
from jaxglobal.status import LocalStatus

SHORTEST = 0.4  # eps to this power, of the box: a step whose slopes differ by more than their rounding
STEADY = 1e-8  # an update smaller than this share of its size is left out [NW, eq. 6.26]


class Seen(NamedTuple):
    """What was told at a point."""

    x: np.ndarray
    """(n,)"""
    f: float
    c: np.ndarray
    """(m,)"""
    g: np.ndarray
    """(n,)"""
    J: np.ndarray
    """(m, n)"""


class Ending(NamedTuple):
    """What becomes of a search that has ended in its lane."""

    seen: Seen
    """Where it is."""
    status: LocalStatus
    more: np.ndarray | None = None
    """Packed: from where it goes on."""


Asked = Generator[np.ndarray, Any, Any]
"""Yields a point, and is sent what is told there, a `Seen`, at the point as it was rounded."""


def ending(subject: Subject, parts: Packed, status: LocalStatus, again: bool, path: list[Seen]) -> Asked:
    """What becomes of a search, an `Ending`.

    parts: of where it ended, each (k,), as told there. again: whether it has gone on once. path: of its last points.
    """
    x, frame = parts.x, subject.frame_at(parts.x)
    seen = yield from _at(x, frame)
    f_size = float(parts.f_size[0])
    before = seen.f * f_size
    lam = parts.lam * parts.size / f_size
    infeasible = status == LocalStatus.INFEASIBLE

    def polish(place: np.ndarray) -> Asked:
        """Where Newton's method leads to, if it is a feasible KKT point and not much higher than before."""
        point = yield from _secant(kkt.newton(place, lam, frame, finishing.NEAR[int(again)]), path, frame)
        if point is None or point.error > finishing.ERROR:
            return None
        end = yield from _at(point.x, frame)
        low = end.f * f_size <= before + finishing.HIGHER * (1 + abs(before)) or infeasible
        return end if low and subject.violation(end.c, end.J) <= subject.most else None

    end = None if infeasible else (yield from polish(x))
    if end is None:
        place = yield from _secant(kkt.restore(x, frame, finishing.RESTORED), path, frame)
        place = x if place is None else place
        end = yield from polish(place)
        if end is None and (again or infeasible):
            kept = yield from _at(place, frame)
            kept = kept if np.isfinite(kept.f) else seen  # it is fun that has no value there, as has been noted
            unsure = status == LocalStatus.CONVERGED
            return Ending(kept, LocalStatus.CONVERGED_TO_PRECISION if unsure else status)
    if end is not None:
        return Ending(end, LocalStatus.CONVERGED)
    return Ending(seen, status, _onwards(subject, parts, lam, seen))


def _onwards(subject: Subject, parts: Packed, lam: np.ndarray, seen: Seen) -> np.ndarray:
    """From where a search goes on, packed, with its rows scaled by the slopes there."""
    slopes = lengths(seen.g[None], seen.J[None], subject.frame)[0]
    own = 1 / np.maximum(np.where(np.isfinite(slopes), slopes, 1), finishing.LEAST_SHARE)
    own[0] = parts.f_size[0]
    rho = np.clip(parts.rho, lagrangian.PENALTY, penalties.LARGE)
    scaled = (lam * own[0] / own[1:])[None]
    return subject.packed(seen.x[None], scaled, own[None], rho, finishing.LAST)[0]


def _at(x: np.ndarray, frame: Frame) -> Asked:
    """What is told at x, a `Seen`, with the slopes a hair inside the box where those on its bounds are not finite."""
    seen = yield x
    steep = not (np.all(np.isfinite(seen.g)) and np.all(np.isfinite(seen.J)))
    if steep and np.isfinite(seen.f) and np.all(np.isfinite(seen.c)):
        hair = np.maximum(exact.WITHIN, 4 * float(np.finfo(seen.x.dtype).eps)) * frame.width
        inner = yield np.clip(x, frame.low + hair, frame.high - hair)
        seen = seen._replace(g=inner.g, J=inner.J)
    return seen


def _secant(working: kkt.Asked, path: list[Seen], frame: Frame) -> Asked:
    """What becomes of a generator of kkt.py that is told the curvature of the path; None where its algebra fails."""
    try:
        x, lam = next(working)
        while True:
            seen = yield from _at(x, frame)
            keep(path, seen)
            H = None if lam is None else curvature(path, lam, frame.width)
            x, lam = working.send((seen.f, seen.c, seen.g, seen.J, H))
    except StopIteration as end:
        return end.value
    except np.linalg.LinAlgError:
        return None


def keep(path: list[Seen], seen: Seen) -> None:
    """Adds a point to a path, of which the last are kept that curvature is made of."""
    if all(np.all(np.isfinite(part)) for part in seen):
        path.append(seen)
        del path[: -(2 * len(seen.x) + 2)]


def packed(of_lanes: dict[int, list[Seen]], name: str) -> dict[str, np.ndarray]:
    """What was told to lanes, as arrays of this name."""
    rows = [(lane, *seen) for lane, told in of_lanes.items() for seen in told]
    fields: Any = zip(*rows, strict=True) if rows else ((),) * (1 + len(Seen._fields))
    return {f"{name}_{field}": np.array(part) for field, part in zip(("lane", *Seen._fields), fields, strict=True)}


def unpacked(arrays: dict[str, np.ndarray], name: str) -> dict[int, list[Seen]]:
    """The inverse of `packed`."""
    of_lanes: dict[int, list[Seen]] = {}
    fields = (arrays[f"{name}_{field}"] for field in ("lane", *Seen._fields))
    for lane, x, f, c, g, J in zip(*fields, strict=True):
        of_lanes.setdefault(int(lane), []).append(Seen(x, float(f), c, g, J))
    return of_lanes


def curvature(path: list[Seen], lam: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(n, n) The Hessian of f + lam'c, as the slopes at the points of the path tell it; none without a point.

    Where they tell nothing, it is that of the last step, alike in all directions of the box.
    """
    n, movable = len(width), width > 0
    unit = np.where(movable, width, 1)
    if not path:
        return np.zeros((n, n))
    x = np.array([seen.x for seen in path]) / unit
    slopes = np.array([seen.g + seen.J.T @ lam for seen in path]) * width
    s, y = np.diff(x, axis=0), np.diff(slopes, axis=0)
    long = np.max(np.abs(s), axis=1, initial=0) >= np.finfo(path[-1].x.dtype).eps ** SHORTEST
    good = long & np.all(np.isfinite(y), axis=1)
    s, y = s[good], y[good]
    if not len(s):
        return np.diag(np.where(movable, max(np.max(np.abs(slopes[-1]), initial=0), kkt.TINY), 0) / unit**2)
    B = np.diag(np.where(movable, np.linalg.norm(y[-1]) / np.linalg.norm(s[-1]), 0))
    for step, change in zip(s, y, strict=True):
        rest = change - B @ step
        size = rest @ step
        if abs(size) > STEADY * np.linalg.norm(rest) * np.linalg.norm(step):
            B = B + np.outer(rest, rest) / size
    return B / unit[:, None] / unit
