"""Values at points from which no search begins: what a sequence that learns asks for before it chooses its starts.

They have a program of their own, without gradient, lanes or queue: a call of the lanes hands over some forty arrays,
one of this program two, and a sequence that learns asks often, for few points at a time. One more, of values with
gradients, serves the polish at the end.

On a CPU a call loops over blocks of points, as many as are wanted. XLA hands a program to another thread unless it
counts fewer than 1,000 operations, of a loop those of one turn (`cheap_computation_` in xla/pjrt/cpu/cpu_client.cc):
thirty values of a cheap function take 15 microseconds so, and 55 to 110 in one block.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Sharding

from jaxglobal.engine import compiling, fused
from jaxglobal.engine.sweep import Problems
from jaxglobal.evidence.minima import Ended
from jaxglobal.problem import modes
from jaxglobal.problem.closed import Closed, x64
from jaxglobal.problem.powers import power_below
from jaxglobal.problem.programs import undisturbed
from jaxglobal.status import LocalStatus

CPU_CALL = 1e5  # multiplications of a call (about 30 microseconds), of which the points of a small block need few
FEWEST = 16  # points of a call of a cheap function
BLOCK = 8  # of them side by side on a CPU
ACCELERATOR_POINTS = 1024  # of a call
WORTH_THREADS = 1e-3  # seconds of work from which it is shared between threads

PAIRS = 8  # points of a call for values with gradients

Values = Callable[..., Any]
Then = Callable[[np.ndarray], None]


def width(lanes: int, cost: float, platform: str) -> int:
    """Points of a call where a local search can have so many lanes. cost: see `closed.Closed`."""
    points = max(power_below(CPU_CALL / max(cost, 1)), FEWEST)
    return min(lanes, points if platform == "cpu" else ACCELERATOR_POINTS)


def compiled(
    closed: Closed, problems: Problems, points: int, placement: Sharding, gradients: bool = False,
    own: tuple[bool, ...] = (), soon: bool = False,
) -> Values:  # fmt: skip
    """The program of values at k = `points` points, compiled if this is its first use there.

    x, (k, n), how many of them are wanted, and the args -> f, (k,), +inf where it is not finite. gradients: as a tick
    has them instead: x, (n, k), and the args -> f, (k,), and g, (n, k), whatever they are. own: which args have a
    leading axis of problems, if any do; then the problem of each point, (k,), comes last. soon: see
    `compiling.compiled`.
    """
    n, dtype = np.shape(problems.region.width)[-1], problems.region.width.dtype
    where = [fused.place(leaf, placement) for leaf in problems.args]
    several = any(own) and not gradients
    key = (
        "values",
        gradients,
        own if several else (),
        points,
        n,
        tuple(np.shape(leaf) for leaf in problems.args),
        placement,
        tuple(where),
        soon,
    )
    if key not in closed.programs:
        block = min(BLOCK, points) if next(iter(placement.device_set)).platform == "cpu" else points

        def values(x, count, args, *problem):
            def of_block(i, f):
                axes: Any = None
                part, *which = (lax.dynamic_slice_in_dim(whole, i * block, block) for whole in (x, *problem))
                mine = args
                if several:
                    mine = [leaf[which[0]] if differs else leaf for leaf, differs in zip(args, own, strict=True)]
                    axes = [0 if differs else None for differs in own]
                value = jax.vmap(closed.value, in_axes=(-1, axes))(part.T, mine)
                value = jnp.where(jnp.isfinite(value), value, jnp.inf)  # and no NaN for jax_debug_nans to find
                return lax.dynamic_update_slice_in_dim(f, value, i * block, 0)

            return lax.fori_loop(0, -(-count // block), of_block, jnp.full(points, jnp.inf, dtype))

        def pairs(x, args):
            return jax.vmap(modes.value_and_grad(closed.value), in_axes=(-1, None), out_axes=(0, -1))(x, args)

        args = [
            jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=at, weak_type=getattr(leaf, "weak_type", False))
            for leaf, at in zip(problems.args, where, strict=True)
        ]
        run = closed.safe(pairs if gradients else values, next(iter(placement.device_set)).platform)
        jitted = jax.jit(run, out_shardings=placement)
        which = [jax.ShapeDtypeStruct((points,), np.int32, sharding=placement)] if several else []
        shape, count = ((n, points), []) if gradients else ((points, n), [np.int32(points)])
        lowered = jitted.lower(jax.ShapeDtypeStruct(shape, dtype, sharding=placement), *count, args, *which)
        closed.programs[key] = compiling.compiled(lowered, soon)
    return closed.programs[key]


class Pairs(NamedTuple):
    """The program of values with gradients, for `width` points a call."""

    program: Values
    width: int

    def evaluate(self, points: np.ndarray, problems: Problems) -> tuple[np.ndarray, np.ndarray]:
        """The values, (k,), and gradients, (k, n), at points, (k, n), of the first of the problems.

        Where one of them is not finite, +inf and NaN; the gradient is zero for fixed variables.
        """
        k = len(points)
        blocks = -(-k // self.width)
        padded = np.concatenate([points, np.repeat(points[-1:], blocks * self.width - k, axis=0)])
        with undisturbed():
            parts = [self.program(block, problems.args) for block in np.split(padded.T, blocks, axis=1)]
        f, g = (np.concatenate(fields, axis=-1)[..., :k] for fields in zip(*parts, strict=True))
        finite, free = np.isfinite(f) & np.all(np.isfinite(g), axis=0), np.asarray(problems.region.width) > 0
        return np.where(finite, f, np.inf), np.where(finite[:, None], np.where(free, g.T, 0), np.nan)


class Looks:
    """The points that wait for their values, of all processes, and the programs of this process.

    Attributes:
        points: (k, n) in the user's coordinates.
        number: (k,) their numbers.
        problem: (k,) their problems.
        seconds: that a call took when last measured, 0 before.
        width: points of a call.
    """

    def __init__(self, programs: Sequence[Values], width: int, n: int, dtype: np.dtype, several: bool = False):
        """programs: of each stream of this process, for so many points. several: whether of several problems."""
        self._programs, self.width, self._several = programs, width, several
        self._hearers: dict[int, tuple[Then, int, list[np.ndarray]]] = {}  # of a problem, how many it waits for, those
        self.points, self.number, self.seconds = np.zeros((0, n), dtype), np.zeros(0, np.int64), 0.0
        self.problem = np.zeros(0, np.int64)

    def ask(self, points: np.ndarray, number: np.ndarray, problem: Any = 0, then: Then | None = None) -> None:
        """Puts points of a problem, or of one each, behind those that wait. then: hears of their values; see `tell`."""
        if then is not None:
            self._hearers[int(problem)] = then, len(points), []
        self.points = np.concatenate([self.points, points.astype(self.points.dtype)])
        self.number = np.concatenate([self.number, number])
        self.problem = np.concatenate([self.problem, np.full(len(points), problem)])

    def drop(self, problems: np.ndarray | None = None) -> None:
        """Forgets the points that wait, all or those of these problems."""
        kept = np.zeros(len(self.number), bool) if problems is None else ~np.isin(self.problem, problems)
        self.points, self.number, self.problem = self.points[kept], self.number[kept], self.problem[kept]
        for problem in list(self._hearers) if problems is None else problems.tolist():
            self._hearers.pop(problem, None)

    def tell(self, ended: Ended) -> bool:
        """Tells of values; whether someone has heard all that they waited for, and may have asked for more."""
        heard = False
        for problem in sorted(set(ended.problem.tolist())) if self._hearers else []:
            if problem in self._hearers:
                then, count, values = self._hearers[problem]
                values.append(ended.f[ended.problem == problem])
                if sum(map(len, values)) == count:
                    del self._hearers[problem]
                    then(np.concatenate(values))
                    heard = True
        return heard

    def run(
        self, calls: int, allowed: int | None, args: Sequence[list[Any]], share: slice, side_by_side: Callable[..., Any]
    ) -> tuple[Ended, int]:
        """Values of the first of the points that wait, and how many of them were looked at in all processes.

        calls: of each program, at most. allowed: points, at most. args: for each program. share: of the calls, those
        of this process. side_by_side: as `map`, on threads.
        """
        count = min(len(self.points), calls * self.width, len(self.points) if allowed is None else max(allowed, 0))
        parts = [slice(first, min(first + self.width, count)) for first in range(0, count, self.width)[share]]
        (points, self.points), (number, self.number), (problem, self.problem) = (
            (field[:count], field[count:]) for field in (self.points, self.number, self.problem)
        )
        used = len(self._programs)

        def look(stream: int, mine: list[slice]) -> list[np.ndarray]:
            program, given = self._programs[stream], args[stream]
            return [self._look(program, points[part], given, problem[part]) for part in mine]

        began = time.perf_counter()
        if used > 1 and len(parts) * self.seconds > WORTH_THREADS:
            dealt, precise = [parts[i::used] for i in range(used)], x64()

            def on_thread(stream: int, mine: list[slice]) -> list[np.ndarray]:  # which has settings of its own
                with compiling.called(precise):
                    return look(stream, mine)

            values: list[Any] = [None] * len(parts)
            for i, told in enumerate(side_by_side(on_thread, range(used), dealt)):
                values[i::used] = told
            made = len(dealt[0])
        else:
            values, made = look(0, parts), len(parts)
        self.seconds = (time.perf_counter() - began) / made if made else self.seconds
        f = np.concatenate([*values, self.points[:0, 0]])
        x, mine, of = fields = points, number, problem
        if len(f) < count:  # the others are looked at by other processes
            x, mine, of = (np.concatenate([*(field[part] for part in parts), field[:0]]) for field in fields)
        status, once = np.full(len(f), int(LocalStatus.RUNNING)), np.ones(len(f), np.int64)
        return Ended(x, f, mine, status, once, of), count

    def _look(self, values: Values, points: np.ndarray, args: list[Any], problem: np.ndarray) -> np.ndarray:
        padded, which = points, [np.resize(problem, self.width).astype(np.int32)] if self._several else []
        if len(points) < self.width:
            padded = np.empty((self.width, points.shape[1]), points.dtype)
            padded[: len(points)], padded[len(points) :] = points, points[-1]
        return np.asarray(values(padded, np.int32(len(points)), args, *which))[: len(points)]
