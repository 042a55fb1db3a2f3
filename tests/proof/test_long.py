"""Mean value forms on the way and values that are pinned by the cut, as long programs have them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from enclosed import FUNCTIONS
from test_enclosures import RULED, each, modelled, random_boxes

from jaxglobal.proof import model as models
from jaxglobal.proof.bound import Bound, _Tests
from jaxglobal.proof.enclosure import Enclosure
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.newton import middle

pytestmark = float64_only


@pytest.mark.parametrize("name", ["loop", "scan", "rotated", "rotated terms", "roll", "flip"])
def test_mean_value_forms_on_the_way_hold_values_and_slopes(name, monkeypatch):
    monkeypatch.setattr(models, "DEEP", 1)  # in short programs too
    fun, low, high = FUNCTIONS[name]
    model = modelled(fun, np.full(3, low))
    assert model.way
    X, P = random_boxes(low, high, 400, np.random.default_rng(0))
    with np.errstate(all="ignore"):
        c = middle(X)
        seen = model.centred(X, c, model.value(Interval(c, c)))
        G = model.slope(seen)[0]
        plain = model.value(X)
    f, slack = np.asarray(each(fun, P)), 1e-11
    assert not np.any((f < seen.f.lo - slack * (1 + abs(f))) | (f > seen.f.hi + slack * (1 + abs(f))))
    assert np.all((seen.f.lo >= plain.f.lo) & (seen.f.hi <= plain.f.hi))
    if name not in RULED:
        g = np.asarray(each(jax.grad(fun), P)).T
        inside, slack = seen.smooth & np.isfinite(g).all(0), 1e-9 * (1 + abs(g))
        assert not np.any(((g < G.lo - slack) | (g > G.hi + slack)) & inside)


def test_slopes_that_are_unknown_narrow_nothing():
    box = lambda lo, hi: Interval(np.array([lo]), np.array([hi]))  # noqa: E731
    a, at = Enclosure(*box(-9.0, 9.0)), Enclosure(*box(0.0, 0.0))
    known = models.narrower(a, Enclosure(*box([1.0], [1.0])), (0,), box([-1.0], [1.0]), at)
    assert known.lo[0] == pytest.approx(-1.0) and known.hi[0] == pytest.approx(1.0)
    for slopes in (box([np.nan], [1.0]), box([1.0], [np.nan])):
        out = models.narrower(a, Enclosure(*slopes), (0,), box([-1.0], [1.0]), at)
        assert out.lo[0] == -9.0 and out.hi[0] == 9.0


def test_slopes_may_need_an_operation_that_comes_later():
    def fun(p):
        def step(x, _):
            x = p[0] * (jnp.sin(x) * x) - p[1] * (jnp.cos(x) * x) + 0.1 * x
            return x, x

        return jnp.sum(jax.lax.scan(step, p[2], None, length=20)[1] ** 2)

    model = modelled(fun, np.full(3, 0.1))
    at = {i: k for k, (i, _, _) in enumerate(model.way)}
    assert any(at.get(j, -1) > k for k, (_, _, plan) in enumerate(model.way) for j in plan)
    X, P = random_boxes(0.1, 0.9, 100, np.random.default_rng(0))
    with np.errstate(all="ignore"):
        c = middle(X)
        seen = model.centred(X, c, model.value(Interval(c, c)))
        plain = model.value(X)
    f = np.asarray(each(fun, P))
    assert not np.any((f < seen.f.lo - 1e-11) | (f > seen.f.hi + 1e-11))
    assert np.all((seen.f.lo >= plain.f.lo) & (seen.f.hi <= plain.f.hi))


def growth(p):
    """Logistic growth by twenty steps of Runge and Kutta."""

    def step(x, _):
        slope, h = lambda x: p[0] * x * (1 - x / p[1]), 0.25
        a = slope(x)
        x = x + h * slope(x + h / 2 * a)
        return x, x

    return jax.lax.scan(step, p[2], None, length=20)[1]


def test_states_that_data_pin_lose_no_point_below_the_cut():
    data = np.asarray(growth(jnp.array([0.9, 5.0, 0.4])))
    fun = lambda p: jnp.sum((growth(p) - data) ** 2)  # noqa: E731
    low, high = np.array([0.1, 1.0, 0.1]), np.array([2.0, 10.0, 1.0])
    model = modelled(fun, low)
    assert model.way
    bound, rng = Bound(model, low, high), np.random.default_rng(1)
    L, U, near = low[:, None], high[:, None], np.array([[0.9], [5.0], [0.4]])
    P = np.clip(near * np.exp(rng.uniform(-0.4, 0.4, (3, 300))), L, U)
    below, above = (U - L) * 10.0 ** rng.uniform(-4, -0.3, (1, 300)) * rng.random((2, 3, 300))
    X = Interval(np.maximum(P - below, L), np.minimum(P + above, U))
    f = np.asarray(each(fun, P))
    cut = float(np.quantile(f, 0.6))
    for part in (slice(0, 4), slice(4, 300)):  # few boxes are propagated longer
        x, value = P[:, part], f[part]
        out = bound(X.lo[:, part], X.hi[:, part], cut, None, False)
        left = np.zeros(len(value), bool)
        left[out.row] = True
        least = np.full(len(value), np.inf)
        least[out.row] = out.low
        below = value <= cut - 1e-9
        # tests by the gradient may drop a point that is not stationary, but its box's bound has to hold
        assert np.all(least[below & left] <= value[below & left] + 1e-9)
        with np.errstate(all="ignore"):
            tests = _propagated(bound, X.lo[:, part], X.hi[:, part], cut)
        kept = np.zeros(len(value), bool)
        kept[tests.row] = True
        assert np.all(kept[below])
        inside = ((tests.X.lo <= x[:, tests.row]) & (x[:, tests.row] <= tests.X.hi)).all(0)
        assert np.all(inside[below[tests.row]])


def _propagated(bound, lo, hi, cut):
    tests = _Tests(bound, lo, hi, cut, None, False)
    tests.propagated()
    return tests
