"""Lanes of local searches that stand still until somebody else has evaluated their points: how they go on, and end.

The same local searches as in the compiled loop, `begin` and `advance` of their `descent.Program`, in the same lanes;
but a lane stands still until the value and the gradient at its point have been told, in whatever order and however
late. Who is asked for them is in asked.py.
"""

import functools
import time
from typing import Any

import jax
import numpy as np

from jaxglobal.engine.spent import Spent
from jaxglobal.engine.sweep import lane_shapes
from jaxglobal.engine.wanted import Look, Wanted
from jaxglobal.evidence import minima
from jaxglobal.local import descent
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

WAITING = 2**12  # starts in the queue, at most
NUMBERS = 2**22  # in these starts, at most; never fewer than lanes


@functools.lru_cache(256)
def advance_of(program: Program, own: bool) -> Any:
    """Advances the lanes whose evaluation has been told; compiled once for their shapes, whatever the function."""

    def advance(lane: Any, f, g, told, region: Region, rules: LocalRules):
        sides = (side.T if own else side[:, None] for side in region)
        advanced = program.advance(lane, f[None], g.T, Region(*sides), rules)
        return descent.choose_by_lane(told, advanced, lane)

    return jax.jit(advance, donate_argnums=0)


class StillLanes:
    """Lanes that wait to be told; see `lanes.Lanes`. None is evaluated without a search at work in it."""

    exact, hopeless = False, False
    calls: Any = None

    def __init__(self, lanes: int, region: Region, program: Program, own: bool = False):
        """Idle lanes. region: of the problem, each (n,), or of each problem, (P, n), where they differ."""
        self.region, self._own, self.lanes, self._program = region, own, lanes, program
        self.n, self.dtype = np.shape(region.width)[-1], np.dtype(region.width.dtype)
        self.spent = Spent()
        self.best: tuple[float, np.ndarray, np.ndarray] | None = None
        self._serial = 0
        self._clear()

    def _clear(self) -> None:
        n, lanes, dtype = self.n, self.lanes, self.dtype
        with jax.enable_x64(dtype == np.float64):
            shapes = lane_shapes(self._program, n, lanes, dtype)
            self.lane = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        self.queue: list[tuple[np.ndarray, float, int, int]] = []  # start, first step, number, problem
        self.at_work = np.full((lanes, 2), -1, np.int64)
        self.first_step = np.ones(lanes, dtype)
        self._ids = np.full(lanes, -1, np.int64)  # of the point that has been asked, -1 where it has not
        self._told = np.zeros(lanes, bool)
        self._f, self._g = np.zeros(lanes, dtype), np.zeros((lanes, n), dtype)
        self.wanted = Wanted()

    @property
    def room(self) -> int:
        """Starts that can be dealt: none unless the queue is empty."""
        return 0 if self.queue else min(WAITING, max(NUMBERS // self.n, self.lanes))

    @property
    def evaluations_a_tick(self) -> int:
        """One for each search at work."""
        return int(np.sum(self.at_work[:, 0] >= 0))

    @property
    def busy(self) -> bool:
        """Whether a start waits or a lane is at work."""
        return len(self.wanted) > 0 or bool(self.queue) or bool(np.any(self.at_work[:, 0] >= 0))

    def deal(self, starts: np.ndarray, first_step: Any, number: np.ndarray, problem: Any = 0) -> None:
        """Takes starts, as `Streams.deal`."""
        k = len(starts)
        self.queue += zip(starts, np.broadcast_to(first_step, k), number, np.broadcast_to(problem, k), strict=True)
        self._fill()

    def _fill(self) -> None:
        """Gives the idle lanes the next starts."""
        idle = np.flatnonzero(self.at_work[:, 0] < 0)[: len(self.queue)]
        if not len(idle):
            return
        taken, self.queue = self.queue[: len(idle)], self.queue[len(idle) :]
        trial, nfev, status = (np.array(leaf) for leaf in (self.lane.trial, self.lane.nfev, self.lane.status))
        for i, (start, first_step, number, problem) in zip(idle, taken, strict=True):
            trial[:, i], self.first_step[i], self.at_work[i] = start, first_step, (number, problem)
        nfev[0, idle] = status[0, idle] = 0
        self._ids[idle], self._told[idle] = -1, False
        self.lane = self.lane._replace(trial=trial, nfev=nfev, status=status)

    @property
    def news(self) -> bool:
        """Whether the next run has values to return, told since the last one at points from which no search begins."""
        return bool(self.wanted.told)

    def look(self, points: np.ndarray, number: np.ndarray, problem: Any = 0, then: Any = None) -> None:
        """Asks for the values at points, (k, n), from which no search begins; they are returned, not told."""
        self.wanted.add(points.astype(self.dtype), number, problem)

    def onto_rows(self, points: np.ndarray, left: float) -> tuple[np.ndarray, np.ndarray] | None:
        """See `Lanes`: the points would have to be asked for."""

    def know(self, known: Any) -> None:
        """Does nothing: searches whose points are told do not end at known minima."""

    def gather(self, news: Any) -> list[Any]:
        """As `Streams.gather`; no other process takes part."""
        return [news]

    def serve(self, problems: Any) -> None:
        """As `Streams.serve`."""
        self.region = problems.region

    def run(
        self, rules: LocalRules, drain: bool, allowed: int | None = None, most_ticks: int | None = None
    ) -> minima.Ended:
        """Advances the lanes that have been told, by one evaluation; returns the searches that ended.

        Or, where only values were asked for, those that were told.
        """
        if self.news:
            return self._seen_alone(self.wanted.take())
        if not np.any(self._told):
            return self._ended(np.zeros(0, np.int64))
        advance = advance_of(self._program, self._own)
        region = self.region
        if self._own:
            of_lanes: Any = [np.asarray(side)[np.maximum(self.at_work[:, 1], 0)] for side in region]
            region = Region(*of_lanes)
        rules = rules._replace(first_step=self.first_step[None])
        with jax.enable_x64(self.dtype == np.float64):
            self.lane = advance(self.lane, self._f, self._g, self._told, region, rules)
        self._ids[self._told] = -1
        done = np.flatnonzero(self._told & (np.asarray(self.lane.status)[0] != LocalStatus.RUNNING))
        self._told[:] = False
        return self._release(self._over(done))

    def _seen_alone(self, looked: list[Look]) -> minima.Ended:
        """Points at which no search is that were told, as ended."""
        if not looked:
            return self._ended(np.zeros(0, np.int64))
        x, f = np.array([look.x for look in looked], self.dtype), self._looked_at(looked)
        number, problem = (np.array([look[i] for look in looked], np.int64) for i in (1, 2))
        status, once = np.full(len(looked), int(LocalStatus.RUNNING)), np.ones(len(looked), np.int64)
        return minima.Ended(x, np.where(np.isfinite(f), f, np.inf).astype(self.dtype), number, status, once, problem)

    def _looked_at(self, looked: list[Look]) -> np.ndarray:
        """(k,) The values of points."""
        return np.array([look.told[0] for look in looked], float)

    def _over(self, lanes: np.ndarray) -> np.ndarray:
        """Those of these lanes, whose local searches have ended, that want no more points for their last digits."""
        return lanes

    def _release(self, lanes: np.ndarray) -> minima.Ended:
        """The searches of these lanes, which take the next starts."""
        ended = self._ended(lanes)
        self.at_work[lanes] = -1
        self._fill()
        return ended

    def _ended(self, lanes: np.ndarray, status: LocalStatus | None = None) -> minima.Ended:
        """The searches of these lanes as ended."""
        lane = self.lane
        x, f = np.asarray(lane.best_x)[:, lanes].T.copy(), np.asarray(lane.best_f)[0, lanes].copy()
        how = np.asarray(lane.status)[0, lanes].astype(np.int64)
        how = how if status is None else np.full(len(lanes), int(status), np.int64)
        number, problem = self.at_work[lanes].T.copy()
        return minima.Ended(x, f, number, how, np.asarray(lane.nfev)[0, lanes].astype(np.int64), problem)

    def under_way(self) -> tuple[np.ndarray, np.ndarray]:
        """As `Streams.under_way`."""
        works, waiting = self.at_work[:, 0] >= 0, np.array([start[3] for start in self.queue], np.int64)
        nfev = np.asarray(self.lane.nfev)[0, works]
        return np.concatenate([self.at_work[works, 1], waiting]), np.concatenate([nfev, np.zeros(len(waiting), int)])

    def drop(self, problems: np.ndarray) -> minima.Ended:
        """As `Streams.drop`; points of these problems that were asked are dropped."""
        self.queue = [start for start in self.queue if start[3] not in problems]
        told = self.wanted.drop(problems)
        works = (self.at_work[:, 0] >= 0) & np.isin(self.at_work[:, 1], problems)
        values, ended = self._seen_alone(told), self._ended(np.flatnonzero(works & self._begun), LocalStatus.CUT)
        self.at_work[works], self._ids[works], self._told[works] = -1, -1, False
        self._fill()
        return minima.join([values, ended])

    def cut(self) -> minima.Ended:
        """Ends the searches at work where they are; starts that wait, and points that were asked, are dropped."""
        begun = np.flatnonzero((self.at_work[:, 0] >= 0) & self._begun)
        values, ended = self._seen_alone(self.wanted.take()), self._ended(begun, LocalStatus.CUT)
        self._clear()
        return minima.join([values, ended])

    @property
    def _begun(self) -> np.ndarray:
        """(L,) The lanes in which something was evaluated for the search that is there."""
        return np.asarray(self.lane.nfev)[0] > 0

    def save(self) -> dict[str, np.ndarray]:
        """The lanes, their searches and the starts that wait, as arrays. Points that are out will be asked again."""
        fields: Any = zip(*self.queue, strict=True) if self.queue else ((), (), (), ())
        starts, first_step, number, problem = (np.array(field) for field in fields)
        f, x, g = self.best or (np.inf, np.zeros(self.n), np.zeros(self.n))
        arrays = self.wanted.save() | {
            "spent": np.array(self.spent), "serial": np.array(self._serial),
            "at_work": self.at_work, "first_step": self.first_step,
            "told": self._told, "f": self._f, "g": self._g, "best_f": np.array(f), "best_x": x, "best_g": g,
            "starts": starts.reshape(-1, self.n), "steps": first_step, "numbers": number, "problems": problem,
        }  # fmt: skip
        return arrays | {f"lane{k}": np.asarray(leaf) for k, leaf in enumerate(jax.tree.leaves(self.lane))}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        self.wanted.load(arrays, self.dtype)
        self.spent = Spent(*(int(count) for count in arrays["spent"]))
        # An answer to an earlier process, also of a point that was asked since, is known as one, and dropped.
        self._serial = max(int(arrays["serial"]), time.time_ns() // 1000)
        self.at_work, self.first_step = arrays["at_work"].copy(), arrays["first_step"].copy()
        self._told, self._f, self._g = (arrays[name].copy() for name in ("told", "f", "g"))
        self._ids = np.where(self._told, 0, -1)
        if np.isfinite(arrays["best_f"]):
            self.best = float(arrays["best_f"]), arrays["best_x"], arrays["best_g"]
        waiting = (arrays[name] for name in ("starts", "steps", "numbers", "problems"))
        self.queue = [(x, float(step), int(i), int(p)) for x, step, i, p in zip(*waiting, strict=True)]
        leaves = [arrays[f"lane{k}"] for k in range(len(jax.tree.leaves(self.lane)))]
        self.lane = jax.tree.unflatten(jax.tree.structure(self.lane), leaves)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at x, (n,), as it was told; NaN where the best search ended elsewhere."""
        if self.best is not None and np.array_equal(self.best[1], x):
            return np.where(np.asarray(self.region.width) > 0, self.best[2], 0)
        return np.full(self.n, np.nan, self.dtype)
