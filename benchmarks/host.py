"""Functions that are not JAX, ask and tell, event loops and checkpoints: the figures that are promised.

    python benchmarks/host.py [--quick]

1. An objective that sleeps 20 ms, 2-D Himmelblau, differences, levels 0 to 3: 8 processes against this thread alone.
2. What `host` and `Search` add to a function that costs nothing, at 256 lanes; its own time is taken off.
3. An `aminimize` that would run for minutes: from `cancel` until it has stopped; how late a ticker is beside two.
4. What is found through threads, a Dask cluster and a vectorized function.
5. kill -9 at random moments until done, on three problems: whether the results agree bit for bit, how many evaluations
   were made again.
"""

import argparse
import asyncio
import concurrent.futures as futures
import pathlib
import subprocess
import sys
import tempfile
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save

import jaxglobal as jg

BOX = [(-5.0, 5.0)] * 2


def himmelblau(x) -> float:
    return float((x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2)


def gradient(x):
    a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    return np.array([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b])


def sleepy(x) -> float:
    time.sleep(0.02)
    return himmelblau(x)


def report(what: str, value: float, promised: float, unit: str, **more) -> dict:
    print(f"{what}: {value:.4g} {unit} (promised: {promised:g}) {more or ''}", flush=True)
    return {"what": what, "value": value, "promised": promised, "unit": unit, **more}


def workers(levels: int) -> dict:
    def run(host):
        began = time.perf_counter()
        result = jg.minimize(host, BOX, max_levels=levels, progress=False)
        return time.perf_counter() - began, result

    with jg.host(sleepy, workers=8) as eight:
        jg.minimize(eight, BOX, max_levels=2, progress=False)  # the processes have started
        several, found = run(eight)
    run(jg.host(himmelblau))
    alone, plain = run(jg.host(sleepy, workers=1))
    same = abs(found.fun - plain.fun) < 1e-8 and len(found.minima) == len(plain.minima)
    return report("8 workers against 1", alone / several, 5, "x", seconds=several, alone=alone, same=bool(same))


def himmelblaus(points):
    return np.array([himmelblau(x) for x in points])


def everywhere() -> list[dict]:
    """The value found through threads, a Dask cluster and a vectorized function."""
    import distributed

    def solve(host):
        return jg.minimize(host, BOX, max_levels=3, progress=False)

    with futures.ThreadPoolExecutor(8) as threads:
        rows = [report("found by threads", solve(jg.host(himmelblau, executor=threads)).fun, 1e-6, "")]
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            dask = solve(jg.host(himmelblau, executor=client.get_executor()))
    rows.append(report("found by a Dask cluster", dask.fun, 1e-6, ""))
    rows.append(report("found by a vectorized function", solve(jg.host(himmelblaus, vectorized=True)).fun, 1e-6, ""))
    return rows


def overheads() -> list[dict]:
    options = dict(max_levels=6, same=50, lanes=256)
    own = time.perf_counter()
    for _ in range(10_000):
        himmelblau(np.ones(2)), gradient(np.ones(2))
    own = 1e2 * (time.perf_counter() - own)  # microseconds a point

    def batches(k):
        search, points = jg.Search(BOX, **options), 0
        began = time.perf_counter()
        while len(asked := search.ask(k)):
            values = [himmelblau(x) for x in asked.x]
            search.tell(values, np.array([gradient(x) for x in asked.x]), asked.ids)
            points += len(asked)
        return 1e6 * (time.perf_counter() - began) / points - own

    def hosted():
        began = time.perf_counter()
        result = jg.minimize(jg.host(himmelblau, jac=gradient), BOX, progress=False, **options)
        return 1e6 * (time.perf_counter() - began) / result.nfev - own

    hosted()
    return [
        report("host, a point", float(np.median([hosted() for _ in range(3)])), 100, "us"),
        report("Search, a point of 256", float(np.median([batches(256) for _ in range(3)])), 100, "us"),
        report("Search, points one by one", float(np.median([batches(1) for _ in range(3)])), 100, "us"),
    ]


def rastrigin(x):
    return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))


async def event_loop() -> list[dict]:
    options = dict(same=100, max_time=600, progress=False)
    await jg.aminimize(rastrigin, BOX, max_levels=1, progress=False)
    search = jg.alevels(rastrigin, BOX, **options)

    async def consume():
        async for _ in search:
            pass

    task = asyncio.create_task(consume())
    await asyncio.sleep(2)
    began = time.perf_counter()
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert search.result.status is jg.Status.CANCELLED  # waits for the chunk under way
    cancelled = time.perf_counter() - began
    late = []

    async def ticker():
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.01)
            late.append(time.perf_counter() - began - 0.01)

    watch = asyncio.create_task(ticker())
    options["max_time"] = 5
    await asyncio.gather(
        jg.aminimize(rastrigin, BOX, **options), jg.aminimize(lambda x: jnp.sum(jnp.cosh(x)), BOX, **options)
    )
    watch.cancel()
    return [
        report("cancelled", cancelled, 0.3, "s"),
        report(
            "the latest tick beside two searches, a compilation among them", 1e3 * max(late), 50, "ms", ticks=len(late)
        ),
    ]


KILLED = """
import jax; jax.config.update("jax_enable_x64", True)
import sys, jaxglobal as jg
problem = getattr(jg.problems, sys.argv[1])
result = jg.minimize(problem, [(-15, 3)] * 2, max_levels=9, same=50, progress=False, checkpoint=sys.argv[2])
print(result.nfev, result.nstarts, result.fun.hex(), [float(v).hex() for v in result.x],
      [(m.fun.hex(), m.count) for m in result.minima])
"""


def killed(times: int) -> list[dict]:
    rows, rng = [], np.random.default_rng(0)
    for problem in ("bukin6", "schaffer2", "rastrigin"):
        with tempfile.TemporaryDirectory() as folder:

            def start(name, problem=problem, folder=folder):
                path = str(pathlib.Path(folder) / name)
                return subprocess.Popen(
                    [sys.executable, "-c", KILLED, problem, path], stdout=subprocess.PIPE, text=True
                )

            began = time.perf_counter()
            plain, _ = start("plain.npz").communicate()
            taken = time.perf_counter() - began
            same = kills = 0
            for trial in range(times):
                while True:
                    process = start(f"{trial}.npz")
                    try:
                        out, _ = process.communicate(timeout=taken * rng.uniform(0.2, 1.1))
                        break
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.communicate()
                        kills += 1
                same += out == plain
        rows.append(report(f"kill -9, {problem}: equal results of {times}", same, times, "", kills=kills))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer levels and kills")
    quick = parser.parse_args().quick
    rows = [
        workers(3 if quick else 4),
        *everywhere(),
        *overheads(),
        *asyncio.run(event_loop()),
        *killed(2 if quick else 20),
    ]
    if not quick:
        save("host", rows)


if __name__ == "__main__":
    main()
