"""What a search returns: why it and its local searches ended, its levels, its minima, and how they print."""

import collections
import dataclasses
import enum
import html
import math
import textwrap
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal.history import Step

COUNTED = ("fun", "success", "nit", "nfev", "njev", "nstarts", "singular", "touching", "tied", "violation")
"""Numbers of a problem."""
WIDTH = 104  # of what a printed result says
SHOWN = 10  # minima and levels that a printed result lists
CONSTRAINED = {"where": "constraints"}  # fields that are told only where there are constraints
SAYS_LITTLE = 0.5  # a limit on the unseen share of the box that is not worth a line


class Status(enum.StrEnum):
    """Why a search ended; the value is the message."""

    RUNNING = "the search has not ended"
    SAME = "the best value was the same in as many levels in a row as `same` asks for"
    TARGET = "the target was reached"
    CALLBACK = "the callback ended the search"
    COVERED = "the share of the box that leads to minima not yet seen is at most `unseen`"
    MAX_TIME = "max_time was reached; the best value so far may not be the global minimum: allow more time"
    MAX_LEVELS = "max_levels was reached; the best value so far may not be the global minimum: allow more levels"
    MAX_STARTS = "max_starts was reached; the best value so far may not be the global minimum: allow more starts"
    MAX_EVALS = "max_evals was reached; the best value so far may not be the global minimum: allow more evaluations"
    TOO_LARGE = (
        "the next level would bring the local searches above 131,072 and no limit was given: "
        "set max_time, max_levels, max_starts or max_evals to go on"
    )
    NO_FINITE_VALUE = "no point gave a finite value: check fun at a point of the box, and whether its dtype overflows"
    INFEASIBLE = "no feasible point was found: x is where the constraints are violated the least"
    NO_FINITE_GRADIENT = (
        "fun is finite, but its gradient at no start, so that no local search could begin and the best point is that "
        "of values alone: check jax.grad(fun); a `where` gives NaN where the derivative of the unused branch does"
    )
    INTERRUPTED = "the search was interrupted from the keyboard"
    CANCELLED = "the search was cancelled"
    NOISE = (
        "the best values scatter by more than fatol and frtol: fun is noisy, or not smooth there; "
        "raise fatol to the differences that do not matter"
    )
    FULL = (
        "more minima were found than are kept, so that the share of the box that leads to others is not known: "
        "search without `unseen`, or with a larger fatol"
    )


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
    KNOWN = 8
    INFEASIBLE = 9


NOT_BEGUN = (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT)  # searches that could not begin

MEANING = {
    LocalStatus.RUNNING: "the local search has not ended",
    LocalStatus.CONVERGED: "the quasi-Newton model promises no further decrease, or no further step",
    LocalStatus.CONVERGED_TO_PRECISION: "no better point can be told apart within the rounding error of fun",
    LocalStatus.EVALUATION_LIMIT: "the evaluations of one local search were used up",
    LocalStatus.NONFINITE_VALUE: "fun is NaN or infinite at the start",
    LocalStatus.NONFINITE_GRADIENT: "fun is finite at the start, its gradient is not",
    LocalStatus.TARGET_REACHED: "the target was reached",
    LocalStatus.CUT: "a limit of the whole search ended it",
    LocalStatus.KNOWN: "it was about to end in a minimum that was known",
    LocalStatus.INFEASIBLE: "it ended where the violation of the constraints is least nearby, and not zero",
}


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the sequence of starts.

    Attributes:
        index: 0, 1, 2, ...
        x: the best point over all levels so far, in the user's structure.
        fun: its value.
        nstarts: local searches of this level.
        nfev: evaluations (a value with its gradient, or two values alone) of this level.
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

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: a row of a table, JSON."""
        return plain(self)

    def __repr__(self) -> str:
        """On one line."""
        cut = "" if self.complete else ", cut short"
        return (
            f"Level {self.index}: best {self.fun:.10g}, {counted(self.nstarts, 'start')}, "
            f"{counted(self.nfev, 'evaluation')}, "
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
        violation: the largest violation of a constraint there, in its own units; 0 without constraints.
        multipliers: as `Result.multipliers`, there.
        active: as `Result.active`, there.
    """

    x: Any
    fun: float
    count: int
    status: LocalStatus
    violation: float = dataclasses.field(default=0.0, metadata=CONSTRAINED)
    multipliers: Any = dataclasses.field(default=None, metadata=CONSTRAINED)
    active: Any = dataclasses.field(default=None, metadata=CONSTRAINED)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: a row of a table, JSON."""
        return plain(self)

    def __repr__(self) -> str:
        """On one line."""
        return f"Minimum(fun={self.fun:.10g}, x={brief(self.x)}, count={self.count:,}, status={self.status.name})"


@dataclasses.dataclass(frozen=True)
class Unseen:
    """What the minima say about those that have not been seen; see `jaxglobal.unseen` for when that holds.

    Attributes:
        minima: the estimated number of minima not yet seen.
        low: with 95 % confidence, so many at least.
        high: and so many at most, if none has a basin much smaller than those of the others; inf where the searches
            are too few to say.
        share: the estimated share of the box from which a local search leads to one of them.
        most: with 95 % confidence, so much at most.
        searches: from starts spread evenly over the box, on which all of this rests.
    """

    minima: float
    low: float
    high: float
    share: float
    most: float
    searches: int

    def __str__(self) -> str:
        """On one line."""
        high = f"to {self.high:.0f}" if math.isfinite(self.high) else "or more"
        share, most = (f"{100 * part:.{0 if part > 0.1 else 1}f} %" for part in (self.share, self.most))
        return (
            f"about {self.minima:.0f} minima ({self.low:.0f} {high}) in {share} of the box (at most {most}), from "
            f"{self.searches:,} even starts"
        )


@dataclasses.dataclass
class Calls:
    """What became of the calls of a function that is not JAX.

    Attributes:
        made: calls, of the function and of its gradient.
        failed: calls that raised, or returned no number.
        timed_out: calls that took longer than the time-out.
        died: calls whose worker died.
        traceback: of the first failure.
    """

    made: int = 0
    failed: int = 0
    timed_out: int = 0
    died: int = 0
    traceback: str = ""

    def __str__(self) -> str:
        """On one line."""
        first = f"; the first: {self.first}" if self.first else ""
        return (
            f"{self.made:,} ({self.failed:,} failed, {self.timed_out:,} timed out, {self.died:,} workers died{first})"
        )

    @property
    def bad(self) -> int:
        """Calls that returned nothing."""
        return self.failed + self.timed_out + self.died

    @property
    def first(self) -> str:
        """The exception of the first failure, as the last line of its traceback has it."""
        lines = self.traceback.splitlines()
        frames = [i for i, line in enumerate(lines) if line.startswith('  File "')]
        after = [line for line in lines[frames[-1] + 1 if frames else 0 :] if line[:1].strip()]
        return after[0].strip() if after else ""

    def add(self, later: "Calls") -> None:
        """Adds later ones."""
        self.made, self.failed = self.made + later.made, self.failed + later.failed
        self.timed_out, self.died = self.timed_out + later.timed_out, self.died + later.died
        self.traceback = self.traceback or later.traceback

    def count(self, error: str, traceback: str) -> None:
        """Counts what became of a call: "" (it returned), "failed", "timed out" or "died"."""
        if error and not self.traceback:
            self.traceback = traceback
        self.failed += error == "failed"
        self.timed_out += error == "timed out"
        self.died += error == "died"


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of a global search. SciPy's names where SciPy has one.

    Attributes:
        x: the best point, in the user's structure.
        fun: its value; NaN where no value was finite.
        jac: the gradient there, in the user's structure; zero for a fixed variable.
        aux: the auxiliary output of fun at `x`, None without `has_aux`.
        success: a finite value, and the end came by the evidence, by `same`, `unseen` or `target`.
        status: why the search ended.
        message: the same as a sentence, with what to try.
        nit: levels, a level that was cut short included.
        nfev: evaluations, each a value together with its gradient, or two values alone: such are asked for to choose
            the starts, so that nfev + njev is what was asked for in all.
        njev: the same number.
        calls: what became of the calls of a function that is not JAX (see `jaxglobal.host`), None for one that is.
        nstarts: local searches.
        levels: a record for each level.
        minima: distinct local minima, best first.
        unseen: what they say about those not yet seen; None where there are more than are kept, some thousand, or
            where no search began at a start that no value has chosen.
        lane_efficiency: share of the evaluations that were spent on a search, not on an idle lane.
        time: seconds from the call to the result, compilation included.
        compile_time: seconds of these for tracing and compiling.
        violation: the largest violation of a constraint at `x`, in the constraint's own units; 0 without constraints.
        multipliers: of fun + sum of multiplier times constraint, in the structure of the constraints: positive where
            an upper bound binds, negative where a lower one does; minus the derivative of the minimum in that bound.
            None without constraints.
        active: which constraints are held by a bound, in the same structure.
        history: when the best value got lower, some hundred steps at most, and the end; see `jaxglobal.plot.history`.
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
    calls: Calls | None
    nstarts: int
    levels: list[Level]
    minima: list[Minimum]
    unseen: Unseen | None
    lane_efficiency: float
    time: float
    compile_time: float
    violation: float = 0.0
    multipliers: Any = None
    active: Any = None
    history: list[Step] = dataclasses.field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: for JSON; `levels` and `minima` are rows, for a pandas DataFrame.

        Example:
            >>> import jaxglobal as jg
            >>> result = jg.minimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)])
            >>> rows = result.to_dict()["minima"]  # pandas.DataFrame(rows)
            >>> sorted(rows[0])
            ['count', 'fun', 'status', 'x']
        """
        return plain(self)

    def _of_constraints(self) -> list[tuple[str, str]]:
        if self.active is None:
            return []
        parts = (self.active, self.multipliers)
        rows, multipliers = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(part)]) for part in parts)
        return [
            ("violation", f"{self.violation:.3g}"),
            ("active", f"{int(np.sum(rows))} of {counted(len(rows), 'constraint')}"),
            ("multipliers", brief(multipliers)),
        ]

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("fun", f"{self.fun:.12g}"),
            ("x", brief(self.x)),
            *self._of_constraints(),
            ("success", str(self.success)),
            ("status", f"{self.status.name}: {self.message}"),
            ("levels", f"{self.nit}"),
            ("searches", f"{self.nstarts:,}"),
            ("evaluations", f"{self.nfev:,} (lanes {100 * self.lane_efficiency:.0f} % busy)"),
            *([] if self.calls is None else [("calls", str(self.calls))]),
            ("time", f"{duration(self.time)}, of it {duration(self.compile_time)} compiling"),
            ("minima", f"{len(self.minima)} distinct"),
            *([("unseen", str(self.unseen))] if self.unseen is not None and self.unseen.most < SAYS_LITTLE else []),
        ]

    def __repr__(self) -> str:
        """The essentials, and the best minima."""
        lines = [line for name, value in self._rows() for line in wrapped(name, value)]
        for m in self.minima[:SHOWN]:
            lines.append(f"{'':>14}{m.fun:<20.12g} {m.count:>8,} x  {brief(m.x)}")
        if len(self.minima) > SHOWN:
            lines.append(f"{'':>14}and {len(self.minima) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        minima = "".join(
            f"<tr><td>{m.fun:.12g}</td><td>{m.count:,}</td><td>{html.escape(brief(m.x))}</td>"
            f"<td>{m.status.name}</td></tr>"
            for m in self.minima[:SHOWN]
        )
        more = len(self.minima) - SHOWN
        note = f"<p>and {more} more</p>" if more > 0 else ""
        head = "<tr><th>fun</th><th>count</th><th>x</th><th>status</th></tr>"
        return f"{table(self._rows())}<table>{head}{minima}</table>{note}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of one of many global searches; the fields are those of `Results`.

    Attributes:
        x: the best point, in the user's structure.
        fun: its value; NaN where no value was finite.
        jac: the gradient there, in the user's structure.
        aux: the auxiliary output of fun at `x`, None without `has_aux`.
        success: whether a finite value was found, and the end came by `same` or `target`.
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
    """What the callback of `minimize_many` hears: the problems that have ended since the last time.

    Attributes:
        problems: (k,) their numbers.
        x: their best points, in the user's structure with a leading axis k, before the polish.
        fun: (k,) their values.
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
        success: (P,) whether a finite value was found, and the end came by `same` or `target`.
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


def message(status: Status, calls: Calls | None) -> str:
    """Why a search ended, as a sentence: without a value, that is what went wrong with its calls."""
    if status is not Status.NO_FINITE_VALUE or calls is None or not calls.bad:
        return status.value
    which = "every call" if calls.bad == calls.made else f"{calls.bad:,} of {calls.made:,} calls"
    what = ("raised", "timed out", "lost its worker" if calls.bad == calls.made else "lost their workers")
    happened = [verb for verb, count in zip(what, (calls.failed, calls.timed_out, calls.died), strict=True) if count]
    first = f"; the first: {calls.first}" if calls.first else ""
    return f"no start gave a finite value: {which} {' or '.join(happened)}{first}"


def wrapped(name: str, value: str) -> list[str]:
    """A row of a printed result; what is long goes on below."""
    first, *more = textwrap.wrap(value, WIDTH) or [""] if len(value) > WIDTH else [value]
    return [f"{name:>12}: {first}", *(f"{'':>14}{line}" for line in more)]


def plain(value: Any) -> Any:
    """The same in Python numbers, lists, dictionaries and strings; a status is its name."""
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        constrained = getattr(value, "active", None) is not None
        told = [field.name for field in dataclasses.fields(value) if constrained or not field.metadata]
        return {name: plain(getattr(value, name)) for name in told}
    if isinstance(value, dict):
        return {key if isinstance(key, str) and not isinstance(key, enum.Enum) else str(plain(key)): plain(part)
                for key, part in value.items()}  # fmt: skip
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    as_list = getattr(value, "tolist", None)
    if as_list is not None:
        return plain(as_list())
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def table(rows: list[tuple[str, str]]) -> str:
    """Names and values as a table of HTML."""
    cells = (f"<tr><th style='text-align:left'>{k}</th><td>{html.escape(v)}</td></tr>" for k, v in rows)
    return f"<table>{''.join(cells)}</table>"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    >>> counted(1, "start"), counted(2000, "start")
    ('1 start', '2,000 starts')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


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


def brief(x: Any) -> str:
    """A point on one line; long arrays are abbreviated."""
    with np.printoptions(precision=8, threshold=12, edgeitems=3, suppress=False):
        return " ".join(str(x).split())
