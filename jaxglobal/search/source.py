"""How the starts of a level reach the lanes where no start depends on an earlier find: as many as there is room for."""

import math
from typing import Any

import numpy as np

from jaxglobal.evidence import confidence
from jaxglobal.evidence.minima import Ended
from jaxglobal.local import descent
from jaxglobal.local.descent import Local
from jaxglobal.problem import lattice
from jaxglobal.problem.objective import Objective
from jaxglobal.starts.designs import Starts

MOST_STARTS = 10**100  # where no limit was given


class Source:
    """Deals starts that depend on no earlier find.

    Attributes:
        learns: whether it has to see every search that has ended.
        number: of the next point that is dealt.
    """

    learns = False

    def __init__(self, problem: Objective, guesses: np.ndarray, sequence: Starts, search: Local):
        """guesses: (k, n) the user's own starts, which come first in level 0."""
        self.problem, self.guesses, self.sequence, self.search = problem, guesses, sequence, search
        self.free = int(np.sum(problem.free))
        self.number = 0

    def own(self, level: int) -> int:
        """The user's own starts among those of the level."""
        return len(self.guesses) if level == 0 else 0

    def size(self, level: int) -> int:
        """Starts of the level, the user's own included."""
        return self.own(level) + self.sequence.size(level, self.free)

    def together(self, level: int) -> float:
        """Searches of the level that can be under way together."""
        return math.inf

    def spacing(self, level: int, done: int) -> float:
        """Of the level once so many searches have ended."""
        return self.sequence.spacing(level, max(done - self.own(level), 0), self.free)

    def deal(self, level: int, dealt: int, allowed: int, streams: Any) -> int:
        """Deals starts of the level to the streams, if they have room; returns how many.

        dealt: of the level so far. allowed: how many starts of it may be searched from.
        """
        count = min(streams.room, allowed - dealt)
        if not count:
            return 0
        own = self.own(level)
        spacing = (
            descent.GUESS_STEP if own else self.sequence.spacing(level, self.sequence.size(level, self.free), self.free)
        )
        streams.deal(self.points(level, dealt, count), self.search.step(spacing), self.number + np.arange(count))
        self.number += count
        return count

    def points(self, level: int, first: int, count: int) -> np.ndarray:
        """Starts first, ..., first + count - 1 of the level, in the user's coordinates; the user's own come first."""
        own = self.guesses[first : first + count] if level == 0 else self.guesses[:0]
        first, count = max(first - self.own(level), 0), count - len(own)
        if not count:
            return own
        unit = self.sequence.points(level, first, count, self.free)
        return np.concatenate([own, self.problem.place(unit)])

    def drains(self, dealt: int, allowed: int) -> bool:
        """Whether the lanes are to finish what they have before more is dealt."""
        return dealt == allowed

    def take(self, level: int, ended: Ended) -> np.ndarray | None:
        """Learns from what has ended; None where these were points that were looked at only.

        Else (k,) whether each search began at one of the starts that are spread evenly over the box.
        """
        return ended.start >= len(self.guesses)

    def beside(self) -> Ended | None:
        """Points with their values that came beside what was taken last, if any did; told once."""
        return None

    def evidence(self, nfev: int) -> confidence.Evidence | None:
        """What speaks for the best value after so many evaluations; None where that is not told, or not now."""
        return None

    @property
    def told(self) -> confidence.Evidence | None:
        """The evidence when it was last told."""
        return None

    def look(self, points: int, searches: int) -> None:
        """Next come values at so many fresh points, and at most so many searches from them, where starts learn."""

    def sweep(self, searches: int) -> bool:
        """Whether it begins searches, at most so many, from assignments of whole numbers that none has begun from."""
        return False

    def contest(self, searches: int) -> bool:
        """Whether it begins more searches, at most so many, from assignments that may take the lead with them."""
        return False

    @property
    def tried(self) -> lattice.Tried:
        """Which assignments of whole numbers have been searched from; the user's own starts do not count."""
        return lattice.reached(self.sequence, self.number - len(self.guesses), self.problem.values)

    def save(self) -> dict[str, np.ndarray]:
        """Everything that decides the next starts, as arrays."""
        return {"number": np.array(self.number)}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self.number = int(arrays["number"])
