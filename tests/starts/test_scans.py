"""Scans: the best coordinate of every line, from few values."""

import numpy as np
import pytest

from jaxglobal.starts import elite, hops, scans


def wells(x):
    """A sum over the variables, each with six minima in [0, 1], at odd twelfths; the lowest at 7/12."""
    return np.sum(2 - np.cos(12 * np.pi * (x - 7 / 12)) + 4 * (x - 7 / 12) ** 2, axis=-1)


def scan(pool, schedule, fun, rng):
    """All points of a scan, with their values."""
    x = scans.lines(pool, schedule, rng)
    while len(more := scans.closer(pool, schedule, x, fun(x))):
        x = np.concatenate([x, more])
    return x, fun(x)


@pytest.mark.parametrize("n", [1, 3, 200])
def test_a_scan_finds_the_best_coordinate_of_every_line(n):
    rng, schedule = np.random.default_rng(0), scans.fresh()
    best = np.full((1, n), 1 / 12)
    pool = elite.enter(elite.empty(n), best, wells(best), np.ones(1, bool))
    x, f = scan(pool, schedule, wells, rng)
    assert np.all((x >= 0) & (x <= 1)) and np.all(np.sum(x != best, axis=1) <= 1)
    lines = min(n, hops.MOST_EXCHANGES // scans.COARSEST)
    assert len(x) == lines * (scans.COARSEST - 1)  # the best point is on every line
    proposed = scans.proposals(pool, x, f)
    for axis in np.unique(proposed[:, 0]):
        assert abs(proposed[proposed[:, 0] == axis, 1][0] - 7 / 12) < 0.01
    # An exchange takes each of them, and all together are the minimum of the lines.
    parent, exchanged, axes = hops.exchanges(pool, hops.fresh(), proposed, rng)
    together = hops.combine(pool, parent, exchanged, axes, wells(exchanged))[0]
    assert np.sum(np.abs(together - 7 / 12) < 0.01) == len(np.unique(proposed[:, 0]))


def test_a_scan_is_dense_where_the_line_is_low():
    """Twenty-nine minima on a line of 48 points: too many for even points to tell which is the lowest."""

    def wrinkled(x):
        return np.sum(1 - np.cos(58 * np.pi * (x - 0.63)) + 80 * (x - 0.63) ** 2, axis=-1)

    schedule = scans.fresh()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        best = rng.random((1, 2))
        pool = elite.enter(elite.empty(2), best, wrinkled(best), np.ones(1, bool))
        proposed = scans.proposals(pool, *scan(pool, schedule, wrinkled, rng))
        parent, exchanged, axes = hops.exchanges(pool, hops.fresh(), proposed, rng)
        together = hops.combine(pool, parent, exchanged, axes, wrinkled(exchanged))[0]
        assert np.all(np.abs(together - 0.63) < 1 / 58)


def test_the_easiest_interval_reaches_a_lower_value_by_the_flattest_parabola():
    t, v = np.array([0.0, 0.1, 0.3, 0.35, 1.0]), np.array([4.0, 1.0, 1.0, 2.0, np.nan])
    assert np.allclose(scans.easiest(t, v, 2), [0.2, 0.05])  # wide and low before narrow, high, and unknown ones
    assert np.array_equal(scans.easiest(t, np.ones(5), 1), [0.675])  # a plateau
    assert not len(scans.easiest(t, np.full(5, np.nan), 3))


def test_a_scan_takes_points_without_a_value_for_walls():
    t = np.linspace(0, 1, 9)
    v = np.array([3, 2, np.inf, 5, 4, 4.5, np.inf, 1, 9])
    assert np.allclose(scans.lowest(t, v), [0.5 + 1 / 48])  # the one minimum whose neighbours have values
    assert not len(scans.lowest(t, np.ones(9))) and not len(scans.lowest(t[:2], v[:2]))


def test_a_wall_as_high_as_numbers_go_is_no_warning():
    def walled(x):
        return np.where(x[:, 0] > 0.5, 1e306, (x[:, 0] - 0.3) ** 2)

    best = np.full((1, 1), 0.1)
    pool = elite.enter(elite.empty(1), best, walled(best), np.ones(1, bool))
    proposed = scans.proposals(pool, *scan(pool, scans.fresh(), walled, np.random.default_rng(0)))
    assert abs(proposed[0, 1] - 0.3) < 1e-6


def test_scans_that_find_nothing_are_finer_and_rarer():
    schedule = scans.fresh()
    assert scans.after(schedule, scanned=True, fruitful=True) == schedule
    for _ in range(9):
        schedule = scans.after(schedule, scanned=True, fruitful=False)
        assert schedule.fine <= scans.FINEST and schedule.rest == schedule.fine // scans.COARSEST
    assert (
        schedule.fine == scans.FINEST and scans.after(schedule, scanned=False, fruitful=True).rest == schedule.rest - 1
    )
    pool = elite.enter(elite.empty(2), np.full((1, 2), 0.5), np.ones(1), np.ones(1, bool))
    assert not len(scans.lines(pool, schedule, np.random.default_rng(0)))
