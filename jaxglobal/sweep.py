"""The lane engine: local searches from a queue of starts, in a fixed number of lanes that are refilled.

A tick evaluates the objective at every lane's trial point and advances every lane by that evaluation; a lane that is
done writes its row of results and takes the next start of the queue in the same tick. A chunk is a bounded number of
ticks in one compiled call; between chunks the driver looks at clocks and limits. Bounds, args, tolerances, the starts
and all limits are traced, so that one compilation serves every level and every later call with the same function and
shapes. Lanes are the last axis of every array.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal import bfgs
from jaxglobal.bfgs import Lane, Region
from jaxglobal.bfgs import Rules as LocalRules
from jaxglobal.objective import Objective, flat_function
from jaxglobal.result import LocalStatus
from jaxglobal.weakly import Weakly

QUEUED = 2**15  # numbers in the starts of a chunk: enough for tens of milliseconds


class Queue(NamedTuple):
    """What one chunk has to do; everything is traced."""

    starts: jax.Array | np.ndarray
    """(S, n) Starts in the user's coordinates, of which `first`, ..., `count` - 1 wait."""
    first: Any
    count: Any
    drain: Any
    """Whether no more starts follow: run until the last lane is done, instead of until a lane is idle."""
    max_ticks: Any


class State(NamedTuple):
    """The lanes between two chunks."""

    lanes: Lane
    slot: jax.Array
    """(L,) Row of results that the lane will write; `rows` where it is idle."""


class Chunk(NamedTuple):
    """What a chunk returns."""

    state: State
    results: jax.Array
    """(S + L, n + 2) One row a local search that ended: its best x, f and status; status 0 where none ended. Row s
    is that of start s, row S + l that of the search that lane l brought into the chunk."""
    first: jax.Array
    """Starts of the queue that were taken so far."""
    ticks: jax.Array
    nfev: jax.Array
    """Evaluations on behalf of a search; the others were of idle lanes."""


@dataclasses.dataclass
class Engine:
    """The compiled program of a function, a number of lanes and a size of the queue.

    Attributes:
        lanes: L, the number of lanes.
        queue: S, the size of the queue.
        n: the number of variables.
        dtype: of x.
        call: (state, queue, region, rules, args) -> Chunk. Gives up the memory of the state.
        tick_time: seconds that a tick took when last measured, 0 before.
    """

    lanes: int
    queue: int
    n: int
    dtype: np.dtype
    call: Callable[..., Any]
    tick_time: float = 0.0

    def idle(self) -> State:
        """Lanes without a start."""
        lanes = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), lane_shapes(self.n, self.lanes, self.dtype))
        slot: Any = np.full(self.lanes, self.queue + self.lanes, np.int32)
        return State(lanes, slot)


@functools.cache
def lane_shapes(n: int, lanes: int, dtype: np.dtype) -> Lane:
    """Shapes and dtypes of so many lanes."""
    return jax.eval_shape(bfgs.begin, jax.ShapeDtypeStruct((n, lanes), dtype))


def queue_size(n: int, lanes: int) -> int:
    """Starts handed over at a time."""
    return max(1 << max(QUEUED // n, 1).bit_length() - 1, 2 * lanes)


def region(objective: Objective) -> Region:
    """Where the local searches of the objective may go."""
    infinite = np.asarray(np.inf, objective.structure.dtype)
    lower: Any = np.where(objective.open[0], -infinite, objective.lower)
    upper: Any = np.where(objective.open[1], infinite, objective.upper)
    width: Any = objective.upper - objective.lower
    return Region(lower, upper, width)


def engine(objective: Objective, lanes: int, before_compile: Callable[[], None]) -> Engine:
    """The engine of the objective with so many lanes, compiled if this is its first use."""
    held = Weakly(objective.fun)
    n, dtype = objective.structure.n, objective.structure.dtype
    key = (lanes, objective.key)
    if key not in held.cache:
        before_compile()
        structure, has_aux, platform = objective.structure, objective.has_aux, jax.default_backend()

        def run(state, queue, region, rules, args):
            # The function is looked up while tracing, so that the compiled program does not keep it alive.
            return chunk(flat_function(held.ref(), structure, has_aux), platform, state, queue, region, rules, args)

        size = queue_size(n, lanes)
        held.cache[key] = Engine(lanes, size, n, dtype, compile_chunk(run, objective, lanes, size))
    return held.cache[key]


def auxiliary(objective: Objective, x: Any) -> Any:
    """The auxiliary output of the function at x, in the user's structure."""
    held = Weakly(objective.fun)
    key = ("aux", objective.key)
    if key not in held.cache:
        held.cache[key] = jax.jit(lambda x, args: held.ref()(x, *args)[1])
    return held.cache[key](x, objective.args)


def compile_chunk(run: Callable[..., Chunk], objective: Objective, lanes: int, size: int) -> Callable[..., Chunk]:
    """Compiles `run` for the shapes of the objective."""
    n, dtype = objective.structure.n, objective.structure.dtype

    def like(shape: tuple[int, ...], kind: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, kind)

    number, whole = like((), dtype), like((), np.int32)
    state = State(lane_shapes(n, lanes, dtype), like((lanes,), np.int32))
    queue = Queue(like((size, n), dtype), whole, whole, like((), np.bool_), whole)
    region = Region(*(like((n,), dtype) for _ in Region._fields))
    rules = LocalRules(number, number, number, whole, number)
    jitted = jax.jit(run, donate_argnums=0)
    return jitted.lower(state, queue, region, rules, objective.args).compile()


def chunk(value: Callable[..., jax.Array], platform: str, state: State, queue: Queue, region, rules, args) -> Chunk:
    """Runs the lanes for a bounded number of ticks. value: f(x, args) for one x of shape (n,)."""
    size, n = queue.starts.shape
    lanes = state.slot.shape[0]
    idle = size + lanes
    once = evaluator(platform, queue.max_ticks >= 0)
    evaluate = jax.vmap(jax.value_and_grad(value), in_axes=(-1, None), out_axes=(0, -1))
    region = Region(*(side[:, None] for side in region))

    def settle(searches):
        """Writes the rows of the lanes that are done, and gives them the next starts."""
        lane, slot, results, first, _ = searches
        done = (lane.status[0] != LocalStatus.RUNNING) & (slot != idle)
        row = [lane.best_x, lane.best_f, lane.status.astype(results.dtype)]
        results = results.at[jnp.where(done, slot, idle)].set(jnp.concatenate(row).T, mode="drop")
        free = done | (slot == idle)
        following = first + jnp.cumsum(free, dtype=jnp.int32) - 1
        taken = free & (following < queue.count)
        slot = jnp.where(free, jnp.where(taken, following, idle), slot)
        start = queue.starts[jnp.where(taken, following, 0)].T
        hit = jnp.any(done & (lane.status[0] == LocalStatus.TARGET_REACHED))
        lane = lane._replace(
            trial=jnp.where(taken, start, lane.trial),
            nfev=jnp.where(taken, 0, lane.nfev),
            status=jnp.where(taken, LocalStatus.RUNNING, lane.status),
        )
        first = first + jnp.sum(taken, dtype=jnp.int32)
        busy = jnp.sum(slot != idle, dtype=jnp.int32)
        starved = (busy < lanes) & ~queue.drain
        return lane, slot, results, first, (busy, (busy > 0) & ~starved & ~hit)

    def tick(carry):
        lane, slot, results, first, (busy, _), ticks, nfev = carry
        f, g = once(lambda: evaluate(lane.trial, args), like=(lane.f[0], lane.g))
        lane = bfgs.advance(lane, f[None], g, region, rules, once)
        done = (lane.status[0] != LocalStatus.RUNNING) & (slot != idle)
        # H stays out of the branch, as a new search does not read it: passing it through would copy it.
        searches = (lane._replace(H=None), slot, results, first, (busy, jnp.array(True)))
        searches = lax.cond(jnp.any(done), settle, lambda unchanged: unchanged, searches)
        return searches[0]._replace(H=lane.H), *searches[1:], ticks + 1, nfev + busy

    def goes_on(carry):
        (_, go), ticks, _ = carry[-3:]
        return go & (ticks < queue.max_ticks)

    # A search that comes from the chunk before writes to the row of its lane.
    slot = jnp.where(state.slot == idle, idle, size + jnp.arange(lanes, dtype=jnp.int32))
    zero = jnp.zeros((), jnp.int32)
    results = jnp.zeros((idle, n + 2), state.lanes.x.dtype)
    searches = settle((state.lanes, slot, results, queue.first, (zero, jnp.array(False))))
    lane, slot, results, first, _, ticks, nfev = lax.while_loop(goes_on, tick, (*searches, zero, zero))
    return Chunk(State(lane, slot), results, first, ticks, nfev)


def evaluator(platform: str, always: jax.Array) -> Callable[..., Any]:
    """Calls a function so that the compiler computes its result once.

    XLA's fusion would rather compute a sum again in every operation that reads it, n times over where it is broadcast
    against a vector. On a CPU it drops `optimization_barrier` before it fuses, but it cannot look through a branch on
    a value known only at run time (measured: 10-D Rastrigin takes 2.5 times as long without). always: such a value,
    true. The shapes of the result are those of `like`, or are found by tracing the function once more.
    """
    if platform != "cpu":
        return lambda compute, like=None: lax.optimization_barrier(compute())

    def once(compute, like=None):
        def never():
            shapes = jax.eval_shape(compute) if like is None else like
            return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        return lax.cond(always, compute, never)

    return once
