"""The lanes of a search under constraints.

To the loop from level to level these are streams like others: they take starts in x, and bring back ends in x with one
number to compare them by, their rank (feasible.py). In between, a start is packed for its lane (lagrangian.py); what
ends is gathered until all lanes are idle, and then finished (finishing.py), or it goes on. As all that is decided when
the lanes are idle, in the order of the starts, no clock has a part in it. Where no variable moves, nothing is searched:
a start is its own end, and has its rank from one evaluation.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import feasible, finishing, lagrangian, subjects
from jaxglobal.constraints.exact import outputs
from jaxglobal.constraints.lagrangian import AugmentedLagrangian
from jaxglobal.constraints.penalties import Penalties
from jaxglobal.constraints.subject import Subject
from jaxglobal.engine import devices, opening, processes, sweep
from jaxglobal.engine.compiling import Tier
from jaxglobal.engine.counts import MOST_TICKS
from jaxglobal.engine.fused import Engine
from jaxglobal.engine.looks import Then
from jaxglobal.engine.streams import Streams, thread_pool
from jaxglobal.engine.sweep import Problems
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.closed import Closed
from jaxglobal.problem.objective import Objective
from jaxglobal.status import LocalStatus

BATCH = 4, 8  # starts a lane, between two times that all are idle; where a program finishes many
STAGES = np.int64(1) << 40  # the number of a search that goes on is its own plus this


def views(closed: Closed, m: int, dtype: np.dtype) -> tuple[Closed, Closed]:
    """The function as the lanes see it, of packed variables, and as looks do: its rank. Programs are kept apart."""
    both = outputs(closed, dtype)
    lagrange = lagrangian.lagrangian(both, m)

    def searched(packed, leaves):
        lower, upper, _, *rest = leaves
        return lagrange(packed, [lower, upper, *rest])

    def looked(x, leaves):
        lower, upper, size, *rest = leaves
        return feasible.rank(*both(x, rest), lower, upper, *jnp.atleast_2d(size))

    lanes, looks = (closed.programs.setdefault(("constrained", name, m), {}) for name in ("lanes", "looks"))
    return closed._replace(value=searched, programs=lanes), closed._replace(value=looked, programs=looks)


class ConstrainedStreams(Streams):
    """Streams of searches under constraints; starts and ends are those of x."""

    subject: Subject
    """Set once the programs have been compiled."""

    def __init__(self, engines: list[Engine], problems: Problems, lockstep: bool, group: processes.Alone):
        """See `Streams`."""
        super().__init__(engines, problems, lockstep, group)
        self._unscaled: Problems | None = problems  # None once the programs know the scales of the rows
        self._held: list[minima.Ended] = []
        self._penalties = Penalties(self.engine.dtype)

    @property
    def _under_way(self) -> bool:
        """Whether a start waits, or a search is at work."""
        return bool(len(self._returned[0]) or self.counts.busy)

    @property
    def room(self) -> int:
        """Starts that can be dealt: none unless all lanes are idle."""
        if self._under_way or self._held:
            return 0
        return min(super().room, BATCH[self.subject.ends is not None] * self.lanes * len(self.counts.waiting))

    @property
    def busy(self) -> bool:
        """See `Streams`."""
        return super().busy or bool(self._held)

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `Streams`; starts of x, or packed ones that go on."""
        if starts.shape[1] != self.engine.n:
            self._scale()
            if self.subject.still:
                self._held.append(standing(starts, number, problem))
                return
            size, none = np.repeat(self.subject.size[None], len(starts), axis=0), np.zeros((len(starts), self._m))
            rho = self._penalties.of(starts, number, problem)
            starts = self.subject.packed(starts, none, size, rho, self._stage(starts))
        super().deal(starts, first_step, number, problem)

    def look(self, points: np.ndarray, number: np.ndarray, problem: int = 0, then: Then | None = None) -> None:
        """See `Streams`."""
        self._scale()
        super().look(points, number, problem, then)

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int = MOST_TICKS
    ) -> minima.Ended:
        """See `Streams`; ends come when all lanes are idle."""
        if self.looks is not None and len(self.looks.points):
            return super().run(rules, drain, allowed, most_ticks)
        none: Any = np.asarray(-math.inf, self.engine.dtype)  # what a Lagrangian comes to says nothing
        before = self.spent.nfev
        if self._under_way:
            self._held.append(super().run(rules._replace(target=none), True, allowed, most_ticks))
        if self._under_way:
            return self._no_ends()
        return self._finish(math.inf if allowed is None else allowed - (self.spent.nfev - before))

    def _look_once(self, allowed: int | None) -> minima.Ended:
        """See `Streams`; the ranks."""
        values = super()._look_once(allowed)
        ranks, nowhere = feasible.told_apart(values.f)
        self.subject.valueless |= bool(np.any(nowhere))
        self._penalties.looked(values.x, ranks, values.problem)
        return values._replace(f=ranks)

    def onto_rows(self, points: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray] | None:
        """See `Lanes`."""
        if self.subject.still or len(points) * finishing.ONTO > left:
            return None
        places, ranks, used = finishing.onto_rows(self.subject, points, left)
        self._spend(used)
        self._penalties.looked(places, ranks, np.zeros(len(places), np.int64))
        return places, ranks

    def cut(self) -> minima.Ended:
        """See `Streams`: what is at work, held, or about to go on ends as it is."""
        starts, _, searches = self._returned
        whole = np.zeros(len(starts), np.int64)
        rest = minima.Ended(starts, starts[:, 0], searches[:, 0], whole + LocalStatus.CUT, whole, searches[:, 1])
        held = [] if self.subject.still else self._held
        ended, self._held = minima.join([*held, super().cut(), rest]), []
        if not len(ended.f):
            return self._no_ends()
        x = self.subject.unpacked(ended.x).x.astype(self.subject.dtype)
        self._spend(len(x) / 2)
        return ended._replace(x=x, f=self.subject.ranks(x).astype(x.dtype), start=ended.start % STAGES)

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Streams`; of the objective alone."""
        f, _, g, _ = self.subject.exact.slopes(points)
        finite = np.isfinite(f) & np.all(np.isfinite(g), axis=1)
        g = np.where(finite[:, None], np.where(self.subject.frame.width > 0, g, 0), np.nan)
        return np.where(finite, f, np.inf), g.astype(self.subject.dtype)

    def save(self) -> dict[str, np.ndarray]:
        """See `Streams`."""
        held = minima.join(self._held)._asdict() if self._held else {}
        own = self.subject.save() | self._penalties.save()
        return super().save() | own | {f"held_{name}": field for name, field in held.items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Streams`."""
        super().load(arrays)
        self.subject.load(arrays)
        self._penalties.load(arrays)
        if "held_x" in arrays:
            self._held = [minima.Ended(*(arrays[f"held_{name}"] for name in minima.Ended._fields))]
        if self.subject.measured:  # points may wait for their ranks
            self._scale()

    @property
    def _m(self) -> int:
        return self.subject.rows.m

    def _scale(self) -> None:
        """Measures the scales of f and the rows, if they are not known, and tells the programs."""
        self._spend(self.subject.scale())
        if self._unscaled is not None:
            lower, upper, _, *rest = self._unscaled.args
            size = _sizes(self.subject).astype(self.engine.dtype)
            self.serve(Problems(self._unscaled.region, [lower, upper, size, *rest]))
            self._unscaled = None

    def _ready(self, calls: int, values: int | None) -> int | None:
        """See `Streams`: the continuous variables of these points are where the rows want them, by one more value."""
        if self.subject.completion is None:
            return values
        looks = self._values
        most = len(looks.points) if values is None else values // 2
        count = min(most, len(looks.points), calls * looks.width)
        looks.points = np.concatenate([self._completed(looks.points[:count]), looks.points[count:]])
        return count

    def _completed(self, x: np.ndarray) -> np.ndarray:
        """Points, (k, n), with the continuous variables where the rows want them."""
        if self.subject.completion is not None:
            self.spent = self.spent.add(values=len(x))
        return self.subject.completed(x)

    def _stage(self, x: np.ndarray) -> tuple:
        """With what searches from x, (k, n), end: at once where no search can help, as rows of whole numbers say."""
        usual = finishing.FIRST if self.subject.ends is None else finishing.OF_MANY[0]
        if not np.any(self.subject.frame.spread):
            return usual
        hopeless = self.subject.hopeless(x)
        self._spend(len(x) / 2)
        return tuple(np.where(hopeless, once, first) for once, first in zip(finishing.ONCE, usual, strict=True))

    def _no_ends(self) -> minima.Ended:
        whole = np.zeros(0, np.int64)
        n, dtype = len(self.subject.frame.low), self.subject.dtype
        return minima.Ended(np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole)

    def _spend(self, nfev: float) -> None:
        count = math.ceil(nfev)
        self.spent = self.spent.add(count, ticks=count)

    def _finish(self, left: float) -> minima.Ended:
        """The ends of the searches that are held, but of those that go on. left: evaluations."""
        if not self._held:
            return self._no_ends()
        ended, self._held = minima.join(self._held), []
        if self.subject.still:
            each = 1.0 if self.subject.completion is None else 1.5  # evaluations
            ended, self._held = first_of(ended, max(left // each, 1))
            if not len(ended.f):
                return self._no_ends()
            ended = ended._replace(x=self._completed(ended.x))
            ranks = self.subject.ranks(ended.x)
            self._spend(len(ranks))
            return ranked(ended, ranks)
        ended = minima.Ended(*(field[np.argsort(ended.start % STAGES, kind="stable")] for field in ended))
        if not len(ended.f):
            return self._no_ends()
        subject, number, again = self.subject, ended.start % STAGES, ended.start >= STAGES
        batch = finishing.Batch(subject, ended._replace(start=number), again, left)
        more = batch.finish()
        self._spend(batch.spent)
        first_step = np.full(len(more.which), lagrangian.NEXT_STEP, self.engine.dtype)
        searches = np.stack([number[more.which] + STAGES, ended.problem[more.which]], axis=1)
        both = zip(self._returned, (more.starts, first_step, searches), strict=True)
        starts, first_step, searches = (np.concatenate(pair) for pair in both)
        self._returned = starts, first_step, searches
        self._penalties.count(np.delete(batch.status, more.which), np.delete(ended.problem, more.which))
        self._penalties.settle(ended.problem)
        done, dtype = np.setdiff1d(np.arange(len(number)), more.which), subject.dtype
        low, high = (side.astype(dtype) for side in (subject.frame.low, subject.frame.high))
        x, rank = np.clip(batch.x[done].astype(dtype), low, high), batch.rank[done].astype(dtype)
        return minima.Ended(x, rank, number[done], batch.status[done], ended.nfev[done], ended.problem[done])


def _sizes(subject: Subject) -> np.ndarray:
    """(m,) What looks scale the rows by; (2, m) with what is no excess but rounding, where rows tell variables."""
    size = subject.size[1:]
    return size if subject.completion is None else np.stack([size, subject.least])


def standing(starts: np.ndarray, number: np.ndarray, problem: Any) -> minima.Ended:
    """Searches from these starts in which no variable moves, each of one evaluation, before that is made."""
    whole = np.zeros(len(starts), np.int64)
    return minima.Ended(starts, starts[:, 0], number, whole, whole + 1, whole + problem)


def first_of(ended: minima.Ended, most: float) -> tuple[minima.Ended, list[minima.Ended]]:
    """So many of these, and the others, if there are any."""
    count = int(min(len(ended.f), max(most, 0)))
    first, rest = (minima.Ended(*(field[part] for field in ended)) for part in (slice(count), slice(count, None)))
    return first, [rest] if len(rest.f) else []


def ranked(ended: minima.Ended, ranks: np.ndarray) -> minima.Ended:
    """Searches in which no variable moves, with their ranks."""
    status = np.where(np.isfinite(ranks), LocalStatus.CONVERGED, LocalStatus.NONFINITE_VALUE)
    return ended._replace(f=ranks.astype(ended.x.dtype), status=status.astype(np.int64))


def compiled(
    problem: Objective, program: Program, subject: Subject, shown: Any, given: list[Any], group: processes.Alone,
    lockstep: bool, fit: bool, needs: opening.Needs,
) -> Callable[[int, int, Tier], ConstrainedStreams]:  # fmt: skip
    """Opens so many lanes of a problem with constraints; see `engines.compiled`."""
    m, dtype = subject.rows.m, problem.structure.dtype
    subject.starting(problem)  # looks have to know
    searched, looked = views(problem.closed, m, dtype)
    local: Any = AugmentedLagrangian(program, m)  # type: ignore[arg-type]
    plain = sweep.one_problem(problem)
    bounds = (side.astype(dtype) for side in (subject.rows.lower, subject.rows.upper, _sizes(subject)))
    args = [*bounds, *plain.args]
    packed, unpacked = Problems(lagrangian.inside(plain.region, m), args), Problems(plain.region, args)

    def looks(points: int, soon: bool) -> Any:
        with jax.enable_x64(dtype == np.float64):
            return opening.looks_of(looked, unpacked, given, points, problem.structure.n, dtype, soon)

    def open_streams(lanes: int, short: int, tier: Tier) -> ConstrainedStreams:
        fewer = needs.halved(short)._replace(tier=tier)
        pool = thread_pool(4)  # XLA compiles side by side
        soon = tier < Tier.FAST and devices.soon(problem.closed.cost, given[0].platform) > 0
        others = [pool.submit(looks, fewer.points, soon)] if fewer.points else []
        together = BATCH[0] * lanes * len(given) if tier == Tier.FAST else 0
        subject.ends = subjects.of_one(subject, together)
        ends = pool.submit(subject.ends.compile_finish) if subject.ends is not None else None
        exact = pool.submit(subject.exact.compile)
        opened = opening.open_streams(
            searched, local, packed, lanes, given, lambda: shown.compiling(lanes), (), lockstep, group, fit,
            fewer._replace(points=0, pairs=0), ConstrainedStreams,
        )  # fmt: skip
        opened.subject = subject
        for look in others:
            opened.looks = look.result()
        exact.result()
        if ends is not None:
            ends.result()
        return opened

    return open_streams
