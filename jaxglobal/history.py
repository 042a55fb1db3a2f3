"""The best value against what it took: a bounded record of when a search got lower.

Where there is no more room, every second step is dropped: what is left has half the resolution, the first and the last
step stay.
"""

import math
from typing import NamedTuple

MOST = 256  # steps


class Step(NamedTuple):
    """When the best value got lower, as it was seen between two chunks of the search.

    Attributes:
        nfev: evaluations by then.
        time: seconds of this call by then, compilation included; zero for those of a checkpoint.
        fun: the best value from then on.
    """

    nfev: int
    time: float
    fun: float


class History:
    """The steps of a search so far."""

    def __init__(self):
        """None."""
        self.steps: list[Step] = []

    def note(self, nfev: int, time: float, fun: float) -> None:
        """Keeps the best value if it is lower than before."""
        if not fun < (self.steps[-1].fun if self.steps else math.inf):
            return
        self.steps.append(Step(int(nfev), float(time), float(fun)))
        if len(self.steps) > MOST:
            self.steps = [*self.steps[:-1:2], self.steps[-1]]

    def until(self, nfev: int, time: float, fun: float) -> list[Step]:
        """The steps up to the end, which is one as well; none before is lower, as no point alone is."""
        steps = [step._replace(fun=max(step.fun, float(fun))) for step in self.steps]
        return [*steps, Step(int(nfev), float(time), float(fun))]
