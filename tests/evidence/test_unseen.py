"""What the minima say about those not yet seen, against draws and searches where the truth is known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.evidence.unseen import estimate


def drawn(shares, searches, rng):
    """The estimate from random starts, the number of minima without one, and their share."""
    hits = rng.multinomial(searches, shares)
    return estimate(hits[hits > 0], searches), int(np.sum(hits == 0)), float(np.sum(shares[hits == 0]))


@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("searches", [150, 600])
def test_the_intervals_hold_for_random_starts(spread, searches):
    rng = np.random.default_rng(0)
    number, share = [], []
    for _ in range(400):
        weights = np.exp(spread * rng.standard_normal(100))
        told, unseen, unseen_share = drawn(weights / np.sum(weights), searches, rng)
        number.append(math.floor(told.low) <= unseen <= math.ceil(told.high))
        share.append(unseen_share <= told.most)
        assert told.low <= told.minima <= told.high and 0 <= told.share <= told.most <= 1
    assert np.mean(share) > 0.93
    # Where basins differ in size by an order of magnitude the number is a lower bound.
    assert np.mean(number) > (0.9 if spread < 1 else 0.7)


def test_what_can_be_said_of_few_searches():
    alone = estimate(np.array([1]), 1)
    assert alone.share == alone.most == 1 and math.isinf(alone.high) and "or more" in str(alone)
    sure = estimate(np.array([500, 500]), 1000)
    assert (sure.minima, sure.low, sure.share, sure.most) == (0, 0, 0, 0.003) and sure.high < 1e-6
    told = estimate(np.array([40, 60]), 100, others=3)  # others have found three that none of these did
    assert told.minima == 0 and math.isinf(told.high)


def four(x):
    return jnp.sum((x**2 - 1) ** 2 + 0.1 * x)


def test_the_rule_ends_a_search_that_has_seen_all():
    result = jg.minimize(four, [(-2, 2.1)] * 2, starts=jg.Grid(), unseen=0.02, progress=False)
    assert result.status is jg.Status.COVERED and result.success
    assert len(result.minima) == 4 and result.unseen.most <= 0.02 < 3 / sum(lv.nstarts for lv in result.levels[:-1])
    assert result.unseen.searches == result.nstarts
    assert f"from {result.nstarts:,} even starts" in repr(result)
    guessed = jg.minimize(four, [(-2, 2.1)] * 2, x0=[[1.0, 1.0]] * 9, starts=jg.Grid(), max_levels=4, progress=False)
    assert guessed.unseen.searches == guessed.nstarts - 9
    assert guessed.to_dict()["unseen"]["searches"] == guessed.unseen.searches


def test_it_goes_on_where_the_best_value_stands_still():
    """Unless a number of levels is asked for too."""
    options = dict(starts=jg.Grid(), unseen=0.01, progress=False)
    result = jg.minimize(jg.problems.eggholder, [(-512, 512)] * 2, **options)
    assert result.status is jg.Status.COVERED and result.success and result.unseen.most <= 0.01
    early = jg.minimize(jg.problems.eggholder, [(-512, 512)] * 2, same=2, **options)
    assert early.status is jg.Status.SAME and early.nstarts < result.nstarts
    with pytest.raises(TypeError, match="`same` must be a whole number; got 2.5"):
        jg.minimize(jg.problems.eggholder, [(-512, 512)] * 2, same=2.5)


def test_of_the_default_starts_only_the_even_ones_count():
    result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, max_levels=6, same=99, progress=False)
    assert result.nstarts / 32 < result.unseen.searches < result.nstarts / 8
    assert "unseen" not in repr(result)  # too few of them to say much


def test_more_minima_than_are_kept(monkeypatch):
    monkeypatch.setattr("jaxglobal.evidence.minima.KEPT", 16)
    result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, starts=jg.Grid(), max_levels=5, progress=False)
    assert result.unseen is None and "unseen" not in repr(result)


def test_minima_that_found_no_room_once_are_not_forgotten(monkeypatch):
    monkeypatch.setattr("jaxglobal.evidence.minima.KEPT", 16)
    search = jg.levels(jg.problems.rastrigin, [(-4, 5.12)] * 2, starts=jg.Grid(), max_levels=5, progress=False)
    list(search)
    monkeypatch.setattr("jaxglobal.evidence.minima.KEPT", 64)  # room again, but for what was dropped
    assert search.result.unseen is None


def test_the_share_is_checked():
    with pytest.raises(ValueError, match="`unseen` must be a number of at least 0; got -1"):
        jg.minimize(four, [(-2, 2)] * 2, unseen=-1)
    with pytest.raises(ValueError, match="`unseen` must be a share of the box, at most 1; got 1.5"):
        jg.minimize(four, [(-2, 2)] * 2, unseen=1.5)
    with pytest.raises(TypeError, match="`unseen` must be a number; got 'all'"):
        jg.minimize(four, [(-2, 2)] * 2, unseen="all")


def wells(x, a):
    return jnp.sum((x**2 - a) ** 2 + 0.1 * x)


DEPTHS = np.linspace(1, 1.5, 3)
KINDS = {"plain": jg.Grid(), "learning": jg.Adaptive(jg.Grid())}


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_each_of_many_problems_goes_on_until_it_has_seen_all(kind, tmp_path):
    options = dict(starts=KINDS[kind], unseen=0.05, progress=False)
    results = jg.minimize_many(wells, [(-2, 2.1)] * 2, DEPTHS, **options)
    assert set(results.status) == {jg.Status.COVERED} and results.success.all()
    for one, a in zip(results, DEPTHS, strict=True):
        alone = jg.minimize(wells, [(-2, 2.1)] * 2, (a,), **options)
        assert alone.status is jg.Status.COVERED and alone.nit == one.nit
        assert one.unseen.most <= 0.05 and len(one.minima.fun) == 4
        if kind == "plain":
            assert one.unseen == alone.unseen
        assert abs(one.unseen.searches - alone.unseen.searches) <= 0.05 * alone.unseen.searches
        assert one.to_dict()["unseen"]["searches"] == one.unseen.searches
    assert [told.searches for told in results[1:].unseen] == [told.searches for told in results.unseen[1:]]
    kept = dict(callback=raises, checkpoint=tmp_path / "many.npz")
    for _ in range(9):
        again = jg.minimize_many(wells, [(-2, 2.1)] * 2, DEPTHS, **options | kept)
    assert again.unseen.tolist() == results.unseen.tolist() and np.array_equal(again.x, results.x)


def raises(_):
    raise StopIteration


def test_of_many_problems_those_with_more_minima_than_are_kept_end_by_the_evidence(monkeypatch):
    def egg_crates(x, scale):
        return jnp.sum(0.1 * x**2 - 10 * jnp.cos(scale * x))

    scales, options = np.array([0.1, 9.0]), dict(starts=jg.Grid(), progress=False)
    results = jg.minimize_many(egg_crates, [(-4, 5.12)] * 2, scales, **options, max_levels=6)
    assert results.unseen.tolist() == [None, None] and results.minima.fun.shape == (2, 16)
    monkeypatch.setattr("jaxglobal.evidence.minima.KEPT", 20)
    results = jg.minimize_many(egg_crates, [(-4, 5.12)] * 2, scales, **options, unseen=0.04)
    assert results.status.tolist() == [jg.Status.COVERED, jg.Status.FULL] and results.success.tolist() == [True, False]
    assert results.unseen[1] is None and results.minima.fun.shape == (2, 16) and results.unseen[0].minima == 0
    with pytest.raises(ValueError, match="`unseen` must be a number of at least 0; got -1"):
        jg.minimize_many(egg_crates, [(-4, 5.12)] * 2, scales, unseen=-1)


def test_minima_in_many_cells_are_each_listed():
    """Beside an offset the values of one minimum are those of many cells, of which only the lowest would be listed."""
    fun = lambda x, a: jnp.sum((x**2 - 1) ** 2 + 0.1 * x) + a  # noqa: E731
    offsets = np.array([0.0, 1000.0 if jax.config.jax_enable_x64 else 10.0])
    options = dict(starts=jg.Grid(), unseen=0.02, progress=False)
    results = jg.minimize_many(fun, [(-2, 2.1)] * 2, offsets, **options)
    assert all(np.sum(np.isfinite(results[i].minima.fun)) == 4 for i in range(2))
