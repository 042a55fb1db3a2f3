"""Local searches under constraints, from many starts in one call, beside SLSQP and IPOPT one after another.

    python benchmarks/constrained_local.py            # 2,048 starts of two problems
    python benchmarks/constrained_local.py --save     # writes benchmarks/results/constrained_local.json

One level of Sobol points, a search from each, by `minimize`. `violation` is the largest of all minima that these came
to, in the rows' own scales; `minima` is how many searches ended at a KKT point, by their own status, and `global` how
many at the global minimum. A peer's solves are all counted, and those apart that end within 1e-6 of feasibility, in
the same scales; its seconds are of as many starts as fit into a few. Warm; the first call compiles.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from cec2006 import Problem, scaled
from common import save, timed

import jaxglobal as jg
from jaxglobal.status import LocalStatus

PEERS_TAKE = 4.0  # seconds, each
NEAR = 1e-6
RATES = 0.09755988, 0.0391908


def cost(x: jax.Array) -> jax.Array:
    """Of a pressure vessel: thicknesses, radius, length."""
    walls = 0.6224 * x[0] * x[2] * x[3] + 1.7781 * x[1] * x[2] ** 2
    return walls + 3.1661 * x[0] ** 2 * x[3] + 19.84 * x[0] ** 2 * x[2]


def strength(x: jax.Array) -> jax.Array:
    """How much too thin its walls are, too small its volume and too great its length."""
    volume = jnp.pi * x[2] ** 2 * x[3] + 4 / 3 * jnp.pi * x[2] ** 3
    return jnp.stack([0.0193 * x[2] - x[0], 0.00954 * x[2] - x[1], 1296000 - volume, x[3] - 240])


def balances(x: jax.Array) -> jax.Array:
    """Of two stirred tanks in series: what they cost, and what goes in and out of each."""
    first, second = RATES
    return jnp.stack([
        jnp.sqrt(x[4]) + jnp.sqrt(x[5]) - 4,
        x[0] - 1 + first * x[0] * x[4],
        x[1] - x[0] + 0.99 * first * x[1] * x[5],
        x[2] + x[0] - 1 + second * x[2] * x[4],
        x[3] - x[2] + x[1] - x[0] + 0.9 * second * x[3] * x[5],
    ])  # fmt: skip


RADIUS = 40.31961872409872
PROBLEMS = [
    Problem("vessel", cost, np.array([[0.0625, 0.0625, 10, 10], [6.1875, 6.1875, 200, 200]]), strength,
            np.full(4, -np.inf), np.zeros(4), 5885.332773616459, np.array([0.0193, 0.00954, 1, 200 / RADIUS]) * RADIUS),
    Problem("reactor", lambda x: -x[3], np.array([[0] * 4 + [1e-5] * 2, [1] * 4 + [16.0] * 2]), balances,
            np.array([-np.inf, 0, 0, 0, 0]), np.zeros(5), -0.3888114342917279, np.zeros(6)),
]  # fmt: skip


def ours(p: Problem, starts: int) -> dict[str, Any]:
    """All starts in one call of `minimize`."""
    rows = jg.Constraint(p.rows, p.lower, p.upper)

    def search() -> jg.Result:
        return jg.minimize(
            p.fun, list(p.box.T), constraints=rows, starts=jg.Sobol(starts), max_levels=2, progress=False
        )

    first, taken = timed(search), []
    for _ in range(5):
        began = time.perf_counter()
        result = search()
        taken.append(time.perf_counter() - began)
    searches = sum(level.nstarts for level in result.levels)
    best = [m for m in result.minima if m.fun <= p.fmin + NEAR * (1 + abs(p.fmin))]
    return {
        "microseconds": 1e6 * float(np.median(taken)) / searches,
        "evaluations": result.nfev / searches,
        "minima": sum(level.statuses.get(LocalStatus.CONVERGED, 0) for level in result.levels) / searches,
        "global": sum(m.count for m in best) / searches,
        "violation": max(scaled(p, m.x) for m in result.minima),
        "error": abs(result.fun - p.fmin),
        "first": first,
    }


def peer(p: Problem, solve: Callable[[np.ndarray], np.ndarray], starts: np.ndarray) -> dict[str, Any]:
    """As many solves, one after another, as fit into the time."""
    solve(starts[0])
    began, ends = time.perf_counter(), []
    for x in starts[1:]:
        ends.append(solve(x))
        if time.perf_counter() - began > PEERS_TAKE:
            break
    taken = time.perf_counter() - began
    good = sum(scaled(p, np.clip(x, *p.box)) <= NEAR for x in ends)
    each = 1e6 * taken / len(ends)
    return {"solves": len(ends), "microseconds": each, "feasible": good / len(ends),
            "microseconds a feasible one": 1e6 * taken / good if good else math.inf}  # fmt: skip


def functions(p: Problem) -> tuple[Callable, Callable]:
    """Value and gradient of f, and the rows with their Jacobian, compiled; each is called once a point."""
    f, rows = jax.jit(jax.value_and_grad(p.fun)), jax.jit(lambda x: (p.rows(x), jax.jacrev(p.rows)(x)))
    return (lambda x: tuple(map(np.asarray, f(x)))), (lambda x: tuple(map(np.asarray, rows(x))))


def slsqp(p: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """SciPy's, with exact slopes."""
    value, rows = functions(p)
    equal = p.lower == p.upper
    seen: dict[str, Any] = {"x": None}

    def at(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if seen["x"] is None or not np.array_equal(seen["x"], x):
            seen["x"], seen["rows"] = x.copy(), rows(x)
        return seen["rows"]

    kinds = [("eq", equal, 1.0), ("ineq", ~equal & np.isfinite(p.upper), -1.0)]
    given = [
        {"type": kind, "fun": lambda x, w=which, s=sign: s * (at(x)[0] - p.upper)[w],
         "jac": lambda x, w=which, s=sign: s * at(x)[1][w]}
        for kind, which, sign in kinds if np.any(which)
    ]  # fmt: skip

    def solve(x: np.ndarray) -> np.ndarray:
        options = {"ftol": 1e-9, "maxiter": 300}
        return scipy.optimize.minimize(
            value, x, jac=True, bounds=p.box.T, constraints=given, method="SLSQP", options=options
        ).x

    return solve


def ipopt(p: Problem) -> Callable[[np.ndarray], np.ndarray] | None:
    """Through cyipopt, with the Hessian that it approximates; None where that is not installed."""
    try:
        import cyipopt
    except ImportError:
        return None
    value, rows = functions(p)

    class Functions:
        objective, gradient = staticmethod(lambda x: value(x)[0]), staticmethod(lambda x: value(x)[1])
        constraints, jacobian = staticmethod(lambda x: rows(x)[0]), staticmethod(lambda x: rows(x)[1].ravel())

    low, high = np.maximum(p.lower, -2e19), np.minimum(p.upper, 2e19)
    program = cyipopt.Problem(p.box.shape[1], len(low), Functions(), *p.box, low, high)
    for name, option in {"print_level": 0, "sb": "yes", "max_iter": 300, "tol": 1e-9,
                         "hessian_approximation": "limited-memory"}.items():  # fmt: skip
        program.add_option(name, option)
    return lambda x: program.solve(x)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--starts", type=int, default=2048, help="a power of two (default: 2,048)")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/constrained_local.json")
    options = parser.parse_args()
    told = []
    for p in PROBLEMS:
        mine = ours(p, options.starts)
        print(
            f"{p.name}: {mine['microseconds']:.0f} us a search, {mine['evaluations']:.0f} evaluations; at minima "
            f"{mine['minima']:.1%}, at the global one {mine['global']:.1%}, violation {mine['violation']:.0e}, "
            f"error {mine['error']:.0e}; first call {mine['first']:.1f} s",
            flush=True,
        )
        unit = jg.Sobol(options.starts).points(1, 0, options.starts, p.box.shape[1])
        starts, row = p.box[0] + (p.box[1] - p.box[0]) * unit, {"problem": p.name, "starts": options.starts, **mine}
        for name, solve in (("SLSQP", slsqp(p)), ("IPOPT", ipopt(p))):
            if solve is None:
                print(f"{p.name}: {name} is not installed")
                continue
            row[name] = other = peer(p, solve, starts)
            print(
                f"{p.name}: {name} {other['microseconds']:.0f} us a solve of {other['solves']}, "
                f"{other['microseconds'] / mine['microseconds']:.0f} times as long; feasible {other['feasible']:.0%}",
                flush=True,
            )
        told.append(row)
    if options.save:
        save("constrained_local", told)


if __name__ == "__main__":
    main()
