"""The search of one problem, from level to level until a rule says stop; the order of its steps is in loop.py.

Between two chunks of the lanes every limit is looked at, so that it binds in the middle of a level, and the whole state
can be kept and taken up again.

Reference: A. Lloyd, MKL.NET.Optimization, `Minimum_Global` (2022). Differs from it in what a level is made of: the
local searches of a level share the lanes of one compiled program (sweep.py), and every limit binds in the middle of a
level.
"""

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible
from jaxglobal.constraints.subject import Subject
from jaxglobal.engine import processes
from jaxglobal.engine.opening import Opening
from jaxglobal.engine.streams import out_of_memory
from jaxglobal.engine.width import Width
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended, join
from jaxglobal.local.descent import Local
from jaxglobal.problem.objective import Objective
from jaxglobal.result import Level
from jaxglobal.search import ending, finish, incumbent, one_result
from jaxglobal.search import progress as display
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.incumbent import Incumbent
from jaxglobal.search.learning_source import source_of
from jaxglobal.search.limits import PAUSES, Limits
from jaxglobal.search.state import SearchState, Underway
from jaxglobal.starts.designs import Starts
from jaxglobal.status import LocalStatus, Status


class One:
    """One problem; see `loop.Searches`.

    Attributes:
        state: what is known of it.
        width: the lanes.
        source: of its starts.
        limits: from outside.
        checkpoint: where the state is kept, if it is.
        paused: whether the checkpoint goes on with searches that have been cut since.
        display: what a person sees.
    """

    def __init__(
        self, began: float, problem: Objective, guesses: np.ndarray, sequence: Starts, search: Local,
        rules: stopping.Rules, opening: Opening, callback: Any, shown: display.Silent,
        checkpoint: Checkpoint | None = None, group: processes.Alone = processes.ALONE, subject: Subject | None = None,
    ):  # fmt: skip
        """See `api.minimize.levels`, which checks the arguments.

        subject: what is searched under constraints, None without; values are then ranks, see `feasible.rank`.
        group: the processes that search together.
        """
        self._group, self.limits = group, Limits(began, rules, checkpoint, group)
        self.width, self._opening = Width(opening, group.count == 1), opening
        self.checkpoint, self._subject = checkpoint, subject
        self._problem, self._rules, self._search = problem, rules, search
        self._callback, self.display = callback, shown
        above = math.inf if subject is None else feasible.above(subject.dtype)
        starting = problem if subject is None else subject.starting(problem)
        self.source = source_of(starting, guesses, sequence, search, rules, above, opening.noise, opening.tiers)
        self.state = SearchState(problem, rules, subject, incumbent.nothing(problem))
        self._level_over = False  # nothing is left to deal, and nothing runs
        self.paused = False
        self._before: tuple[Incumbent, dict[str, np.ndarray]] | None = None  # the level began, to begin it anew
        self._load()

    def goes_on(self) -> bool:
        """See `loop.Searches`; level 0 begins whatever the limits."""
        state, index = self.state, len(self.state.levels)
        if state.status is Status.RUNNING and index and state.level is None:
            status = stopping.before_level(self._rules, index, state.found.searches, self.source.size(index))
            state.status = status or (self._limit() if self.streams else Status.RUNNING)
        return state.status is Status.RUNNING

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`; ends the search where the evidence does."""
        state = self.state
        if state.level is None or self.streams is None:
            yield from self._begin_level()
        if state.status is not Status.RUNNING:
            return
        free, found, nfev = int(np.sum(self._problem.free)), state.found, self.width.spent.nfev
        evidence = ending.by_evidence(self.source, self._rules, nfev, found.searches, free, found.full)
        state.status = evidence or Status.RUNNING
        if evidence is None and self.source.learns and not self.busy:  # between two rounds, which no clock divides
            yield from self.width.change(self.source.together(len(state.levels)), nfev, self._stands)

    def _begin_level(self) -> Iterator[None]:
        """Begins a level, or the rest of one that a checkpoint has, once its programs are compiled."""
        state, kept, index = self.state, self.state.level, len(self.state.levels)
        together = self.source.together(index)
        self._before = (state.found, self.source.save()) if kept is None else None
        nfev = self.width.spent.nfev if kept is None else kept.nfev
        yield from self.width.ready(together, nfev, self._waits)
        if self.streams is None:  # it was to end meanwhile
            return
        level = state.level = kept or Underway(index, 0, 0, np.zeros(len(LocalStatus), np.int64), nfev)
        if kept is None:  # else the streams are those of the checkpoint
            yield from self.width.change(together, nfev, self._stands)
        size, before = self.source.size(index), state.found.searches - level.done
        self._allowed = size if self._rules.max_starts is None else min(size, self._rules.max_starts - before)
        self._level_began = time.perf_counter() - level.seconds
        self.display.begin(index, self._allowed)
        if level.dealt and (reached := self._limit()) not in PAUSES:  # of a checkpoint, perhaps before its end
            state.status = reached

    def _waits(self) -> bool:
        """Whether nobody has asked the search to end meanwhile; a limit on time does not end a compilation."""
        self.state.status = self.limits.asked or self.state.status
        return self.state.status is Status.RUNNING

    def _stands(self) -> bool:
        """Whether no limit has been reached meanwhile."""
        self.state.status = self._limit()
        return self.state.status is Status.RUNNING

    def _limit(self) -> Status:
        """The limit that has been reached, or RUNNING."""
        found, streams = self.state.found, self.streams
        reached = self.limits.reached(found.searches, streams.spent.nfev, found.f, streams.hopeless)
        return reached or Status.RUNNING

    def deal(self) -> None:
        """See `loop.Searches`."""
        level = self.state.under_way
        level.dealt += self.source.deal(level.index, level.dealt, self._allowed, self.streams)
        self._level_over = not self.busy

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        return self.streams.busy

    def run(self) -> Ended:
        """See `loop.Searches`."""
        rules = self._search.rules(self._problem.structure.dtype, self._rules.target, self._opening.noise)
        left = None if self._rules.max_evals is None else self._rules.max_evals - self.streams.spent.nfev
        return self.streams.run(rules, self.source.drains(self.state.under_way.dealt, self._allowed), left)

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`: local searches of all processes, which it counts, or points only evaluated."""
        state, level = self.state, self.state.under_way
        learns = self.source.learns  # from all searches, which processes have to tell each other whole
        if learns:
            ended = join(self.streams.gather(ended))
        even = self.source.take(level.index, ended)
        if (beside := self.source.beside()) is not None:
            state.found = incumbent.improve(state.found, beside)
        if even is None:
            state.note_values(ended.f, self.streams.spent, self.limits.elapsed)
            state.found = incumbent.improve(state.found, ended)
            return
        news = incumbent.news(ended, even, state.found, self._problem, self._rules.fatol)
        for told in [news] if learns else self.streams.gather(news):
            level.counts += told.statuses
            level.done += int(np.sum(told.statuses))
            state.found = incumbent.collect(state.found, told)

    def observe(self) -> None:
        """See `loop.Searches`."""
        state, level = self.state, self.state.under_way
        best = state.shown(state.found.f)
        level.seconds = time.perf_counter() - self._level_began
        state.history.note(self.streams.spent.nfev, self.limits.elapsed, best)
        self.display.update(level.done, best)
        if self._level_over:  # what the level has found is asked first
            return
        state.status = self._limit()
        if self.limits.due:
            self.save()

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`; a limit may come between two blocks of starts, too."""
        state, level = self.state, self.state.level
        if level is None or self.streams is None or (state.status is Status.RUNNING and not self._level_over):
            return
        if state.status in PAUSES:  # the checkpoint goes on with the searches that are cut here
            self.save()
            self.paused = True
        if self.busy:
            self.take(self.streams.cut())
        seconds = np.array(time.perf_counter() - self._level_began)
        level.seconds = float(self._group.gather(seconds)[0])
        record = one_result.record(state, level, self.source, self.streams.spent.nfev)
        state.level = None
        state.levels.append(record)
        self.display.end(record)
        if state.status is Status.RUNNING:
            state.status = self._after_level() or Status.RUNNING
        told = self.limits.tell(self._callback, record)
        if state.status is Status.RUNNING and told is not None:
            state.status = told
        if state.status is not Status.RUNNING:
            self.end()
        yield state.levels[-1]

    def _after_level(self) -> Status | None:
        """Whether the search ends after the last level, by what was found."""
        state, rules, problem = self.state, self._rules, self._problem
        best = [level.fun if math.isfinite(level.fun) else math.inf for level in state.levels]
        eps, nfev, dear = float(np.finfo(problem.structure.dtype).eps), self.streams.spent.nfev, not self.streams.exact
        seen = None if rules.unseen is None else incumbent.unseen(state.found, problem, rules)
        free, hits = int(np.sum(problem.free)), incumbent.hits(state.found, rules)
        believed = dear or not free or bool(stopping.believed(nfev, hits, free))
        status = ending.after_level(rules, best, eps, nfev, self.source, seen, state.found.full, dear, believed)
        none = status is Status.NO_FINITE_VALUE or not (np.any(problem.free) or math.isfinite(best[-1]))
        return Status.INFEASIBLE if none and self._subject is not None else status

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`; where memory ran out."""
        if not out_of_memory(error) or self.width.most == 1 or self._before is None:
            raise error
        self.width.halve()
        self.state.found, dealt = self._before
        self.source.load(dealt)
        self.state.level = None

    def end(self) -> None:
        """See `loop.Searches`."""
        if self.state.seconds is not None:
            return
        state, pauses = self.state, self.state.status in PAUSES
        if not pauses:
            nfev = self.width.spent.nfev - (state.levels[-1].nfev if state.levels else 0)  # where its last level began
            for _ in self.width.ready(self.source.together(max(len(state.levels) - 1, 0)), nfev, lambda: True):
                pass
        exact = self.streams is not None and self.streams.exact
        if exact and self._subject is None:  # under constraints, ends are polished
            how = self._opening.precise, self.limits, self.checkpoint, self._group, self.gradient
            finish.last_digits(state, self.width, *how)
        if pauses and not self.paused:  # before anything that the search that goes on would not have done
            self.save()
        finish.agree(state, self.width, self.limits.elapsed, self._group, self.gradient)
        self.display.close()
        if not pauses and self.checkpoint is not None:
            self.gradient(state.found.x)
            self.save()

    def save(self) -> None:
        """Writes the checkpoint, if there is one. A search that was stopped can go on."""
        if self.checkpoint is None or self.streams is None:
            return
        state, arrays = self.state.packed(self.streams.calls)
        width = {"lanes": self.width.most, "short": self.width.short}
        self.checkpoint.write(state | width, arrays | self.source.save() | self.width.save())

    def _load(self) -> None:
        """Goes on from the checkpoint, if there is one; if that search had ended, so has this one."""
        kept = None if self.checkpoint is None else self.checkpoint.read()
        if kept is None:
            return
        kept, arrays = kept
        state = self.state
        state.unpack(kept, arrays)
        self.width.most, self.width.short = kept["lanes"], kept["short"]
        self.width.load(arrays, goes_on=state.status is Status.RUNNING)
        self.source.load(arrays)
        if state.status is not Status.RUNNING:
            state.seconds = self.limits.elapsed
            if self._subject is not None:  # of which streams are told else
                self._subject.load(arrays)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at the best point x, evaluated once for each that is looked at; NaN where there is none."""
        state = self.state
        if state.gradient is None or not np.array_equal(state.gradient[0], x):
            if self.streams is None or not math.isfinite(self.best.f):
                return np.full_like(x, np.nan)
            state.gradient = x, self.streams.gradient(x)
            state.looked += self.streams.exact  # others know it
        return state.gradient[1]

    @property
    def streams(self) -> Any:
        """Those at hand, None if there are none."""
        return self.width.streams

    @property
    def best(self) -> Incumbent:
        """What has been found, and where points are told one by one, the best of them."""
        told, known = None if self.streams is None else self.streams.best, self.state.found
        if told is not None and told[0] < known.f:
            return known._replace(f=told[0], x=told[1], status=LocalStatus.RUNNING)
        return known
