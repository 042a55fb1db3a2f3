"""Functions that stay alive, one search each, in one process: what they take of the machine.

    python benchmarks/alive.py [--functions 2000] [--every 100]

Every function is a program of its own, so that nothing is shared but what the library itself shares. Printed as they
come: the functions that are alive, lines of the process's map of memory (of which Linux allows 65,530: a process that
asks for more is killed), resident megabytes, and the seconds that each function took. Results go to
benchmarks/results/alive.json.
"""

import argparse
import pathlib
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save

import jaxglobal as jg


def taken() -> tuple[int, float]:
    """Lines of the map of memory, and resident megabytes, of this process."""
    process = pathlib.Path("/proc/self")
    kilobytes = int((process / "status").read_text().split("VmRSS:")[1].split()[0])
    return len((process / "maps").read_text().splitlines()), kilobytes / 1024


def bowl(number: int):
    """A function whose program no other has: its number is a constant of it."""
    return lambda x: jnp.sum((x - 0.1) ** 2) * (1.0 + number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--functions", type=int, default=2000)
    parser.add_argument("--every", type=int, default=100)
    options = parser.parse_args()

    alive, rows = [], []
    began = time.perf_counter()
    print(f"{'functions':>10}{'maps':>8}{'MB':>8}{'s each':>8}")
    for number in range(options.functions):
        alive.append(bowl(number))
        result = jg.minimize(alive[-1], [(-1, 1)] * 2, progress=False)
        assert result.success and np.allclose(result.x, 0.1, atol=1e-6), result
        if len(alive) % options.every == 0:
            now = time.perf_counter()
            maps, megabytes = taken()
            row = {"functions": len(alive), "maps": maps, "MB": megabytes, "s each": (now - began) / options.every}
            rows.append(row)
            began = now
            print("{:>10}{:>8}{:>8.0f}{:>8.2f}".format(*row.values()), flush=True)
    again = jg.minimize(alive[0], [(-1, 1)] * 2, progress=False)  # whose programs are long gone, and made anew
    assert again.success and np.allclose(again.x, 0.1, atol=1e-6), again
    save("alive", rows)


if __name__ == "__main__":
    main()
