"""Functions that somebody else evaluates, `Search` and `host`, against `minimize`: what they find and what it takes.

    python benchmarks/told.py [--names NAME ...]

Functions with many minima and with one, without constraints and with, from the box alone. Of a simulator, whose
differences take two calls a variable, the calls are counted; of `Search` the points that were told. Printed for each:
the value above the best known one, evaluations (points told, calls), and whether it was said to be the minimum; and at
the end how many were. Results go to benchmarks/results/told.json.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save

import jaxglobal as jg

PI, NONE = np.pi, np.inf


def rastrigin(x):
    return 10 * len(x) + jnp.sum((x - 0.7) ** 2 - 10 * jnp.cos(2 * PI * (x - 0.7)))


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def ackley(x):
    y = x - 0.7
    waves = jnp.exp(jnp.mean(jnp.cos(2 * PI * y)))
    return -20 * jnp.exp(-0.2 * jnp.sqrt(jnp.mean(y**2) + 1e-300)) - waves + 20 + jnp.e


def schwefel(x):
    return 418.9828872724339 * len(x) - jnp.sum(x * jnp.sin(jnp.sqrt(jnp.abs(x))))


def g08(x):
    return -(jnp.sin(2 * PI * x[0]) ** 3) * jnp.sin(2 * PI * x[1]) / (x[0] ** 3 * (x[0] + x[1]))


def g24_rows(x):
    a, b = x
    return jnp.stack(
        [-2 * a**4 + 8 * a**3 - 8 * a**2 + b - 2, -4 * a**4 + 32 * a**3 - 88 * a**2 + 96 * a + b - 36]
    )  # fmt: skip


# name: function, box, rows, their lower and upper bounds, the minimum
PROBLEMS = {
    "one basin, 2-D": (lambda x: jnp.sum((x - 0.3) ** 2), [(-4, 5.12)] * 2, None, 0.0),
    "Rosenbrock, 2-D": (rosenbrock, [(-2, 3)] * 2, None, 0.0),
    "Rosenbrock, 5-D": (rosenbrock, [(-2, 3)] * 5, None, 0.0),
    "Rastrigin, 2-D": (rastrigin, [(-4, 5.12)] * 2, None, 0.0),
    "Rastrigin, 5-D": (rastrigin, [(-4, 5.12)] * 5, None, 0.0),
    "Ackley, 5-D": (ackley, [(-10, 12)] * 5, None, 0.0),
    "Schwefel, 3-D": (schwefel, [(-500, 500)] * 3, None, 0.0),
    "sum on a disc": (jnp.sum, [(-2, 2)] * 2, (lambda x: (x @ x)[None], [-NONE], [1]), -(2**0.5)),
    "point to sphere": (
        lambda x: jnp.sum((x - jnp.array([0.3, 0.5, -0.2])) ** 2), [(-2, 2)] * 3,
        (lambda x: (x @ x)[None], [1], [1]), (1 - 0.38**0.5) ** 2,
    ),
    "endless slope": (
        lambda x: -x[1], [(0, 1), (-1, 1)], (lambda x: (x[0] ** 0.3 + x[1])[None], [-NONE], [0.5]), -0.5,
    ),
    "g06": (
        lambda x: (x[0] - 10) ** 3 + (x[1] - 20) ** 3, [(13, 100), (0, 100)],
        (lambda x: jnp.sum((x - jnp.array([[5, 5], [6, 5]])) ** 2, axis=1), [100, -NONE], [NONE, 82.81]),
        -6961.81387558,
    ),
    "g08": (
        g08, [(0.1, 10)] * 2,
        (lambda x: jnp.stack([x[0] ** 2 - x[1] + 1, 1 - x[0] + (x[1] - 4) ** 2]), [-NONE] * 2, [0, 0]),
        -0.0958250414180359,
    ),
    "g11": (
        lambda x: x[0] ** 2 + (x[1] - 1) ** 2, [(-1, 1)] * 2, (lambda x: (x[1] - x[0] ** 2)[None], [0], [0]), 0.75,
    ),
    "g24": (lambda x: -jnp.sum(x), [(0, 3), (0, 4)], (g24_rows, [-NONE] * 2, [0, 0]), -5.50801327159536),
    "Rosenbrock in a ball": (rosenbrock, [(-3, 3)] * 4, (lambda x: (x @ x)[None], [-NONE], [4.5]), 0.0),
}  # fmt: skip


def by_search(fun, box, constraints, rows):
    """What `Search` finds, and the points told."""
    both = jax.jit(lambda x: (fun(x), jax.grad(fun)(x), rows(x), jax.jacfwd(rows)(x)))
    search, told = jg.Search(box, constraints=constraints), 0
    while len(points := search.ask(16)):
        f, g, c, J = (np.array(part) for part in zip(*map(both, points.x), strict=True))
        told += len(points)
        more = {} if constraints is None else {"constraints": c, "jacobian": J}
        search.tell(f, g, points.ids, **more)
    return search.result(), told


def by_host(fun, box, constraints, rows):
    """What `minimize` finds of a simulator, and the calls."""
    both = jax.jit(lambda x: (fun(x), rows(x)))

    def simulate(x):
        f, c = both(x)
        return float(f) if constraints is None else (float(f), np.asarray(c))

    result = jg.minimize(jg.host(simulate), box, constraints=constraints, progress=False)
    return result, result.calls.made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", choices=PROBLEMS, default=list(PROBLEMS))
    options = parser.parse_args()
    rows, solved = [], np.zeros(3, int)
    print(f"{'':22}" + "".join(f"{name:>28}" for name in ("minimize", "Search", "host")))
    for name in options.names:
        fun, box, given, best = PROBLEMS[name]
        of, lower, upper = given or (lambda x: jnp.zeros(0), [], [])
        sides = np.array(lower, float), np.array(upper, float)
        known, told = (None if given is None else jg.Constraint(f, *sides) for f in (of, None))
        own = jg.minimize(fun, box, constraints=known, progress=False)
        results = [(own, own.nfev), by_search(fun, box, told, of), by_host(fun, box, told, of)]
        solved += [result.success and abs(result.fun - best) <= 1e-6 * (1 + abs(best)) for result, _ in results]
        cells = [
            f"{result.fun - best:12.1e}{count:10,}{' yes' if result.success else '  no'}" for result, count in results
        ]
        print(f"{name:22}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
        kinds = zip(("minimize", "Search", "host"), results, strict=True)
        rows += [
            {"problem": name, "by": kind, "above": float(result.fun - best), "count": count, "success": result.success}
            for kind, (result, count) in kinds
        ]  # fmt: skip
    print("solved:", *solved, "of", len(options.names))
    save("told", rows)


if __name__ == "__main__":
    main()
