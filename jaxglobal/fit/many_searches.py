"""Levenberg-Marquardt for many data sets: what their searches have come to, and what these say of the lowest costs.

A search takes a few steps in a block of all; the few that have not ended then go on among themselves.
"""

from typing import Any

import numpy as np

from jaxglobal.fit import agreement
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.blocks import Blocks, left_out
from jaxglobal.fit.descent import noise
from jaxglobal.fit.limits import SPENT, Limits
from jaxglobal.fit.lockstep import FURTHER, Lockstep
from jaxglobal.fit.regression import Regression
from jaxglobal.status import LocalStatus

SHORT = 16  # evaluations after which searches that have not ended go on among themselves


class ManySearches:
    """The searches of P data sets.

    Attributes:
        best: of each the parameters, costs, triangular factors of the Jacobians, evaluations and statuses; None before
            the first search.
        agreement: what the searches say of the lowest costs.
    """

    def __init__(self, reg: Regression, blocks: Blocks, programs: Lockstep, limits: Limits, nfev: int):
        """nfev: evaluations of a search, at most."""
        self._reg, self._blocks, self._programs, self._limits, self._nfev = reg, blocks, programs, limits, nfev
        self._count = len(blocks.data.y)
        self.best: Any = None
        self.agreement = agreement.nothing(self._count)
        self._noise = noise(reg, blocks.data)

    def nearer(self, by: np.ndarray) -> None:
        """The data are those of which only these are far, (P, N)."""
        self._blocks.data = self._blocks.data.nearer(by, self._reg.loss)
        self._noise = noise(self._reg, self._blocks.data)

    def forget(self, which: np.ndarray) -> None:
        """Nothing is known of the lowest costs of these data sets."""
        for field, news in zip(self.agreement, agreement.nothing(len(which)), strict=True):
            field[which] = news

    def begin(self, which: np.ndarray) -> np.ndarray:
        """Searches from the best screened start of each data set; further ones, (U, S, n), NaN where there is none."""
        n, dtype = self._reg.structure.n, self._reg.structure.dtype
        empty = np.zeros((len(which), 0), dtype)
        if self._limits.max_evals is None and len(self._reg.searched) > 1:  # both are needed: compiled side by side
            self._blocks.begin(which, self._programs.first, empty)
            self._blocks.begin(which, self._programs.rest, np.zeros((len(which), n), dtype), np.int32(SHORT))
        *ends, others = self._blocks.run(which, self._programs.first, empty)
        np.add.at(self._limits.spent, which, ends[3])
        ends = self._to_the_end(which, ends)
        if self.best is None:
            self.best = [left_out(field, self._count) for field in ends]
        for mine, field in zip(self.best, ends, strict=True):
            mine[which] = field
        self._learn(which, ends[1][:, None])
        return others

    def begin_without(self) -> None:
        """No data set has been searched."""
        n, zero = self._reg.structure.n, np.zeros(self._count, np.int64)
        none = np.full((self._count, n, n), np.nan)
        self.best = [none[:, 0].copy(), none[:, 0, 0].copy(), none, zero, zero.copy()]

    def search(self, which: np.ndarray, starts: np.ndarray, m: int | None = None) -> np.ndarray:
        """Searches from the starts of these data sets, (U, S, n), NaN where there is none, and keeps what is better.

        m: until the fits are believed of models that are not linear in so many parameters; whether they are.
        """
        rows, columns = np.nonzero(np.isfinite(starts[:, :, 0]))
        f = np.full(starts.shape[:2], np.nan, starts.dtype)
        done = np.zeros(len(which), bool)
        able = self._limits.able(which[rows])
        rows, columns = rows[able], columns[able]
        if not len(rows):
            return done
        flat = which[rows]
        ends = self._to_the_end(flat, self._rest(flat, starts[rows, columns], SHORT))
        np.add.at(self.best[3], flat, ends[3])
        f[rows, columns] = ends[1]
        for first in range(0, starts.shape[1], FURTHER):
            part = np.where(done[:, None], np.nan, f[:, first : first + FURTHER])
            told = self._learn(which, part)
            taken = ~done[rows] & (columns >= first) & (columns < first + FURTHER)
            self._keep(flat[taken], [field[taken] for field in ends])
            done |= m is not None and agreement.reached(told, m)
        return done

    def _learn(self, which: np.ndarray, f: np.ndarray) -> Agreement:
        """Takes in the costs of more searches of these data sets, (U, S); what these say now."""
        told = agreement.learn(Agreement(*(field[which] for field in self.agreement)), f, self._noise[which])
        for field, news in zip(self.agreement, told, strict=True):
            field[which] = news
        return told

    def _keep(self, which: np.ndarray, ends: list[np.ndarray]) -> None:
        """Takes the best end of each data set where it is better than the best so far; of equal ones the first."""
        order = np.lexsort((np.arange(len(which)), np.where(np.isnan(ends[1]), np.inf, ends[1]), which))
        first = order[np.flatnonzero(np.diff(which[order], prepend=-1))]
        known = self.best[1][which[first]]
        first = first[(ends[1][first] < known) | (np.isnan(known) & np.isfinite(ends[1][first]))]
        for i in (0, 1, 2, 4):
            self.best[i][which[first]] = ends[i][first]

    def _to_the_end(self, which: np.ndarray, ends: list[np.ndarray]) -> list[np.ndarray]:
        """The ends of searches of these data sets, those that are cut short after they have gone on."""
        on = np.flatnonzero(ends[4] == LocalStatus.EVALUATION_LIMIT)
        on = on[self._limits.able(which[on])]
        if len(on):
            rest = self._rest(which[on], ends[0][on], self._nfev)
            searched = rest[3] > 0  # the others a limit has left out
            rest[3] += ends[3][on]
            for field, part in zip(ends, rest, strict=True):
                field[on[searched]] = part[searched]
        return ends

    def _rest(self, which: np.ndarray, p: np.ndarray, most: int) -> list[np.ndarray]:
        """Searches on from p, (k, n), of these data sets, with at most so many evaluations each.

        Where the evaluations of a data set are limited, as many side by side as these suffice for in any case; where a
        search has left some, others follow.
        """
        if self._limits.max_evals is None:
            return self._blocks.run(which, self._programs.rest, p, np.int32(most))
        ends: Any = None
        waiting = np.arange(len(which))
        while len(waiting):
            allowed = self._limits.afforded(which[waiting], most)
            now, allowed = waiting[allowed > 0], allowed[allowed > 0].astype(np.int32)
            if not len(now):
                break
            part = self._blocks.run(which[now], self._programs.limited, (p[now], allowed))
            ends = [left_out(field, len(which)) for field in part] if ends is None else ends
            for field, news in zip(ends, part, strict=True):
                field[now] = news
            np.add.at(self._limits.spent, which[now], part[3])
            short = (allowed < most) & (part[4] == LocalStatus.EVALUATION_LIMIT)
            self._limits.cut_off[which[now[short]]] = SPENT
            waiting = np.setdiff1d(waiting, now)
        self._limits.cut_off[which[waiting]] = SPENT
        return ends
