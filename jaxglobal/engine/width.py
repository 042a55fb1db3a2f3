"""How many lanes a search has, as many as its level can use, fewer where memory is short; and how they are compiled.

The first levels are small, and a lane without a search costs: on a CPU as much as the others, on an accelerator a copy
of its row. So a search begins with few, and goes on with all when a level has work for them: other streams, opened
while limits bind. Likewise it begins with programs that are there soon, and goes on with such as run fast once it has
made many evaluations: so many, whatever the clock says, so that the same call gives the same answer.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxglobal.engine import aside, devices
from jaxglobal.engine.compiling import Tier
from jaxglobal.engine.opening import Opening
from jaxglobal.engine.spent import Spent


class Width:
    """The streams that a search has at the time: it opens them, changes to others, and gives them up.

    Attributes:
        streams: None before `ready`, and where they were given up.
        most: lanes of each, at most.
        short: how often memory ran out.
        compile_time: seconds that opening has taken.
        tier: of the streams.
    """

    def __init__(self, opening: Opening, alone: bool):
        """alone: whether no other process searches too; such look at the clock together, not while programs compile."""
        self._opening, self._alone = opening, alone
        self.tier = Tier.FAST
        self.streams: Any = None  # or `Lanes`
        self.most, self.short, self.compile_time = opening.lanes, 0, 0.0
        self._spent = Spent()  # by streams that were given up
        self._kept: dict[str, np.ndarray] | None = None  # a checkpoint that the streams have not yet taken over

    @property
    def spent(self) -> Spent:
        """By all streams so far."""
        return self._spent if self.streams is None else self.streams.spent

    def load(self, arrays: dict[str, np.ndarray], goes_on: bool) -> None:
        """Takes over what streams have spent from a checkpoint, and their state where the search goes on."""
        self._spent = Spent(*(int(count) for count in arrays["spent"]))
        self._kept = arrays if goes_on else None
        self.tier = Tier(int(arrays["tier"]))

    def save(self) -> dict[str, np.ndarray]:
        """What the streams are, and their state."""
        return {"tier": np.array(int(self.tier))} | self.streams.save()

    def ready(self, together: float, nfev: int, goes_on: Callable[[], bool]) -> Iterator[None]:
        """Opens streams, if there are none yet, for a level of so many starts together, begun after `nfev` evaluations.

        They are compiled at their first use; meanwhile goes_on is asked whether to wait for them.
        """
        if self.streams is None:
            lanes, tier = self._wanted(together, nfev)
            keeps = self._kept is not None and any(
                self._opening.tiers
            )  # else another device goes on, which has no tiers
            yield from self._change((lanes, self.tier if keeps else tier), goes_on)
            if self._kept is not None and self.streams is not None:
                self.streams.load(self._kept)
                self._kept = None

    def change(self, together: float, nfev: int, goes_on: Callable[[], bool]) -> Iterator[None]:
        """Changes to the streams for such a level, where they are others; see `ready`."""
        wanted = self._wanted(together, nfev)
        if wanted != (self.streams.lanes, self.tier):
            yield from self._change(wanted, goes_on)

    def _change(self, wanted: tuple[int, Tier], goes_on: Callable[[], bool]) -> Iterator[None]:
        """Opens such streams, in a thread that a search which ends meanwhile leaves to itself."""
        lanes, tier = wanted
        began, opened = time.perf_counter(), None
        if self._alone:
            opening, waits = aside.begin(lambda: self._opening.open_streams(lanes, self.short, tier)), True
            while waits and not aside.ended(opening):
                waits = goes_on()
                yield
            opened = opening.result() if waits else None
        else:
            opened = self._opening.open_streams(lanes, self.short, tier)
        self.compile_time += time.perf_counter() - began
        if opened is not None:
            self._close()
            self._use(opened, lanes)
            self.tier = tier

    def halve(self) -> None:
        """Gives up the streams, for which memory was short; the next have half the lanes."""
        self.most, self.short = max((self.streams.lanes if self.streams else self.most) // 2, 1), self.short + 1
        self._close()

    def _wanted(self, together: float, nfev: int) -> tuple[int, Tier]:
        """How many lanes, and of which tier, such a level wants."""
        few = together < devices.WIDE_FROM * devices.FEW["cpu"]
        left = sum(nfev >= evaluations for evaluations in self._opening.tiers)
        return devices.narrow(self.most, together, self._opening.platform), Tier(left) if few else Tier.FAST

    def _use(self, opened: Any, wanted: int) -> None:
        """Goes on with these streams, which were to have so many lanes."""
        if opened.lanes < wanted:  # memory has no room for more
            self.most = opened.lanes
        opened.spent = self._spent
        self.streams = opened

    def _close(self) -> None:
        """Gives up the streams, but for what they have spent."""
        self._spent, self.streams = self.spent, None
