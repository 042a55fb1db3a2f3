"""How many lanes a search has: as many as its level can use, and fewer where memory is short.

The first levels are small, and a lane without a search costs: on a CPU as much as the others, on an accelerator a copy
of its row. So a search begins with few, and goes on with all when a level has work for them: other streams, opened
while limits bind.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax
import numpy as np

from jaxglobal import devices
from jaxglobal.closed import x64
from jaxglobal.spent import Spent

LOOK = 0.05  # seconds between two looks at the clock while a program compiles


class Width:
    """The streams of a search.

    Attributes:
        streams: None before `ready`, and where they were given up.
        most: lanes of each, at most.
        short: how often memory ran out.
        compile_time: seconds that opening has taken.
    """

    def __init__(self, open_streams: Callable[[int, int], Any], most: int, platform: str, alone: bool):
        """open_streams: of so many lanes, after memory ran out so often.

        platform: for which the number of lanes is chosen, "any" if it was given. alone: whether no other process
        searches too; such look at the clock together, after a chunk, and not while a program compiles.
        """
        self._open, self._platform, self._alone = open_streams, platform, alone
        self.streams: Any = None
        self.most, self.short, self.compile_time = most, 0, 0.0
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

    def ready(self, together: float) -> Any:
        """The streams; if there are none yet, with the lanes for so many starts, compiled at their first use."""
        if self.streams is None:
            began, wanted = time.perf_counter(), self._wanted(together)
            opened = self._open(wanted, self.short)
            self._use(opened, wanted)
            self.compile_time += time.perf_counter() - began
            if self._kept is not None:
                opened.load(self._kept)
                self._kept = None
        return self.streams

    def change(self, together: float, goes_on: Callable[[], bool]) -> Iterator[None]:
        """Changes to the lanes for so many starts. While these compile, goes_on is asked whether to wait for them."""
        wanted = self._wanted(together)
        if getattr(self.streams, "lanes", wanted) == wanted:
            return
        began, opened = time.perf_counter(), None
        if self._alone:
            opening, waits = self._begin_to_open(wanted), True
            while waits and not opening.done():
                wait([opening], LOOK)
                waits = goes_on()
                yield
            opened = opening.result() if waits else None
        else:
            opened = self._open(wanted, self.short)
        self.compile_time += time.perf_counter() - began
        if opened is not None:
            self._close()
            self._use(opened, wanted)

    def halve(self) -> None:
        """Gives up the streams, for which memory was short; the next have half the lanes."""
        self.most, self.short = max(getattr(self.streams, "lanes", self.most) // 2, 1), self.short + 1
        self._close()

    def _wanted(self, together: float) -> int:
        return devices.narrow(self.most, together, self._platform)

    def _begin_to_open(self, lanes: int) -> Future[Any]:
        """Opens streams in a thread of its own, which a search that ends meanwhile does not wait for."""
        precise = x64()

        def opened() -> Any:
            with jax.enable_x64(precise):  # JAX's settings belong to a thread
                return self._open(lanes, self.short)

        thread = ThreadPoolExecutor(1)
        opening = thread.submit(opened)
        thread.shutdown(wait=False)
        return opening

    def _use(self, opened: Any, wanted: int) -> None:
        """Goes on with these streams, which were to have so many lanes."""
        if getattr(opened, "lanes", wanted) < wanted:  # memory has no room for more
            self.most = opened.lanes
        opened.spent = self._spent
        self.streams = opened

    def _close(self) -> None:
        """Gives up the streams, but for what they have spent."""
        self._spent, self.streams = self.spent, None
