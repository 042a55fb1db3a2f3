"""The lanes of a search under constraints: searches by the augmented Lagrangian, each finished by Newton's method.

To the loop from level to level these are streams like others: they take starts in x, and bring back ends in x with one
number to compare them by, their rank (feasible.py). In between, a start is packed for its lane (lagrangian.py); what
ends is gathered until all lanes are idle; then Newton's method on the KKT system (kkt.py) takes each to its last
digits, and the best of those for which it fails go on in the lanes, with their rows scaled anew where they stand. As
all that is decided when the lanes are idle, in the order of the starts, no clock has a part in it.
"""

import dataclasses
import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np

from jaxglobal import constraint, feasible, kkt, lagrangian, lastlook, looks, minima, opening, processes, sweep
from jaxglobal.closed import Closed
from jaxglobal.constraint import Rows
from jaxglobal.descent import Program
from jaxglobal.descent import Rules as LocalRules
from jaxglobal.exact import Exact, outputs
from jaxglobal.kkt import Frame
from jaxglobal.lagrangian import AugmentedLagrangian, Packed
from jaxglobal.objective import Objective
from jaxglobal.result import LocalStatus
from jaxglobal.streams import Streams
from jaxglobal.sweep import Engine, Problems

SAMPLE = 32  # points at whose slopes f and the rows are scaled
LEAST_SLOPE = 1e-12  # of which a scale is made
LEAST_SHARE = 1e-3  # of the usual slope of a row, is its slope where a search stands taken to be at least
FIRST = (1e-3, 1e-2, 250.0)  # violation, projected gradient and evaluations with which a search ends
LAST = (1e-9, 1e-6, 400.0)  # the same of one that goes on
NEAR = 1e-4, 1e-6  # of the box: on a bound, after the first and the last of these
SAME_PLACE = 1e-3  # of the box: an end is that of a known minimum
SAME_VALUE = 1e-3  # of 1 + abs of the scaled value
HIGHER = 0.1  # likewise, may Newton's method end above where it began
KEPT = 64  # minima that an end is compared with
GO_ON = 4  # searches of a batch that go on
PROMISING = 0.3  # of 1 + abs of the best scaled value, may one of them lie above it
ENOUGH = 50  # evaluations left, for a search to go on
CLOSE = 1e-4  # violations below are alike, where ends are put in order
RESTORED = 1e-12  # of the box: what is left of the violation
BATCH = 4  # starts a lane, between two times that all are idle
ERROR = 1e-6  # of a KKT point, in units of the box, at most
SURE = 1e-10  # the same, for other searches to end there
STAGES = np.int64(1) << 40  # the number of a search that goes on is its own plus this


@dataclasses.dataclass
class Subject:
    """What is searched, and what the streams of one search share.

    Attributes:
        rows: the constraints.
        exact: values, slopes and curvature.
        frame: box and bounds in float64.
        dtype: of x.
        most: the violation that counts as none.
        size: (1 + m,) one over the usual slopes of f and the rows, in units of the box; None before they are known.
        known: (k, n), (k,) and (k,) polished minima, their scaled values and their ranks, best first.
    """

    rows: Rows
    exact: Exact
    frame: Frame
    dtype: np.dtype
    most: float
    size: np.ndarray | None = None
    known: tuple[np.ndarray, np.ndarray, np.ndarray] = dataclasses.field(init=False)

    def __post_init__(self):
        """Nothing is known."""
        self.known = np.zeros((0, len(self.frame.low))), np.zeros(0), np.zeros(0)

    def packed(self, x: np.ndarray, lam: np.ndarray, size: np.ndarray, rho: Any, stage: tuple) -> np.ndarray:
        """(k, ...) Starts from x, (k, n), with scaled multipliers lam, (k, m), and scales (k, 1 + m)."""
        column = lambda number: np.broadcast_to(np.asarray(number, float).reshape(-1, 1), (len(x), 1))  # noqa: E731
        parts = Packed(x, lam, size[:, 1:], size[:, :1], column(rho), *(column(number) for number in stage))
        return np.concatenate(parts, axis=1).astype(self.dtype)

    def unpacked(self, packed: np.ndarray) -> Packed:
        """The parts of packed rows, (k, ...), in float64, each (k, ...)."""
        parts = lagrangian.unpack(packed.astype(np.float64).T, self.rows.count)
        return Packed(*(np.asarray(part).T for part in parts))

    def violation(self, c: np.ndarray, J: np.ndarray) -> float:
        """The largest of a point, in the rows' own scales."""
        return float(np.max(feasible.violations(c, J, self.frame), initial=0.0))


def subject(rows: Rows, ctol: float, exact: Exact, problem: Objective) -> Subject:
    """What is searched. ctol: the violation that counts as none."""
    sides = (np.asarray(side, np.float64) for side in (problem.lower, problem.upper, rows.lower, rows.upper))
    dtype = problem.structure.dtype
    return Subject(rows, exact, Frame(*sides), dtype, feasible.tolerance(ctol, dtype))


def views(closed: Closed, m: int, dtype: np.dtype) -> tuple[Closed, Closed]:
    """The function as the lanes see it, of packed variables, and as looks do: its rank. Programs are kept apart."""
    both = outputs(closed, dtype)
    lagrange = lagrangian.lagrangian(both, m)

    def searched(packed, leaves):
        lower, upper, _, *rest = leaves
        return lagrange(packed, [lower, upper, *rest])

    def looked(x, leaves):
        lower, upper, size, *rest = leaves
        return feasible.rank(*both(x, rest), lower, upper, size)

    programs = [closed.programs.setdefault(("constrained", name, m), {}) for name in ("lanes", "looks")]
    return tuple(closed._replace(value=v, programs=p) for v, p in zip((searched, looked), programs, strict=True))  # type: ignore[return-value]


class ConstrainedStreams(Streams):
    """Streams of searches under constraints; starts and ends are those of x."""

    subject: Subject
    """Set once the programs have been compiled."""
    region: Any
    """That of x."""

    def __init__(self, engines: list[Engine], problems: Problems, lockstep: bool, group: processes.Alone):
        """See `Streams`."""
        super().__init__(engines, problems, lockstep, group)
        self._given = problems
        self._held: list[minima.Ended] = []

    @property
    def room(self) -> int:
        """Starts that can be dealt: none unless all lanes are idle."""
        if len(self._returned[0]) or self._held or np.any(self._waiting) or np.any(self._at_work):
            return 0
        return min(super().room, BATCH * self.lanes * len(self._waiting))

    @property
    def busy(self) -> bool:
        """See `Streams`."""
        return super().busy or bool(self._held)

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """See `Streams`; starts of x, or packed ones that go on."""
        if starts.shape[1] != self.engine.n:
            size, m = np.repeat(self._scaled()[None], len(starts), axis=0), self.subject.rows.count
            starts = self.subject.packed(starts, np.zeros((len(starts), m)), size, lagrangian.PENALTY, FIRST)
        super().deal(starts, first_step, number, problem)

    def look(self, points: np.ndarray, number: np.ndarray, problem: int = 0) -> None:
        """See `Streams`."""
        self._scaled()
        super().look(points, number, problem)

    def run(self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int = 2**16) -> minima.Ended:
        """See `Streams`; ends come when all lanes are idle."""
        if self.looks is not None and len(self.looks.points):
            return super().run(rules, drain, allowed, most_ticks)
        rules = rules._replace(target=np.asarray(-math.inf, self.engine.dtype))  # that of a Lagrangian says nothing
        before = self.spent.nfev
        if np.any(self._waiting) or np.any(self._at_work) or len(self._returned[0]):
            self._held.append(super().run(rules, True, allowed, most_ticks))
        if np.any(self._waiting) or np.any(self._at_work) or len(self._returned[0]):
            return self._no_ends()
        left = math.inf if allowed is None else allowed - (self.spent.nfev - before)
        return self._finish(left)

    def cut(self) -> minima.Ended:
        """See `Streams`: what is at work or held ends as it is."""
        returned, packed = self._returned, super().cut()
        ended, self._held = minima.join([*self._held, packed]), []
        waiting = np.zeros(len(returned[0]), np.int64)  # of which the best points are not to be lost
        rest = minima.Ended(
            returned[0], waiting + np.nan, returned[2][:, 0], waiting + LocalStatus.CUT, waiting, waiting
        )
        return self._as_they_are(minima.join([ended, rest._replace(f=np.zeros(len(waiting), ended.f.dtype))]))

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `Streams`; of the objective alone."""
        f, _, g, _ = self.subject.exact.slopes(points)
        finite = np.isfinite(f) & np.all(np.isfinite(g), axis=1)
        g = np.where(finite[:, None], np.where(self.subject.frame.width > 0, g, 0), np.nan)
        return np.where(finite, f, np.inf), g.astype(self.subject.dtype)

    def save(self) -> dict[str, np.ndarray]:
        """See `Streams`."""
        subject = self.subject
        arrays = dict(zip(("known_x", "known_f", "known_rank"), subject.known, strict=True))
        if subject.size is not None:
            arrays["sizes"] = subject.size
        if self._held:
            arrays |= {f"held_{name}": field for name, field in minima.join(self._held)._asdict().items()}
        return super().save() | arrays

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """See `Streams`."""
        super().load(arrays)
        self.subject.known = arrays["known_x"], arrays["known_f"], arrays["known_rank"]
        if "sizes" in arrays:
            self.subject.size = arrays["sizes"]
            self._use_scales()
        if "held_x" in arrays:
            self._held = [minima.Ended(*(arrays[f"held_{name}"] for name in minima.Ended._fields))]

    # ---- scales ----

    def _scaled(self) -> np.ndarray:
        """(1 + m,) One over the usual slopes of f and the rows, which are found at the first use."""
        subject = self.subject
        if subject.size is None:
            frame = subject.frame
            unit = lastlook.points(SAMPLE, len(frame.low), np.random.default_rng(0))
            seen = subject.exact.slopes(frame.low + frame.width * unit)
            self.spent = self.spent.add(SAMPLE, ticks=SAMPLE)
            slopes = lengths(seen.g, seen.J, frame)
            slopes = np.where(np.isfinite(slopes) & (slopes > LEAST_SLOPE), slopes, np.nan)
            some = np.any(np.isfinite(slopes), axis=0)
            usual = np.ones(slopes.shape[1])
            usual[some] = np.nanmedian(slopes[:, some], axis=0)
            subject.size = 1 / usual
            self._use_scales()
        elif self._given is not None:
            self._use_scales()
        return subject.size

    def _use_scales(self) -> None:
        """Tells the programs of the scales of the rows."""
        if self._given is not None and self.subject.size is not None:
            lower, upper, _, *rest = self._given.args
            size = self.subject.size[1:].astype(self.engine.dtype)
            self.serve(Problems(self._given.region, [lower, upper, size, *rest]))
            self._given = None

    # ---- ends ----

    def _no_ends(self) -> minima.Ended:
        whole = np.zeros(0, np.int64)
        n, dtype = len(self.subject.frame.low), self.subject.dtype
        return minima.Ended(np.zeros((0, n), dtype), np.zeros(0, dtype), whole, whole, whole, whole)

    def _spend(self, nfev: float) -> None:
        count = math.ceil(nfev)
        self.spent = self.spent.add(count, ticks=count)

    def _finish(self, left: float) -> minima.Ended:
        """What has become of the searches that are held: their ends, or those that go on. left: evaluations."""
        ended, self._held = minima.join(self._held), []
        order = np.argsort(ended.start % STAGES, kind="stable")
        ended = minima.Ended(*(field[order] for field in ended))
        if not len(ended.f):
            return self._no_ends()
        subject, exact = self.subject, self.subject.exact
        parts, again = subject.unpacked(ended.x), ended.start >= STAGES
        lam = parts.lam * parts.size / parts.f_size
        violation = parts.least[:, 0]
        usual = subject.size
        value = np.where(np.isfinite(ended.f), ended.f.astype(np.float64) * usual[0] / parts.f_size[:, 0], np.inf)
        k = len(ended.f)
        x, rank, status = parts.x.copy(), np.full(k, np.nan), ended.status.copy()
        # An end at a known minimum is that minimum; Newton's method takes the others there, side by side.
        sound = np.isfinite(value) & (status != LocalStatus.INFEASIBLE) & (violation < math.inf)
        for i in np.flatnonzero(sound):
            known = self._at_known(parts.x[i], value[i])
            if known is not None:
                x[i], rank[i], status[i] = *known, LocalStatus.CONVERGED
        def polish(which: Any, places: np.ndarray) -> None:
            """Newton's method from these places."""
            nonlocal left
            if exact.newton and len(which):
                working = [kkt.newton(places[i], lam[i], subject.frame, NEAR[int(again[i])]) for i in which]
                points, used = side_by_side(working, exact, left)
                self._spend(used)
                left -= used
                good = [(i, p) for i, p in zip(which, points, strict=True) if p is not None and p.error <= ERROR]
                self._take_polished(good, value, x, rank, status)

        polish(np.flatnonzero(sound & np.isnan(rank)), parts.x)
        # From a feasible point Newton's method may succeed where it has not; the best few, and all that went on already.
        others = np.flatnonzero(np.isnan(rank))
        promising = self._most_promising([i for i in others if sound[i] and not again[i]], violation, value)
        mended = [i for i in others if (i in promising or again[i]) and np.isfinite(value[i])]
        if mended:
            working = [kkt.restore(parts.x[i], subject.frame, RESTORED) for i in mended]
            points, used = side_by_side(working, exact, left)
            self._spend(used)
            left -= used
            places = parts.x.copy()
            for i, point in zip(mended, points, strict=True):
                places[i] = parts.x[i] if point is None else point
            polish(mended, places)
            over = [i for i in mended if np.isnan(rank[i]) and again[i]]
            x[over] = places[over]
        # The best of the others go on; the rest is measured as it is.
        going = [i for i in promising if np.isnan(rank[i])] if left > ENOUGH else []
        measured = np.setdiff1d(np.flatnonzero(np.isnan(rank)), going)
        if len(measured):
            rank[measured] = self._ranks(x[measured])
        if len(going):
            self._go_on(ended, parts, lam, np.array(going), again)
        done = np.setdiff1d(np.arange(k), going)
        number = ended.start[done] % STAGES
        dtype = subject.dtype
        inside = np.clip(x[done].astype(dtype), subject.frame.low.astype(dtype), subject.frame.high.astype(dtype))
        ends = minima.Ended(inside, rank[done].astype(dtype), number, status[done], ended.nfev[done], ended.problem[done])
        return ends

    def _at_known(self, x: np.ndarray, value: float) -> tuple[np.ndarray, float] | None:
        """The known minimum in which this search ends, and its rank."""
        places, values, ranks = self.subject.known
        if not len(values):
            return None
        frame = self.subject.frame
        width = np.where(frame.width > 0, frame.width, 1)
        near = np.max(np.abs(places - x) / width, axis=1) <= SAME_PLACE
        near &= np.abs(values - value) <= SAME_VALUE * (1 + np.abs(values))
        return (places[near][0], ranks[near][0]) if np.any(near) else None

    def _take_polished(self, polished: list, value: np.ndarray, x: np.ndarray, rank: np.ndarray, status: np.ndarray):
        """Takes over the KKT points that are feasible and not higher than where they came from."""
        if not polished:
            return
        subject = self.subject
        # As they will be given back, in the dtype of x.
        places = np.array([point.x for _, point in polished]).astype(subject.dtype).astype(np.float64)
        seen = subject.exact.slopes(places)
        self._spend(len(polished) / 2)
        for (i, point), place, f, c, J in zip(polished, places, seen.f, seen.c, seen.J, strict=True):
            scaled = f * subject.size[0]
            if subject.violation(c, J) <= subject.most and scaled <= value[i] + HIGHER * (1 + abs(value[i])):
                x[i], status[i] = place, LocalStatus.CONVERGED
                rank[i] = feasible.ranked(float(f), 0.0, subject.most, subject.dtype)
                if point.error <= SURE:
                    self._remember(place, scaled, rank[i])

    def _remember(self, x: np.ndarray, value: float, rank: float) -> None:
        """One more minimum, among the best that are kept."""
        places, values, ranks = self.subject.known
        if len(values) and np.any(np.all(places == x, axis=1)):
            return
        values, ranks = np.append(values, value), np.append(ranks, rank)
        places, order = np.concatenate([places, x[None]]), np.argsort(values, kind="stable")[:KEPT]
        self.subject.known = places[order], values[order], ranks[order]

    def _most_promising(self, which: list[int], violation: np.ndarray, value: np.ndarray) -> list[int]:
        """Those of these ends that are worth more evaluations: the best few, unless better minima are known."""
        known = self.subject.known[1]
        best = known[0] if len(known) else np.inf
        order = sorted(which, key=lambda i: (max(violation[i], CLOSE), value[i]))[:GO_ON]
        return sorted(i for i in order if not np.isfinite(best) or value[i] <= best + PROMISING * (1 + abs(best)))

    def _go_on(self, ended: minima.Ended, parts: Packed, lam: np.ndarray, which: np.ndarray, again: np.ndarray) -> None:
        """These searches go on from where they stand, with their rows scaled by the slopes there."""
        subject = self.subject
        seen = subject.exact.slopes(parts.x[which])
        self._spend(len(which))
        slopes = lengths(seen.g, seen.J, subject.frame)
        least = LEAST_SHARE / subject.size
        own = 1 / np.where(np.isfinite(slopes), np.maximum(slopes, least), 1 / subject.size)
        own[:, 0] = subject.size[0]
        scaled = lam[which] * own[:, :1] / own[:, 1:]
        rho = np.clip(parts.rho[which, 0], lagrangian.PENALTY, 1e4)
        starts = subject.packed(parts.x[which], scaled, own, rho, LAST)
        first_step = np.full(len(which), lagrangian.NEXT_STEP, self.engine.dtype)
        searches = np.stack([ended.start[which] + STAGES, ended.problem[which]], axis=1)
        new = starts, first_step, searches
        self._returned = tuple(np.concatenate(pair) for pair in zip(self._returned, new, strict=True))  # type: ignore[assignment]

    def _ranks(self, x: np.ndarray) -> np.ndarray:
        """(k,) The ranks of points as they are."""
        seen = self.subject.exact.slopes(x.astype(self.subject.dtype))
        self._spend(len(x) / 2)
        most, dtype = self.subject.most, self.subject.dtype
        return np.array(
            [feasible.ranked(float(f), self.subject.violation(c, J), most, dtype) for f, c, J in zip(seen.f, seen.c, seen.J, strict=True)]
        )  # fmt: skip

    def _as_they_are(self, ended: minima.Ended) -> minima.Ended:
        """Packed ends as ends of x."""
        if not len(ended.f):
            return self._no_ends()
        x = self.subject.unpacked(ended.x).x.astype(self.subject.dtype)
        rank = self._ranks(x).astype(self.subject.dtype)
        return ended._replace(x=x, f=rank, start=ended.start % STAGES)


def lengths(g: np.ndarray, J: np.ndarray, frame: Frame) -> np.ndarray:
    """(k, 1 + m) Lengths of the slopes of f and the rows, in units of the box."""
    both = np.concatenate([g[:, None], J], axis=1) * frame.width
    with np.errstate(over="ignore", invalid="ignore"):
        return np.linalg.norm(both, axis=2)


def side_by_side(working: list[Generator], exact: Exact, left: float) -> tuple[list[Any], float]:
    """What becomes of generators of kkt.py, and what they took; None where no evaluation was left, or algebra failed."""
    ended: list[Any] = [None] * len(working)
    asked: dict[int, Any] = {}
    used, hessian = 0.0, len(exact.lower) / 2

    def advance(i: int, told: Any) -> None:
        try:
            asked[i] = working[i].send(told)
        except StopIteration as end:
            ended[i] = end.value
        except np.linalg.LinAlgError:
            pass

    for i in range(len(working)):
        advance(i, None)
    while asked:
        told: list[tuple[int, Any]] = []
        for curved in (True, False):  # those that want a Hessian, and those that do not
            which = [i for i, (_, lam) in asked.items() if (lam is not None) == curved]
            cost = len(which) * (1 + curved * hessian)
            if not which or used + cost > left:
                continue
            used += cost
            points = np.array([asked[i][0] for i in which])
            if curved:
                seen, H = exact.curved(points, np.array([asked[i][1] for i in which]))
            else:
                seen, H = exact.slopes(points), [None] * len(which)
            told += [(i, (seen.f[k], seen.c[k], seen.g[k], seen.J[k], H[k])) for k, i in enumerate(which)]
        asked = {}
        for i, answer in sorted(told, key=lambda pair: pair[0]):
            advance(i, answer)
    return ended, used


def compiled(
    problem: Objective, program: Program, subject: Subject, shown: Any, given: list[Any], group: processes.Alone,
    lockstep: bool, fit: bool, needs: opening.Needs,
) -> Callable[[int, int], ConstrainedStreams]:  # fmt: skip
    """Opens so many lanes of a problem with constraints; see `driver.compiled`."""
    m, dtype = subject.rows.count, problem.structure.dtype
    searched, looked = views(problem.closed, m, dtype)
    local = AugmentedLagrangian(program, m)  # type: ignore[arg-type]
    plain = sweep.one_problem(problem)
    size = np.ones(m, dtype) if subject.size is None else subject.size[1:].astype(dtype)
    args = [subject.rows.lower.astype(dtype), subject.rows.upper.astype(dtype), size, *plain.args]
    packed, unpacked = Problems(lagrangian.inside(plain.region, m), args), Problems(plain.region, args)

    def open_streams(lanes: int, short: int) -> ConstrainedStreams:
        opened = opening.open_streams(
            searched, local, packed, lanes, given, lambda: shown.compiling(lanes), (), lockstep, group, fit,
            needs.halved(short)._replace(points=0, pairs=0), ConstrainedStreams,
        )  # fmt: skip
        opened.subject, opened.region = subject, plain.region
        if needs.points:
            opened.looks = opening.looks_of(looked, unpacked, opened, needs.halved(short).points)
        return opened

    return open_streams
