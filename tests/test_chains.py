"""Chains of hops: each by itself, only downhill, anew where it stands still; called for where the pool stands still."""

import numpy as np

import jaxglobal as jg
from jaxglobal import adaptive, chains

CELL = 1 / 16


def bottom(x):
    """Where a local search from each of x, (k, n), ends: the middle of its cell."""
    return (np.floor(np.clip(x, 0, 1 - 1e-12) / CELL) + 0.5) * CELL


def two_funnels(x):
    """Of minima on a lattice, (k, n): a wide funnel, and a narrow one that is deeper."""
    wide, narrow = np.linalg.norm(bottom(x) - 5.5 * CELL, axis=1), np.linalg.norm(bottom(x) - 13.5 * CELL, axis=1)
    return np.minimum(wide, 1.2 * narrow - 0.1)


def rounds_of(known, count, rounds, n=2):
    """The chains after each of some rounds of so many hops."""
    for turn in range(rounds):
        known, hop, chain = chains.propose(known, count, np.random.default_rng(turn))
        x = bottom(hop.x[:, 0])
        known = chains.after(known, chain, (hop.kind, hop.bin), x, two_funnels(x), np.full(count, 20))
        yield known


def test_a_chain_goes_down_alone_and_begins_anew_at_the_bottom():
    before, ends = np.full(4, np.inf), []
    for known in rounds_of(chains.empty(2), 64, 200):
        assert len(known.f) == 4 and np.all((known.idle >= 0) & (known.idle <= chains.patience(2)))
        ended = np.isfinite(before) & np.isinf(known.f)
        assert np.all(ended | (known.f <= before))
        ends += before[ended].tolist()
        before = known.f
    # Both funnels are seen to their bottoms, and few chains end above one.
    at_bottom = [sum(np.isclose(f, lowest) for f in ends) for lowest in (0.0, -0.1)]
    assert min(at_bottom) > 0 and len(ends) > 10 and sum(at_bottom) > 0.9 * len(ends)


def test_a_scale_that_lowers_f_is_taken_more_often():
    *_, known = rounds_of(chains.empty(2), 32, 60)
    used = np.sum(known.cost, axis=0)
    # Steps far shorter than a cell lead nowhere.
    assert np.argmax(used) >= 8 and np.max(used) > 2 * used[0] and not np.any(known.gain[:, :5])


def test_more_hops_make_more_chains():
    known = chains.empty(3)
    for count, expected in ((0, 0), (1, 1), (31, 1), (32, 2), (8, 2), (10_000, chains.MOST)):
        known, hop, chain = chains.propose(known, count, np.random.default_rng(0))
        assert len(known.f) == expected and len(hop.x) == len(chain) == count
        spread = np.bincount(chain, minlength=expected)
        assert not expected or np.ptp(spread) <= 1
        assert np.all((hop.x >= 0) & (hop.x <= 1)) and np.all(hop.first_step > 0)


def test_points_without_a_value_end_a_chain_in_the_end():
    known = chains.empty(2)
    for turn in range(20):
        known, hop, chain = chains.propose(known, 16, np.random.default_rng(turn))
        f = np.where(np.arange(16) % 2, np.nan, np.inf)
        known = chains.after(known, chain, (hop.kind, hop.bin), hop.x[:, 0], f, np.ones(16))
        assert np.all(np.isinf(known.f)) and np.all(known.idle <= chains.patience(2))


def searched(levels, n=4, seed=0):
    """The course after each block of local searches, which here end in the middle of a cell; and idle before it."""
    guide = adaptive.Guide(jg.Adaptive(jg.Sobol(seed=seed), seed), n)
    guide.add(np.full((1, n), 0.5), two_funnels(np.full((1, n), 0.5)), np.ones(1, bool))
    for level in range(1, levels + 1):
        guide.enter(level)
        done, size = 0, guide.size(level)
        while (block := guide.next(done, size - done, nfev=0)) is not None:
            idle = int(guide.course.idle)
            guide.take(bottom(block.x), two_funnels(block.x), np.full(len(block.x), 20), np.ones(len(block.x), bool))
            if block.searched:
                done += len(block.x)
                yield guide.course, idle


def test_chains_have_their_share_of_the_hops_while_the_pool_stands_still():
    called, course = 0, adaptive.begin(4)
    for course, idle in searched(levels=8):
        links, hopped = len(course.chain), len(course.x) - int(course.cells)
        if idle <= chains.patience(4) * (1 if called else adaptive.STILL):
            assert links == 0
        else:  # what values have shown to be good takes the places of up to three hops of the pool
            assert 0 <= links - int(adaptive.CHAINED * hopped) <= 3
        called += links
    assert called and np.sum(course.chains.cost) > 0


def test_a_narrow_funnel_beside_a_wide_one_is_found(monkeypatch):
    found = []
    for share in (0, adaptive.CHAINED):
        monkeypatch.setattr(adaptive, "CHAINED", share)
        lowest = [[course.pool.f[0] for course, _ in searched(levels=10, n=8, seed=seed)][-1] for seed in range(4)]
        found.append(sum(f == -0.1 for f in lowest))
    assert found[1] >= found[0] + 2
