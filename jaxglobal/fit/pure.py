"""The search for the best fit as a traced program, of a fixed number of levels."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import MAX_NFEV, POLISH_NFEV, POLISH_TOL, SHARPENED, TOL, descend, region
from jaxglobal.fit.places import place, sheets
from jaxglobal.fit.regression import Regression, broadcasts
from jaxglobal.local import levenberg
from jaxglobal.problem.closed import is_traced
from jaxglobal.starts import lastlook

PURE_LEVELS = 3  # of a search inside jit
SCREENED = 8  # points for each start that are screened besides: of fast sines 29 % were missed, and 3 % are now, ...
CHOSEN = 8  # ... and starts for each of the lowest that is searched from; at 4 fits take up to a third longer for 2 %


class Best(NamedTuple):
    """What a search has come to, with parameters first."""

    x: Any
    """(n,)"""
    f: Any
    """()"""


def pure_starts(regression: Regression, unit: np.ndarray, lower: Any, upper: Any) -> Any:
    """The starts as `place` places them; evenly alone where the box is traced."""
    if not is_traced((lower, upper)):
        return jnp.concatenate([jnp.asarray(place(regression, unit, sheet)) for sheet in sheets(regression)])
    whole = np.full((len(unit), regression.structure.n), 0.5)
    whole[:, regression.searched] = unit
    return lower + (upper - lower) * whole.astype(regression.structure.dtype)


def screened(regression: Regression, count: int, data: Data, lower: Any, upper: Any) -> Any:
    """The lowest of many points beside so many starts, (k, n), with their linear parameters at their best."""
    m, chosen = len(regression.searched), count // CHOSEN
    unit = lastlook.scattered(np.arange(SCREENED * count if chosen and m else 0), m)
    points, box = pure_starts(regression, unit, lower, upper), region(lower, upper)
    if not len(points):
        return points
    blocks = jnp.swapaxes(points.reshape(SCREENED, -1, points.shape[1]), 1, 2)  # no more side by side than searches
    places, f = lax.map(lambda block: regression.project(data, block, box)[:2], blocks)
    _, lowest = lax.top_k(-jnp.where(jnp.isnan(f), jnp.inf, f).reshape(-1), chosen)
    return jnp.swapaxes(places, 1, 2).reshape(points.shape)[lowest]


@broadcasts
def pure(regression: Regression, unit: np.ndarray, data: Data, lower: Any, upper: Any, guesses: Any) -> Best:
    """The best fit from all of these starts, (k, m) in the unit box of the searched parameters, as a traced program."""
    starts = guesses, pure_starts(regression, unit, lower, upper), screened(regression, len(unit), data, lower, upper)
    points, box, floor = jnp.concatenate(starts), region(lower, upper), regression.floor(data)
    state = descend(regression, data, levenberg.begin(points.T), box, levenberg.Rules(TOL, floor, MAX_NFEV))
    best = state.p[:, jnp.argmin(state.f)][:, None]
    rules = levenberg.Rules(POLISH_TOL, floor, POLISH_NFEV)
    state = descend(regression, data, levenberg.begin(best), box, rules)
    if regression.loss != "lad":
        return Best(state.p[:, 0], state.f[0])

    def sharpen(_, carry):
        p, _, scale = carry
        own = data._replace(scale=scale)
        own = regression.sharper(own, regression.residuals(own, list(p))[:, 0])
        state = descend(regression, own, levenberg.begin(p), box, rules)
        return state.p, state.f, own.scale

    p, f, _ = lax.fori_loop(0, SHARPENED, sharpen, (state.p, state.f, jnp.asarray(data.scale)))
    return Best(p[:, 0], f[0])
