"""host: an objective that is not a JAX function, evaluated by Python, by a pool, or all points at once.

The lanes are those of asked.py; here their points become calls, and what the calls return becomes values and gradients.
Each call is independent: a slow one holds back its own lane alone.
"""

import atexit
import collections
import concurrent.futures as futures
import math
import pickle
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal import devices, minima
from jaxglobal.asked import AskedLanes
from jaxglobal.closed import Structure
from jaxglobal.descent import Program, Region
from jaxglobal.descent import Rules as LocalRules
from jaxglobal.differences import NEEDED, Differences, steps
from jaxglobal.result import Calls
from jaxglobal.streams import CHUNK_TIME
from jaxglobal.workers import Crew, Inline, Pool, Shift

LANES_A_WORKER = 4  # so that no worker waits while the last calls of a gradient end
FEWEST_LANES = 16


def host(
    fun: Callable[..., Any],
    jac: Any = None,
    executor: Any = None,
    workers: int | None = None,
    vectorized: bool = False,
    *,
    timeout: float | None = None,
    step: float | None = None,
    noise: float = 0.0,
    tag: str | None = None,
) -> "Host":
    """A Python function as an objective for `minimize`, `levels` and `minimize_many`.

    A call that raises, that times out or whose worker dies counts as a value that is not finite: at a trial the step is
    shrunk, a difference is taken from the other side, a search that begins there ends; the search as a whole goes on,
    and `Result.calls` counts them. The workers live as long as the object: close it, or use it as a context manager.

    Args:
        fun: fun(x, *args) -> number; x is a NumPy array, or a pytree of them. For processes it must be importable by
            name, as for `multiprocessing`, and the script guarded by `if __name__ == "__main__":`.
        jac: a function jac(x, *args) -> gradient in the structure of x; True where fun returns (value, gradient); None
            or "3-point" for central differences, "2-point" for forward ones, one-sided at bounds.
        executor: anything with the interface of `concurrent.futures.Executor`; it stays open.
        workers: without an executor, processes of our own (1, the default: none, calls are made here). With one, the
            calls that are under way at a time; give it where there is a time-out, which counts from the submission.
        vectorized: fun takes all points at once, x with a leading axis, and returns (k,) values; and so does jac.
        timeout: seconds that a call may take. A process of ours is killed, a thread cannot be.
        step: of the differences, in units of the box; None takes it from the dtype, the noise and the size of x.
        noise: the error of a value, where it is more than rounding.
        tag: says which function this is, for a checkpoint, beside its name.

    Returns:
        A `Host`, which can be called like fun.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong value.

    Example:
        >>> import numpy as np, jaxglobal as jg
        >>> simulator = jg.host(lambda x: float(np.sum((x - 1) ** 2)))
        >>> result = jg.minimize(simulator, [(-3, 4)] * 2, max_levels=2)
        >>> [round(float(v), 4) for v in result.x]
        [1.0, 1.0]
    """
    return Host(fun, jac, executor, workers, vectorized, timeout, step, noise, tag)


class Host:
    """A Python function with those who call it; see `host`."""

    def __init__(self, fun, jac, executor, workers, vectorized, timeout, step, noise, tag):
        """See `host`."""
        if not callable(fun):
            raise TypeError(f"`fun` must be a function fun(x, *args); got {type(fun).__name__}.")
        if not (jac is None or jac is True or callable(jac) or isinstance(jac, str) and jac in NEEDED):
            raise ValueError(f'`jac` must be a function, True, "2-point" or "3-point"; got {jac!r}.')
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise TypeError(f"`executor` must have a method `submit`; got {type(executor).__name__}.")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ValueError(f"`workers` must be a whole number of at least 1; got {workers!r}.")
        for name, value in (("timeout", timeout), ("step", step)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ValueError(f"`{name}` must be a positive number; got {value!r}.")
        if tag is not None and not isinstance(tag, str):
            raise TypeError(f"`tag` must be a string; got {type(tag).__name__}.")
        self.fun, self.jac, self.vectorized, self.step, self.noise = fun, jac, bool(vectorized), step, read_noise(noise)
        self.name, self.tag = getattr(fun, "__qualname__", type(fun).__qualname__), tag
        self.workers = workers or 1
        self._closed, self._hinted = False, False
        self._crew: Any = None
        self._executor, self._limit, self._timeout = executor, workers, timeout

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        return self.fun(*args)

    def __enter__(self) -> "Host":
        """The object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def of(self, fun: Callable[..., Any], tag: str) -> "Host":
        """A host like this one, for another function without a gradient of its own."""
        return Host(fun, None, self._executor, self._limit, False, self._timeout, self.step, self.noise, tag)

    @property
    def identity(self) -> Any:
        """Which function this is, for a checkpoint."""
        jac = getattr(self.jac, "__qualname__", self.jac)
        return self.name, self.tag, jac, self.vectorized, self.step, self.noise

    def open(self) -> Inline | Pool:
        """Those who make the calls; processes begin at the first use, and stay.

        Raises:
            ValueError: the object has been closed.
            TypeError: a process cannot import the function.
            RuntimeError: the processes die as they begin.
        """
        if self._closed:
            raise ValueError("`fun` must be an open host function; this one has been closed.")
        if self._executor is not None:
            return Pool(self._executor, self._limit, self._timeout)
        if self.workers == 1 and self._timeout is None:
            return Inline()
        if self._crew is None:
            sent = {name: importable(name, call) for name, call in (("fun", self.fun), ("jac", self.jac))}
            crew = Crew(self.workers, self._timeout)
            try:
                for name, pickled in sent.items():
                    check_received(name, crew, pickled)
            except BaseException:
                crew.close()
                raise
            self._crew = crew
            atexit.register(_close, weakref.ref(self))
        return Shift(self._crew)

    def close(self) -> None:
        """Ends the processes; an executor that was given stays open."""
        self._closed = True
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def lanes(self, given: int | str) -> int:
        """The number of lanes for `lanes=`."""
        if given == "auto":
            return max(FEWEST_LANES, 1 << (LANES_A_WORKER * self.workers - 1).bit_length())
        return devices.read_lanes(given, 1, np.dtype(float), 0.0)

    def hint(self, value: Any) -> None:
        """Says once that a JAX function needs no host."""
        if isinstance(value, jax.Array) and not self._hinted:
            self._hinted = True
            warnings.warn(
                "`fun` returned a JAX array: without host(...) it is compiled and has exact gradients", stacklevel=2
            )


def read_noise(noise: Any) -> float:
    """The error of a value, for `noise=`."""
    if isinstance(noise, bool) or not (isinstance(noise, int | float) and 0 <= noise < math.inf):
        raise ValueError(f"`noise` must be a number of at least 0; got {noise!r}.")
    return float(noise)


def importable(name: str, call: Any) -> bytes:
    """What a worker is sent for the function; raises unless it can be."""
    try:
        return pickle.dumps(call)
    except Exception as error:  # whatever the object's own way of pickling raises
        raise TypeError(
            f"`{name}` must be importable by name to be called in a process, defined at the top of a module; "
            f"got {getattr(call, '__qualname__', type(call).__name__)}: {error}."
        ) from None


def check_received(name: str, crew: Crew, pickled: bytes) -> None:
    """Raises unless a worker finds the function that it was sent; tried apart from a call, whose worker would die."""
    # What is sent here has to be of the standard library: workers import nothing of ours.
    received = crew.submit(exec, "import pickle; pickle.loads(pickled)", {"pickled": pickled})
    error = received.exception()
    if isinstance(error, futures.BrokenExecutor):
        raise RuntimeError(
            "the workers died as they began: guard the script by `if __name__ == '__main__':`, put "
            f"`{name}` in a module file, or use an executor of threads."
        )
    if error is not None:
        raise TypeError(
            f"`{name}` must be importable in a process: put it in a module file, or use an executor of threads; "
            f"got {type(error).__name__}: {error}."
        )


def refuse(fun: Any) -> None:
    """Raises where a function has to be a JAX one."""
    if isinstance(fun, Host):
        raise TypeError("`fun` must be a JAX function here; got a host function, which only a search can call.")


def _close(reference: Any) -> None:
    host = reference()
    if host is not None:
        host.close()


def number(value: Any) -> float:
    """What the function returned, as a float.

    Raises:
        TypeError: it is not one real number.
    """
    array = np.asarray(value)
    if value is None or array.size != 1 or array.dtype.kind not in "biuf":
        what = f"shape {array.shape}, {array.dtype}" if array.dtype != object else type(value).__name__
        raise TypeError(f"`fun` must return one real number; got {what}.")
    return float(array.reshape(()))


class Point:
    """A point of a lane: the calls that it needs, and what they have returned."""

    def __init__(self, ident: int, problem: int, x: np.ndarray, differences: dict[int, Differences]):
        """differences: of each free variable, none where the gradient is a call."""
        self.ident, self.problem, self.x, self.differences = ident, problem, x, differences
        self.f: Any = None  # a number, or several
        self.g: np.ndarray | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing more is to come; without a value, no gradient is waited for."""
        if self.f is None:
            return False
        return not np.all(np.isfinite(self.f)) or self.g is not None or self._all

    @property
    def _all(self) -> bool:
        return bool(self.differences) and all(d.complete for d in self.differences.values())

    def gradient(self) -> np.ndarray:
        """The gradient, (n,)."""
        if self.g is not None:
            return self.g
        g = np.zeros_like(self.x)
        for i, d in self.differences.items():
            g[i] = d.slope(math.nan if self.f is None else self.f)
        return g


class HostLanes(AskedLanes):
    """Lanes whose points the host evaluates.

    Attributes:
        calls: what became of the calls.
    """

    def __init__(self, host: Host, structure: Structure, arguments: Callable[[int], tuple], lanes: int, region: Region,
                 program: Program, own: bool = False):  # fmt: skip
        """arguments: of the problem of this number."""
        super().__init__(lanes, region, program, own)
        self._host, self._structure, self._arguments = host, structure, arguments
        self._workers = host.open()
        self.calls = Calls()
        self._points: dict[int, Point] = {}
        self._tasks: collections.deque[tuple[int, Any, np.ndarray]] = collections.deque()  # point, which call, where

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """Advances the lanes whose calls are done, and makes calls for some tens of milliseconds."""
        ended = super().run(rules, drain)
        asked = self.ask(self.lanes if allowed is None else max(allowed - len(self._points), 0))
        for ident, x, problem in zip(asked.ids, asked.x, asked.problem, strict=True):
            self._begin(int(ident), x, int(problem))
        until = time.perf_counter() + CHUNK_TIME
        while self._points and time.perf_counter() < until:
            told = self._call_all() if self._host.vectorized else self._call(until - time.perf_counter())
            if told and not isinstance(self._workers, Inline):
                break
        return ended

    def save(self) -> dict[str, np.ndarray]:
        """As `AskedLanes.save`, with the counts of the calls."""
        counts = [self.calls.made, self.calls.failed, self.calls.timed_out, self.calls.died]
        return super().save() | {"calls": np.array(counts), "traceback": np.array(self.calls.traceback)}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        super().load(arrays)
        made, failed, timed_out, died = (int(count) for count in arrays["calls"])
        self.calls = Calls(made, failed, timed_out, died, str(arrays["traceback"]))

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """As `AskedLanes.drop`; calls under way are not waited for, those that wait are not made."""
        self._points = {ident: point for ident, point in self._points.items() if point.problem not in problems}
        return super().drop(problems)

    def cut(self) -> minima.Ended:
        """Ends the searches where they are; calls under way are not waited for, those that wait are not made."""
        self._workers.close()
        self._points.clear()
        self._tasks.clear()
        return super().cut()

    def _begin(self, ident: int, x: np.ndarray, problem: int) -> None:
        """Makes the calls of a point tasks."""
        host, differences = self._host, {}
        if host.jac is None or isinstance(host.jac, str):
            scheme = host.jac or "3-point"
            lower, upper, width = (np.asarray(s[problem] if self._own else s) for s in self._box)
            h = steps(x, width, scheme, host.step, host.noise)
            free = np.flatnonzero(width > 0)
            differences = {
                int(i): Differences(scheme, float(x[i]), float(h[i]), float(lower[i]), float(upper[i])) for i in free
            }
        point = self._points[ident] = Point(ident, problem, x, differences)
        if host.jac is not True and not callable(host.jac) and not differences:
            point.g = np.zeros_like(x)
        self._tasks.append((ident, "value", x))
        if callable(host.jac):
            self._tasks.append((ident, "gradient", x))
        for i in differences:
            self._difference(point, i)

    def _difference(self, point: Point, i: int) -> None:
        """Makes the differences of a variable that are wanted now tasks."""
        for offset in point.differences[i].next():
            x = point.x.copy()
            x[i] = point.differences[i].place(offset)
            self._tasks.append((point.ident, (i, offset), x))

    def _call(self, wait: float) -> bool:
        """Submits tasks and takes in what is done; whether a point is complete."""
        while self._tasks and self._workers.room > 0:
            ident, which, x = self._tasks.popleft()
            if ident in self._points:
                call: Any = self._host.jac if which == "gradient" else self._host.fun
                args = self._arguments(self._points[ident].problem)
                self.calls.made += 1
                self._workers.submit((ident, which), call, self._structure.point(x), *args)
        told = False
        for (ident, which), value, error, traceback in self._workers.outcomes(max(wait, 0.0)):
            self.calls.count(error, traceback)
            told |= self._take(ident, which, None if error else value, bool(error))
        return told

    def _call_all(self) -> bool:
        """Makes all calls as one of the function, and one of its gradient; they share the args of their problem."""
        told, tasks = False, list(self._tasks)
        self._tasks.clear()
        groups = collections.defaultdict(list)
        for task in tasks:
            if task[0] in self._points:
                groups[task[1] == "gradient", self._points[task[0]].problem].append(task)
        for (is_gradient, problem), group in groups.items():
            xs = self._structure.point(np.stack([x for _, _, x in group]))
            self.calls.made += 1
            call: Any = self._host.jac if is_gradient else self._host.fun
            workers = Inline()
            if isinstance(self._workers, Inline):
                workers.submit(None, call, xs, *self._arguments(problem))
                ((_, values, error, traceback),) = workers.outcomes(0)
            else:
                values, error, traceback = self._wait(call, xs, *self._arguments(problem))
            self.calls.count(error, traceback)
            for k, (ident, which, _) in enumerate(group):
                told |= self._take(
                    ident, which, None if error else self._part(values, k, len(group), is_gradient), bool(error)
                )
        return told

    def _wait(self, call: Any, *args: Any) -> tuple[Any, str, str]:
        """One call of a vectorized function by the workers."""
        self._workers.submit(None, call, *args)
        while True:
            for _, value, error, traceback in self._workers.outcomes(CHUNK_TIME):
                return value, error, traceback

    def _part(self, values: Any, k: int, count: int, is_gradient: bool) -> Any:
        """What a vectorized function returned for point k."""
        both = self._host.jac is True
        f = values[0] if both and isinstance(values, tuple) and len(values) == 2 else values
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(values)]
        if not shapes or any(shape[:1] != (count,) for shape in shapes):
            name, got = "jac" if is_gradient else "fun", f"shapes {shapes}" if shapes else "None"
            raise TypeError(f"`{name}` must return an array of {count} values with vectorized=True; got {got}.")
        if is_gradient or both:
            return jax.tree.map(lambda leaf: np.asarray(leaf)[k], values)
        return np.asarray(f)[k]

    def _take(self, ident: int, which: Any, value: Any, failed: bool) -> bool:
        """Takes in what a call returned; tells the lane if its point is complete, and says so."""
        point = self._points.get(ident)
        if point is None:
            return False
        if which == "gradient":
            point.g = np.full_like(point.x, np.nan) if failed else self._gradient(value)
        elif which == "value":
            if not failed and self._host.jac is True:
                if not isinstance(value, tuple) or len(value) != 2:
                    raise TypeError(f"`fun` must return (value, gradient) with jac=True; got {type(value).__name__}.")
                value, point.g = value[0], self._gradient(value[1])
            self._host.hint(value)
            point.f = math.nan if failed else self._number(value)
        else:
            i, offset = which
            point.differences[i].take(offset, math.nan if failed else self._number(value))
            self._difference(point, i)
        if not point.complete:
            return False
        del self._points[ident]
        self._tell(point)
        return True

    @property
    def _box(self) -> Region:
        """Where points may lie."""
        return self.region

    def _number(self, value: Any) -> Any:
        """What a call returned, as a number."""
        return number(value)

    def _tell(self, point: Point) -> None:
        """Tells the lane of a point that is complete."""
        self.tell([point.ident], np.array([point.f]), point.gradient()[None])

    def _gradient(self, value: Any) -> np.ndarray:
        """A gradient that a call returned, (n,)."""
        shapes, expected = [np.shape(leaf) for leaf in jax.tree.leaves(value)], [*self._structure.shapes]
        if shapes != expected:
            raise TypeError(f"the gradient must have the shapes of x, {expected}; got {shapes or 'None'}.")
        kinds = [np.asarray(leaf).dtype for leaf in jax.tree.leaves(value)]
        if any(kind.kind not in "biuf" for kind in kinds):
            raise TypeError(f"the gradient must be real numbers; got {', '.join(map(str, kinds))}.")
        return self._structure.flatten(value)
