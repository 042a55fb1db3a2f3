"""The lanes' ticks compiled with the function, as one program that is kept with it; see sweep.py for what it runs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding, SingleDeviceSharding

from jaxglobal.engine import compiling
from jaxglobal.engine.sweep import Chunk, LaneState, Problems, chunk, idle_state, queue_size, shapes
from jaxglobal.local.descent import Program
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.closed import Closed


@dataclasses.dataclass
class Engine:
    """The compiled program of a function, a number of lanes and a size of the queue.

    Attributes:
        program: the local search.
        lanes: L, the number of lanes.
        queue: S, the size of the queue.
        n: the number of variables.
        dtype: of x.
        call: (state, queue, problems, rules) -> Chunk. Gives up the memory of the state.
        placement: where its arrays live.
        stops: whether searches end at known minima.
        memory: bytes of the program's arguments, results and temporary arrays, by XLA's own account; 0 if unknown.
        tick_time: seconds that a tick took when last measured, 0 before.
        pace: searches that ended lately and the ticks in which they did, of a stream, when last measured; 0, 0 before.
    """

    program: Program
    lanes: int
    queue: int
    n: int
    dtype: np.dtype
    call: Callable[..., Any]
    placement: Sharding
    stops: bool = False
    memory: int = 0
    tick_time: float = 0.0
    pace: tuple[float, float] = (0.0, 0.0)

    def idle(self) -> LaneState:
        """Lanes without a start."""
        return idle_state(self.program, self.n, self.lanes, self.queue, self.dtype)


def engine(
    closed: Closed, program: Program, problems: Problems, lanes: int, before_compile: Callable[[], None],
    own: tuple[bool, ...] = (), at_once: int | None = None, placement: Sharding | None = None, stops: bool = False,
    soon: bool = False,
) -> Engine:  # fmt: skip
    """The engine of the function with so many lanes, compiled if this is its first use there.

    problems: as they will be handed over. own: which of their leaves have an axis of problems, by default none.
    at_once: starts that come together, at most, where they come in blocks, for which a large queue would be a burden.
    placement: where it runs, by default on JAX's default device. stops: whether quasi-Newton searches end at known
    minima. soon: see `compiling.compiled`.
    """
    placement = placement or SingleDeviceSharding(jax.local_devices()[0])
    n, dtype = np.shape(problems.region.width)[-1], problems.region.width.dtype
    leaves = jax.tree.leaves(problems)
    shapes, where = tuple(np.shape(leaf) for leaf in leaves), tuple(place(leaf, placement) for leaf in leaves)
    own = own or (False,) * len(shapes)
    size = queue_size(n, lanes, at_once)
    key = ("engine", program, lanes, own, shapes, size, placement, where, stops, soon)
    if key not in closed.programs:
        before_compile()
        stops = stops and isinstance(program, QuasiNewton)
        platform = next(iter(placement.device_set)).platform
        run = closed.safe(functools.partial(chunk, closed.value, program, platform, own), platform)
        call = compile_chunk(run, program, n, dtype, lanes, size, problems, placement, stops, soon)
        closed.programs[key] = Engine(program, lanes, size, n, dtype, call, placement, stops, memory(call))
    return closed.programs[key]


def compile_chunk(
    run: Callable[..., Chunk], program: Program, n: int, dtype: np.dtype, lanes: int, size: int, problems: Problems,
    placement: Sharding, stops: bool = False, soon: bool = False,
) -> Any:  # fmt: skip
    """Compiles `run` for lanes, a queue and problems of these shapes, there. stops: whether minima can be known."""

    def given(leaf: Any) -> Any:
        weak = getattr(leaf, "weak_type", False)
        return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=place(leaf, placement), weak_type=weak)

    state, queue, rules = shapes(program, n, dtype, lanes, size, stops, placement)
    jitted = jax.jit(run, donate_argnums=0, out_shardings=placement)
    return compiling.compiled(jitted.lower(state, queue, jax.tree.map(given, problems), rules), soon)


def place(leaf: Any, placement: Sharding) -> Sharding:
    """Where a leaf of the problems lives: with the lanes, unless it lies on several devices already."""
    spread = isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1
    return leaf.sharding if spread else placement


def memory(compiled: Any) -> int:
    """Bytes that a compiled program needs while it runs; 0 where XLA does not tell."""
    needs = compiled.memory_analysis()
    if needs is None:
        return 0
    parts = needs.temp_size_in_bytes, needs.argument_size_in_bytes, needs.output_size_in_bytes
    return sum(parts) - needs.alias_size_in_bytes
