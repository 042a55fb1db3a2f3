"""What a search returns: why it and its local searches ended, its levels, its minima, and how they print."""

import dataclasses
import enum
import html
from typing import Any

import numpy as np

SHOWN = 10  # minima and levels that a printed result lists


class Status(enum.StrEnum):
    """Why a search ended; the value is the message."""

    RUNNING = "the search has not ended"
    SAME = "the best value was the same in as many levels in a row as `same` asks for"
    TARGET = "the target was reached"
    CALLBACK = "the callback ended the search"
    MAX_TIME = "max_time was reached; the best value so far may not be the global minimum: allow more time"
    MAX_LEVELS = "max_levels was reached; the best value so far may not be the global minimum: allow more levels"
    MAX_STARTS = "max_starts was reached; the best value so far may not be the global minimum: allow more starts"
    MAX_EVALS = "max_evals was reached; the best value so far may not be the global minimum: allow more evaluations"
    TOO_LARGE = (
        "the next level would bring the local searches above 131,072 and no limit was given: "
        "set max_time, max_levels, max_starts or max_evals to go on"
    )
    NO_FINITE_VALUE = (
        "no start gave a finite value with a finite gradient: "
        "check fun at a point of the box, and whether its dtype overflows"
    )
    INTERRUPTED = "the search was interrupted from the keyboard"
    CANCELLED = "the search was cancelled"


class LocalStatus(enum.IntEnum):
    """Why a local search ended. What each means is in `MEANING`."""

    RUNNING = 0
    CONVERGED = 1
    CONVERGED_TO_PRECISION = 2
    EVALUATION_LIMIT = 3
    NONFINITE_VALUE = 4
    NONFINITE_GRADIENT = 5
    TARGET_REACHED = 6
    CUT = 7


MEANING = {
    LocalStatus.RUNNING: "the local search has not ended",
    LocalStatus.CONVERGED: "the quasi-Newton model promises no further decrease, or no further step",
    LocalStatus.CONVERGED_TO_PRECISION: "no better point can be told apart within the rounding error of fun",
    LocalStatus.EVALUATION_LIMIT: "the evaluations of one local search were used up",
    LocalStatus.NONFINITE_VALUE: "fun is NaN or infinite at the start",
    LocalStatus.NONFINITE_GRADIENT: "fun is finite at the start, its gradient is not",
    LocalStatus.TARGET_REACHED: "the target was reached",
    LocalStatus.CUT: "a limit of the whole search ended it",
}


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the sequence of starts.

    Attributes:
        index: 0, 1, 2, ...
        x: the best point over all levels so far, in the user's structure.
        fun: its value.
        nstarts: local searches of this level.
        nfev: evaluations (a value with its gradient) of this level.
        time: seconds that the level took, compilation apart.
        next_time: estimate of the same for the next level.
        spacing: greatest distance (L-infinity, in units of the box) from a point of the box to a start of this level.
        complete: False where a limit cut the level short.
        statuses: local searches by `LocalStatus`.
    """

    index: int
    x: Any
    fun: float
    nstarts: int
    nfev: int
    time: float
    next_time: float
    spacing: float
    complete: bool
    statuses: dict[LocalStatus, int]

    def __repr__(self) -> str:
        """On one line."""
        cut = "" if self.complete else ", cut short"
        return (
            f"Level {self.index}: best {self.fun:.10g}, {self.nstarts:,} starts, {self.nfev:,} evaluations, "
            f"{duration(self.time)} (next about {duration(self.next_time)}), spacing {self.spacing:.3g}{cut}"
        )


@dataclasses.dataclass(frozen=True)
class Minimum:
    """A distinct local minimum.

    Attributes:
        x: the best point found in it, in the user's structure.
        fun: its value.
        count: local searches that ended there.
        status: how the search that found `x` ended.
    """

    x: Any
    fun: float
    count: int
    status: LocalStatus

    def __repr__(self) -> str:
        """On one line."""
        return f"Minimum(fun={self.fun:.10g}, x={_short(self.x)}, count={self.count:,}, status={self.status.name})"


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a global search. SciPy's names where SciPy has one.

    Attributes:
        x: the best point, in the user's structure.
        fun: its value; NaN where no value was finite.
        jac: the gradient there, in the user's structure; zero for a fixed variable.
        aux: the auxiliary output of fun at `x`, None without `has_aux`.
        success: a finite value, and the end came by `same` or `target`.
        status: why the search ended.
        message: the same as a sentence, with what to try.
        nit: levels, a level that was cut short included.
        nfev: evaluations, each a value together with its gradient.
        njev: the same number.
        nstarts: local searches.
        levels: a record for each level.
        minima: distinct local minima, best first.
        lane_efficiency: share of the evaluations that were spent on a search, not on an idle lane.
        time: seconds from the call to the result, compilation included.
        compile_time: seconds of these for tracing and compiling.
    """

    x: Any
    fun: float
    jac: Any
    aux: Any
    success: bool
    status: Status
    message: str
    nit: int
    nfev: int
    njev: int
    nstarts: int
    levels: list[Level]
    minima: list[Minimum]
    lane_efficiency: float
    time: float
    compile_time: float

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("fun", f"{self.fun:.12g}"),
            ("x", _short(self.x)),
            ("success", str(self.success)),
            ("status", f"{self.status.name}: {self.message}"),
            ("levels", f"{self.nit}"),
            ("searches", f"{self.nstarts:,}"),
            ("evaluations", f"{self.nfev:,} (lanes {100 * self.lane_efficiency:.0f} % busy)"),
            ("time", f"{duration(self.time)}, of it {duration(self.compile_time)} compiling"),
            ("minima", f"{len(self.minima)} distinct"),
        ]

    def __repr__(self) -> str:
        """The essentials, and the best minima."""
        lines = [f"{name:>12}: {value}" for name, value in self._rows()]
        for m in self.minima[:SHOWN]:
            lines.append(f"{'':>14}{m.fun:<20.12g} {m.count:>8,} x  {_short(m.x)}")
        if len(self.minima) > SHOWN:
            lines.append(f"{'':>14}and {len(self.minima) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in self._rows()
        )
        minima = "".join(
            f"<tr><td>{m.fun:.12g}</td><td>{m.count:,}</td><td>{html.escape(_short(m.x))}</td>"
            f"<td>{m.status.name}</td></tr>"
            for m in self.minima[:SHOWN]
        )
        more = len(self.minima) - SHOWN
        note = f"<p>and {more} more</p>" if more > 0 else ""
        head = "<tr><th>fun</th><th>count</th><th>x</th><th>status</th></tr>"
        return f"<table>{rows}</table><table>{head}{minima}</table>{note}"


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 3.2 ms, 12.5 s, 4 min 10 s, 2 h 05 min.

    >>> duration(0.00321)
    '3.2 ms'
    """
    if not np.isfinite(seconds):
        return "unknown"
    if seconds < 0.9995:
        return f"{1000 * seconds:.1f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _short(x: Any) -> str:
    """A point on one line; long arrays are abbreviated."""
    with np.printoptions(precision=8, threshold=12, edgeitems=3, suppress=False):
        return " ".join(str(x).split())
