"""Runs the programs of lockstep.py on many data sets: block by block on all threads, each data set a lane."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import compiling, devices
from jaxglobal.engine.streams import thread_pool
from jaxglobal.fit.compiled import Program, device, here, layout
from jaxglobal.fit.data import Data
from jaxglobal.fit.journal import Journal
from jaxglobal.fit.limits import ASKED, Limits
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.regression import Regression
from jaxglobal.problem.closed import x64
from jaxglobal.problem.linear_algebra import one_at_a_time
from jaxglobal.problem.powers import power_above, power_below
from jaxglobal.search.progress import Silent

BLOCK_MEMORY = 2**20  # bytes of the Jacobians of the data sets side by side
FEWEST, MOST = 16, 512  # data sets side by side


class Blocks:
    """What the programs are run on, and where what they return is noted.

    Attributes:
        data: as they are searched now, with the data sets first.
        lanes: data sets side by side.
        journal: of what the programs have returned.
        done: data sets that are done with, for those who watch.
        compile_time: seconds.
        cut: whether a limit has left a block out, so that what follows is nothing to go on from.
    """

    def __init__(
        self, reg: Regression, data: Data, own_w: bool, boxes: np.ndarray | None, most: int | None, key: Any,
        limits: Limits, journal: Journal, shown: Silent,
    ):  # fmt: skip
        """own_w, boxes, most: see `rounds.ManyFits`. key: of the programs, beside their names and shapes."""
        self._reg, self._own_w, self._boxes, self._key = reg, own_w, boxes, key
        self._limits, self._shown = limits, shown
        self.data = data._replace(x=data.x if reg.own_x else here(data.x), constants=here(data.constants))
        each = (reg.structure.n + 3) * data.y.shape[1] * reg.structure.dtype.itemsize
        lanes = min(max(power_below(BLOCK_MEMORY / each), FEWEST), MOST)
        self.lanes = min(lanes, most or power_above(len(data.y)))
        self.journal, self.done, self.compile_time, self.cut = journal, 0, 0.0, False
        self._precise, self._compiling = x64(), dict[Any, Future[Any]]()

    def run(self, which: np.ndarray, make: Callable[..., Any], p: Any, *more: Any) -> list[np.ndarray]:
        """What a program returns from p, (k, n), for these data sets, (k,).

        NaN and zeros where a limit leaves one out.
        """
        starts = range(0, len(which), self.lanes)
        blocks = [np.arange(first, min(first + self.lanes, len(which))) for first in starts]
        there, fields = self.journal.noted() or (np.zeros(len(which), bool), [])
        if not np.all(there):
            missing = [block for block in blocks if not there[block[0]]]
            self._run_missing(which, missing, there, fields, make, p, *more)
        self.journal.turn()
        return [field.copy() for field in fields]

    def begin(self, which: np.ndarray, make: Callable[..., Any], p: Any, *more: Any) -> Program:
        """The program that `run` would run, which begins to be compiled if it is not there."""
        takes = *self._block(which, np.arange(min(len(which), self.lanes)), p), *more
        run = one_at_a_time(make, jax.default_backend())  # of the starts' own QR factorisations too
        program = Program(run, takes, self._reg.programs, (make.__name__, device(), self._key, layout(takes)))
        if program.compiled is None and program.key not in self._compiling:
            began = time.perf_counter()
            self._compiling[program.key] = program.begin()
            self.compile_time += time.perf_counter() - began
        return program

    def _compiled(self, program: Program) -> Any:
        """What has begun to be compiled; None where a limit comes first."""
        if program.compiled is None:
            began = time.perf_counter()
            self._shown.compiling(self.lanes)
            if not program.end(self._compiling[program.key], self._limits.asked):
                return None
            self.compile_time += time.perf_counter() - began
        return program.compiled

    def _run_missing(
        self, which: np.ndarray, blocks: list[np.ndarray], there: np.ndarray, fields: list[np.ndarray],
        make: Callable[..., Any], p: Any, *more: Any,
    ) -> None:  # fmt: skip
        """Runs a program on these blocks, and notes in there, (k,), and fields what it returns."""
        program = self.begin(which, make, p, *more)
        compiled = self._compiled(program)
        info = jax.eval_shape(program.run, *program.takes) if compiled is None else compiled.out_info
        noted = not self.cut  # what follows on a program that was cut is nothing to go on from

        def run(block):
            if self._limits.asked() or compiled is None:
                return None
            with compiling.called(self._precise):
                return [np.asarray(leaf)[: len(block)] for leaf in compiled(*self._block(which, block, p), *more)]

        pool = thread_pool(devices.side_by_side())
        fields += [] if fields else [left_out(leaf, len(which)) for leaf in jax.tree.leaves(info)]
        for block, out in zip(blocks, pool.map(run, blocks) if len(blocks) > 1 else map(run, blocks), strict=True):
            if out is None:
                self._limits.cut_off[which[block]], self.cut = ASKED, True
                continue
            for field, part in zip(fields, out, strict=True):
                field[block] = part
            there[block] = True
            self._shown.problems(min(self.done + int(np.sum(there)), len(self.data.y)), len(self.data.y))
            if noted:
                self.journal.note(there, fields)

    def _block(self, which: np.ndarray, block: np.ndarray, p: Any) -> tuple[Any, ...]:
        """The arguments of a program for a block of them, the first of which fill it up."""
        block = np.resize(block, self.lanes)
        rows = which[block]
        x, y, w = self.data[:3]
        x = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], x) if self._reg.own_x else x
        far = None if self.data.far is None else Far(*(part[rows] for part in self.data.far))
        own: Any = self.data.units
        data = self.data._replace(x=x, y=y[rows], w=w[rows] if self._own_w else w, far=far, units=own.of(rows))
        data = data._replace(scale=data.scale[rows]) if np.ndim(data.scale) else data
        box = (self._reg.lower, self._reg.upper) if self._boxes is None else np.moveaxis(self._boxes[rows], 1, 0)
        return jax.tree.map(lambda leaf: leaf[block], p), data, *box


def left_out(leaf: Any, count: int) -> np.ndarray:
    """What a program returns, for so many data sets that it has not been run for."""
    shape = (count, *leaf.shape[1:])
    return np.full(shape, np.nan, leaf.dtype) if np.issubdtype(leaf.dtype, np.floating) else np.zeros(shape, leaf.dtype)
