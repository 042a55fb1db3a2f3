"""Starts made from what was found: hops from the best minima, in batches, at scales that adapt.

A pool (elite.py) keeps the best distinct points at which local searches ended. A hop is a start near one of them, a
perturbation, and the search from it ends in a neighbouring basin: basin hopping [WD], here from many minima at once.
Four kinds of hops, each the cure for another landscape; how often each is taken, and how far it reaches, follows from
what it has yielded for its cost (`Habits`). Beside them coordinates are exchanged between minima, by values alone.

What each kind is for, found by taking it alone beside the cover (the 13 BBOB functions in 2 and 5 variables that local
searches alone mostly miss, instances 0 to 2, 10^4 D evaluations, with a forerunner of this module, not repeatable):
- all: a normal step in all variables, at a log-uniform scale. Nested wrinkles (Schaffer F7, Weierstrass, Katsuura).
- few: the same in one or two variables. Rastrigin, Schwefel: a funnel that is not round.
- difference: the difference of two minima added to a third, as in differential evolution [SP]. Minima on a lattice, and
  plateaus: its steps have the scale and the shape of the pool.
- blend: a normal sample with the mean and the covariance of the best minima [LL]. Rotated Rastrigin, Lunacek: where the
  minima lie around a common centre, their mean is better than each of them.
- exchange: one coordinate of a minimum taken from another one, or from a scan, evaluated but not searched from, and all
  that lower f put together. Separable functions, which it solves several times sooner (Rastrigin, Schwefel).
Of several candidates for a hop, drawn alike, the search begins from the lowest: that costs one value each, and a
search takes ten to thirty evaluations. In 5 variables four of them solved 10 of the 13, one and eight solved 8 and 9.

Where minima have copies (a cluster of atoms may be turned, its atoms renumbered), the best of them would fill the pool,
and a hop that falls back to where it was made would pass for a good one: it is cheap, and ends at a good value. So the
pool has at most two points of one value, and what comes home has yielded nothing. Clusters of 13 and 17 to 20 atoms
within 200,000 evaluations, 20 seeds each: 96 of 100 runs found the lowest known energy, 87 without the two rules; four
copies, no limit on copies, other shares of the best as parents and other counts of candidates gave 86 to 94.

[WD] D. Wales and J. Doye, Global optimization by basin-hopping, J. Phys. Chem. A 101 (1997).
[SP] R. Storn and K. Price, Differential evolution, J. Global Optim. 11 (1997).
[LL] P. Larranaga and J. Lozano (eds.), Estimation of distribution algorithms, Kluwer (2002).
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.starts import elite
from jaxglobal.starts.elite import EliteSet

KINDS = ("all", "few", "difference", "blend")
SCALES = np.linspace(-6.0, -0.3, 13)  # decimal logarithms of the bins of the scale, in units of the box
CANDIDATES = 4  # for each hop
FROM_BEST = 0.5  # share of the hops from the best point; the others are from the few best
RANK = 8 / 3  # mean rank of the other parents
FORGET = 0.9  # the weight that a yield keeps from round to round
LEAST_KIND = 0.1  # share of the hops that is spread evenly over the kinds
LEAST_SCALE = 0.3  # ... over the scales
RECORD, GOOD, ELSEWHERE = 1.0, 0.1, 0.03  # yield of a new best value, of one among the best eight, and of any other
HOME = (
    0.5  # a hop that ends at a known value has come home if it is at most so many times as far from the pool as before
)
HOPED = 0.02  # yield, for ten evaluations, of what has not been tried
WIDER = 1.2  # a blend is so much wider than the minima that it is made of
SWEEP = 4  # exchanges a variable at first
LONGEST_SWEEP = 32
MOST_EXCHANGES = 4096


class Habits(NamedTuple):
    """What the kinds of hops, and their scales, have yielded for their cost; older rounds count less."""

    gain: np.ndarray
    """(kinds,)"""
    cost: np.ndarray
    """(kinds,)"""
    scale_gain: np.ndarray
    """(kinds, bins)"""
    scale_cost: np.ndarray
    """(kinds, bins)"""
    sweep: np.ndarray
    """() Exchanges a variable of the next round."""


class Hops(NamedTuple):
    """Hops to be made, each with its candidates."""

    x: np.ndarray
    """(k, CANDIDATES, n) In the unit box."""
    first_step: np.ndarray
    """(k,) Of the search from it, in units of the box."""
    kind: np.ndarray
    """(k,)"""
    bin: np.ndarray
    """(k,) Of its scale."""


def fresh() -> Habits:
    """Nothing known: all kinds and scales are hoped to yield alike."""
    kind, scale = np.full(len(KINDS), 4.0), np.ones((len(KINDS), len(SCALES) - 1))
    return Habits(HOPED * kind, kind, HOPED * scale, scale, np.array(SWEEP))


def reflect(x: np.ndarray) -> np.ndarray:
    """Points outside the unit box reflected at its faces."""
    return 1 - np.abs(x % 2 - 1)


def parents(pool: EliteSet, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) The best point, or one of the few best."""
    rank = np.minimum(rng.exponential(RANK, count).astype(np.int64), len(pool.f) - 1)
    return np.where(rng.random(count) < FROM_BEST, 0, rank)


def propose(pool: EliteSet, habits: Habits, count: int, rng: np.random.Generator) -> Hops:
    """So many hops."""
    n = pool.x.shape[1]
    kind, bin, scale = draw(habits.gain / habits.cost, habits.scale_gain / habits.scale_cost, count, rng)
    if len(pool.f) == 1:  # which differs from none, and has no spread
        kind = kind % 2
    parent = pool.x[parents(pool, count, rng)]
    x, reach = steps(parent, kind, scale, rng).reshape(-1, n), np.repeat(scale, CANDIDATES)
    parent, of = np.repeat(parent, CANDIDATES, axis=0), np.repeat(kind, CANDIDATES)
    for k, move in ((2, difference), (3, blend)):
        mine = np.flatnonzero(of == k)
        x[mine], reach[mine] = move(pool, parent[mine], rng)
    first_step = np.max(reach.reshape(count, CANDIDATES), axis=1, initial=0.0) / 4
    return Hops(reflect(x).reshape(count, CANDIDATES, n), first_step, kind, bin)


def draw(
    of_kind: np.ndarray, of_scale: np.ndarray, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kinds, bins of the scale and scales of so many hops, (count,) each, by the yields (kinds,) and (kinds, bins)."""
    kind = rng.choice(len(of_kind), count, p=shares(of_kind, LEAST_KIND))
    each = np.stack([shares(yields, LEAST_SCALE) for yields in of_scale])
    bin = np.sum(rng.random(count)[:, None] > np.cumsum(each, axis=1)[kind, :-1], axis=1)
    return kind, bin, 10 ** rng.uniform(SCALES[bin], SCALES[bin + 1])


def steps(parent: np.ndarray, kind: np.ndarray, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(k, CANDIDATES, n) Normal steps from the parents, (k, n); every candidate of a hop is drawn alike."""
    k, n = parent.shape
    normal = rng.standard_normal((k * CANDIDATES, n))
    some = np.where(np.repeat(kind == 1, CANDIDATES)[:, None], few(k * CANDIDATES, n, rng), 1)
    return parent[:, None] + scale[:, None, None] * (normal * some).reshape(k, CANDIDATES, n)


def shares(yields: np.ndarray, least: float) -> np.ndarray:
    """Probabilities in proportion to the yields, of which a share is even."""
    p = least / len(yields) + (1 - least) * yields / np.sum(yields)
    return p / np.sum(p)


def few(count: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """(count, n) Masks of one or two variables."""
    rank = np.argsort(rng.random((count, n)), axis=1)
    return rank < np.where(rng.random(count) < 0.5, 1, 2)[:, None]


def difference(pool: EliteSet, parent: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Parents, (k, n), moved by differences of two of the best points; and how far the searches may look, (k,)."""
    k = len(parent)
    among = np.minimum(rng.choice([4, 8, 24], k), len(pool.f))
    one, other = ((rng.random(k) * among).astype(np.int64) for _ in range(2))
    move = rng.choice([0.5, 1.0, 1.0], k)[:, None] * (pool.x[one] - pool.x[other])
    reach = 0.1 * np.max(np.abs(move), axis=1)
    return parent + move + 0.05 * reach[:, None] * rng.standard_normal(parent.shape), reach


def blend(pool: EliteSet, parent: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples with the mean and covariance of the best points, the better ones weighing more, as in [LL]."""
    k, n = parent.shape
    m = len(pool.f)
    among = np.minimum(rng.choice([4, 2 * n, 4 * n], k), m)[:, None]
    rank = np.arange(1, m + 1)[None, :]
    w = np.where(rank <= among, np.log(among + 1) - np.log(np.minimum(rank, among)), 0)
    w /= np.sum(w, axis=1, keepdims=True)
    mean, z = w @ pool.x, rng.standard_normal((k, m)) * np.sqrt(w)
    move = z @ pool.x - np.sum(z, axis=1, keepdims=True) * mean
    return mean + WIDER * move, 0.1 * np.max(np.abs(move), axis=1, initial=0.0)


def exchanges(
    pool: EliteSet, habits: Habits, proposed: np.ndarray, rng: np.random.Generator
) -> tuple[int, np.ndarray, np.ndarray]:
    """Points with one other coordinate: the place of their parent, (k, n), and which coordinate, (k,).

    The coordinate is that of another point, or one that a scan proposes, (m, 2), for the best point.
    """
    n = pool.x.shape[1]
    parent = 0 if len(proposed) else int(parents(pool, 1, rng)[0])
    axis = axes(n, min(int(habits.sweep) * n, MOST_EXCHANGES), rng)
    donor = rng.integers(len(pool.f), size=len(axis))
    value = np.append(pool.x[donor, axis], proposed[:, 1])
    axis = np.append(axis, proposed[:, 0].astype(np.int64))
    _, first = np.unique(np.stack([axis, value]), axis=1, return_index=True)
    first = np.sort(first[np.abs(value - pool.x[parent, axis])[first] > elite.SAME_PLACE])
    return parent, moved(pool.x[parent], axis[first], value[first]), axis[first]


def tens(nfev: np.ndarray) -> np.ndarray:
    """What hops cost, in tens of evaluations, from those of their searches: two values alone count as one."""
    return (nfev + CANDIDATES / 2) / 10


def axes(n: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) Variables in turn, from any of them on if not all have a turn."""
    first = int(rng.integers(n)) if count < n else 0
    return (first + np.arange(count)) % n


def moved(x: np.ndarray, axis: np.ndarray, value: np.ndarray) -> np.ndarray:
    """(k, n) Copies of x, (n,), with one coordinate replaced in each."""
    copies = np.repeat(x[None], len(axis), axis=0)
    copies[np.arange(len(axis)), axis] = value
    return copies


def combine(pool: EliteSet, parent: int, x: np.ndarray, axis: np.ndarray, f: np.ndarray) -> np.ndarray:
    """All exchanges that lower f put together, and the best of them alone, (2, n); (0, n) where none does."""
    lowest = pool.x[parent].copy()
    better = np.flatnonzero(f < pool.f[parent])
    for i in better[np.argsort(-f[better], kind="stable")]:  # the best of a variable comes last
        lowest[axis[i]] = x[i, axis[i]]
    return np.stack([lowest, x[np.argmin(f)]]) if len(better) else x[:0]


def learn(
    habits: Habits, pool: EliteSet, hop: tuple[np.ndarray, np.ndarray, np.ndarray], x: np.ndarray, f: np.ndarray,
    nfev: np.ndarray, swept: bool, same: float = elite.SAME_VALUE,
) -> Habits:  # fmt: skip
    """The habits after a round.

    pool: before it. hop: kinds, (k,), bins, (k,), and starts, (k, n). x, f, nfev: (k, n) and (k,), of the searches from
    them. swept: whether an exchange lowered f. same: relative difference of values that are one.
    """
    if not len(pool.f):
        return habits
    kind, bin, start = hop
    nearest = pool.x[elite.nearest_of(pool, x)]
    ends, begins = (np.max(np.abs(points - nearest), axis=1) for points in (x, start))
    with np.errstate(over="ignore"):  # of values up to the largest that there are
        known = np.min(np.abs(f[:, None] - pool.f), axis=1) <= same * (np.abs(f) + np.ptp(pool.f))
    home = known & (ends <= HOME * begins)
    gain = np.where(~known & (f < pool.f[min(7, len(pool.f) - 1)]), GOOD, np.where(home, 0, ELSEWHERE))
    gain = np.where(f < pool.f[0] - 4 * np.finfo(float).eps * np.abs(pool.f[0]), RECORD, gain)
    cost = tens(nfev)
    kinds, of_kind = len(KINDS), np.bincount(kind, cost, len(KINDS)) + 0.1
    gains, costs = np.zeros_like(habits.scale_gain), np.full_like(habits.scale_cost, 0.1)
    np.add.at(gains, (kind, bin), gain)
    np.add.at(costs, (kind, bin), cost)
    return Habits(
        FORGET * habits.gain + np.bincount(kind, gain, kinds) + HOPED * of_kind,
        FORGET * habits.cost + of_kind,
        FORGET * habits.scale_gain + gains + HOPED * costs,
        FORGET * habits.scale_cost + costs,
        np.asarray(min(2 * int(habits.sweep), LONGEST_SWEEP) if swept else max(int(habits.sweep) // 2, 1)),
    )
