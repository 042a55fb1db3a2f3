"""Whole numbers beside continuous variables: the share of problems solved, against SciPy's differential evolution.

    python benchmarks/integers.py [--seeds 3]
    python benchmarks/integers.py --minlplib [--cap 10] [problems]

Four functions with many minima in four and six variables, shifted, of which every other variable is a whole number; the
minimum is known, as the shift of these is whole too. Solved is a value within 1e-6 of it after 100 n, 1,000 n and
10,000 n evaluations (a value with its gradient, or two values alone: differential evolution has twice as many values).
Results go to benchmarks/results/integers.json.

With --minlplib: small problems of that library (minlp.py), constraints included, from the box alone, warm, each with so
many seconds at most. Solved is a value within 1e-6 (1 + abs(optimum)) of the published optimum, at a feasible point.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import minlp
import numpy as np
from common import save
from scipy.optimize import differential_evolution

import jaxglobal as jg

BUDGETS = (100, 1000, 10_000)
SOLVED = 1e-6


def rastrigin(y):
    return 10 * y.size + jnp.sum(y * y - 10 * jnp.cos(2 * jnp.pi * y))


def ackley(y):
    inner = jnp.sqrt(jnp.mean(y * y) + 1e-300)
    return 20 * (1 - jnp.exp(-0.2 * inner)) + jnp.e - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * y)))


def rosenbrock(y):
    z = y + 1
    return jnp.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def griewank(y):
    return 1 + jnp.sum(y * y) / 4000 - jnp.prod(jnp.cos(y / jnp.sqrt(jnp.arange(1, y.size + 1))))


FUNCTIONS = {rastrigin: 5.12, ackley: 32.0, rosenbrock: 10.0, griewank: 100.0}


def problems(seeds: int) -> Iterator[tuple[str, Callable[..., Any], Any, np.ndarray]]:
    """name, fun, bounds, which variables are whole."""
    for base, reach in FUNCTIONS.items():
        for n in (4, 6):
            for seed in range(seeds):
                rng = np.random.default_rng([n, seed])
                whole = np.arange(n) % 2 == 1
                shift = rng.uniform(-0.4, 0.4, n) * reach
                shift = np.where(whole, np.rint(shift), shift)
                yield f"{base.__name__} {n}-D {seed}", lambda x, b=base, s=shift: b(x - s), [(-reach, reach)] * n, whole


def evolved(fun: Callable[..., Any], box: Any, whole: np.ndarray, evals: int, seed: int) -> float:
    """The best value of differential evolution within so many evaluations."""
    value, best, left = jax.jit(fun), [np.inf], [2 * evals]

    def counted(x):
        if left[0] <= 0:
            raise StopIteration
        left[0] -= 1
        f = float(value(x))
        best[0] = min(best[0], f)
        return f

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            differential_evolution(
                counted, box, integrality=whole, maxiter=10**6, seed=seed, polish=False, tol=0, atol=0
            )
    except (StopIteration, RuntimeError):
        pass
    return best[0]


def solve(problem: minlp.Problem, cap: float) -> dict[str, Any]:
    """What becomes of a problem of MINLPLib, the second time."""
    options = dict(constraints=problem.constraints or None, integrality=problem.whole, progress=False)
    jg.minimize(problem.fun, problem.bounds, max_time=4 * cap, **options)
    began = time.perf_counter()
    result = jg.minimize(problem.fun, problem.bounds, max_time=cap, **options)
    seconds = time.perf_counter() - began
    reached = [step for step in result.history if step.fun <= problem.best + SOLVED * (1 + abs(problem.best))]
    return {
        "fun": float(result.fun),
        "solved": bool(abs(result.fun - problem.best) <= SOLVED * (1 + abs(problem.best)) and bool(reached)),
        "success": bool(result.success),
        "violation": float(result.violation or 0.0),
        "nfev": int(result.nfev),
        "warm_s": round(seconds, 2),
        "found_s": round(reached[0].time, 2) if reached else None,
        "found_nfev": int(reached[0].nfev) if reached else None,
    }


def library(names: list[str], cap: float) -> None:
    """Solves these problems of MINLPLib, or all."""
    rows = []
    for name in names or minlp.PROBLEMS:
        row = {"problem": name, "best": minlp.PROBLEMS[name].best} | solve(minlp.PROBLEMS[name], cap)
        rows.append(row)
        print(row, flush=True)
    solved, quick = sum(row["solved"] for row in rows), sum(row["solved"] and row["warm_s"] <= 2 for row in rows)
    found = sum(row["solved"] and row["found_s"] <= 2 for row in rows)
    wrong = [row["problem"] for row in rows if row["success"] and not row["solved"]]
    print(
        f"solved {solved} of {len(rows)}: {found} found within 2 s, {quick} ended within 2 s; wrong successes: {wrong}"
    )
    save("minlplib", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", help="of MINLPLib")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minlplib", action="store_true")
    parser.add_argument("--cap", type=float, default=10.0, help="seconds a problem of MINLPLib")
    given = parser.parse_args()
    if given.minlplib:
        library(given.problems, given.cap)
        return
    rows = []
    for name, fun, box, whole in problems(given.seeds):
        n, row = len(box), {"problem": name}
        for budget in BUDGETS:
            result = jg.minimize(fun, box, integrality=whole, max_evals=budget * n, progress=False)
            row[f"jaxglobal_{budget}"] = float(result.fun)
            row[f"evolution_{budget}"] = evolved(fun, box, whole, budget * n, seed=0)
        began = time.perf_counter()
        result = jg.minimize(fun, box, integrality=whole, progress=False)
        row |= {"fun": float(result.fun), "success": bool(result.success), "nfev": int(result.nfev)}
        row["warm_s"] = round(time.perf_counter() - began, 3)
        rows.append(row)
        print(row, flush=True)
    for budget in BUDGETS:
        ours, theirs = (sum(row[f"{way}_{budget}"] < SOLVED for row in rows) for way in ("jaxglobal", "evolution"))
        print(f"{budget:6} n evaluations: jaxglobal {ours}, differential evolution {theirs} of {len(rows)}")
    own = [row for row in rows if row["success"]]
    wrong, slowest = sum(row["fun"] >= SOLVED for row in own), max(row["warm_s"] for row in rows)
    solved = sum(row["fun"] < SOLVED for row in rows)
    print(f"at its own stop: {solved} of {len(rows)}, {wrong} wrong and yet success; at most {slowest} s")
    save("integers", rows)


if __name__ == "__main__":
    main()
