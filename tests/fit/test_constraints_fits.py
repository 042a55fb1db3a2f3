"""Many fits whose parameters are under constraints: each says what `curve_fit` says of it alone."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64
from scipy.optimize import LinearConstraint

import jaxglobal as jg

T = np.linspace(0, 4, 30)
BOUNDS = [(0, 2), (0, 5), (0, 1)]
DIGITS = 1e-6 if X64 else 5e-3
COUNT, FEW = 10, slice(2, 6)
AT_MOST = np.linspace(0.9, 1.6, COUNT)  # of a + c: it binds on some of the data sets


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def at_start(p):
    return p[0] + p[2]


def data():
    rates = np.linspace(0.4, 2.5, COUNT)
    clean = np.exp(-rates[:, None] * T) + 0.25
    return clean + 0.02 * np.random.default_rng(0).standard_normal(clean.shape)


def fits(y=None, upper=AT_MOST, fun=at_start, **options):
    y = data() if y is None else y
    options = {"constraints": jg.Constraint(fun, upper=upper), **options}
    return jg.curve_fit_many(decay, T, y, BOUNDS, progress=False, **options)


HEARD = []


@pytest.fixture(scope="module")
def many():
    return fits(callback=HEARD.append)


def check(one, alone):
    """A `FitOutcome` and the `Fit` of the same data set."""
    assert one.success and alone.success and one.violation < 1e-6
    assert np.allclose(one.popt, alone.popt, rtol=DIGITS, atol=DIGITS) and np.isclose(one.fun, alone.fun, rtol=DIGITS)
    assert np.allclose(one.pcov, alone.pcov, rtol=100 * DIGITS, atol=1e-8) and np.allclose(
        one.perr**2, np.diag(one.pcov)
    )
    assert one.active == alone.result.active
    assert np.isclose(one.multipliers, alone.result.multipliers, rtol=100 * DIGITS, atol=1e-6 if X64 else 1e-3)


@pytest.mark.long
def test_each_is_the_fit_of_curve_fit(many):
    assert len(many) == COUNT and 2 <= np.sum(many.active) <= COUNT - 2 and many.multipliers.shape == (COUNT,)
    for i, y in enumerate(data()):
        alone = jg.curve_fit(decay, T, y, BOUNDS, constraints=jg.Constraint(at_start, upper=AT_MOST[i]), progress=False)
        check(many[i], alone)
    costs = np.full(COUNT, np.nan)
    for news in HEARD:
        costs[news.problems] = news.fun
    assert np.allclose(costs, many.fun, rtol=DIGITS) and HEARD[-1].done == COUNT
    assert "violation" in repr(many) and len(many[many.active]) == np.sum(many.active)


@pytest.mark.slow
def test_units_weights_masks_and_boxes_of_each():
    """Data of 1e-12 with errors of their own, a masked point, abscissae and boxes of each, a guess."""
    tiny, y = 1e-12, np.ma.masked_array(data()[FEW])
    y[0, 3] = np.ma.masked
    y.data[0, 3] = 77.0
    sigma = np.full(y.shape, 0.02 * tiny)
    boxes = np.tile(np.array([(0, 2 * tiny), (0, 5), (0, tiny)]), (4, 1, 1))
    boxes[1, 1] = 1.0, 1.0  # is fixed
    told = jg.curve_fit_many(
        decay, np.tile(T, (4, 1)), tiny * y, boxes, sigma, True, p0=np.mean(boxes, axis=2), progress=False,
        constraints=jg.Constraint(lambda p: at_start(p) / tiny, upper=AT_MOST[FEW]),
    )  # fmt: skip
    assert np.all(told.success) and told.popt[1, 1] == 1 and told.perr[1, 1] == 0
    for i in (0, 1):
        alone = jg.curve_fit(
            decay, T, y[i], [tuple(side) for side in boxes[i] / [[tiny], [1], [tiny]]], 0.02, True, progress=False,
            constraints=jg.Constraint(at_start, upper=AT_MOST[FEW][i]),
        )  # fmt: skip
        scale = np.array([tiny, 1, tiny])
        assert np.allclose(told.popt[i] / scale, alone.popt, rtol=10 * DIGITS, atol=DIGITS)
        assert np.allclose(told.perr[i] / scale, alone.perr, rtol=100 * DIGITS, atol=1e-6)
        assert np.isclose(told.fun[i], alone.fun, rtol=DIGITS) and told.active[i] == alone.result.active


@pytest.mark.slow
def test_pytrees_lists_and_a_robust_loss():
    box = jg.Box({"a": 0.1, "k": 0.1, "c": 0.0}, {"a": 3.0, "k": 5.0, "c": 1.0})
    rows = [jg.Constraint(lambda p: p["a"] * p["k"], upper=0.9), LinearConstraint([[1.0, 1.0, 0.0]], -np.inf, 1.4)]
    options = dict(loss="soft_l1", f_scale=0.1, constraints=rows, progress=False)

    def model(t, p):
        return decay(t, p["a"], p["k"], p["c"])

    many = jg.curve_fit_many(model, T, data()[:3], box, **options)
    assert [part.shape for part in many.active] == [(3,), (3, 1)] and len(many[1:].popt["a"]) == 2
    for one, y in zip(many, data(), strict=False):
        alone = jg.curve_fit(model, T, y, box, **options)
        assert np.isclose(one.popt["a"], alone.popt["a"], rtol=DIGITS) and np.isclose(one.fun, alone.fun, rtol=DIGITS)
        assert (
            np.allclose(one.pcov, alone.pcov, rtol=100 * DIGITS, atol=1e-7) and one.active[0] == alone.result.active[0]
        )


@pytest.mark.long
def test_infeasible_limits_and_refusals():
    upper = np.where(np.arange(COUNT) == 4, -1.0, AT_MOST)
    told = fits(upper=upper)
    assert np.array_equal(~told.success, np.arange(COUNT) == 4) and np.isclose(told.violation[4], 1, atol=1e-3)
    few = fits(max_evals=100)  # kept to a tick of the lanes
    assert np.all(few.nfev <= 116) and not np.any(few.success)
    late = fits(max_time=0.0)
    assert not np.any(late.success) and late.popt.shape == (COUNT, 3)
    assert not np.any(np.isfinite(late.fun) & ~np.isfinite(late.popt[:, 0]))
    plain, none = (
        jg.curve_fit_many(decay, T, data(), BOUNDS, progress=False, **more) for more in ({}, {"constraints": []})
    )
    assert np.array_equal(plain.popt, none.popt) and none.active is None and none[0].violation == 0.0
    for wrong, error, words in (
        (dict(loss="lad"), ValueError, "`loss`"),
        (dict(searches=3), TypeError, "with `searches`.*yet"),
        (dict(integrality=[1, 0, 0]), TypeError, "with `integrality`.*yet"),
        (dict(levels=0), ValueError, "`levels` must be a whole number of at least 1; got 0"),
        (dict(ctol=2.0), ValueError, "`ctol`"),
        (dict(checkpoint="fits"), ValueError, "`checkpoint` must be None"),
        (dict(upper=np.zeros(3)), ValueError, "problems along its leading axis"),
        (dict(fun=lambda p, t: p[0]), TypeError, "further arguments"),
        (dict(constraints=3), TypeError, "`constraints` must be a jaxglobal.Constraint"),
    ):
        with pytest.raises(error, match=words):
            fits(**wrong)
    with pytest.raises(TypeError, match="with a host function yet"):
        jg.curve_fit_many(jg.host(lambda t, a: a * t), T, data(), [(0, 2)], constraints=jg.Constraint(lambda p: p[0]))
