"""The lane engine: local searches from a queue of starts, in a fixed number of lanes that are refilled.

A tick evaluates the objective at every lane's trial point and advances every lane by that evaluation; a lane that is
done writes its row of results and takes the next start of the queue in the same tick. A chunk is a bounded number of
ticks in one compiled call; between chunks the driver looks at clocks and limits. Bounds, args, tolerances, the starts
and all limits are traced, so that one compilation serves every level and every later call with the same function and
shapes. Lanes are the last axis of every array.

The lanes can serve many problems at once: a start names its problem, and its lane looks up the bounds and args of that.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Sharding

from jaxglobal.local import basins
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.local.first_order import Steps
from jaxglobal.problem import modes
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

QUEUED = 2**15  # numbers in the starts of a chunk: enough for tens of milliseconds
BLOCKS_QUEUED = 16  # starts a lane in a chunk, at least, where they come in small blocks


class Problems(NamedTuple):
    """What lanes see of an `Objective` or a `Family`: a leaf that differs between problems has a leading axis."""

    region: Region
    args: list[Any]


class Queue(NamedTuple):
    """What one chunk has to do; everything is traced."""

    starts: jax.Array | np.ndarray
    """(S, n) Starts in the user's coordinates, of which `first`, ..., `count` - 1 wait."""
    first_step: jax.Array | np.ndarray
    """(S,) The first step of the search from each, in units of the box."""
    problem: jax.Array | np.ndarray
    """(S,) The problem of each; 0 where there is one."""
    first: Any
    count: Any
    drain: Any
    """Whether no more starts follow: run until the last lane is done, instead of until a lane is idle."""
    max_ticks: Any
    known: Any = None
    """`basins.Known` minima at which searches end; None where there is no such thing."""


class LaneState(NamedTuple):
    """The lanes between two chunks."""

    lanes: Any
    """(..., L) As many lanes of the local search."""
    slot: jax.Array
    """(L,) Row of results that the lane will write; S + L where it is idle."""
    first_step: jax.Array
    """(L,) The first step of its search."""
    problem: jax.Array
    """(L,) The problem of its search."""


class Chunk(NamedTuple):
    """What a chunk returns."""

    state: LaneState
    results: jax.Array
    """(S + L, n + 3) One row a local search that ended: its best x, f, status and evaluations; status 0 where none
    ended. Row s is that of start s, row S + l that of the search that lane l brought into the chunk."""
    first: jax.Array
    """Starts of the queue that were taken so far."""
    ticks: jax.Array
    nfev: jax.Array
    """Evaluations on behalf of a search; the others were of idle lanes."""


class Carry(NamedTuple):
    """A chunk under way."""

    state: LaneState
    results: jax.Array
    first: jax.Array
    busy: jax.Array
    """Lanes at work."""
    go: jax.Array
    """Whether the chunk goes on, as far as the lanes are concerned."""
    ticks: jax.Array
    nfev: jax.Array
    """The rest as in `Chunk`."""


def idle_state(program: Program, n: int, lanes: int, queue: int, dtype: np.dtype) -> LaneState:
    """Lanes without a start, for a queue of this size."""
    lane = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), lane_shapes(program, n, lanes, dtype))
    slot: Any = np.full(lanes, queue + lanes, np.int32)
    first_step: Any = np.zeros(lanes, dtype)
    problem: Any = np.zeros(lanes, np.int32)
    return LaneState(lane, slot, first_step, problem)


@functools.lru_cache(256)
def lane_shapes(program: Program, n: int, lanes: int, dtype: np.dtype) -> Any:
    """Shapes and dtypes of so many lanes."""
    return jax.eval_shape(program.begin, jax.ShapeDtypeStruct((n, lanes), dtype))


def queue_size(n: int, lanes: int, at_once: int | None = None) -> int:
    """Starts handed over at a time. at_once: that come together, at most, where they come in blocks."""
    size = max(1 << max(QUEUED // n, 1).bit_length() - 1, 2 * lanes)
    few = at_once is not None and at_once <= BLOCKS_QUEUED * lanes
    return min(size, BLOCKS_QUEUED * lanes) if few else size


def one_problem(objective: Objective) -> Problems:
    """The objective as the only problem."""
    return Problems(objective.region, objective.leaves)


def shapes(
    program: Program, n: int, dtype: np.dtype, lanes: int, size: int, stops: bool, placement: Sharding
) -> tuple[LaneState, Queue, LocalRules]:
    """Shapes and dtypes of lanes, a queue of so many starts, and rules, there."""

    def like(shape: tuple[int, ...], kind: Any) -> Any:
        return jax.ShapeDtypeStruct(shape, kind, sharding=placement)

    number, whole = like((), dtype), like((), np.int32)
    lane = jax.tree.map(lambda leaf: like(leaf.shape, leaf.dtype), lane_shapes(program, n, lanes, dtype))
    state = LaneState(lane, *(like((lanes,), kind) for kind in (np.int32, dtype, np.int32)))
    queue = Queue(
        like((size, n), dtype), like((size,), dtype), like((size,), np.int32), whole, whole, like((), np.bool_), whole
    )
    queue = queue._replace(known=basins.shapes(n, dtype, like) if stops else None)
    return state, queue, LocalRules(number, number, None, whole, number, number)


def chunk(
    value: Callable[..., jax.Array], program: Program, platform: str, own: tuple[bool, ...], state: LaneState,
    queue: Queue, problems: Problems, rules: LocalRules,
) -> Chunk:  # fmt: skip
    """Runs the lanes for a bounded number of ticks.

    value: f(x, args) for one x of shape (n,), args a list of arrays. own: which leaves of the problems have an axis of
    problems.
    """
    leaves, sides = jax.tree.leaves(problems), len(Region._fields)
    axes = [0 if differs else None for differs in own[sides:]]
    evaluate = jax.vmap(modes.value_and_grad(value), in_axes=(-1, axes), out_axes=(0, -1))
    advance = advance_of(program, platform)

    def tick(carry: Carry) -> Carry:
        lane, problem, always = carry.state.lanes, carry.state.problem, carry.ticks >= 0
        data = [leaf[problem] if differs else leaf for leaf, differs in zip(leaves, own, strict=True)]
        region = Region(*(data[i].T if own[i] else data[i][:, None] for i in range(sides)))
        f, g = evaluator(platform, always)(lambda: evaluate(lane.trial, data[sides:]), like=(lane.f[0], lane.g))
        # With many problems, one that has reached the target does not stop the others.
        return moved(carry, f, g, region, queue, rules, advance, at_target=not any(own))

    begun = begin(state, queue, at_target=not any(own))
    return ended(lax.while_loop(lambda carry: carry.go & (carry.ticks < queue.max_ticks), tick, begun))


def begin(state: LaneState, queue: Queue, at_target: bool) -> Carry:
    """A chunk before its first tick. A search that comes from the chunk before writes to the row of its lane."""
    size, n = queue.starts.shape
    lanes = state.slot.shape[0]
    idle, zero = size + lanes, jnp.zeros((), jnp.int32)
    slot = jnp.where(state.slot == idle, idle, size + jnp.arange(lanes, dtype=jnp.int32))
    results = jnp.zeros((idle, n + 3), state.lanes.x.dtype)
    searches = state._replace(slot=slot), results, queue.first, (zero, jnp.array(False))
    state, results, first, (busy, go) = refill(searches, queue, at_target)
    return Carry(state, results, first, busy, go, zero, zero)


def moved(
    carry: Carry, f: jax.Array, g: jax.Array, region: Region, queue: Queue, rules: LocalRules,
    advance: Callable[..., Any], at_target: bool,
) -> Carry:  # fmt: skip
    """A chunk after a tick in which the lanes' trial points had these values, (L,), and gradients, (n, L)."""
    state, always = carry.state, carry.ticks >= 0
    lane = advance(
        state.lanes, f[None], g, region, rules._replace(first_step=state.first_step[None]), queue.known, always
    )
    done = (lane.status[0] != LocalStatus.RUNNING) & (state.slot != len(carry.results))
    # The memory stays out of the branch, as a new search does not read it: passing it through would copy it.
    searches = state._replace(lanes=lane._replace(memory=None)), carry.results, carry.first, (carry.busy, carry.go)
    settle = functools.partial(refill, queue=queue, at_target=at_target)
    state, results, first, (busy, go) = lax.cond(jnp.any(done), settle, lambda unchanged: unchanged, searches)
    state = state._replace(lanes=state.lanes._replace(memory=lane.memory))
    return Carry(state, results, first, busy, go, carry.ticks + 1, carry.nfev + carry.busy)


def ended(carry: Carry) -> Chunk:
    """What a chunk returns."""
    return Chunk(carry.state, carry.results, carry.first, carry.ticks, carry.nfev)


@functools.lru_cache(256)
def advance_of(program: Program, platform: str) -> Callable[..., Any]:
    """How the lanes advance, as a function of arrays alone: JAX traces it once, whatever functions are searched.

    It takes the minima that are known, or None, and a value that is true, see `evaluator`.
    """

    def advance(lane, f, g, region, rules, known, always):
        lane = program.advance(lane, f, g, region, rules, evaluator(platform, always))
        return lane if known is None else basins.settle(lane, known, region)

    # The steps of a transformation are a user's own, and may not be today what they were yesterday.
    return advance if isinstance(program, Steps) else jax.jit(advance, inline=True)


@functools.partial(jax.jit, static_argnames="at_target", inline=True)
def refill(searches: Any, queue: Queue, at_target: bool) -> Any:
    """Writes the rows of the lanes that are done, and gives them the next starts.

    searches: the state, the results, the starts that were taken, and what comes back anew with them: how many lanes are
    busy, and whether the chunk goes on. at_target: whether it ends where a search has reached the target.
    """
    (lane, slot, first_step, problem), results, first, _ = searches
    lanes = len(slot)
    idle = len(queue.starts) + lanes
    done = (lane.status[0] != LocalStatus.RUNNING) & (slot != idle)
    row = [lane.best_x, lane.best_f, lane.status.astype(results.dtype), lane.nfev.astype(results.dtype)]
    results = results.at[jnp.where(done, slot, idle)].set(jnp.concatenate(row).T, mode="drop")
    free = done | (slot == idle)
    following = first + jnp.cumsum(free, dtype=jnp.int32) - 1
    taken = free & (following < queue.count)
    slot = jnp.where(free, jnp.where(taken, following, idle), slot)
    following = jnp.where(taken, following, 0)
    hit = jnp.any(done & (lane.status[0] == LocalStatus.TARGET_REACHED) & at_target)
    lane = lane._replace(
        trial=jnp.where(taken, queue.starts[following].T, lane.trial),
        nfev=jnp.where(taken, 0, lane.nfev),
        status=jnp.where(taken, LocalStatus.RUNNING, lane.status),
    )
    first_step = jnp.where(taken, queue.first_step[following], first_step)
    problem = jnp.where(taken, queue.problem[following], problem)
    first = first + jnp.sum(taken, dtype=jnp.int32)
    busy = jnp.sum(slot != idle, dtype=jnp.int32)
    starved = (busy < lanes) & ~queue.drain
    return LaneState(lane, slot, first_step, problem), results, first, (busy, (busy > 0) & ~starved & ~hit)


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
