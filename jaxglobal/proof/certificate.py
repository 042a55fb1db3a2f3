"""What a proof gives: the bound, the value, where the minimisers are, what is left, and how it prints."""

import dataclasses
import html
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.printing import WIDTH, brief, duration, plain, table, wrapped

SHOWN = 6  # minimisers that a printed certificate lists


@dataclasses.dataclass(frozen=True)
class Minimizer:
    """A box that may hold global minimisers.

    Attributes:
        lower: its lower ends, in the user's structure.
        upper: its upper ends.
        unique: whether it is proven that there is exactly one minimiser in it.
        bound: a proven lower bound of fun in it.
    """

    lower: Any
    upper: Any
    unique: bool
    bound: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings: a row of a table, JSON."""
        return plain(self)

    def __repr__(self) -> str:
        """On one line."""
        kind = "one minimiser" if self.unique else "undecided how many"
        return f"Minimizer({brief(self.lower)} to {brief(self.upper)}, {kind}, fun >= {self.bound:.12g})"


class Boxes(NamedTuple):
    """Boxes of flat variables.

    Attributes:
        lower: (m, n) their lower ends.
        upper: (m, n) their upper ends.
        bound: (m,) proven lower bounds of fun in them.
    """

    lower: np.ndarray
    upper: np.ndarray
    bound: np.ndarray


class Tested(NamedTuple):
    """Boxes in the order in which they were tested, for a picture.

    Attributes:
        lower: (m, n) their lower ends.
        upper: (m, n) their upper ends.
        when: (m,) boxes that had been tested before.
    """

    lower: np.ndarray
    upper: np.ndarray
    when: np.ndarray


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is proven about the global minimum of a function in a box.

    Attributes:
        lower: no point of the box, of those that keep the constraints, has a value of fun below; inf where it is proven
            that none keeps them, or that fun is defined nowhere.
        upper: fun at `x`, rounded upwards; inf where no point is known at which fun is proven to be defined. Under
            constraints at a point that is proven to keep all of them exactly, equalities too, a few roundings from
            `x`; inf where that could be shown of none.
        gap: upper - lower; the global minimum lies in between.
        proven: whether the gap is within the tolerance; also where it is proven that no point keeps the constraints.
        x: the best point known, in the user's structure; where `upper` is inf under constraints, one that keeps them
            nearly, or NaN.
        minimizers: boxes that, with those of `undecided`, hold every global minimiser.
        undecided: boxes that are left where a limit ended the proof; a variable with a list of values is its index.
        complete: whether nothing is left undecided.
        nboxes: boxes that were tested.
        time: seconds from the call, a search included.
        message: what is proven, or what is missing, and on what it rests.
        tested: the first some thousand of the boxes that were tested.
        bounds: (2, n) the box; of a variable with a list of values that of its index.
    """

    lower: float
    upper: float
    gap: float
    proven: bool
    x: Any
    minimizers: list[Minimizer]
    undecided: Boxes = dataclasses.field(repr=False)
    complete: bool
    nboxes: int
    time: float
    message: str
    tested: Tested = dataclasses.field(repr=False)
    bounds: np.ndarray = dataclasses.field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python numbers, lists and strings, for JSON; without the boxes of the picture.

        Example:
            >>> import jaxglobal as jg
            >>> certificate = jg.certify(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)])
            >>> certificate.to_dict()["proven"]
            True
        """
        skipped = ("tested", "undecided", "bounds")
        out = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self) if f.name not in skipped}
        return out | {"undecided": len(self.undecided.bound)}

    def _rows(self) -> list[tuple[str, str]]:
        unique = sum(m.unique for m in self.minimizers)
        left = len(self.undecided.bound)
        return [
            ("lower", f"{self.lower:.15g}"),
            ("upper", f"{self.upper:.15g}"),
            ("gap", f"{self.gap:.3g}"),
            ("proven", str(self.proven)),
            ("x", brief(self.x)),
            ("message", self.message),
            ("boxes", f"{self.nboxes:,} tested, {left:,} left"),
            ("time", duration(self.time)),
            (
                "minimizers",
                f"{len(self.minimizers)}, {unique} with one proven minimiser each",
            ),
        ]

    def __repr__(self) -> str:
        """The essentials, and the boxes of the minimisers."""
        lines = [line for name, value in self._rows() for line in wrapped(name, value)]
        for m in self.minimizers[:SHOWN]:
            text = f"{brief(m.lower)} to {brief(m.upper)}{', one' if m.unique else ''}"
            lines.append(f"{'':>14}{text if len(text) <= WIDTH else text[: WIDTH - 3] + '...'}")
        if len(self.minimizers) > SHOWN:
            lines.append(f"{'':>14}and {len(self.minimizers) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = "<tr><th>lower</th><th>upper</th><th>unique</th><th>fun is at least</th></tr>"
        rows = "".join(
            f"<tr><td>{html.escape(brief(m.lower))}</td><td>{html.escape(brief(m.upper))}</td><td>{m.unique}</td>"
            f"<td>{m.bound:.12g}</td></tr>"
            for m in self.minimizers[:SHOWN]
        )
        more = len(self.minimizers) - SHOWN
        note = f"<p>and {more} more</p>" if more > 0 else ""
        return f"{table(self._rows())}<table>{head}{rows}</table>{note}"
