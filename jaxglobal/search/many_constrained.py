"""Many problems under constraints: what their searches do differently from those of many.py.

Problems are compared by rank (feasible.py); what is said of them is measured at the points that are given back, and
nothing else: no part of a search is believed.
"""

import dataclasses
import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import feasible, kkt, lagrangian, subject
from jaxglobal.constraints.binding import LIMITED, NEAR_BOUND
from jaxglobal.constraints.constrained_function import Measured, Sizes
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.constraints.many_streams import ManyStreams, views
from jaxglobal.constraints.subjects import ADDED
from jaxglobal.engine import opening
from jaxglobal.engine.streams import Streams, thread_pool
from jaxglobal.engine.sweep import Problems
from jaxglobal.local.implicit import Polished
from jaxglobal.results import Results
from jaxglobal.search.many import Many
from jaxglobal.search.many_results import sure
from jaxglobal.status import Status

SIGNED = 1e-6  # of the slope: what multipliers that ignore their signs may leave of it, or of a wrong sign


class Constrained(Many):
    """Problems under constraints; their args begin with bounds and scales of the rows.

    Attributes:
        subjects: the constraints.
    """

    def __init__(self, *what: Any):
        """See `Many`; the constraints come last."""
        *rest, self.subjects = what
        super().__init__(*rest)

    def search(self) -> None:
        """See `Many`."""
        self._least, self._spread = np.zeros((2, len(self._slots.problem), self.subjects.constrained.m))
        self._valueless = np.zeros(self._problems.count, bool)  # where a feasible point was met that has no value
        began = time.perf_counter()
        self._wait = self.subjects.compile()
        self._compile_time += time.perf_counter() - began
        super().search()

    def _of_slots(self, slots: np.ndarray) -> np.ndarray:
        """The problems in these slots."""
        return self._slots.problem[slots]

    def _scales(self, slots: np.ndarray) -> Sizes:
        """Of the problems in these slots."""
        return Sizes(*(part[slots] for part in (self._slots.table[ADDED - 1], self._least, self._spread)))

    def _admit(self) -> bool:
        """See `Many`; measures the scales of those that come in."""
        first = self._slots.next
        came = super()._admit()
        if came:
            slots = np.flatnonzero(self._slots.problem >= first)
            problem = self._slots.problem[slots]
            sizes = self.subjects.sizes(problem)
            self._slots.table[ADDED - 1][slots], self._least[slots], self._spread[slots] = sizes
            self._starts.spend(problem, subject.SAMPLE)
        return came

    def _in_slots(self) -> Problems:
        """See `Many`."""
        problems = super()._in_slots()
        return problems._replace(region=lagrangian.inside(problems.region, self.subjects.constrained.m))

    @property
    def _above(self) -> float:
        """See `Many`."""
        return feasible.above(self.subjects.constrained.dtype)

    def _opened(self, problems: Problems, compiling: Any) -> Streams:
        """See `Many`."""
        m, dtype, n = self.subjects.constrained.m, self.subjects.constrained.dtype, self._problems.structure.n
        searched, looked = views(self._problems.closed, m, dtype)
        local: Any = AugmentedLagrangian(self._local.program, m)  # type: ignore[arg-type]
        needs, pool = self._needs, thread_pool(4)  # XLA compiles side by side
        unpacked, own = Problems(super()._in_slots().region, problems.args), self._slots.own[3:]

        def looks() -> Any:
            with jax.enable_x64(dtype == np.float64):
                return opening.looks_of(looked, unpacked, self._devices, needs.points, n, dtype, False, own)

        others = pool.submit(looks) if needs.points else None
        kind = functools.partial(
            ManyStreams, subjects=self.subjects, in_slots=self._of_slots, scales=self._scales,
            valueless=self._valueless,
        )  # fmt: skip
        opened = opening.open_streams(
            searched, local, problems, self._lanes, self._devices, compiling, self._slots.own, False, self._group,
            self._fit, needs._replace(points=0, pairs=0), kind,
        )  # fmt: skip
        if others is not None:
            opened.looks = others.result()
        return opened

    def _compile(self) -> Any:
        """See `Many`; the programs that finish are compiled beside."""
        streams = super()._compile()
        began = time.perf_counter()
        self._wait()
        self._compile_time += time.perf_counter() - began
        return streams

    def results(self) -> Results:
        """What has been found, measured at the points that are given back."""
        every = np.arange(self._problems.count)
        subjects, x = self.subjects, self.incumbents.x
        sizes = subjects.sizes(every)
        told = subjects.told(every, x, sizes)
        lam, doubtful = self._multipliers(told, x, 1 / sizes.size[:, 0])
        kept = (told.relative <= subjects.constrained.most) & np.isfinite(told.f)
        plain = super().results()
        status = plain.status.copy()
        settled = np.array([one not in LIMITED for one in status])
        nowhere = ~np.isfinite(told.f) & np.all(np.isfinite(told.c), axis=1)  # it is the function that has no value
        nowhere |= self._valueless
        status[settled & ~kept] = Status.INFEASIBLE
        status[settled & ~kept & nowhere] = Status.NO_FINITE_VALUE
        structure, problems, rows = self._problems.structure, self._problems, subjects.rows
        found = np.isfinite(told.f)
        g = np.where(found[:, None], told.g * problems.free, np.nan).astype(x.dtype)
        return dataclasses.replace(
            plain,
            x=structure.point(x),
            fun=np.where(found, told.f, np.nan).astype(x.dtype),
            jac=structure.unflatten(g),
            success=kept & sure(self.incumbents),
            status=status,
            singular=told.singular | doubtful,
            touching=told.touching,
            tied=plain.tied & kept,
            violation=told.violation,
            multipliers=rows.structured(lam),
            active=rows.structured(told.active),
        )

    def _multipliers(self, told: Measured, x: np.ndarray, usual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(P, m) Multipliers of the signs that their bounds allow, and where that was not a matter of course, (P,).

        usual: (P,) slopes of f.
        """
        frames = self.subjects
        box = frames.box.astype(np.float64)
        low, high = box[..., 0, :], box[..., 1, :]
        width, x = high - low, x.astype(np.float64)
        lam, g, J = (np.asarray(part, np.float64) for part in (told.lam, told.g, told.J))
        rows, slope = J * np.expand_dims(np.broadcast_to(width, x.shape), 1), g * width
        z = slope + np.einsum("pm,pmn->pn", lam, rows)
        size = np.maximum(np.max(np.abs(slope), axis=1), usual)
        on_low, on_high = x - low <= NEAR_BOUND * width, high - x <= NEAR_BOUND * width
        left = np.where(on_low, np.minimum(z, 0), np.where(on_high, np.maximum(z, 0), z)) * (width > 0)
        frame = kkt.Frame(low, high, frames.rows.lower, frames.rows.upper)
        side = np.where(kkt.at_upper(told.c, frame), 1, -1)
        length = np.linalg.norm(rows, axis=2)
        wrong = np.where(frame.equal | ~told.active, 0, np.minimum(side * lam * length, 0))
        doubtful = np.max(np.abs(left), axis=1, initial=0) > SIGNED * size
        doubtful |= np.max(np.abs(wrong), axis=1, initial=0) > SIGNED * size
        doubtful &= np.isfinite(told.f) & np.all(np.isfinite(told.c), axis=1) & np.all(np.isfinite(rows), axis=(1, 2))
        doubtful &= np.all(np.isfinite(slope), axis=1)
        for i in np.flatnonzero(doubtful):
            held = np.where(told.active[i], side[i], 0)
            movable = np.broadcast_to(width, x.shape)[i] > 0
            lam[i], _ = kkt.prices(slope[i], rows[i], held, frame.equal[i], on_low[i], on_high[i], movable)
        return np.where(np.isfinite(lam), lam, 0), doubtful

    def _polish(self) -> tuple[Any, Any]:
        """See `Many`: the ends are polished; what is said of them is measured. The auxiliary outputs at the points."""
        x = self.incumbents.x
        no = np.zeros(len(x), bool)
        polished: Any = Polished(x, self.incumbents.feasible(), np.full_like(x, np.nan), no, no)
        if not self._problems.has_aux:
            return polished, None
        closed, leaves = self._problems.closed, [*self._problems.leaves, *self._problems.closed.constants]
        axes = [0 if differs else None for differs in self._problems.own]
        run = jax.jit(closed.safe(jax.vmap(closed.auxiliary, (0, axes)), jax.default_backend()))
        return polished, jax.device_get(run(jnp.asarray(x), leaves))[0]
