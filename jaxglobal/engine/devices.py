"""Which devices search, on how many threads, and how many lanes each has, from the size and the cost of a problem.

All of it is a function of the problem and the machine, never of a measurement, so that the same call takes the same
decisions; and the number of lanes does not depend on how many devices, threads or processes share the work.
"""

import os
import pathlib
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding, SingleDeviceSharding

from jaxglobal.problem.powers import power_below

CPU_CACHE = 2**18  # bytes of lanes that stay in the second-level cache beside the objective's own arrays
CPU_TICK = 1e6  # multiplications in a tick (about 0.3 ms): more lanes would only make the tail of a level longer
CPU_ALONE = 1e6  # multiplications of one evaluation from which idle lanes cost more than the lanes gain
FEW = {"cpu": 8, "gpu": 4096, "tpu": 4096}  # lanes where searches come in rounds: a CPU's vectors, the largest round
WIDE_FROM = 32  # times as many searches together, from which the full number of lanes is worth its compilation
MOST_LANES = {"cpu": 256, "gpu": 16384, "tpu": 16384}
ACCELERATOR_MEMORY = 2**30  # bytes of lanes on an accelerator
SOON = 2**15  # evaluations that a search makes at most with a program that is compiled soon, on a CPU
STEPPED = 2**12  # evaluations that it makes a tick at a time: a small search has ended by then
STEPPED_NUMBERS = 3e6  # of its lanes in these, at most: a tick of large ones is slow as it is compiled soon
LEAST_STEPPED = 1024  # evaluations: fewer are not worth a program of their own
SOON_COST = 2e7  # multiplications in these, at most: some 0.04 s more than by the program that runs fast
LEAST_SOON = 4096  # evaluations: fewer are not worth compiling twice, as many a search would go on beyond them
INDICES = 2**31 - 1  # numbers that an array of lanes may hold: XLA counts them in 32 bits
SHARE = 0.5  # of a device's memory that compiled programs may take
UNKNOWN_MEMORY = 2**33  # bytes, where a machine does not tell


def read_lanes(given: Any, numbers: int, dtype: np.dtype, cost: float, platform: str | None = None) -> int:
    """The number of lanes for `lanes=`; the rest as for `choose_lanes`."""
    if isinstance(given, str) and given == "auto":
        return choose_lanes(numbers, dtype, cost, platform)
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or given < 1:
        raise ValueError(f'`lanes` must be "auto" or a whole number of at least 1; got {given!r}.')
    if given * numbers > INDICES:
        raise ValueError(f"`lanes` must be at most {INDICES // numbers:,}, of {numbers} numbers each; got {given}.")
    return int(given)


def choose_lanes(numbers: int, dtype: np.dtype, cost: float, platform: str | None = None) -> int:
    """The number of lanes of one thread or device: 1 for a dear objective, else a power of two from 16.

    numbers: that a lane holds. cost: of one value with its gradient, in multiplications. platform: JAX's default one if
    None.
    """
    memory = numbers * dtype.itemsize
    platform = platform or jax.default_backend()
    if platform != "cpu":
        return _power_of_two(min(ACCELERATOR_MEMORY / memory, MOST_LANES.get(platform, MOST_LANES["gpu"])))
    if cost >= CPU_ALONE:
        return 1
    return _power_of_two(min(CPU_CACHE / memory, CPU_TICK / max(cost, 1), MOST_LANES["cpu"]))


def narrow(lanes: int, together: float, platform: str) -> int:
    """Lanes, at most so many, where so many searches are under way together.

    On a CPU every lane costs its share of a tick, at work or idle; on an accelerator, its share of what is copied to
    and fro with every chunk. platform: "any" if the number of lanes was given.
    """
    few = FEW.get(platform, lanes)
    return min(lanes, few) if together < WIDE_FROM * few else lanes


def soon(cost: float, platform: str) -> float:
    """The evaluations for which a search takes programs that are compiled soon, and run slower; 0 where it never does.

    cost: of one value with its gradient, in multiplications.
    """
    most = min(SOON, SOON_COST / max(cost, 1))
    return most if platform == "cpu" and most >= LEAST_SOON else 0


def tiers(cost: float, numbers: float, platform: str) -> tuple[float, float]:
    """The evaluations after which a search leaves the first tier, and the second; see `compiling.Tier`.

    A dear function has no second tier: a call from Python costs little beside it, and a slow program much. Of large
    lanes the first one is short. cost: as for `soon`. numbers: that a lane holds.
    """
    if platform != "cpu":
        return 0, 0
    most, stepped = soon(cost, platform), STEPPED_NUMBERS / numbers
    first = min(stepped if stepped >= LEAST_STEPPED else 0, STEPPED if most else SOON)
    return first, max(first, most)


def fewer_lanes(lanes: int, needed: float, memory: float) -> int:
    """So many lanes that a program fits into the memory, if with these it needs that much."""
    if needed <= memory or lanes == 1:
        return lanes
    return min(lanes // 2, power_below(lanes * memory / needed))


def read_devices(given: Any) -> list[Any]:
    """The devices of this process for `devices=`.

    Raises:
        TypeError: they are no list of devices.
        ValueError: none of them belongs to this process, one is named twice, or they are of several platforms.
    """
    if given is None:
        default: Any = getattr(jax.config, "jax_default_device", None)
        return jax.local_devices() if default is None else _default(default)
    given = list(given) if isinstance(given, list | tuple | np.ndarray) else [given]
    if not all(isinstance(device, jax.Device) for device in given):
        kinds = ", ".join(sorted({type(device).__name__ for device in given}))
        raise TypeError(f"`devices` must be a list of jax devices, as of jax.local_devices(); got {kinds}.")
    if len(set(given)) < len(given):
        raise ValueError(f"`devices` must name each device once; got {given}.")
    if len({device.platform for device in given}) > 1:
        raise ValueError(f"`devices` must be of one platform; got {sorted({d.platform for d in given})}.")
    here = [device for device in given if device.process_index == jax.process_index()]
    if not here:
        raise ValueError(f"`devices` must name a device of each process; got {given} in process {jax.process_index()}.")
    return here


def _default(default: Any) -> list[Any]:
    return jax.local_devices(backend=default)[:1] if isinstance(default, str) else [default]


def placements(devices: list[Any], arrays: list[Any]) -> list[Sharding]:
    """Where the lanes of each stream live: on a device, side by side on the threads of a CPU.

    Where the arrays that the objective reads lie on several devices, so do the lanes, and there is one stream.

    Raises:
        ValueError: the arrays lie on devices of several processes.
    """
    spread = [array for array in arrays if isinstance(array, jax.Array) and len(array.sharding.device_set) > 1]
    if not spread:
        each = -(-threads() // len(devices)) if devices[0].platform == "cpu" else 1
        return [SingleDeviceSharding(device) for device in devices for _ in range(each)]
    if not all(array.is_fully_addressable for array in spread):
        raise ValueError("the arrays of `fun` and `args` must lie on devices of this process; got ones of several.")
    sharding: Any = spread[0].sharding
    known = isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh)
    mesh = sharding.mesh if known else Mesh(np.array(sorted(sharding.device_set, key=lambda d: d.id)), ("lanes",))
    return [NamedSharding(mesh, PartitionSpec())]


def threads() -> int:
    """Threads of a CPU that search side by side: the cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def side_by_side() -> int:
    """Programs that JAX's default device runs side by side: one on each thread of a CPU, elsewhere one."""
    return threads() if jax.default_backend() == "cpu" else 1


def memory(placement: Sharding) -> float:
    """Bytes that the program of one stream may take: a share of its device's, or of that of a core of the machine."""
    device = next(iter(placement.device_set))
    if device.platform != "cpu":
        stats = device.memory_stats() or {}
        return SHARE * stats.get("bytes_limit", UNKNOWN_MEMORY)
    return SHARE * machine_memory() / (os.cpu_count() or 1)


def machine_memory() -> float:
    """Bytes of memory of the machine, or of the container that the process is in."""
    limits = [float(UNKNOWN_MEMORY)]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits = [float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limits.append(float(pathlib.Path(path).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            pass
    return min(limits)


def _power_of_two(number: float) -> int:
    return max(16, power_below(number))
