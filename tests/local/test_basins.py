"""Searches that end in known minima."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import check_counts, check_minimum

import jaxglobal as jg
from jaxglobal.local import basins
from jaxglobal.status import LocalStatus

BOX = [(-5.0, 5.1)] * 2
STOP = jg.Adaptive(jg.Grid(), stop=True)


def statuses(result):
    return {status: sum(lv.statuses.get(status, 0) for lv in result.levels) for status in LocalStatus}


@pytest.mark.long
def test_the_same_minima_by_fewer_evaluations(x64):
    """On the whole: what each search does hangs on what those before it have found."""
    shares, options = [], dict(max_levels=6, same=99, progress=False)
    for fun in (jg.problems.himmelblau, jg.problems.rastrigin, jg.problems.styblinski_tang):
        plain, stopped = (jg.minimize(fun, BOX, starts=starts, **options) for starts in ("auto", STOP))
        assert statuses(plain)[LocalStatus.KNOWN] == 0 < statuses(stopped)[LocalStatus.KNOWN]
        shares.append(stopped.nfev / stopped.nstarts / (plain.nfev / plain.nstarts))
        check_minimum(stopped, plain.fun)
        check_counts(stopped)
        assert sum(m.count for m in stopped.minima) == stopped.nstarts
    assert np.mean(shares) < (1 if x64 else 1.1), shares  # in float32 searches end early anyway


def test_an_end_in_a_known_minimum_is_that_minimum(x64):
    result = jg.minimize(jg.problems.himmelblau, BOX, starts=STOP, max_levels=6, same=99, progress=False)
    values = [minimum.fun for minimum in result.minima]
    # In float32 some ends lie beside the four minima.
    assert len(values) == 4 if x64 else len(values) >= 4 and values[3] < 1e-6, values


@pytest.mark.long
def test_a_finer_structure_beside_a_known_minimum_is_searched(x64):
    """Wrinkles of a width of 2e-3 of the box, the lowest beside a minimum that level 0 finds."""

    def fun(x):
        return jnp.sum((x - 0.02) ** 2 + 1e-3 * (1 - jnp.cos(300 * (x - 0.02))))

    result = jg.minimize(fun, [(-1, 1.0)] * 2, starts=STOP, max_levels=8, same=99, progress=False)
    check_minimum(result, 0.0, [0.02, 0.02], atol=1e-9 if x64 else 1e-5)


@pytest.mark.long
def test_a_search_is_resumed_with_what_it_knew(tmp_path):
    options = dict(starts=STOP, max_levels=6, same=99, progress=False)
    plain = jg.minimize(jg.problems.rastrigin, BOX, **options)
    search = lambda: jg.minimize(  # noqa: E731
        jg.problems.rastrigin, BOX, checkpoint=tmp_path / "c.npz", max_time=0.03, **options
    )
    stops = 0
    while (part := search()).status is jg.Status.MAX_TIME:
        stops += 1
    assert stops > 0 and part.status is plain.status
    assert np.array_equal(part.x, plain.x) and (part.nfev, part.nstarts) == (plain.nfev, plain.nstarts)


def test_a_known_minimum_on_the_rim_lies_in_the_box():
    upper = 5.12  # -4 + (5.12 + 4) is above it

    def slope(x):
        return jnp.sum(jnp.cos(3 * x) - x)

    result = jg.minimize(slope, [(-4, upper)] * 2, starts=STOP, max_levels=6, same=99, progress=False)
    assert all(np.all(minimum.x <= np.asarray(upper, minimum.x.dtype)) for minimum in result.minima)


def test_of_minima_in_one_cell_the_best_is_kept():
    x, f = np.array([[0.5, 0.5], [0.5001, 0.5], [0.1, 0.9]]), np.array([1.0, 2.0, 3.0])
    known = basins.known(x, f, np.zeros(2), np.ones(2))
    kept = np.unique(known.table)
    assert kept.tolist() == [0, 2, basins.MOST]
    assert np.isinf(known.f[basins.MOST]) and known.f[:3].tolist() == [1, 2, 3]


def test_other_local_searches_end_by_themselves():
    adam = jg.Optax(optax.adam(0.02), steps=500)
    result = jg.minimize(jg.problems.himmelblau, BOX, starts=STOP, local=adam, max_levels=5, progress=False)
    assert result.fun < 1e-3 and not statuses(result)[LocalStatus.KNOWN]


def test_known_minima_beyond_an_open_box_lie_where_they_are():
    options = dict(starts=STOP, open=True, max_levels=6, progress=False)
    result = jg.minimize(jg.problems.himmelblau, [(-1, 1)] * 2, **options)
    low = [np.asarray(minimum.x, float) for minimum in result.minima if minimum.fun < 1e-3]
    assert statuses(result)[LocalStatus.KNOWN] and len(low) >= 2
    assert {tuple(np.round(x, 1).tolist()) for x in low} <= {(3.0, 2.0), (3.6, -1.8), (-3.8, -3.3), (-2.8, 3.1)}
