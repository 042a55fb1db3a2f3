"""minimize and levels: the only Python loop. From level to level, until a rule says stop.

Reference: A. Lloyd, MKL.NET.Optimization, `Minimum_Global` (2022). Differs from it in what a level is made of: the
local searches of a level share the lanes of one compiled program (sweep.py), and every limit binds in the middle of a
level.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxglobal import bfgs, devices, found, objective, starts, stopping, sweep
from jaxglobal import progress as display
from jaxglobal.interrupt import Interrupt
from jaxglobal.minima import Ended
from jaxglobal.result import Level, LocalStatus, Result, Status
from jaxglobal.streams import Streams

CHUNK_TIME = 0.03  # seconds between two looks at the clock
FIRST_TICKS = 1  # of the first chunk, when nothing is known about their time
MOST_TICKS = 2**16
BAD = (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT)  # searches that could not begin
MOST_STARTS = 10**100  # of a level, where its time is estimated


def minimize(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
    *,
    x0: Any = None,
    starts: Any = "auto",
    local: Any = "auto",
    same: int = 4,
    fatol: float = 1e-8,
    frtol: float = 1e-8,
    max_time: float | None = None,
    max_levels: int | None = None,
    max_starts: int | None = None,
    max_evals: int | None = None,
    target: float | None = None,
    lanes: int | str = "auto",
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    callback: Callable[[Level], Any] | None = None,
    progress: bool | str = "auto",
) -> Result:
    """The global minimum of a JAX function in a box.

    Local searches start from ever finer sets of points, level by level, until the best value has been the same in
    `same` levels in a row or a limit is reached. A limit never raises and never loses the best point.

    Args:
        fun: fun(x, *args) -> scalar, any JAX function; x is a 1-D array or any pytree of arrays.
        bounds: pairs (low, high), a `scipy.optimize.Bounds` or a `jaxglobal.Box` of pytrees. Finite; low == high fixes
            a variable.
        args: further arguments of fun, pytrees of arrays. New values never compile anew.
        x0: your own guess, or several along a leading axis: searched first, with level 0.
        starts: "auto" (a grid where four levels of it are affordable, else Sobol points), `jaxglobal.Grid()`,
            `jaxglobal.Sobol()` or an object of your own with their three methods.
        local: "auto" or `jaxglobal.BFGS(...)`.
        same: stop after so many levels in a row with the same best value.
        fatol: two values are the same within fatol + frtol abs(f) (and never closer than a few eps of the dtype).
        frtol: see fatol.
        max_time: wall-clock seconds from the call, compilation included.
        max_levels: levels; 3 is levels 0, 1, 2.
        max_starts: local searches, those from x0 too.
        max_evals: evaluations (a value with its gradient); exceeded by at most one tick of the lanes.
        target: stop once a value is at or below it.
        lanes: local searches side by side on a thread or device, "auto" or a number.
        seed: of starts that are scrambled.
        has_aux: fun returns a pair (value, auxiliary output).
        open: the local searches may leave the box, which then only says where they start: True, a mask of the
            variables, or a `jaxglobal.Box` of two masks, one for each side.
        callback: called with each `Level`; raising `StopIteration` in it ends the search.
        progress: "auto" (a live bar in a terminal or a notebook), True (also lines in a log), False.

    Returns:
        A `Result`: x, fun, jac, success, status, message, levels, the distinct minima and counts.

    Raises:
        TypeError: an argument of the wrong kind, before anything compiles.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import jax.numpy as jnp, jaxglobal as jg
        >>> def rastrigin(x):
        ...     return 10 * x.size + jnp.sum(x**2 - 10 * jnp.cos(2 * jnp.pi * x))
        >>> result = jg.minimize(rastrigin, [(-4, 5.12), (-4, 5.12)])
        >>> bool(result.fun < 1e-6), result.status.name
        (True, 'SAME')
    """
    search = levels(**locals())
    for _ in search:
        pass
    return search.result


def levels(
    fun: Callable[..., Any],
    bounds: Any,
    args: Any = (),
    *,
    x0: Any = None,
    starts: Any = "auto",
    local: Any = "auto",
    same: int = 4,
    fatol: float = 1e-8,
    frtol: float = 1e-8,
    max_time: float | None = None,
    max_levels: int | None = None,
    max_starts: int | None = None,
    max_evals: int | None = None,
    target: float | None = None,
    lanes: int | str = "auto",
    seed: int = 0,
    has_aux: bool = False,
    open: Any = False,
    callback: Callable[[Level], Any] | None = None,
    progress: bool | str = "auto",
) -> "Levels":
    """The search of `minimize` as an iterator of `Level` records; the arguments are those of `minimize`.

    Returns:
        An iterator; its `result` is the `Result` so far, at any time.

    Example:
        >>> import jaxglobal as jg
        >>> search = jg.levels(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)])
        >>> for level in search:
        ...     if level.fun < 1e-6:
        ...         break
        >>> bool(abs(search.result.x[0] - 1) < 1e-6)
        True
    """
    began = time.perf_counter()
    rules = stopping.Rules(same, fatol, frtol, max_time, max_levels, max_starts, max_evals, target)
    if local != "auto" and not isinstance(local, bfgs.BFGS):
        raise TypeError(f'`local` must be "auto" or a jaxglobal.BFGS; got {local!r}.')
    if lanes != "auto" and (isinstance(lanes, bool) or not isinstance(lanes, int | np.integer) or lanes < 1):
        raise ValueError(f'`lanes` must be "auto" or a whole number of at least 1; got {lanes!r}.')
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be a function callback(level); got {type(callback).__name__}.")
    shown = display.show(progress)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"`seed` must be a whole number of at least 0; got {seed!r}.")
    problem, guesses = objective.check(fun, bounds, args, x0, open, has_aux)
    if target is not None:  # as the lanes will see it
        with np.errstate(over="ignore"):
            rules = dataclasses.replace(rules, target=float(np.asarray(target, problem.structure.dtype)))
    sequence = choose_starts(starts, problem, seed)
    search = bfgs.BFGS() if local == "auto" else local
    width = devices.choose_lanes(problem) if lanes == "auto" else int(lanes)
    return Levels(began, problem, guesses, sequence, search, rules, width, callback, shown)


def choose_starts(given: Any, problem: objective.Objective, seed: int) -> starts.Starts:
    """The sequence of starts for `starts=`."""
    if isinstance(given, str) and given == "auto":
        return starts.affordable(int(np.sum(problem.free)), seed)
    if isinstance(given, starts.Starts) and not isinstance(given, type):
        return given
    raise TypeError(
        f'`starts` must be "auto", a jaxglobal.Grid or jaxglobal.Sobol, or an object like them; got {given!r}.'
    )


def ticks(tick_time: float) -> int:
    """Ticks of the next chunk, so many that it takes about `CHUNK_TIME`."""
    return int(min(max(CHUNK_TIME / tick_time, 1), MOST_TICKS)) if tick_time else FIRST_TICKS


class Levels(Iterator[Level]):
    """A running search: iterate over it for its levels; `result` is what it has found so far."""

    def __init__(self, began, problem, guesses, sequence, search, rules, lanes, callback, shown):
        """See `levels`, which checks the arguments."""
        self._began, self._problem, self._guesses, self._sequence = began, problem, guesses, sequence
        self._rules, self._lanes, self._callback, self._display = rules, lanes, callback, shown
        self._search = search
        self._found = found.nothing(problem)
        self._jac: tuple[int, np.ndarray] | None = None
        self._levels: list[Level] = []
        self._status = Status.RUNNING
        self._streams: Streams | None = None
        self._spent = 0, 0  # evaluations and ticks of streams that ran out of memory
        self._compile_time = 0.0
        self._ended_at: float | None = None
        self._interrupt = Interrupt()

    def __next__(self) -> Level:
        """Searches the next level.

        Raises:
            StopIteration: the search has ended.
        """
        if self._status is Status.RUNNING and self._levels:  # level 0 always begins, so that there is a point to return
            size = self._size(len(self._levels))
            status = stopping.before_level(self._rules, len(self._levels), self._found.searches, size)
            self._status = status or (self._limit(self._streams) if self._streams else Status.RUNNING)
        if self._status is not Status.RUNNING:
            self._end()
            raise StopIteration
        try:
            with self._interrupt:
                return self._next_level()
        except BaseException:
            self._display.close()
            raise

    def _next_level(self) -> Level:
        """Searches a level, asks the stopping rule and the callback."""
        level = self._search_level(len(self._levels))
        self._levels.append(level)
        self._display.end(level)
        if self._status is Status.RUNNING:
            best = [record.fun if math.isfinite(record.fun) else math.inf for record in self._levels]
            eps = float(np.finfo(self._problem.structure.dtype).eps)
            self._status = stopping.after_level(self._rules, best, eps) or Status.RUNNING
        if self._callback is not None:
            try:
                self._callback(level)
            except StopIteration:
                if self._status is Status.RUNNING:
                    self._status = Status.CALLBACK
        if self._interrupt.asked and self._status is Status.RUNNING:
            self._status = Status.INTERRUPTED
        if self._status is not Status.RUNNING:
            self._end()
        return level

    def _own(self, index: int) -> int:
        """The user's own starts among those of the level."""
        return len(self._guesses) if index == 0 else 0

    def _local(self, spacing: float = bfgs.GUESS_STEP) -> bfgs.Rules:
        """The rules of the local searches of a level."""
        return self._search.rules(self._problem.structure.dtype, self._rules.target, spacing)

    def _size(self, index: int) -> int:
        """Starts of the level, the user's own included."""
        return self._own(index) + self._sequence.size(index, int(np.sum(self._problem.free)))

    def _search_level(self, index: int) -> Level:
        """Searches a level; where memory runs out, once more with half the lanes."""
        before = self._found
        while True:
            try:
                streams = self._ready()
                return self._run_level(index, streams)
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                out_of_memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
                if not out_of_memory or self._lanes == 1:
                    raise
                self._lanes //= 2
                if self._streams is not None:
                    self._spent = self._streams.nfev, self._streams.ticks
                self._streams = None
                self._found = before

    def _ready(self) -> Streams:
        """The streams, with the program compiled at the first use."""
        if self._streams is None:
            began = time.perf_counter()
            engine = sweep.engine(self._problem, self._lanes, lambda: self._display.compiling(self._lanes))
            self._compile_time += time.perf_counter() - began
            self._streams = Streams(engine, devices.threads(), sweep.region(self._problem), self._problem.args)
            self._streams.nfev, self._streams.ticks = self._spent
        return self._streams

    def _run_level(self, index: int, streams: Streams) -> Level:
        """Deals the starts of the level, chunk by chunk, until all have ended or a limit is reached."""
        began, size = time.perf_counter(), self._size(index)
        allowed = size if self._rules.max_starts is None else min(size, self._rules.max_starts - self._found.searches)
        counts = np.zeros(len(LocalStatus), np.int64)
        nfev, base, dealt, done = streams.nfev, self._found.searches, 0, 0
        free = int(np.sum(self._problem.free))
        spacing = bfgs.GUESS_STEP if self._own(index) else self._sequence.spacing(index, size, free)
        rules = self._local(spacing)
        self._display.begin(index, allowed)
        while self._status is Status.RUNNING:
            if dealt < allowed and streams.room:
                count = min(streams.room, allowed - dealt)
                streams.deal(self._points(index, dealt, count), base + dealt)
                dealt += count
            most = ticks(streams.engine.tick_time)
            if self._rules.max_evals is not None:
                left = self._rules.max_evals - streams.nfev
                most = min(most, max(left // streams.evaluations_a_tick, 1))
            ended = streams.run(rules, most, drain=dealt == allowed)
            done += self._collect(ended, counts)
            self._display.update(done, self._found.f)
            if dealt == allowed and not streams.busy:
                break
            self._status = self._limit(streams)
        if streams.busy:
            done += self._collect(streams.cut(), counts)
        if self._status is Status.RUNNING:
            self._status = self._limit(streams)
        seconds, starts_done = time.perf_counter() - began, max(done - self._own(index), 0)
        return Level(
            index=index,
            x=self._problem.structure.unflatten(self._found.x),
            fun=self._found.f if math.isfinite(self._found.f) else math.nan,
            nstarts=done,
            nfev=streams.nfev - nfev,
            time=seconds,
            next_time=seconds * (min(self._size(index + 1), MOST_STARTS) / max(done, 1)),
            spacing=self._sequence.spacing(index, starts_done, free),
            complete=done == size and not counts[LocalStatus.CUT],
            statuses={LocalStatus(i): int(c) for i, c in enumerate(counts) if c},
        )

    def _points(self, index: int, first: int, count: int) -> np.ndarray:
        """Starts first, ..., first + count - 1 of the level, in the user's coordinates; the user's own come first."""
        own = self._guesses[first : first + count] if index == 0 else self._guesses[:0]
        first, count = max(first - self._own(index), 0), count - len(own)
        if not count:
            return own
        unit = self._sequence.points(index, first, count, int(np.sum(self._problem.free)))
        return np.concatenate([own, self._problem.place(unit)])

    def _collect(self, ended: Ended, counts: np.ndarray) -> int:
        """Takes in local searches that ended, and counts them by status; returns how many."""
        counts += np.bincount(ended.status, minlength=len(counts))
        self._found = found.collect(self._found, ended, self._problem, self._rules.fatol)
        return len(ended.f)

    def _limit(self, streams: Streams) -> Status:
        """The limit that has been reached, or RUNNING."""
        if self._interrupt.asked:
            return Status.INTERRUPTED
        elapsed = time.perf_counter() - self._began
        return (
            stopping.within_level(self._rules, self._found.searches, streams.nfev, elapsed, self._found.f)
            or Status.RUNNING
        )

    def _end(self) -> None:
        if self._ended_at is None:
            self._ended_at = time.perf_counter()
            self._display.close()

    def _gradient(self, streams: Streams) -> np.ndarray:
        """The gradient at the best point, evaluated once for each best point that is looked at."""
        if self._jac is None or self._jac[0] != self._found.start:
            self._jac = self._found.start, streams.gradient(self._found.x, self._local())
        return self._jac[1]

    @property
    def result(self) -> Result:
        """What has been found so far."""
        problem, rules, best = self._problem, self._rules, self._found
        finite = math.isfinite(best.f)
        nfev, efficiency, jac = 0, 0.0, np.full_like(best.x, np.nan)
        if self._streams is not None:
            jac = self._gradient(self._streams) if finite else jac
            nfev = self._streams.nfev
            efficiency = nfev / max(self._streams.ticks, 1)
        begun = sum(count for level in self._levels for status, count in level.statuses.items() if status not in BAD)
        asked = self._status in (Status.RUNNING, Status.CALLBACK, Status.INTERRUPTED)
        status = self._status if begun or asked else Status.NO_FINITE_VALUE
        ended = time.perf_counter() if self._ended_at is None else self._ended_at
        x = problem.structure.unflatten(best.x)
        return Result(
            x=x,
            fun=best.f if finite else math.nan,
            jac=problem.structure.unflatten(jac),
            aux=sweep.auxiliary(problem, x) if problem.has_aux else None,
            success=finite and status in (Status.SAME, Status.TARGET),
            status=status,
            message=status.value,
            nit=len(self._levels),
            nfev=nfev,
            njev=nfev,
            nstarts=best.searches,
            levels=list(self._levels),
            minima=found.distinct_minima(best, problem, rules.fatol, rules.frtol),
            lane_efficiency=efficiency,
            time=ended - self._began,
            compile_time=self._compile_time,
        )
