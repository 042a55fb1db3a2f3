"""Hard families of functions: how many of their members `argmin` solves, and `minimize` at the same evaluations.

    python benchmarks/families.py [--variables 5] [--levels 3] [--seed 0] [--plain]
    python benchmarks/families.py --many 200 [--variables 3] [--seed 0]

Six functions, each 16 times with its minimum elsewhere in the box [-5.12, 5.12]^n (one of them turned too): solved is
what comes within 1e-4 of its value, which is 0. `argmin` has all members of a family in one call; `minimize` has them
one after the other, each with as many evaluations as `argmin` took in the mean. With --plain, `argmin` searches from
the cover alone. Results go to benchmarks/results/families.json.

With --many, `minimize_many` has so many members of each family, and of a sphere, in a call: by default, and from plain
levels, each for at most `SECONDS` (then it says no success). Wrong is what says success and is not solved. Compilation
is not counted. Results go to benchmarks/results/families_many.json.
"""

import argparse
import functools
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save

import jaxglobal as jg

MEMBERS = 16
SOLVED = 1e-4
SECONDS = 60.0


def rastrigin(z):
    return jnp.sum(z**2 + 10 * (1 - jnp.cos(2 * jnp.pi * z)))


def ackley(z):
    z = 3 * z
    root = jnp.sqrt(jnp.mean(z**2) + 1e-30)
    return 20 * (1 - jnp.exp(-0.2 * root)) + jnp.e - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * z)))


def levy(z):
    w = 1 + z / 4
    ends = jnp.sin(jnp.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + jnp.sin(2 * jnp.pi * w[-1]) ** 2)
    return ends + jnp.sum((w[:-1] - 1) ** 2 * (1 + 10 * jnp.sin(jnp.pi * w[:-1] + 1) ** 2))


def griewank(z):
    z = 20 * z
    return jnp.sum(z**2) / 4000 - jnp.prod(jnp.cos(z / jnp.sqrt(jnp.arange(1, len(z) + 1)))) + 1


def salomon(z):
    r = jnp.sqrt(jnp.sum((4 * z) ** 2) + 1e-30)
    return 1 - jnp.cos(2 * jnp.pi * r) + 0.1 * r


def shifted(fun):
    return lambda x, centre, turned: fun(x - centre)


FAMILIES = {
    "rastrigin, turned": lambda x, centre, turned: rastrigin(turned @ (x - centre)),
    "rastrigin": shifted(rastrigin),
    "ackley": shifted(ackley),
    "levy": shifted(levy),
    "griewank": shifted(griewank),
    "salomon": shifted(salomon),
}


def in_one_call(n: int, count: int, rng: np.random.Generator, seed: int) -> None:
    """`minimize_many` of so many members of each family, with starts that learn and with plain ones."""
    turned = np.stack([np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(count)])
    centres, box, rows = rng.uniform(-2, 2, (count, n)), [(-5.12, 5.12)] * n, []
    print(f"{'':>18}{'starts':>12}{'solved':>8}{'success':>9}{'wrong':>7}{'evaluations':>13}{'ms a problem':>14}")
    for name, fun in {"sphere": shifted(lambda z: jnp.sum(z**2)), **FAMILIES}.items():
        for kind, starts in {"by default": "auto", "plain": jg.Grid() if n <= 5 else jg.Sobol()}.items():
            call = functools.partial(jg.minimize_many, fun, box, (centres, turned), starts=starts, progress=False)
            call(max_levels=1)
            began = time.perf_counter()
            found = call(max_time=SECONDS)
            each, solved = 1e3 * (time.perf_counter() - began) / count, found.fun < SOLVED
            success, nfev = np.asarray(found.success), float(np.mean(found.nfev))
            wrong = int(np.sum(success & ~solved))
            row = {"solved": int(np.sum(solved)), "success": int(np.sum(success)), "wrong": wrong}
            row |= {"nfev": nfev, "ms": each}
            rows.append({"family": name, "starts": kind, **row})
            print("{:>18}{:>12}{:>8}{:>9}{:>7}{:>13,.0f}{:>14.1f}".format(name, kind, *row.values()), flush=True)
    save("families_many", rows, variables=n, problems=count, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variables", type=int, default=5)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--many", type=int)
    options = parser.parse_args()
    n, rng = options.variables, np.random.default_rng(options.seed)
    if options.many:
        return in_one_call(n, options.many, rng, options.seed)
    turned = np.stack([np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(MEMBERS)])
    centres, box = rng.uniform(-2, 2, (MEMBERS, n)), [(-5.12, 5.12)] * n
    starts = (jg.Grid() if n <= 5 else jg.Sobol()) if options.plain else "auto"
    rows = []
    print(f"{'':>18}{'argmin':>8}{'minimize':>10}{'evaluations':>13}{'seconds':>9}")
    for name, fun in FAMILIES.items():
        lowest = jax.jit(
            jax.vmap(lambda c, q, fun=fun: jg.argmin(fun, box, (c, q), options.levels, starts=starts))
        ).lower(centres, turned).compile()  # fmt: skip
        began = time.perf_counter()
        best = jax.block_until_ready(lowest(centres, turned))
        seconds = time.perf_counter() - began
        nfev = int(np.mean(best.nfev))
        loop = [
            jg.minimize(fun, box, case, max_evals=nfev, same=10**6, progress=False).fun < SOLVED
            for case in zip(centres, turned, strict=True)
        ]
        row = {"argmin": int(np.sum(best.fun < SOLVED)), "minimize": sum(loop), "nfev": nfev, "seconds": seconds}
        rows.append({"family": name, **row})
        print("{:>18}{:>8}{:>10}{:>13,}{:>9.2f}".format(name, *row.values()), flush=True)
    print("{:>18}{:>8}{:>10}".format("in all", *(sum(row[k] for row in rows) for k in ("argmin", "minimize"))))
    save("families" + "_plain" * options.plain, rows, variables=n, levels=options.levels, seed=options.seed)


if __name__ == "__main__":
    main()
