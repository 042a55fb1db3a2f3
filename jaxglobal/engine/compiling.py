"""Compiles what JAX has lowered: for a program that runs fast, or for one that is there soon.

On a CPU nearly all of the wait for a new function's first answer is XLA's compiler, and most of that is its own
optimising and choosing of instructions. Without them a chunk of lanes takes a fifth of the processor's time to compile
and runs at a third to a half of its speed (`python benchmarks/first.py --programs`), which a search of a few thousand
evaluations of a cheap function hardly feels. How long a search goes on with it, `devices.soon` says.
"""

from typing import Any

import jax

SOON: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Options of XLA's CPU compiler; those that an XLA does not know are taken out.

With so little to optimise, code in one part is there sooner than in XLA's 32 parts that are compiled side by side (a
fifth of the processor's time less), and takes 60 memory maps for 165 (`python benchmarks/first.py --programs`).
"""


def compiled(lowered: jax.stages.Lowered, soon: bool = False) -> jax.stages.Compiled:
    """The program. soon: of a CPU, and rather compiled soon than fast."""
    options = dict(SOON) if soon else {}
    try:
        return lowered.compile(compiler_options=options or None)
    except jax.errors.JaxRuntimeError as error:
        unknown = [name for name in options if "No such compile option" in str(error) and name in str(error)]
        if not unknown:
            raise
        for name in unknown:
            SOON.pop(name, None)
        return compiled(lowered, soon)
