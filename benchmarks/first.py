"""The first answer of a function that nobody has seen yet, in a process that is warm.

    python benchmarks/first.py [--programs | --fits]

Each function is new at every call (the same formula, traced and compiled anew), of which there are 7; medians, and the
processor's seconds, which on a busy machine say more than the clock. Beside `minimize`: one local search of SciPy's
L-BFGS-B on a jitted `value_and_grad`, from the middle of the box; and `minimize` in chunks from the first
evaluation, compiled soon where the function is cheap, or all compiled to run fast. "again" is a second call of the same
function.

With --fits: `curve_fit` of a model that is new but for its kind, five parameters and 100 points, beside SciPy's
`curve_fit` with JAX's values and Jacobian from one guess; and a first one in a process, in which nothing is compiled.

With --programs: the programs of 8 lanes alone, a tick at a time, as a chunk compiled soon, and as one compiled to run
fast: seconds of the processor to compile what knows the function, and for 512 searches, and the memory maps that the
programs take where the system tells. Results go to benchmarks/results/first.json,
first_programs.json and first_fits.json.
"""

import argparse
import functools
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import fit_problem, random_starts, save
from scipy.optimize import curve_fit
from scipy.optimize import minimize as local

import jaxglobal as jg
from jaxglobal.engine import devices, fused, looks, stepped, streams, sweep
from jaxglobal.local import bfgs
from jaxglobal.problem import objective
from jaxglobal.problems import himmelblau, rastrigin, rosenbrock

CALLS = 7
LANES = 8
fit, fit_box, fit_args = fit_problem(100)
PROBLEMS: dict[str, tuple[Callable[..., Any], Any]] = {
    "himmelblau 2-D": (himmelblau, [(-5.0, 5.0)] * 2),
    "rastrigin 2-D": (rastrigin, [(-4.0, 5.12)] * 2),
    "rosenbrock 5-D": (rosenbrock, [(-4.0, 5.12)] * 5),
    "rastrigin 10-D": (rastrigin, [(-4.0, 5.12)] * 10),
    "fit 6-D": (lambda x: fit(x, *fit_args), fit_box),
}


def new(fun: Callable[..., Any], number: int) -> Callable[..., Any]:
    """The same function under another name, which JAX and the library have not seen."""

    def unseen(x):
        return fun(x)

    unseen.__name__ = f"unseen{number}"
    return jax.jit(unseen)


def timed(run: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds by the clock and of the processor, and what it returns."""
    clock, processor = time.perf_counter(), time.process_time()
    result = run()
    return time.perf_counter() - clock, time.process_time() - processor, result


def scipy_once(fun: Callable[..., Any], box: Any) -> Any:
    """One local search of SciPy's, with JAX's gradient."""
    both = jax.jit(jax.value_and_grad(fun))

    def values(x):
        f, g = both(x)
        return float(f), np.asarray(g)

    return local(values, np.mean(box, axis=1), jac=True, bounds=box, method="L-BFGS-B")


def first_answers() -> list[dict[str, Any]]:
    """A row a function."""
    rows, tiers, number = [], devices.tiers, 0
    jg.minimize(lambda x: x[0] ** 4, [(-1.0, 1.0)], progress=False)  # what every first search needs
    for name, (fun, box) in PROBLEMS.items():
        took: dict[str, list[tuple[float, float]]] = {
            "minimize": [],
            "again": [],
            "chunks": [],
            "fast": [],
            "scipy": [],
        }
        for _ in range(CALLS):
            unseen = [new(fun, number + k) for k in range(4)]
            number += 4
            search = functools.partial(jg.minimize, bounds=box, progress=False)
            took["minimize"].append(timed(lambda f=unseen[0], search=search: search(f))[:2])
            *again, result = timed(lambda f=unseen[0], search=search: search(f))
            took["again"].append((again[0], again[1]))
            devices.tiers = lambda cost, numbers, platform: (0, devices.soon(cost, platform))
            took["chunks"].append(timed(lambda f=unseen[3], search=search: search(f))[:2])
            devices.tiers = lambda cost, numbers, platform: (0, 0)
            took["fast"].append(timed(lambda f=unseen[1], search=search: search(f))[:2])
            devices.tiers = tiers
            took["scipy"].append(timed(functools.partial(scipy_once, unseen[2], box))[:2])
        row: dict[str, Any] = {"problem": name, "nfev": result.nfev}
        for way, times in took.items():
            clock, processor = (round(statistics.median(column), 3) for column in zip(*times, strict=True))
            row |= {f"{way}_s": clock, f"{way}_cpu_s": processor}
        rows.append(row)
        print(
            f"{name:16} first {row['minimize_s']:.2f} s (processor {row['minimize_cpu_s']:.2f}), in chunks "
            f"{row['chunks_s']:.2f} ({row['chunks_cpu_s']:.2f}), run fast at once "
            f"{row['fast_s']:.2f} ({row['fast_cpu_s']:.2f}), SciPy {row['scipy_s']:.2f} ({row['scipy_cpu_s']:.2f}); "
            f"again {row['again_s']:.3f} ({row['again_cpu_s']:.3f}); {row['nfev']} evaluations",
            flush=True,
        )
    return rows


def compiled(problem: Any, one: sweep.Problems, program: Any, way: str) -> fused.Engine:
    """The lanes."""
    place = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    if way != "stepped":
        return fused.engine(problem.closed, program, one, LANES, lambda: None, placement=place, soon=way == "soon")

    def evaluate():
        return looks.compiled(problem.closed, one, LANES, place, gradients=True, soon=True)

    return stepped.engine(evaluate, problem.closed, program, one, LANES, lambda: None, None, place, False)


def maps() -> int:
    """Memory maps of this process; 0 where the system does not tell."""
    kept = pathlib.Path("/proc/self/maps")
    return kept.read_text().count("\n") if kept.exists() else 0


def programs() -> list[dict[str, Any]]:
    """A row a function: its programs in all ways."""
    rows = []
    for name, (fun, box) in PROBLEMS.items():
        row: dict[str, Any] = {"problem": name}
        problem, _ = objective.check(new(fun, 0), box, (), None, False, False)
        compiled(problem, sweep.one_problem(problem), bfgs.BFGS().program, "stepped")  # what knows no function
        for way in ("stepped", "soon", "fast"):
            problem, starts = objective.check(new(fun, 0), box, (), random_starts(box, 512), False, False)
            problem.closed.programs.clear()
            one, search, before = sweep.one_problem(problem), bfgs.BFGS(), maps()
            _, compiling, engine = timed(functools.partial(compiled, problem, one, search.program, way))
            taken = maps() - before
            runs = []
            for _ in range(CALLS):
                lanes = streams.Streams([engine], one)
                rules, step = search.rules(problem.structure.dtype, None), search.step()

                def through(lanes=lanes, rules=rules, starts=starts, step=step):
                    dealt = 0
                    while lanes.busy or dealt < len(starts):
                        block = starts[dealt : dealt + lanes.room]
                        if len(block):
                            lanes.deal(block, step, dealt + np.arange(len(block)))
                        dealt += len(block)
                        lanes.run(rules, dealt == len(starts))

                runs.append(timed(through)[1])
            row |= {f"{way}_compile_cpu_s": round(compiling, 3), f"{way}_run_cpu_s": round(statistics.median(runs), 4)}
            row[f"{way}_maps"] = taken
        rows.append(row)
        print(
            f"{name:16} compile {row['stepped_compile_cpu_s']:.2f}, {row['soon_compile_cpu_s']:.2f}, "
            f"{row['fast_compile_cpu_s']:.2f} s; 512 searches {1e3 * row['stepped_run_cpu_s']:.1f}, "
            f"{1e3 * row['soon_run_cpu_s']:.1f}, {1e3 * row['fast_run_cpu_s']:.1f} ms; {row['stepped_maps']}, "
            f"{row['soon_maps']}, {row['fast_maps']} maps (a tick at a time, compiled soon, to run fast)",
            flush=True,
        )
    return rows


def fits() -> list[dict[str, Any]]:
    """A row: seconds of a first fit, in medians, and of the same again."""
    x, rng = np.linspace(0.0, 5.0, 100), np.random.default_rng(0)
    truth, box = (2.0, 1.5, 0.4, 1.2, 0.1), [(0.0, 5.0), (0.0, 5.0), (0.05, 2.0), (0.0, 5.0), (-1.0, 1.0)]

    def model(rate: float) -> Callable[..., Any]:
        def unseen(x, a, m, s, b, c):
            return a * jnp.exp(-(((x - m) / s) ** 2)) + b * jnp.exp(-rate * x) + c

        return unseen

    def by_scipy(fun: Callable[..., Any]) -> Any:
        values, slopes = jax.jit(lambda p: fun(x, *p)), jax.jit(jax.jacfwd(lambda p: fun(x, *p)))
        return curve_fit(
            lambda _, *p: np.asarray(values(jnp.array(p))), x, y, [1.0, 1.0, 1.0, 1.0, 0.0],
            jac=lambda _, *p: np.asarray(slopes(jnp.array(p))), bounds=np.transpose(box),
        )  # fmt: skip

    y = np.asarray(model(0.5)(x, *truth)) + 0.02 * rng.standard_normal(len(x))
    took: dict[str, list[float]] = {"very_first": [], "first": [], "again": [], "scipy": []}
    for call in range(CALLS + 1):
        unseen = model(0.5 + 0.01 * call)
        fit = functools.partial(jg.curve_fit, unseen, x, y, box, progress=False)
        clock, _, found = timed(fit)
        took["first" if call else "very_first"].append(clock)
        took["again"].append(timed(fit)[0])
        took["scipy"].append(timed(functools.partial(by_scipy, unseen))[0])
    row: dict[str, Any] = {f"{way}_s": round(statistics.median(times), 3) for way, times in took.items()}
    print(
        f"curve_fit, 5 parameters and 100 points: first {row['first_s']:.2f} s, SciPy {row['scipy_s']:.2f}; again "
        f"{row['again_s']:.3f}; first in a process {row['very_first_s']:.2f}; {found.result.nfev} evaluations"
    )
    return [row | {"nfev": found.result.nfev}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--programs", action="store_true", help="the programs alone, in all three ways")
    way.add_argument("--fits", action="store_true", help="fits of new models")
    given = parser.parse_args()
    if given.fits:
        save("first_fits", fits())
    else:
        save("first_programs" if given.programs else "first", programs() if given.programs else first_answers())


if __name__ == "__main__":
    main()
