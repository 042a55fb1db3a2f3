"""The 24 functions of BBOB: the share solved to 1e-8 and its cost, for jaxglobal and ten other global optimizers.

    python benchmarks/bbob.py --dims 2 5 10 --instances 5 6 7                       # everything; may take hours
    python benchmarks/bbob.py --dims 2 --instances 5 6 7 --methods jaxglobal
    python benchmarks/bbob.py --dims 5 --instances 5 6 7 --methods peers --budget 1000
    python benchmarks/bbob.py --dims 2 5 10 --instances 5 6 7 --report              # the tables of what is there

An evaluation is a value with its gradient. With --budget b a run of jaxglobal may take b D evaluations, and every other
run the same cost, nfev + njev <= 2 b D: 2 b D values without gradients. One run serves all smaller budgets.
jaxglobal runs with default settings and the target; it may stop by itself before the budget, and then it counts as it
stands. The others are started anew until the budget is spent (peers.py says how).

A run ends at a value of 1e-8 (the minimum is 0), at the budget, or after --seconds (120). Results go to
benchmarks/results/bbob/<D>d_<method>.json after each run; runs that are there are skipped, runs that were cut at a
smaller budget are made again, --anew makes all anew. Parts can run side by side if they differ in method or dimension.

Functions: `bbobax`, checked by its authors against the code of N. Hansen, S. Finck, R. Ros and A. Auger, Real-parameter
black-box optimization benchmarking 2009: noiseless functions definitions, INRIA RR-6829. Instance i is
`problem.sample(jax.random.key(i))`.
"""

import argparse
import functools
import os
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices of a few rows: threads would only cost

import jax

jax.config.update("jax_enable_x64", True)

import bbobax
import jax.numpy as jnp
import numpy as np
import runtimes
from common import Ledger, cache_compilations, code
from counted import TARGETS, Counted
from peers import MOST_VARIABLES, PEERS, warm

import jaxglobal as jg

BOX = [(-5.0, 5.0)]
BATCH = 64  # points of one call, for optimizers that ask for a population


def sphere(x):
    return jnp.sum(x * x)


class Function:
    """One BBOB function in n variables. Its instances differ in arguments alone and share what is compiled."""

    def __init__(self, name: str, n: int):
        self._problem = bbobax.BBOB_PROBLEMS[name](num_dims=n)
        structure = jax.tree.structure(self._raw(0))

        def fun(x, *leaves):
            params = jax.tree.unflatten(structure, leaves)
            params = params.replace(key=jax.random.wrap_key_data(params.key))
            return self._problem.evaluate(params.key, x, params).fitness

        def pair(x, *leaves):
            f, g = jax.value_and_grad(fun)(x, *leaves)
            return jnp.append(g, f)

        self.n, self.fun = n, fun
        self._value, self._pair = jax.jit(fun), jax.jit(pair)
        self._batch = jax.jit(jax.vmap(fun, in_axes=(0, *[None] * structure.num_leaves)))

    def _raw(self, instance: int):
        params = self._problem.sample(jax.random.key(instance))
        return params.replace(key=jax.random.key_data(params.key))

    @functools.cache  # noqa: B019 - a function lives as long as the run
    def leaves(self, instance: int) -> tuple[jax.Array, ...]:
        """The instance as arguments of `fun`."""
        return tuple(jax.tree.leaves(self._raw(instance)))

    def counted(self, instance: int, budget: int, seconds: float) -> Counted:
        """The instance for the peers: NumPy in, NumPy out, compiled."""
        leaves = self.leaves(instance)

        def value(x):
            return float(self._value(x, *leaves))

        def value_and_grad(x):
            pair = np.asarray(self._pair(x, *leaves))
            return float(pair[-1]), np.array(pair[:-1])

        def values(xs):
            parts = []
            for first in range(0, len(xs), BATCH):
                part = np.resize(xs[first : first + BATCH], (BATCH, self.n))  # repeats points to fill the batch
                parts.append(np.asarray(self._batch(part, *leaves)))
            return np.concatenate(parts)[: len(xs)]

        x = np.zeros(self.n)
        value(x), value_and_grad(x), values(x[None])  # compiles, outside the timing
        return Counted(value, value_and_grad, values, budget, seconds)


def ours(function: Function, instance: int, factor: int, seconds: float) -> dict:
    """One run of jaxglobal with default settings. Its hits are known at the ends of levels, and exactly at the last.

    A run that compiled is made once more, so that what Python does at a first call is not charged to it either.
    """
    run = functools.partial(
        jg.minimize,
        function.fun,
        BOX * function.n,
        function.leaves(instance),
        max_evals=factor * function.n,
        max_time=seconds,
        target=float(TARGETS[-1]),
        seed=instance,
        progress=False,
    )
    result = run()
    compiling = result.compile_time
    if compiling > 0.05:
        result = run()
    hits, nfev, spent = [], 0, 0.0
    for level in result.levels:
        nfev, spent = nfev + level.nfev, spent + level.time
        reached = int(np.searchsorted(-TARGETS, -level.fun, side="right")) - 1
        if reached >= 0 and (not hits or reached > hits[-1][0]):
            hits.append((reached, nfev, nfev, round(spent, 5)))
    stopped = {"MAX_EVALS": "budget", "MAX_TIME": "time"}.get(result.status.name, "ended")
    if result.fun <= TARGETS[-1]:
        stopped = "target"
    return {
        "nfev": result.nfev, "njev": result.njev, "best": float(result.fun), "stopped": stopped,
        "seconds": round(result.time - result.compile_time, 5), "hits": hits, "status": result.status.name,
        "compile_seconds": round(compiling, 3), "code": code(),
    }  # fmt: skip


def theirs(method: str, function: Function, instance: int, factor: int, seconds: float) -> dict:
    """One run of another optimizer."""
    counted = function.counted(instance, 2 * factor * function.n, seconds)
    box = np.array(BOX * function.n)
    spent = counted.run(PEERS[method], box, instance)
    return {
        "nfev": counted.nfev, "njev": counted.njev, "best": counted.best, "stopped": counted.stopped,
        "seconds": round(spent, 5), "hits": counted.hits,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dims", type=int, nargs="+", default=[2, 3, 5, 10, 20])
    parser.add_argument("--instances", type=int, nargs="+", default=[5, 6, 7])
    parser.add_argument("--budget", type=int, default=10_000, help="evaluations a variable (default: 10000)")
    parser.add_argument("--methods", nargs="+", default=["jaxglobal", "peers"], help=f"jaxglobal, peers, {[*PEERS]}")
    parser.add_argument("--functions", nargs="+", default=[*bbobax.BBOB_PROBLEMS], metavar="NAME")
    parser.add_argument(
        "--seconds", type=float, default=120.0, help="time limit of a run, of the others' by the processor's clock"
    )
    parser.add_argument("--anew", action="store_true", help="drop the rows of these methods and dimensions first")
    parser.add_argument("--report", action="store_true", help="print the tables and run nothing")
    options = parser.parse_args()
    methods = [name for m in options.methods for name in (PEERS if m == "peers" else [m])]
    unknown = {*methods} - {"jaxglobal", *PEERS} | {*options.functions} - {*bbobax.BBOB_PROBLEMS}
    if unknown:
        parser.error(f"unknown: {sorted(unknown)}; functions are {[*bbobax.BBOB_PROBLEMS]}")
    cache_compilations()
    for n in options.dims if not options.report else []:
        fields = ("function", "instance")
        ledgers = {m: Ledger(f"bbob/{n}d_{m}", fields, options.anew) for m in methods if n <= MOST_VARIABLES.get(m, n)}
        warmed: set[str] = set()  # imported and compiled, so that no run is charged for it
        for name in options.functions:
            function = Function(name, n)
            began, made = time.perf_counter(), 0
            for method, ledger in ledgers.items():
                for instance in options.instances:
                    row = ledger.rows.get((name, instance))
                    if row and (row["stopped"] in ("target", "ended") or row["factor"] >= options.budget):
                        continue
                    run = ours if method == "jaxglobal" else functools.partial(theirs, method)
                    if method not in warmed:
                        if method in PEERS:
                            warm(method, n)
                        else:
                            jg.minimize(sphere, BOX * n, max_levels=3, progress=False)
                        warmed.add(method)
                    found = run(function, instance, options.budget, options.seconds)
                    ledger.add(function=name, instance=instance, factor=options.budget, **found)
                    made += 1
            print(f"{n}-D {name}: {made} runs in {time.perf_counter() - began:.0f} s", flush=True)
        jax.clear_caches()
    rows = [r for r in runtimes.read(options.dims) if r["instance"] in options.instances and r["method"] in methods]
    runtimes.report(rows, options.budget, list(bbobax.BBOB_PROBLEMS))


if __name__ == "__main__":
    main()
