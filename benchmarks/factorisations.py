"""Searches of functions that factorise matrices: how often they come back, how soon, and what they find.

    python benchmarks/factorisations.py [--times 50] [--points 20 40 100 200] [--busy] [--programs NAME ...]

A Gaussian process's likelihood of so many points, by a Cholesky factorisation, three parameters: by `minimize`,
`minimize_many` (four data sets), `vmap(argmin)` (the same), `curve_fit_many` (forty fits of a thousand points, whose
own solves are batched) and two threads of a user's own. Each is run as often as asked in one process, with new data
every time and nothing compiled anew; with --busy beside a process that keeps a core at work. Every value is held to
SciPy's from ten starts in NumPy. Printed: how many came back, the first (which compiles), the median and the longest of
the others, in seconds; a search that is not back after 300 s ends the benchmark. Results go to
benchmarks/results/factorisations.json, with the version of JAX and the cores that the process may use, so that
`taskset -c 0` gives the row of one core.
"""

import argparse
import faulthandler
import json
import multiprocessing
import os
import statistics
import threading
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
from common import RESULTS, save

import jaxglobal as jg

BOX = [(-3.0, 2.0), (-2.0, 3.0), (-4.0, 1.0)]
LIMIT = 300


def likelihood(p, t, y, np=jnp, solve=jax.scipy.linalg.solve_triangular):
    """Minus the log likelihood of a Gaussian process; p are the logarithms of amplitude, length and noise."""
    amplitude, length, noise = np.exp(p)
    apart = (t[:, None] - t[None, :]) / length
    covariance = amplitude**2 * np.exp(-0.5 * apart**2) + (noise**2 + 1e-8) * np.eye(len(t))
    factor = np.linalg.cholesky(covariance)
    z = solve(factor, y, lower=True)
    return 0.5 * z @ z + np.sum(np.log(np.diag(factor)))


def data(points: int, seed: int):
    """Times, and noisy values of a sine at them."""
    rng = np.random.default_rng(seed)
    t = np.sort(np.random.default_rng(0).uniform(0, 10, points))
    return t, np.sin(t) + 0.3 * rng.standard_normal(points)


def check(found: float, t, y) -> None:
    """SciPy's local searches in NumPy, from ten starts, find nothing lower."""

    def fun(p):
        try:
            return float(likelihood(p, t, y, np, scipy.linalg.solve_triangular))
        except np.linalg.LinAlgError:
            return 1e10

    starts = np.random.default_rng(0).uniform(*np.transpose(BOX), (10, 3))
    best = min(scipy.optimize.minimize(fun, x0, bounds=BOX).fun for x0 in starts)
    assert found <= best + 1e-6 * (1 + abs(best)), (found, best)


def one(points: int, seed: int):
    t, y = data(points, seed)
    return [(jg.minimize(likelihood, BOX, (t, y), progress=False).fun, t, y)]


def many(points: int, seed: int):
    t, _ = data(points, 0)
    ys = np.stack([data(points, 4 * seed + k)[1] for k in range(4)])
    results = jg.minimize_many(lambda p, y: likelihood(p, t, y), BOX, ys, progress=False)
    return [(fun, t, y) for fun, y in zip(results.fun, ys, strict=True)]


@jax.jit
def lowest(t, ys):
    return jax.vmap(lambda y: jg.argmin(likelihood, BOX, (t, y)))(ys)


def argmin(points: int, seed: int):
    t, _ = data(points, 0)
    ys = np.stack([data(points, 4 * seed + k)[1] for k in range(4)])
    return [(float(fun), t, y) for fun, y in zip(np.asarray(lowest(t, ys).fun), ys, strict=True)]


def threads(points: int, seed: int):
    found: dict[int, list] = {}
    work = [threading.Thread(target=lambda k=k: found.update({k: one(points, 2 * seed + k)})) for k in range(2)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    return found[0] + found[1]


def fits(_: int, seed: int):
    x = np.linspace(0, 5, 1000)
    y = 2 * np.exp(-x) + 1 + 0.1 * np.random.default_rng(seed).standard_normal((40, 1000))
    bounds = [(0, 10), (0, 2), (-5, 5)]
    found = jg.curve_fit_many(lambda x, a, k, c: a * jnp.exp(-k * x) + c, x, y, bounds, progress=False)
    assert found.success.all()
    assert np.all(np.abs(found.popt - [2, 1, 1]) < 6 * found.perr)
    return []


PROGRAMS = {"minimize": one, "many": many, "argmin": argmin, "threads": threads}


def spin() -> None:
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--points", type=int, nargs="+", default=[20, 40, 100, 200])
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--programs", nargs="+", choices=[*PROGRAMS, "fits"], default=[*PROGRAMS, "fits"])
    options = parser.parse_args()
    if options.busy:
        multiprocessing.Process(target=spin, daemon=True).start()
    cores = len(os.sched_getaffinity(0))
    machine = f"jax {jax.__version__}, {cores} core{'s' * (cores > 1)}" + ", busy" * options.busy
    kept = RESULTS / "factorisations.json"  # with the rows of other machines
    rows = json.loads(kept.read_text())["rows"] if kept.exists() else []
    print(f"{machine}\n{'points':>8}{'':>12}{'back':>10}{'first':>8}{'median':>8}{'longest':>9}")
    asked = [(points, *program) for points in options.points for program in PROGRAMS.items()]
    for points, name, run in [*asked, (1000, "fits", fits)]:
        if name not in options.programs:
            continue
        seconds = []
        for seed in range(1, options.times + 1):
            faulthandler.dump_traceback_later(LIMIT, exit=True)
            began = time.perf_counter()
            found = run(points, seed)
            seconds.append(time.perf_counter() - began)
            faulthandler.cancel_dump_traceback_later()
            for value in found if seed <= 3 or points <= 40 else []:  # SciPy takes longer than the search
                check(*value)
        first, *others = seconds
        row = {"back": len(seconds), "first": first, "median": statistics.median(others), "longest": max(others)}
        which = {"with": machine, "points": points, "program": name}
        rows = [other for other in rows if not which.items() <= other.items()] + [{**which, **row}]
        print("{:>8}{:>12}{:>10}{:>8.1f}{:>8.2f}{:>9.2f}".format(points, name, *row.values()), flush=True)
        save("factorisations", rows)


if __name__ == "__main__":
    main()
