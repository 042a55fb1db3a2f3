"""Points of profiles of a fit: each the same data in a box of its own, for the rounds of many fits.

A function of the parameters cannot be held by a box. It becomes one more datum instead, that it be c, with a large
weight: where the search of this sum ends, the cost is the lowest of all points with the same value of the function, so
that the point lies on the profile, wherever it is; how near c it comes is a matter of convenience. The cost is that of
the point, without the datum, which may be larger than it by many orders of magnitude.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.fit import models, outlying, units
from jaxglobal.fit.data import Data
from jaxglobal.fit.fitted import Fit
from jaxglobal.fit.limits import Limits
from jaxglobal.fit.outlying import Far
from jaxglobal.fit.places import both_ways, screened
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.rounds import ManyFits
from jaxglobal.problem.linear_algebra import one_at_a_time
from jaxglobal.problem.powers import power_above
from jaxglobal.profiles.held import Held
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.search.progress import Silent
from jaxglobal.starts import designs as sequences

LANES = 32  # points side by side, which all wait for the last
LONGEST = 40  # evaluations of a search: those that need more come from bad starts, and others get there
STARTS = 32  # of the second level of those that are screened; the first is the centre
SEARCHES = (2, 8)  # of each point from screened starts: with two more than it has parameters that are not linear
STIFF = 1e3  # times the data together the datum more holds the function, as far as the digits allow


class FitPoints:
    """Searches with parameters held; arrays are in the user's units, (P, n).

    Attributes:
        lower: (n,) the bounds of all parameters.
        upper: (n,) likewise.
        floor: costs that differ by less are the same.
        held: the function that is held, if any.
        asked: whether Ctrl-C has asked to end.
        searches: local searches so far.
    """

    held: Held | None = None

    def __init__(self, fit: Fit, interrupt: Interrupt, shown: Silent):
        """The points of this fit."""
        self._fit, self._interrupt, self._shown = fit, interrupt, shown
        self.take(fit._regression, fit.data, fit._units)

    def take(self, reg: Regression, data: Data, own: Any) -> None:
        """What is searched: the fit in these units."""
        self._own, self.searches, self._seen = own, 0, {}
        self.lower, self.upper = np.asarray(reg.lower, float), np.asarray(reg.upper, float)
        dtype = reg.structure.dtype
        self._reg = dataclasses.replace(reg, own_box=True).within(own)
        self._data = data.within(own, reg.loss, reg.covariance, dtype)
        m = len(self._reg.searched)
        unit, reach = screened(sequences.Sobol(STARTS), m, None)
        points, places = both_ways(self._reg, unit)
        self._starts = points, places.astype(dtype), np.asarray(reach, dtype)
        self._each = min(m + SEARCHES[0], SEARCHES[1])
        key = "profile costs", jax.default_backend(), self._reg.key  # else every profile would compile them anew
        if key not in reg.programs:
            cost = jax.vmap(self._reg.cost, in_axes=(0, None))
            reg.programs[key] = jax.jit(one_at_a_time(cost, jax.default_backend()))
        self._cost = reg.programs[key]
        if self._data.far is not None:
            flat = (reg.structure.flatten(self._fit.popt) / own.p).astype(dtype)
            left = np.asarray(self._reg.residuals(self._data, list(flat[:, None])))[:, 0]
            self._data = self._data.nearer(outlying.nearer(self._data.far.by, left), reg.loss)
        self.floor = float(own.cost(self._reg.floor(self._data)))

    @property
    def asked(self) -> bool:
        """See the class."""
        return self._interrupt.asked

    def noise(self, f: float) -> float:
        """What rounding the residuals does to a cost near f."""
        return self.floor + 2 * (max(f, 0.0) * self.floor) ** 0.5

    def search(
        self, boxes: np.ndarray, guesses: np.ndarray, wide: bool, last: np.ndarray | None = None
    ) -> tuple[np.ndarray, ...]:
        """The lowest costs, (P,), points and covariances in boxes (P, 2, n), from guesses (P, K, n), NaN for none.

        Covariances are those of errors of size one.

        wide: from the best of screened starts too. last: (P,) what the last datum is for each.
        """
        reg, own, dtype = self._reg, self._own, self._reg.structure.dtype
        boxes = (boxes / own.p).astype(dtype)
        guesses = np.clip((guesses / own.p).astype(dtype), boxes[:, None, 0], boxes[:, None, 1])
        y = np.broadcast_to(self._data.y, (len(boxes), *self._data.y.shape))
        if last is not None:
            y = np.concatenate([y[:, :-1], (last[:, None] / own.y).astype(dtype)], axis=1)
        far = self._data.far
        if far is not None:
            far = Far(*(np.broadcast_to(part, (len(boxes), *np.shape(part))) for part in far))
        data = self._data._replace(y=y, far=far)
        none = np.zeros((0, reg.structure.n), dtype)
        limits = Limits(len(boxes), self._interrupt)
        run = ManyFits(reg, data, False, none, none, guesses, self._each, 0, self._shown, limits, boxes, LANES, LONGEST)
        p, f, pcov, _, _, known = run.fit(True, self._starts if wide else ())
        self.searches += int(np.sum(known.made))
        pcov = own.covariance(pcov)
        return self._data.cost(np.where(np.isfinite(f), f, np.inf)), p.astype(float) * own.p, pcov

    def at(self, index: np.ndarray, c: np.ndarray, guesses: np.ndarray, wide: bool) -> tuple[np.ndarray, ...]:
        """The values, costs and points with the parameters of these numbers held at c, (P,)."""
        boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(c), axis=0)
        boxes[np.arange(len(c)), :, index] = c[:, None]
        f, x, _ = self.search(boxes, guesses, wide)
        return c, f, x

    def free(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The costs and points to which these lead with nothing held."""
        boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(x), axis=0)
        f, x, _ = self.search(boxes, x[:, None], False)
        return f, x

    def values(self, index: int, x: np.ndarray) -> np.ndarray:
        """What is held at these points."""
        return x[:, index]

    def costs(self, x: np.ndarray) -> np.ndarray:
        """The costs at these points."""
        own, dtype = self._own, self._reg.structure.dtype
        padded = np.resize(x, (power_above(len(x)), x.shape[1]))  # few shapes to compile
        f = self._data.cost(self._cost((padded / own.p).astype(dtype), self._data))[: len(x)]
        return np.where(np.isfinite(f), f, np.inf)

    def reach(self, x: np.ndarray) -> np.ndarray:
        """How far the parameters move, (P, n), for a cost higher by one, by the curvature there."""
        return np.sqrt(np.diagonal(self.covariances(x), axis1=1, axis2=2))

    def covariances(self, x: np.ndarray) -> np.ndarray:
        """(P, n, n) Those at minima, of errors of size one: a search from there is one evaluation."""
        key = x.tobytes()
        if key not in self._seen:
            boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(x), axis=0)
            self._seen = {key: self.search(boxes, x[:, None], False)[2]}
        return self._seen[key]


class FunctionOfFit:
    """Searches with a function g of the parameters held, by a datum more."""

    def __init__(self, fit: Fit, g: Callable[..., Any], interrupt: Interrupt, shown: Silent):
        """g: a number, of the parameters as `Fit.popt` has them."""
        self._plain, reg, data = FitPoints(fit, interrupt, shown), fit._regression, fit.data
        self.lower, self.upper, self.floor = self._plain.lower, self._plain.upper, self._plain.floor
        structure, w = reg.structure, np.asarray(data.w, float)
        mix = w if w.ndim == 2 else None
        N, flat = len(data.y), structure.flatten(fit.popt).astype(float)
        size = (fit.fun / fit.dof if fit.dof > 0 else 0.0) if not fit._errors.known else 1.0
        size = max(size, self.floor)
        covariance = size * self._plain.covariances(flat[None])[0]
        self.held = held = Held(g, structure, (self.lower, self.upper), flat, covariance)

        def model(x, *parts):
            y = reg.model(x, list(parts), data.constants)
            y = y if mix is None else jnp.asarray(mix, y.dtype) @ y
            return jnp.append(y, held(jnp.stack(parts)))

        stiff = min(STIFF, float(np.finfo(structure.dtype).eps) ** -0.25)  # beside it the data must still be seen
        weight = stiff * size**0.5 / held.error
        y = np.append(w @ data.y if w.ndim == 2 else data.y, 0.0)
        weights = np.append(np.ones(N) if w.ndim == 2 else np.broadcast_to(w, N), weight)
        own = units.choose(reg.lower, reg.upper, y, weights, structure.dtype)
        read = models.read_model(model, structure, True, data.x, N + 1)
        linear = models.linear_parameters(read, data.x, reg.lower, reg.upper, own)
        summed = Regression(read.call, structure, reg.lower, reg.upper, linear, "linear", False, False, read.programs)
        self._summed = FitPoints(fit, interrupt, shown)
        self._summed.take(summed, data._replace(y=y, w=weights, constants=read.constants), own)

    @property
    def asked(self) -> bool:
        """Whether Ctrl-C has asked to end."""
        return self._plain.asked

    @property
    def searches(self) -> int:
        """Local searches so far."""
        return self._plain.searches + self._summed.searches

    def at(self, index: np.ndarray, c: np.ndarray, guesses: np.ndarray, wide: bool) -> tuple[np.ndarray, ...]:
        """The values of what is held, near c, the costs and points."""
        boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(c), axis=0)
        _, x, _ = self._summed.search(boxes, guesses, wide, c)
        return self.values(-1, x), self.costs(x), x

    def noise(self, f: float) -> float:
        """What rounding the residuals does to a cost near f."""
        return self._plain.noise(f)

    def free(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The costs and points to which these lead with nothing held."""
        return self._plain.free(x)

    def values(self, index: int, x: np.ndarray) -> np.ndarray:
        """What is held at these points."""
        return self.held.values(x)

    def costs(self, x: np.ndarray) -> np.ndarray:
        """The costs at these points."""
        return self._plain.costs(x)

    def reach(self, x: np.ndarray) -> np.ndarray:
        """How far what is held moves, (P, 1), for a cost higher by one, by the curvature there."""
        return self.held.errors(x, self._plain.covariances(x))
