"""What a search returns: its best point, its levels, its minima, and what it took."""

import dataclasses
import html
import math
from typing import Any

import jax
import numpy as np

from jaxglobal.calls import Calls
from jaxglobal.history import Step
from jaxglobal.printing import SHOWN, brief, counted, duration, plain, table, wrapped
from jaxglobal.status import LocalStatus, Status

CONSTRAINED = {"where": "constraints"}  # fields that are told only where there are constraints

SAYS_LITTLE = 0.5  # a limit on the unseen share of the box that is not worth a line


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
    """What the minima say about those that have not been seen; see `jaxglobal.evidence.unseen` for when that holds.

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
