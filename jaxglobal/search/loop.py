"""The loop of every search of a function: over one problem (one.py) or many (many.py).

Both take the same steps, and each says what a step is for it: one problem keeps a record of its levels, may change the
lanes in between, and ends as a whole; many come into slots and leave them, each at an end of its own.

The words: a *level* is a set of *starts*, finer than the level before; from each start goes a *local search*; a *lane*
is the place of one local search, and takes the next start when that has ended; a *chunk* of work advances all lanes for
some tens of milliseconds. Who evaluates is behind `lanes.Lanes`: compiled lanes, a function of Python, or somebody who
is asked.
"""

from collections.abc import Iterator
from typing import Protocol

import jax

from jaxglobal.evidence.minima import Ended
from jaxglobal.result import Level


class Searches(Protocol):
    """One problem or many, on the lanes that evaluate them."""

    def goes_on(self) -> bool:
        """Whether there is more to search; between two levels the limits are looked at, and may end it."""
        ...

    def prepare(self) -> Iterator[None]:
        """Begins a level, or takes problems into free slots; yields while programs compile."""
        ...

    def deal(self) -> None:
        """Hands starts to the lanes, as many as there is room for, or a block of them that learnt from the last."""
        ...

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        ...

    def run(self) -> Ended:
        """Advances the local searches for some tens of milliseconds; those that ended."""
        ...

    def take(self, ended: Ended) -> None:
        """Learns from what has ended."""
        ...

    def observe(self) -> None:
        """Looks at limits, shows the progress, tells the callback, writes the checkpoint if it is due."""
        ...

    def end_levels(self) -> Iterator[Level]:
        """Ends the levels of which nothing is left, or all that a limit has cut."""
        ...

    def retry(self, error: Exception) -> None:
        """Makes ready to begin the level anew with fewer lanes, or raises the error."""
        ...

    def end(self) -> None:
        """Polishes what was found, and writes the last checkpoint; once, before the last level is told."""
        ...


def search(searches: Searches) -> Iterator[Level | None]:
    """Searches until all problems have stopped; yields None after every chunk of work, and the levels that end."""
    while searches.goes_on():
        try:
            yield from searches.prepare()
            if searches.goes_on():  # the evidence, a limit or who waits may have ended it meanwhile
                searches.deal()
                if searches.busy:
                    searches.take(searches.run())
                searches.observe()
                yield None
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            searches.retry(error)
        else:
            yield from searches.end_levels()
    searches.end()
