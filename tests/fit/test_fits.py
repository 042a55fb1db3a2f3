"""Many fits: those of one by one, boxes of their own, and how they are counted and indexed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decays import BOX, T, data, decay

import jaxglobal as jg
from jaxglobal.fit import places
from jaxglobal.search.progress import Silent


@pytest.mark.slow
def test_many_are_those_of_one_by_one(tol):
    y = np.stack([data(seed) for seed in range(30)])
    fits = jg.curve_fit_many(decay, T, y, BOX, progress=False)
    own = jg.curve_fit_many(decay, np.tile(T, (30, 1)), y, BOX, sigma=np.ones_like(y), progress=False)
    assert fits.success.all() and "data sets" in repr(fits)
    for i in (0, 29):
        one = jg.curve_fit(decay, T, y[i], BOX, progress=False)
        for several in (fits, own):
            assert np.max(np.abs(several.popt[i] - one.popt) / one.perr) < tol
            np.testing.assert_allclose(several.perr[i], one.perr, rtol=10 * tol)


def test_many_fits_are_counted_as_they_are_taken_in(monkeypatch):
    shown = []

    class Counted(Silent):
        def problems(self, done, total):
            shown.append(done)

    monkeypatch.setattr("jaxglobal.fit.curve_fit_many.display.show", lambda _: Counted())
    monkeypatch.setattr("jaxglobal.fit.blocks.MOST", 16)
    y = np.stack([data(seed) for seed in range(100)])
    jg.curve_fit_many(decay, T, y, BOX, searches=1, progress=False)
    assert shown[:7] == [16, 32, 48, 64, 80, 96, 100]


def test_levels_of_too_many_starts_are_refused():
    levels = 10**9
    with pytest.raises(ValueError, match="`levels` must have at most 131,072 starts .*: give levels=17, or starts="):
        jg.curve_fit_many(decay, T, data()[None], BOX, levels=levels, progress=False)
    with pytest.raises(ValueError, match="`max_levels` must have at most 131,072 starts .*: give max_levels=6, or"):
        jax.jit(lambda y: jg.curve_fit(decay, T, y, BOX, max_levels=levels).popt)(data())


def test_neighbours_are_the_same_a_few_starts_at_a_time(monkeypatch):
    asked = []

    def kept(*given):
        asked.append((given, places.on_sheets(*given)))
        return asked[-1][1]

    monkeypatch.setattr("jaxglobal.fit.curve_fit_many.on_sheets", kept)
    jg.curve_fit_many(decay, T, data()[None], BOX, levels=4, searches=1, max_evals=1, progress=False)
    given, (points, neighbours) = asked[0]
    assert neighbours.shape[1] > 5
    monkeypatch.setattr(places, "COMPARISONS", 7 * len(points))
    np.testing.assert_array_equal(places.on_sheets(*given)[1], neighbours)


@pytest.mark.long
def test_many_fits_in_boxes_of_their_own(tol):
    boxes = np.array([BOX] * 4)
    boxes[:, 0] = np.array([2.2, 2.4, 0, 0])[:, None] + np.array([0, 0, 10, 10])[:, None] * [0, 1]
    boxes[3, 1] = 4.0, 9.0  # where the best rate is not
    fits = jg.curve_fit_many(decay, T, np.tile(data(), (4, 1)), boxes, p0=boxes[..., 1], progress=False)
    for i, box in enumerate(boxes):
        one = jg.curve_fit(decay, T, data(), [tuple(side) for side in box], progress=False)
        assert np.isclose(fits.fun[i], one.fun, rtol=1e-2 * tol)
        np.testing.assert_allclose(fits.perr[i], one.perr, rtol=10 * tol)
    assert fits.popt[0, 0] == fits.popt.dtype.type(boxes[0, 0, 0])
    assert fits.perr[0, 0] == 0 and fits.success.all()
    for wrong, message in [({"bounds_axis": 1}, "bounds_axis"), ({"p0": np.zeros((4, 3)) - 2}, "`p0` must lie inside")]:
        with pytest.raises(ValueError, match=message):
            jg.curve_fit_many(decay, T, np.tile(data(), (4, 1)), boxes, **wrong)


def test_many_fits_can_be_indexed():
    t = np.linspace(0, 4, 12)
    y = np.array([1.0, 2.0, 3.0])[:, None] * np.exp(-t)
    box = jg.Box({"a": 0.0, "k": 0.0}, {"a": 10.0, "k": 5.0})
    fits = jg.curve_fit_many(lambda t, p: p["a"] * jnp.exp(-p["k"] * t), t, y, box, progress=False)
    one = fits[-1]
    popt, pcov = one
    np.testing.assert_allclose([popt["a"], popt["k"]], [3, 1], rtol=1e-3)
    assert np.array_equal(pcov, fits.pcov[2]) and np.array_equal(one.perr, fits.perr[2])
    assert (one.fun, one.success, one.nfev) == (fits.fun[2], bool(fits.success[2]), fits.nfev[2])
    assert type(one.fun) is float and type(one.success) is bool and type(one.nfev) is int
    for index in (slice(1, 3), [1, 2], np.array([False, True, True])):
        part = fits[index]
        assert len(part) == 2 and np.array_equal(part.popt["a"], fits.popt["a"][1:])
        assert np.array_equal(part.pcov, fits.pcov[1:]) and part.time == fits.time
    assert [np.round(popt["a"]) for popt, _ in fits] == [1, 2, 3]
    with pytest.raises(IndexError, match="`index` must be in"):
        fits[3]
    with pytest.raises(TypeError, match="`index` must be a whole number"):
        fits["a"]
