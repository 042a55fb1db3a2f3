"""The fifteen classic functions with default settings, in their boxes and in boxes shifted off the grid.

    python benchmarks/classic.py [--float32] [--shifts K]

Prints, for each, the error of the minimum, levels, local searches, evaluations and run time, and the totals with and
without compilation. With --shifts, also the share of K random shifts of each box in which the minimum is found.
"""

import argparse
import time

import jax
import numpy as np
from common import save

import jaxglobal as jg
from jaxglobal.problems import classic


def tolerance(problem, float32: bool) -> float:
    """How near to the minimum counts as found."""
    if problem.name == "bukin6":
        return 2e-2 if float32 else 1e-5
    return 1e-4 * (1 + abs(problem.fmin)) if float32 else 1e-6


def random_shifts(problem, count: int, float32: bool) -> dict:
    """The share of random shifts, by up to a quarter of each side, in which the minimum is found."""
    rng, solved, tried = np.random.default_rng(0), 0, 0
    while tried < count:
        try:
            shifted = problem.shifted(rng.uniform(0, 0.25, 2))
        except ValueError:
            continue
        result = jg.minimize(shifted.fun, shifted.bounds, progress=False)
        solved += bool(result.fun - problem.fmin <= tolerance(problem, float32))
        tried += 1
    print(f"{problem.name:<16} found in {solved} of {tried} random shifts", flush=True)
    return {"problem": problem.name, "shifts": tried, "solved": solved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--shifts", type=int, default=0, help="random shifts of each box")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", not options.float32)
    rows = []
    for shifted in (False, True):
        began, run = time.perf_counter(), 0.0
        for problem in (p.shifted() if shifted else p for p in classic):
            result = jg.minimize(problem.fun, problem.bounds, progress=False)
            seconds = result.time - result.compile_time
            run += seconds
            error = max(result.fun - problem.fmin, 0.0) if result.fun == result.fun else float("nan")
            rows.append(
                {"problem": problem.name, "shifted": shifted, "error": error, "status": result.status.name,
                 "levels": result.nit, "searches": result.nstarts, "nfev": result.nfev, "seconds": seconds,
                 "compile_seconds": result.compile_time, "minima": len(result.minima)}
            )  # fmt: skip
            print(
                f"{problem.name:<16} {'shifted' if shifted else 'box':<8} error {error:8.1e} {result.status.name:<16}"
                f"{result.nit:3} levels {result.nstarts:7,} searches {result.nfev:11,} evaluations "
                f"{1e3 * seconds:8.1f} ms",
                flush=True,
            )
        print(f"all fifteen: {run:.2f} s run time, {time.perf_counter() - began:.1f} s with compilation")
    if options.shifts:
        rows += [random_shifts(problem, options.shifts, options.float32) for problem in classic]
        solved, tried = sum(row["solved"] for row in rows if "solved" in row), options.shifts * len(classic)
        print(f"random shifts: found in {solved} of {tried}")
    save("classic_float32" if options.float32 else "classic", rows)


if __name__ == "__main__":
    main()
