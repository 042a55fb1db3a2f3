"""The lanes' ticks one at a time: how the first evaluations of a function are made, before much of it is compiled.

The chunk of sweep.py is one program: the function amid the thousand operations of a local search, which every new
function compiles anew. Here the search's part is a program of its own. It does not know the function, so that it is
compiled once in a process for a local search, a number of variables and of lanes; of the function only its values with
gradients are compiled. Python calls the two in turn, which takes it some 0.2 ms a tick: more than the chunk of a cheap
function needs, and less than its compilation for some thousands of ticks.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from jaxglobal.engine import compiling, fused, sweep
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.sweep import Carry, Chunk, LaneState, Problems, Queue
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.local.first_order import Steps
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.closed import Closed
from jaxglobal.problem.programs import undisturbed
from jaxglobal.problem.region import Region


def serves(program: Program, own: tuple[bool, ...]) -> bool:
    """Whether lanes of this local search can go a tick at a time: of one problem, and of steps that do not change."""
    return not any(own) and not isinstance(program, Steps)


def engine(
    evaluate: Callable[[], Any], closed: Closed, program: Program, problems: Problems, lanes: int,
    before_compile: Callable[[], None], at_once: int | None, placement: Sharding, stops: bool,
) -> Engine:  # fmt: skip
    """As `fused.engine`, of lanes that go a tick at a time.

    evaluate: gives the program of the values, (L,), and gradients, (n, L), at so many points, (n, L), with the args.
    """
    n, dtype = np.shape(problems.region.width)[-1], problems.region.width.dtype
    size = min(sweep.queue_size(n, lanes, at_once), sweep.BLOCKS_QUEUED * lanes)  # a large one is passed in every tick
    where = tuple(fused.place(leaf, placement) for leaf in problems.args)
    key = "stepped", program, lanes, tuple(np.shape(leaf) for leaf in problems.args), size, placement, where, stops
    if key not in closed.programs:
        before_compile()
        known = stops and isinstance(program, QuasiNewton)
        own = programs(program, n, dtype, lanes, size, known, placement)
        seen = evaluate()
        call, needed = functools.partial(run, own, seen), fused.memory(own.move) + fused.memory(seen)
        closed.programs[key] = Engine(program, lanes, size, n, dtype, call, placement, stops, needed)
    return closed.programs[key]


class Packing:
    """Many small arrays as two, of floating-point numbers and of whole ones: a call takes its time for each array."""

    def __init__(self, like: Any):
        """like: a pytree of their shapes and dtypes."""
        leaves, self._structure = jax.tree.flatten(like)
        self._shapes, self._kinds = [leaf.shape for leaf in leaves], [np.dtype(leaf.dtype) for leaf in leaves]
        self.dtypes = next(kind for kind in self._kinds if kind.kind == "f"), np.dtype(np.int32)
        self.sizes = tuple(
            sum(math.prod(shape) for shape, kind in zip(self._shapes, self._kinds, strict=True) if kind.kind in kinds)
            for kinds in ("f", "ib")
        )

    def pack(self, tree: Any, xp: Any = jnp) -> tuple[Any, Any]:
        """The numbers of all leaves, one after another."""
        leaves = [xp.asarray(leaf) for leaf in jax.tree.leaves(tree)]
        both = (
            [leaf.ravel() for leaf in leaves if leaf.dtype.kind == "f"],
            [leaf.ravel().astype(np.int32) for leaf in leaves if leaf.dtype.kind != "f"],
        )
        return xp.concatenate(both[0]), xp.concatenate(both[1])

    def unpack(self, floats: Any, whole: Any) -> Any:
        """The inverse of `pack`."""
        leaves, at = [], [0, 0]
        for shape, kind in zip(self._shapes, self._kinds, strict=True):
            which, count = int(kind.kind != "f"), math.prod(shape)
            part = (floats, whole)[which][at[which] : at[which] + count]
            leaves.append(part.reshape(shape).astype(kind))
            at[which] += count
        return jax.tree.unflatten(self._structure, leaves)


class Programs(NamedTuple):
    """What the lanes do before the first tick of a chunk, and in each: programs that know no function."""

    begin: Callable[..., Any]
    """(state, given) -> (carry, results, trial points, whether the chunk goes on), all but these packed, and given."""
    move: Callable[..., Any]
    """(carry, results, values, gradients, given) -> the first four. Gives up the memory of carry and results."""
    state: Packing
    given: Packing
    carry: Packing


@functools.lru_cache(128)
def programs(
    program: Program, n: int, dtype: np.dtype, lanes: int, size: int, stops: bool, placement: Sharding
) -> Programs:
    """Those of so many lanes, with a queue of so many starts."""
    advance = sweep.advance_of(program, next(iter(placement.device_set)).platform)
    state, queue, rules = sweep.shapes(program, n, dtype, lanes, size, stops, placement)
    side: Any = jax.ShapeDtypeStruct((n,), dtype)
    region = Region(side, side, side)
    entered = jax.eval_shape(functools.partial(sweep.begin, at_target=True), state, queue)
    of_state, of_given = Packing(state), Packing((queue, region, rules))
    of_carry = Packing(entered._replace(results=None))

    def told(carry: Carry, queue: Queue):
        goes_on = carry.go & (carry.ticks < queue.max_ticks)
        return of_carry.pack(carry._replace(results=None)), carry.results, carry.state.lanes.trial, goes_on

    def begin(state: Any, given: Any):
        queue, _, _ = of_given.unpack(*given)
        return *told(sweep.begin(of_state.unpack(*state), queue, at_target=True), queue), given

    def move(carry: Any, results: jax.Array, f: jax.Array, g: jax.Array, given: Any):
        queue, region, rules = of_given.unpack(*given)
        region = Region(*(side[:, None] for side in region))
        carry = of_carry.unpack(*carry)._replace(results=results)
        return told(sweep.moved(carry, f, g, region, queue, rules, advance, at_target=True), queue)

    def like(shape: tuple[int, ...], kind: Any = dtype) -> Any:
        return jax.ShapeDtypeStruct(shape, kind, sharding=placement)

    before, fixed, under_way = (
        tuple(like((count,), kind) for count, kind in zip(packing.sizes, packing.dtypes, strict=True))
        for packing in (of_state, of_given, of_carry)
    )
    first = jax.jit(begin, out_shardings=placement).lower(before, fixed)
    each = jax.jit(move, donate_argnums=(0, 1), out_shardings=placement).lower(
        under_way, like(entered.results.shape), like((lanes,)), like((n, lanes)), fixed
    )
    first, each = (compiling.compiled(lowered, soon=True) for lowered in (first, each))
    return Programs(first, each, of_state, of_given, of_carry)


def run(
    own: Programs, evaluate: Callable[..., Any], state: LaneState, queue: Queue, problems: Problems, rules: LocalRules
) -> Chunk:
    """What a chunk does, by one call a tick for the function, and one for the lanes."""
    given, args = own.given.pack((queue, problems.region, rules), np), problems.args
    with undisturbed():  # a value that is NaN is no error
        carry, results, trial, goes_on, given = own.begin(own.state.pack(state, np), given)
        while np.asarray(goes_on):  # a tenth of the time of bool(...)
            f, g = evaluate(trial, args)
            carry, results, trial, goes_on = own.move(carry, results, f, g, given)
    return sweep.ended(own.carry.unpack(*jax.device_get(carry))._replace(results=results))
