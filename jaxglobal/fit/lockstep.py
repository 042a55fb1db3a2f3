"""What is compiled to fit a block of data sets side by side: each data set is a lane.

Where data sets share the abscissae the model is evaluated once for each start, and what is left for each data set is a
small linear problem and a cost: two products of matrices screen all starts for all of them. The searches take a few
steps in lockstep; those that have not ended then go on in a block of their own.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.fit import descent
from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.local.levenberg import triangular
from jaxglobal.problem.region import Region

FIRST = 6  # evaluations of a search in lockstep; those that need more go on in a block of their own
FURTHER = 8  # further starts of a data set from each screening
DEPENDENT = 1e-12  # a pivot of this share of the largest: the columns of a start depend on each other


class Lockstep:
    """The programs, to be traced: arguments have lanes first.

    Attributes:
        key: what they depend on beside the shapes of their arguments.
    """

    def __init__(
        self, reg: Regression, points: np.ndarray, near: np.ndarray, searches: int, own_w: bool, most: int = FIRST
    ):
        """points: (G, n) the starts that are screened. near: (G, K) the neighbours of each. searches: at most G.

        own_w: whether each data set has weights of its own. most: evaluations of the first search.
        """
        self._reg, self._points, self._near, self._searches, self._own_w = reg, points, near, searches, own_w
        self._most = most
        self.key = reg.key, points.tobytes(), searches, own_w, most

    def _box(self, lower: Any, upper: Any) -> Region:
        """The bounds with lanes last, of one lane where all share them."""
        return Region(lower.T, upper.T, (upper - lower).T) if self._reg.own_box else descent.region(lower, upper)

    def _place(self, points: Any, box: Region) -> Any:
        """Points of the box around all, (..., n), at the same place in that of each lane, (..., n, L)."""
        if not self._reg.own_box:
            return points[..., None]
        width = np.where(self._reg.upper > self._reg.lower, self._reg.upper - self._reg.lower, 1)
        share = ((points - self._reg.lower) / width)[..., None]
        return jnp.clip(box.lower + box.width * share, box.lower, box.upper)

    def _lanes(self, data: Data) -> Data:
        """The data with lanes last."""
        x = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, -1), data.x) if self._reg.own_x else data.x
        far = None if data.far is None else data.far._replace(by=data.far.by.T, y=data.far.y.T)
        units: Any = data.units
        units = units._replace(p=units.p.T) if units.p.ndim == 2 else units
        return data._replace(x=x, y=data.y.T, w=data.w.T if self._own_w else data.w, far=far, units=units)

    def first(self, _: Any, data: Data, lower: Any, upper: Any) -> tuple[Any, ...]:
        """Screens, and searches from the best start for a few steps; further starts that no near one beats, or NaN."""
        data, box, reg = self._lanes(data), self._box(lower, upper), self._reg
        points, values = self._screen(self._points, data, box)
        chosen, left = [], values
        for k in range(self._searches):
            i = jnp.argmin(left, axis=0)
            point = jnp.take_along_axis(points, i[None, None], axis=0)[0]
            chosen.append(jnp.where((k == 0) | jnp.isfinite(jnp.min(left, axis=0)), point, jnp.nan))
            if k == 0:
                around = lowest_near(values, self._near)
                left = jnp.where(values <= around, values, jnp.inf)
            left = jnp.where(jnp.arange(len(left))[:, None] == i, jnp.inf, left)
        rules = levenberg.Rules(descent.TOL, reg.exact(data), self._most)
        state = descent.descend(reg, data, levenberg.begin(chosen[0]), box, rules, project=False)
        others = jnp.stack([jnp.zeros_like(chosen[0]) + start for start in chosen])[1:]
        return *self._ended(data, state), jnp.moveaxis(others, -1, 0)

    def further(
        self, _: Any, data: Data, lower: Any, upper: Any, points: Any, places: Any, reach: Any
    ) -> tuple[Any, ...]:
        """Screens these points, (G, n); of each data set the best `FURTHER` starts that are not near each other.

        places: (G, k) of the points, near each other where no coordinate differs by more than reach. The best of all
        follow where too few are apart.
        """
        points, values = self._screen(points, self._lanes(data), self._box(lower, upper))
        taken = jnp.isinf(values)

        def choose(k, carry):
            taken, near, chosen = carry
            apart = jnp.where(taken | near, jnp.inf, values)
            others = jnp.where(taken, jnp.inf, values)
            i = jnp.argmin(jnp.where(jnp.any(jnp.isfinite(apart), axis=0), apart, others), axis=0)
            found = ~jnp.all(taken, axis=0)
            near |= jnp.all(jnp.abs(places[:, None] - places[i][None]) <= reach, axis=2)
            taken |= jnp.arange(len(values))[:, None] == i
            return taken, near, chosen.at[k].set(jnp.where(found, i, -1))

        none = jnp.full((FURTHER, values.shape[1]), -1)
        *_, chosen = lax.fori_loop(0, FURTHER, choose, (taken, jnp.zeros_like(taken), none))
        starts = jnp.take_along_axis(points + jnp.zeros_like(values)[:, None], chosen[:, None], axis=0)
        return (jnp.moveaxis(jnp.where(chosen[:, None] < 0, jnp.nan, starts), -1, 0),)

    def _screen(self, points: Any, data: Data, box: Any) -> tuple[Any, Any]:
        """The starts with the linear parameters at their best for each data set, (G, n, L), and the costs, (G, L)."""
        own: Any = data.units
        if self._reg.loss == "linear" and not (self._reg.own_x or self._own_w or self._reg.own_box or own.own):
            return self._screen_shared(points, data, box)
        lanes = data.y.shape[1]

        def screen(point):
            shared = not (self._reg.own_x or self._reg.own_box)
            wide = jnp.broadcast_to(self._place(point, box), (len(point), 1 if shared else lanes))
            p, f, _ = self._reg.project(data, wide, box)
            return p, jnp.where(jnp.isfinite(f), f, jnp.inf)

        return lax.map(screen, jnp.asarray(points))

    def _screen_shared(self, points: Any, data: Data, box: Any) -> tuple[Any, Any]:
        """The same where all data sets share the matrix of every start: two products of matrices for all of them.

        Of linear parameters that leave the box each is put on its bound; the cost is that of this point.
        """
        reg, which, (G, n) = self._reg, np.array(self._reg.linear, int), points.shape
        parts = list(jnp.asarray(points.T))
        y = reg.whiten(data.w, data.y)
        given = data._replace(y=jnp.zeros(len(y), y.dtype))
        model = reg.residuals(given, parts)
        f = jnp.sum(model**2, axis=0)[:, None] - 2 * _dot("ng,nl->gl", model, y) + jnp.sum(y**2, axis=0)
        points = jnp.broadcast_to(jnp.asarray(points)[:, :, None], (G, n, y.shape[1]))
        if len(which):
            A = jnp.stack(reg.columns(given, parts, [int(i) for i in which]))
            Q, R = jnp.linalg.qr(jnp.where(jnp.isfinite(A), A, 0).transpose(2, 1, 0))
            q = _dot("gns,ng->gs", Q, model)[:, :, None] - _dot("gns,nl->gsl", Q, y)
            pivots = jnp.abs(jnp.diagonal(R, axis1=1, axis2=2))
            full = jnp.all(pivots > DEPENDENT * jnp.max(pivots, axis=1, keepdims=True), axis=1)
            inverse = jnp.linalg.inv(jnp.where(full[:, None, None], R, jnp.eye(len(which), dtype=R.dtype)))
            free = -_dot("gst,gtl->gsl", inverse, q)
            z = points[:, which]
            best = jnp.clip(z + free, box.lower[which], box.upper[which])
            f = f - jnp.sum(q**2, axis=1) + jnp.sum(_dot("gst,gtl->gsl", R, best - z - free) ** 2, axis=1)
            f = jnp.where(full[:, None], f, jnp.inf)
            points = points.at[:, which].set(best)
        return points, jnp.where(jnp.isfinite(f), f, jnp.inf)

    def rest(self, p: Any, data: Data, lower: Any, upper: Any, most: Any) -> tuple[Any, ...]:
        """Searches on from p, (L, n), to the end, with at most so many evaluations."""
        data, box = self._lanes(data), self._box(lower, upper)
        rules = levenberg.Rules(descent.TOL, self._reg.exact(data), most)
        state = descent.descend(self._reg, data, levenberg.begin(p.T), box, rules)
        return self._ended(data, state)

    def limited(self, begins: Any, data: Data, lower: Any, upper: Any) -> tuple[Any, ...]:
        """As `rest`; begins: the points, and how many evaluations each search has at most, (L,)."""
        p, most = begins
        return self.rest(p, data, lower, upper, most)

    def left(self, p: Any, data: Data, lower: Any, upper: Any) -> tuple[Any, ...]:
        """`Regression.residuals` of p, (L, n): (L, N)."""
        return (self._reg.residuals(self._lanes(data), list(p.T)).T,)

    def _ended(self, data: Data, state: levenberg.State) -> tuple[Any, ...]:
        """Parameters, costs, the triangular factors of the Jacobians, evaluations and statuses, lanes first."""
        R, _, _ = triangular(*self._reg.jacobian(data, state.p, least=0.0))
        return state.p.T, state.f, jnp.moveaxis(R, -1, 0), state.nfev, state.status


def lowest_near(values: Any, near: np.ndarray) -> Any:
    """(G, L) The lowest of the values, (G, L), of the neighbours of each, (G, K), one neighbour of all at a time.

    A neighbour G is none. All at once would take K times the memory: gigabytes for ten thousand starts.
    """
    beside = jnp.concatenate([values, values[:1] + jnp.inf])
    columns, lowest = jnp.asarray(near.T), jnp.full_like(values, jnp.inf)
    return lax.fori_loop(0, len(columns), lambda k, low: jnp.minimum(low, beside[columns[k]]), lowest)


def _dot(equation: str, a: Any, b: Any) -> Any:
    return jnp.einsum(equation, a, b, precision="highest")
