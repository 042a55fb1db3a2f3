"""The data of fits: masked, complex, whole numbers, not finite."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.fit import arguments_many

T = np.linspace(0, 4, 20)
Y = 2 * np.exp(-T) + 0.01 * np.sin(40 * T)
BOX = [(0, 5)] * 2


def decay(t, a, k):
    return a * jnp.exp(-k * t)


def fit(x, y, sigma=None, model=decay, bounds=BOX):
    return jg.curve_fit(model, x, y, bounds, sigma, progress=False)


def masked(array, *where):
    mask = np.zeros(np.shape(array), bool)
    mask[list(where)] = True
    spoilt = np.where(mask, np.nan, array)
    return np.ma.masked_array(spoilt, mask)


@pytest.mark.long
def test_masked_points_are_left_out():
    kept = np.delete(np.arange(20), [3, 7])
    sigma = np.linspace(0.1, 0.2, 20)
    plain, weighted, matrix = (fit(T[kept], Y[kept], s) for s in (None, sigma[kept], np.diag(sigma[kept] ** 2)))
    for expected, found in (
        (plain, fit(T, masked(Y, 3, 7))),
        (plain, fit(masked(T, 3), masked(Y, 7))),
        (plain, fit(list(T), masked(Y, 3, 7))),
        (weighted, fit(T, masked(Y, 3), masked(sigma, 7))),
        (matrix, fit(T, masked(Y, 3, 7), np.diag(sigma**2))),
    ):
        np.testing.assert_array_equal(found.popt, expected.popt)
        np.testing.assert_array_equal(found.pcov, expected.pcov)
        assert found.dof == expected.dof == 16 and found.residuals.shape == (18,)
    unmasked = fit(T, np.ma.masked_array(Y))
    np.testing.assert_array_equal(unmasked.popt, fit(T, Y).popt)


def test_a_covariance_is_symmetric_but_for_rounding():
    scales = np.linspace(0.01, 10, 20)
    sigma = scales[:, None] * (0.5 + 0.5 * np.eye(20)) * scales
    bent = sigma + 0.3 * np.triu(sigma, 1)
    message = r"`sigma` must be symmetric where it is a matrix; got \d.* at index \[0, 1\] and \d.* at \[1, 0\]\."
    with pytest.raises(ValueError, match=message):
        fit(T, Y, bent)
    rounded = (sigma * (1 + 1e-5 * np.random.default_rng(0).uniform(-1, 1, (20, 20)))).astype(np.float32)
    assert fit(T, Y, rounded).popt == pytest.approx(fit(T, Y, sigma).popt, rel=1e-3)
    one = np.where(np.arange(20)[:, None] == 3, bent, sigma)  # in a row that is masked
    np.testing.assert_array_equal(fit(T, masked(Y, 3), one).popt, fit(T, masked(Y, 3), sigma).popt)


def test_masked_points_of_several_abscissae():
    x, y = np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 2, 5))
    z = 1 + 2 * x + 3 * y
    spoilt = np.ma.masked_array(np.where((x > 0.9) & (y > 0), 99, z), (x > 0.9) & (y > 0))

    def plane(xy, a, b, c):
        return a + b * xy[0] + c * xy[1]

    box = [(0, 5)] * 3
    assert fit((x, y), spoilt, None, plane, box).popt == pytest.approx([1, 2, 3], rel=1e-3)
    table = np.stack([x.ravel(), y.ravel()])
    assert fit(table, spoilt.ravel(), None, plane, box).popt == pytest.approx([1, 2, 3], rel=1e-3)
    rows = fit(table.T, spoilt.ravel(), None, lambda xy, *p: plane(xy.T, *p), box)
    assert rows.popt == pytest.approx([1, 2, 3], rel=1e-3) and rows.dof == 13
    with pytest.raises(ValueError, match="`xdata` must be masked by points, of which there are 20; got shape"):
        fit((T, masked(np.ones(3), 1)), Y)


@pytest.mark.long
@pytest.mark.parametrize("model", [decay, jg.host(lambda t, a, k: a * np.exp(-k * t))], ids=["traced", "host"])
def test_masked_points_of_many_data_sets_are_left_out(model):
    sets = np.ma.stack([masked(Y, 3, 7), masked(2 * Y, 0), np.ma.masked_array(Y)])
    for sigma in (None, 0.1 * np.ones(20)):
        many = jg.curve_fit_many(model, T, sets, BOX, sigma, progress=False)
        for k, (y, missing) in enumerate([(Y, [3, 7]), (2 * Y, [0]), (Y, [])]):
            one = jg.curve_fit(
                decay, np.delete(T, missing), np.delete(y, missing), BOX,
                None if sigma is None else np.delete(sigma, missing), progress=False,
            )  # fmt: skip
            np.testing.assert_allclose(many.popt[k], one.popt, rtol=1e-3)
            np.testing.assert_allclose(many.perr[k], one.perr, rtol=1e-2)
    with pytest.raises(ValueError, match="a point that is not masked in each data set; got none in set 1"):
        jg.curve_fit_many(model, T, np.ma.stack([Y, masked(Y, *range(20))]), BOX, progress=False)


def test_masked_points_that_data_sets_share_are_refused():
    for x, y, sigma, name in (
        (masked(T, 3), Y[None], None, "xdata"),
        (T, Y[None], masked(np.ones(20), 3), "sigma"),
    ):
        for model in (decay, jg.host(lambda t, a, k: a * np.exp(-k * t))):
            with pytest.raises(ValueError, match=f"`{name}` must not have masked points") as caught:
                jg.curve_fit_many(model, x, y, BOX, sigma, progress=False)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("y", [Y + 1j, (Y + 1j).astype(np.complex64), jnp.asarray(Y + 1j), list(Y + 1j)], ids=type)
def test_complex_data_are_refused_with_the_recipe(y):
    for call in (lambda: fit(T, y), lambda: jg.curve_fit_many(decay, T, [list(y)], BOX, progress=False)):
        with pytest.raises(TypeError, match=r"`ydata` must be real; got complex.*concatenate\(\[y.real, y.imag\]\)"):
            call()
    with pytest.raises(TypeError, match="`sigma` must be real; got complex"):
        fit(T, Y, y)
    with pytest.raises(TypeError, match="`sigma` must be real; got complex"):
        jg.curve_fit_many(decay, T, Y[None], BOX, y, progress=False)


def test_real_and_imaginary_parts_side_by_side():
    y = 2 * np.exp(-1j * T) * np.exp(-T)

    def model(t, a, k):
        z = a * jnp.exp(-(k + 1j) * t)
        return jnp.concatenate([z.real, z.imag])

    assert fit(T, np.concatenate([y.real, y.imag]), None, model).popt == pytest.approx([2, 1], rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_its_place(bad):
    spoilt = np.where(np.arange(20) == 4, bad, Y)
    for call, place in (
        (lambda: fit(T, spoilt), r"`ydata` must be finite; got \w+ at index \[4\]"),
        (lambda: fit(spoilt, Y), r"`xdata` must be finite; got \w+ at index \[4\]"),
        (lambda: fit(T, Y, spoilt), r"`sigma` must be finite; got \w+ at index \[4\]"),
        (lambda: many(T, [Y, spoilt]), r"`ydata` must be finite; got \w+ at index \[1, 4\]"),
        (lambda: many([T, spoilt], [Y, Y]), r"`xdata` must be finite; got \w+ at index \[1, 4\]"),
        (lambda: many(T, [Y, Y], spoilt), r"`sigma` must be finite; got \w+ at index \[4\]"),
    ):
        with pytest.raises(ValueError, match=place):
            call()


def many(x, y, sigma=None):
    return jg.curve_fit_many(decay, x, y, BOX, sigma, progress=False)


def test_lists_of_several_lengths_are_refused():
    for call, what in (
        (lambda: many(T, [Y, Y[1:]]), "`ydata` must be an array .* got sets of several lengths: mask what"),
        (lambda: many([T, T[1:]], [Y, Y]), "`xdata` must be .* got lists of several lengths"),
        (lambda: fit([T, T[1:]], Y), "`xdata` must be .* got lists of several lengths"),
    ):
        with pytest.raises(ValueError, match=what):
            call()


def test_integers_that_no_float_holds_are_refused():
    for call in (lambda: fit(T, [10**400, *Y[1:]]), lambda: many(T, [[10**400, *Y[1:]]])):
        with pytest.raises(TypeError, match="`ydata` must be an array"):
            call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_that_are_changed_in_place_during_the_fit_or_after_it(dtype):
    t = np.linspace(0, 1, 20).astype(dtype)
    y = (2 * np.exp(-3 * t) + 0.01 * np.sin(50 * t)).astype(dtype)
    given = [t.copy(), y.copy(), np.full(20, 0.1, dtype)]

    def spoil(*_):
        for array in given:
            array[:] = 7

    def fit(x, y, sigma, **options):
        return jg.curve_fit(
            lambda t, a, k: a * jnp.exp(-k * t), x, y, [(0, 5), (0, 9)], sigma, progress=False, **options
        )

    whole, spoilt = fit(*map(np.copy, given)), fit(*given, callback=spoil)
    for name in ("popt", "pcov", "fun", "residuals"):
        assert np.array_equal(getattr(whole, name), getattr(spoilt, name))
    assert not np.shares_memory(arguments_many.read_many(y[None], y.dtype)[0], y)


def test_whole_numbers_and_booleans():
    def line(x, a, b):
        return a * x + b

    x, y = np.arange(6), 2 * np.arange(6) + 1
    assert fit(x, y, 1, line).popt == pytest.approx([2, 1], rel=1e-3)
    assert fit(x > 2, x > 2, None, line).popt == pytest.approx([1, 0], abs=1e-3)
    found = jg.curve_fit_many(line, x, np.stack([y, y + 1]), BOX, np.ones(6, int), progress=False)
    np.testing.assert_allclose(found.popt, [[2, 1], [2, 2]], rtol=1e-3)
