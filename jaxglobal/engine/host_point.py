"""A point that the host evaluates: the calls that it needs, and what they have returned."""

import math
from typing import Any

import numpy as np

from jaxglobal.engine.differences import Differences


def number(value: Any) -> float:
    """What the function returned, as a float.

    Raises:
        TypeError: it is not one real number.
    """
    array = np.asarray(value)
    if value is None or array.size != 1 or array.dtype.kind not in "biuf":
        what = f"shape {array.shape}, {array.dtype}" if array.dtype != object else type(value).__name__
        raise TypeError(f"`fun` must return one real number; got {what}.")
    return float(array.reshape(()))


class Point:
    """A point of a lane: the calls that it needs, and what they have returned."""

    def __init__(self, ident: int, problem: int, x: np.ndarray, differences: dict[int, Differences]):
        """differences: of each free variable, none where the gradient is a call."""
        self.ident, self.problem, self.x, self.differences = ident, problem, x, differences
        self.needed = slice(None)  # which of several numbers slopes are waited for at, if they are finite
        self.f: Any = None  # a number, or several
        self.g: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come; without a value, no gradient is waited for."""
        if self.f is None:
            return False
        needed = np.atleast_1d(self.f)[self.needed]
        return not (needed.size and np.all(np.isfinite(needed))) or self.g is not None or self._all

    @property
    def _all(self) -> bool:
        return bool(self.differences) and all(d.complete for d in self.differences.values())

    def gradient(self) -> np.ndarray:
        """The gradient, (n,)."""
        if self.g is not None:
            return self.g
        g = np.zeros_like(self.x)
        for i, d in self.differences.items():
            g[i] = d.slope(math.nan if self.f is None else self.f)
        return g
