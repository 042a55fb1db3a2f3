"""What people notice: dictionaries, pickles, hints, logs, versions, and JAX's modes for debugging."""

import json
import logging
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg


def bowl(x):
    return jnp.sum((x - 1) ** 2)


@pytest.fixture(scope="module")
def result():
    return jg.minimize(bowl, [(-3, 4.5)] * 2, max_levels=3, progress=False)


def test_a_result_is_plain_data(result):
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["status"] == "MAX_LEVELS" and len(plain["levels"]) == 3
    assert plain["minima"][0]["x"] == pytest.approx([1, 1], abs=1e-3)
    assert plain["levels"][2]["statuses"] and set(result.minima[0].to_dict()) == {"x", "fun", "count", "status"}


def test_a_result_pickles(result):
    again = pickle.loads(pickle.dumps(result))
    assert repr(again) == repr(result) and np.array_equal(again.x, result.x)
    assert again.levels[1].statuses == result.levels[1].statuses


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: jg.minimize(bowl, [(0, 1)], max_level=3),
            "minimize has no argument 'max_level'; did you mean 'max_levels'",
        ),
        (lambda: jg.levels(bowl, [(0, 1)], lane=3), "did you mean 'lanes'"),
        (lambda: jg.argmin(bowl, [(0, 1)], level=3), "did you mean 'levels'"),
        (lambda: jg.minimize_many(bowl, [(0, 1)], np.ones(2), start="auto"), "did you mean 'starts'"),
        (lambda: jg.curve_fit(bowl, [0.0], [0.0], [(0, 1)], fscale=1.0), "did you mean 'f_scale'"),
        (lambda: jg.curve_fit_many(bowl, [0.0], [[0.0]], [(0, 1)], level=1), "did you mean 'levels'"),
        (lambda: jg.minimize(bowl, [(0, 1)], zzz=1), "has no argument 'zzz'."),
    ],
)
def test_a_mistyped_option_is_answered_with_the_nearest(call, message):
    with pytest.raises(TypeError, match=message):
        call()


HUGE = 10**400  # an int of Python's


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("bounds", lambda: jg.minimize(bowl, [(0, HUGE)])),
        ("bounds", lambda: jg.curve_fit(bowl, [0.0], [0.0], ([0.0], [HUGE]))),
        ("bounds", lambda: jg.Search(jg.Box({"a": -HUGE}, {"a": 1.0}))),
        ("x0", lambda: jg.levels(bowl, [(0, 1)], x0=[HUGE])),
        ("x0", lambda: jg.argmin(bowl, [(0, 1)], x0=[HUGE])),
        ("target", lambda: jg.minimize(bowl, [(0, 1)], target=-HUGE)),
        ("max_time", lambda: jg.minimize_many(bowl, [(0, 1)], np.ones(2), max_time=HUGE)),
        ("p0", lambda: jg.curve_fit(lambda t, a: a * t, [1.0], [1.0], [(0, 1)], p0=[HUGE])),
        ("tol", lambda: jg.certify(bowl, [(0, 1)], tol=HUGE)),
        ("result", lambda: jg.certify(bowl, [(0, 1)], result=[HUGE])),
    ],
)
def test_a_number_that_no_float_holds_is_named(name, call):
    with pytest.raises(ValueError, match=f"`{name}` must be numbers that a float holds"):
        call()


def test_an_overflow_of_the_users_own_stays_what_it_is():
    with pytest.raises(OverflowError):
        jg.minimize(lambda x: jnp.sum(x**2) * HUGE, [(0, 1)])


def test_logs_by_the_standard_module(caplog):
    with caplog.at_level(logging.INFO, logger="jaxglobal"):
        jg.minimize(lambda x: jnp.sum((x - 0.31415) ** 2), [(-1, 2)], max_levels=2, progress=False)
    text = caplog.text
    assert "compiling the search" in text and "Level 1: best" in text


def test_versions(capsys):
    jg.show_versions()
    out = capsys.readouterr().out
    assert jax.__version__ in out and "x64" in out and "devices" in out


def test_without_jit():
    with jax.disable_jit():
        assert jg.minimize(lambda x: jnp.sum((x - 0.5) ** 2), [(0, 1)], max_levels=2, progress=False).fun < 1e-6


def test_many_searches_of_a_fit_with_debug_nans():
    """Of more starts than are searched from side by side, on threads of their own."""
    x = np.linspace(0, 3, 40)
    with jax.debug_nans(True):
        fit = jg.curve_fit(
            lambda x, a, w, p: a * jnp.sin(w * x + p) + 0 * jnp.sqrt(a), x, 2 * np.sin(3.1 * x + 0.4),
            [(-5, 5), (0, 10), (-4, 4)], progress=False,
        )  # fmt: skip
    np.testing.assert_allclose(fit.popt, [2, 3.1, 0.4], rtol=1e-3)


def test_fits_with_debug_nans():
    t = np.linspace(0, 2, 20)
    with jax.debug_nans(True):
        popt, _ = jg.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), t, 2 * np.exp(-t), [(0, 5), (0, 5)], progress=False)
    assert np.allclose(popt, [2, 1])
