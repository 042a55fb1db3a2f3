"""Lanes whose points Python evaluates: what they ask for becomes calls, what these return values and gradients.

Each call is independent: a slow one holds back its own lane alone.
"""

import collections
import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.calls import Calls
from jaxglobal.engine.asked import AskedLanes
from jaxglobal.engine.called import Called
from jaxglobal.engine.differences import Differences, steps
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_point import Point, number
from jaxglobal.engine.streams import CHUNK_TIME
from jaxglobal.engine.workers import Inline
from jaxglobal.evidence import minima
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.region import Region


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
        self._called = Called(structure.n)  # where nothing is continuous

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """Advances the lanes whose calls are done, and makes calls for some tens of milliseconds."""
        ended = super().run(rules, drain)
        asked = self.ask(self._affordable(allowed))
        for ident, x, problem, value_only in zip(*asked, strict=True):
            if value_only:
                point = self._points[int(ident)] = Point(int(ident), int(problem), x, {})
                point.g = np.zeros_like(x)
                self._tasks.append((int(ident), "value", x))
            else:
                self._begin(int(ident), x, int(problem))
        until = time.perf_counter() + CHUNK_TIME
        while self._points and time.perf_counter() < until:
            told = self._call_all() if self._host.vectorized else self._call(until - time.perf_counter())
            if told and not isinstance(self._workers, Inline):
                break
        return ended

    @property
    def hopeless(self) -> bool:
        """See `AskedLanes`."""
        return self.calls.hopeless

    def _affordable(self, allowed: int | None) -> int:
        """Points that may be asked for now, of so many evaluations; no more calls than points in all lanes take."""
        if not self.wanted.waiting and not self.wanted.out:
            return self.lanes if allowed is None else max(allowed - len(self._points), 0)
        most = self.lanes * (1 + 2 * self._structure.n) - len(self._points)
        left = math.inf if allowed is None else self.spent.values_within(allowed) - len(self._points)
        return int(max(min(most, left), 0))

    def save(self) -> dict[str, np.ndarray]:
        """As `AskedLanes.save`, with the counts of the calls, and what they returned where one call says all."""
        counts = [self.calls.made, self.calls.failed, self.calls.timed_out, self.calls.died]
        own = {"calls": np.array(counts), "traceback": np.array(self.calls.traceback)} | self._called.save()
        return super().save() | own

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        super().load(arrays)
        made, failed, timed_out, died = (int(count) for count in arrays["calls"])
        self.calls = Calls(made, failed, timed_out, died, str(arrays["traceback"]))
        self._called.load(arrays)

    def serve(self, problems: Any) -> None:
        """As `AskedLanes.serve`."""
        super().serve(problems)
        self._called.clear()  # others may have their numbers now

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
        lower, upper, width = (np.asarray(s[problem] if self._own else s) for s in self._box)
        if host.jac is None or isinstance(host.jac, str):
            scheme = host.jac or "3-point"
            h = steps(x, width, scheme, host.step, host.noise)
            free = np.flatnonzero(width > 0)
            differences = {
                int(i): Differences(scheme, float(x[i]), float(h[i]), float(lower[i]), float(upper[i])) for i in free
            }
        point = self._points[ident] = Point(ident, problem, x, differences)
        called = callable(host.jac) and bool(np.any(width > 0))
        if host.jac is not True and not called and not differences:
            point.g = np.zeros_like(x)
        self._tasks.append((ident, "value", x))
        if called:
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
        told = False
        while self._tasks and self._workers.room > 0:
            ident, which, x = self._tasks.popleft()
            if self._recall(ident):
                told = True
            elif ident in self._points:
                call: Any = self._host.jac if which == "gradient" else self._host.fun
                args = self._arguments(self._points[ident].problem)
                self.calls.made += 1
                self._workers.submit((ident, which), call, self._structure.point(x), *args)
        for (ident, which), value, error, traceback in self._workers.outcomes(0.0 if told else max(wait, 0.0)):
            self.calls.count(error, traceback)
            told |= self._take(ident, which, None if error else value, bool(error))
        return told

    def _call_all(self) -> bool:
        """Makes all calls as one of the function, and one of its gradient; they share the args of their problem."""
        told, tasks = False, list(self._tasks)
        self._tasks.clear()
        groups = collections.defaultdict(list)
        for task in tasks:
            if self._recall(task[0]):
                told = True
            elif task[0] in self._points:
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
            if not failed and self._one_call(point):
                self._called.put(point.problem, point.x, point.f)
        else:
            i, offset = which
            point.differences[i].take(offset, math.nan if failed else self._number(value))
            self._difference(point, i)
        if not point.complete:
            return False
        del self._points[ident]
        self._tell(point)
        return True

    def _one_call(self, point: Point) -> bool:
        """Whether one call is all that can be known of the point: nothing is continuous there, and values are exact."""
        width = np.asarray(self._box.width)
        return not self._host.noise and not np.any(width[point.problem] if self._own else width)

    def _recall(self, ident: int) -> bool:
        """Tells the lane of a point whose value is known from an earlier call; whether it is."""
        point = self._points.get(ident)
        f = None if point is None else self._called.get(point.problem, point.x)
        if point is None or f is None:
            return False
        point.f, point.g = f, np.zeros_like(point.x)
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
