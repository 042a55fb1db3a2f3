"""What many searches under constraints share: the rows of all problems, and the programs that finish their ends.

A program takes a block of ends at a time, each with the args and bounds of its own problem, and is in float64 where the
function can be traced so. See constrained_function.py for one of them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import exact, feasible, lagrangian, semismooth
from jaxglobal.constraints.constrained_function import MOST, ConstrainedFunction, Measured, Sizes
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.semismooth import End
from jaxglobal.constraints.subject import Subject
from jaxglobal.engine import compiling, devices, precise
from jaxglobal.engine.streams import thread_pool
from jaxglobal.problem import constraint, family, keys
from jaxglobal.problem.closed import Closed
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.family import Family
from jaxglobal.problem.objective import Objective
from jaxglobal.problem.powers import power_above

BLOCK = 256  # points of a call
LANES, QUEUED = 64, 4  # in which ends are finished, and how many for each of them a call takes
SEVERAL = 128  # ends of one problem that come together, from which they are finished in a program
ENDS = 4  # of a problem come together, if nothing else is known
FEW = 512  # ends that come together up to which programs are rather there soon than fast
ADDED = 3  # args before the user's own: lower and upper bounds of the rows, and the scales


@dataclasses.dataclass(frozen=True)
class Subjects:
    """P problems of n variables and m rows.

    Attributes:
        rows: the constraints; their bounds are (P, m).
        closed: the function whose outputs are the value, and a pair whose second part is the rows.
        leaves: what it takes beside x: those of the args, (P, ...), and the constants.
        args: how many of the leaves are of the args.
        box: (2, n) or (P, 2, n), of the dtype of the programs.
        constrained: what becomes of one problem.
        together: about how many ends come together.
    """

    rows: Rows
    closed: Closed
    leaves: list[Any]
    args: int
    box: np.ndarray
    constrained: ConstrainedFunction
    together: int

    @property
    def still(self) -> bool:
        """Whether no variable moves in a search."""
        low, high = self.box[..., 0, :], self.box[..., 1, :]
        return bool(np.all(self.constrained.whole | (low == high)))

    @property
    def block(self) -> int:
        """Points of a call."""
        return min(BLOCK, max(16, power_above(self.together)))

    @property
    def lanes(self) -> int:
        """In which ends are finished."""
        return min(LANES, self.block)

    @property
    def queue(self) -> int:
        """Ends that a call finishes, at most."""
        return QUEUED * self.lanes

    def compile(self) -> Callable[[], None]:
        """Compiles the programs of a search, side by side: that of the scales now; waits for the others when called."""
        names = "ranks" if self.still else "finish", "told"
        others = [thread_pool(4).submit(self._program, name) for name in names]
        self._program("sizes")

        def wait() -> None:
            for other in others:
                other.result()

        return wait

    def compile_finish(self) -> None:
        """Compiles the program that finishes ends, beside others."""
        self._program("finish")

    def sizes(self, problem: np.ndarray) -> Sizes:
        """The scales of these problems, (k,), each (k, ...)."""
        return Sizes(*self._call("sizes", problem))

    def finish(self, problem: np.ndarray, packed: np.ndarray, sizes: Sizes, restorations: int) -> End:
        """What becomes of searches of these problems, (k,), that ended at packed variables, (k, ...)."""
        limit = np.full(len(problem), restorations, np.int32)
        return End(*self._call("finish", problem, packed, *sizes, limit))

    @property
    def dearest(self) -> float:
        """Evaluations that an end takes, at most."""
        return 2.5 + semismooth.RESTORATIONS / 2 + semismooth.STEPS * (1 + self.box.shape[-1] / 2)

    def finish_one(self, subject: Subject, packed: np.ndarray, restorations: int) -> End:
        """The same of searches of one problem, with the scales that its subject knows."""
        k, m = len(packed), self.constrained.m
        spread = np.broadcast_to(subject.frame.spread, m)
        sizes = Sizes(*(np.repeat(part[None], k, axis=0) for part in (subject.size, subject.least, spread)))
        return self.finish(np.zeros(k, np.int64), packed, sizes, restorations)

    def ranks(self, problem: np.ndarray, x: np.ndarray, sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
        """(k,) The ranks of points of these problems, (k, n), as they are; and which are feasible without a value."""
        ranks, valueless = self._call("ranks", problem, x, *sizes)
        return ranks, valueless

    def renewed(self, problem: np.ndarray, packed: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Searches of these problems, (k, ...) packed, at fresh points of their boxes. number: (k,) of the searches."""
        box = self.box[problem] if self.box.ndim == 3 else self.box
        return self.constrained.renewed(packed, number, box[..., 0, :], box[..., 1, :], np)

    def told(self, problem: np.ndarray, x: np.ndarray, sizes: Sizes) -> Measured:
        """What is measured at points of these problems, (k, n)."""
        return Measured(*self._call("told", problem, x, *sizes))

    def frame(self, problem: int) -> Frame:
        """The box and the bounds of a problem, in float64."""
        box = self.box[problem] if self.box.ndim == 3 else self.box
        return Frame(*(np.asarray(side, np.float64) for side in (*box, *self._bounds(problem))))

    def _bounds(self, problem: Any) -> tuple[np.ndarray, np.ndarray]:
        return self.rows.lower[problem], self.rows.upper[problem]

    def _given(self, problem: np.ndarray) -> tuple[Any, ...]:
        """Frame and leaves of these problems."""
        box, dtype = self.box[problem] if self.box.ndim == 3 else self.box, self.box.dtype
        bounds = (side.astype(dtype) for side in self._bounds(problem))
        frame = Frame(box[..., 0, :], box[..., 1, :], *bounds)
        own = [np.asarray(leaf)[problem] for leaf in self.leaves[: self.args]]
        return frame, [*own, *self.leaves[self.args :]]

    def _call(self, name: str, problem: np.ndarray, *rows: Any) -> list[np.ndarray]:
        k, size, dtype = len(problem), self._size(name), self.box.dtype
        program, blocks = self._program(name), max(-(-k // size), 1)
        if name == "finish" and k > self.lanes:  # two threads
            blocks += blocks % 2
        rows = tuple(part if part.dtype == np.int32 else part.astype(dtype) for part in map(np.asarray, rows))

        def run(part: np.ndarray) -> Any:
            here = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
            count = [np.int32(len(part))] if name == "finish" else []
            with compiling.called(dtype == np.float64):
                told = program(*self._given(problem[here]), *count, *(part[here] for part in rows))
            return [field[: len(part)] for field in jax.device_get(told)]

        shares = np.array_split(np.arange(k), blocks)
        parts = list(thread_pool(2).map(run, shares)) if blocks > 1 else [run(shares[0])]
        return [np.concatenate(fields) for fields in zip(*parts, strict=True)]

    def _size(self, name: str) -> int:
        """Points of a call of this program, at most."""
        return self.queue if name == "finish" else self.block

    def _program(self, name: str) -> Any:
        """The program, compiled at the first use."""
        shapes, dtype = tuple(np.shape(leaf)[1:] for leaf in self.leaves), self.box.dtype
        soon = self.together <= FEW and devices.soon(self.closed.cost, jax.default_backend()) > 0
        key = ("many", name, self.block, self.constrained.key, self.box.ndim, self.args, shapes, soon)
        if key not in self.closed.programs:
            n, m, size = self.box.shape[-1], self.constrained.m, self._size(name)
            of = lambda *shape: jax.ShapeDtypeStruct((size, *shape), dtype)  # noqa: E731
            scales = (of(1 + m), of(m), of(m))
            given = {
                "sizes": (),
                "finish": (of(lagrangian.packed_size(n, m)), *scales, jax.ShapeDtypeStruct((size,), np.int32)),
                "told": (of(n), *scales),
                "ranks": (of(n), *scales),
            }[name]
            of_box = 0 if self.box.ndim == 3 else None
            own = [0] * self.args + [None] * (len(self.leaves) - self.args)
            frame: Any = Frame(of_box, of_box, 0, 0, None, None)
            if name == "finish":
                run, given = self._finish, (jax.ShapeDtypeStruct((), np.int32), *given)
            else:
                run = jax.vmap(getattr(self, f"_{name}"), in_axes=(frame, own, *[0] * len(given)))
            run = self.closed.safe(run, jax.default_backend())
            with jax.enable_x64(dtype == np.float64):
                example = self._given(np.zeros(size, np.int64))
                self.closed.programs[key] = compiling.compiled(jax.jit(run).lower(*example, *given), soon)
        return self.closed.programs[key]

    def _sizes(self, frame: Frame, leaves: list[Any]) -> Any:
        return tuple(self.constrained.sizes(frame, leaves))

    def _finish(self, frame: Frame, leaves: list[Any], count: Any, packed: Any, *rest: Any) -> Any:
        *sizes, restorations = rest
        own, shared = leaves[: self.args], leaves[self.args :]
        low, high = (jnp.broadcast_to(side, (len(packed), side.shape[-1])) for side in frame[:2])
        spread, steepest = (jnp.full(frame.lower.shape, part, frame.lower.dtype) for part in frame[4:])
        frame = Frame(low, high, frame.lower, frame.upper, spread, steepest)
        return tuple(
            self.constrained.finish_all(packed, Sizes(*sizes), frame, own, shared, restorations, count, self.lanes)
        )

    def _ranks(self, frame: Frame, leaves: list[Any], x: Any, *scales: Any) -> Any:
        return self.constrained.ranked(x, Sizes(*scales), frame, leaves)

    def _told(self, frame: Frame, leaves: list[Any], x: Any, *scales: Any) -> Any:
        sizes = Sizes(*scales)
        lam = self.constrained.multipliers(x, sizes, frame, leaves)
        return tuple(self.constrained.told(x, lam, sizes, frame, leaves))


def read(
    fun: Callable[..., Any], bounds: Any, args: Any, x0: Any, open: Any, has_aux: bool, bounds_axis: Any,
    integrality: Any, constraints: Any, ctol: float,
) -> tuple[Family, Subjects] | None:  # fmt: skip
    """The problems, whose args begin with bounds and scales of the rows, and the constraints; None without."""
    plain = family.check_problems(None, bounds, args, x0, open, has_aux, bounds_axis, integrality)
    structure, count = plain.structure, plain.count
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), plain.args)
    rows = constraint.read(constraints, structure, one, count=count)
    if rows is None:
        return None
    constraint.check_box(plain.open)
    both, dtype, m = constraint.beside(fun, rows, has_aux), structure.dtype, rows.m
    sides = (np.broadcast_to(side, (count, m)) for side in (rows.lower, rows.upper))
    rows = rows._replace(**dict(zip(("lower", "upper"), sides, strict=True)))
    given = args if isinstance(args, tuple) else (args,)
    added = (rows.lower, rows.upper, np.zeros((count, 1 + m), dtype))

    def searched(x, lower, upper, size, *args):
        return both(x, *args)

    problems = family.check_problems(searched, bounds, (*added, *given), x0, open, True, bounds_axis, integrality)
    problems = dataclasses.replace(problems, has_aux=bool(has_aux))
    closed, leaves, wide = problems.closed, problems.leaves[ADDED:], np.dtype(dtype)
    outputs = functools.partial(_without, exact.outputs(closed, dtype), m)
    if dtype == np.float32:
        traced = precise.traced(both, jax.tree.map(lambda leaf: leaf[0], given), _one(problems))
        if traced is not None:
            closed, wide = traced.closed, np.dtype(np.float64)
            with jax.enable_x64(True):
                leaves = [keys.numbers(precise.widened(leaf)) for leaf in jax.tree.leaves(family.read_args(given))]
                outputs = exact.outputs(closed, wide)
    leaves = [np.asarray(leaf) for leaf in leaves]
    box = problems.box.astype(wide)
    pack = ConstrainedFunction(outputs, m, feasible.tolerance(ctol, dtype), np.dtype(dtype), problems.whole)
    return problems, Subjects(rows, closed, [*leaves, *closed.constants], len(leaves), box, pack, ENDS * count)


def of_one(subject: Subject, together: int) -> Subjects | None:
    """One problem, whose ends share its args; None where too few of them come together for a program of their own."""
    rows, functions = subject.rows, subject.exact
    if together < SEVERAL or subject.still or len(functions.lower) + rows.m > MOST or not functions.newton:
        return None
    sides = {side: np.asarray(getattr(rows, side))[None] for side in ("lower", "upper")}
    outputs = exact.outputs(functions.closed, functions.lower.dtype)
    box, leaves = np.stack([functions.lower, functions.upper]), [np.asarray(leaf) for leaf in functions.leaves]
    function = ConstrainedFunction(outputs, rows.m, subject.most, subject.dtype, subject.whole)
    return Subjects(rows._replace(**sides), functions.closed, leaves, 0, box, function, together)


def _without(outputs: Callable[..., Any], m: int, x: jax.Array, leaves: list[Any]) -> tuple[jax.Array, jax.Array]:
    """The outputs, without the args that were added, of which the function itself knows nothing."""
    none = jnp.zeros(m, x.dtype)
    return outputs(x, [none, none, jnp.zeros(1 + m, x.dtype), *leaves])


def _one(problems: Family) -> Objective:
    """One of the problems, to be traced."""
    box = problems.box[0] if problems.box.ndim == 3 else problems.box
    return Objective(
        problems.structure, box[0], box[1], problems.free, problems.open, (), True, problems.closed, problems.whole
    )
