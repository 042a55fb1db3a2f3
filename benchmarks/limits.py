"""Single promises, each measured: a dear model, a cold start, memory, a time limit, busy lanes, traces.

python benchmarks/limits.py
"""

import subprocess
import sys
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import random_starts, save, seconds

import jaxglobal as jg
from jaxglobal.problems import rastrigin

COLD = """
import time
began = time.perf_counter()
import jax
jax.config.update("jax_enable_x64", True)
import jaxglobal as jg
result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, progress=False)
print(time.perf_counter() - began)
"""
MEMORY = """
import resource, time
import jax
jax.config.update("jax_enable_x64", True)
import jaxglobal as jg
search = jg.levels(jg.problems.rastrigin, [(-4, 5.12)] * 2, starts=jg.Grid(), same=100, max_levels=13, progress=False)
for level in search:
    pass
assert level.nstarts == 2**24
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, level.time)
"""


def fresh(code: str) -> list[float]:
    """The numbers that a fresh interpreter prints."""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in out.stdout.split()]


def dear_model():
    """A fit of two parameters to many points: about 5 ms for a value with its gradient."""
    times = jnp.linspace(0.0, 5.0, 200_000)
    data = jnp.exp(-0.7 * times) * jnp.cos(3.1 * times)

    def fun(x, t, y):
        return jnp.mean((jnp.exp(-x[0] * t) * jnp.cos(x[1] * t) - y) ** 2)

    return fun, [(0.0, 2.0), (0.0, 6.0)], (times, data)


def against_one_after_another() -> dict[str, float]:
    """Levels 0 and 1 of a dear model, against a jitted optimistix.BFGS from the same starts, one after another."""
    import optimistix as optx

    fun, bounds, args = dear_model()
    value_and_grad = jax.jit(jax.value_and_grad(fun))
    one = seconds(lambda: value_and_grad(jnp.array([0.9, 2.0]), *args), 9)
    low, high = np.array(bounds).T
    points = [low + (high - low) * jg.Grid().points(level, 0, 4**level, 2) for level in (0, 1)]
    starts = [jnp.asarray(x) for x in np.concatenate(points)]
    solver = optx.BFGS(rtol=1e-6, atol=1e-6)
    theirs = jax.jit(
        lambda x: optx.minimise(lambda y, a: fun(y, *a), solver, x, args, max_steps=1000, throw=False).value
    )

    def loop():
        return [jax.block_until_ready(theirs(x)) for x in starts]

    def search():
        return jg.minimize(fun, bounds, args, max_levels=2, progress=False)

    ours_seconds, loop_seconds = [], []
    search(), loop()
    for _ in range(5):
        began = time.perf_counter()
        result = search()
        ours_seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
        loop()
        loop_seconds.append(time.perf_counter() - began)
    a, b = float(np.median(ours_seconds)), float(np.median(loop_seconds))
    return {"evaluation_ms": 1e3 * one, "jaxglobal_s": a, "optimistix_s": b, "ratio": a / b, "nfev": result.nfev}


def time_limit() -> float:
    """Seconds that a call with max_time=1.0 takes on a problem that would take minutes."""
    options = {"same": 100, "progress": False}
    jg.minimize(rastrigin, [(-4, 5.12)] * 2, max_levels=1, **options)
    began = time.perf_counter()
    result = jg.minimize(rastrigin, [(-4, 5.12)] * 2, max_time=1.0, **options)
    taken = time.perf_counter() - began
    assert result.status is jg.Status.MAX_TIME and result.fun < 1e-6
    return taken


def busy() -> float:
    """Share of the evaluations of a level of 65,536 starts that were spent on a search."""
    starts = random_starts([(-4, 5.12)] * 2, 2**16)
    return jg.minimize(
        rastrigin, [(-4, 5.12)] * 2, x0=starts, max_starts=2**16, max_levels=1, progress=False
    ).lane_efficiency


def traces() -> tuple[int, int]:
    """Traces of the objective: all levels of a search, and a second one with other args, bounds and tolerances."""
    count = []

    def fun(x, a):
        count.append(1)
        return rastrigin(x - a)

    jg.minimize(fun, [(-4, 5.12)] * 2, (0.1,), progress=False)
    first = len(count)
    jg.minimize(fun, [(-3, 4)] * 2, (0.3,), fatol=1e-6, frtol=1e-5, max_levels=3, progress=False)
    return first, len(count) - first


def main() -> None:
    rows = []

    def report(name, promise, figure, text):
        print(f"{name}: {text} (promised: {promise})", flush=True)
        rows.append({"name": name, "promise": promise, "figure": figure, "text": text})

    model = against_one_after_another()
    text = (
        "{ratio:.2f} x the loop ({jaxglobal_s:.2f} s, {optimistix_s:.2f} s; an evaluation takes {evaluation_ms:.1f} ms)"
    )
    report("dear model, levels 0 and 1", "1.3 x", model["ratio"], text.format(**model))
    cold = sorted(fresh(COLD)[0] for _ in range(3))[1]
    report("import to answer, cold", "4 s", cold, f"{cold:.2f} s")
    taken = time_limit()
    report("max_time=1.0", "1.3 s", taken, f"{taken:.2f} s")
    share = busy()
    report("lanes busy, 65,536 starts", "95 %", share, f"{100 * share:.1f} %")
    first, second = traces()
    report("traces of the objective", "3, then 0", [first, second], f"{first}, then {second}")
    gigabytes, level = fresh(MEMORY)
    report("16.7 million starts in 2-D", "1 GB", gigabytes, f"{gigabytes:.2f} GB at the peak, {level:.0f} s")
    save("limits", rows)


if __name__ == "__main__":
    main()
