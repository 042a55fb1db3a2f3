"""certify where a function has matrices: systems, determinants, and likelihoods of Gaussian processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only

import jaxglobal as jg
from jaxglobal.proof import verified
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.node import Node

mpmath = pytest.importorskip("mpmath")
pytestmark = float64_only
T = np.linspace(0, 1, 12)
Y = np.sin(3 * T) * np.exp(-T) + 0.05 * np.cos(40 * T)


def likelihood(x, m):
    """Of a Gaussian process with a length scale and a noise, up to a sign and a constant."""
    t, y = T[:m], Y[:m]
    K = jnp.exp(-0.5 * ((t[:, None] - t) / x[0]) ** 2) + x[1] * jnp.eye(m)
    return 0.5 * y @ jnp.linalg.solve(K, y) + 0.5 * jnp.linalg.slogdet(K)[1]


@pytest.mark.parametrize("m", [4, 6])
def test_a_gaussian_process(m):
    fun, bounds = lambda x: likelihood(x, m), [(0.2, 0.6), (0.1, 0.5)]
    result = jg.minimize(fun, bounds, progress=False)
    certificate = jg.certify(fun, bounds, result=result, tol=1e-6, max_boxes=20_000, progress=False)
    assert certificate.proven and certificate.nboxes < 20_000
    assert certificate.lower <= result.fun + 1e-9 and abs(certificate.upper - result.fun) < 1e-9
    sample = np.random.default_rng(0).uniform([0.2, 0.1], [0.6, 0.5], (2000, 2))
    assert jnp.min(jax.lax.map(fun, jnp.asarray(sample))) >= certificate.lower


@pytest.mark.parametrize("n", [2, 5, 9])
def test_inverses_and_determinants_with_fifty_digits(n):
    rng = np.random.default_rng(n)
    batch = 12
    A = rng.standard_normal((n, n, batch)) + 3 * np.eye(n)[..., None] * rng.choice([0.02, 1.0], batch)
    half = 10.0 ** rng.uniform(-14, -1, batch) * rng.uniform(size=A.shape)
    half[..., 0] = 0.0
    a = Interval(A - half, A + half)
    with np.errstate(all="ignore"):
        X = verified.RULES["inverse"](Node("inverse", {}, (0,), (n, n)), a)
        d = verified.RULES["logdet"](Node("logdet", {}, (0,), ()), a)
    known = np.isfinite(X[0]).all((0, 1))
    assert known[0] and known.sum() >= 6
    with mpmath.workdps(50):
        for k in np.flatnonzero(known):
            mixed = np.where(rng.uniform(size=(n, n)) < 0.5, a.lo[..., k], a.hi[..., k])
            for corner in (a.lo[..., k], a.hi[..., k], mixed):
                M = mpmath.matrix(corner.tolist())
                inverse, log = M**-1, mpmath.log(abs(mpmath.det(M)))
                assert d[0][k] <= log <= d[1][k]
                inside = (X[0][i, j, k] <= inverse[i, j] <= X[1][i, j, k] for i in range(n) for j in range(n))
                assert all(inside)
