"""What a tick costs by the number of lanes, and what a search takes beside its ticks, on the device at hand.

    python benchmarks/lanes.py [--lanes auto 1024 16384 65536] [--report]

Rosenbrock, Rastrigin and Ackley in [-5.12, 5.12]^n with the optimum shifted at random: a search from each of 131,072
uniform points in five variables, with so many lanes, `auto` the number that is chosen; and `minimize(fun, bounds)` in
two and five variables until it stops by itself. The fastest of three searches after the one that compiles: wall-clock,
the part of it in the program of the lanes (the mean of the streams), with the copies to the device, and ticks.

Results go to benchmarks/results/lanes.json after each case, by device; cases that are there are skipped.
"""

import argparse
import itertools
import time

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from common import Ledger, cache_compilations, code, machine, random_starts
from zeus import PROBLEMS, STARTS

import jaxglobal as jg

FIELDS = ("device", "function", "n", "starts", "lanes")


def case(name: str, n: int, starts: int, lanes: str) -> dict:
    """The fastest of three searches from so many points, or by default if there are none."""
    fun, _ = PROBLEMS[name]
    bounds = [(-5.12, 5.12)] * n
    shift = np.random.default_rng(n).uniform(-2, 2, n)
    only = {"x0": random_starts(bounds, starts), "max_starts": starts, "max_levels": 1} if starts else {}

    def run() -> dict:
        began = time.perf_counter()
        search = jg.levels(fun, bounds, shift, progress=False, lanes=lanes if lanes == "auto" else int(lanes), **only)
        for _ in search:
            pass
        wall, result, streams = time.perf_counter() - began, search.result, search._one.width.streams
        return {
            "seconds": round(wall, 5), "program": round(float(np.mean(streams.tally.seconds)), 5) if starts else None,
            "ticks": int(np.mean(streams.tally.worked)) if starts else None, "error": float(result.fun),
            "nfev": result.nfev, "jax": jax.__version__, "code": code(),
        }  # fmt: skip

    run()
    return min((run() for _ in range(3)), key=lambda row: row["seconds"])


def report(rows: list[dict]) -> None:
    """One line a case."""
    for row in rows:
        starts = f"{row['starts']:,} starts" if row["starts"] else "default"
        ticks = ""
        if row["ticks"]:
            each = 1e6 * row["program"] / row["ticks"]
            ticks = f", of it {1e3 * row['program']:.1f} in {row['ticks']:,} ticks of {each:.1f} us"
        print(
            f"{row['device']}: {row['function']:10} {row['n']}-D, {starts}, {row['lanes']} lanes: "
            f"{1e3 * row['seconds']:.1f} ms{ticks}; {row['nfev']:,} evaluations, error {row['error']:.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", nargs="+", default=["auto"])
    parser.add_argument("--anew", action="store_true", help="drop all saved cases first")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    ledger = Ledger("lanes", FIELDS, options.anew)
    if options.report:
        return report(list(ledger.rows.values()))
    cache_compilations()
    device = machine()["device"]
    for lanes, (n, starts), name in itertools.product(options.lanes, ((5, STARTS), (2, 0), (5, 0)), PROBLEMS):
        key = device, name, n, starts, lanes
        if key not in ledger.rows:
            ledger.add(**dict(zip(FIELDS, key, strict=True)), **case(name, n, starts, lanes))
            report([ledger.rows[key]])


if __name__ == "__main__":
    main()
