"""Data of a decay, which the tests of fits share."""

import jax.numpy as jnp
import numpy as np

BOX = [(0.0, 10.0), (0.0, 10.0), (-1.0, 2.0)]
T = np.linspace(0, 4, 40)


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def data(seed=0, noise=0.05):
    y = 2.5 * np.exp(-1.3 * T) + 0.5
    return y + noise * np.random.default_rng(seed).standard_normal(len(T))
