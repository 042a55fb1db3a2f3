"""The lanes of many searches under constraints.

A search is packed for its lane (lagrangian.py), and what ends there is finished in blocks (subjects.py): where Newton's
method fails, it is made feasible and tried again, and where that fails, the search goes on in a lane, once. What a
search comes to depends on its start and its problem alone, so that neither the clock nor other problems have a part in
it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.constraints import exact, feasible, finishing, lagrangian, penalties, semismooth
from jaxglobal.constraints.constrained import STAGES, first_of, ranked, standing
from jaxglobal.constraints.constrained_function import UNSOUND, Sizes
from jaxglobal.constraints.penalties import Penalties
from jaxglobal.constraints.subjects import ADDED, Subjects
from jaxglobal.engine import processes
from jaxglobal.engine.counts import MOST_TICKS
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.streams import Streams
from jaxglobal.engine.sweep import Problems
from jaxglobal.evidence import minima
from jaxglobal.evidence.minima import Ended
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.closed import Closed
from jaxglobal.status import LocalStatus


def views(closed: Closed, m: int, dtype: np.dtype) -> tuple[Closed, Closed]:
    """The function as the lanes see it, of packed variables, and as looks do: its rank. Programs are kept apart."""
    both = exact.outputs(closed, dtype)
    lagrange = lagrangian.lagrangian(both, m)

    def searched(packed, leaves):
        return lagrange(packed, [*leaves[:2], *leaves])

    def looked(x, leaves):
        lower, upper, size = leaves[:ADDED]
        return feasible.rank(*both(x, leaves), lower, upper, size[1:])

    lanes, looks = (closed.programs.setdefault(("many", name, m), {}) for name in ("lanes", "looks"))
    return closed._replace(value=searched, programs=lanes), closed._replace(value=looked, programs=looks)


class ManyStreams(Streams):
    """Streams of searches of many problems under constraints; starts and ends are those of x."""

    def __init__(
        self, engines: list[Engine], problems: Problems, lockstep: bool, group: processes.Alone, subjects: Subjects,
        in_slots: Callable[[np.ndarray], np.ndarray], scales: Callable[[np.ndarray], Sizes], valueless: np.ndarray,
    ):  # fmt: skip
        """See `Streams`. in_slots, scales: the problems in some slots, (k,), and their scales.

        valueless: (P,) where it notes for which problems a feasible point was met at which the function has no value.
        """
        super().__init__(engines, problems, lockstep, group)
        self._subjects, self._in_slots, self._scales, self._valueless = subjects, in_slots, scales, valueless
        self._penalties = Penalties(subjects.constrained.dtype)
        self._held: list[Ended] = []  # where no variable moves
        self._earlier: dict[tuple[int, int], int] = {}  # evaluations of searches that go on, by number and slot

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `Streams`; starts of x, or packed ones that go on."""
        if self._subjects.still:
            self._held.append(standing(starts, number, problem))
            return
        if starts.shape[1] != self.engine.n:
            size = self._scales(np.broadcast_to(problem, len(starts))).size
            rho = self._penalties.of(starts, number, self._in_slots(np.broadcast_to(problem, len(starts))))
            starts = self._subjects.constrained.pack(starts, size, finishing.FIRST, np, rho)
        super().deal(starts, first_step, number, problem)

    @property
    def room(self) -> int:
        """See `Streams`."""
        return 0 if self._held else super().room

    @property
    def busy(self) -> bool:
        """See `Streams`."""
        return super().busy or bool(self._held)

    @property
    def evaluations_a_tick(self) -> int:
        """See `Streams`."""
        return 1 if self._held else super().evaluations_a_tick

    def run(self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int = MOST_TICKS) -> Ended:
        """See `Streams`; of ends, those that do not go on."""
        if self.looks is not None and len(self.looks.points):
            return super().run(rules, drain, allowed, most_ticks)
        if self._held:
            return self._ranked(most_ticks)
        none: Any = np.asarray(-math.inf, self.engine.dtype)  # what a Lagrangian comes to says nothing
        return self._finish(super().run(rules._replace(target=none), drain, allowed, most_ticks))

    def _look_once(self, allowed: int | None) -> Ended:
        """See `Streams`; the ranks."""
        values = super()._look_once(allowed)
        problem, (ranks, nowhere) = self._in_slots(values.problem), feasible.told_apart(values.f)
        self._valueless[problem[nowhere]] = True
        self._penalties.looked(values.x, ranks, problem)
        return values._replace(f=ranks)

    def _ranked(self, most: int) -> Ended:
        """The ends of so many searches in which no variable moves."""
        ended, self._held = first_of(minima.join(self._held), most)
        problem = self._in_slots(ended.problem)
        ranks, nowhere = self._subjects.ranks(problem, ended.x, self._scales(ended.problem))
        self._valueless[problem[nowhere]] = True
        self.spent = self.spent.add(len(ranks), ticks=len(ranks))
        return ranked(ended, ranks)

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Streams`; with what searches that go on have taken before."""
        slot, nfev = super().under_way()
        earlier = [(slot, nfev) for (_, slot), nfev in self._earlier.items()]
        waits = np.concatenate([self._returned[2][:, 1], *(ended.problem for ended in self._held)])
        more = np.array(earlier, np.int64).reshape(-1, 2).T
        none = np.zeros(len(waits), np.int64)
        return np.concatenate([slot, waits, more[0]]), np.concatenate([nfev, none, more[1]])

    def drop(self, problems: np.ndarray) -> Ended:
        """See `Streams`."""
        starts, first_step, searches = self._returned
        held = [np.isin(ended.problem, problems) for ended in self._held]
        rest = [Ended(*(part[~gone] for part in ended)) for ended, gone in zip(self._held, held, strict=True)]
        self._held = [ended for ended in rest if len(ended.f)]
        mine = np.isin(searches[:, 1], problems)
        self._returned = starts[~mine], first_step[~mine], searches[~mine]
        return self._as_it_is(
            minima.join([super().drop(problems), self._waiting_to_go_on(starts[mine], searches[mine])])
        )

    def cut(self) -> Ended:
        """See `Streams`."""
        self._held = []
        starts, _, searches = self._returned
        return self._as_it_is(minima.join([super().cut(), self._waiting_to_go_on(starts, searches)]))

    @staticmethod
    def _waiting_to_go_on(starts: np.ndarray, searches: np.ndarray) -> Ended:
        whole = np.zeros(len(starts), np.int64)
        return Ended(starts, starts[:, 0], searches[:, 0], whole + LocalStatus.CUT, whole, searches[:, 1])

    def _parts(self, packed: np.ndarray) -> lagrangian.Packed:
        """The parts of packed rows, each (k, ...)."""
        parts = lagrangian.unpack(packed.T, self._subjects.constrained.m)
        return lagrangian.Packed(*(np.asarray(part).T for part in parts))

    def _counted(self, ended: Ended, more: Any = 0) -> Ended:
        """The ends with all evaluations of their searches, under their own numbers."""
        number = ended.start % STAGES
        earlier = [self._earlier.pop((int(i), int(slot)), 0) for i, slot in zip(number, ended.problem, strict=True)]
        return ended._replace(start=number, nfev=ended.nfev + np.array(earlier, np.int64) + more)

    def _as_it_is(self, ended: Ended) -> Ended:
        """Searches that were cut, with the ranks of where they are."""
        if not len(ended.f):
            return self._none()
        x = self._parts(ended.x).x
        told = self._subjects.told(self._in_slots(ended.problem), x, self._scales(ended.problem))
        dtype, most = self._subjects.constrained.dtype, self._subjects.constrained.most
        ranks = [feasible.ranked(float(f), float(v), most, dtype) for f, v in zip(told.f, told.relative, strict=True)]
        return self._counted(ended._replace(x=x.astype(dtype), f=np.array(ranks, dtype)), 1)

    def _none(self) -> Ended:
        """No end."""
        whole, dtype = np.zeros(0, np.int64), self._subjects.constrained.dtype
        n = self._subjects.box.shape[-1]
        return Ended(np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole)

    def _finish(self, ended: Ended) -> Ended:
        """The ends of searches, (k, ...) packed, but of those that go on."""
        if not len(ended.f):
            return self._none()
        subjects, dtype = self._subjects, self._subjects.constrained.dtype
        problem, sizes = self._in_slots(ended.problem), self._scales(ended.problem)
        parts, again = self._parts(ended.x), ended.start >= STAGES
        x, rank, status = parts.x.copy(), np.full(len(ended.f), np.inf), ended.status.copy()
        sure, spent = np.zeros(len(x), bool), np.zeros(len(x))
        finite = np.all(np.isfinite(np.concatenate([parts.x, parts.lam], axis=1)), axis=1)
        lost, number = status == LocalStatus.INFEASIBLE, ended.start % STAGES
        sound = np.isfinite(ended.f) & ~np.isin(status, UNSOUND) & finite
        for restorations in (0, semismooth.RESTORATIONS):
            which = np.flatnonzero(sound & ~sure)
            if not len(which):
                break
            here = Sizes(*(part[which] for part in sizes))
            packed = ended.x[which]
            if restorations:  # the objective may have led it to where the rows have no slope
                packed = np.where(lost[which][:, None], subjects.renewed(problem[which], packed, number[which]), packed)
            end = subjects.finish(problem[which], packed, here, restorations)
            self._valueless[problem[which][end.valueless]] = True
            # A point that was made feasible counts more than one that is so within the tolerance, and lower for that.
            feasible_now = end.sure | (end.rank < feasible.above(dtype))
            # A violation that is a little less at a fresh point is no progress.
            better = feasible_now | (~(rank[which] <= end.rank) & ~((restorations > 0) & lost[which]))
            kept = which[better]
            x[kept], rank[kept], sure[which] = end.x[better], end.rank[better], end.sure
            spent[which] += end.nfev
        status[sure] = LocalStatus.CONVERGED
        unsure = sound & ~sure & (status == LocalStatus.CONVERGED)
        status[unsure] = LocalStatus.CONVERGED_TO_PRECISION  # without Newton's method the last digits are not sure
        more = np.ceil(spent).astype(np.int64)
        self.spent = self.spent.add(int(np.sum(more)), ticks=int(np.sum(more)))
        kept = lost & (rank < feasible.above(dtype))
        parts = parts._replace(
            x=np.where(kept[:, None], x, parts.x),
            lam=np.where(kept[:, None], 0, parts.lam),
            rho=np.where(kept[:, None], penalties.LARGE, parts.rho),
        )
        status[kept & ~sure] = LocalStatus.CONVERGED_TO_PRECISION
        going = sound & ~sure & ~again & (~lost | kept)
        self._go_on(ended, parts, more, np.flatnonzero(going))
        done = np.flatnonzero(~going)
        rows = Ended(*(field[done] for field in ended))
        if self.looks is not None:  # else no look says when none of a problem is under way
            self._penalties.count(status[done], problem[done])
        return self._counted(
            rows._replace(x=x[done].astype(dtype), f=rank[done].astype(dtype), status=status[done]), more[done]
        )

    def _go_on(self, ended: Ended, parts: lagrangian.Packed, more: np.ndarray, which: np.ndarray) -> None:
        """Puts these searches behind those that wait, from where they are."""
        if not len(which):
            return
        least, flat, most = (np.full((len(which), 1), number) for number in finishing.LAST)
        rho = np.clip(parts.rho[which], lagrangian.PENALTY, penalties.LARGE)
        of = lagrangian.Packed(*(part[which] for part in parts))._replace(rho=rho, least=least, flat=flat, most=most)
        starts = np.concatenate(list(of), axis=1).astype(self.engine.dtype)
        first_step = np.full(len(which), lagrangian.NEXT_STEP, self.engine.dtype)
        searches = np.stack([ended.start[which] + STAGES, ended.problem[which]], axis=1)
        both = zip(self._returned, (starts, first_step, searches), strict=True)
        a, b, c = (np.concatenate(pair) for pair in both)
        self._returned = a, b, c
        for i in which.tolist():
            self._earlier[int(ended.start[i]), int(ended.problem[i])] = int(ended.nfev[i] + more[i])
