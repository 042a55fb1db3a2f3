"""Every core, every device: what they gain, and what a search costs in time and memory.

    python benchmarks/scaling.py [cores] [uneven] [memory] [dispatch] [model] [--quick]

cores     one thread against all of them: a level of 65,536 starts of 2-D and 10-D Rastrigin and of the model fit.
uneven    one half of the box takes ten times the evaluations: how long each of two streams is at work.
memory    10^7 starts in 2-D, and 10^5 variables with `jaxglobal.LBFGS`: peak memory against the estimate.
dispatch  one program a device, side by side, against one program for all devices by shard_map.
model     time = starts x evaluations / rate + tail, from two small runs, against runs of 10^2 to 10^7 starts.

Without a name all of them are run. Each saves benchmarks/results/scaling_<name>.json.
"""

import dataclasses
import functools
import json
import resource
import statistics
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from again import last_lines, main, start
from common import fit_problem, random_starts, timed

import jaxglobal as jg
from jaxglobal.engine import devices, fused, opening, streams, sweep
from jaxglobal.local import bfgs
from jaxglobal.problem import objective

PAIRS = 5
STARTS = 65_536
BOX = [(-4.0, 5.12)]
VARIABLES = 100_000
MEMORY_STARTS = 10_000_000


def rastrigin(x):
    return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))


def cores(quick: bool) -> list[dict]:
    fun, bounds, args = fit_problem()
    problems = {
        "rastrigin 2-D": (rastrigin, BOX * 2, ()),
        "rastrigin 10-D": (rastrigin, BOX * 10, ()),
        "model fit": (fun, bounds, args),
    }
    rows, count = [], STARTS // 8 if quick else STARTS
    all_threads = devices.threads()
    for name, (fun, bounds, args) in problems.items():
        options = dict(x0=random_starts(bounds, count), max_starts=count, max_levels=1, progress=False)
        search = functools.partial(jg.minimize, fun, bounds, args, **options)
        busy = {}

        def on(threads, search=search, busy=busy):
            devices.threads = lambda: threads
            busy[threads] = search().lane_efficiency

        on(1), on(all_threads)
        pairs = np.array([[timed(lambda: on(1)), timed(lambda: on(all_threads))] for _ in range(PAIRS)])
        ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
        rows.append(
            {
                "problem": name,
                "starts": count,
                "threads": all_threads,
                "ratio": ratio,
                "busy": busy[all_threads],
                "best_ratio": float(np.min(pairs[:, 0]) / np.min(pairs[:, 1])),
                "seconds": pairs.tolist(),
            }
        )
        print(
            f"{name}: one thread {np.median(pairs[:, 0]):.3f} s, {all_threads} threads {np.median(pairs[:, 1]):.3f} s, "
            f"{ratio:.2f} x (promised: 1.7 x); fastest against fastest {rows[-1]['best_ratio']:.2f} x",
            flush=True,
        )
    devices.threads = lambda: all_threads
    return rows


def halves(first: int, k: int, count: int) -> np.ndarray:
    """Starts first, ..., first + k - 1 of so many, of which the first half lies in the left half of the unit box."""
    index = first + np.arange(k)
    points = np.stack([index * 0.754877666, index * 0.569840291], axis=1) % 1  # a Kronecker sequence
    points[:, 0] = (points[:, 0] + (index >= count // 2)) / 2
    return points


def bowl_and_valley(x):
    """A bowl on the right; on the left a bent valley, which takes about ten times the evaluations."""
    u, v = x
    valley = 1e2 * (v - 2 * (u + 0.5) ** 2) ** 2 + (1 + u) ** 2
    return jnp.where(u < 0, valley, (u - 0.5) ** 2 + (v - 0.5) ** 2)


def uneven(quick: bool) -> list[dict]:
    rows, count = [], 200_000 if quick else 1_000_000
    problem, _ = objective.check(bowl_and_valley, [(-1, 1)] * 2, (), None, False, False)
    one, rules = sweep.one_problem(problem), bfgs.BFGS().rules(np.dtype(float), None)
    width = devices.choose_lanes(bfgs.BFGS().numbers(2), np.dtype(float), problem.closed.cost)
    engine = fused.engine(problem.closed, bfgs.BFGS().program, one, width, lambda: None)
    for how, lockstep in (
        ("by pace, after every chunk", False),
        ("in equal parts", True),
        ("by pace, after every chunk", False),
    ):
        lanes, dealt, nfev = streams.Streams([engine] * 2, one, lockstep), 0, np.zeros(2)
        began = time.perf_counter()
        while dealt < count or lanes.busy:
            if dealt < count and lanes.room:
                k = min(lanes.room, count - dealt)
                lanes.deal(2 * halves(dealt, k, count) - 1, 0.01, dealt + np.arange(k))
                dealt += k
            ended = lanes.run(rules, dealt == count)
            half = ended.start < count // 2
            nfev += [np.sum(ended.nfev[half]), np.sum(ended.nfev[~half])]
        wall = time.perf_counter() - began
        busier = float(max(lanes.tally.seconds) / min(lanes.tally.seconds))
        ticks = lanes.tally.worked.tolist()  # which, other than seconds, do not see what else the machine does
        rows.append(
            {
                "dealt": how,
                "starts": count,
                "evaluations": (nfev / (count / 2)).tolist(),
                "wall": wall,
                "seconds": lanes.tally.seconds.tolist(),
                "busier": busier,
                "ticks": ticks,
                "busier_ticks": max(ticks) / min(ticks),
                "idle": float(1 - np.mean(lanes.tally.seconds) / wall),
            }
        )
        print(
            f"dealt {how}: {nfev[0] / nfev[1]:.1f} x the evaluations in one half; at work {lanes.tally.seconds[0]:.2f} "
            f"and {lanes.tally.seconds[1]:.2f} s of {wall:.2f} s, the busier {100 * (busier - 1):.1f} % longer, "
            f"in ticks {100 * (max(ticks) / min(ticks) - 1):.1f} % "
            f"(promised: 10 %)",
            flush=True,
        )
    return rows


def peak() -> int:
    """The peak memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def worker_memory(what: str, starts: str) -> None:
    """Peak memory of a search of so many starts, and the estimate once it has been compiled."""
    many = int(starts)
    if what == "2-D":
        n, search = 2, functools.partial(jg.minimize, rastrigin, BOX * 2, starts=Level(0), same=99, progress=False)
    else:
        n = VARIABLES
        search = functools.partial(jg.minimize, rastrigin, BOX * n, local=jg.LBFGS(), same=99, progress=False)
    engines, real = [], fused.engine

    def engine(*given, **more):
        engines.append((real(*given, **more), peak()))
        return engines[-1][0]

    fused.engine = engine
    if what == "2-D":
        search(starts=Level(many), max_levels=1)
    else:
        search(max_starts=many)
    after, (engine, before) = peak(), engines[-1]
    estimate = before + estimated(engine, devices.threads(), many)
    row = {"what": what, "variables": n, "starts": many, "lanes": engine.lanes, "program": engine.memory}
    print(json.dumps(row | {"before": before, "peak": after, "estimate": estimate}))


def estimated(engine, count: int, starts: int) -> int:
    """Bytes that a search takes beyond those of the process that has compiled it: nothing grows with the starts."""
    row, rows = engine.n * engine.dtype.itemsize, engine.queue + engine.lanes
    host = 4 * rows * row + 2 * rows * (row + 48)  # queue, its copy, results, their copy; starts and ends of a chunk
    archive = 4 * min(starts, 1024) * (row + 48)  # the minima, and their copies where two archives become one
    return count * (engine.memory + host) + archive


@dataclasses.dataclass(frozen=True)
class Level:
    """A level of any number of starts of a grid in two dimensions: the first ones of a level of the grid."""

    count: int

    def size(self, level, n):
        return self.count

    def points(self, level, first, count, n):
        return jg.Grid().points(12, first, count, n)

    def spacing(self, level, done, n):
        return max(done, 1) ** (-1 / n)


def memory(quick: bool) -> list[dict]:
    rows = []
    for what, starts in (("2-D", MEMORY_STARTS // (10 if quick else 1)), ("10^5 variables", 32)):
        row = json.loads(last_lines(start("memory", what, str(starts)))[0])
        rows.append(row | {"ratio": row["peak"] / row["estimate"]})
        print(
            f"{what}, {starts:,} starts: peak {row['peak'] / 2**20:.0f} MiB, "
            f"estimate {row['estimate'] / 2**20:.0f} MiB "
            f"({row['before'] / 2**20:.0f} once compiled): {rows[-1]['ratio']:.2f} (promised: 1.2)",
            flush=True,
        )
    return rows


def model(quick: bool) -> list[dict]:
    """The rate and the evaluations a start from 10^5 starts, the tail from 10^2; the others are predicted."""
    sizes = [10**k for k in range(2, 6 if quick else 8)]

    def run(count: int) -> tuple[float, float, int]:
        result = jg.minimize(rastrigin, BOX * 2, starts=Level(count), max_levels=1, max_starts=count, progress=False)
        return result.levels[0].time, result.nfev / count, result.nfev

    run(1000)
    runs = {count: [run(count) for _ in range(1 if count >= 10**7 else 3 if count >= 10**6 else 7)] for count in sizes}
    fastest = {count: min(seconds for seconds, *_ in taken) for count, taken in runs.items()}
    evaluations = runs[10**5][0][1]
    tail = fastest[100]
    rate = 10**5 * evaluations / (fastest[10**5] - tail)
    rows = []
    for count in sizes:
        predicted = count * evaluations / rate + tail
        rows.append(
            {
                "starts": count,
                "evaluations": runs[count][0][1],
                "seconds": fastest[count],
                "predicted": predicted,
                "ratio": fastest[count] / predicted,
                "calibrates": count in (100, 10**5),
                "all": [seconds for seconds, *_ in runs[count]],
            }
        )
        print(
            f"{count:>10,} starts: {fastest[count]:.4f} s, predicted {predicted:.4f} s, "
            f"{runs[count][0][1]:.2f} evaluations a start",
            flush=True,
        )
    days = 1e12 * evaluations / rate / 86400
    print(
        f"rate {rate:.3g} evaluations/s on {devices.threads()} threads, tail {tail * 1e3:.2f} ms; "
        f"10^12 starts would take {days:.0f} days here",
        flush=True,
    )
    rows.append(
        {"rate": rate, "tail": tail, "evaluations": evaluations, "threads": devices.threads(), "days_1e12": days}
    )
    return rows


def worker_dispatch() -> None:
    """Two devices: two programs side by side, and one of both by shard_map; the same lanes, starts and ticks."""
    from jax.sharding import Mesh, NamedSharding
    from jax.sharding import PartitionSpec as P

    problem, _ = objective.check(rastrigin, BOX * 2, (), None, False, False)
    one, rules, search = sweep.one_problem(problem), bfgs.BFGS().rules(np.dtype(float), None), bfgs.BFGS().program
    lanes, here, dtype = 256, jax.local_devices()[:2], np.dtype(float)
    size = sweep.queue_size(2, lanes)
    starts = random_starts(BOX * 2, 2 * size).reshape(2, size, 2)

    began, cpu = time.perf_counter(), time.process_time()
    both = opening.open_streams(problem.closed, search, one, lanes, here, lambda: None)
    compile_programs = time.perf_counter() - began, time.process_time() - cpu
    both.engine.tick_time = 0.0

    def programs():
        both.deal(starts.reshape(-1, 2), 0.1, np.arange(2 * size))
        both._tick_time = 1e-9  # one chunk to the end
        both.run(rules, True)

    mesh = Mesh(np.array(here), ("d",))
    run = functools.partial(sweep.chunk, problem.closed.value, search, "cpu", (False,) * len(jax.tree.leaves(one)))

    def local(*parts):
        state, queue = jax.tree.map(lambda leaf: leaf[0], parts)
        return jax.tree.map(lambda leaf: leaf[None], run(state, queue, one, rules))

    def twice(leaf):
        return np.stack([np.asarray(leaf)] * 2)

    idle = sweep.idle_state(search, 2, lanes, size, dtype)
    queue = sweep.Queue(
        starts,
        np.full((2, size), 0.1),
        np.zeros((2, size), np.int32),
        *(twice(v) for v in (np.int32(0), np.int32(size), np.bool_(True), np.int32(2**16))),
    )
    mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=P("d"), out_specs=P("d"), check_vma=False))
    where = NamedSharding(mesh, P("d"))
    state, queue = jax.device_put((jax.tree.map(twice, idle), queue), where)
    began, cpu = time.perf_counter(), time.process_time()
    program = mapped.lower(state, queue).compile()
    compile_mapped = time.perf_counter() - began, time.process_time() - cpu

    def shard_map():
        np.asarray(jax.block_until_ready(program(state, queue)).results)

    programs(), shard_map()
    pairs = np.array([[timed(programs), timed(shard_map)] for _ in range(PAIRS)])
    print(
        json.dumps(
            {
                "starts": 2 * size,
                "seconds": pairs.tolist(),
                "compile_programs": compile_programs,
                "compile_shard_map": compile_mapped,
            }
        )
    )


def dispatch(quick: bool) -> list[dict]:
    row = json.loads(last_lines(start("dispatch", forced=2))[0])
    side, mapped = (statistics.median(column) for column in zip(*row["seconds"], strict=True))
    print(
        f"two devices, {row['starts']:,} starts in one chunk: programs side by side {side:.4f} s, "
        f"shard_map {mapped:.4f} s; "
        f"compilation {row['compile_programs'][1]:.1f} and {row['compile_shard_map'][1]:.1f} s of CPU",
        flush=True,
    )
    return [row]


SECTIONS = {part.__name__: part for part in (cores, uneven, memory, dispatch, model)}

if __name__ == "__main__":
    main("scaling", __doc__, SECTIONS, {"memory": worker_memory, "dispatch": worker_dispatch})
