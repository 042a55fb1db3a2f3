"""Whole numbers beside continuous variables: the share of problems solved, against optimizers that know these.

    python benchmarks/integers.py [--seeds 3] [--tpe 1] [--anew] [functions]
    python benchmarks/integers.py --minlplib [--cap 10] [problems]
    python benchmarks/integers.py --relaxed [--seeds 5]

Four functions with many minima in four and six variables, shifted, of which every other variable is a whole number; the
minimum is known, as the shift of these is whole too. Solved is a value within 1e-6 of it after 100 n, 1,000 n and
10,000 n evaluations (a value with its gradient, or two values alone: the others have twice as many values). SciPy's
differential evolution, pycma and Optuna's CMA-ES and TPE take part where they are installed (pip install cma optuna
cmaes), Optuna's at 100 n alone, TPE with the first `--tpe` seeds, as it takes a minute a problem. Results go to
benchmarks/results/integers.json, row by row: the same command goes on with the problems that lack an optimizer.

With --minlplib: small problems of that library (minlp.py), constraints included, from the box alone, warm, each with so
many seconds at most. Solved is a value within 1e-6 (1 + abs(optimum)) of the published optimum, at a feasible point.

With --relaxed: half of 100 n and of 1,000 n evaluations go to the function without whole numbers, the others to a
search that has the rounded minimum as `x0`. Nothing is saved.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import integer_peers
import jax.numpy as jnp
import minlp
import numpy as np
from common import RESULTS, Ledger, code, save

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


def problems(seeds: int) -> Iterator[tuple[str, int, Callable[..., Any], Any, np.ndarray]]:
    """name, seed, fun, bounds, which variables are whole."""
    for base, reach in FUNCTIONS.items():
        for n in (4, 6):
            for seed in range(seeds):
                rng = np.random.default_rng([n, seed])
                whole = np.arange(n) % 2 == 1
                shift = rng.uniform(-0.4, 0.4, n) * reach
                shift = np.where(whole, np.rint(shift), shift)
                fun = lambda x, b=base, s=shift: b(x - s)  # noqa: E731
                yield f"{base.__name__} {n}-D {seed}", seed, fun, [(-reach, reach)] * n, whole


def peers(fun: Callable[..., Any], box: Any, whole: np.ndarray, left_out: tuple[str, ...]) -> dict[str, float]:
    """The best value of each of the others within each budget."""
    value, told = jax.jit(fun), {}
    for name in integer_peers.BY_NAME:
        if name not in left_out:
            budgets = {2 * budget * len(box): budget for budget in BUDGETS[: 1 if name in integer_peers.SLOW else None]}
            watched = integer_peers.Watched(value, whole, list(budgets), SOLVED)
            integer_peers.run(name, watched, box, whole, seed=0)
            told |= {f"{name}_{budgets[values]}": best for values, best in watched.best.items()}
    return told


def row_of(
    name: str, fun: Callable[..., Any], box: Any, whole: np.ndarray, left_out: tuple[str, ...]
) -> dict[str, Any]:
    """What all come to on a problem, and jaxglobal at its own stop."""
    n, row = len(box), {"problem": name, "code": code()}
    for budget in BUDGETS:
        result = jg.minimize(fun, box, integrality=whole, max_evals=budget * n, progress=False)
        row[f"jaxglobal_{budget}"] = float(result.fun)
    row |= peers(fun, box, whole, left_out)
    began = time.perf_counter()
    result = jg.minimize(fun, box, integrality=whole, progress=False)
    row |= {"fun": float(result.fun), "success": bool(result.success), "nfev": int(result.nfev)}
    return row | {"warm_s": round(time.perf_counter() - began, 3)}


def solve(problem: minlp.Problem, cap: float) -> dict[str, Any]:
    """What becomes of a problem of MINLPLib, the second time."""
    options = dict(constraints=problem.constraints or None, integrality=problem.whole, progress=False)
    jg.minimize(problem.fun, problem.bounds, max_time=cap, **options)
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
    """Solves these problems of MINLPLib, or all, in place of their saved rows; tells of all that are saved."""
    path = RESULTS / "minlplib.json"
    saved = {row["problem"]: row for row in json.loads(path.read_text())["rows"]} if path.exists() else {}
    for name in names or minlp.PROBLEMS:
        saved[name] = {"problem": name, "best": minlp.PROBLEMS[name].best} | solve(minlp.PROBLEMS[name], cap)
        print(saved[name], flush=True)
        save("minlplib", [saved[name] for name in minlp.PROBLEMS if name in saved])
    rows = [saved[name] for name in minlp.PROBLEMS if name in saved]
    solved, quick = sum(row["solved"] for row in rows), sum(row["solved"] and row["warm_s"] <= 2 for row in rows)
    found = sum(row["solved"] and row["found_s"] <= 2 for row in rows)
    wrong = [row["problem"] for row in rows if row["success"] and not row["solved"]]
    print(
        f"solved {solved} of {len(rows)}: {found} found within 2 s, {quick} ended within 2 s; wrong successes: {wrong}"
    )


def relaxed(seeds: int) -> None:
    """Prints how many problems are solved with and without a start at the rounded minimum of the relaxed problem."""
    for budget in BUDGETS[:2]:
        plain = rounded = tried = 0
        for _, _, fun, box, whole in problems(seeds):
            most, tried = budget * len(box), tried + 1
            plain += jg.minimize(fun, box, integrality=whole, max_evals=most, progress=False).fun < SOLVED
            free = jg.minimize(fun, box, max_evals=most // 2, progress=False)
            near, left = np.where(whole, np.rint(free.x), free.x), most - free.nfev
            result = jg.minimize(fun, box, integrality=whole, x0=near, max_evals=left, progress=False)
            rounded += result.fun < SOLVED
        print(f"{budget:6} n evaluations, {tried} problems: {plain} solved, {rounded} from rounded minima")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*", help="of MINLPLib, or functions by their names; all by default")
    parser.add_argument("--anew", action="store_true", help="run what is saved again")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tpe", type=int, default=1, help="seeds with which Optuna's TPE takes part")
    parser.add_argument("--minlplib", action="store_true")
    parser.add_argument("--relaxed", action="store_true")
    parser.add_argument("--cap", type=float, default=10.0, help="seconds a problem of MINLPLib")
    given = parser.parse_args()
    if given.minlplib:
        library(given.problems, given.cap)
        return
    if given.relaxed:
        relaxed(given.seeds)
        return
    ledger = Ledger("integers", ("problem",))
    for name, seed, fun, box, whole in problems(given.seeds):
        left_out = ("optuna_tpe",) if seed >= given.tpe else ()
        known = {f"{way}_{BUDGETS[0]}" for way in integer_peers.BY_NAME if way not in left_out}
        done = known <= set(ledger.rows.get((name,), {})) and not given.anew
        if done or given.problems and name.split()[0] not in given.problems:
            continue
        ledger.add(**row_of(name, fun, box, whole, left_out))
        print(ledger.rows[name,], flush=True)
    rows = list(ledger.rows.values())
    for budget in BUDGETS:
        told = []
        for way in ("jaxglobal", *integer_peers.BY_NAME):
            values = [row[f"{way}_{budget}"] for row in rows if f"{way}_{budget}" in row]
            told += [f"{way} {sum(value < SOLVED for value in values)} of {len(values)}"] if values else []
        print(f"{budget:6} n evaluations: {', '.join(told)}")
    own = [row for row in rows if row["success"]]
    wrong, slowest = sum(row["fun"] >= SOLVED for row in own), max(row["warm_s"] for row in rows)
    solved = sum(row["fun"] < SOLVED for row in rows)
    print(f"at its own stop: {solved} of {len(rows)}, {wrong} wrong and yet success; at most {slowest} s")


if __name__ == "__main__":
    main()
