"""What the constraints say at the points of an answer: how far they are violated, which bind, and at what price.

Measured at x as it is given back, and nothing else: no part of a search is believed.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible, finishing, kinks, kkt
from jaxglobal.constraints.exact import Exact
from jaxglobal.constraints.subject import Subject
from jaxglobal.printing import brief
from jaxglobal.problem.closed import Structure
from jaxglobal.result import Minimum, Result
from jaxglobal.status import Status

BINDS = 10.0  # times the tolerance, may a row be from its bound
NEAR_BOUND = 1e-7  # of the box: a variable is on its bound
LIMITED = (
    Status.MAX_TIME, Status.MAX_LEVELS, Status.MAX_STARTS, Status.MAX_EVALS, Status.TOO_LARGE, Status.RUNNING,
    Status.CALLBACK, Status.INTERRUPTED, Status.CANCELLED,
)  # fmt: skip
"""Ends that a limit or a person brought, not the evidence."""
VALUELESS = "no feasible point gave a finite value: check fun at a point that keeps the constraints"


@dataclasses.dataclass(frozen=True)
class Binding:
    """What the constraints say at a point.

    Attributes:
        violation: the largest, in the constraints' own units.
        relative: the largest, in the rows' own scales.
        multipliers: of f + sum of multiplier times row, in the structure of the constraints; NaN without slopes.
        active: which rows are held by a bound, likewise.
        worst: the row that is violated most, in its own scale.
    """

    violation: float
    relative: float
    multipliers: Any
    active: Any
    worst: int


def measure(subject: Subject, x: np.ndarray) -> list[Binding]:
    """At points, (k, n)."""
    if not len(x):
        return []
    rows, x = subject.rows, x.astype(np.float64)
    seen = subject.exact.slopes(x)
    found = []
    for k in range(len(x)):
        frame = subject.frame_at(x[k])
        c, g, J = (np.asarray(part[k], np.float64) for part in (seen.c, seen.g, seen.J))
        relative = feasible.violations(c, J, frame, subject.least)
        over = np.where(np.isfinite(c), np.abs(kkt.excess(c, frame)), np.inf)
        scale = feasible.scales(c, J, frame)
        with np.errstate(invalid="ignore"):  # an infinite row is at no bound
            away = np.minimum(np.abs(c - frame.upper), np.abs(c - frame.lower))
        active = frame.equal | (away <= BINDS * subject.most * scale)
        side = np.where(active, np.where(kkt.at_upper(c, frame), 1, -1), 0)
        width, near = frame.width, NEAR_BOUND * frame.width
        on = x[k] - frame.low <= near, frame.high - x[k] <= near
        lam = np.full(rows.m, np.nan if np.any(width > 0) else 0.0)  # where nothing moves, nothing has a price
        if np.any(width > 0) and np.all(np.isfinite(g * width)) and np.all(np.isfinite(J * width)):
            lam, _ = kkt.prices(g * width, J * width, side, frame.equal, *on, width > 0)
            if np.any(active):
                of_kink = kinks.multipliers(subject.exact, x[k], g, J, side, *on, frame, subject.dtype)
                lam = lam if of_kink is None else of_kink
        worst = int(np.argmax(relative)) if len(relative) else 0
        largest, most = (float(np.max(part, initial=0.0)) for part in (over, relative))
        found.append(Binding(largest, most, rows.structured(lam), rows.structured(active), worst))
    return found


def kept(subject: Subject, binding: Binding) -> bool:
    """Whether every constraint is kept there, to its tolerance."""
    return binding.relative <= subject.most


def of_minima(subject: Subject, minima: list[Minimum], flat: np.ndarray) -> list[Minimum]:
    """The minima, at points (k, n), with what the constraints say there; those that are not feasible are left out."""
    told = zip(minima, measure(subject, flat), strict=True)
    return [
        dataclasses.replace(m, violation=b.violation, multipliers=b.multipliers, active=b.active)
        for m, b in told
        if kept(subject, b)
    ]


def valueless(subject: Subject, x: np.ndarray) -> bool:
    """Whether fun has no value at x, (n,), though all rows do, or none at a feasible point, met or nearby."""
    if subject.valueless:
        return True
    x = x.astype(np.float64)
    f, c = (part[0] for part in subject.exact.slopes(x[None])[:2])
    if not np.all(np.isfinite(c)) or not np.isfinite(f) or not isinstance(subject.exact, Exact):
        return bool(np.all(np.isfinite(c)) and not np.isfinite(f))
    working = kkt.restore(x, subject.frame_at(x), finishing.RESTORED)
    (place,), _ = finishing.side_by_side([working], subject.exact, math.inf)
    near = x if place is None else place
    return kept(subject, measure(subject, near[None])[0]) and not np.isfinite(subject.exact.slopes(near[None]).f[0])


def infeasible(subject: Subject, binding: Binding, x: np.ndarray) -> str:
    """That no feasible point was found, and which constraint it was."""
    rows, frame = subject.rows, subject.frame
    c = float(subject.exact.slopes(x.astype(np.float64)[None]).c[0, binding.worst])
    low, high = float(frame.lower[binding.worst]), float(frame.upper[binding.worst])
    if not math.isfinite(c):
        return f"no point was found at which all constraints are finite: {rows.name(binding.worst)} is {c} at x"
    wanted = f"be {low:.6g}" if low == high else f"lie in [{low:.6g}, {high:.6g}]"
    return (
        "no feasible point was found: x is where the constraints are violated the least, "
        f"{rows.name(binding.worst)} the most, which should {wanted} and is {brief(c)}; "
        "check that they can be kept together, or allow more time"
    )


def crowded(subject: Subject) -> str:
    """A warning where there are more equalities than variables: then some follow from others, or all cannot be kept."""
    equalities, variables = int(np.sum(subject.frame.equal)), int(np.sum(subject.frame.width > 0))
    if equalities <= variables:
        return ""
    return f"; there are {equalities} equalities in {variables} free variables: they are dependent, or contradict"


def told(result: Result, subject: Subject, x: np.ndarray, structure: Structure) -> Result:
    """The result of a search under constraints, with what they say at its points. x: (n,) the best one."""
    here = measure(subject, x[None])[0]
    feasible = kept(subject, here) and math.isfinite(result.fun)
    flat = np.array([structure.of_point(m.x) for m in result.minima]).reshape(-1, structure.n)
    minima = of_minima(subject, result.minima, flat)
    status, message = result.status, result.message
    settled = status not in LIMITED
    nowhere = not feasible and valueless(subject, x)
    words = VALUELESS if nowhere else "" if feasible else infeasible(subject, here, x)
    if not feasible and settled:
        status, message = Status.NO_FINITE_VALUE if nowhere else Status.INFEASIBLE, words
    elif not feasible:
        message = f"{message}; {words}"
    message += crowded(subject)
    f = subject.exact.slopes(x.astype(np.float64)[None]).f[0]
    return dataclasses.replace(
        result,
        aux=None if result.aux is None else result.aux[0],  # the rows come with it
        fun=result.fun if feasible else float(f),
        success=result.success and feasible,
        status=status,
        message=message,
        minima=minima,
        violation=here.violation,
        multipliers=here.multipliers,
        active=here.active,
    )
