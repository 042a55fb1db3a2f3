"""The evolution strategy CMA-ES: a normal distribution that moves, grows and turns towards the better of its samples.

Where a function is so rugged that its slope tells nothing beyond the next wrinkle, or has no slope at all, the ranking
of values at distant points still does. `begin` makes an `Evolution`, `sample` draws its next points, `tell` takes their
values. It is scale-free, and invariant under rotations and under monotone maps of f.

[H] N. Hansen, The CMA evolution strategy: a tutorial (2016), arXiv:1604.00772, appendix A.
[AH] A. Auger and N. Hansen, A restart CMA evolution strategy with increasing population size, CEC (2005).

Differs from [H]:
1. Bounds: a sample outside the unit box is reflected at its faces where it is evaluated; the distribution is not told.
2. Ends where the best values of many generations, or the distribution itself, have shrunk to rounding, as in [AH].
"""

import functools
import math
from typing import NamedTuple

import numpy as np

WIDTH = 0.15  # standard deviation at first, in units of the box; [H] has 0.3 of it
FLAT = 1e-11  # values that differ by so much of their size, or of all that were seen, have settled; so narrow is shrunk
CONDITION = 1e7  # ratio of the axes of the distribution beyond which it has degenerated, [AH]
LARGEST_GROWTH = math.log(1.5)  # logarithm, of the step in one generation
TINY = np.finfo(float).tiny  # the least square of an axis


class Evolution(NamedTuple):
    """The distribution N(mean, step^2 C) in the unit box, n variables."""

    mean: np.ndarray
    """(n,)"""
    step: np.ndarray
    """()"""
    C: np.ndarray
    """(n, n)"""
    turn: np.ndarray
    """(n, n) Its principal axes, in columns, B in [H]."""
    lengths: np.ndarray
    """(n,) Their lengths, ascending, D in [H]."""
    path_c: np.ndarray
    """(n,) The path of C, p_c in [H]."""
    path_s: np.ndarray
    """(n,) The path of the step, p_sigma."""
    size: np.ndarray
    """() Points of a generation, lambda."""
    best: np.ndarray
    """(g,) The best value of each generation so far."""
    x: np.ndarray
    """(n,) The best point so far."""
    f: np.ndarray
    """() Its value."""


def begin(mean: np.ndarray, size: int) -> Evolution:
    """A round distribution about the mean, (n,)."""
    n = len(mean)
    nothing = np.zeros(n)
    round_, one, worst = np.eye(n), np.ones(n), np.array(np.inf)
    return Evolution(
        mean, np.array(WIDTH), round_, round_, one, nothing, nothing, np.array(size), np.zeros(0), mean, worst
    )


def default_size(n: int) -> int:
    """Points of a generation, [H] eq. 48."""
    return 4 + int(3 * math.log(n))


def sample(evolution: Evolution, rng: np.random.Generator) -> np.ndarray:
    """The points of the next generation, (size, n); some may lie outside the unit box."""
    normal = rng.standard_normal((int(evolution.size), len(evolution.mean)))
    return evolution.mean + evolution.step * (normal * evolution.lengths) @ evolution.turn.T


class Constants(NamedTuple):
    """Of a generation, as [H] names them; they depend on its size and the number of variables alone."""

    w: np.ndarray
    """(mu,) Weights of the best points, which sum to 1."""
    w_worse: np.ndarray
    """(size - mu,) Those of the others, negative."""
    worse: float
    """Their sum."""
    mu_eff: float
    c_s: float
    d_s: float
    c_c: float
    c_1: float
    c_mu: float
    expected: float
    """Length of a normal vector."""


@functools.lru_cache(64)
def constants(n: int, size: int) -> Constants:
    """Those of [H], eqs. 49 to 58."""
    raw = math.log((size + 1) / 2) - np.log(np.arange(1, size + 1))  # eq. 49
    w, worse = raw[: size // 2] / np.sum(raw[: size // 2]), raw[size // 2 :]
    mu_eff, mu_worse = float(1 / np.sum(w**2)), float(np.sum(worse) ** 2 / np.sum(worse**2))
    c_s = (mu_eff + 2) / (n + mu_eff + 5)  # eq. 55
    c_1 = 2 / ((n + 1.3) ** 2 + mu_eff)  # eq. 57
    c_mu = min(1 - c_1, 2 * (0.25 + mu_eff - 2 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))  # eq. 58
    # Eqs. 50 to 53: the worse half counts against its directions, so far that C stays positive definite.
    against = min(1 + c_1 / c_mu, 1 + 2 * mu_worse / (mu_eff + 2), (1 - c_1 - c_mu) / (n * c_mu))
    w_worse = against * worse / -np.sum(worse)
    return Constants(
        w=w,
        w_worse=w_worse,
        worse=float(np.sum(w_worse)),
        mu_eff=mu_eff,
        c_s=c_s,
        d_s=1 + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1) + c_s,
        c_c=(4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n),  # eq. 56
        c_1=c_1,
        c_mu=c_mu,
        expected=math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n)),
    )


def tell(evolution: Evolution, points: np.ndarray, f: np.ndarray, inside: np.ndarray) -> Evolution:
    """The distribution after its generation, (size, n), has these values. inside: the points where it was evaluated."""
    n, size, generation = len(evolution.mean), int(evolution.size), len(evolution.best) + 1
    w, w_worse, worse, mu_eff, c_s, d_s, c_c, c_1, c_mu, expected = constants(n, size)
    order = f.argsort(kind="stable")
    turn, lengths = evolution.turn, evolution.lengths
    y = (points[order] - evolution.mean) / evolution.step
    move = w @ y[: len(w)]
    rated = np.concatenate([w, w_worse * n / ((y[len(w) :] @ turn / lengths) ** 2).sum(axis=1)])
    path_s = (1 - c_s) * evolution.path_s + math.sqrt(c_s * (2 - c_s) * mu_eff) * (turn @ ((turn.T @ move) / lengths))
    length = math.sqrt(path_s @ path_s)
    steady = length / math.sqrt(1 - (1 - c_s) ** (2 * generation)) < (1.4 + 2 / (n + 1)) * expected
    path_c = (1 - c_c) * evolution.path_c + steady * math.sqrt(c_c * (2 - c_c) * mu_eff) * move
    kept = 1 - c_1 - c_mu * (1 + worse) + (1 - steady) * c_1 * c_c * (2 - c_c)
    C = kept * evolution.C + c_1 * (path_c[:, None] * path_c) + c_mu * (y.T * rated) @ y  # eq. 47
    squares, turn = np.linalg.eigh((C + C.T) / 2)
    growth = math.exp(min((c_s / d_s) * (length / expected - 1), LARGEST_GROWTH))
    lowest = order[0]
    better = f[lowest] < evolution.f
    return Evolution(
        mean=evolution.mean + evolution.step * move,
        step=evolution.step * growth,
        C=C,
        turn=turn,
        lengths=np.sqrt(np.maximum(squares, TINY)),
        path_c=path_c,
        path_s=path_s,
        size=evolution.size,
        best=np.concatenate([evolution.best, f[order[:1]]]),
        x=inside[lowest] if better else evolution.x,
        f=np.asarray(f[lowest] if better else evolution.f),
    )


def ended(evolution: Evolution) -> bool:
    """Whether nothing more is to be expected of the distribution."""
    n, size, generation = len(evolution.mean), int(evolution.size), len(evolution.best)
    best = evolution.best
    recent = best[-int(10 + 30 * n / size) :]
    low, high = recent.min(initial=np.inf), recent.max(initial=-np.inf)
    if not math.isfinite(high):
        settled = not math.isfinite(low)
    else:
        settled = generation > len(recent) and high - low <= FLAT * max(
            abs(recent[-1]), np.ptp(best[np.isfinite(best)])
        )
    shortest, longest = evolution.lengths[0], evolution.lengths[-1]  # in ascending order
    shrunk, degenerate = evolution.step * longest < FLAT, longest > CONDITION * shortest
    return bool(settled or shrunk or degenerate or generation > 100 + 150 * (n + 3) ** 2 / math.sqrt(size))
