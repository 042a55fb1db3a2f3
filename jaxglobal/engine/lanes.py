"""Lanes: what starts go into, and ends of local searches come out of, whoever evaluates.

A compiled function does (streams.py), a function of Python (host_lanes.py), or somebody who is asked (asked.py); in the
last two the lanes stand still meanwhile (still_lanes.py). A lane is the place of one local search; `lanes`, where it is
a number, says how many there are.
"""

from typing import Any, Protocol

import numpy as np

from jaxglobal.calls import Calls
from jaxglobal.engine.looks import Then
from jaxglobal.engine.spent import Spent
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.basins import Known
from jaxglobal.local.descent import Rules


class Lanes(Protocol):
    """Local searches side by side, and the starts that wait for them, of one problem or of many.

    Attributes:
        lanes: local searches side by side, on each device.
        spent: so far.
        exact: whether a gradient is exact, and one more costs little; else it may be made of differences, or told.
        calls: what became of the calls of a function of Python, None where there are none.
        best: the best point that was told, its value and gradient; None where they are not told one by one.
        hopeless: whether calls failed so often that no value is to be expected.
    """

    spent: Spent
    lanes: int
    exact: bool
    best: tuple[float, np.ndarray, np.ndarray] | None

    @property
    def calls(self) -> Calls | None:
        """Of a function that is not JAX; None of one that is."""
        ...

    @property
    def hopeless(self) -> bool:
        """Whether the function has given no value so often that it never will."""
        ...

    @property
    def room(self) -> int:
        """Starts that can be dealt."""
        ...

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        ...

    @property
    def evaluations_a_tick(self) -> int:
        """The most evaluations that the next tick can take."""
        ...

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """Takes starts, (k, n) with k at most `room`, their first steps, their numbers and their problems."""
        ...

    def look(self, points: np.ndarray, number: np.ndarray, problem: int = 0, then: Then | None = None) -> None:
        """Takes points, (k, n), from which no search begins, to be evaluated alone.

        then: may hear of their values, (k,), before `run` returns, and ask for more; who does not tell it returns them.
        """
        ...

    def onto_rows(self, points: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Feasible points near these, (k, n), and their ranks, for at most so many evaluations.

        None where these would not do, or nothing leads there.
        """
        ...

    def know(self, known: Known) -> None:
        """The minima at which the next searches end."""
        ...

    def run(self, rules: Rules, drain: bool, allowed: int | None = None, most_ticks: int = 2**16) -> Ended:
        """Advances for some tens of milliseconds; the searches that ended, or points that were evaluated alone.

        drain: whether no more starts will be dealt. allowed: evaluations that may still be made, exceeded by a tick at
        most.
        """
        ...

    def gather(self, news: Any) -> list[Any]:
        """What all processes bring after a run."""
        ...

    def serve(self, problems: Any) -> None:
        """Other problems take the places of those that have ended."""
        ...

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """The problems, (k,), of the searches at work or waiting in this process, and their evaluations so far."""
        ...

    def drop(self, problems: np.ndarray) -> Ended:
        """Ends the searches of these problems where they are; their starts that wait are dropped."""
        ...

    def cut(self) -> Ended:
        """Ends all searches where they are; starts that wait are dropped."""
        ...

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at x, (n,); NaN where it is not known."""
        ...

    def save(self) -> dict[str, np.ndarray]:
        """All of it as arrays."""
        ...

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        ...
