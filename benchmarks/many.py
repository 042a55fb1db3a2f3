"""Many problems at once: damped sinusoids of four parameters, 50 points each, every problem with its own data.

    python benchmarks/many.py [--quick]

1. 10,000 problems, two levels of starts, of a grid and, by default, that learn: `minimize_many` against a warm Python
   loop of `minimize` over the first 500.
2. 500 problems, three levels of a grid: against `vmap` of `optimistix.BFGS` over the same starts, at the loosest
   tolerance of 1e-3, 1e-4, ... whose best values agree with those of jaxglobal in as many problems.
Also: lanes busy, what a second call with new data compiles, and whether the loop and `vmap(argmin)` find the same.
"""

import argparse
import functools
import time
import warnings
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save, timed

import jaxglobal as jg

TIMES = np.linspace(0.0, 4.0, 50)
BOUNDS = [(0.1, 4.0), (0.0, 3.0), (0.5, 8.0), (-3.2, 3.2)]
LOOPED = 500
MOST_STEPS = 1000


def model(p, t):
    """Amplitude, rate, frequency, phase."""
    return p[0] * jnp.exp(-p[1] * t) * jnp.cos(p[2] * t + p[3])


def misfit(p, y):
    """Sum of squared residuals."""
    return jnp.sum((model(p, TIMES) - y) ** 2)


def data(count: int, seed: int) -> np.ndarray:
    """(count, 50) noisy curves with parameters anywhere in the box."""
    rng = np.random.default_rng(seed)
    low, high = np.array(BOUNDS).T
    p = rng.uniform(low, high, (count, 4))
    curves = np.asarray(jax.vmap(model, in_axes=(0, None))(jnp.asarray(p), jnp.asarray(TIMES)))
    return curves + 0.05 * rng.standard_normal(curves.shape)


def against_the_loop(count: int, kind: str, starts: Any) -> dict:
    """Two levels of these starts, in one call and one problem after the other."""
    y, more = data(count, 0), data(count, 1)
    options = dict(max_levels=2, progress=False, starts=starts)
    many = functools.partial(jg.minimize_many, misfit, BOUNDS, **options)
    one = functools.partial(jg.minimize, misfit, BOUNDS, **options)
    results, compiled = many(y), many(more).compile_time
    taken = float(np.median([timed(lambda: many(y)) for _ in range(3)]))
    one(y[0])
    began = time.perf_counter()
    loop = [one(y[i]) for i in range(LOOPED)]
    looped = (time.perf_counter() - began) / LOOPED
    # Fits whose minimiser is not unique (a vanishing amplitude's frequency) are compared by value.
    unique = ~(results.tied | results.singular)[:LOOPED]
    apart = float(np.max(np.abs(results.x[:LOOPED] - np.array([result.x for result in loop]))[unique]))
    row = {"what": "against the loop", "starts": kind, "problems": count, "us": 1e6 * taken / count,
           "us_loop": 1e6 * looped, "ratio": looped * count / taken, "evaluations": float(np.mean(results.nfev)),
           "busy": results.lane_efficiency, "compiled": compiled, "apart_loop": apart}  # fmt: skip
    print(
        f"{count:,} problems, two levels {kind}: {taken:.2f} s, {row['us']:.0f} us a problem of "
        f"{row['evaluations']:.0f} evaluations; the loop of minimize {row['us_loop']:.0f} us, {row['ratio']:.1f} x "
        f"(promised: 4 x); lanes busy {100 * row['busy']:.0f} %; new data compile {compiled:.2g} s (promised: 0)\n"
        f"    x against the loop: {apart:.1e} (promised: 1e-10); {np.sum(unique)} of {LOOPED} with a unique minimiser",
        flush=True,
    )
    if kind == "of a grid":
        best = jax.jit(jax.vmap(lambda y: jg.argmin(misfit, BOUNDS, y, levels=2, starts=starts).x))(y)
        row["apart_vmap"] = float(np.max(np.abs(results.x - best)[~(results.tied | results.singular)]))
        print(f"    against vmap(argmin): {row['apart_vmap']:.1e} (promised: 1e-10)", flush=True)
    return row


def against_optimistix(count: int) -> list[dict]:
    import optimistix as optx

    y = data(count, 2)
    grid = jg.Grid()
    many = functools.partial(jg.minimize_many, misfit, BOUNDS, y, max_levels=3, starts=grid, progress=False)
    results = many()
    low, high = np.array(BOUNDS).T
    starts = np.concatenate([low + (high - low) * grid.points(k, 0, grid.size(k, 4), 4) for k in range(3)])
    rows = []
    for tolerance in (1e-3, 1e-4, 1e-5, 1e-6, 1e-8):
        solver = optx.BFGS(rtol=tolerance, atol=tolerance)

        def best(y, solver=solver):
            def end(x):
                x = optx.minimise(misfit, solver, x, y, max_steps=MOST_STEPS, throw=False).value
                return misfit(x, y)

            return jnp.nanmin(jax.vmap(end)(jnp.asarray(starts)))

        run = jax.jit(jax.vmap(best))
        found = np.asarray(run(y))
        # Unbounded searches may leave the box for a lower value: only higher values count against them.
        worse = float(np.mean(found > results.fun + 1e-6 * (1 + results.fun)))
        taken = np.array([[timed(many), timed(lambda: run(y))] for _ in range(3)])  # noqa: B023
        ratio = float(np.median(taken[:, 1] / taken[:, 0]))
        rows.append(
            {"what": "against vmap(optimistix.BFGS)", "problems": count, "tolerance": tolerance, "worse": worse,
             "seconds": float(np.median(taken[:, 0])), "seconds_optimistix": float(np.median(taken[:, 1])),
             "ratio": ratio, "busy": results.lane_efficiency}
        )  # fmt: skip
        print(
            f"{count} problems, three levels: {rows[-1]['seconds']:.2f} s; optimistix at {tolerance:.0e} "
            f"{rows[-1]['seconds_optimistix']:.2f} s, {ratio:.1f} x (promised: 5 x), worse in {100 * worse:.1f} %",
            flush=True,
        )
        if worse <= 0.01:
            break
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the problems")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    count = 1000 if quick else 10_000
    rows = [against_the_loop(count, *of) for of in (("of a grid", jg.Grid()), ("that learn", "auto"))]
    rows += against_optimistix(count // 20)
    if not quick:
        save("many", rows)


if __name__ == "__main__":
    main()
