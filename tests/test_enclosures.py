"""Enclosures of values, gradients and Hessians hold what they enclose, on random boxes and at the awkward ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from enclosed import FUNCTIONS

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.lower import Refused, model_of

pytestmark = float64_only
RULED = {"custom_jvp", "custom_vjp", "stopped"}  # whose rules do not give the derivative


def modelled(fun, low):
    return model_of(jax.make_jaxpr(fun)(jnp.asarray(low)), np.asarray(low, float))


def random_boxes(low, high, count, rng, n=3):
    """Boxes from points to the whole domain, and a point of each; ends are often numbers at which functions switch."""
    centre = low + (high - low) * rng.uniform(size=(n, count))
    half = (high - low) * 10.0 ** rng.uniform(-12, 0, (1, count)) * rng.uniform(size=(n, count))
    half[:, : count // 8] = 0.0
    X = Interval(np.maximum(centre - half, low), np.minimum(centre + half, high))
    round_ends = rng.uniform(size=X.lo.shape) < 0.15
    lo = np.where(round_ends, np.clip(np.round(X.lo * 4) / 4, low, high), X.lo)
    X = Interval(lo, np.maximum(lo, X.hi))
    t = rng.choice([0.0, 1.0, 0.5, -1.0], size=X.lo.shape, p=[0.1, 0.1, 0.1, 0.7])
    t = np.where(t < 0, rng.uniform(size=X.lo.shape), t)
    return X, np.clip(X.lo + (X.hi - X.lo) * t, X.lo, X.hi)


@np.errstate(all="ignore")
def outside(name, count, seed):
    """Values, gradients and Hessians by JAX that lie outside of their enclosures, with the tolerance of float64."""
    fun, low, high = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    model = modelled(fun, np.full(3, low))
    X, P = random_boxes(low, high, count, rng)
    seen = model.value(X)
    f = np.asarray(jax.vmap(fun)(jnp.asarray(P.T)))
    slack = 1e-11 * (1 + abs(f))
    bad = int(np.sum((f < seen.f.lo - slack) | (f > seen.f.hi + slack)))
    new, empty = model.narrowed(seen, cut := float(np.median(f)))
    gone = empty | ((P < new.lo - 1e-12) | (P > new.hi + 1e-12)).any(0)
    bad += int(np.sum((f <= cut) & gone))
    if name in RULED:
        return bad
    G, kinked = model.slope(seen)
    g = np.asarray(jax.vmap(jax.grad(fun))(jnp.asarray(P.T))).T
    inside = seen.smooth & np.isfinite(g).all(0)
    slack = 1e-9 * (1 + abs(g))
    bad += int(np.sum(((g < G.lo - slack) | (g > G.hi + slack)) & inside))
    if model.curves:
        H, usable = model.curvature(seen, kinked)
        h = np.moveaxis(np.asarray(jax.vmap(jax.hessian(fun))(jnp.asarray(P.T))), 0, -1)
        slack = 1e-8 * (1 + abs(h))
        bad += int(np.sum(((h < H.lo - slack) | (h > H.hi + slack)) & usable & np.isfinite(h)))
    return bad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_boxes(name):
    assert outside(name, 200, 0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_ten_thousand_boxes(name):  # of each of a hundred functions: a million
    assert outside(name, 10_000, 1) == 0


@np.errstate(all="ignore")
def outside_by_digits(name, count, seed):
    """Values and derivatives with fifty digits that lie outside of their enclosures."""
    digits = pytest.importorskip("digits")
    fun, low, high = FUNCTIONS[name]
    model = modelled(fun, np.full(3, low))
    X, P = random_boxes(low, high, count, np.random.default_rng(seed))
    seen = model.value(X)
    G, kinked = model.slope(seen)
    wanted = [(model.f, seen.f, np.ones(count, bool))]
    if model.gradient is not None:
        wanted.append((model.gradient.id, None, seen.smooth))
    if model.curves and model.hessian is not None:
        wanted.append((model.hessian.id, None, model.curvature(seen, kinked)[1]))
    bad = 0
    for k in range(count):
        for i, _, good in wanted:
            node = model.program.nodes[i]
            if not good[k] or node.value is not None:
                continue
            try:
                value = digits.evaluate(model.program.nodes, P[:, k], [i])[i]
            except (digits.Unknown, ZeroDivisionError, ValueError):
                continue
            lo, hi = (np.broadcast_to(end, (*node.shape, count))[..., k] for end in (seen.all[i].lo, seen.all[i].hi))
            for at in np.ndindex(np.shape(value)):
                bad += not (lo[at] <= value[at] <= hi[at])
    return bad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_fifty_digits(name):
    assert outside_by_digits(name, 12, 0) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_fifty_digits_of_many_boxes(name):
    assert outside_by_digits(name, 50, 1) == 0


def test_arithmetic_of_awkward_ends():
    inf = np.inf
    ends = [-inf, -1e308, -2.0, -1e-320, -0.0, 0.0, 5e-324, 1.0, 3.0, 1e308, inf]
    pairs = [(a, b) for a in ends for b in ends if a <= b and a < inf and b > -inf]
    both = [(*p, *q) for p in pairs for q in pairs]
    a, b, c, d = np.array(both).T
    with np.errstate(all="ignore"):
        for op in (iv.add, iv.sub, iv.mul, iv.div, iv.quotient):
            out = op(Interval(a, b), Interval(c, d))
            assert not np.isnan(out.lo).any() and not np.isnan(out.hi).any()
            assert np.all(out.lo <= out.hi) and np.all(out.lo < inf) and np.all(out.hi > -inf)
            for x in (a, b):
                for y in (c, d):
                    finite = np.isfinite(x) & np.isfinite(y) & ((op not in (iv.div, iv.quotient)) | (y != 0))
                    exact = {iv.add: np.add, iv.sub: np.subtract, iv.mul: np.multiply}.get(op, np.divide)(x, y)
                    assert np.all((out.lo <= exact) & (exact <= out.hi) | ~finite | np.isinf(exact))


def test_an_unknown_primitive_is_refused_by_name_and_line():
    def unknown(x):
        return jnp.sum(jnp.fft.rfft(x).real)

    with pytest.raises(Refused, match=r"'fft' at test_enclosures.py:\d+"):
        modelled(unknown, np.zeros(4))
    for fun, word in (
        (lambda x: x[jnp.argmax(x)], "argmax' at test_enclosures.py"),
        (lambda x: jax.lax.while_loop(lambda c: c < x[0], lambda c: c + 1.0, 0.0), "depends on x"),
        (lambda x: jnp.linalg.cholesky(jnp.eye(3) + jnp.outer(x, x))[0, 0], "cholesky"),
    ):
        with pytest.raises(Refused, match=word):
            modelled(fun, np.zeros(3))
