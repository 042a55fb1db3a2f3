"""Many problems by default: plain starts settle the easy ones, the others go on with starts that learn."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal import Status
from jaxglobal.api import minimize_many
from jaxglobal.search import many_learning, many_mixed

BOX = [(-5.0, 5.0)] * 2
SHIFTS = np.linspace(-1.0, 1.0, 6)


def waves(x, shift, high):
    """One basin where high is 0, a hundred where it is 1."""
    z = x - shift
    return jnp.sum(z**2 + 10 * high * (1 - jnp.cos(2 * jnp.pi * z)))


def hard(shift):
    return (np.abs(shift) > 0.5).astype(float)


@pytest.fixture
def few(monkeypatch):
    """Six problems are many; how many begin to learn."""
    monkeypatch.setattr(minimize_many, "FEW", 4)
    begun, begin = [], many_learning.Learning.begin

    def counted(self, level, slots):
        begun.extend(slots.tolist() if level == 0 else [])
        begin(self, level, slots)

    monkeypatch.setattr(many_learning.Learning, "begin", counted)
    return begun


def test_easy_problems_are_settled_by_plain_starts_and_the_others_learn(few):
    results = jg.minimize_many(waves, BOX, (SHIFTS, hard(SHIFTS)), progress=False)
    assert len(few) == int(np.sum(hard(SHIFTS))) == 4
    assert results.success.all() and all(status is Status.SAME for status in results.status)
    np.testing.assert_allclose(results.x, np.stack([SHIFTS, SHIFTS], axis=1), atol=1e-6)
    assert np.all(results.nfev >= many_mixed.LEAST)


@pytest.mark.parametrize(
    "options",
    [{"same": 4}, {"max_evals": 3000}, {"max_levels": 2}, {"starts": jg.Adaptive(jg.Grid())}, {"unseen": 0.5}],
)
def test_all_learn_where_something_else_is_asked_for(few, options):
    jg.minimize_many(waves, BOX, (SHIFTS, hard(SHIFTS)), progress=False, **options)
    assert len(few) == len(SHIFTS)


def test_a_search_that_is_cut_again_and_again_comes_to_the_same_answers(few, tmp_path):
    call = dict(bounds=BOX, args=(SHIFTS, hard(SHIFTS)), progress=False)
    whole, heard, calls = jg.minimize_many(waves, **call), [], 0

    def stop(told):
        heard.extend(told.problems.tolist())
        raise StopIteration

    while len(heard) < len(SHIFTS):
        cut = jg.minimize_many(waves, **call, checkpoint=tmp_path / "many.npz", callback=stop)
        calls += 1
        assert np.sum(cut.status == Status.CALLBACK) == len(SHIFTS) - len(heard)
    resumed = jg.minimize_many(waves, **call, checkpoint=tmp_path / "many.npz")
    assert calls > 1
    for name in ("x", "fun", "nfev", "nit", "nstarts", "success"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name), name)


def test_limits_of_all_and_targets_hold(few):
    call = dict(bounds=BOX, args=(SHIFTS, np.ones(6)), progress=False)
    done = jg.minimize_many(waves, **call, target=1.0)
    assert np.all(done.fun <= 1.0) and all(status is Status.TARGET for status in done.status)
    done = jg.minimize_many(waves, **call, max_time=0.0)
    assert all(status is Status.MAX_TIME for status in done.status)


def test_a_problem_without_a_value_is_given_up(few):
    results = jg.minimize_many(
        lambda x, a: jnp.where(a > 0, jnp.sum((x - a) ** 2), jnp.nan), BOX, np.array([1.0, 2, 3, 4, -1]), progress=False
    )
    assert results.success.tolist() == [True] * 4 + [False] and results.status[4] is Status.NO_FINITE_VALUE
