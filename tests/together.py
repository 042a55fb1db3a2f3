"""What the processes of engine/test_devices.py run: a search as its first argument says, told as one line of JSON."""

import json
import os
import sys

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", os.environ.get("JAXGLOBAL_X64", "1") != "0")

import jaxglobal as jg  # noqa: E402

BOX = [(-3.9, 5.0)] * 2


def bits(x) -> str:
    return np.ascontiguousarray(x).tobytes().hex()


def told(result) -> list:
    minima = [[m.fun.hex(), m.count, bits(m.x), int(m.status)] for m in result.minima]
    levels = [[lv.nstarts, lv.nfev, lv.fun.hex(), {int(k): v for k, v in lv.statuses.items()}] for lv in result.levels]
    return [bits(result.x), result.fun.hex(), bits(result.jac), result.nfev, result.nstarts, minima, levels]


def search() -> None:
    """Everything that must not depend on devices and processes, and what processes must agree on."""
    one = jg.minimize(jg.problems.rastrigin, BOX, max_levels=6, same=50, x0=[[1.0, 2.0]], progress=False)
    fit = lambda x, a: jnp.sum((x**2 - a) ** 2 + 0.3 * x)  # noqa: E731
    many = jg.minimize_many(fit, [(-3, 3)] * 2, np.linspace(0.5, 2, 50), starts=jg.Grid(), max_levels=3, progress=False)
    shared = [bits(many.x), bits(many.fun), many.nfev.tolist(), many.nstarts.tolist(), [s.name for s in many.status]]
    timed = jg.minimize(jg.problems.rastrigin, BOX, same=50, max_time=0.5, progress=False)
    counted = jg.minimize(jg.problems.rastrigin, BOX, same=50, max_evals=20000, progress=False)
    cut = [[*told(result), result.time, result.compile_time, result.status.name] for result in (timed, counted)]
    stopped = jg.minimize(jg.problems.rastrigin, BOX, callback=stop_in_the_first, progress=False)
    print(json.dumps({"same": [told(one), shared], "agreed": [cut, one.time, many.time, stopped.nit]}), flush=True)


def stop_in_the_first(level) -> None:
    """Process 0 decides, whatever the others' callbacks say."""
    if level.index == (1 if jax.process_index() == 0 else 0):
        raise StopIteration


def kept(path: str, levels: str) -> None:
    """A search with a checkpoint. Says when it has begun, as then it can be killed."""
    begun = lambda level: print("level", level.index, flush=True)  # noqa: E731
    result = jg.minimize(
        jg.problems.bukin6, [(-15, 3)] * 2, max_levels=int(levels), same=50, progress=False, checkpoint=path or None,
        callback=begun,
    )  # fmt: skip
    print(json.dumps(told(result)), flush=True)


def wrong() -> None:
    """Processes that were not given the same."""
    for fun, options in (
        (jg.problems.rastrigin, dict(same=4 + jax.process_index())),
        (jg.host(lambda x: 0.0), {}),
        (jg.problems.rastrigin, dict(checkpoint="/no/such/folder/c.npz")),
    ):
        try:
            jg.minimize(fun, BOX, progress=False, **options)
        except ValueError as error:
            print(str(error), flush=True)


if __name__ == "__main__":
    name, port, count, index, *rest = sys.argv[1:]
    if int(count) > 1:
        jg.processes.initialize(f"localhost:{port}", int(count), int(index))
    {"search": search, "kept": kept, "wrong": wrong}[name](*rest)
