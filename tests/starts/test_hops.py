"""Hops: the pool of the best minima, and what is learned from the searches that begin near them."""

import numpy as np

from jaxglobal.starts import elite, hops


def test_the_pool_keeps_the_best_distinct_points_in_order():
    rng = np.random.default_rng(0)
    x = rng.random((200, 3))
    f = np.sum(x, axis=1)
    f[:5] = np.nan
    pool = elite.enter(elite.empty(3), x, f, f > 0)
    assert len(pool.f) == elite.POOL and np.all(np.diff(pool.f) >= 0)
    assert np.array_equal(pool.f, np.sort(f[5:])[: elite.POOL])
    again = elite.enter(pool, x[np.argsort(f)[:10]] + 1e-12, np.sort(f)[:10], np.ones(10, bool))
    assert np.array_equal(again.f, pool.f)


def test_hops_stay_in_the_box_and_exchanges_change_one_coordinate():
    rng = np.random.default_rng(0)
    pool, habits = elite.enter(elite.empty(4), rng.random((30, 4)), rng.random(30), np.ones(30, bool)), hops.fresh()
    proposed = hops.propose(pool, habits, 50, rng)
    assert proposed.x.shape == (50, hops.CANDIDATES, 4) and np.all((proposed.x >= 0) & (proposed.x <= 1))
    assert set(proposed.kind) == set(range(len(hops.KINDS)))
    parent, x, axis = hops.exchanges(pool, habits, np.zeros((0, 2)), rng)
    assert np.array_equal(np.argwhere(x != pool.x[parent])[:, 1], axis)
    both = hops.combine(pool, parent, x, axis, np.full(len(x), pool.f[parent] - 1))
    assert len(both) == 2 and np.sum(both[0] != pool.x[parent]) == len(set(axis))
    assert not len(hops.combine(pool, parent, x, axis, np.full(len(x), pool.f[parent] + 1)))


def test_kinds_that_yield_are_taken_more_often():
    pool = elite.enter(elite.empty(2), np.random.default_rng(0).random((20, 2)), np.arange(20.0), np.ones(20, bool))
    habits, kind = hops.fresh(), np.array([0, 1, 2, 3])
    for _ in range(20):
        f, hop = np.where(kind == 1, -1.0, 0.0), (kind, np.zeros(4, int), np.full((4, 2), 0.5))
        habits = hops.learn(habits, pool, hop, np.repeat(pool.x[:1], 4, axis=0), f, np.full(4, 20), swept=False)
    shares = hops.shares(habits.gain / habits.cost, hops.LEAST_KIND)
    assert shares[1] > 0.8 and np.all(shares > 0.02) and np.isclose(np.sum(shares), 1)
    assert habits.sweep == 1


def test_hops_that_come_home_yield_nothing_however_cheap():
    rng = np.random.default_rng(0)
    pool = elite.enter(elite.empty(2), rng.random((20, 2)), np.arange(20.0), np.ones(20, bool))
    habits, bin = hops.fresh(), np.array([2, 9])
    for _ in range(20):
        start = pool.x[0] + np.array([[1e-3, 0], [0.3, 0]])
        x = np.stack([pool.x[0] + 1e-5, pool.x[0] + 0.4])  # one is home again, the other elsewhere, at no good value
        hop = np.zeros(2, int), bin, start
        habits = hops.learn(habits, pool, hop, x, np.array([0.0, 30.5]), np.array([5, 100]), swept=False)
    yields = habits.scale_gain[0] / habits.scale_cost[0]
    assert np.argmax(yields) == 9 and yields[2] <= 1.01 * np.min(yields)


def test_copies_of_the_best_minimum_do_not_fill_the_pool():
    x, f = np.random.default_rng(1).random((200, 3)), np.repeat([-3.0, -2.0, -1.0, 0.0], 50)
    pool = elite.enter(elite.empty(3), x, f, np.ones(200, bool))
    assert pool.f.tolist() == [-3, -3, -2, -2, -1, -1, 0, 0]
    assert pool.distinct == elite.POOL  # those that were dropped too: so many tell how many searches a level makes
    assert len(elite.enter(elite.empty(3), x[:0], f[:0], np.ones(0, bool)).f) == 0
