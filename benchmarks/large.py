"""Many variables: BFGS against L-BFGS, the direction against optax, and the memory of 10^5 variables.

    python benchmarks/large.py [--part crossover|direction|memory] [--most N]

crossover: the same starts in n variables by both methods, timed in turn; the time is that of the processor, all threads
together, of whole calls whose program is compiled, and a ratio the median of the pairs. Both end by the same rules;
the gradient at the end (median over the searches, infinity norm, units of the box) says how precisely. direction: one
update of the pairs and one product with the gradient, in lanes, against `optax.scale_by_lbfgs` under `vmap` with lanes
last and with lanes first. memory: each number of variables in a process of its own.
"""

import argparse
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import random_starts, save
from local_search import gradients, search_ends

import jaxglobal as jg
from jaxglobal.engine import sweep
from jaxglobal.local import quasi_newton
from jaxglobal.local.lbfgs import Pairs

HERE = pathlib.Path(__file__).parent
SEARCHES = 32
PAIRS = 3  # of calls, timed in turn


def separable(x):
    """Scales from 1 to 10^4, not quadratic."""
    scale = 10.0 ** jnp.linspace(0, 4, x.size)
    return jnp.sum(scale * ((x - 0.3) ** 2 + 0.1 * (x - 0.3) ** 4))


def chain(x):
    """Neighbours pull at each other; not quadratic."""
    return jnp.sum(jnp.cosh(x[1:] - 0.9 * x[:-1] - 0.05) - 1) + jnp.sum((x - 0.2) ** 4)


FUNCTIONS = {
    "separable": (separable, (-1.0, 1.5)),
    "chain": (chain, (-1.0, 1.5)),
    "rosenbrock": (jg.problems.rosenbrock, (-2.0, 2.5)),
}


def processor_seconds(run: Callable[[], Any]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def crossover(most: int) -> list[dict[str, Any]]:
    rows = []
    for n in (n for n in (10, 20, 30, 50, 65, 80, 120, 200) if n <= most):
        for name, (fun, bound) in FUNCTIONS.items():
            bounds = [bound] * n
            starts = random_starts(bounds, SEARCHES)
            methods = {"BFGS": jg.BFGS(max_nfev=15_000), "L-BFGS": jg.LBFGS()}

            def run(local, fun=fun, bounds=bounds, starts=starts):
                one = {"max_starts": len(starts), "max_levels": 1, "progress": False}
                return jg.minimize(fun, bounds, x0=starts, local=local, **one)

            results = {method: run(local) for method, local in methods.items()}
            times = np.array([[processor_seconds(lambda m=m: run(m)) for m in methods.values()] for _ in range(PAIRS)])
            ratio = float(np.median(times[:, 0] / times[:, 1]))
            for (method, result), taken in zip(results.items(), np.median(times, axis=0), strict=True):
                ends, _ = search_ends(fun, bounds, (), starts, methods[method])
                size = float(np.median(gradients(fun, (), bounds, ends)))
                level = result.levels[0]
                statuses = {status.name: count for status, count in level.statuses.items()}
                rows.append({"function": name, "n": n, "method": method, "us": 1e6 * taken / SEARCHES, "ratio": ratio,
                             "nfev": level.nfev / SEARCHES, "gradient": size, "statuses": statuses,
                             "bytes_a_lane": 8 * methods[method].numbers(n)})  # fmt: skip
            a, b = rows[-2:]
            print(
                f"{name} {n}-D: BFGS {a['us']:.0f} us, {a['nfev']:.0f} evaluations, gradient {a['gradient']:.0e}; "
                f"L-BFGS {b['us']:.0f} us, {b['nfev']:.0f}, {b['gradient']:.0e}; BFGS takes {ratio:.2f} x the time and "
                f"{a['bytes_a_lane'] / b['bytes_a_lane']:.2g} x the memory",
                flush=True,
            )  # fmt: skip
    return rows


def rounds(turn: Callable[[Any], Any], carry: Any) -> float:
    """Microseconds of the processor for one turn among a hundred in a row, the median of five."""
    run = jax.jit(lambda carry: jax.lax.fori_loop(0, 100, lambda _, carry: turn(carry), carry))
    jax.block_until_ready(run(carry))
    return 1e4 * float(np.median([processor_seconds(lambda: jax.block_until_ready(run(carry))) for _ in range(5)]))


def own_turn(n: int, lanes: int, m: int) -> float:
    s, q = (jax.random.normal(jax.random.key(seed), (n, lanes)) for seed in (0, 1))
    number = jnp.ones((1, lanes))
    pairs, pair = Pairs(m), quasi_newton.Pair(s, 2 * s, number > 0, number < 0, number, number)
    once = sweep.evaluator(jax.default_backend(), jnp.array(True))
    return rounds(lambda carry: pairs.turn(carry[0], pair, q + 1e-9 * carry[1], lambda p: p, once), (pairs.begin(s), q))


def optax_turn(n: int, lanes: int, m: int, axis: int) -> float:
    import optax

    q = jax.random.normal(jax.random.key(1), (n, lanes))
    q = q if axis else q.T
    transformation = optax.scale_by_lbfgs(m)
    update = jax.vmap(transformation.update, in_axes=axis, out_axes=axis)

    def turn(carry):
        p, state = update(q + 1e-9 * carry[1], carry[0], carry[1])
        return state, p

    return rounds(turn, (jax.vmap(transformation.init, in_axes=axis, out_axes=axis)(q), q))


def direction() -> list[dict[str, Any]]:
    rows = []
    for n, lanes in ((100, 16), (1000, 16), (10_000, 1), (100_000, 1)):
        own, last, first = own_turn(n, lanes, 10), optax_turn(n, lanes, 10, -1), optax_turn(n, lanes, 10, 0)
        rows.append({"n": n, "lanes": lanes, "us": own, "optax_last_us": last, "optax_first_us": first})
        print(f"{n}-D, {lanes} lanes: {own:.0f} us a direction; optax takes {last / own:.1f} x that with lanes last, "
              f"{first / own:.1f} x with lanes first", flush=True)  # fmt: skip
    return rows


MEMORY = """
import pathlib, sys, time
import jax
jax.config.update("jax_enable_x64", True)
from large import chain
import jaxglobal as jg
n = int(sys.argv[1])
began = time.perf_counter()
result = jg.minimize(chain, [(-1.0, 1.5)] * n, max_starts=4, max_levels=2, progress=False)
taken = time.perf_counter() - began
peak = int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20
print(taken, peak, result.fun, result.nfev, result.compile_time)
"""


def memory(most: int) -> list[dict[str, Any]]:
    rows = []
    for n in (n for n in (1000, 10_000, 100_000) if n <= most):
        call = [sys.executable, "-c", MEMORY, str(n)]
        out = subprocess.run(call, capture_output=True, text=True, check=True, cwd=HERE).stdout
        taken, peak, fun, nfev, compiling = map(float, out.split())
        rows.append(
            {"n": n, "seconds": taken, "peak_gib": peak, "fun": fun, "nfev": nfev, "compile_seconds": compiling}
        )
        print(f"{n} variables: 4 searches in {taken:.1f} s, {nfev:.0f} evaluations, fun {fun:.1e}, peak {peak:.2f} GiB",
              flush=True)  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", default="", choices=["", "crossover", "direction", "memory"])
    parser.add_argument("--most", type=int, default=100_000, help="variables")
    options = parser.parse_args()
    parts = {"crossover": lambda: crossover(options.most), "direction": direction,
             "memory": lambda: memory(options.most)}  # fmt: skip
    for name, part in parts.items():
        if options.part in ("", name):
            save(f"large_{name}", part(), searches=SEARCHES)


if __name__ == "__main__":
    main()
