"""The fifteen classic functions with default settings, in their boxes and in boxes shifted off the grid.

    python benchmarks/classic.py [--float32]

Prints, for each, the error of the minimum, levels, local searches, evaluations and run time, and the totals with and
without compilation.
"""

import argparse
import time

import jax
from common import save

import jaxglobal as jg
from jaxglobal.problems import classic


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--float32", action="store_true")
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
    save("classic_float32" if options.float32 else "classic", rows)


if __name__ == "__main__":
    main()
