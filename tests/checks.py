"""Contracts that several tests check."""

import jax
import numpy as np
import pytest

import jaxglobal as jg

X64 = bool(jax.config.jax_enable_x64)
float64_only = pytest.mark.skipif(not X64, reason="what it checks is beyond float32")


def precision() -> tuple[float, float]:
    """Tolerances (of a minimum's value, relative to 1 + abs(f); of its place, in units of the box)."""
    return (1e-9, 1e-5) if jax.config.jax_enable_x64 else (1e-4, 5e-3)


def check_minimum(result: jg.Result, fmin: float, x=None, atol: float | None = None) -> None:
    """The result is the known minimum, at the known place, and its bookkeeping is consistent."""
    ftol, xtol = precision()
    assert result.fun <= fmin + (ftol if atol is None else atol) * (1 + abs(fmin)), result
    if x is not None:
        flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(result.x)])
        known = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(x)])
        np.testing.assert_allclose(flat, known, atol=20 * xtol, rtol=20 * xtol)
    check_counts(result)


def check_counts(result: jg.Result) -> None:
    """Counts add up, values fall from level to level, minima are sorted, and the best minimum is the answer."""
    assert result.nit == len(result.levels)
    assert [level.index for level in result.levels] == list(range(result.nit))
    assert sum(level.nstarts for level in result.levels) == result.nstarts
    assert result.njev == result.nfev >= sum(level.nfev for level in result.levels) > 0
    for level in result.levels:
        assert sum(level.statuses.values()) == level.nstarts
    values = [level.fun for level in result.levels if np.isfinite(level.fun)]
    assert all(a >= b for a, b in zip(values, values[1:], strict=False))
    funs = [minimum.fun for minimum in result.minima]
    assert funs == sorted(funs)
    if result.minima:
        assert funs[0] == result.fun
        assert sum(minimum.count for minimum in result.minima) <= result.nstarts
    assert 0 <= result.lane_efficiency <= 1


def check_inside(x, lower, upper) -> None:
    """No bound is violated, not even by rounding."""
    assert np.all(np.asarray(x) >= lower), (x, lower)
    assert np.all(np.asarray(x) <= upper), (x, upper)
