"""Problems that no rule was made for, in two sets: one to choose constants on, one to check them on.

Random members of families that differ in what makes them hard: many minima, few, one; funnels; narrow holes; flats;
jumps; penalties; values that tell nothing of the best. Boxes lie off the centre. A member is its family and its seed.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Unknown(NamedTuple):
    """A problem, its function shared by its family, so that a family compiles once for each number of variables."""

    name: str
    fun: Callable[..., Any]
    bounds: list[tuple[float, float]]
    args: tuple[Any, ...]
    fmin: float | None
    """The minimum, where it is known by construction."""
    guesses: np.ndarray | None = None
    """Points near which the minimum lies, if it is known that far."""


def gaussians(x, a, c, w):
    return -jnp.sum(a * jnp.exp(-jnp.sum((x - c) ** 2, axis=1) / (2 * w**2)))


def cosines(x, a, k, p, c):
    return jnp.sum(a * jnp.cos(k @ x + p)) + 0.05 * jnp.sum((x - c) ** 2)


def rastrigin(x, c, r):
    z = r @ (x - c)
    return jnp.sum(z**2 - 10 * jnp.cos(2 * jnp.pi * z) + 10)


def ackley(x, c, r):
    z = r @ (x - c)
    return (
        20 - 20 * jnp.exp(-0.2 * jnp.sqrt(jnp.mean(z**2) + 1e-300)) + jnp.e - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * z)))
    )


def levy(x, c, r):
    w = 1 + r @ (x - c) / 4
    return (
        jnp.sin(jnp.pi * w[0]) ** 2
        + jnp.sum((w[:-1] - 1) ** 2 * (1 + 10 * jnp.sin(jnp.pi * w[:-1] + 1) ** 2))
        + (w[-1] - 1) ** 2 * (1 + jnp.sin(2 * jnp.pi * w[-1]) ** 2)
    )


def griewank(x, c, r):
    z = r @ (x - c)
    return jnp.sum(z**2) / 40 - jnp.prod(jnp.cos(z / jnp.sqrt(jnp.arange(1, x.size + 1)))) + 1


def two_funnels(x, c, r):
    z = r @ (x - c)
    wide = jnp.sum((z - 2.5) ** 2) + 0.0 * x.size
    other = jnp.sum((z + 2.5) ** 2) * 0.7 + 1.0 * x.size
    return jnp.minimum(wide, other) + 10 * jnp.sum(1 - jnp.cos(2 * jnp.pi * (z - 2.5)))


def schwefel(x, s):
    z = 420.968746 + s * (x - 420.968746)
    return 418.9828872724339 * x.size - jnp.sum(z * jnp.sin(jnp.sqrt(jnp.abs(z))))


def hole(x, c, d, w):
    return jnp.sum((x - c) ** 2) / x.size - 30.0 * jnp.exp(-jnp.sum((x - d) ** 2) / (2 * w**2))


def improvement(x, points, weights, chol, length, best):
    k = jnp.exp(-0.5 * jnp.sum(((x - points) / length) ** 2, axis=1))
    mean = k @ weights
    v = jax.scipy.linalg.solve_triangular(chol, k, lower=True)
    s = jnp.sqrt(jnp.maximum(1 - v @ v, 1e-12))
    z = (best - mean) / s
    return -(s * (z * jax.scipy.stats.norm.cdf(z) + jax.scipy.stats.norm.pdf(z)))


def steps(x, c):
    return jnp.sum(jnp.floor(3 * jnp.abs(x - c)))


def cliffs(x, c, d):
    return jnp.sum((x - c) ** 2) + jnp.sum(jnp.cos(4 * (x - c))) + jnp.where(d @ (x - c) > 0.2, 3.0, 0.0)


def valley(x, c):
    z = x - c + 1
    return jnp.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)


def bowl(x, c, r, s):
    return jnp.sum(s * (r @ (x - c)) ** 2)


def soft(x, c, k):
    return jax.nn.logsumexp(k @ (x - c)) + 0.01 * jnp.sum((x - c) ** 2)


def kinks(x, c, r):
    return jnp.sum(jnp.abs(r @ (x - c))) + jnp.sqrt(jnp.sum((x - c) ** 2))


def penalised(x, a, k, p, c, d):
    ring = jnp.maximum(jnp.sum((x - d) ** 2) - 4, 0.0) + jnp.maximum(1.5 - jnp.sum((x - d) ** 2), 0.0)
    return cosines(x, a, k, p, c) + 1e3 * ring**2


def sines_fit(q, t, y):
    return jnp.sum((q[0] * jnp.sin(q[1] * t + q[2]) - y) ** 2)


def two_sines_fit(q, t, y):
    return jnp.sum((q[0] * jnp.sin(q[1] * t) + q[2] * jnp.sin(q[3] * t) - y) ** 2)


def decays_fit(q, t, y):
    return jnp.sum((q[0] * jnp.exp(-q[1] * t) + q[2] * jnp.exp(-q[3] * t) - y) ** 2)


def mixture(q, t):
    w = jax.nn.sigmoid(q[0])
    one, other = jnp.exp(-0.5 * (t - q[1]) ** 2 * 4) * 2, jnp.exp(-0.5 * (t - q[2]) ** 2)
    return -jnp.mean(jnp.log(w * one + (1 - w) * other + 1e-9))


def atoms(x, d):
    z = jnp.reshape(x, (-1, 2)) * d
    r2 = jnp.sum((z[:, None] - z[None]) ** 2, axis=-1) + jnp.eye(len(z)) + 0.05
    return jnp.sum((1 - jnp.eye(len(z))) * (r2**-6 - 2 * r2**-3)) / 2


def michalewicz(x, c):
    z = x - c
    return -jnp.sum(jnp.sin(z) * jnp.sin(jnp.arange(1, x.size + 1) * z**2 / jnp.pi) ** 20)


def langermann(x, a, c, k):
    r = jnp.sum((x - c) ** 2, axis=1)
    return jnp.sum(a * jnp.exp(-r / jnp.pi) * jnp.cos(k * r))


def wavelets(x, a, c):
    r = jnp.sqrt(jnp.sum((x - c) ** 2, axis=1) + 1e-300)
    return -jnp.sum(a * (1 + jnp.cos(12 * r)) / (0.5 * r**2 + 2))


def damavandi(x, c):
    z = x - c
    top = jnp.sinc(z[0]) * jnp.sinc(z[1])
    return (1 - jnp.abs(top) ** 5) * (2 + (z[0] + 5) ** 2 + 2 * (z[1] + 5) ** 2)


def keane(x, c):
    z = x - c
    return -(jnp.sin(z[0] - z[1]) ** 2 * jnp.sin(z[0] + z[1]) ** 2) / jnp.sqrt(jnp.sum(z**2) + 1e-12)


def shubert(x, c):
    j = jnp.arange(1.0, 6.0)
    return jnp.prod(jnp.sum(j * jnp.cos((j + 1) * (x - c)[:, None] + j), axis=1)) + 0.1 * jnp.sum((x - c - 0.5) ** 2)


def price(x, c):
    z, y = x[0] - c[0], x[1] - c[1]
    one = 1 + (z + y + 1) ** 2 * (19 - 14 * z + 3 * z**2 - 14 * y + 6 * z * y + 3 * y**2)
    other = 30 + (2 * z - 3 * y) ** 2 * (18 - 32 * z + 12 * z**2 + 48 * y - 36 * z * y + 27 * y**2)
    return jnp.log(one * other)


def camel(x, c):
    z, y = x[0] - c[0], x[1] - c[1]
    return (4 - 2.1 * z**2 + z**4 / 3) * z**2 + z * y + (4 * y**2 - 4) * y**2


def egg(x, c):
    z, y = x[0] - c[0], x[1] - c[1] + 47
    return -y * jnp.sin(jnp.sqrt(jnp.abs(y + z / 2))) - z * jnp.sin(jnp.sqrt(jnp.abs(z - y)))


def shekel(x, c, w):
    return -jnp.sum(1 / (jnp.sum((x - c) ** 2, axis=1) + w))


def weierstrass(x, c, r):
    z, k = r @ (x - c), jnp.arange(8)
    return jnp.sum(0.5**k * (1 - jnp.cos(2 * jnp.pi * 3.0**k * z[:, None] / 2)))


def schaffer(x, c, r):
    z = r @ (x - c)
    s = jnp.sqrt(z[:-1] ** 2 + z[1:] ** 2 + 1e-300)
    return jnp.mean(jnp.sqrt(s) * (1 + jnp.sin(5 * s**0.4) ** 2))


def rotation(rng, n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def box(c, rng, half):
    """A box of such half sides around c, up to 70 % off its centre."""
    middle = c + rng.uniform(-0.7, 0.7, len(c)) * half
    return list(zip((middle - half).tolist(), (middle + half).tolist(), strict=True))


def member(family: str, n: int, seed: int) -> Unknown:
    """A member of a family."""
    rng = np.random.default_rng([seed, n, sum(map(ord, family))])
    c, r = rng.uniform(-1, 1, n), rotation(rng, n)
    name = f"{family}-{n}-{seed}"
    if family in ("gaussians", "spikes"):
        m = 12 * n
        centres = rng.uniform(0, 10, (m, n))
        low, high = (0.4, 1.5) if family == "gaussians" else (0.15, 1.0)
        args = (rng.uniform(0.5, 2, m), centres, rng.uniform(low, high, m) * n**0.5)
        return Unknown(name, gaussians, [(0.0, 10.0)] * n, args, None, centres)
    if family in ("cosines", "penalised"):
        m = 4 + 2 * n
        args = (rng.uniform(0.3, 1.5, m), rng.standard_normal((m, n)) * 2.0, rng.uniform(0, 6.3, m), c)
        if family == "penalised":
            return Unknown(name, penalised, [(-4.0, 5.0)] * n, (*args, rng.uniform(-1, 1, n)), None)
        return Unknown(name, cosines, box(c, rng, 6.0), args, None)
    if family in ("rastrigin", "ackley", "levy", "griewank", "two_funnels", "weierstrass", "schaffer"):
        half = {"rastrigin": 5.12, "ackley": 15, "levy": 10, "griewank": 30, "two_funnels": 6, "weierstrass": 2}
        straight = seed % 2 and family == "rastrigin"
        where = c + r.T @ np.full(n, 2.5) if family == "two_funnels" else c
        bounds = box(c, rng, half.get(family, 50.0))
        inside = all(a < w < b for (a, b), w in zip(bounds, where, strict=True))
        fun = globals()[family]
        return Unknown(name, fun, bounds, (c, np.eye(n) if straight else r), 0.0 if inside else None)
    if family == "schwefel":
        return Unknown(name, schwefel, [(-500.0, 500.0)] * n, (rng.uniform(0.9, 1.0),), 0.0)
    if family == "hole":
        d = rng.uniform(-8, 8, n)
        w = rng.uniform(0.1, 0.6) if n > 1 else rng.uniform(0.02, 0.2)
        return Unknown(name, hole, [(-10.0, 10.0)] * n, (c, d, w), None, np.stack([c, d]))
    if family == "improvement":
        m, length = 10 * n, rng.uniform(0.15, 0.6, n)
        points = rng.uniform(0, 1, (m, n))
        k = np.exp(-0.5 * np.sum(((points[:, None] - points[None]) / length) ** 2, axis=-1)) + 1e-6 * np.eye(m)
        y = np.linalg.cholesky(k) @ rng.standard_normal(m)
        args = (points, np.linalg.solve(k, y), np.linalg.cholesky(k), length, float(np.min(y)))
        return Unknown(name, improvement, [(0.0, 1.0)] * n, args, None)
    if family == "steps":
        return Unknown(name, steps, box(c, rng, 5.0), (c,), 0.0)
    if family == "cliffs":
        return Unknown(name, cliffs, box(c, rng, 5.0), (c, rng.standard_normal(n)), None)
    if family == "valley":
        return Unknown(name, valley, box(c, rng, 3.0), (c,), 0.0)
    if family == "bowl":
        return Unknown(name, bowl, box(c, rng, 5.0), (c, r, 10 ** rng.uniform(-2, 2, n)), 0.0)
    if family == "soft":
        return Unknown(name, soft, box(c, rng, 5.0), (c, rng.standard_normal((3 * n, n))), None)
    if family == "kinks":
        return Unknown(name, kinks, box(c, rng, 5.0), (c, r), 0.0)
    if family == "sines_fit":
        t = np.linspace(0, 10, 60)
        y = rng.uniform(1, 4) * np.sin(rng.uniform(1, 18) * t + rng.uniform(0, 6)) + 0.3 * rng.standard_normal(60)
        return Unknown(name, sines_fit, [(0.0, 5.0), (0.2, 20.0), (0.0, 6.4)], (t, y), None)
    if family == "two_sines_fit":
        t = np.linspace(0, 10, 60)
        y = 2 * np.sin(rng.uniform(1, 8) * t) + 1.2 * np.sin(rng.uniform(1, 8) * t) + 0.5 * rng.standard_normal(60)
        return Unknown(name, two_sines_fit, [(0.0, 5.0), (0.2, 12.0)] * 2, (t, y), None)
    if family == "decays_fit":
        t = np.linspace(0, 6, 60)
        y = rng.uniform(1, 4) * np.exp(-rng.uniform(0.1, 0.5) * t) + rng.uniform(1, 4) * np.exp(-rng.uniform(1, 3) * t)
        return Unknown(name, decays_fit, [(0.0, 9.0), (0.0, 5.0)] * 2, (t, y + 0.02 * rng.standard_normal(60)), None)
    if family == "mixture":
        t = np.concatenate([rng.normal(-1, 0.5, 30), rng.normal(rng.uniform(0, 3), 1, 50)])
        return Unknown(name, mixture, [(-4.0, 4.0), (-6.0, 6.0), (-6.0, 6.0)], (t,), None)
    if family == "atoms":
        return Unknown(name, atoms, [(-2.0, 2.0)] * n, (rng.uniform(0.8, 1.2),), None)
    if family == "michalewicz":
        c = 0.2 * c
        return Unknown(name, michalewicz, [(float(a), float(a) + np.pi) for a in c], (c,), None)
    if family == "langermann":
        m = 8
        args = (rng.uniform(-5, 5, m), rng.uniform(0, 10, (m, n)), rng.uniform(1, 4, m))
        return Unknown(name, langermann, [(0.0, 10.0)] * n, args, None)
    if family == "wavelets":
        return Unknown(name, wavelets, [(-5.0, 6.0)] * n, (rng.uniform(0.5, 1, 3), rng.uniform(-4, 4, (3, n))), None)
    if family == "damavandi":
        bounds = [(float(a) - 6 - rng.uniform(0, 4), float(a) + 4 + rng.uniform(0, 4)) for a in c]
        return Unknown(name, damavandi, bounds, (c,), 0.0)
    if family == "keane":
        return Unknown(name, keane, [(float(a), float(a) + 10) for a in c], (c,), None)
    if family == "shubert":
        return Unknown(name, shubert, box(c, rng, 8.0), (c,), None)
    if family == "price":
        return Unknown(name, price, box(c, rng, 2.5), (c,), None)
    if family == "camel":
        return Unknown(name, camel, box(c, rng, 4.0), (c,), None)
    if family == "egg":
        return Unknown(name, egg, [(float(a) * 50 - 400, float(a) * 50 + 450) for a in c], (50 * c,), None)
    if family == "shekel":
        m = 10
        centres = rng.uniform(0, 10, (m, n))
        return Unknown(name, shekel, [(0.0, 10.0)] * n, (centres, rng.uniform(0.05, 0.6, m)), None, centres)
    raise KeyError(family)


CHOOSING = {
    "gaussians": (1, 2, 3, 4), "cosines": (1, 2, 3, 5), "rastrigin": (2, 3, 5, 8), "ackley": (2, 5), "levy": (2, 4),
    "griewank": (2, 5), "schwefel": (2, 4), "hole": (1, 2), "improvement": (2, 4), "steps": (2, 4), "cliffs": (2, 4),
    "valley": (2, 5), "bowl": (2, 6, 10), "soft": (3, 8), "kinks": (2, 4), "penalised": (2, 3), "sines_fit": (3,),
    "two_funnels": (2, 3), "langermann": (2,), "shekel": (3,), "decays_fit": (4,),
}  # fmt: skip
CHECKING = {
    "spikes": (1, 2, 3), "gaussians": (2, 5), "cosines": (1, 2, 4, 6), "rastrigin": (2, 4, 6), "two_sines_fit": (4,),
    "mixture": (3,), "atoms": (6, 8), "michalewicz": (2, 5), "langermann": (2, 3), "wavelets": (1, 2),
    "damavandi": (2,), "keane": (2,), "shubert": (2,), "price": (2,), "camel": (2,), "egg": (2,), "shekel": (2, 4),
    "weierstrass": (2, 3),
    "schaffer": (2, 5), "improvement": (1, 3, 4), "levy": (2, 6), "ackley": (3,), "griewank": (3,), "valley": (3, 8),
    "bowl": (1, 4, 7), "soft": (2, 5), "penalised": (2, 4), "cliffs": (1, 3), "hole": (1, 2), "sines_fit": (3,),
    "kinks": (3,), "steps": (3,),
}  # fmt: skip


@functools.cache
def problems(which: str, members: int = 3) -> list[Unknown]:
    """The problems of the set "choosing" or "checking", so many of each family and number of variables."""
    families, first = (CHOOSING, 0) if which == "choosing" else (CHECKING, 1000)
    return [
        member(family, n, first + seed) for family, sizes in families.items() for n in sizes for seed in range(members)
    ]
