"""An objective that counts what an optimizer asks for, notes when it reached what, and stops it."""

import math
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

TARGETS = 10.0 ** np.linspace(2, -8, 51)


def clocks() -> np.ndarray:
    """Seconds of wall-clock, and of the processor in this process."""
    return np.array([time.perf_counter(), time.process_time()])


class Stop(Exception):
    """The last target is reached, or the budget or the time is spent."""


class Counted:
    """A function and its gradient, with what they cost.

    Attributes:
        nfev: values asked for.
        njev: gradients asked for.
        best: least value so far.
        hits: (k, nfev, njev, seconds): at that cost the targets up to TARGETS[k] were reached.
        apart: by the two clocks, what went into compiling an optimizer, to be taken off.
        stopped: "target", "budget", "time" or, for an optimizer that returned, "ended".
    """

    def __init__(self, value: Callable, value_and_grad: Callable, values: Callable, budget: int, seconds: float):
        """Functions of NumPy points; values takes (count, n). budget: most nfev + njev."""
        self._value, self._value_and_grad, self._values = value, value_and_grad, values
        self._budget, self._seconds = budget, seconds
        self.nfev = self.njev = 0
        self.best, self.hits, self.stopped, self.apart = math.inf, [], "ended", np.zeros(2)

    def run(self, optimizer: Callable[..., None], bounds: np.ndarray, seed: int) -> float:
        """Seconds that the optimizer took until it was stopped, `apart` taken off: wall-clock, or of the processor.

        Whichever is less: other work on the machine does not count against an optimizer of one thread.
        """

        def out_of_time(*_):
            self.stopped = "time"
            raise Stop

        before = signal.signal(signal.SIGPROF, out_of_time)
        self._began = clocks()
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                optimizer(self, bounds, seed)
        except (Stop, SystemError):  # the interpreter's word for a signal that comes while an exception is raised
            if self.stopped == "ended":
                raise
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
        return self._spent()

    def _spent(self) -> float:
        return float(np.min(clocks() - self._began - self.apart))

    def _pay(self, values: int, gradients: int) -> None:
        if self.stopped != "ended":  # an optimizer goes on although it was told to stop
            raise Stop
        if self.nfev + self.njev + values + gradients > self._budget:
            self.stopped = "budget"
            raise Stop
        self.nfev += values
        self.njev += gradients

    def _note(self, value: float) -> float:
        if value < self.best:
            self.best = value
            reached = int(np.searchsorted(-TARGETS, -value, side="right")) - 1
            if reached >= 0 and (not self.hits or reached > self.hits[-1][0]):
                self.hits.append((reached, self.nfev, self.njev, round(self._spent(), 5)))
            if value <= TARGETS[-1]:
                self.stopped = "target"
                raise Stop
        return value

    def value(self, x: Any) -> float:
        """f(x)."""
        self._pay(1, 0)
        return self._note(self._value(x))

    def gradient(self, x: Any) -> np.ndarray:
        """The gradient alone."""
        self._pay(0, 1)
        return self._value_and_grad(x)[1]

    def value_and_grad(self, x: Any) -> tuple[float, np.ndarray]:
        """f(x) and its gradient."""
        self._pay(1, 1)
        f, g = self._value_and_grad(x)
        return self._note(f), g

    def values(self, xs: Any) -> np.ndarray:
        """f at each of the points, evaluated in one call and counted one by one."""
        found = self._values(np.asarray(xs))
        for value in found:
            self._pay(1, 0)
            self._note(float(value))
        return found
