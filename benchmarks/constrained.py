"""Constrained problems of CEC 2006: seeds solved, evaluations, violation, time.

    python benchmarks/constrained.py                  # 5 seeds a problem
    python benchmarks/constrained.py --seeds 25
    python benchmarks/constrained.py g02 --cap 100000
    python benchmarks/constrained.py --stops          # when searches end by themselves, and what they then say
    python benchmarks/constrained.py --many 10000     # parametric problems by minimize_many, in milliseconds a problem

A run is solved where its value is within 1e-6 (1 + abs(minimum)) of the minimum with exact equalities, at a point whose
measured violation is at most 1e-8 in the rows' own scales. Evaluations are values with gradients of all functions
together; values alone, or slopes alone, are half of one, a Hessian of n variables n / 2. Searches end at that value
(`target`), so that evaluations are those that it takes; with --stops, by their own rules. Seconds are of a warm run.
"""

import argparse
import functools
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from cec2006 import PROBLEMS, Problem, scaled, violation
from common import save, timed

import jaxglobal as jg

TOLERANCE = 1e-6
CTOL = 1e-8


def search(p: Problem, seed: int, cap: int, stops: bool) -> jg.Result:
    """One run."""
    target = None if stops else p.fmin + TOLERANCE * (1 + abs(p.fmin))
    rows = jg.Constraint(p.rows, p.lower, p.upper)
    return jg.minimize(p.fun, list(p.box.T), constraints=rows, seed=seed, max_evals=cap, target=target, progress=False)


def row(p: Problem, seeds: range, cap: int, stops: bool) -> dict:
    """What all runs of a problem came to."""
    began = time.perf_counter()
    search(p, 10**6, 300, stops)
    compiled, runs, taken = time.perf_counter() - began, [], []
    for seed in seeds:
        began = time.perf_counter()
        runs.append(search(p, seed, cap, stops))
        taken.append(time.perf_counter() - began)
    good = [r.fun <= p.fmin + TOLERANCE * (1 + abs(p.fmin)) and scaled(p, r.x) <= CTOL for r in runs]
    evaluations = [r.nfev for r, ok in zip(runs, good, strict=True) if ok]
    return {
        "problem": p.name,
        "n": p.box.shape[1],
        "rows": len(p.lower),
        "solved": sum(good),
        "seeds": len(runs),
        "evaluations": float(np.median(evaluations)) if evaluations else float("nan"),
        "most evaluations": max(evaluations, default=float("nan")),
        "violation": max(violation(p, r.x) for r in runs),
        "scaled": max(scaled(p, r.x) for r in runs),
        "error": max(r.fun - p.fmin for r in runs),
        "false": sum(r.success and scaled(p, r.x) > CTOL for r in runs),
        "missed": sum(r.success and not ok for r, ok in zip(runs, good, strict=True)),
        "seconds": float(np.median(taken)),
        "first": compiled,
    }


def parametric(x: jax.Array, a: jax.Array) -> jax.Array:
    """Of two variables, with several minima."""
    return jnp.sum((x - a) ** 2) + 0.3 * jnp.sum(jnp.cos(3 * (x + a)))


def many(count: int) -> dict:
    """So many problems on a disc, five starts each, in one call: seconds warm, and what SLSQP takes for one."""
    a = np.random.default_rng(0).uniform(-2, 2, (count, 2))
    disc, box = jg.Constraint(lambda x, a: jnp.sum(x**2), upper=1.0), [(-1.5, 2.0)] * 2
    search = functools.partial(
        jg.minimize_many, parametric, box, a, constraints=disc, max_levels=2, starts=jg.Grid(), progress=False
    )
    first, taken = timed(search), []
    for _ in range(3):
        began = time.perf_counter()
        results = search()
        taken.append(time.perf_counter() - began)
    both = jax.jit(jax.value_and_grad(parametric))
    rows = [{"type": "ineq", "fun": lambda x: 1 - x @ x, "jac": lambda x: -2 * x}]
    few, lowest, alone = a[:50], [], []
    starts = np.concatenate([jg.Grid().points(level, 0, jg.Grid().size(level, 2), 2) for level in (0, 1)]) * 3.5 - 1.5
    for one in few:
        of = lambda x, one=one: tuple(map(np.asarray, both(x, one)))  # noqa: E731
        began = time.perf_counter()
        ends = [
            scipy.optimize.minimize(
                of, x0, jac=True, bounds=box, constraints=rows, method="SLSQP", options={"ftol": 1e-12}
            )
            for x0 in starts
        ]
        alone.append(time.perf_counter() - began)
        lowest.append(min(end.fun for end in ends if end.success and np.sum(end.x**2) <= 1 + CTOL))
    apart = results.fun[: len(few)] - np.array(lowest)
    told = {
        "problems": count,
        "first": first,
        "milliseconds": 1e3 * float(np.median(taken)) / count,
        "evaluations": float(np.mean(results.nfev)),
        "violation": float(np.max(results.violation)),
        "SLSQP milliseconds": 1e3 * float(np.median(alone)),
        "higher than SLSQP": int(np.sum(apart > TOLERANCE)),
        "lower than SLSQP": int(np.sum(apart < -TOLERANCE)),
    }
    print(
        f"{count:,} problems, five starts each: {told['milliseconds']:.3f} ms a problem warm, {first:.1f} s the first "
        f"call; {told['evaluations']:.0f} evaluations a problem, violation at most {told['violation']:.1e}\n"
        f"five SLSQP from the same starts: {told['SLSQP milliseconds']:.1f} ms a problem; of {len(few)}, minimize_many "
        f"is higher in {told['higher than SLSQP']}, lower in {told['lower than SLSQP']}"
    )
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="problems (default: all but g02)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cap", type=int, default=20_000, help="evaluations of a run (default: 20,000)")
    parser.add_argument("--stops", action="store_true", help="let the searches end by their own rules")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/constrained.json")
    parser.add_argument("--many", type=int, metavar="P", help="so many parametric problems in one call, alone")
    options = parser.parse_args()
    if options.many:
        told = many(options.many)
        if options.save:
            save("constrained_many", [told])
        return
    print("problem  n rows  solved  evaluations (most)  violation  scaled     f - f*  false missed  seconds  first")
    rows = []
    for name in options.names or [name for name in PROBLEMS if name != "g02"]:
        r = row(PROBLEMS[name], range(options.seeds), options.cap, options.stops)
        rows.append(r)
        print(f"{name:7s} {r['n']:2d} {r['rows']:4d}  {r['solved']:2d}/{r['seeds']:2d}  {r['evaluations']:8.0f} "
              f"({r['most evaluations']:8.0f})  {r['violation']:9.1e} {r['scaled']:7.0e} {r['error']:10.1e} "
              f"{r['false']:6d} {r['missed']:6d} {r['seconds']:8.2f} {r['first']:6.1f}", flush=True)  # fmt: skip
        jax.clear_caches()
        if options.save:  # after each problem, as all of them take a while
            save("constrained_stops" if options.stops else "constrained", rows, cap=options.cap)
    print(f"solved {sum(r['solved'] for r in rows)} of {sum(r['seeds'] for r in rows)}; "
          f"median evaluations {np.nanmedian([r['evaluations'] for r in rows]):.0f}; "
          f"false successes {sum(r['false'] for r in rows)}; seconds of one seed of all "
          f"{sum(r['seconds'] for r in rows):.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
