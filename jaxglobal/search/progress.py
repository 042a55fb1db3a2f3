"""What a person sees while a search runs: a live bar, plain lines in a log, or nothing."""

import logging
import sys
import time
from importlib import import_module
from typing import Any

from jaxglobal.printing import duration
from jaxglobal.result import Level

LOG = logging.getLogger("jaxglobal")  # INFO: compilations and levels
LOG.addHandler(logging.NullHandler())
EVERY = 2.0  # seconds between two lines about a proof
DELAY = 0.5  # seconds before the bar of an automatic progress appears


class Silent:
    """Shows nothing; the log of the `logging` module has it all the same."""

    def compiling(self, lanes: int) -> None:
        """A program is about to be compiled."""
        LOG.info("compiling the search (%d lanes)", lanes)

    def begin(self, index: int, nstarts: int) -> None:
        """A level begins."""

    def update(self, done: int, best: float) -> None:
        """Local searches of the level have ended."""

    def end(self, level: Level) -> None:
        """A level has ended."""
        LOG.info("%r", level)

    def problems(self, done: int, total: int) -> None:
        """So many problems of a search for many have stopped."""

    def proof(self, done: int, left: int, lower: float, upper: float) -> None:
        """So many boxes of a proof have been tested, and so many are left."""

    def close(self) -> None:
        """The search has ended."""


class Lines(Silent):
    """A line a level, a line for each tenth of many problems, or one every few seconds of a proof, for a log."""

    def __init__(self):
        """No problem has stopped."""
        self._tenths, self._said = 0, time.perf_counter()

    def compiling(self, lanes: int) -> None:
        """Says so."""
        super().compiling(lanes)
        print(f"jaxglobal: compiling the search ({lanes} lanes)", file=sys.stderr, flush=True)

    def end(self, level: Level) -> None:
        """The level in one line."""
        super().end(level)
        print(f"jaxglobal: {level!r}", file=sys.stderr, flush=True)

    def problems(self, done: int, total: int) -> None:
        """How many are done."""
        if 10 * done // total > self._tenths:
            self._tenths = 10 * done // total
            print(f"jaxglobal: {done:,} of {total:,} problems", file=sys.stderr, flush=True)

    def proof(self, done: int, left: int, lower: float, upper: float) -> None:
        """How far it is."""
        if time.perf_counter() - self._said > EVERY:
            self._said = time.perf_counter()
            bounds = f"{lower:.10g} <= minimum <= {upper:.10g} (gap {upper - lower:.2g})"
            print(f"jaxglobal: {bounds}, {done:,} boxes tested, {left:,} left", file=sys.stderr, flush=True)


class Bar(Silent):
    """A live bar of tqdm: level, starts done, best value, time, and the estimate for the next level."""

    def __init__(self, tqdm: Any, delay: float):
        """delay: seconds before the bar appears."""
        self._tqdm, self._shown_from, self._bar = tqdm, time.perf_counter() + delay, None
        self._title, self._total, self._next, self._unit = "", 0, "", " starts"

    def _show(self) -> Any:
        if self._bar is None and time.perf_counter() >= self._shown_from:
            self._bar = self._tqdm(total=self._total, desc=self._title, unit=self._unit, leave=False, mininterval=0.1)
        return self._bar

    def compiling(self, lanes: int) -> None:
        """Says so at once, as nothing moves meanwhile."""
        super().compiling(lanes)
        self._shown_from, self._title = 0.0, f"compiling ({lanes} lanes)"
        self._show().set_description(self._title)

    def begin(self, index: int, nstarts: int) -> None:
        """Starts the bar anew."""
        self._title, self._total = f"level {index}", nstarts
        if self._bar is not None:
            self._bar.reset(total=nstarts)
            self._bar.set_description(self._title)

    def update(self, done: int, best: float) -> None:
        """Moves the bar."""
        bar = self._show()
        if bar is not None:
            bar.set_postfix_str(f"best {best:.8g}{self._next}", refresh=False)
            bar.update(done - bar.n)

    def end(self, level: Level) -> None:
        """Keeps the estimate for the next level."""
        super().end(level)
        self._next = f", next level about {duration(level.next_time)}"

    def problems(self, done: int, total: int) -> None:
        """Moves the bar, which counts problems."""
        if self._unit != " problems":
            self._title, self._total, self._unit = "", total, " problems"
            if self._bar is not None:
                self._bar.unit = self._unit
                self._bar.reset(total=total)
                self._bar.set_description(self._title)
        bar = self._show()
        if bar is not None:
            bar.update(done - bar.n)

    def proof(self, done: int, left: int, lower: float, upper: float) -> None:
        """Moves the bar, which counts boxes."""
        if self._unit != " boxes":
            self._title, self._total, self._unit = "proof", None, " boxes"
        bar = self._show()
        if bar is not None:
            bar.set_postfix_str(f"{left:,} left, lower {lower:.8g}, gap {upper - lower:.2g}", refresh=False)
            bar.update(done - bar.n)

    def close(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.close()


def show(progress: Any) -> Silent:
    """The display for `progress`: True, False, or "auto" (a bar in a terminal or a notebook, if tqdm is installed).

    Raises:
        ValueError: it is anything else.
    """
    if progress is False:
        return Silent()
    if progress is not True and progress != "auto":
        raise ValueError(f'`progress` must be "auto", True or False; got {progress!r}.')
    notebook, terminal = _in_notebook(), sys.stderr is not None and sys.stderr.isatty()
    tqdm = _tqdm(notebook) if notebook or terminal else None
    if tqdm is not None:
        return Bar(tqdm, 0.0 if progress is True else DELAY)
    return Lines() if progress is True else Silent()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def _tqdm(notebook: bool) -> Any:
    try:
        if notebook:
            import_module("ipywidgets")  # without it tqdm's notebook bar only warns
            from tqdm.notebook import tqdm
        else:
            from tqdm import tqdm
    except ImportError:
        try:
            from tqdm import tqdm
        except ImportError:
            return None
    return tqdm
