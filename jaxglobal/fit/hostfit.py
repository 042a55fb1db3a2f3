"""Fits of a model that is not a JAX function: the search by its cost, the last digits by Levenberg-Marquardt.

The search is that of `minimize` with a host function, its pool and its differences, and ends as soon as enough searches
agree on the lowest cost (agreement.py); the best minima are then searched from once more with the residuals themselves,
whose Jacobian comes from central differences. All calls are made by the same workers, and count.
"""

import dataclasses
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.api import minimize
from jaxglobal.engine.host import Host
from jaxglobal.engine.streams import CHUNK_TIME
from jaxglobal.engine.workers import Inline, Pool
from jaxglobal.evidence import stopping
from jaxglobal.fit import agreement, descent, losses, regression
from jaxglobal.fit.agreement import Agreement
from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.local.levenberg import Seen
from jaxglobal.problem.closed import Structure
from jaxglobal.result import Calls, Minimum, Result
from jaxglobal.search.checkpoint import fingerprint
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.status import LocalStatus, Status

POLISHED = 4  # of the best minima
MAX_NFEV = 50
TOL = 1e-10
STEP = 1.0  # of the differences, in units of eps^(1/3) of a parameter's size
RESERVED = 1 / 2  # of max_time, at most, is kept for what comes after the search


class HostCost:
    """The cost of a fit as a function of the parameters; can be sent to a process."""

    def __init__(self, fun: Any, one_by_one: bool, data: Data, loss: str, covariance: bool):
        """fun: the model."""
        self.fun, self.one_by_one, self.data, self.loss, self.covariance = fun, one_by_one, data, loss, covariance

    def values(self, x: Any, p: Any) -> np.ndarray:
        """The model for parameters in the user's structure."""
        out = self.fun(x, *p) if self.one_by_one else self.fun(x, p)
        return np.ravel(np.asarray(out, float))

    def checked(self, p: Any) -> np.ndarray:
        """The model at the abscissae of the data, (N,)."""
        values = self.values(self.data.x, p)
        self.check(values)
        return values

    def check(self, values: np.ndarray) -> None:
        """Raises unless there are as many as data."""
        if values.shape != self.data.y.shape:
            raise ValueError(
                f"`model` must return {len(self.data.y)} real numbers, as many as `ydata`; got {len(values)}."
            )

    def __call__(self, p: Any) -> float:
        """The cost."""
        r = self.checked(p) - self.data.y
        r = self.data.w @ r if self.covariance else self.data.w * r
        if self.loss == "linear":
            return float(np.sum(r**2))
        with jax.enable_x64(True):  # else float32 by default, though the model is not
            return float(losses.cost(losses.LOSSES[self.loss], r, np.asarray(self.data.scale, float)))


class Model:
    """A host model with those who call it, a context: outside of it the model is called here, and raises what it does.

    Attributes:
        cost: the cost of the fit.
        fun: the same as a host function.
        calls: what became of the calls in the context.
        until: the time from which on no more calls are made, and what is missing is NaN.
    """

    def __init__(self, host: Host, cost: HostCost, structure: Structure, lower: np.ndarray, upper: np.ndarray):
        """lower, upper: (n,) bounds of the parameters."""
        self.cost, self.calls, self.until = cost, Calls(), math.inf
        self._host, self._structure, self._lower, self._upper = host, structure, lower, upper
        self._workers: Inline | Pool | None = None
        self._seen: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}

    def __enter__(self) -> "Model":
        """Its workers begin."""
        cost = self.cost
        digest = fingerprint(cost=(cost.data[:4], cost.loss, cost.covariance))["cost"]
        self.fun = self._host.of(cost, f"{self._host.name} {self._host.tag} {digest}")  # for a checkpoint
        self._workers = self.fun.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Its workers end."""
        self._workers, self._seen = None, {}
        self.fun.close()

    @property
    def late(self) -> bool:
        """Whether no more calls are made."""
        return time.perf_counter() >= self.until

    def first(self, p: np.ndarray) -> None:
        """Calls the model once; what it raises is counted alone.

        Raises:
            ValueError: it returned another number of values than there are data.
        """
        (values,) = self._called(self.cost.values, [(self.cost.data.x, self._structure.unflatten(p))])
        if values is not None:
            self.cost.check(values)

    def values(self, x: Any, points: list[np.ndarray]) -> list[np.ndarray]:
        """The model at several sets of parameters, (N,) each, NaN where a call has failed."""
        points = [np.array(p, float) for p in points]
        parts = [self._structure.unflatten(p) for p in points]
        if self._workers is None:
            return [self.cost.values(x, part) for part in parts]
        unknown = [k for k, p in enumerate(points) if p.tobytes() not in self._seen]
        called = dict(zip(unknown, self._called(self.cost.checked, [(parts[k],) for k in unknown]), strict=True))
        missing = np.full(len(self.cost.data.y), np.nan)
        values = [called[k] if k in called else self._seen[p.tobytes()][0] for k, p in enumerate(points)]
        return [missing if value is None else value for value in values]

    def __call__(self, x: Any, p: Any) -> tuple[np.ndarray, np.ndarray]:
        """Values and Jacobian, by central differences; one-sided at a bound, and where a call has failed."""
        p = np.array(p, float)
        if p.tobytes() in self._seen:
            return self._seen[p.tobytes()]
        width = self._upper - self._lower
        points, ends = [p], {}
        for i in np.flatnonzero(width > 0):
            h = STEP * np.finfo(float).eps ** (1 / 3) * max(abs(p[i]), 1e-3 * width[i])
            ends[i] = np.clip([p[i] - h, p[i] + h], self._lower[i], self._upper[i])
            points += [np.where(np.arange(len(p)) == i, end, p) for end in ends[i]]
        y, *sides = self.values(x, points)
        J = np.zeros((len(y), len(p)))
        for i, low, high in zip(ends, sides[::2], sides[1::2], strict=True):
            (at_low, low), (at_high, high) = (
                (p[i], y) if np.all(np.isnan(side)) else (end, side)
                for end, side in zip(ends[i], (low, high), strict=True)
            )
            J[:, i] = (high - low) / (at_high - at_low) if at_high > at_low else np.nan
        if self._workers is not None and np.all(np.isfinite(y)) and np.all(np.isfinite(J)):
            self._seen[p.tobytes()] = y, J
        return y, J

    def _called(self, call: Any, arguments: list[tuple[Any, ...]]) -> list[np.ndarray | None]:
        """What the workers return, None for calls that failed."""
        workers = self._workers
        told: list[np.ndarray | None] = [None] * len(arguments)
        waiting, left = list(enumerate(arguments)), len(arguments)
        while workers is not None and left and not self.late:
            while waiting and workers.room > 0:
                k, args = waiting.pop(0)
                self.calls.made += 1
                workers.submit(k, call, *args)
            for k, value, error, traceback in workers.outcomes(CHUNK_TIME):
                self.calls.count(error, traceback)
                told[k], left = value, left - 1
        if workers is not None and left:
            workers.close()
        return told


def regression_of(model: Model, structure: Structure, lower: Any, upper: Any) -> Regression:
    """The fit, with a model of NumPy."""
    cost = model.cost

    def call(x: Any, parts: Any, constants: Any) -> Any:
        return cost(parts)

    return Regression(call, structure, lower, upper, (), cost.loss, cost.covariance, False, {}, model)


def search(
    began: float, model: Model, reg: Regression, data: Data, guesses: Any, bounds: Any, rules: stopping.Rules,
    starts: Any, seed: int, observers: dict[str, Any],
) -> Result:  # fmt: skip
    """The search, and the best minima to their last digits; observers: callback, progress and checkpoint."""
    x0 = reg.structure.unflatten(guesses) if len(guesses) else None
    model.until = math.inf if rules.max_time is None else began + rules.max_time
    called = time.perf_counter()
    model.first(guesses[0] if len(guesses) else (reg.lower + (reg.upper - reg.lower) / 2).astype(reg.structure.dtype))
    now = time.perf_counter()
    left = max(model.until - now, 0.0)
    # The covariance takes a look: by what the first call took, time is left for it.
    after = min((1 + 2 * int(np.sum(reg.free))) * (now - called) / model.fun.workers, RESERVED * left)
    levels = minimize.levels(
        model.fun, bounds, x0=x0, starts=starts, seed=seed, same=rules.same, frtol=rules.frtol, fatol=0.0,
        max_time=None if math.isinf(left) else left - after, max_levels=rules.max_levels, max_evals=rules.max_evals,
        **observers,
    )  # fmt: skip
    ask = lambda: agreed(levels.known, len(reg.searched)) if rules.same is None else None  # noqa: E731
    told, searched = ask(), False
    while told is None and next(levels, None) is not None:
        told, searched = ask(), True
    if told is not None and searched:  # else a checkpoint has told all
        levels.cancel()
        next(levels, None)
    result = levels.known
    if told is not None:
        same = dict(status=Status.SAME, success=True, message=agreement.words(told, 0))
        result = dataclasses.replace(result, **same)
    if result.calls is not None:
        model.calls.add(result.calls)
    model.until -= after
    with Interrupt() as interrupt:
        interrupt.asked = result.status is Status.INTERRUPTED
        polished = [polish(model, reg, data, minimum, interrupt) for minimum in result.minima[:POLISHED]]
    model.until = math.inf if result.minima else -math.inf  # without a minimum, there is nothing to look at
    found = sorted([*polished, *result.minima[POLISHED:]], key=lambda minimum: minimum.fun)
    best = dict(x=found[0].x, fun=found[0].fun, minima=found) if found else {}
    words = agreement.of_model(result.message)
    return dataclasses.replace(result, calls=model.calls, message=words, **best)


def agreed(known: Result, m: int) -> Agreement | None:
    """What the searches say of their lowest cost, between two levels, if they are to be believed; else None.

    m: free parameters. When the lowest cost was first met is known to the level.
    """
    made = np.cumsum([level.nstarts for level in known.levels])
    if known.status is not Status.RUNNING or not (len(made) and known.minima) or known.nstarts != made[-1]:
        return None
    limit = known.fun + agreement.ALIKE * abs(known.fun)
    hits = sum(minimum.count for minimum in known.minima if minimum.fun <= limit)
    met = made[np.argmax([level.fun <= limit for level in known.levels])]
    told = Agreement(*(np.array([part]) for part in (known.fun, hits, met, made[-1])))
    return told if agreement.reached(told, m)[0] else None


def polish(model: Model, reg: Regression, data: Data, minimum: Minimum, interrupt: Interrupt) -> Minimum:
    """A minimum to the digits that the differences allow."""
    with jax.enable_x64(True):
        p = jnp.asarray(reg.structure.flatten(minimum.x), jnp.float64)[:, None]
        box = descent.region(reg.lower, reg.upper)
        rules = levenberg.Rules(TOL, float(reg.floor(data)), MAX_NFEV)
        state, advance, narrowed = levenberg.begin(p), jax.jit(levenberg.advance), 0
        while int(state.status[0]) == LocalStatus.RUNNING and not (model.late or interrupt.asked):
            at = np.asarray(state.trial[:, 0])
            y, J = model(data.x, at)
            f = losses.cost(losses.LOSSES[reg.loss], reg.whiten(data.w, y - data.y), data.scale)
            r, J = regression.weigh(reg, data, y, J)
            seen = Seen(
                jnp.asarray(at)[:, None], jnp.reshape(f, 1), jnp.asarray(J).T[:, :, None], jnp.asarray(r)[:, None]
            )
            state = advance(state, seen, box, rules)
            if reg.loss == "lad" and int(state.status[0]) and narrowed < descent.SHARPENED:
                y, _ = model(data.x, np.asarray(state.p[:, 0]))  # it has been called there
                before, data = data, reg.sharper(data, reg.whiten(data.w, y - data.y))
                if data.scale < before.scale:
                    state, narrowed = levenberg.begin(state.p), narrowed + 1
        if not (narrowed or float(state.f[0]) < minimum.fun):
            return minimum
        found = reg.structure.unflatten(np.asarray(state.p[:, 0]))
        ended = LocalStatus(int(state.status[0])) or LocalStatus.CUT
        return Minimum(found, float(state.f[0]), minimum.count, ended)
