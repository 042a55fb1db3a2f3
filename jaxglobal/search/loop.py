"""The loop of every search: of one problem or of many, of one fit or of many.

These are search/one.py, search/many.py, fit/leastsquares.py and fit/rounds.py. All take the same steps, and each says
what a step is for it: one problem keeps a record of its levels, may change the lanes in between, and ends as a whole;
many come into slots and leave them, each at an end of its own; a step of many fits is one of a group of them.

A turn of it begins what is to begin, deals starts to the lanes, advances the local searches by a chunk, takes in those
that have ended, looks at the limits, and ends the levels of which nothing is left. Any of these may end the whole.

The words: a *level* is a set of *starts*, finer than the level before; from each start goes a *local search*; a *lane*
is the place of one local search, and takes the next start when that has ended; a *chunk* of work advances all lanes for
some tens of milliseconds. Who evaluates is behind `lanes.Lanes`: compiled lanes, a function of Python, or somebody who
is asked.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import jax

from jaxglobal.result import Level


class Searches(Protocol):
    """One problem or many, on the lanes that evaluate them."""

    def goes_on(self) -> bool:
        """Whether there is more to search; before a level begins, the limits are looked at, and may end the search."""
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

    def run(self) -> Any:
        """Advances the local searches for some tens of milliseconds; those that ended."""
        ...

    def take(self, ended: Any) -> None:
        """Learns from what has ended."""
        ...

    def observe(self) -> None:
        """Looks at the limits, shows the progress, tells of problems that have ended, writes the checkpoint if due."""
        ...

    def end_levels(self) -> Iterator[Level]:
        """Ends the levels of which nothing is left, or all where a limit has ended the search; yields their records."""
        ...

    def retry(self, error: Exception) -> None:
        """Makes ready to begin the level anew with fewer lanes, or raises the error."""
        ...

    def end(self) -> None:
        """Polishes what was found, and writes the last checkpoint, unless the last level that ended has done it."""
        ...


def search(searches: Searches) -> Iterator[Level | None]:
    """Searches until all problems have stopped; yields None after every chunk of work, and the levels that end."""
    while searches.goes_on():
        try:
            yield from searches.prepare()
            if searches.goes_on():  # else the evidence, a limit or Ctrl-C has ended it before anything is dealt
                searches.deal()
                if searches.busy:  # not where a level had nothing left to deal
                    searches.take(searches.run())
                searches.observe()
                yield None
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            searches.retry(error)
        else:
            yield from searches.end_levels()
    searches.end()
