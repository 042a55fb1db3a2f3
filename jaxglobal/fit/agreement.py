"""When a fit is believed: enough local searches from starts of their own agree on the lowest cost.

A basin that attracts half as many searches as that of the lowest cost has not been met by any with the probability
exp(-H / 2) after H that ended there: so H counts, and six were too few. A model with more parameters in which it is not
linear has more minima of about the same cost, and more searches that end in each of the wrong ones before the first
ends in the best; so both the searches and those that agree have to be more. Fewer searches are enough where half of
them agree. And the lowest cost has to be an old one: where searches still find lower ones, the next is likely not far.
The constants were chosen and checked on families of simulated data: `python benchmarks/believed.py`.
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.status import Status

EACH = 8  # searches for each parameter in which the model is not linear, at least
LEAST = 6  # such parameters are counted at least: two narrow peaks have many minima in two
HITS = 10  # searches that agree, at least; one for each of more parameters
MOST = 5  # for each parameter, and `HITS` at least, where they are half of all: then these are enough
OLD = 2  # times the searches that had been made when the lowest cost was first met
LONG, OLDER = 32, 4  # the same, where few agree
FEW = 5
ALIKE = 1e-6  # two costs that differ by less of their size are the same
DIGITS = 100  # ... in a precision that has no more, by so many eps

VALUELESS = (
    "no parameters gave a finite cost with finite slopes: check the model and its Jacobian at a point of the box, and "
    "whether its dtype overflows"
)


class Agreement(NamedTuple):
    """What the searches of P data sets say of their lowest costs; each (P,)."""

    f: np.ndarray
    """The lowest costs; +inf where none was finite."""
    hits: np.ndarray
    """Searches that ended at them."""
    met: np.ndarray
    """The first search that did, from 1."""
    made: np.ndarray
    """Searches that ended at a finite cost."""


def nothing(count: int) -> Agreement:
    """Before the first search."""
    return Agreement(np.full(count, np.inf), *(np.zeros(count, np.int64) for _ in range(3)))


def learn(known: Agreement, f: np.ndarray, floor: np.ndarray) -> Agreement:
    """With the costs of more searches, (P, S), in the order in which they were made; NaN where there was none.

    floor: (P,) costs below are rounding errors.
    """
    close = max(ALIKE, DIGITS * float(np.finfo(f.dtype).eps))
    finite = np.isfinite(f)
    f, so_far = np.where(finite, f, np.inf), np.cumsum(finite, axis=1)
    best = np.minimum(known.f, np.min(f, axis=1))
    near = np.where(np.isfinite(best), np.maximum(close * best, floor), 0)
    hit = finite & (f <= (best + near)[:, None])
    lower = known.f > best + near
    first = known.made + np.take_along_axis(so_far, np.argmax(hit, axis=1)[:, None], axis=1)[:, 0]
    hits = np.where(lower, 0, known.hits) + np.sum(hit, axis=1)
    return Agreement(best, hits, np.where(lower, first, known.met), known.made + so_far[:, -1])


def reached(known: Agreement, m: int) -> np.ndarray:
    """(P,) Whether the fits are believed, of models that are not linear in m parameters."""
    if m == 0:
        return known.hits > 0
    most = (known.hits >= max(MOST * m, HITS)) & (2 * known.hits >= known.made)
    many = (known.hits >= max(m, HITS)) & (known.made >= EACH * max(m, LEAST))
    few = (known.hits >= FEW) & (known.made >= np.maximum(LONG * max(m, LEAST), OLDER * known.met))
    return (most | many) & (known.made >= OLD * known.met) | few


def words(known: Agreement, k: int) -> str:
    """What the searches say of data set k."""
    return (
        f"{known.hits[k]:,} of {known.made[k]:,} searches ended at the lowest cost, the first of them after "
        f"{known.met[k]:,}"
    )


def of_model(message: str) -> str:
    """The message of a search for one of a fit, where it is the model that gave no value."""
    return VALUELESS if message == Status.NO_FINITE_VALUE.value else message
