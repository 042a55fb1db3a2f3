"""What a profile is: its curves with their intervals, its contours, and how they print."""

import dataclasses
import math
from typing import Any

import numpy as np

from jaxglobal.printing import duration, plain, table
from jaxglobal.profiles.thresholds import Rule


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """The profile of one parameter, or of a function of them.

    Attributes:
        name: of the parameter.
        values: (K,) where it was held, ascending; the points are dense where the curve bends and at the ends.
        fun: (K,) the lowest cost with it held there, all others re-optimised.
        x: the parameters there, in the structure of the fit, with a leading axis K.
        threshold: the cost below which a value belongs to the confidence set.
        intervals: the set, as disjoint intervals (low, high), ascending.
        at_bound: for each of these whether its low and its high end are those of the box: the set may go on there.
        best: the value at the lowest cost.
        error: the standard error by the curvature there; infinite where there is none.
        unit: the rise of the quadratic approximation at one standard error.
        fixed: whether the box leaves it one value only.
    """

    name: str
    values: np.ndarray
    fun: np.ndarray
    x: Any
    threshold: float
    intervals: list[tuple[float, float]]
    at_bound: list[tuple[bool, bool]]
    best: float
    error: float
    unit: float
    fixed: bool

    @property
    def undetermined(self) -> bool:
        """Whether the set is all of the box."""
        return not self.fixed and self.at_bound == [(True, True)]

    def quadratic(self, values: Any) -> np.ndarray:
        """What the quadratic approximation at the best point says of these values."""
        with np.errstate(divide="ignore", invalid="ignore"):
            rise = self.unit * ((np.asarray(values) - self.best) / self.error) ** 2
        return float(np.min(self.fun)) + np.where(np.isfinite(rise), rise, 0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: a row of a table, JSON."""
        return plain(self)

    def __str__(self) -> str:
        """The intervals, with * at an end that is a bound of the box."""
        if self.fixed:
            return f"{self.best:.8g} (fixed)"
        parts = [
            f"[{low:.8g}{'*' * at_low}, {high:.8g}{'*' * at_high}]"
            for (low, high), (at_low, at_high) in zip(self.intervals, self.at_bound, strict=True)
        ]
        return " or ".join(parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Contour:
    """The profile of two parameters together.

    Attributes:
        names: of the two.
        values: where they were held, (A,) and (B,), ascending.
        fun: (A, B) the lowest costs with both held.
        x: the parameters there, with leading axes A and B.
        threshold: the cost below which a pair belongs to the confidence set of both together.
        best: the two values at the lowest cost.
    """

    names: tuple[str, str]
    values: tuple[np.ndarray, np.ndarray]
    fun: np.ndarray
    x: Any
    threshold: float
    best: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Profile:
    """The outcome of `profile`; `profile["name"]` and `profile[0]` are its curves.

    Attributes:
        curves: of the parameters that were asked for, in the order of the fit, or of the function.
        contours: of the pairs that were asked for.
        best: the parameters at the lowest cost that was found.
        fun: that cost.
        lower: whether it is another minimum, lower than that of the fit: fit anew, from `best` or longer.
        confidence: of the intervals.
        success: whether the best point is that of the fit, all ends were found, and Ctrl-C has left nothing out.
        message: what to know of them, in words.
        searches: local searches.
        time: seconds.
    """

    curves: list[Curve]
    contours: list[Contour]
    best: Any
    fun: float
    lower: bool
    confidence: float
    success: bool
    message: str
    searches: int
    time: float
    _rule: Rule = dataclasses.field(repr=False)
    _layout: Any = dataclasses.field(repr=False)  # of the structure, and which curve is whose

    def __getitem__(self, which: str | int) -> Curve:
        """The curve of a parameter, by its name or its place among the curves."""
        if isinstance(which, str):
            for curve in self.curves:
                if curve.name == which:
                    return curve
            names = ", ".join(curve.name for curve in self.curves)
            raise KeyError(f"`parameter` must be one of {names}; got {which!r}.")
        return self.curves[which]

    def __len__(self) -> int:
        """The number of curves."""
        return len(self.curves)

    @property
    def values(self) -> Any:
        """`Curve.values` of each parameter in the structure of the fit, as lists; None where none was asked for."""
        return self._all("values")

    @property
    def costs(self) -> Any:
        """`Curve.fun` likewise."""
        return self._all("fun")

    @property
    def x(self) -> Any:
        """`Curve.x` likewise."""
        return self._all("x")

    @property
    def intervals(self) -> Any:
        """`Curve.intervals` likewise."""
        return self._all("intervals")

    def _all(self, field: str) -> Any:
        structure, places = self._layout
        if structure is None:
            return getattr(self.curves[0], field)
        by_place = {place: getattr(curve, field) for place, curve in zip(places, self.curves, strict=True)}
        leaves = []
        for part, shape in zip(structure.parts, structure.shapes, strict=True):
            items = [by_place.get(i) for i in range(part.start, part.stop)]
            leaves.append(nested(items, shape))
        return structure.treedef.unflatten(leaves)

    def _rows(self) -> list[tuple[str, str]]:
        return [
            *((curve.name, str(curve)) for curve in self.curves),
            ("confidence", f"{self._rule}"),
            ("lowest", f"{self.fun:.12g}"),
            ("success", str(self.success)),
            *([("message", self.message)] if self.message else []),
            ("searches", f"{self.searches:,} for {sum(len(c.values) for c in self.curves):,} points"),
            ("time", duration(self.time)),
        ]

    def __repr__(self) -> str:
        """The intervals, and what to know of them."""
        rows = self._rows()
        width = max(12, *(len(name) for name, _ in rows))
        return "\n".join(f"{name:>{width}}: {value}" for name, value in rows)

    def _repr_html_(self) -> str:
        return table(self._rows())


def nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    """Items as lists of lists of this shape; the item itself where it is ()."""
    if not shape:
        return items[0]
    step = math.prod(shape[1:])
    return [nested(items[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]
