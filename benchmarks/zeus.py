"""ZEUS's protocol: BFGS from 131,072 starts in [-5.12, 5.12]^5, and in ten variables; time and error.

    python benchmarks/zeus.py [--dims 5 10] [--repeats 3]

Rosenbrock, Rastrigin and Ackley in float64, with the optimum where it is by definition and shifted to a random point of
[-2, 2]^n (Rosenbrock's to one plus that). "starts": one local search from each of 131,072 uniform points, nothing else.
"default": `minimize(fun, bounds)` until it stops by itself. Times are medians after compilation; the error is the best
value minus the minimum (0), the distance is to its place.

Results go to benchmarks/results/zeus.json after each case; cases that are there are skipped.

Reference: ZEUS, arXiv:2603.28770. On a GPU, in five variables, centred, from 131,072 starts: Rosenbrock 9.6 ms (error
5e-15), Rastrigin 1075 ms, or 50 ms after four steps of a particle swarm, Ackley not below 1.5e-6.
"""

import argparse
import statistics

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from common import Ledger, cache_compilations, code, machine, random_starts

import jaxglobal as jg

STARTS = 2**17
FUNCTIONS = {  # name -> function and where its minimum is
    "rosenbrock": (jg.problems.rosenbrock, 1.0),
    "rastrigin": (jg.problems.rastrigin, 0.0),
    "ackley": (jg.problems.ackley, 0.0),
}
PROBLEMS = {
    name: (lambda x, shift, fun=fun: fun(x - shift), place) for name, (fun, place) in FUNCTIONS.items()
}  # one function object each, so that a call with another shift compiles nothing


def case(name: str, n: int, shifted: bool, mode: str, repeats: int) -> dict:
    """Medians of one function in n variables."""
    fun, place = PROBLEMS[name]
    bounds = [(-5.12, 5.12)] * n
    shift = np.random.default_rng(n).uniform(-2, 2, n) if shifted else np.zeros(n)
    limits = {"x0": random_starts(bounds, STARTS), "max_starts": STARTS, "max_levels": 1} if mode == "starts" else {}
    results = [jg.minimize(fun, bounds, shift, progress=False, **limits) for _ in range(repeats + 1)][1:]
    result = results[-1]
    seconds = statistics.median(result.time - result.compile_time for result in results)
    distance = float(np.max(np.abs(result.x - shift - place)))
    print(
        f"{name:10} {n:2}-D {'shifted' if shifted else 'centred'} {mode:7}: {1e3 * seconds:9.1f} ms, error "
        f"{result.fun:.1e}, distance {distance:.1e}, {result.nstarts:,} searches, {result.nfev:,} evaluations, "
        f"lanes busy {100 * result.lane_efficiency:.1f} %, {result.status.name}",
        flush=True,
    )
    return {
        "seconds": round(seconds, 5), "error": float(result.fun), "distance": distance, "searches": result.nstarts,
        "nfev": result.nfev, "busy": round(result.lane_efficiency, 4), "status": result.status.name,
        "device": machine()["device"], "code": code(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--functions", nargs="+", default=[*FUNCTIONS], choices=[*FUNCTIONS], metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--anew", action="store_true", help="drop all saved cases first")
    options = parser.parse_args()
    cache_compilations()
    ledger = Ledger("zeus", ("function", "n", "shifted", "mode"), options.anew)
    for n in options.dims:
        for name in options.functions:
            for shifted in (False, True):
                for mode in ("starts", "default"):
                    key = name, n, shifted, mode
                    if key not in ledger.rows:
                        row = dict(zip(("function", "n", "shifted", "mode"), key, strict=True))
                        ledger.add(**row, **case(*key, options.repeats))


if __name__ == "__main__":
    main()
