"""Compiles what JAX has lowered: for a program that runs fast, or for one that is there soon.

On a CPU nearly all of the wait for a new function's first answer is XLA's compiler, and most of that is its own
optimising and choosing of instructions. Without them a chunk of lanes takes a fifth of the processor's time to compile
and runs at a third to a half of its speed (`python benchmarks/first.py --programs`), which a search of a few thousand
evaluations of a cheap function hardly feels. And the first few thousand need no chunk at all (stepped.py). So a search
begins in the first tier, and goes on in the next after so many evaluations, see `devices.tiers`.
"""

import contextlib
import enum
from collections.abc import Callable, Iterator
from typing import Any

import jax

from jaxglobal.problem.programs import undisturbed


class Tier(enum.IntEnum):
    """What a search's evaluations are made with."""

    STEPPED = 0
    """A program of the function alone, compiled soon if it is cheap, and one that knows no function (stepped.py)."""
    SOON = 1
    """A chunk of ticks in one program, compiled soon."""
    FAST = 2
    """The same, compiled to run fast."""


SOON: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Options of XLA's CPU compiler; those that an XLA does not know are taken out.

With so little to optimise, code in one part is there sooner than in XLA's 32 parts that are compiled side by side (a
fifth of the processor's time less), and takes 60 memory maps for 165 (`python benchmarks/first.py --programs`).
"""


PLAIN: dict[str, Any] = {"xla_cpu_use_fusion_emitters": False}
"""Likewise: for a program of loops over small matrices, which take longer to compile with them and run no faster."""


@contextlib.contextmanager
def called(precise: bool) -> Iterator[None]:
    """Where a compiled program is called, of x in float64 or not."""
    with jax.enable_x64(precise), undisturbed():
        yield


def for_few(run: Callable[..., Any], *args: Any) -> jax.stages.Compiled:
    """The program of `run` for arguments of these shapes, to be called a few times only."""
    return compiled(jax.jit(run).lower(*args), soon=jax.default_backend() == "cpu")


def compiled(lowered: jax.stages.Lowered, soon: bool = False, plain: bool = False) -> jax.stages.Compiled:
    """The program. soon, plain: of a CPU, and with these options, see there."""
    options = dict(SOON if soon else PLAIN if plain else {})
    try:
        return lowered.compile(compiler_options=options or None)
    except jax.errors.JaxRuntimeError as error:
        unknown = [name for name in options if "No such compile option" in str(error) and name in str(error)]
        if not unknown:
            raise
        for name in unknown:
            SOON.pop(name, None)
            PLAIN.pop(name, None)
        return compiled(lowered, soon, plain)
