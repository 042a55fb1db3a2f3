"""Problems that came after the rules of stopping: families of their own, and other members of those of unknown.py.

As there, a member is its family, its number of variables and its seed, and a family compiles once for each number.
"""

import functools

import jax.numpy as jnp
import numpy as np
from unknown import CHECKING, CHOOSING, Unknown, box, member, rotation

FIRST = 9000  # the seeds of the other two sets are below


def spins(x, j, p):
    """Angles that cannot all agree."""
    return -jnp.sum(j * jnp.cos(x[:, None] - x[None] + p)) - 0.3 * jnp.sum(jnp.cos(x))


def double_wells(x, h, j):
    """A chain of double wells, each with a tilt and a coupling of its own."""
    return jnp.sum((x**2 - 1) ** 2 + h * x) + jnp.sum(j * x[1:] * x[:-1])


def sensors(x, anchors, squares, between):
    """Places in a plane from squared distances to anchors and to each other."""
    z = jnp.reshape(x, (-1, 2))
    own = jnp.sum((z[:, None] - anchors[None]) ** 2, axis=-1)
    mutual = jnp.sum((z[:, None] - z[None]) ** 2, axis=-1)
    return jnp.mean((own - squares) ** 2) + jnp.mean((mutual - between) ** 2)


def array(x, a, k, p):
    """Minus the power of waves that interfere."""
    phase = k @ x + p
    return -(jnp.sum(a * jnp.cos(phase)) ** 2 + jnp.sum(a * jnp.sin(phase)) ** 2) + 0.01 * jnp.sum(x**2)


def cauchy(x, c, s):
    """Minus the log likelihood of a place, with heavy tails."""
    return jnp.sum(jnp.log(1 + jnp.sum((x - c) ** 2, axis=1) / s))


def wells(x, c, q, d):
    """The lowest of quadratics that are stretched each in its own directions."""
    z = jnp.einsum("mij,mj->mi", q, x - c)
    return jnp.min(jnp.sum(z**2, axis=1) + d)


def ripples(x, c, r, k):
    """A bowl with rings of an ellipsoid around another place."""
    z = r @ (x - c[0])
    return jnp.sum(z**2) / 10 + jnp.sin(k * jnp.sqrt(jnp.sum((x - c[1]) ** 2 * jnp.arange(1, x.size + 1)) + 1e-12))


def rough_valley(x, c, a):
    """A curved valley with waves along it."""
    z = x - c + 1
    return jnp.sum(10 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2) + a * jnp.sum(1 - jnp.cos(6 * (z - 1)))


def harmonics(x, a, p, j):
    """Periodic in each variable, with neighbours coupled."""
    m = jnp.arange(1, a.shape[1] + 1)
    return jnp.sum(a / jnp.sqrt(m) * jnp.cos(m * x[:, None] + p)) + jnp.sum(j * jnp.sin(x[1:] - 2 * x[:-1]))


def pulses(q, t, y):
    """The squares of two pulses on a signal: heights are solved for."""
    k = jnp.exp(-0.5 * ((t[:, None] - q[:2]) / (0.1 + jnp.abs(q[2:]))) ** 2)
    gram = k.T @ k + 1e-6 * jnp.eye(2)
    b = k.T @ y
    return y @ y - b @ jnp.linalg.solve(gram, b)


def plateaus(x, k, b, w):
    """Sums of steep sigmoids."""
    return w @ jnp.tanh(6 * (k @ x) + b) + 0.02 * jnp.sum(x**2)


def trefethen(x, k, c):
    """Waves within waves, as in the fourth of the hundred-digit problems, turned and moved."""
    z = k @ (x - c)
    return (
        jnp.sum(jnp.exp(jnp.sin(5 * z))) / x.size + jnp.sum(jnp.sin(6 * jnp.exp(jnp.tanh(z))))
        + jnp.sin(7 * jnp.sin(8 * z[0])) + jnp.sum(z**2) / 4
    )  # fmt: skip


def narrowing(x, c, w, a):
    """Peaks of a product, the narrower the higher."""
    return -jnp.sum(a * jnp.prod(1 / (1 + ((x - c) / w[:, None]) ** 2), axis=1))


FAMILIES = {
    spins: (3, 5), double_wells: (4, 6), sensors: (4, 6), array: (2, 3), cauchy: (2, 4), wells: (2, 4, 6),
    ripples: (2, 3), rough_valley: (2, 4), harmonics: (2, 3, 4), pulses: (4,), plateaus: (2, 4), trefethen: (2, 3),
    narrowing: (2, 3, 4),
}  # fmt: skip


def own_member(fun, n: int, seed: int) -> Unknown:
    """A member of a family of this file."""
    rng = np.random.default_rng([seed, n, sum(map(ord, fun.__name__))])
    c, m, wide = rng.uniform(-1, 1, n), 4 * n, [(-4.0, 5.0)] * n
    normal, uniform = rng.standard_normal, rng.uniform
    places = uniform(-3.5, 4.5, (m, n))
    guesses = None
    if fun is spins:
        args, wide = (normal((n, n)), uniform(0, 6.3, (n, n))), [(-3.2, 3.2)] * n
    elif fun is double_wells:
        args, wide = (uniform(-0.3, 0.3, n), uniform(-0.8, 0.8, n - 1)), [(-2.0, 2.2)] * n
    elif fun is sensors:
        anchors, true = uniform(-3, 3, (3, 2)), uniform(-3, 3, (n // 2, 2))
        apart = [np.sum((true[:, None] - z[None]) ** 2, axis=-1) for z in (anchors, true)]
        args = (anchors, apart[0] * uniform(0.7, 1.3, apart[0].shape), apart[1])
    elif fun is array:
        args = (uniform(0.3, 1, m), 3 * normal((m, n)), uniform(0, 6.3, m))
    elif fun is cauchy:
        args, guesses = (places, uniform(0.02, 0.3)), places
    elif fun is wells:
        q = normal((m, n, n)) + 2 * np.stack([rotation(rng, n) for _ in range(m)])
        args, guesses = (places, q, uniform(0, 3, m)), places
    elif fun is ripples:
        args = (np.stack([c, uniform(-2, 2, n)]), rotation(rng, n), uniform(3, 7))
    elif fun is rough_valley:
        args, wide = (c, uniform(0.3, 2)), box(c, rng, 3.0)
    elif fun is harmonics:
        args, wide = (normal((n, 6)), uniform(0, 6.3, (n, 6)), normal(n - 1)), [(-3.2, 3.2)] * n
    elif fun is pulses:
        t, true = np.linspace(0, 10, 80), uniform(1, 9, 4)
        y = sum(a * np.exp(-0.5 * ((t - b) / 0.3) ** 2) for a, b in zip((1, 0.8, 0.6, 0.5), true, strict=True))
        args, wide = (t, y + 0.03 * normal(80)), [(0.0, 10.0)] * 2 + [(0.0, 2.0)] * 2
    elif fun is plateaus:
        args = (normal((m, n)), 8 * normal(m), normal(m))
    elif fun is trefethen:
        args = (rotation(rng, n), c)
    else:
        w = uniform(0.1, 1.5, m)
        args, guesses = (places, w, 1 / (0.5 + w) * uniform(0.8, 1.2, m)), places
    return Unknown(f"{fun.__name__}-{n}-{seed}", fun, wide, args, None, guesses)


@functools.cache
def problems(members: int = 3) -> list[Unknown]:
    """So many members of each family here, for each number of variables, and one of each family of unknown.py."""
    known = {
        (family, n): None for families in (CHOOSING, CHECKING) for family, sizes in families.items() for n in sizes
    }
    own = [own_member(fun, n, FIRST + i) for fun, sizes in FAMILIES.items() for n in sizes for i in range(members)]
    return own + [member(family, n, FIRST) for family, n in known]
