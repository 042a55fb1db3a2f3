"""Fits of models that are not JAX: who calls the model, what becomes of calls that fail, and what they cost."""

import concurrent.futures as futures
import threading
import time

import numpy as np
import pytest
from simulators import decay

import jaxglobal as jg
from jaxglobal.fit import hostfit

T = np.linspace(0, 4, 20)
Y = decay(T, 2.5, 1.3) + 0.01 * np.sin(30 * T)
BOX = [(0.0, 10.0), (0.0, 5.0)]


def fit(model, **options):
    return jg.curve_fit(model, T, options.pop("y", Y), BOX, **{"max_levels": 2, "progress": False} | options)


class Recorded:
    """The model, which keeps the parameters and the threads of its calls; later calls can be made to do otherwise."""

    def __init__(self):
        self.calls, self.threads, self.later = [], set(), None

    def __call__(self, t, a, k):
        self.calls.append((float(a), float(k)))
        self.threads.add(threading.current_thread())
        return decay(t, a, k) if self.later is None else self.later(t, a, k)


@pytest.fixture
def model_after_the_search(monkeypatch):
    """A model that does something else once the search has ended."""
    model, polish = Recorded(), hostfit.polish

    def changed(*args):
        model.later = model.then
        return polish(*args)

    monkeypatch.setattr(hostfit, "polish", changed)
    return model


def test_all_calls_are_made_by_the_workers_and_counted():
    model = Recorded()
    with futures.ThreadPoolExecutor(3) as threads:
        found = fit(jg.host(model, executor=threads))
        assert threading.main_thread() not in model.threads
    assert found.result.calls.made == len(model.calls) and found.result.calls.bad == 0
    assert np.allclose(found.popt, [2.5, 1.3], atol=0.05) and np.all(np.isfinite(found.perr))
    assert f"{len(model.calls):,} (0 failed" in repr(found)
    alone = fit(jg.host(decay))
    assert np.allclose(alone.popt, found.popt, rtol=1e-6) and np.allclose(alone.pcov, found.pcov, rtol=1e-3)


def test_a_search_ends_where_enough_of_its_searches_agree(tmp_path):
    options = dict(max_levels=None, checkpoint=tmp_path / "fit.npz")
    found = fit(jg.host(decay), **options)
    assert found.success and found.result.nit == 3 and found.result.nfev < 400
    assert found.message == "11 of 11 searches ended at the lowest cost, the first of them after 1"
    again = fit(jg.host(decay), **options)
    assert (again.message, again.result.nfev, again.result.nit) == (found.message, found.result.nfev, 3)
    assert again.fun == found.fun and again.success
    assert fit(jg.host(decay), max_levels=None, same=2).result.status is jg.Status.SAME


def test_calls_that_fail_after_the_search(model_after_the_search):
    model = model_after_the_search

    def fails(t, a, k):
        raise RuntimeError("no licence is left")

    model.then = fails
    found = fit(jg.host(model))
    assert np.allclose(found.popt, [2.5, 1.3], atol=0.05) and np.isfinite(found.fun)
    assert np.all(np.isinf(found.pcov)) and np.all(np.isnan(found.residuals))
    assert found.result.calls.failed > 0 and found.result.calls.first == "RuntimeError: no licence is left"
    with pytest.raises(RuntimeError, match="no licence"):  # what the user calls raises
        found.predict(T)


def test_one_failed_difference_is_taken_from_the_other_side(model_after_the_search):
    model = model_after_the_search

    def fails(t, a, k):
        if k > model.calls[0][1]:
            raise RuntimeError("stiff")
        return decay(t, a, k)

    model.then = fails
    options = {"p0": [2.4, 1.5]}  # beyond which it fails
    found, known = fit(jg.host(model), **options), fit(jg.host(decay), **options)
    assert np.allclose(found.popt, known.popt, atol=1e-4) and np.all(np.isfinite(found.pcov))


def test_calls_that_hang_after_the_search(model_after_the_search):
    model, hangs = model_after_the_search, threading.Event()
    model.then = lambda t, a, k: hangs.wait(20)
    with futures.ThreadPoolExecutor(8) as threads:
        found = fit(jg.host(model, executor=threads, workers=8, timeout=0.3))
        hangs.set()
    assert found.result.calls.timed_out > 0 and np.all(np.isinf(found.pcov)) and np.isfinite(found.fun)


def test_a_model_of_the_wrong_length_is_said_before_the_search():
    model = Recorded()
    model.later = lambda t, a, k: decay(t, a, k)[:-1]
    with pytest.raises(ValueError, match="`model` must return 20 real numbers, as many as `ydata`; got 19"):
        fit(jg.host(model))
    assert model.calls == [(5.0, 2.5)]
    with pytest.raises(ValueError, match="got 19"):
        fit(jg.host(model), p0=[1.0, 2.0])
    assert model.calls[1:] == [(1.0, 2.0)]


def test_a_model_that_always_raises():
    def model(t, a, k):
        return undefined_name + t  # noqa: F821

    found = fit(jg.host(model))
    assert np.isnan(found.fun) and np.all(np.isinf(found.pcov)) and not found.fits
    assert "every call raised; the first: NameError: name 'undefined_name' is not defined" in repr(found)


def test_a_limit_on_time_holds_for_what_comes_after_the_search():
    def slow(t, a, k):
        time.sleep(0.05)
        return decay(t, a, k)

    fit(jg.host(decay))  # compiled
    began = time.perf_counter()
    found = fit(jg.host(slow), max_time=1.0, max_levels=None)
    assert time.perf_counter() - began < 2.0 and found.result.status is jg.Status.MAX_TIME
    assert np.all(np.isfinite(found.pcov))


def test_many_fits_take_their_guesses_and_levels():
    model, guesses = Recorded(), np.array([[2.0, 1.0], [3.0, 1.5]])
    y = np.stack([Y, 1.5 * Y])
    fits = jg.curve_fit_many(jg.host(model), T, y, BOX, p0=guesses.tolist(), levels=1, progress=False)
    assert np.allclose(fits.popt[:, 0], [2.5, 3.75], atol=0.05)
    assert {tuple(guess) for guess in guesses} <= set(model.calls)
    assert fits.nstarts == 2  # the guess, and the one start of level 0
    with pytest.raises(ValueError, match="`searches` must be left out for a host model"):
        jg.curve_fit_many(jg.host(model), T, y, BOX, searches=3)
    with pytest.raises(ValueError, match="`p0` must have a leading axis of 2 data sets"):
        jg.curve_fit_many(jg.host(model), T, y, BOX, p0=guesses[:1])
