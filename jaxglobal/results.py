"""What a search of many problems returns: every array with a leading axis, or the outcome of one of them."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal.calls import Calls, message
from jaxglobal.printing import brief, counted, duration, plain, table
from jaxglobal.result import CONSTRAINED, Unseen
from jaxglobal.status import Status

COUNTED = ("fun", "success", "nit", "nfev", "njev", "nstarts", "singular", "touching", "tied", "violation")
"""Numbers of a problem."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one of many global searches; the fields are those of `Results`.

    Attributes:
        x: the best point, in the user's structure.
        fun: its value; NaN where no value was finite.
        jac: the gradient there, in the user's structure.
        aux: the auxiliary output of fun at `x`, None without `has_aux`.
        success: whether a finite value was found, and the end came by the evidence, `same`, `unseen` or `target`.
        status: why the search ended.
        nit: levels that were searched to their end.
        nfev: evaluations, each a value together with its gradient.
        njev: the same number.
        nstarts: local searches.
        singular: the Hessian at x is singular, nearly so, or not positive.
        touching: a variable is about to reach or to leave a bound.
        tied: another search ended elsewhere at the same value.
        minima: the distinct local minima, as arrays `x`, `fun`, `count` of M.
        violation: the largest violation of a constraint at x, in its own units; 0 without constraints.
        multipliers: as `Result.multipliers`.
        active: as `Result.active`.
        unseen: as `Results.unseen`.
    """

    x: Any
    fun: float
    jac: Any
    aux: Any
    success: bool
    status: Status
    nit: int
    nfev: int
    njev: int
    nstarts: int
    singular: bool
    touching: bool
    tied: bool
    minima: Any
    violation: float = dataclasses.field(default=0.0, metadata=CONSTRAINED)
    multipliers: Any = dataclasses.field(default=None, metadata=CONSTRAINED)
    active: Any = dataclasses.field(default=None, metadata=CONSTRAINED)
    unseen: Unseen | None = None

    @property
    def message(self) -> str:
        """Why the search ended, and what to try."""
        return self.status.value

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: a row of a table, JSON."""
        return plain(self)

    def __repr__(self) -> str:
        """On one line."""
        violation = "" if self.active is None else f"violation={self.violation:.3g}, "
        return (
            f"Outcome(fun={self.fun:.10g}, x={brief(self.x)}, {violation}success={self.success}, "
            f"status={self.status.name}, "
            f"{counted(self.nstarts, 'start')}, {counted(self.nfev, 'evaluation')})"
        )


@dataclasses.dataclass(frozen=True)
class Finished:
    """What the callback of `minimize_many` and `curve_fit_many` hears: what has ended since the last time.

    Attributes:
        problems: (k,) the numbers of the problems, or data sets.
        x: their best points, in the user's structure with a leading axis k, before the polish.
        fun: (k,) their values; NaN where none was finite.
        done: problems that have ended so far.
        count: of all.
    """

    problems: np.ndarray
    x: Any
    fun: np.ndarray
    done: int
    count: int


@dataclasses.dataclass(frozen=True)
class Results:
    """The outcome of many global searches: every array has a leading axis of problems.

    `results[i]` is the `Outcome` of a problem, `results[2:5]` and `results[~results.success]` are `Results`.

    Attributes:
        x: the best points, in the user's structure.
        fun: (P,) their values; NaN where no value was finite.
        jac: the gradients there, in the user's structure; NaN for a function that is not JAX.
        aux: the auxiliary outputs of fun at `x`, None without `has_aux`.
        success: (P,) whether a finite value was found, and the end came by the evidence, `same`, `unseen` or `target`.
        status: (P,) of `Status`: why each search ended.
        nit: (P,) levels that were searched to their end.
        nfev: (P,) evaluations, each a value together with its gradient.
        njev: (P,) the same numbers.
        calls: what became of the calls of a function that is not JAX, None for one that is.
        nstarts: (P,) local searches.
        singular: (P,) the Hessian at x is singular, nearly so, or not positive; see `Argmin`.
        touching: (P,) a variable is about to reach or to leave a bound.
        tied: (P,) another search ended elsewhere at the same value.
        minima: the distinct local minima of each, at most 16, as arrays `x`, `fun`, `count` with axes (P, M), the best
            first; NaN, and a count of 0, where a problem has fewer.
        lane_efficiency: share of the evaluations that were spent on a search, not on an idle lane.
        time: seconds from the call to the result, compilation included.
        compile_time: seconds of these for tracing and compiling.
        violation: (P,) the largest violation of a constraint at x, in its own units; 0 without constraints.
        multipliers: in the structure of the constraints, None without; see `Result`.
        active: which constraints are held by a bound, likewise.
        unseen: (P,) of `Unseen`: what the minima of each say about those not yet seen, where the starts learn or
            `unseen` is given, else None; None too where there are more than are kept: 16, or up to 1,024 with `unseen`.
    """

    x: Any
    fun: np.ndarray
    jac: Any
    aux: Any
    success: np.ndarray
    status: np.ndarray
    nit: np.ndarray
    nfev: np.ndarray
    njev: np.ndarray
    calls: Calls | None
    nstarts: np.ndarray
    singular: np.ndarray
    touching: np.ndarray
    tied: np.ndarray
    minima: Any
    lane_efficiency: float
    time: float
    compile_time: float
    violation: Any = 0.0
    multipliers: Any = None
    active: Any = None
    unseen: Any = None

    def __len__(self) -> int:
        """The number of problems."""
        return len(self.fun)

    def __getitem__(self, index: Any) -> Any:
        """The `Outcome` of a problem, or the `Results` of several: a slice, their numbers, or a mask.

        What was spent in all (calls, lane_efficiency, time, compile_time) stays that of the whole search.
        """
        index, single = which(index, len(self))
        if single:
            told = {name: value.item() if name in COUNTED else value for name, value in self._at(index)}
            there = int(np.sum(told["minima"].count > 0))
            told["minima"] = jax.tree.map(lambda leaf: leaf[:there], told["minima"])
            return Outcome(**told)
        return dataclasses.replace(self, **dict(self._at(index)))

    def __iter__(self) -> Iterator["Outcome"]:
        """The problems one after the other."""
        return (self[i] for i in range(len(self)))

    def _at(self, index: Any) -> list[tuple[str, Any]]:
        """The fields that an `Outcome` has, at some of the problems."""
        names = [field.name for field in dataclasses.fields(Outcome)]
        return [(name, jax.tree.map(lambda leaf: leaf[index], getattr(self, name))) for name in names]

    def _rows(self) -> list[tuple[str, str]]:
        counts = collections.Counter(self.status.tolist())
        rows = [("problems", f"{len(self):,}, {int(np.sum(self.success)):,} successful")]
        rows += [(f"{count:,}", f"{s.name}: {message(s, self.calls)}") for s, count in counts.most_common()]
        if np.any(np.isfinite(self.fun)):
            low, middle, high = np.nanquantile(self.fun, [0, 0.5, 1])
            rows.append(("fun", f"{low:.6g} at least, {middle:.6g} in the median, {high:.6g} at most"))
        if self.active is not None:
            rows.append(("violation", f"{np.max(self.violation, initial=0.0):.3g} at most"))
        return [
            *rows,
            ("searches", f"{int(np.sum(self.nstarts)):,}"),
            ("evaluations", f"{int(np.sum(self.nfev)):,} (lanes {100 * self.lane_efficiency:.0f} % busy)"),
            *([] if self.calls is None else [("calls", str(self.calls))]),
            ("time", f"{duration(self.time)}, of it {duration(self.compile_time)} compiling"),
        ]

    def __repr__(self) -> str:
        """The essentials."""
        return "\n".join(f"{name:>12}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        return table(self._rows())


def which(index: Any, count: int) -> tuple[Any, bool]:
    """An index into so many outcomes, checked, and whether it is that of a single one.

    Raises:
        IndexError: there is no such outcome.
        TypeError: it is not a whole number, a slice, or a 1-D array of numbers or booleans.
    """
    if isinstance(index, int | np.integer) and not isinstance(index, bool):
        if not -count <= index < count:
            raise IndexError(f"`index` must be in [-{count}, {count}); got {index}.")
        return index, True
    if not isinstance(index, slice):
        index = np.asarray(index)
        if index.ndim != 1 or (index.size and index.dtype.kind not in "biu"):
            raise TypeError("`index` must be a whole number, a slice, or a 1-D array of numbers or booleans.")
        index = index if index.size else np.zeros(0, int)
    return index, False
