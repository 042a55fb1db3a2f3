"""Hops inside a traced search: later starts are made from the ends of earlier ones, as basin hopping [WD] does.

The first starts are those of the cover; the others come in rounds, in each of which some are of the cover still and the
others hop: from one of the best distinct ends of their problem by the time that the round began. What each kind of hop
is for is in starts/hops.py. Differs from it:
1. random numbers are drawn when the search is traced, the same for all problems;
2. kinds and scales have fixed shares, as nothing is learned of their yields;
3. a hop has one candidate, and an exchange of coordinates is searched from: values alone are never asked for, so that
   the function is in the program once.

On six families of functions in five variables (`benchmarks/families.py`) 94 to 96 of 96 members are solved so, 93
without the blend, and 48 from the cover alone; another seed of them in three and in eight variables gave 60 and 62,
where `minimize` solves 60 and 63 at the same evaluations. It misses where an exchange by values alone is what helps.

[WD] D. Wales and J. Doye, Global optimization by basin-hopping, J. Phys. Chem. A 101 (1997).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

FEWEST = 64  # starts in all, below which none hops: few levels in few variables, where the cover does as well
FIRST = 1 / 8  # of the starts are those of the cover before the first round
ROUNDS = 32  # at most: more starts make longer rounds, so that the lanes have enough to do
LEAST_ROUND = 8  # starts
COVERED = 1 / 4  # of a round are of the cover
SHARES = (0.2, 0.2, 0.15, 0.15, 0.3)  # of the kinds of hops: all, few, difference, blend, exchange
POOL = 16  # best distinct ends of a problem
TABLE = 64  # ends of a round that are kept, at most; of those that share a place the lowest
DRAWN = 4096  # rows of random numbers, used in turn
SCALES = (-3.0, -0.3)  # decimal logarithms of the scale of a step, in units of the box
FROM_BEST = 0.5  # share of the hops from the best point
RANK = 8 / 3  # mean rank of the other parents
SHORTEST = 1e-4  # first step of a search, in units of the box
WIDER = 1.2  # a blend is so much wider than the ends that it is made of


class Hopping(NamedTuple):
    """Which starts hop, fixed when the search is traced."""

    first: int
    """Starts before the first round, K guesses of the user's own apart."""
    round: int
    """Starts of each round."""
    cover: np.ndarray
    """(N,) Which point of the cover each start is; -1 where it hops."""
    seed: int


class Draws(NamedTuple):
    """Random numbers of the hops, a row each."""

    kind: np.ndarray
    """(D,)"""
    rank: np.ndarray
    """(D,) Of the parent among the best."""
    pair: np.ndarray
    """(D, 2) Uniform: which other two."""
    scale: np.ndarray
    """(D,)"""
    normal: np.ndarray
    """(D, n)"""
    few: np.ndarray
    """(D, n) One or two variables."""
    weight: np.ndarray
    """(D, POOL) Normal: of the ends in a blend."""


class EliteSets(NamedTuple):
    """The best distinct ends of each of P problems, in the unit box, and T of the round that is under way."""

    x: jax.Array
    """(P, POOL + T, n) The best first."""
    f: jax.Array
    """(P, POOL + T) +inf where there is none."""


def plan(total: int, seed: int) -> Hopping | None:
    """Which of so many starts hop; None where they are too few."""
    if total < FEWEST:
        return None
    round_size = max(LEAST_ROUND, total // ROUNDS)
    first = total - (total - max(round_size, int(FIRST * total))) // round_size * round_size
    stays = np.arange(total) < first
    stays[first:] = np.arange(total - first) % round_size < max(1, int(COVERED * round_size))
    return Hopping(first, round_size, np.where(stays, np.cumsum(stays) - 1, -1), seed)


def draw(hopping: Hopping, n: int) -> Draws:
    """The random numbers of n variables."""
    rng = np.random.default_rng(hopping.seed)
    D = min(len(hopping.cover), DRAWN)
    rank = np.where(rng.random(D) < FROM_BEST, 0, rng.exponential(RANK, D).astype(np.int64))
    order = np.argsort(rng.random((D, n)), axis=1)
    return Draws(
        kind=rng.choice(len(SHARES), D, p=SHARES),
        rank=np.minimum(rank, POOL - 1),
        pair=rng.random((D, 2)),
        scale=10 ** rng.uniform(*SCALES, D),
        normal=rng.standard_normal((D, n)),
        few=order < np.where(rng.random(D) < 0.5, 1, 2)[:, None],
        weight=rng.standard_normal((D, POOL)),
    )


def empty(hopping: Hopping, count: int, n: int, dtype: np.dtype) -> EliteSets:
    """No end yet, of so many problems."""
    size = POOL + min(hopping.round, TABLE)
    return EliteSets(jnp.full((count, size, n), 0.5, dtype), jnp.full((count, size), jnp.inf, dtype))


def note(pool: EliteSets, x: jax.Array, f: jax.Array, problem: jax.Array, start: jax.Array) -> EliteSets:
    """The pool with ends at x, (k, n) in the unit box, of these starts; rows of `problem` beyond the last do not count.

    Of those that share a place in the table the lowest stays, and of equal ones that of the first start.
    """
    count, size = pool.f.shape
    place, here = POOL + start % (size - POOL), jnp.minimum(problem, count - 1)
    f = jnp.where(jnp.isfinite(f), f, jnp.inf)
    lowest = pool.f.at[problem, place].min(f, mode="drop")
    wins = (problem < count) & (f < pool.f[here, place]) & (f == lowest[here, place])
    first = jnp.full(pool.f.shape, 2**31 - 1).at[jnp.where(wins, problem, count), place].min(start, mode="drop")
    wins &= first[here, place] == start
    return EliteSets(pool.x.at[jnp.where(wins, problem, count), place].set(jnp.clip(x, 0, 1), mode="drop"), lowest)


def renew(pool: EliteSets, same: float) -> EliteSets:
    """The pool at the end of a round: the best ends first, one of each value, the table empty. same: relative."""
    earlier = np.tri(pool.f.shape[1], k=-1, dtype=bool)[None]

    def before(f):  # without a sort, which takes long to compile
        return (f[:, None, :] < f[:, :, None]) | ((f[:, None, :] == f[:, :, None]) & earlier)

    near = pool.f[:, :, None] - pool.f[:, None, :] <= same * (1 + jnp.abs(pool.f))[:, :, None]
    f = jnp.where(jnp.any(before(pool.f) & near, axis=2), jnp.inf, pool.f)
    rank = jnp.sum(before(f), axis=2)
    chosen = rank[:, None, :] == np.arange(POOL)[None, :, None]
    x = jnp.sum(jnp.where(chosen[..., None], pool.x[:, None], 0), axis=2)
    f = jnp.min(jnp.where(chosen, f[:, None], jnp.inf), axis=2)
    return EliteSets(pool.x.at[:, :POOL].set(x), jnp.full_like(pool.f, jnp.inf).at[:, :POOL].set(f))


def hop(pool: EliteSets, draws: Draws, problem: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(S, n) Where these starts of these problems hop to, in the unit box, and the first steps from there, (S,)."""
    dtype = pool.x.dtype
    kind, rank, pair, scale, normal, few, weight = (jnp.asarray(a)[start % len(draws.kind)] for a in draws)
    scale, normal, weight = scale.astype(dtype), normal.astype(dtype), weight.astype(dtype)
    ends, there = pool.x[problem, :POOL], jnp.isfinite(pool.f[problem, :POOL])
    m = jnp.maximum(jnp.sum(there, axis=1), 1)
    at = lambda i: pool.x[problem, jnp.minimum(i, m - 1)]  # noqa: E731
    parent = at(rank)
    one, other = at((pair[:, 0] * m).astype(int)), at((pair[:, 1] * m).astype(int))
    across = one - other
    log_rank = jnp.log(jnp.arange(1, POOL + 1, dtype=dtype))[None]
    w = jnp.where(there, jnp.log(m + 1.0)[:, None] - log_rank, 0)
    w = w / jnp.maximum(jnp.sum(w, axis=1, keepdims=True), 1e-30)
    z = weight * jnp.sqrt(w)
    mean = jnp.einsum("sm,smn->sn", w, ends)
    spread = jnp.einsum("sm,smn->sn", z, ends) - jnp.sum(z, axis=1, keepdims=True) * mean
    step = scale[:, None] * normal
    size = jnp.max(jnp.abs(across), axis=1, initial=0.0)
    exchanged = jnp.where(few, one, parent)
    moves = [
        (parent + step, scale),
        (parent + step * few, scale),
        (parent + across + 0.005 * size[:, None] * normal, 0.1 * size),
        (mean + WIDER * spread, 0.1 * jnp.max(jnp.abs(spread), axis=1, initial=0.0)),
        (exchanged, 0.1 * jnp.max(jnp.abs(exchanged - parent), axis=1, initial=0.0)),
    ]
    alone = (m < 2) & (kind >= 2)  # which differs from none
    kind = jnp.where(alone, kind % 2, kind)
    x, reach = moves[0]
    for k, (to, length) in enumerate(moves[1:], start=1):
        x, reach = jnp.where((kind == k)[:, None], to, x), jnp.where(kind == k, length, reach)
    return 1 - jnp.abs(x % 2 - 1), jnp.maximum(reach / 4, SHORTEST)
