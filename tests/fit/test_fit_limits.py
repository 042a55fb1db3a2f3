"""Limits of fits keep what has been found, in the middle of a level too; callbacks and checkpoints."""

import signal
import threading
import time
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.fit import descent, found, fused, leastsquares, runs
from jaxglobal.fit.blocks import Blocks
from jaxglobal.fit.limits import Limits
from jaxglobal.fit.many_searches import ManySearches
from jaxglobal.search.interrupt import Interrupt

T = np.linspace(0, 1, 2000)
BOX = [(0.1, 4.0), (1.0, 60.0), (-3.0, 3.0), (1.0, 60.0)]


def beat(t, a, w, p, v):
    return a * jnp.sin(w * t + p) * jnp.cos(v * t)


Y = 1.5 * np.sin(20 * T + 1) * np.cos(7 * T) + 0.1 * np.random.default_rng(0).standard_normal(len(T))


def fit(**options):
    return jg.curve_fit(beat, T, Y, BOX, **{"same": 50, "progress": False, "max_time": 60} | options)


@pytest.mark.long
def test_searches_that_take_turns_in_the_lanes_end_as_those_that_do_not(monkeypatch):
    monkeypatch.setattr(runs, "STEPPED", 0)
    ended, of_all = [], runs.Runs.descend
    monkeypatch.setattr(runs.Runs, "descend", lambda *what: ended.append(of_all(*what)) or ended[-1])
    for threads in (1, 1000):  # all in a queue, or as many queues as lanes can take at once
        monkeypatch.setattr(runs.devices, "side_by_side", lambda threads=threads: threads)
        fit(max_levels=2, same=None, max_time=None)
    half = len(ended) // 2
    assert max(len(part.f) for part in ended) >= 16  # in four lanes
    for turns, alone in zip(ended[:half], ended[half:], strict=True):
        assert all(np.array_equal(*fields, equal_nan=True) for fields in zip(turns, alone, strict=True))


def test_searches_that_wait_for_a_lane_take_no_memory_for_their_slopes():
    points, of_four = np.zeros((500, fused.SCREENED)), object.__new__(fused.Fused)
    of_four.lanes = 4
    tracemalloc.start()
    queue = of_four._begun(points)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10 * points.nbytes and queue.state.R.shape == (500, 500, 4)


def press_ctrl_c(after):
    timer = threading.Timer(after, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    return timer


@pytest.fixture(scope="module", autouse=True)
def compiled():
    fit(max_levels=3)


def test_ctrl_c_ends_a_fit_with_its_status():
    handler = signal.getsignal(signal.SIGINT)
    timer, began = press_ctrl_c(0.5), time.perf_counter()
    interrupted = fit()
    timer.join()
    assert interrupted.result.status is jg.Status.INTERRUPTED and not interrupted.success
    assert time.perf_counter() - began < 30
    assert np.isfinite(interrupted.fun) and np.all(np.isfinite(interrupted.popt))
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_raises(monkeypatch):
    def screen(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(runs.Runs, "screen", screen)
    with pytest.raises(KeyboardInterrupt):
        fit()


def test_max_time_ends_the_searches_of_a_level_and_the_polish(monkeypatch):
    """Where a search of a block takes long, as with very many data."""
    clock, made = [0.0], []
    descend = runs.Runs.descend

    def counted(self, starts, tol, max_nfev):
        ended = descend(self, starts, tol, max_nfev)
        made.append(int(np.max(ended.nfev)))
        return ended

    def limit(self):
        clock[0] += 1  # a second a chunk
        return None if clock[0] < 12 else jg.Status.MAX_TIME

    monkeypatch.setattr(fused, "ticks", lambda *_: 1)
    monkeypatch.setattr(runs.Runs, "descend", counted)
    monkeypatch.setattr(leastsquares.OneFit, "_limit", limit)
    result = fit().result
    assert result.status is jg.Status.MAX_TIME and sum(made) <= 13 and np.isfinite(result.fun)
    assert result.levels[-1].statuses.get(jg.result.LocalStatus.CUT, 0) > 0 and not result.levels[-1].complete


def test_the_polish_ends_with_the_time(monkeypatch):
    polished = []
    descend, end_level = runs.Runs.descend, found.Found.end_level

    def counted(self, starts, tol, max_nfev):
        if tol == descent.POLISH_TOL:
            polished.append(self.limit())
        return descend(self, starts, tol, max_nfev)

    def late(self, *args):
        time.sleep(0.3)
        return end_level(self, *args)

    monkeypatch.setattr(runs.Runs, "descend", counted)
    fit(max_levels=2)
    assert polished and not any(polished)
    polished.clear()
    monkeypatch.setattr(found.Found, "end_level", late)
    result = fit(max_levels=1, max_time=0.3).result
    assert not polished and np.isfinite(result.fun)


def test_no_time_at_all_still_gives_a_fit():
    result = fit(max_time=0.0).result
    assert result.status is jg.Status.MAX_TIME and result.nit == 1 and np.isfinite(result.fun)


def decay(t, a, k):
    return a * jnp.exp(-k * t)


MANY_BOX = [(0.0, 10.0), (0.0, 20.0)]
TIMES = T[::50]
MANY = 2 * np.exp(-np.linspace(1, 9, 2000)[:, None] * TIMES)


def test_ctrl_c_in_many_fits_leaves_out_the_data_sets_that_were_not_begun(monkeypatch):
    whole = jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, progress=False)
    blocks, block = [], Blocks._block

    def pressed(self, which, part, p):
        blocks.append(part)
        if len(blocks) == 4:  # the first is that which the program is compiled for
            signal.raise_signal(signal.SIGINT)
        return block(self, which, part, p)

    monkeypatch.setattr(Blocks, "_block", pressed)
    monkeypatch.setattr("jaxglobal.engine.devices.side_by_side", lambda: 1)
    monkeypatch.setattr("jaxglobal.fit.blocks.thread_pool", lambda _: InThisThread)
    fits = jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, progress=False)
    begun = np.isfinite(fits.fun)
    assert 0 < begun.sum() < len(MANY) and begun.tolist() == sorted(begun, reverse=True)
    assert not fits.success[~begun].any() and np.isnan(fits.popt[~begun]).all() and np.isinf(fits.pcov[~begun]).all()
    assert np.array_equal(fits.popt[begun][fits.success[begun]], whole.popt[begun][fits.success[begun]])
    assert fits.nfev[~begun].tolist() == [0] * int(np.sum(~begun)) and "data sets" in repr(fits)


def test_max_time_of_many_fits_leaves_out_those_that_were_not_begun(monkeypatch):
    jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, progress=False)
    clock = [0.0]

    def second(*_):
        clock[0] += 1
        return clock[0] > 2

    monkeypatch.setattr(Limits, "asked", second)
    fits = jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, progress=False)
    begun = np.isfinite(fits.fun)
    assert 0 < begun.sum() < len(MANY) and not fits.success[~begun].any()
    monkeypatch.undo()
    began = time.perf_counter()
    fits = jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, max_time=0.0, progress=False)
    assert not fits.success.any() and len(fits) == len(MANY) and time.perf_counter() - began < 2
    of_host = jg.host(lambda t, a, k: a * np.exp(-k * t))
    fits = jg.curve_fit_many(of_host, TIMES, MANY[:3], MANY_BOX, max_time=0.0, progress=False)
    assert fits.nfev[0] > 0 and fits.nfev[1:].tolist() == [0, 0] and not fits.success.any()
    with pytest.raises(ValueError, match="`max_time` must be a number of at least 0"):
        jg.curve_fit_many(decay, TIMES, MANY, MANY_BOX, max_time=-1)


class InThisThread:
    """A pool without threads: signals come to the main thread."""

    map = map


def test_ctrl_c_in_many_fits_keeps_the_screening(monkeypatch):
    to_the_end = ManySearches._to_the_end

    def pressed(self, which, ends):
        signal.raise_signal(signal.SIGINT)
        self._limits._interrupt.asked = True
        return to_the_end(self, which, ends)

    monkeypatch.setattr(ManySearches, "_to_the_end", pressed)
    y = 1.5 * np.sin(np.linspace(5, 55, 40)[:, None] * TIMES + 1)
    fits = jg.curve_fit_many(
        lambda t, a, w, p: a * jnp.sin(w * t + p), TIMES, y, BOX[:3], levels=2, searches=1, progress=False
    )
    assert np.isfinite(fits.fun).all() and np.isfinite(fits.popt).all() and not fits.success.all()


def test_ctrl_c_in_fits_of_a_host_function():
    calls = []

    def model(t, a, k):
        calls.append(1)
        if len(calls) == 1000:
            signal.raise_signal(signal.SIGINT)
        return a * np.exp(-k * t)

    fits = jg.curve_fit_many(jg.host(model), TIMES, MANY[:6], MANY_BOX, progress=False)
    begun = np.isfinite(fits.fun)
    assert 0 < begun.sum() < 6 and not fits.success[~begun].any() and np.isnan(fits.popt[~begun]).all()
    calls.clear()
    fit = jg.curve_fit(jg.host(model), TIMES, MANY[0], MANY_BOX, same=99, max_time=60, progress=False)
    assert fit.result.status is jg.Status.INTERRUPTED and np.isfinite(fit.fun) and not fit.success


def test_both_of_two_contexts_are_asked():
    with Interrupt() as outer:
        with Interrupt() as inner:
            signal.raise_signal(signal.SIGINT)
        assert inner.asked and outer.asked
        with Interrupt() as next_one:
            assert next_one.asked


MODELS = {"jax": decay, "host": jg.host(lambda t, a, k: a * np.exp(-k * t))}


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("most", [1, 30, 300])
def test_max_evals_ends_a_fit_in_the_middle_of_a_level(kind, most):
    result = jg.curve_fit(MODELS[kind], TIMES, MANY[700], MANY_BOX, max_evals=most, same=50, progress=False).result
    assert result.status is jg.Status.MAX_EVALS and np.isfinite(result.fun)
    assert result.nfev <= most + 64  # one more of each start at work


@pytest.mark.parametrize("kind", MODELS)
def test_a_fit_goes_on_from_its_checkpoint(kind, tmp_path):
    y = MANY[700] + 0.01 * np.sin(9 * TIMES)
    options = dict(same=5, progress=False)  # of "jax" more than four levels
    whole = jg.curve_fit(MODELS[kind], TIMES, y, MANY_BOX, **options)
    heard, options["checkpoint"] = [], tmp_path / "fit.npz"

    def stop(level):
        heard.append(level.index)
        raise StopIteration

    for calls in range(1, 20):
        fit = jg.curve_fit(MODELS[kind], TIMES, y, MANY_BOX, callback=stop, **options)
        if fit.result.status is not jg.Status.CALLBACK:
            break
        assert heard == list(range(calls)) and np.isfinite(fit.fun) and not fit.success
    assert calls == len(whole.result.levels) == len(heard) > 3
    for again in (fit, jg.curve_fit(MODELS[kind], TIMES, y, MANY_BOX, **options)):  # the search has ended: at once
        assert np.array_equal(again.popt, whole.popt) and np.array_equal(again.pcov, whole.pcov)
        assert again.result.nfev == whole.result.nfev and again.success and len(again.result.levels) == calls
    with pytest.raises(ValueError, match="`checkpoint` must be the file of this search"):
        jg.curve_fit(MODELS[kind], TIMES, y + 1, MANY_BOX, **options)


def test_observers_of_a_traced_fit_are_refused(tmp_path):
    for wrong in (dict(callback=print), dict(checkpoint=tmp_path / "fit.npz")):
        with pytest.raises(ValueError, match="must be left out inside jit"):
            jax.jit(lambda y, wrong=wrong: jg.curve_fit(decay, TIMES, y, MANY_BOX, **wrong).popt)(MANY[0])
    with pytest.raises(TypeError, match="`callback` must be a function"):
        jg.curve_fit(decay, TIMES, MANY[0], MANY_BOX, callback=3)


def test_a_fit_that_goes_on_for_long_is_searched_in_one_program_and_finds_the_same(monkeypatch):
    took, ready = [], runs.Runs._ready

    def noted(self, more):
        own = ready(self, more)
        took.append(type(own).__name__)
        return own

    monkeypatch.setattr(runs.Runs, "_ready", noted)
    y = 2 * np.exp(-3 * TIMES) + 0.01 * np.cos(40 * TIMES)
    stepped = jg.curve_fit(decay, TIMES, y, MANY_BOX, progress=False)
    assert set(took) == {"Stepped"}
    took.clear()
    monkeypatch.setattr(runs, "STEPPED", 0)
    both = jg.curve_fit(decay, TIMES, y, MANY_BOX, progress=False)
    assert set(took) == {"Fused"}
    np.testing.assert_allclose(stepped.popt, both.popt, rtol=1e-3 if stepped.popt.dtype == np.float32 else 1e-6)
    np.testing.assert_allclose(stepped.perr, both.perr, rtol=1e-3)


def test_a_new_model_of_the_same_kind_compiles_its_values_and_slopes_alone(monkeypatch):
    made, compile = [], runs.compile

    def noted(which, asked):
        made.append([program.key[0] for program in which])
        return compile(which, asked)

    monkeypatch.setattr(runs, "compile", noted)
    times, y = np.linspace(0, 3, 41), 2 * np.exp(-np.linspace(0, 3, 41)) + 0.25
    for factor in (1.0, 1.5):
        jg.curve_fit(
            lambda t, a, k, c, factor=factor: a * jnp.exp(-factor * k * t) + c, times, y, [(0, 5), (0, 5), (0, 1)],
            progress=False,
        )  # fmt: skip
    assert made[-1] == ["see"] and len(made) == 2


@pytest.mark.long
def test_a_fit_looks_on_while_nothing_finite_is_known():
    """One start in a hundred has a value."""
    y = 2 * np.exp(-3 * TIMES)
    part = jg.curve_fit(
        lambda t, a, k: jnp.where(jnp.abs(k - 3.123) < 0.15, a * jnp.exp(-k * t), jnp.nan), TIMES, y,
        [(0.0, 10.0), (0.0, 200.0)], starts=jg.Grid(), progress=False,
    )  # fmt: skip
    np.testing.assert_allclose(part.popt, [2, 3], rtol=1e-3)
    none = jg.curve_fit(lambda t, a, k: a * k * t * jnp.nan, TIMES, y, MANY_BOX, progress=False)
    assert none.result.status is jg.Status.NO_FINITE_VALUE and none.result.nfev >= 2**13 and not none.success
    assert "the model" in none.message and "fun" not in none.message
    many = jg.curve_fit_many(lambda t, a, k: a * k * t * jnp.nan, TIMES, y[None], MANY_BOX, levels=1, progress=False)
    assert "the model" in many[0].message and "check fun" not in f"{many[0].message}{many}"
