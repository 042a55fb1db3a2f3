"""When a search stops: from its best values, its minima and its limits to a Status, or None to go on.

A search that learns ends by its evidence (confidence.py) unless it was told what to wait for; the rules here are those
of everything else. The constants were chosen on one set of problems and checked on another: `python
benchmarks/stopping.py`.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

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
SPREAD = 100  # times 1 + abs(f), of the terms that cancel in f, at most: a pole elsewhere says nothing of rounding here
NOISES = 2  # values with such errors differ by so many of them
SAME_SHARE = 1e-6  # of the scale of the values
ROUNDING = 4.0  # two values that differ by so many eps of their size are the same


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
    def by_evidence(self) -> bool:
        """Whether neither levels, minima not yet seen nor a limit of its own ends the search of a problem."""
        limits = self.max_levels, self.max_starts, self.max_evals
        return all(v is None for v in (self.same, self.unseen, *limits))

    @property
    def unlimited(self) -> bool:
        """Whether no limit was given, so that the size of a level is the only one."""
        return all(v is None for v in (self.max_time, self.max_levels, self.max_starts, self.max_evals))


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
