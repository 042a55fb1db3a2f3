"""When a search stops by its evidence: what it says, what it costs, and that nothing but the function decides it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.evidence import confidence, stopping
from jaxglobal.starts import elite, lastlook
from jaxglobal.starts.rounds import Rounds
from jaxglobal.starts.weighing import Weighing

DOUBLE = jax.config.jax_enable_x64  # the module is imported after conftest has set it


def seen(f, nfev, evidence=None, fresh=0, moved=1.0):
    """The evidence after searches that ended at these values, the first of them from fresh starts."""
    f = np.asarray(f, float)
    evidence = confidence.no_evidence() if evidence is None else evidence
    sure = np.ones(len(f), bool)
    return confidence.dated(confidence.learn(evidence, f, np.arange(len(f)) < fresh, sure, 1e-8, moved), nfev)


def test_an_old_value_that_was_met_again_convinces():
    evidence = seen([2.0, 1.0, np.inf], 200)
    assert int(evidence.hits) == 1 and not confidence.convincing(evidence, 100_000, 1)
    evidence = seen([1.0] * 9, 400, evidence)
    assert not confidence.convincing(evidence, 200 + confidence.OLD, 1)
    assert confidence.convincing(evidence, 200 * confidence.OLD, 1)
    assert not confidence.convincing(evidence, confidence.AFFORDED - 1, 1)
    lower = seen([0.5], 500, evidence)
    assert int(lower.hits) == 1 and int(lower.found) == 500


def test_fresh_starts_that_lead_there_are_worth_more():
    evidence = seen([1.0] * 12, 100)
    late = seen([0.5] * 12, 2000, evidence)
    often = seen([0.5] * 12, 2000, evidence, fresh=12)
    nfev = 100 + confidence.OLD_ENOUGH * 1900
    assert confidence.convincing(often, nfev, 50) and not confidence.convincing(evidence, 10_000, 50)
    assert confidence.convincing(often, nfev, 1) and not confidence.convincing(late, nfev, 1)


def test_a_basin_that_few_fresh_starts_lead_to_is_small():
    """One in twenty: a better basin of the same size may not have been met either."""
    evidence = confidence.learn(confidence.no_evidence(), np.ones(12), np.arange(12) < 1, np.ones(12, bool), 1e-8, 1.0)
    others = np.full(19, 2.0)
    rare = confidence.dated(confidence.learn(evidence, others, others > 1, others > 1, 1e-8, 0.0), 100)
    assert int(rare.fresh_hits) == 1 and int(rare.fresh) == 20
    common = seen([1.0] * 12, 100, fresh=4)
    for n, nfev in ((2, 2829), (3, 16_000), (6, 16_000)):
        assert not confidence.convincing(rare, nfev - 1, n) and confidence.convincing(rare, nfev, n)
        assert confidence.convincing(common, int(500 * n**1.5) + 2000, n)


def test_last_digits_nearby_keep_the_date():
    evidence = seen([10.0, 1.0], 100)
    nearby = seen([1.0 - 1e-4], 1000, evidence, moved=1e-4)
    assert int(nearby.found) == 100 and int(nearby.refined) == 1000 and int(nearby.hits) == 1
    assert int(seen([1.0 - 1e-4], 1000, evidence, moved=0.5).found) == 1000


def test_what_is_promising_is_lower_than_all_around_it_and_not_known():
    rng = np.random.default_rng(0)
    x = lastlook.points(500, 2, rng)
    assert np.array_equal(np.sort(np.floor(500 * x), axis=0), np.tile(np.arange(500.0)[:, None], 2))
    ends = np.array([[0.2, 0.2], [0.8, 0.7]])
    f = np.min(np.sum((x[:, None] - ends) ** 2, axis=2), axis=1)
    which, reach = lastlook.promising(x, f, np.zeros((0, 2)), 8)
    assert len(which) == 2 and 0 < reach < 0.2
    which, _ = lastlook.promising(x, f, ends[:1], 8)
    assert len(which) == 1 and np.allclose(x[which[0]], ends[1], atol=0.1)
    assert len(lastlook.promising(x, np.full(500, np.inf), ends, 8)[0]) == 0


def test_infeasible_ends_count_for_nothing_once_there_is_a_feasible_one():
    rank, sure = 2e100, np.zeros(2, bool)
    evidence = confidence.no_evidence()
    for nfev, f in ((10, [rank, rank]), (20, [1.0, rank]), (30, [rank, rank])):
        evidence = confidence.learn(evidence, np.array(f), np.ones(2, bool), sure, 1e-8, 0.0, above=1e100)
        evidence = confidence.dated(evidence, nfev)
    assert evidence.f == evidence.top == 1 and evidence.rough == evidence.searches == evidence.fresh == 1
    assert (evidence.first, evidence.found, evidence.refined) == (10, 20, 20)


def test_the_message_says_the_evidence():
    result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, progress=False)
    assert result.status is jg.Status.SAME and result.success
    assert f"of {result.nstarts:,} searches ended at it" in result.message and "last look at 2,048" in result.message
    assert all(len(line) < 120 for line in repr(result).splitlines())
    told = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, same=3, progress=False).message
    assert told == "the best value was the same in 3 levels in a row"


def holes(x, where):
    """A wide bowl, to whose bottom most starts lead, and a narrow hole that is lower."""
    return jnp.sum(x**2) / 10 - 30 * jnp.exp(-jnp.sum((x - where) ** 2) / 0.18)


PLACES = np.random.default_rng(0).uniform(-8, 8, (34, 2))[[2, 18, 29, 33]]


def test_plain_starts_do_not_call_four_early_levels_evidence():
    """85 searches all end in the bowl; the hole is found once the evaluations suffice."""
    options = dict(starts=jg.Grid(), progress=False)
    where = PLACES[0]
    four = jg.minimize(holes, [(-10, 10)] * 2, (where,), same=4, **options)
    plain = jg.minimize(holes, [(-10, 10)] * 2, (where,), **options)
    assert four.success and np.linalg.norm(four.x - where) > 1  # as it was asked to
    assert plain.success and np.linalg.norm(plain.x - where) < 0.1
    assert plain.nfev >= 2 * stopping.SPENT and "searches ended at it" in plain.message
    line = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 1)], **options)
    assert line.success and stopping.SPENT <= line.nfev < 3 * stopping.SPENT


@pytest.mark.long
def test_many_problems_of_plain_starts_neither():
    results = jg.minimize_many(holes, [(-10, 10)] * 2, PLACES, starts=jg.Grid(), progress=False)
    assert results.success.all() and np.max(np.linalg.norm(results.x - PLACES, axis=1)) < 0.1
    one = jg.minimize(holes, [(-10, 10)] * 2, (PLACES[0],), starts=jg.Grid(), progress=False)
    assert results.nstarts[0] == one.nstarts


def test_a_value_that_was_met_once_is_no_evidence():
    assert not stopping.believed(10**6, stopping.MET - 1, 3) and stopping.believed(10**6, stopping.MET, 3)
    assert stopping.believed(stopping.SPENT, 9, 1) and not stopping.believed(stopping.SPENT, 9, 2)
    fixed = jg.minimize(lambda x: jnp.sum(x**2), [(1, 1)] * 2, starts=jg.Grid(), progress=False)
    assert fixed.success and fixed.nfev < 10


def test_the_end_does_not_depend_on_the_chunks_or_a_checkpoint(monkeypatch, tmp_path):
    def run(**options):
        return jg.minimize(jg.problems.levi13, [(-10, 10)] * 2, progress=False, **options)

    whole = run(lanes=16)
    monkeypatch.setattr("jaxglobal.engine.streams.CHUNK_TIME", 1e-4)
    path = tmp_path / "search.npz"
    parts = [run(lanes=16)]
    for _ in range(200):
        parts.append(run(lanes=16, checkpoint=path, callback=stop_after_two()))
        if parts[-1].status is jg.Status.SAME:
            break
    parts.append(run(lanes=16, checkpoint=path))
    for part in parts[0], *parts[-2:]:
        assert (part.fun, part.nfev, part.nstarts, part.message) == (
            whole.fun,
            whole.nfev,
            whole.nstarts,
            whole.message,
        )


def stop_after_two():
    """A callback that ends the search at its second level."""
    levels = []

    def callback(level):
        levels.append(level)
        if len(levels) == 2:
            raise StopIteration

    return callback


@pytest.mark.parametrize("n", [1, 2])
def test_a_few_evaluations_more_where_they_cost_nothing(n):
    result = jg.minimize(lambda x: jnp.sum((x - 0.3) ** 2), [(-1, 2)] * n, progress=False)
    assert confidence.AFFORDED <= result.nfev <= 4 * confidence.AFFORDED


def test_a_last_look_finds_what_the_starts_missed():
    """A hole of a hundredth of the box beside a bowl."""

    def fun(x):
        return jnp.sum((x - 1) ** 2) - 300 * jnp.exp(-jnp.sum((x - jnp.array([-7.3, 6.1])) ** 2) / (2 * 0.4**2))

    result = jg.minimize(fun, [(-10, 10)] * 2, progress=False)
    assert result.fun < -100 and result.success
    assert jg.minimize(fun, [(-10, 10)] * 2, same=4, progress=False).fun >= result.fun


def noise(x):
    """Between 0 and 1, another for every x."""
    whole = jax.lax.bitcast_convert_type(x, jnp.uint64 if x.dtype == jnp.float64 else jnp.uint32)
    bits = jnp.sum(whole * jnp.asarray(2654435761, whole.dtype))
    return ((bits ^ (bits >> 15)) * jnp.asarray(40503, whole.dtype) % 65536).astype(x.dtype) / 65536


@pytest.mark.skipif(not DOUBLE, reason="float32 has noise of its own")
def test_noise_ends_a_search_that_says_so():
    def fun(x):
        return jg.problems.rastrigin(x - 0.3) + 1e-3 * noise(jax.lax.stop_gradient(x))

    result = jg.minimize(fun, [(-4, 5)] * 2, max_evals=10**6, progress=False)
    assert result.status is jg.Status.NOISE and not result.success and result.fun < 1e-3
    assert result.nfev < 200_000 and "noisy" in result.message


def test_values_that_never_repeat_are_told_to_scatter_when_the_best_is_old():
    """Along a kinked valley each search ends elsewhere, and every doubling may bring a lower last digit."""
    known = {"f": 1.0, "first": 0, "found": 1000, "refined": 1500, "rough": 90, "searches": 100}
    evidence = confidence.no_evidence()._replace(**{name: np.asarray(value) for name, value in known.items()})
    assert [confidence.scattered(evidence, nfev) for nfev in (20_000, 40_000)] == [False, True]


def test_unseen_cannot_be_reached_with_more_minima_than_are_kept(monkeypatch):
    monkeypatch.setattr("jaxglobal.evidence.minima.KEPT", 16)
    for starts in ("auto", jg.Grid()):
        result = jg.minimize(jg.problems.rastrigin, [(-4, 5.12)] * 2, starts=starts, unseen=1e-9, progress=False)
        assert result.status is jg.Status.FULL and not result.success and result.fun < 1e-4


def test_a_pole_elsewhere_makes_no_values_the_same():
    rules = stopping.Rules()
    assert stopping.tolerance(rules, -27.0, 2.2e-16, spread=1e20) < 1e-6
    assert stopping.tolerance(rules, 0.0, 1.2e-7, spread=10.0) > 1e-6  # of terms that cancel, in float32


def test_a_likelihood_in_float32_ends_by_its_evidence():
    """Its factorisation loses more digits than the rounding of its value has: values of one minimum differ by that."""
    t = np.linspace(0, 10, 40, dtype=np.float32)
    y = np.sin(t)

    def loss(p):
        height, length, noise = jnp.exp(p)
        K = height**2 * jnp.exp(-0.5 * ((t[:, None] - t) / length) ** 2) + (noise**2 + 1e-3) * jnp.eye(len(t))
        L = jnp.linalg.cholesky(K)
        z = jax.scipy.linalg.solve_triangular(L, y, lower=True)
        return 0.5 * z @ z + jnp.sum(jnp.log(jnp.diag(L)))

    with jax.enable_x64(False):
        result = jg.minimize(loss, [(-3, 2), (-2, 3), (-4, 1)], max_evals=50_000, progress=False)
    assert result.status is jg.Status.SAME and result.nfev < 5000
    np.testing.assert_allclose(result.x, [0.3917, 0.8467, -4], atol=0.01)


def test_the_evidence_does_not_depend_on_units():
    """Where all values lie within the default `fatol`, not every search has ended at the best one."""

    def schwefel(x, unit):
        y = x - 60
        return -unit * jnp.sum(y * jnp.sin(jnp.sqrt(jnp.abs(y))))

    box = [(-500, 500)] * 3
    plain, small, none = (
        jg.minimize(schwefel, box, unit, fatol=fatol, progress=False)
        for unit, fatol in ((1.0, 1e-8), (1e-12, 1e-8), (1e-12, 1e-3))
    )
    assert plain.success and small.success and np.isclose(small.fun, 1e-12 * plain.fun, rtol=1e-5, atol=0)
    assert 0.7 < small.nfev / plain.nfev < 1.4
    assert none.nfev < 0.7 * plain.nfev  # as was asked


@pytest.mark.parametrize("whole", [False, True])
def test_a_step_of_a_whole_number_is_no_last_digit(whole):
    values = np.array([101, 101]) * whole
    rounds = Rounds(jg.Adaptive(jg.Sobol()), 2, 1e-16, values=values)
    x, sure = np.array([[20.5, 20.5], [50.5, 50.5]]) / 101, np.ones(2, bool)
    rounds.add(x, np.array([10.0, 1.0]), sure)
    state = rounds.state._replace(evidence=confidence.dated(rounds.state.evidence, 100))
    x, f = np.array([[51.4, 50.5]]) / 101, np.array([1 - 1e-4])
    pool = elite.enter(state.pool, x, f, sure[:1])
    weighing = Weighing(stopping.Rules(), 1e-16, 0.0, np.inf, values)
    assert int(weighing.evidence(state, pool, x, f, sure[:1], 0).found) == (-1 if whole else 100)
