"""The gradient of a function that has none, by differences: which points to evaluate, and what they say.

Central differences (3-point), or forward ones (2-point); where a side of the box is near, or a point has failed, from
the other side. Every point is a task of its own, in no order.

Reference: Nocedal & Wright, Numerical Optimization, 2nd ed. (2006), section 8.1.
"""

import math
from typing import Any

import numpy as np

SCALE = 1e-2  # of the box: a variable near zero has this size
CANDIDATES = {"3-point": (1, -1, 2, -2), "2-point": (1, -1)}  # offsets in the order of preference, in steps
NEEDED = {"3-point": 2, "2-point": 1}
ORDER = {"3-point": 3, "2-point": 2}  # the best step is eps^(1 / order) of the size of x, [NW] 8.1


class Differences:
    """The differences of one variable at one point."""

    def __init__(self, scheme: str, x: float, h: float, lower: float, upper: float):
        """x: where the derivative is wanted. h: the step."""
        steps = [k for k in CANDIDATES[scheme] if lower <= x + k * h <= upper]
        self._left, self._needed, self._x, self._h = steps, NEEDED[scheme], x, h
        self._values: dict[int, Any] = {}
        self._partly: dict[int, Any] = {}  # several numbers, of which some are not finite
        self._waiting = 0

    def next(self) -> list[int]:
        """The offsets, in steps, that have to be evaluated now."""
        count = min(self._needed - len(self._values) - self._waiting, len(self._left))
        taken, self._left = self._left[:count], self._left[count:]
        self._waiting += len(taken)
        return taken

    def place(self, offset: int) -> float:
        """The variable at this offset."""
        return self._x + offset * self._h

    def take(self, offset: int, value: Any) -> None:
        """The value there, or several; not finite where it failed."""
        self._waiting -= 1
        if np.all(np.isfinite(value)):
            self._values[offset] = value
        elif np.any(np.isfinite(value)):
            self._partly[offset] = value

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come."""
        return not self._waiting and (len(self._values) >= self._needed or not self._left)

    def slope(self, f: Any) -> Any:
        """The derivative: that of the parabola, or of the line, through what is known; NaN where that is f alone.

        f: the value at x, or several, of which some may be finite alone.
        """
        with np.errstate(invalid="ignore"):
            points = [(self.place(k) - self._x, value - f) for k, value in (self._values or self._partly).items()]
            if not points:
                return math.nan
            (a, up), *rest = points
            if not rest:
                return up / a
            b, down = rest[0]
            return (up * b * b - down * a * a) / (a * b * (b - a))


def steps(x: np.ndarray, width: np.ndarray, scheme: str, step: float | None, noise: float) -> np.ndarray:
    """The step of each variable, (n,). step: in units of the box; None takes it from the dtype, the noise and x."""
    if step is not None:
        return step * width
    error = max(float(np.finfo(x.dtype).eps), noise / (1 + noise))
    size = np.maximum(np.abs(x), SCALE * width)
    return np.maximum(error ** (1 / ORDER[scheme]) * size, 4 * np.spacing(np.abs(x)))
