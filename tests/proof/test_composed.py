"""Enclosures of functions that are composed at random hold values, gradients and Hessians with fifty digits."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from test_enclosures import modelled, random_boxes

pytestmark = float64_only
mp = pytest.importorskip("digits").mp

# name: in JAX, and the value and the first two derivatives with many digits
UNARY = {
    "sin": (jnp.sin, lambda v: (mp.sin(v), mp.cos(v), -mp.sin(v))),
    "cos": (jnp.cos, lambda v: (mp.cos(v), -mp.sin(v), -mp.cos(v))),
    "tanh": (jnp.tanh, lambda v: (t := mp.tanh(v), s := mp.sech(v) ** 2, -2 * t * s)),
    "atan": (jnp.arctan, lambda v: (mp.atan(v), r := 1 / (1 + v * v), -2 * v * r * r)),
    "square": (lambda v: v**2, lambda v: (v * v, 2 * v, mp.mpf(2))),
    "cube": (lambda v: v**3, lambda v: (v**3, 3 * v * v, 6 * v)),
    "log": (lambda v: jnp.log1p(jnp.exp(v)), lambda v: (mp.log(1 + mp.exp(v)), s := 1 / (1 + mp.exp(-v)), s - s * s)),
    "bell": (lambda v: jnp.exp(-(v**2)), lambda v: (e := mp.exp(-v * v), -2 * v * e, (4 * v * v - 2) * e)),
    "pole": (
        lambda v: 1 / (1.5 + v**2),
        lambda v: (r := 1 / (1.5 + v * v), -2 * v * r * r, (8 * v * v * r - 2) * r * r),
    ),
    "root": (lambda v: jnp.sqrt(2 + v**2), lambda v: (s := mp.sqrt(2 + v * v), v / s, 2 / s**3)),
}  # fmt: skip


class Jet:
    """A value with its gradient and Hessian, fifty digits each."""

    def __init__(self, v, g, H):
        self.v, self.g, self.H = v, g, H

    def apply(self, name):
        v, d, e = UNARY[name][1](self.v)
        return Jet(v, d * self.g, d * self.H + e * np.outer(self.g, self.g))

    def __add__(self, other):
        return Jet(self.v + other.v, self.g + other.g, self.H + other.H)

    def __mul__(self, other):
        cross = np.outer(self.g, other.g)
        return Jet(
            self.v * other.v, self.v * other.g + other.v * self.g,
            self.v * other.H + other.v * self.H + cross + cross.T,
        )  # fmt: skip

    def scaled(self, c):
        return Jet(c * self.v, c * self.g, c * self.H)


def composed(seed):
    """A random function of vectors, as a list of steps: in JAX, and of jets."""
    rng = np.random.default_rng(seed)
    n, steps = int(rng.integers(2, 5)), []
    for _ in range(int(rng.integers(3, 8))):
        kind = rng.choice(["unary", "map", "mul", "add", "roll"], p=[0.4, 0.25, 0.15, 0.1, 0.1])
        if kind == "unary":
            steps.append((kind, str(rng.choice(list(UNARY)))))
        elif kind == "map":  # quarters, so that no constant is rounded; some zeros
            steps.append((kind, rng.integers(-4, 5, (n, n)) / 4.0))
        else:
            steps.append((kind, int(rng.integers(0, 3))))
    weights = rng.integers(-3, 4, n) / 2.0

    def fun(x):
        seen = [x]
        for kind, how in steps:
            u = seen[-1]
            if kind == "unary":
                seen.append(UNARY[how][0](u))
            elif kind == "map":
                seen.append(jnp.asarray(how) @ u)
            elif kind == "roll":
                seen.append(jnp.roll(u, how))
            else:
                other = seen[max(len(seen) - 1 - how, 0)]
                seen.append(u * other if kind == "mul" else u + other)
        return jnp.sum(weights * seen[-1]) + jnp.sum(seen[len(seen) // 2] ** 2)

    def jets(x):
        zero, one = mp.mpf(0), mp.mpf(1)
        unit = lambda i: np.array([one if j == i else zero for j in range(n)], object)  # noqa: E731
        none = np.full((n, n), zero, object)
        seen = [[Jet(mp.mpf(float(v)), unit(i), none) for i, v in enumerate(x)]]
        for kind, how in steps:
            u = seen[-1]
            if kind == "unary":
                seen.append([a.apply(how) for a in u])
            elif kind == "map":
                seen.append([sum_of([a.scaled(mp.mpf(c)) for a, c in zip(u, row, strict=True)]) for row in how])
            elif kind == "roll":
                seen.append(u[-how % n :] + u[: -how % n] if how % n else u)
            else:
                other = seen[max(len(seen) - 1 - how, 0)]
                seen.append([a * b if kind == "mul" else a + b for a, b in zip(u, other, strict=True)])
        last = [a.scaled(mp.mpf(float(w))) for a, w in zip(seen[-1], weights, strict=True)]
        return sum_of(last + [a * a for a in seen[len(seen) // 2]])

    return fun, jets, n


def sum_of(jets):
    """Their sum."""
    out = jets[0]
    for jet in jets[1:]:
        out = out + jet
    return out


def outside(seed, count):
    """Values, gradients, Hessians that lie outside of their enclosures, and points that propagation has lost."""
    fun, jets, n = composed(seed)
    rng = np.random.default_rng(seed + 1)
    model = modelled(fun, np.full(n, -2.0))
    X, P = random_boxes(-2.0, 2.0, count, rng, n)
    with np.errstate(all="ignore"):
        seen = model.value(X)
        G, kinked = model.slope(seen)
        H, usable = model.curvature(seen, kinked)
        exact = [jets(p) for p in P.T]
        cut = float(np.median([float(jet.v) for jet in exact]))
        new, empty = model.narrowed(seen, cut)
    bad = 0
    for k, jet in enumerate(exact):
        bad += not seen.f.lo[k] <= jet.v <= seen.f.hi[k]
        bad += sum(not G.lo[i, k] <= jet.g[i] <= G.hi[i, k] for i in range(n))
        if usable[k]:
            bad += sum(not H.lo[i, j, k] <= jet.H[i, j] <= H.hi[i, j, k] for i in range(n) for j in range(n))
        bad += bool(jet.v <= cut and (empty[k] or np.any((P[:, k] < new.lo[:, k]) | (P[:, k] > new.hi[:, k]))))
    return bad


@pytest.mark.parametrize("seed", range(40))
def test_random_compositions(seed):
    assert outside(seed, 12) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 240))
def test_many_random_compositions(seed):
    assert outside(seed, 60) == 0
