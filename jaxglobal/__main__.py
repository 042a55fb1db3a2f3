"""python -m jaxglobal: solves fifteen classic functions with default settings, and sets the published results beside.

Options: --shifted takes boxes with raised lower bounds, so that the known minima lie off the original grid;
--float32 keeps JAX's default precision.
"""

import argparse
import time

import jax

from jaxglobal.api.minimize import minimize
from jaxglobal.printing import duration
from jaxglobal.problems import classic
from jaxglobal.result import Result

HEAD = ("function", "minimum found", "error", "levels", "searches", "evaluations", "run time")
LINE = "{:<16} {:>16} {:>8} {:>6} {:>9} {:>12} {:>9}  {}"


def row(name: str, result: Result, error: float, published: str) -> str:
    """One line of the table."""
    run = duration(result.time - result.compile_time)
    found, counts = f"{result.fun:.9g}", (f"{result.nstarts:,}", f"{result.nfev:,}")
    return LINE.format(name, found, f"{error:.1e}", result.nit, *counts, run, published)


def main() -> None:
    """Runs the fifteen and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m jaxglobal", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--shifted", action="store_true", help="boxes whose grid misses the known minima")
    parser.add_argument("--float32", action="store_true", help="search in float32 instead of float64")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", not options.float32)
    problems = [problem.shifted() if options.shifted else problem for problem in classic]
    head = LINE.format(*HEAD, "published (first implementation)")
    print(f"{head}\n{'-' * len(head)}")
    began, run, compiling = time.perf_counter(), 0.0, 0.0
    for problem in problems:
        result = minimize(problem.fun, problem.bounds)
        run, compiling = run + result.time - result.compile_time, compiling + result.compile_time
        # Rounding can take a value a few eps below the known minimum.
        error = max(result.fun - problem.fmin, 0.0) if result.fun == result.fun else float("nan")
        print(row(problem.name, result, error, problem.published), flush=True)
    print("-" * len(head))
    total = duration(time.perf_counter() - began)
    print(f"all fifteen: {total}, of it {duration(run)} run time and {duration(compiling)} compiling")


if __name__ == "__main__":
    main()
