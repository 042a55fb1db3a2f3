"""The search of one problem, from level to level until a rule says stop; the order of its steps is in loop.py.

Between two chunks of the lanes every limit is looked at, so that it binds in the middle of a level, and the whole state
can be kept and taken up again.

Reference: A. Lloyd, MKL.NET.Optimization, `Minimum_Global` (2022). Differs from it in what a level is made of: the
local searches of a level share the lanes of one compiled program (sweep.py), and every limit binds in the middle of a
level.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxglobal.constraints import binding, feasible
from jaxglobal.engine import processes, streams, sweep
from jaxglobal.engine.spent import Spent
from jaxglobal.engine.width import Width
from jaxglobal.evidence import stopping
from jaxglobal.evidence.minima import Ended, join
from jaxglobal.history import History
from jaxglobal.local import polish
from jaxglobal.problem.linear_algebra import one_thread
from jaxglobal.result import Calls, Level, Result, message
from jaxglobal.search import checkpoint as checkpoints
from jaxglobal.search import dealing, found, loop
from jaxglobal.search.found import Found
from jaxglobal.search.limits import PAUSES, Limits
from jaxglobal.status import NOT_BEGUN, LocalStatus, Status

# Where no limit on time or evaluations ended the search.
POLISHED = (Status.SAME, Status.COVERED, Status.MAX_LEVELS, Status.MAX_STARTS, Status.TOO_LARGE)
MOST_STARTS = 10**100  # of a level, where its time is estimated


@dataclasses.dataclass
class Underway:
    """A level that has begun: what the search keeps beside the lanes.

    Attributes:
        index: of the level.
        dealt: starts dealt to the lanes.
        done: local searches that ended.
        counts: of them by `LocalStatus`.
        nfev: evaluations when the level began.
        seconds: that the level has taken so far.
    """

    index: int
    dealt: int
    done: int
    counts: np.ndarray
    nfev: int
    seconds: float = 0.0


class Levels(Iterator[Level]):
    """A running search: iterate over it for its levels; `result` is what it has found so far."""

    def __init__(
        self, began, problem, guesses, sequence, search, rules, lanes, callback, shown, open_streams, noise=0.0,
        checkpoint=None, precise=None, group=processes.ALONE, platform="any", tiers=(0.0, 0.0), subject=None,
    ):  # fmt: skip
        """See `levels`, which checks the arguments.

        subject: what is searched under constraints, None without; values are then ranks, see `feasible.rank`.

        open_streams, platform, tiers: see `Width`. noise: error of a value. precise: the objective in float64, if it
        has one; see `precise.Precise`. group: the processes that search together.
        """
        self._group, self._limits = group, Limits(began, rules, checkpoint, group)
        self._width = Width(open_streams, lanes, platform, group.count == 1, tiers)
        self._precise, self._noise, self._checkpoint, self._subject = precise, noise, checkpoint, subject
        self._began, self._problem = began, problem
        above = math.inf if subject is None else feasible.above(subject.dtype)
        self._dealer = dealing.dealer(problem, guesses, sequence, search, rules, above, noise)
        self._rules, self._callback, self._display = rules, callback, shown
        self._search = search
        self._found = found.nothing(problem)
        self._jac: tuple[np.ndarray, np.ndarray] | None = None  # a point, and the gradient there
        self._looked = 0  # gradients that were evaluated for a `result`, of which the search itself knows nothing
        self._levels: list[Level] = []
        self._history = History()
        self._level: Underway | None = None
        self._status = Status.RUNNING
        self._ended_at: float | None = None
        self._chunks = loop.search(self)
        self._dealt_all, self._paused = False, False
        self._before: tuple[Found, dict[str, np.ndarray]] | None = None  # the level began, to begin it anew
        self._calls: Calls | None = None
        if checkpoint is not None:
            self._load(checkpoint)

    def __next__(self) -> Level:
        """Searches the next level.

        Raises:
            StopIteration: the search has ended.
        """
        try:
            with self._limits.interrupt, one_thread(self._problem.closed.factorises):
                for level in self._chunks:
                    if level is not None:
                        return level
        except BaseException:
            self._display.close()
            raise
        raise StopIteration

    def step(self) -> Level | None:
        """Runs one chunk of the lanes; the level, if it has ended with it."""
        with one_thread(self._problem.closed.factorises):
            return next(self._chunks, None)

    def save(self) -> None:
        """Writes the checkpoint now.

        Raises:
            ValueError: the search has none.
        """
        if self._checkpoint is None:
            raise ValueError("`checkpoint` must be given for the search to be saved; got None.")
        if self._ended_at is None and self._streams is not None and not self._paused:  # else it is written
            self._save(at_once=True)

    def cancel(self) -> None:
        """Ends the search with the next chunk; to be called from any thread."""
        self._limits.cancelled = True

    @property
    def ended(self) -> bool:
        """Whether the search has ended."""
        return self._ended_at is not None

    def goes_on(self) -> bool:
        """See `loop.Searches`; level 0 begins whatever the limits."""
        if self._status is Status.RUNNING and self._levels and self._level is None:
            size = self._dealer.size(len(self._levels))
            status = stopping.before_level(self._rules, len(self._levels), self._found.searches, size)
            self._status = status or (self._limit() if self._streams else Status.RUNNING)
        return self._status is Status.RUNNING

    def prepare(self) -> Iterator[None]:
        """See `loop.Searches`; ends the search where the evidence does."""
        if self._level is None or self._streams is None:
            yield from self._begin_level()
        if self._status is not Status.RUNNING:
            return
        self._status = self._weigh() or Status.RUNNING
        if self._status is Status.RUNNING and self._dealer.learns and not self.busy:  # no clock divides two rounds
            together = self._dealer.together(self._level_index)
            yield from self._width.change(together, self._width.spent.nfev, self._stands)

    def _begin_level(self) -> Iterator[None]:
        """Begins a level, or the rest of one that a checkpoint has, once its programs are compiled."""
        kept, together = self._level, self._dealer.together(self._level_index)
        self._before = (self._found, self._dealer.save()) if kept is None else None
        nfev = self._width.spent.nfev if kept is None else kept.nfev
        yield from self._width.ready(together, nfev, self._waits)
        if self._streams is None:  # it was to end meanwhile
            return
        level = self._level = kept or Underway(self._level_index, 0, 0, np.zeros(len(LocalStatus), np.int64), nfev)
        if kept is None:  # else the streams are those of the checkpoint
            yield from self._width.change(together, nfev, self._stands)
        size, before = self._dealer.size(level.index), self._found.searches - level.done
        self._allowed = size if self._rules.max_starts is None else min(size, self._rules.max_starts - before)
        self._level_began = time.perf_counter() - level.seconds
        self._display.begin(level.index, self._allowed)
        if level.dealt and (reached := self._limit()) not in PAUSES:  # of a checkpoint, perhaps before its end
            self._status = reached

    def deal(self) -> None:
        """See `loop.Searches`."""
        level = self._under_way
        level.dealt += self._dealer.deal(level.index, level.dealt, self._allowed, self._streams)
        self._dealt_all = not self.busy

    @property
    def busy(self) -> bool:
        """See `loop.Searches`."""
        return self._streams.busy

    def run(self) -> Ended:
        """See `loop.Searches`."""
        rules = self._search.rules(self._problem.structure.dtype, self._rules.target, self._noise)
        left = None if self._rules.max_evals is None else self._rules.max_evals - self._streams.spent.nfev
        return self._streams.run(rules, self._dealer.drains(self._under_way.dealt, self._allowed), left)

    def observe(self) -> None:
        """See `loop.Searches`."""
        level, best = self._under_way, self._shown(self._found.f)
        level.seconds = time.perf_counter() - self._level_began
        self._history.note(self._streams.spent.nfev, self._limits.elapsed, best)
        self._display.update(level.done, best)
        self._status = self._limit()
        self._save(at_once=False)

    def end_levels(self) -> Iterator[Level]:
        """See `loop.Searches`; with a limit, between two blocks of starts, too."""
        if self._level is None or (self._status is Status.RUNNING and not self._dealt_all):
            return
        if self._status in PAUSES:  # the checkpoint goes on with the searches that are cut here
            self._save(at_once=True)
            self._paused = True
        if self.busy:
            self.take(self._streams.cut())
        self._level.seconds = time.perf_counter() - self._level_began
        yield self._end_level()

    def retry(self, error: Exception) -> None:
        """See `loop.Searches`; where memory ran out."""
        if not streams.out_of_memory(error) or self._width.most == 1 or self._before is None:
            raise error
        self._width.halve()
        self._found, dealt = self._before
        self._dealer.load(dealt)
        self._level = None

    def _end_level(self) -> Level:
        """Records the level, asks the stopping rule and the callback."""
        level = self._record()
        self._level = None
        self._levels.append(level)
        self._display.end(level)
        if self._status is Status.RUNNING:
            best = [record.fun if math.isfinite(record.fun) else math.inf for record in self._levels]
            eps = float(np.finfo(self._problem.structure.dtype).eps)
            seen = None if self._rules.unseen is None else found.unseen(self._found, self._problem, self._rules)
            nfev = self._streams.spent.nfev if self._streams.exact else math.inf  # others are dear
            weighed = self._dealer.learns
            full = self._rules.unseen is not None and self._found.full
            rules = dataclasses.replace(self._rules, unseen=None) if full else self._rules
            ended = stopping.after_level(rules, best, eps, nfev, weighed)
            if ended is Status.SAME and rules.same is None:
                least = dealing.least_evaluations(self._dealer.tried)
                ended = ended if self._width.spent.nfev >= least else None
            ended = ended or stopping.covered(rules, seen)
            none = ended is Status.NO_FINITE_VALUE or not (np.any(self._problem.free) or math.isfinite(best[-1]))
            ended = Status.INFEASIBLE if none and self._subject is not None else ended
            self._status = (Status.FULL if full and ended is Status.SAME else ended) or Status.RUNNING
        told = self._limits.tell(self._callback, level)
        if self._status is Status.RUNNING and told is not None:
            self._status = told
        if self._status is not Status.RUNNING:
            self.end()
        return level

    @property
    def _level_index(self) -> int:
        """Of the level that is under way, or begins next."""
        return len(self._levels)

    @property
    def _streams(self) -> Any:
        """Those at hand, None if there are none."""
        return self._width.streams

    def _waits(self) -> bool:
        """Whether nobody has asked the search to end meanwhile; a limit on time does not end a compilation."""
        self._status = self._limits.asked or self._status
        return self._status is Status.RUNNING

    def _stands(self) -> bool:
        """Whether no limit has been reached meanwhile."""
        self._status = self._limit()
        return self._status is Status.RUNNING

    @property
    def _under_way(self) -> Underway:
        """The level under way."""
        if self._level is None:
            raise RuntimeError("no level is under way.")
        return self._level

    def _value(self, f: float) -> float:
        """The value of a point that was found, NaN where it has none, or is not feasible."""
        if self._subject is not None:
            return feasible.value(f, self._subject.dtype)
        return f if math.isfinite(f) else math.nan

    def _shown(self, f: float) -> float:
        """The same for the display, which knows no NaN."""
        value = self._value(f)
        return math.inf if math.isnan(value) else value

    def _weigh(self) -> Status | None:
        """Whether the evidence ends the search."""
        free, found, nfev = int(np.sum(self._problem.free)), self._found, self._streams.spent.nfev
        return dealing.weigh(self._dealer, self._rules, nfev, found.searches, free, found.full)

    def _message(self, status: Status, calls: Calls | None) -> str:
        """Why the search ended; where that was by its evidence, what this is."""
        if status is not Status.SAME:
            return message(status, calls)
        evidence = self._dealer.told
        words = f"the best value was the same in {self._rules.alike} levels in a row"
        if self._rules.same is not None:
            return words
        tried = self._dealer.tried
        if tried.pure and tried.all:
            return f"each of the {tried.all:,} points of whole numbers was evaluated"
        if evidence is not None:
            words = stopping.words(evidence, self._width.spent.nfev, self._found.searches)
        if not tried.all:
            return words
        return f"{words}; searches began at each of the {tried.all:,} assignments of whole numbers"

    def _record(self) -> Level:
        """The level that has just ended."""
        level: Any = self._level
        level.seconds = float(self._group.gather(np.array(level.seconds))[0])
        size, following = (self._dealer.size(index) for index in (level.index, level.index + 1))
        return Level(
            index=level.index,
            x=self._problem.structure.point(self._found.x),
            fun=self._value(self._found.f),
            nstarts=level.done,
            nfev=self._streams.spent.nfev - level.nfev,
            time=level.seconds,
            next_time=level.seconds * (min(following, MOST_STARTS) / max(level.done, 1)),
            spacing=self._dealer.spacing(level.index, level.done),
            complete=level.done >= size and not level.counts[LocalStatus.CUT],
            statuses={LocalStatus(i): int(c) for i, c in enumerate(level.counts) if c},
        )

    def take(self, ended: Ended) -> None:
        """See `loop.Searches`: local searches of all processes, which it counts, or points only evaluated."""
        level = self._under_way
        learns = self._dealer.learns  # from all searches, which processes have to tell each other whole
        if learns:
            ended = join(self._streams.gather(ended))
        even = self._dealer.take(level.index, ended)
        if even is None:
            self._found = found.improve(self._found, ended)
            return
        news = found.news(ended, even, self._found, self._problem, self._rules.fatol)
        told = [news] if learns else self._streams.gather(news)
        for news in told:
            level.counts += news.statuses
            level.done += int(np.sum(news.statuses))
            self._found = found.collect(self._found, news)

    def _limit(self) -> Status:
        """The limit that has been reached, or RUNNING."""
        found, streams = self._found, self._streams
        reached = self._limits.reached(found.searches, streams.spent.nfev, found.f, streams.hopeless)
        return reached or Status.RUNNING

    def end(self) -> None:
        """See `loop.Searches`."""
        if self._ended_at is not None:
            return
        pauses = self._status in PAUSES
        if not pauses:
            nfev = self._width.spent.nfev - (self._levels[-1].nfev if self._levels else 0)  # where its last level began
            for _ in self._width.ready(self._dealer.together(max(self._level_index - 1, 0)), nfev, lambda: True):
                pass
        streams, before = self._streams, self._found
        exact = streams is not None and streams.exact
        of_values = exact and self._subject is None  # under constraints, ends are polished
        if of_values and self._status in POLISHED and math.isfinite(self._found.f):
            self._polish(streams)
        at_rest = self._status in (*POLISHED, Status.TARGET, Status.MAX_EVALS)
        if of_values and self._problem.closed.jumps and at_rest:
            value = functools.partial(sweep.single, self._problem)
            told = found.confirmed(self._found, before, value, self._rules.fatol)
            self._found = found.read(self._group.gather(told)[0])
        if pauses and not self._paused:  # before anything that the search that goes on would not have done
            self._save(at_once=True)
        self._agree()
        self._display.close()
        if not pauses and self._checkpoint is not None:
            self._gradient(self._found.x)
            self._save(at_once=True)

    def _agree(self) -> None:
        """The end, with the times and the gradient of process 0."""
        elapsed = self._limits.elapsed
        if self._group.count > 1:
            x, streams = self._found.x, self._streams
            g = self._gradient(x)
            spent = np.array([*streams.spent, self._looked])
            told = self._group.gather((np.array([elapsed, self._width.compile_time]), g, spent))
            (elapsed, self._width.compile_time), g, spent = told[0]
            *spent, self._looked = (int(number) for number in spent)
            streams.spent = Spent(*spent)
            self._jac = x, g
        self._ended_at = self._began + float(elapsed)

    def _save(self, at_once: bool) -> None:
        """Writes the checkpoint, if there is one, at once or if it is due. A search that was stopped can go on."""
        if self._checkpoint is None or self._streams is None or not (at_once or self._limits.due):
            return
        found_state, found_arrays = checkpoints.pack_found(self._found)
        levels_state, levels_arrays = checkpoints.pack_levels(self._levels, self._problem.structure)
        calls = self._streams.calls
        state = {
            "found": found_state,
            "levels": levels_state,
            "level": None if self._level is None else {**vars(self._level), "counts": self._level.counts.tolist()},
            "lanes": self._width.most,
            "short": self._width.short,
            "looked": self._looked,
            "status": (Status.RUNNING if self._status in PAUSES or self._level else self._status).name,
            "calls": None if calls is None else dataclasses.asdict(calls),
        }
        jac = {} if self._jac is None else dict(zip(("jac_of", "jac"), self._jac, strict=True))
        self._checkpoint.write(state, found_arrays | levels_arrays | jac | self._dealer.save() | self._width.save())

    def _load(self, checkpoint: checkpoints.Checkpoint) -> None:
        """Goes on from the checkpoint, if there is one; if that search had ended, so has this one."""
        kept = checkpoint.read()
        if kept is None:
            return
        state, arrays = kept
        self._found = checkpoints.unpack_found(self._found, state["found"], arrays)
        self._levels = checkpoints.unpack_levels(state["levels"], arrays, self._problem.structure)
        for k, level in enumerate(self._levels):
            self._history.note(sum(before.nfev for before in self._levels[: k + 1]), 0.0, level.fun)
        if state["level"] is not None:
            self._level = Underway(**{**state["level"], "counts": np.array(state["level"]["counts"])})
        self._width.most, self._width.short, self._looked = state["lanes"], state["short"], state["looked"]
        self._status = Status[state["status"]]
        self._width.load(arrays, goes_on=self._status is Status.RUNNING)
        self._dealer.load(arrays)
        self._calls = None if state["calls"] is None else Calls(**state["calls"])
        self._jac = (arrays["jac_of"], arrays["jac"]) if "jac" in arrays else None
        if self._status is not Status.RUNNING:
            self._ended_at = time.perf_counter()
            if self._subject is not None:  # of which streams are told else
                self._subject.load(arrays)

    def _polish(self, streams: Any) -> None:
        """Takes the best few minima to their last digits, where that costs little beside the search."""
        nfev = streams.spent.nfev
        left = math.inf if self._rules.max_evals is None else self._rules.max_evals - nfev
        count = polish.affordable(int(np.sum(self._problem.moves)), nfev, left)
        if not count:
            return

        def spend(nfev: int, ticks: int) -> None:
            streams.spent = streams.spent.add(nfev, ticks=ticks)

        def at_own_precision(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            spend(len(points), len(points))
            return streams.evaluate(points)

        precisely = None
        limited = self._rules.max_time is not None and self._checkpoint is None  # with one, the answer is the same
        hurried = limited and self._limits.left < self._width.compile_time
        if self._precise is not None and not hurried:
            began = time.perf_counter()
            precisely = self._precise.evaluator(self._width.most, spend)
            self._width.compile_time += time.perf_counter() - began
        mine, g = found.polished(self._found, self._problem, self._rules, at_own_precision, precisely, count)
        # Its rounding is that of the devices, and whether time was left for float64 is the clock's: process 0 decides.
        told, g = self._group.gather((mine, np.zeros(0) if g is None else g))[0]
        self._found = found.read(told)
        self._jac = (self._found.x, g) if len(g) else None

    def _gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at the best point x, evaluated once for each that is looked at; NaN where there is none."""
        if self._jac is None or not np.array_equal(self._jac[0], x):
            if self._streams is None or not math.isfinite(self._best.f):
                return np.full_like(x, np.nan)
            self._jac = x, self._streams.gradient(x)
            self._looked += self._streams.exact  # others know it
        return self._jac[1]

    @property
    def _best(self) -> Found:
        """What has been found, an evaluation of a search that goes on included where these are told one by one."""
        told = None if self._streams is None else self._streams.best
        if told is not None and told[0] < self._found.f:
            return self._found._replace(f=told[0], x=told[1], status=LocalStatus.RUNNING)
        return self._found

    @property
    def result(self) -> Result:
        """What has been found so far."""
        best = self._best
        return self._result(best, self._gradient(best.x), self._problem.has_aux)

    @property
    def known(self) -> Result:
        """The same without an evaluation: the gradient is NaN unless it is known. May be called beside a step."""
        best, looked = self._best, self._jac
        known = looked is not None and np.array_equal(looked[0], best.x)
        return self._result(best, looked[1] if looked and known else np.full_like(best.x, np.nan), False)

    def _result(self, best: Found, jac: np.ndarray, has_aux: bool) -> Result:
        """What has been found, with the gradient at the best point."""
        problem, rules, finite = self._problem, self._rules, math.isfinite(best.f)
        value = self._shown(best.f)
        spent = self._width.spent.add(self._looked, ticks=self._looked)
        ended_as = [item for level in self._levels for item in level.statuses.items()]
        begun, failed = (sum(n for status, n in ended_as if (status in NOT_BEGUN) is no) for no in (False, True))
        asked = self._status in (Status.RUNNING, Status.CALLBACK, Status.INTERRUPTED, Status.CANCELLED)
        none = Status.NO_FINITE_GRADIENT if finite else Status.NO_FINITE_VALUE
        status = self._status if begun or asked or (finite and not failed) else none
        ended = time.perf_counter() if self._ended_at is None else self._ended_at
        x = problem.structure.point(best.x)
        calls = self._calls if self._streams is None else self._streams.calls
        result = Result(
            x=x,
            fun=self._value(best.f),
            jac=problem.structure.unflatten(jac),
            aux=sweep.auxiliary(problem, best.x) if has_aux else None,
            success=finite and status in (Status.SAME, Status.COVERED, Status.TARGET),
            status=status,
            message=self._message(status, calls),
            nit=len(self._levels),
            nfev=spent.nfev,
            njev=spent.nfev,
            calls=calls,
            nstarts=best.searches,
            levels=list(self._levels),
            minima=found.distinct_minima(best, problem, rules.fatol, rules.frtol),
            unseen=found.unseen(best, problem, rules),
            lane_efficiency=spent.efficiency,
            time=ended - self._began,
            compile_time=self._width.compile_time,
            history=self._history.until(spent.nfev, ended - self._began, value) if math.isfinite(value) else [],
        )
        return result if self._subject is None else binding.told(result, self._subject, best.x, problem.structure)
