"""Multipliers where the minimum lies at a kink of the objective or of a row: prices on a side of it, or between."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64

import jaxglobal as jg

BOX = [(-2.0, 2.0)] * 2


def total(x):
    return x[0] + x[1]


# Objective, row, its bounds, the price.
KINKS = {
    "objective": (lambda x: jnp.abs(x[0]) + 2 * jnp.abs(x[1]), total, (1.0, np.inf), -1.0),
    "equality": (lambda x: jnp.abs(x[0]) + 2 * jnp.abs(x[1]), total, (1.0, 1.0), -1.0),
    "row": (lambda x: -x[0] - 0.5 * x[1], lambda x: jnp.sum(jnp.abs(x)), (-np.inf, 1.0), 1.0),
    "tie": (lambda x: x[1] ** 2 - x[0], lambda x: jnp.maximum(x[0] - 0.5, 0), (-np.inf, 0.0), 1.0),
    "no kink": (lambda x: jnp.sum((x - 1.5) ** 2), total, (-np.inf, 1.0), 2.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_multipliers_at_a_kink(name):
    fun, row, bounds, price = KINKS[name]
    kept = jg.Constraint(row, *bounds)
    found = jg.minimize(fun, BOX, constraints=kept, starts=jg.Grid(), max_levels=3, progress=False)
    assert np.isclose(found.multipliers, price, atol=1e-6 if X64 else 1e-2) and found.active


def test_the_evidence_speaks_for_the_lowest_value():
    """A pit that a row leaves for one whole number, with a kink at its bottom: searches that begin there leave it."""
    at, width = 0.82, 0.16

    def row(x):
        pit = jnp.where(x[0] == 4, 0.7 * jnp.maximum(0.0, 1 - jnp.abs(x[1] - at) / width), 0.0)
        return x[2] - 0.8 - 0.1 * (x[1] - 0.5) ** 2 + pit

    result = jg.minimize(
        lambda x: 0.025 * x[0] + x[2], [(0, 4), (0.0, 1.0), (0.0, 1.0)], constraints=jg.Constraint(row, 0.0),
        integrality=[True, False, False], max_evals=40_000, progress=False,
    )  # fmt: skip
    best = 0.1 + 0.1 + 0.1 * (at - 0.5) ** 2
    assert result.fun <= best + 0.02 and (result.fun <= best + 1e-4 or not result.success)
