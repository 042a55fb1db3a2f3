"""What becomes of local searches under constraints that have ended in their lanes: their last digits, or more work.

A search ends in its lane with a few digits (lagrangian.py). Then, for a batch of them side by side:
1. one that ended at a known minimum is that minimum;
2. Newton's method on the KKT system takes the others to their last digits (kkt.py);
3. of those that ended where the violation does not fall any more, a few are made feasible, from where they are if it is
   small, else from fresh points of the box, and it tries from there: the objective may lead all searches to where
   the rows have no slope;
4. where it fails, the best few are first made feasible, and it tries again from there;
5. where that fails, they go on in the lanes, their rows scaled by the slopes where they stand, once;
6. what is left is measured as it is.
Where many end together (subjects.of_one), a program does 2 for all, and all that it fails for go on; the steps onto the
rows come after that, as a lane does the same for less.
What is decided depends on the batch and on what batches before it found, never on a clock.
"""

import math
from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np

from jaxglobal.constraints import feasible, kkt, lagrangian, penalties
from jaxglobal.constraints.exact import Exact
from jaxglobal.constraints.subject import Subject, lengths
from jaxglobal.evidence.minima import Ended
from jaxglobal.starts import lastlook
from jaxglobal.status import LocalStatus

FIRST = (1e-3, 1e-2, 250.0)  # violation, projected gradient and evaluations with which a search ends
ONCE = (math.inf, math.inf, 1.0)  # where no search can help
LAST = (1e-9, 1e-6, 400.0)  # the same of one that goes on
OF_MANY = (1e-3, 1e-3, 250.0), (1e-6, 1e-5, 400.0)  # both, where a program finishes many: a step there costs less
NEAR = 1e-4, 1e-6  # of the box: on a bound, after the first and the last of these
HIGHER = 0.1  # of 1 + abs of the scaled value, may Newton's method end above where it began
GO_ON = 4  # searches of a batch that go on
PROMISING = 0.3  # of 1 + abs of the best scaled value, may one of them lie above it
NEARLY = 1e-2  # a scaled violation from which the rows may yet be reached
CLOSE = 1e-4  # violations below are alike, where ends are put in order
STALLED = 5  # steps of a restoration in a row that gain little, where there are many places to look at
FRESH = 8  # searches of a batch that begin anew at fresh points
BARREN = 3  # times an assignment of whole numbers has led to nothing, after which it is left
FEW, QUICKER = 4, 4  # so many searches, and more, are polished in one program; so many times more with each call
ENOUGH = 50  # evaluations left, for a search to go on
ONTO = 26.0  # evaluations that a point needs to be made feasible, at most
RESTORED = 1e-12  # of the box: what is left of the violation
ERROR = 1e-6  # of a KKT point, in units of the box, at most
SURE = 1e-10  # the same, for other searches to end there
LEAST_SHARE = 1e-3  # of the usual slope of a row, is its slope where a search stands taken to be at least


class More(NamedTuple):
    """Searches of a batch that go on."""

    which: np.ndarray
    """(k,) Of the batch."""
    starts: np.ndarray
    """(k, ...) Packed."""


class Batch:
    """Searches that have ended.

    Attributes:
        spent: evaluations that finishing has taken so far.
        x: (k, n) where they are.
        rank: (k,) their ranks, NaN where that is not known yet.
        status: (k,) of `LocalStatus`.
    """

    def __init__(self, subject: Subject, ended: Ended, again: np.ndarray, left: float):
        """ended: with packed variables. again: (k,) whether it has gone on once. left: evaluations."""
        self._number = ended.start
        self._subject, self._again, self._left = subject, again, left
        self._parts = subject.unpacked(ended.x)
        parts = self._parts
        self._lam = parts.lam * parts.size / parts.f_size
        self._violation = parts.least[:, 0]
        f = ended.f.astype(np.float64) * subject.size[0] / parts.f_size[:, 0]
        self._value = np.where(np.isfinite(f), f, np.inf)  # in the scale that all share
        self.x, self.status, self.spent = parts.x.copy(), ended.status.copy(), 0.0
        self._packed = ended.x
        self._once = (parts.most[:, 0] == ONCE[-1]) & np.isfinite(f)
        self.status[self._once] = LocalStatus.INFEASIBLE
        self._sound = np.isfinite(f) & np.isfinite(self._violation) & (self.status != LocalStatus.INFEASIBLE)
        self.rank = np.full(len(f), np.nan)

    def finish(self) -> More:
        """Does all that the head of the file says; every rank is known then but of those that go on."""
        self._at_known(np.flatnonzero(self._sound))
        self._polish(self._polish_all(self._open(self._sound)), self._parts.x)
        self._mend(self._lost())
        renewed = self._renew()
        promising = self._promising(self._open(self._sound & ~self._again))
        before = promising if self._subject.ends is None else promising[:0]  # that a lane does for less
        self._mend(np.union1d(before, self._open(self._again & np.isfinite(self._value))).astype(int))
        going = np.union1d(promising[np.isnan(self.rank[promising])], renewed).astype(int)
        going = going if self._left - self.spent > ENOUGH else going[:0]
        rest = np.setdiff1d(self._open(np.ones(len(self.rank), bool)), going)
        if len(rest):
            self.rank[rest] = self._subject.ranks(self.x[rest])
            self.spent += len(rest) / 2
            # Without Newton's method the last digits are not sure.
            unsure = rest[(self.status[rest] == LocalStatus.CONVERGED) & self._subject.exact.newton]
            self.status[unsure] = LocalStatus.CONVERGED_TO_PRECISION
        return More(going, self._starts(going))

    def _at_known(self, which: np.ndarray) -> None:
        """Those of these that have ended at a known minimum are there."""
        known = self._subject.at_known(self.x[which], self._value[which])
        which, known = which[known >= 0], known[known >= 0]
        places, _, ranks = self._subject.known
        self.x[which], self.rank[which], self.status[which] = places[known], ranks[known], LocalStatus.CONVERGED

    def _open(self, which: np.ndarray) -> np.ndarray:
        """Those of these whose ranks are not known yet."""
        return self._among(np.flatnonzero(which))

    def _among(self, which: np.ndarray) -> np.ndarray:
        """The same of indices."""
        return which[np.isnan(self.rank[which])]

    def _side_by_side(self, working: list[Generator]) -> list[Any]:
        """What becomes of generators of kkt.py."""
        ended, used = side_by_side(working, self._subject.exact, self._left - self.spent)
        self.spent += used
        return ended

    def _polish_all(self, which: np.ndarray, restorations: int = 0) -> np.ndarray:
        """Newton's method in the program of many, if there is one; returns those of these that it has left untried.

        The first few go first, as others may have ended where they lead to. restorations: steps that make a search
        feasible before, at most; one that has gone on before stays there.
        """
        subject, ends = self._subject, self._subject.ends
        size = FEW if ends is None else ends.queue
        while ends is not None and FEW <= len(which):
            here, which, size = which[:size], which[size:], QUICKER * size
            if self._left - self.spent < len(here) * ends.dearest:
                return np.concatenate([here, which])
            end = ends.finish_one(subject, self._packed[here], restorations)
            self.spent += float(np.sum(end.nfev))
            moved = end.sure | (self._again[here] & (restorations > 0))
            self.x[here[moved]], good = end.x[moved], here[end.sure]
            self.rank[good], self.status[good] = end.rank[end.sure], LocalStatus.CONVERGED
            subject.valueless |= bool(np.any(end.valueless))
            exactly = end.sure & (end.error <= SURE)
            self._onto_rows(here[end.sure & ~exactly])
            subject.remember_all(end.x[exactly], end.rank[exactly])
            self._at_known(which)
            which = self._among(which)
        return which

    def _onto_rows(self, which: np.ndarray) -> None:
        """Takes those that Newton's method has left a little off the rows onto them: it would show in their values."""
        subject = self._subject
        if len(which):
            told = self._side_by_side(
                [kkt.restore(x, subject.frame_at(x), RESTORED, STALLED) for x in self.x[which].astype(np.float64)]
            )
            places = np.array([x if place is None else place for x, place in zip(self.x[which], told, strict=True)])
            ranks = subject.ranks(places)
            self.spent += len(which) / 2
            better = ranks < feasible.above(subject.dtype)
            self.x[which[better]], self.rank[which[better]] = places[better], ranks[better]

    def _polish(self, which: np.ndarray, places: np.ndarray) -> None:
        """Newton's method from places, (k, n) of the batch; keeps what is feasible and not higher than before."""
        subject = self._subject
        if not len(which) or not subject.exact.newton:
            return
        near = [NEAR[int(self._again[i])] for i in which]
        told = self._side_by_side(
            [
                kkt.newton(places[i], self._lam[i], subject.frame_at(places[i]), at)
                for i, at in zip(which, near, strict=True)
            ]
        )
        good = [(i, p) for i, p in zip(which, told, strict=True) if p is not None and p.error <= ERROR]
        if not good:
            return
        ends = np.array([point.x for _, point in good]).astype(subject.dtype).astype(np.float64)  # as they are returned
        seen = subject.exact.slopes(ends)
        self.spent += len(good) / 2
        for k, (i, point) in enumerate(good):
            value, before = float(seen.f[k]) * subject.size[0], self._value[i]
            low = value <= before + HIGHER * (1 + abs(before)) or self.status[i] == LocalStatus.INFEASIBLE
            if subject.violation(seen.c[k], seen.J[k]) <= subject.most and low:
                rank = feasible.ranked(float(seen.f[k]), 0.0, subject.most, subject.dtype)
                self.x[i], self.status[i], self.rank[i] = ends[k], LocalStatus.CONVERGED, rank
                if point.error <= SURE:
                    subject.remember(ends[k], value, rank)

    def _promising(self, which: np.ndarray) -> np.ndarray:
        """Those of these that are worth more evaluations: the best few, unless better minima are known."""
        known, value = self._subject.known[1], self._value
        limit = known[0] + PROMISING * (1 + abs(known[0])) if len(known) else np.inf
        order = np.lexsort((value[which], np.maximum(self._violation[which], CLOSE)))
        order = order[:GO_ON] if self._subject.ends is None else order
        best = np.sort(which[order])
        return best[value[best] <= limit]

    def _lost(self) -> np.ndarray:
        """Of those that ended where a violation is least nearby, one of each assignment of the whole numbers.

        Few searches begin at an assignment, and the objective may have led them all to where the rows have no slope.
        """
        subject, whole = self._subject, self._subject.whole
        which = self._open((self.status == LocalStatus.INFEASIBLE) & np.isfinite(self._value) & ~self._once)
        if not np.any(whole) or not len(which):
            return which[:0]
        which = which[np.argsort(self._violation[which], kind="stable")]
        which = np.sort(which[np.unique(self.x[which][:, whole], axis=0, return_index=True)[1]])
        seen = np.concatenate([subject.barren, np.where(whole, self.x[which], 0.0)])
        _, first, count = np.unique(seen, axis=0, return_inverse=True, return_counts=True)
        return which[count[first.reshape(-1)[len(subject.barren) :]] <= BARREN]

    def _mend(self, which: np.ndarray) -> None:
        """Makes searches feasible, and tries Newton's method from there; they stay there where they went on before."""
        lost = (self.status[which] == LocalStatus.INFEASIBLE) & np.any(self._subject.whole)
        which = np.union1d(which[lost], self._polish_all(which[~lost], kkt.RESTORATIONS)).astype(int)
        if not len(which) or self.spent >= self._left:
            return
        subject, places = self._subject, self._parts.x.copy()
        patience = STALLED if np.any(subject.whole) else kkt.RESTORATIONS
        told = self._side_by_side(
            [kkt.restore(places[i], subject.frame_at(places[i]), RESTORED, patience) for i in which]
        )
        for i, place in zip(which, told, strict=True):
            places[i] = places[i] if place is None else place
        self._polish(which, places)
        lost = self.status[which] == LocalStatus.INFEASIBLE
        stay = which[np.isnan(self.rank[which]) & (self._again[which] | lost)]
        self.x[stay] = places[stay]
        none = np.where(subject.whole, places[which[np.isnan(self.rank[which]) & lost]], 0.0)
        subject.barren = np.concatenate([subject.barren, none])

    def _renew(self) -> np.ndarray:
        """Makes a few of those that ended where a violation is least nearby feasible, from fresh points of the box.

        One that is nearly feasible begins where it stands: its multipliers may have had far to go.

        Returns those that go on from there. Where no feasible point is near, they stay where they were.
        """
        subject = self._subject
        which = self._open((self.status == LocalStatus.INFEASIBLE) & np.isfinite(self._value) & ~self._once)[:FRESH]
        if not len(which) or self.spent >= self._left or np.any(subject.whole):
            return which[:0]
        frame, places = subject.frame, self._parts.x.copy()
        fresh = frame.low + frame.width * lastlook.scattered(self._number[which], len(frame.width))
        nearly = self._violation[which] <= NEARLY
        begins = np.where(nearly[:, None], places[which], fresh)
        told = self._side_by_side([kkt.restore(x, frame, RESTORED, STALLED) for x in begins])
        for i, x, place in zip(which, begins, told, strict=True):
            places[i] = x if place is None else place
        self._lam[which] = 0.0
        self._polish(which, places)
        left = which[np.isnan(self.rank[which])]
        if not len(left):
            return left
        ranks = subject.ranks(places[left])
        self.spent += len(left) / 2
        good = ranks < feasible.above(subject.dtype)
        kept = left[good]
        self.x[kept], self.rank[kept], self.status[kept] = places[kept], ranks[good], LocalStatus.CONVERGED_TO_PRECISION
        going = kept[~self._again[kept]]
        self._parts.x[going], self._parts.rho[going], self.rank[going] = places[going], penalties.LARGE, np.nan
        return going

    def _starts(self, which: np.ndarray) -> np.ndarray:
        """From where these searches go on, packed, with their rows scaled by the slopes there."""
        subject, x = self._subject, self._parts.x[which]
        if not len(which):
            return np.zeros((0, lagrangian.packed_size(x.shape[1], subject.rows.m)), subject.dtype)
        seen = subject.exact.slopes(x)
        self.spent += len(which)
        slopes = lengths(seen.g, seen.J, subject.frame)
        own = 1 / np.where(np.isfinite(slopes), np.maximum(slopes, LEAST_SHARE / subject.size), 1 / subject.size)
        own[:, 0] = subject.size[0]  # so that values compare
        lam = self._lam[which] * own[:, :1] / own[:, 1:]
        rho = np.clip(self._parts.rho[which, 0], lagrangian.PENALTY, penalties.LARGE)
        return subject.packed(x, lam, own, rho, LAST if subject.ends is None else OF_MANY[1])


def onto_rows(subject: Subject, x: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Feasible points near these, (k, n), where there are any; their ranks, and the evaluations used."""
    told, used = side_by_side(
        [kkt.restore(point, subject.frame_at(point), RESTORED, STALLED) for point in x.astype(np.float64)],
        subject.exact, left,
    )  # fmt: skip
    places = np.array([point if place is None else place for point, place in zip(x, told, strict=True)], x.dtype)
    return places, subject.ranks(places), used + len(x) / 2


def side_by_side(working: list[Generator], exact: Exact, left: float) -> tuple[list[Any], float]:
    """What becomes of generators of kkt.py, and the evaluations used; None where none was left, or algebra failed."""
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
            points, H = np.array([asked[i][0] for i in which]), [None] * len(which)
            if curved:
                seen, H = exact.curved(points, np.array([asked[i][1] for i in which]))
            else:
                seen = exact.slopes(points)
            told += [(i, (seen.f[k], seen.c[k], seen.g[k], seen.J[k], H[k])) for k, i in enumerate(which)]
        asked = {}
        for i, answer in sorted(told, key=lambda pair: pair[0]):
            advance(i, answer)
    return ended, used
