"""Chains of hops: each by itself, only downhill, anew where it stands still; called for where the pool stands still."""

import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.starts import candidates, chains, state
from jaxglobal.starts.rounds import Rounds

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
        assert not expected or np.ptp(np.bincount(chain, minlength=expected)) <= 1
        assert np.all((hop.x >= 0) & (hop.x <= 1)) and np.all(hop.first_step > 0)


def test_a_chain_that_begins_has_one_search_beside_chains_that_hop():
    known = chains.empty(2)._replace(x=np.full((3, 2), 0.5), f=np.array([1.0, np.inf, 2.0]), idle=np.zeros(3, int))
    known, _, chain = chains.propose(known, 41, np.random.default_rng(0))
    assert np.bincount(chain).tolist() == [20, 1, 20]


def test_points_without_a_value_end_a_chain_in_the_end():
    known = chains.empty(2)._replace(x=np.full((1, 2), 0.5), f=np.zeros(1), idle=np.zeros(1, int))
    for turn in range(chains.patience(2) // 16 + 1):
        assert known.f == 0 and known.idle == 16 * turn and np.all(known.x == 0.5)
        known, hop, chain = chains.propose(known, 16, np.random.default_rng(turn))
        f = np.where(np.arange(16) % 2, np.nan, np.inf)
        known = chains.after(known, chain, (hop.kind, hop.bin), hop.x[:, 0], f, np.ones(16))
    assert np.isinf(known.f) and known.idle == 0


def blocks(levels, n=4, seed=0, saved=False):
    """The rounds before each of their blocks, and the block; a local search here ends in the middle of a cell.

    saved: whether others go on from each block with what the first have saved.
    """
    rounds = Rounds(jg.Adaptive(jg.Sobol(seed=seed), seed), n)
    rounds.add(np.full((1, n), 0.5), two_funnels(np.full((1, n), 0.5)), np.ones(1, bool))
    for level in range(1, levels + 1):
        rounds.enter(level, 0)
        done, size = 0, rounds.size(level)
        while (block := rounds.next(done, size - done, nfev=0)) is not None:
            yield rounds, block
            if saved:
                arrays, rounds = rounds.save(), Rounds(rounds.sequence, n)
                rounds.load(arrays)
            nfev = np.full(len(block.x), 20)
            rounds.take(bottom(block.x), two_funnels(block.x), nfev, np.ones(len(block.x), bool))
            done += len(block.x) if block.searched else 0


def test_chains_have_their_share_of_the_hops_while_the_pool_stands_still():
    called = 0
    for rounds, block in blocks(levels=8):
        if not block.searched:
            continue
        course = rounds.state
        links, hopped = len(course.chain), len(course.x) - int(course.cells)
        if course.idle <= chains.patience(4) * (1 if called else candidates.STILL):
            assert links == 0
        else:  # what values have shown to be good takes the places of hops of the pool
            assert links == int(candidates.CHAINED * hopped)
        called += links
    assert called


def test_what_is_saved_between_any_two_blocks_goes_on_with_its_chains():
    chained, steps = 0, set()
    for (rounds, block), (_, other) in zip(blocks(levels=8), blocks(levels=8, saved=True), strict=True):
        assert np.array_equal(block.x, other.x) and np.array_equal(block.first_step, other.first_step)
        chained += len(rounds.state.chain)
        steps.add(int(rounds.state.step))
    assert chained and state.SCAN in steps


def test_a_cover_that_costs_more_has_fewer_searches_while_chains_hop():
    n = 2
    for cost, expected in ((1, 16), (7, 8), (1000, candidates.AT_RANDOM)):
        rounds = Rounds(jg.Adaptive(jg.Sobol()), n)
        rounds.add(np.full((1, n), 0.5), np.ones(1), np.ones(1, bool))
        idle = np.asarray(candidates.STILL * chains.patience(n) + 1)
        rounds.state = rounds.state._replace(idle=idle, spent=np.array([[1, cost], [1, 1]]), level=np.array(9))
        rounds.state = rounds.state._replace(size=np.asarray(64 * candidates.ROUNDS))
        rounds.next(0, 1000, nfev=0)
        assert rounds.state.cells == expected


@pytest.mark.slow
def test_a_narrow_funnel_beside_a_wide_one_is_found(monkeypatch):
    found = []
    for share in (0, candidates.CHAINED):
        monkeypatch.setattr(candidates, "CHAINED", share)
        runs = [blocks(levels=10, n=10, seed=seed) for seed in range(24)]
        found.append(sum(any(rounds.state.pool.f[0] == -0.1 for rounds, _ in run) for run in runs))  # the narrow bottom
    assert found[1] >= found[0] + 4
