"""Local searches a second, against the peers and against the floor.

    python benchmarks/local_search.py [--quick] [--only NAME]

Every method searches from the same 2^14 random starts in float64 (SciPy and the slow JAX ones from the first of them).
Where a method has a tolerance, the loosest of 1e-3, 1e-4, ... is taken whose median final gradient (in units of the
box, infinity norm) is at most twice that of jaxglobal; where none is, the tightest, marked with *. The floor is the
time of as many evaluations as jaxglobal made, by a bare batched `value_and_grad` in the same lanes on the same threads;
the two are timed in turn, and the ratio is the median of the pairs. Times are medians of warm calls; compilation is not
in them.
"""

import argparse
import functools
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import fit_problem, random_starts, save, seconds, timed

import jaxglobal as jg
from jaxglobal.engine import devices, fused, streams, sweep
from jaxglobal.evidence import minima
from jaxglobal.local import bfgs
from jaxglobal.problem import objective
from jaxglobal.problems import rastrigin, rosenbrock

STARTS = 2**14
TOLERANCES = [10.0**-k for k in range(3, 13)]
MOST_STEPS = 1000
PAIRS = 9  # of a search and its floor, timed in turn


def problems():
    """name, fun, bounds, args."""
    for n in (2, 10):
        for name, fun in (("rastrigin", rastrigin), ("rosenbrock", rosenbrock)):
            yield f"{name} {n}-D", fun, [(-4.0, 5.12)] * n, ()
    fun, bounds, args = fit_problem()
    yield "model fit 6-D", fun, bounds, tuple(map(jnp.asarray, args))


def gradients(fun, args, bounds, xs) -> np.ndarray:
    """Infinity norm of the gradient in units of the box, a variable at its bound left out, (N,)."""
    low, high = np.array(bounds).T
    g = np.asarray(jax.jit(jax.vmap(jax.grad(fun), in_axes=(0, *[None] * len(args))))(jnp.asarray(xs), *args))
    held = ((xs <= low) & (g > 0)) | ((xs >= high) & (g < 0))
    return np.max(np.where(held, 0, np.abs(g * (high - low))), axis=1)


def search_ends(fun, bounds, args, starts, options=None) -> tuple[np.ndarray, int]:
    """Where the local searches end, (N, n), and the number of lanes."""
    problem, points = objective.check(fun, bounds, args, starts, False, False)
    one, options = sweep.one_problem(problem), options or bfgs.BFGS()
    width = devices.choose_lanes(options.numbers(len(bounds)), starts.dtype, problem.closed.cost)
    engine = fused.engine(problem.closed, options.program, one, width, lambda: None)
    lanes, rules = streams.Streams([engine], one), options.rules(problem.structure.dtype, None)
    parts, dealt = [], 0
    while dealt < len(points) or lanes.busy:
        if dealt < len(points) and lanes.room:
            count = min(lanes.room, len(points) - dealt)
            lanes.deal(points[dealt : dealt + count], options.step(), dealt + np.arange(count))
            dealt += count
        parts.append(lanes.run(rules, dealt == len(points)))
    return minima.join(parts).x, engine.lanes


def floor(fun, args, starts, lanes, nfev) -> Callable[[], Any]:
    """A call that makes nfev evaluations by a bare batched value_and_grad, on all threads."""
    threads = devices.side_by_side()
    value_and_grad = jax.vmap(lambda x: jax.value_and_grad(fun)(x, *args), in_axes=-1, out_axes=(0, -1))
    ticks = max(nfev // (lanes * threads), 1)
    blocks = jnp.asarray(starts[: len(starts) // lanes * lanes].reshape(-1, lanes, starts.shape[1]).transpose(0, 2, 1))

    @jax.jit
    def run(blocks):
        def body(i, total):
            f, g = value_and_grad(blocks[i % len(blocks)])
            return total + jnp.sum(f) + jnp.sum(g)

        return jax.lax.fori_loop(0, ticks, body, 0.0)

    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(lambda _: jax.block_until_ready(run(blocks)), range(threads)))


def ours(fun, bounds, args, starts, lanes) -> tuple[float, float, Any]:
    """Seconds through the public API, their ratio to the floor, the Result."""
    search = functools.partial(
        jg.minimize, fun, bounds, args, x0=starts, max_starts=len(starts), max_levels=1, progress=False
    )
    result = search()
    bare = floor(fun, args, starts, lanes, result.nfev)
    bare()
    pairs = np.array([[timed(search), timed(bare)] for _ in range(PAIRS)])
    return float(np.median(pairs[:, 0])), float(np.median(pairs[:, 0] / pairs[:, 1])), result


def optimistix_bfgs(fun, args, tolerance):
    import optimistix as optx

    solver = optx.BFGS(rtol=tolerance, atol=tolerance)
    return lambda x: optx.minimise(lambda y, a: fun(y, *a), solver, x, args, max_steps=MOST_STEPS, throw=False).value


def optax_lbfgs(fun, args, tolerance):
    import optax

    def search(x):
        solver = optax.lbfgs()
        value = lambda y: fun(y, *args)  # noqa: E731
        value_and_grad = optax.value_and_grad_from_state(value)

        def step(carry):
            y, state, _ = carry
            f, g = value_and_grad(y, state=state)
            updates, state = solver.update(g, state, y, value=f, grad=g, value_fn=value)
            return optax.apply_updates(y, updates), state, jnp.max(jnp.abs(g))

        def goes_on(carry):
            _, state, size = carry
            return (state[0].count < MOST_STEPS) & (size > tolerance)

        return jax.lax.while_loop(goes_on, step, (x, solver.init(x), jnp.array(jnp.inf)))[0]

    return search


def jaxopt_bfgs(fun, args, tolerance):
    import jaxopt

    solver = jaxopt.BFGS(lambda y: fun(y, *args), tol=tolerance, maxiter=MOST_STEPS)
    return lambda x: solver.run(x).params


def jax_scipy_bfgs(fun, args, tolerance):
    from jax.scipy.optimize import minimize

    return lambda x: minimize(lambda y: fun(y, *args), x, method="BFGS", options={"gtol": tolerance}).x


# name -> (method, starts): the slow ones search from fewer starts.
PEERS = {
    "optimistix BFGS": (optimistix_bfgs, STARTS),
    "optax L-BFGS": (optax_lbfgs, 2**11),
    "jaxopt BFGS": (jaxopt_bfgs, 2**6),
    "jax.scipy BFGS": (jax_scipy_bfgs, 2**8),
}


def peer(method, fun, args, bounds, starts, gradient):
    """Microseconds a search, final median gradient, tolerance, and whether it ends as precisely as we do."""
    xs = jnp.asarray(starts)
    for tolerance in TOLERANCES:
        run = jax.jit(jax.vmap(method(fun, args, tolerance)))
        size = float(np.nanmedian(gradients(fun, args, bounds, np.asarray(run(xs)))))
        if size <= 2 * gradient:
            break
    return 1e6 * seconds(lambda: run(xs)) / len(starts), size, tolerance, size <= 2 * gradient


def scipy_loop(fun, args, bounds, starts):
    """SciPy's L-BFGS-B in a loop, with the jitted gradient."""
    from scipy.optimize import minimize

    value_and_grad = jax.jit(jax.value_and_grad(fun))

    def call(x):
        f, g = value_and_grad(x, *args)
        return float(f), np.asarray(g)

    call(starts[0])
    began = time.perf_counter()
    xs = [minimize(call, x, jac=True, bounds=bounds, method="L-BFGS-B", options={"gtol": 1e-8}).x for x in starts]
    return 1e6 * (time.perf_counter() - began) / len(starts), np.array(xs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="optimistix alone of the peers")
    parser.add_argument("--only", default="", help="problems whose name contains this")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    rows = []
    for name, fun, bounds, args in problems():
        if options.only not in name:
            continue
        starts = random_starts(bounds, STARTS)
        ends, lanes = search_ends(fun, bounds, args, starts)
        gradient = float(np.median(gradients(fun, args, bounds, ends)))
        taken, over_floor, result = ours(fun, bounds, args, starts, lanes)
        own = 1e6 * taken / STARTS
        print(
            f"{name}: jaxglobal {own:.2f} us a search ({lanes} lanes), {result.nfev / STARTS:.1f} evaluations, median "
            f"gradient {gradient:.1e}, lanes busy {100 * result.lane_efficiency:.1f} %, {over_floor:.2f} x the floor",
            flush=True,
        )
        rows.append(
            {"problem": name, "method": "jaxglobal", "us": own, "ratio": 1.0, "gradient": gradient, "lanes": lanes,
             "nfev": result.nfev, "busy": result.lane_efficiency, "floor": over_floor}
        )  # fmt: skip
        for method, (make, count) in PEERS.items():
            if options.quick and method != "optimistix BFGS":
                continue
            count = min(count // 8, 2**7) if "fit" in name else count  # a peer's batch waits for its slowest search
            us, size, tolerance, equal = peer(make, fun, args, bounds, starts[:count], gradient)
            mark = "" if equal else "*"
            print(
                f"    {method}: {us:.1f} us, {us / own:.1f} x, gradient {size:.1e}{mark} at {tolerance:.0e}", flush=True
            )
            rows.append({"problem": name, "method": method, "us": us, "ratio": us / own, "gradient": size,
                         "tolerance": tolerance, "equal": equal})  # fmt: skip
        if not options.only:
            save("local_search_quick" if options.quick else "local_search", rows, starts=STARTS)
        if not options.quick:
            us, xs = scipy_loop(fun, args, bounds, starts[:64])
            size = float(np.median(gradients(fun, args, bounds, xs)))
            print(f"    SciPy L-BFGS-B: {us:.0f} us, {us / own:.0f} x, gradient {size:.1e}", flush=True)
            rows.append({"problem": name, "method": "SciPy L-BFGS-B", "us": us, "ratio": us / own, "gradient": size})
    if not options.only:
        save("local_search_quick" if options.quick else "local_search", rows, starts=STARTS)


if __name__ == "__main__":
    main()
