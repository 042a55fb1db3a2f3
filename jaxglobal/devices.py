"""How many lanes, and on how many threads of the CPU, from the size and the cost of a problem.

All of it is a function of the problem and the machine, never of a measurement, so that the same call takes the same
decisions.
"""

import os
from typing import Any

import jax
import numpy as np

CPU_CACHE = 2**18  # bytes of lanes that stay in the second-level cache beside the objective's own arrays
CPU_TICK = 1e6  # multiplications in a tick (about 0.3 ms): more lanes would only make the tail of a level longer
CPU_ALONE = 1e6  # multiplications of one evaluation from which idle lanes cost more than the lanes gain
MOST_LANES = {"cpu": 256, "gpu": 16384, "tpu": 16384}
ACCELERATOR_MEMORY = 2**30  # bytes of lanes on an accelerator


def read_lanes(given: Any, numbers: int, dtype: np.dtype, cost: float) -> int:
    """The number of lanes for `lanes=`; the rest as for `choose_lanes`."""
    if isinstance(given, str) and given == "auto":
        return choose_lanes(numbers, dtype, cost)
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f'`lanes` must be "auto" or a whole number of at least 1; got {given!r}.')
    return int(given)


def choose_lanes(numbers: int, dtype: np.dtype, cost: float) -> int:
    """The number of lanes of one thread or device: 1 for a dear objective, else a power of two from 16.

    numbers: that a lane holds. cost: of one value with its gradient, in multiplications.
    """
    memory = numbers * dtype.itemsize
    backend = jax.default_backend()
    if backend != "cpu":
        return _power_of_two(min(ACCELERATOR_MEMORY / memory, MOST_LANES.get(backend, MOST_LANES["gpu"])))
    if cost >= CPU_ALONE:
        return 1
    return _power_of_two(min(CPU_CACHE / memory, CPU_TICK / max(cost, 1), MOST_LANES["cpu"]))


def threads() -> int:
    """Threads that search side by side: the cores that this process may use, and one where lanes are not on a CPU."""
    if jax.default_backend() != "cpu":
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _power_of_two(number: float) -> int:
    return max(16, 1 << int(np.log2(max(number, 1))))
