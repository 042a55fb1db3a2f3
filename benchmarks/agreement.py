"""Devices and processes: that they come to the same Result, and survive the death of one of them.

    python benchmarks/agreement.py [bits] [kill] [--quick]

bits      1, 2, 4 forced CPU devices, and 2 processes with 2 devices each: the same Result, bit for bit.
kill      kill -9 of one of two processes in the middle of a level: when the other ends, and whether the search that
          goes on from the checkpoint ends as one that was not interrupted.

Without a name both are run. Each saves benchmarks/results/agreement_<name>.json.
"""

import json
import pathlib
import tempfile
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from again import last_lines, main, start

import jaxglobal as jg

BOX = [(-4.0, 5.12)]
KILL_LEVELS = 10  # of Bukin's function: some seconds


def rastrigin(x):
    return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))


def told(result) -> list:
    """Everything of a Result but times."""
    minima = [[m.fun.hex(), m.count, np.asarray(m.x).tobytes().hex()] for m in result.minima]
    levels = [[level.nstarts, level.nfev, level.fun.hex()] for level in result.levels]
    x, jac = (np.asarray(v).tobytes().hex() for v in (result.x, result.jac))
    return [x, result.fun.hex(), jac, result.nfev, result.nstarts, minima, levels]


def worker_bits() -> None:
    options = dict(same=50, progress=False)
    two = jg.minimize(rastrigin, BOX * 2, max_levels=8, **options)
    ten = jg.minimize(rastrigin, BOX * 10, max_levels=5, **options)
    print(json.dumps([told(two), told(ten)]))


def bits(quick: bool) -> list[dict]:
    rows, first = [], None
    for count, forced in ((1, 1), (1, 2), (1, 4), (2, 2)):
        for index, line in enumerate(last_lines(start("bits", count=count, forced=forced))):
            first = first or line
            rows.append({"processes": count, "devices": forced, "process": index, "same": line == first})
            print(
                f"{count} processes of {forced} devices, process {index}: the same Result: {line == first}", flush=True
            )
    return rows


def worker_kill(path: str) -> None:
    options = dict(max_levels=KILL_LEVELS, same=50, progress=False, checkpoint=path or None)
    result = jg.minimize(
        jg.problems.bukin6, [(-15, 3)] * 2, callback=lambda level: print("level", level.index, flush=True), **options
    )
    print(json.dumps(told(result)))


def kill(quick: bool) -> list[dict]:
    rows = []
    (plain,) = last_lines(start("kill", ""))
    with tempfile.TemporaryDirectory() as folder:
        for victim, again in ((1, (2, 2)), (0, (1, 3))):
            path = str(pathlib.Path(folder) / f"{victim}.npz")
            pair = start("kill", path, count=2, forced=2)
            while f"level {KILL_LEVELS // 2}" not in (line := pair[victim].stdout.readline()):
                assert line or pair[victim].poll() is None, pair[victim].stderr.read()
            time.sleep(0.1)  # into the next level
            in_time = pair[victim].poll() is None
            pair[victim].kill()
            began = time.perf_counter()
            _, errors = pair[1 - victim].communicate()
            seconds = time.perf_counter() - began
            clear = [line for line in errors.splitlines() if "has died" in line or "another task died" in line]
            resumed = last_lines(start("kill", path, count=again[0], forced=again[1]))
            rows.append(
                {
                    "killed": victim,
                    "in_time": in_time,
                    "seconds": seconds,
                    "message": clear[-1:],
                    "exit": pair[1 - victim].returncode,
                    "resumed_on": again,
                    "same": all(line == plain for line in resumed),
                }
            )
            print(
                f"process {victim} killed: the other ends after {seconds:.1f} s (promised: 30 s), says {clear[-1:]}; "
                f"resumed on {again[0]} processes of {again[1]} devices, the same Result: {rows[-1]['same']}",
                flush=True,
            )
    return rows


if __name__ == "__main__":
    main("agreement", __doc__, {"bits": bits, "kill": kill}, {"bits": worker_bits, "kill": worker_kill})
