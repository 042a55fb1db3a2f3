"""Powers of two: programs are compiled for sizes that are, so that one serves many numbers of problems and points."""

import numpy as np


def power_above(count: int) -> int:
    """The least power of two that is at least `count`."""
    return 1 << (count - 1).bit_length()


def power_below(number: float) -> int:
    """The largest power of two that is at most `number`, and 1 below 1."""
    return 1 << int(np.log2(max(number, 1)))
