"""When a search stops: from the records of its levels and its limits to a Status, or None to go on."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jaxglobal.result import Status, Unseen
from jaxglobal.starts import AFFORDABLE

LOOKED = 2**13  # evaluations after which a function without a finite value is given up
LEVELS = 4  # in a row with the same best value
ROUNDING = 4.0  # two values that differ by so many eps of their size are the same


@dataclasses.dataclass(frozen=True)
class Rules:
    """The stopping rules, each None (or no target) where it does not apply.

    Attributes:
        same: stop after so many levels in a row with the same best value; None: after `LEVELS` of them, unless `unseen`
            says what to wait for.
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
        """Raises ValueError or TypeError for a rule that makes no sense."""
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

    @property
    def alike(self) -> int:
        """How many levels in a row with the same best value end a search."""
        return LEVELS if self.same is None else self.same

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


def after_level(rules: Rules, best: Sequence[float], eps: float, nfev: float = math.inf) -> Status | None:
    """Whether the best values over all levels so far, one a level, have settled, after so many evaluations.

    Where none is finite, the search looks on: a feasible region may be a small part of the box.
    """
    last = np.asarray(best[-rules.alike :])
    if len(last) < rules.alike:
        return None
    if not np.any(np.isfinite(last)):
        return Status.NO_FINITE_VALUE if nfev >= LOOKED else None
    if rules.same is None and rules.unseen is not None:
        return None
    return Status.SAME if settled(rules, last, eps) else None


def covered(rules: Rules, seen: Unseen | None) -> Status | None:
    """Whether hardly any minimum is left to be seen."""
    return Status.COVERED if rules.unseen is not None and seen is not None and seen.most <= rules.unseen else None


def settled(rules: Rules, best: np.ndarray, eps: float) -> np.ndarray:
    """Whether the best values after levels in a row, (..., same), are the same."""
    first, last = best[..., 0], best[..., -1]
    with np.errstate(invalid="ignore"):
        return first - last <= np.maximum(rules.fatol + rules.frtol * np.abs(last), ROUNDING * eps * np.abs(last))
