"""What many fits say, and how they print."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal.fit import agreement
from jaxglobal.printing import duration, table
from jaxglobal.results import which
from jaxglobal.status import Status

OF_EACH = ("popt", "pcov", "fun", "success", "status", "nfev", "searches", "hits", "multipliers", "active")
NUMBERS = ("fun", "success", "nfev", "searches", "hits", "violation")


@dataclasses.dataclass(frozen=True, eq=False)
class FitOutcome:
    """The fit of one of many data sets; the fields are those of `Fits`. Unpacks as `popt, pcov`.

    Attributes:
        popt: the parameters, (n,) or in the structure of the `Box`.
        pcov: (n, n) their covariance.
        perr: (n,) their standard deviations.
        fun: the cost, NaN where no value was finite.
        success: whether the fit is believed.
        status: why its searches ended.
        nfev: evaluations of the model with its Jacobian.
        searches: local searches.
        hits: how many of them ended at the lowest cost.
        violation: the largest violation of a constraint, in its own units; 0 without constraints.
        multipliers: as `Result.multipliers`.
        active: as `Result.active`.
    """

    popt: Any
    pcov: np.ndarray
    perr: np.ndarray
    fun: float
    success: bool
    status: Status
    nfev: int
    searches: int
    hits: int
    violation: float = 0.0
    multipliers: Any = None
    active: Any = None

    def __iter__(self) -> Iterator[Any]:
        """popt, pcov."""
        return iter((self.popt, self.pcov))

    @property
    def message(self) -> str:
        """Why its searches ended, and how many of them agree."""
        seen = f"{self.hits:,} of {self.searches:,} searches ended at the lowest cost"
        return seen if self.status is Status.SAME else f"{seen}; {agreement.of_model(self.status.value)}"


@dataclasses.dataclass(frozen=True, eq=False)
class Fits:
    """The outcome of `curve_fit_many`: every array has a leading axis of P data sets.

    `fits[i]` is the `FitOutcome` of a data set, `fits[2:5]` and `fits[~fits.success]` are `Fits`.

    Attributes:
        popt: (P, n) the parameters, or the structure of the `Box` with a leading axis.
        pcov: (P, n, n) their covariances; infinite for parameters that the data do not determine.
        perr: (P, n) their standard deviations.
        fun: (P,) the costs in float64, NaN where no value was finite.
        success: (P,) whether the fit is believed: enough of its searches agree on the lowest cost, and no limit left
            any out; also where `levels` or `searches` say how many are made.
        status: (P,) of `Status`: why the searches of each ended; `UNSETTLED` where they do not agree.
        nfev: (P,) evaluations of the model with its Jacobian.
        searches: (P,) local searches.
        hits: (P,) how many of them ended at the lowest cost.
        nstarts: starts that were screened, for each data set, before the first search.
        linear: the indices of the parameters in which the model was seen to be linear.
        time: seconds from the call to the result, compilation included.
        compile_time: seconds of these for tracing and compiling.
        violation: (P,) the largest violation of a constraint, in its own units; 0 without constraints.
        multipliers: of the costs, in the structure of the constraints, None without; see `Results`.
        active: which constraints are held by a bound, likewise.
    """

    popt: Any
    pcov: np.ndarray
    fun: np.ndarray
    success: np.ndarray
    status: np.ndarray
    nfev: np.ndarray
    searches: np.ndarray
    hits: np.ndarray
    nstarts: int
    linear: tuple[int, ...]
    time: float
    compile_time: float
    violation: Any = 0.0
    multipliers: Any = None
    active: Any = None

    def __len__(self) -> int:
        """The number of data sets."""
        return len(self.fun)

    def __getitem__(self, index: Any) -> Any:
        """The `FitOutcome` of a data set, or the `Fits` of several: a slice, their numbers, or a mask.

        What was spent in all (nstarts, time, compile_time) stays that of the whole call.
        """
        at, single = which(index, len(self))
        told = {name: jax.tree.map(lambda leaf: leaf[at], getattr(self, name)) for name in OF_EACH}
        told["violation"] = np.broadcast_to(self.violation, len(self))[at]
        if not single:
            return dataclasses.replace(self, **told)
        numbers = {name: told[name].item() for name in NUMBERS}
        return FitOutcome(**(told | numbers), perr=self.perr[at])

    def __iter__(self) -> Iterator[FitOutcome]:
        """The data sets one after the other."""
        return (self[i] for i in range(len(self)))

    @property
    def perr(self) -> np.ndarray:
        """(P, n) The standard deviations of the parameters."""
        return np.sqrt(np.diagonal(self.pcov, axis1=1, axis2=2))

    def _rows(self) -> list[tuple[str, str]]:
        others = collections.Counter(self.status[~self.success].tolist())
        low, middle, high = np.nanquantile(self.fun, [0, 0.5, 1]) if np.any(np.isfinite(self.fun)) else [np.nan] * 3
        return [
            ("data sets", f"{len(self):,}, {int(np.sum(self.success)):,} with success"),
            *((f"{count:,}", f"{why.name}: {agreement.of_model(why.value)}") for why, count in others.most_common()),
            ("cost", f"{low:.6g} at least, {middle:.6g} in the median, {high:.6g} at most"),
            *([] if self.active is None else [("violation", f"{np.max(self.violation, initial=0.0):.3g} at most")]),
            ("starts", f"{self.nstarts:,} screened for each, {float(np.mean(self.nfev)):.1f} evaluations in the mean"),
            ("time", f"{duration(self.time)}, of it {duration(self.compile_time)} compiling"),
        ]

    def __repr__(self) -> str:
        """The essentials."""
        return "\n".join(f"{name:>12}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        return table(self._rows())
