"""Enclosures of values, gradients and Hessians hold what they enclose, on random boxes and at the awkward ones."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from enclosed import FUNCTIONS, T

from jaxglobal.problem.linear_algebra import one_at_a_time
from jaxglobal.proof import disjunction, functions
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.complexes import cosines
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.lower import model_of
from jaxglobal.proof.refused import Refused

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
def each(fun, P):
    """fun at the points, (n, count), some at a time: a batch of convolutions takes its square in time."""
    return jax.lax.map(fun, jnp.asarray(P.T), batch_size=200)


MOST = 5_000_000  # operations times boxes, of which all intervals are kept: beyond, some gigabytes


@np.errstate(all="ignore")  # as a proof does
def outside(name, count, seed):
    """Values, gradients and Hessians by JAX that lie outside of their enclosures, with the tolerance of float64."""
    fun, low, high = FUNCTIONS[name]
    rng = np.random.default_rng(seed)
    model = modelled(fun, np.full(3, low))
    X, P = random_boxes(low, high, min(count, MOST // len(model.program.nodes)), rng)
    seen = model.value(X)
    checked = [fun] if name in RULED else [fun, jax.grad(fun), jax.hessian(fun)][: 2 + bool(model.curves)]
    f, *derivatives = (np.moveaxis(np.asarray(v), 0, -1) for v in each(lambda x: [one(x) for one in checked], P))
    slack = 1e-11 * (1 + abs(f))
    bad = int(np.sum((f < seen.f.lo - slack) | (f > seen.f.hi + slack)))
    new, empty = model.narrowed(seen, cut := float(np.median(f)))
    gone = empty | ((P < new.lo - 1e-12) | (P > new.hi + 1e-12)).any(0)
    bad += int(np.sum((f <= cut) & gone))
    new, low, empty = disjunction.decided(model, X, cut)
    gone = empty | ((P < new.lo - 1e-12) | (P > new.hi + 1e-12)).any(0)
    bad += int(np.sum((f <= cut) & (gone | (f < low - slack))))
    if name in RULED:
        return bad
    G, kinked = model.slope(seen)
    g = derivatives[0]
    inside = seen.smooth & np.isfinite(g).all(0)
    slack = 1e-9 * (1 + abs(g))
    bad += int(np.sum(((g < G.lo - slack) | (g > G.hi + slack)) & inside))
    if model.curves:
        H, usable = model.curvature(seen, kinked)
        h = derivatives[1]
        slack = 1e-8 * (1 + abs(h))
        bad += int(np.sum(((h < H.lo - slack) | (h > H.hi + slack)) & usable & np.isfinite(h)))
    return bad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_random_boxes(name):
    assert outside(name, 200, 0) == 0


ROOT = {  # of what is NaN in parts of [-2, 2]^3: functions that keep it, and functions that hide it
    "kept": lambda r, x: jnp.sum(r),
    "one entry": lambda r, x: r[1] * x[0],
    "zero times": lambda r, x: 0 * r[0] + x[1],
    "by a constant": lambda r, x: jnp.sum(jnp.array([1.0, jnp.nan, 2.0]) * x),
    "a product": lambda r, x: jnp.prod(r) + r @ x,
    "an outer product": lambda r, x: jnp.sum(jnp.outer(r, x)[:, 1:]),
    "elementary": lambda r, x: jnp.sin(r[0]) + jnp.exp(-r[1]) + jnp.tanh(r[2]) + jnp.floor(r[0]) * jnp.sign(r[1]),
    "domains": lambda r, x: jnp.log(x[0]) + jnp.arcsin(x[1]) + jnp.arccosh(x[2]) + jnp.log1p(x[1] - 0.5) + x[0] ** 0.3,
    "an infinity": lambda r, x: 0 * jnp.arctanh(x[0]) + x[1],
    "a switch": lambda r, x: jnp.where(x[0] > 0.3, r[1], jnp.where(x[1] < 0, jnp.nan, x[2])),
    "a mask": lambda r, x: jnp.sum(jnp.where(x > 0, r, 0.0)),
    "isnan": lambda r, x: jnp.where(jnp.isnan(r[0]), x[0], r[1]),
    "isfinite": lambda r, x: jnp.where(jnp.isfinite(r[0]) & ~jnp.isnan(r[1]), r[0], x[2]),
    "nan_to_num": lambda r, x: jnp.nan_to_num(r[0], nan=-1.0) + x[1],
    "nansum": lambda r, x: jnp.nansum(r) + jnp.nanmean(r * x),
    "nanmin": lambda r, x: jnp.nanmin(r) - jnp.nanmax(r),
    "max": lambda r, x: jnp.max(r) + jnp.maximum(r[0], x[1]),
    "fmin": lambda r, x: jnp.fmin(r[0], x[1]) + jnp.fmax(r[1], x[0]),
    "clip": lambda r, x: jnp.sum(jnp.clip(r, 0.1, 0.5)),
    "compared": lambda r, x: jnp.where(r[0] > 0.5, 1.0, x[1]) + jnp.where(r[1] != r[1], 2.0, x[2]) + (r[2] <= 1),
    "searched": lambda r, x: jnp.searchsorted(jnp.array([0.0, 0.5, 1.0]), r[0]) * x[1],
    "interpolated": lambda r, x: jnp.interp(r[0], jnp.array([0.0, 0.5, 1.0]), jnp.array([1.0, 0.0, 2.0])) + x[1],
    "a row by a search": lambda r, x: jnp.asarray(T)[jnp.searchsorted(jnp.array([0.0, 0.5, 1.0]), r[0])] + x[0],
    "sorted": lambda r, x: jnp.sort(r)[0] + jnp.sort(x)[0],
    "an integer": lambda r, x: r[0].astype(jnp.int32) + x[0],
    "a condition": lambda r, x: r[0].astype(bool) * x[1],
    "cond": lambda r, x: jax.lax.cond(x[0] > 0, lambda: r[0], lambda: r[1]),
    "compiled": lambda r, x: (x[0] > 0) * r[0] + jnp.log((x[1] - 0.5) ** 1.5) + jnp.log(x[2] ** 0.5),
    "a power": lambda r, x: jnp.abs(x[0]) ** r[0] + r[1] ** 2 + r[2] ** 0,
    "one to a power": lambda r, x: jnp.maximum(jnp.abs(x[0]), 1.0) ** r[1] + x[2],
    "to the power zero": lambda r, x: r[0] ** jnp.maximum(x[1], 0.0) + x[2],
    "set": lambda r, x: x.at[1].set(r[1])[0] + x.at[1].set(r[0])[1],
    "added": lambda r, x: jnp.zeros(3).at[jnp.array([0, 2, 2])].add(r)[1] + x.at[jnp.array([0, 1, 1])].add(r)[0],
    "gathered": lambda r, x: r[jnp.array([0, 0])].sum() + jnp.pad(r, 1)[0],
    "stacked": lambda r, x: jnp.stack([r, x])[1] @ x + jnp.concatenate([r[:1], x])[1],
    "cumsum": lambda r, x: jnp.cumsum(r)[1] + jax.lax.cummax(r)[0] + jax.lax.cummax(x)[1],
    "scan": lambda r, x: jax.lax.scan(lambda c, y: (c * y + 1, c), r[0], x)[0],
    "a factor": lambda r, x: jnp.linalg.cholesky(jnp.diag(r))[0, 0] + jnp.linalg.cholesky(jnp.diag(x))[0, 0],
    "a system": lambda r, x: jnp.sum(jnp.linalg.solve(jnp.diag(r), x)),
    "a residual": lambda r, x: jnp.nansum((x[0] * T + x[1] - jnp.where(T > 1, jnp.nan, 1.0)) ** 2) + jnp.sum(T * x[2]),
}


@np.errstate(all="ignore")
def test_what_is_surely_undefined_is_so_at_every_point():
    rng = np.random.default_rng(0)
    X, P = random_boxes(-2.0, 2.0, 2000, rng)
    P = np.stack([P, *(X.lo + (X.hi - X.lo) * rng.uniform(size=X.lo.shape) for _ in range(15))])
    whole = lambda name: lambda x: ROOT[name](jnp.sqrt(x - 0.25), x) * 1.0  # noqa: E731
    points = jnp.asarray(np.moveaxis(P, 1, 2))
    each = jax.vmap(jax.vmap(lambda x: jnp.stack([whole(name)(x) for name in ROOT])))
    values = jax.jit(one_at_a_time(each, "cpu"))(points)  # a batch of factorisations may stand for ever
    for name, f in zip(ROOT, np.moveaxis(np.asarray(values), 2, 0), strict=True):
        model = modelled(whole(name), np.full(3, -2.0))
        seen = model.value(X)
        never, there = np.broadcast_to(seen.never, 2000), ~np.isnan(f)
        assert not np.any(never & there), name
        assert not np.any(~there & seen.safe), name
        if name in ("max", "compiled"):  # XLA makes values where there are none
            continue
        slack = 1e-11 * (1 + abs(f))
        assert not np.any((f < seen.f.lo - slack) | (f > seen.f.hi + slack)), name
        cut = float(np.median(f[there])) if there.any() else 0.0
        new, empty = model.narrowed(seen, cut)
        gone = empty | ((P < new.lo - 1e-12) | (P > new.hi + 1e-12)).any(1)
        assert not np.any((f <= cut) & gone), name
        if name in ("kept", "one entry", "by a constant", "an outer product", "domains", "cond", "a switch"):
            assert np.mean(never[~there.any(0)]) > 0.8, name  # and it is seen


@np.errstate(all="ignore")
def test_a_search_for_nan_is_a_search_beyond_the_table():
    """What is counted may be NaN: that the count is high does not say that it is a large number."""
    table = jnp.array([0.0, 0.5, 1.0])
    model = modelled(lambda x: -1.0 * jnp.searchsorted(table, jnp.sqrt(x[0])), np.full(1, -2.0))
    box = Interval(np.array([[-2.0]]), np.array([[-1.0]]))
    new, empty = model.narrowed(model.value(box), -3.0)
    assert not empty.any() and new.lo[0, 0] == -2.0 and new.hi[0, 0] == -1.0


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


def test_products_and_quotients_with_what_is_unknown_are_anything():
    for lo, hi in ((1.0, np.nan), (np.nan, -1.0)):
        b, one = Interval(np.array([lo]), np.array([hi])), iv.point([1.0])
        for out in (iv.reciprocal(b), iv.mul(one, b), iv.mul(b, b), iv.div(one, b), iv.quotient(one, b)):
            assert out.lo[0] == -np.inf and out.hi[0] == np.inf


def test_sums_of_exponentials_of_awkward_ends():
    mp = pytest.importorskip("digits").mp
    rng = np.random.default_rng(0)
    centre = rng.choice([0.0, 1.0, -40.0, 700.0, -745.0, 1e5], (3, 400)) + rng.uniform(-5, 5, (3, 400))
    half = rng.choice([0.0, 1e-3, 1.0, 30.0, 800.0], (3, 400)) * rng.uniform(size=(3, 400))
    X = Interval(centre - half, centre + half)
    with np.errstate(all="ignore"):
        whole, parts = functions.log_sum_exp(X, (0,)), functions.shares(X, (0,))
        far = Interval(np.full((2, 1), -np.inf), np.full((2, 1), np.inf))
        assert functions.log_sum_exp(far, (0,)).hi[0] == np.inf and functions.shares(far, (0,)).hi[0, 0] == 1
    for k in range(400):
        for pick in (X.lo, X.hi, np.where(rng.random(X.lo.shape) < 0.5, X.lo, X.hi)):
            e = [mp.exp(mp.mpf(float(v))) for v in pick[:, k]]
            assert whole.lo[k] <= mp.log(sum(e)) <= whole.hi[k]
            assert all(parts.lo[i, k] <= e[i] / sum(e) <= parts.hi[i, k] for i in range(3))
    assert np.max((whole.hi - whole.lo)[half.max(0) == 0]) < 1e-9


def test_prints_and_random_constants_are_no_obstacle():
    key, old = jax.random.key(3), jax.random.PRNGKey(1)

    def fun(x):
        jax.debug.print("{}", x[0])
        noise = jax.random.normal(old, (3,)) + jax.vmap(jax.random.uniform)(jax.random.split(key, 3))
        return jnp.sum((x - noise) ** 2) + jax.lax.scan(lambda c, k: (c + jax.random.normal(k), 0), 0.0, key[None])[0]

    x = np.array([0.3, -1.0, 2.0])
    seen = modelled(fun, x).value(Interval(x[:, None], x[:, None]))
    assert seen.f.lo[0] <= fun(x) + 1e-12 and fun(x) <= seen.f.hi[0] + 1e-12 and seen.f.hi[0] - seen.f.lo[0] < 1e-12
    with pytest.raises(Refused, match=r"test_enclosures.py:\d+"):
        modelled(lambda x: jax.random.uniform(jax.random.fold_in(key, x[0].astype(int))), x)


def test_a_table_has_no_jump_at_its_knots_and_ends_but_where_it_has():
    ends = Interval(np.array([[-1.0, 0.25, 1.75, -0.9]]), np.array([[0.25, 1.75, 3.0, 0.0]]))
    for knots, smooth in (([0.0, 1.0, 2.0], [True] * 4), ([0.0, 1.0, 1.0, 2.0], [True, False, True, True])):
        x, y = jnp.array(knots), jnp.array([0.5, 2.0, 1.0, 1.5][: len(knots)])
        model = modelled(lambda v, x=x, y=y: jnp.interp(v[0], x, y), np.full(1, -1.0))
        seen = model.value(ends)
        assert seen.smooth.tolist() == smooth
        kinked = model.slope(seen)[1]
        assert kinked.all()  # each box has, or touches, a knot


def test_cosines_of_a_transform():
    mp = pytest.importorskip("digits").mp
    for n in (1, 2, 3, 5, 6, 8, 12, 96, 97):
        c = cosines(np.arange(-n, n), n)
        for k, lo, hi in zip(range(-n, n), c.lo[:, 0], c.hi[:, 0], strict=True):
            cosine, room = mp.cos(2 * mp.pi * k / n), mp.mpf(10) ** -40  # of the fifty digits
            assert lo <= cosine + room and cosine - room <= hi
            assert hi - lo <= (0.0 if 4 * k % n == 0 or 6 * k % n == 0 else 1e-14)


def test_constants_whose_enclosures_are_equal_need_not_be_equal():
    parts = (0.1, 0.2), (0.1 + 0.2, 2.0**-60)  # sums that are rounded to the same number
    seen = modelled(lambda x: x[0] + (jax.lax.add(*parts[0]) - jax.lax.add(*parts[1])), np.zeros(1)).value(
        Interval(np.zeros((1, 1)), np.zeros((1, 1)))
    )
    one, other = (sum(map(Fraction, pair)) for pair in parts)
    assert sum(parts[0]) == sum(parts[1]) and seen.f.lo[0] <= one - other <= seen.f.hi[0]


def test_an_unknown_primitive_is_refused_by_name_and_line():
    def unknown(x):
        return jnp.sum(jnp.linalg.eigvals(jnp.outer(x, x)).real)

    with pytest.raises(Refused, match=r"'eig' at test_enclosures.py:\d+"):
        modelled(unknown, np.zeros(4))
    for fun, word in (
        (lambda x: x[jnp.argmax(jnp.log(x))], "argmax' at test_enclosures.py"),
        (lambda x: x.at[x[0].astype(int)].set(1.0)[0], "its index depends on x"),
        (lambda x: (x[0].astype(int) & 3) * 1.0, "no rule for whole numbers that depend on x"),
        (lambda x: jax.lax.while_loop(lambda c: c < x[0], lambda c: c + 1.0, 0.0), "depends on x"),
        (lambda x: jnp.linalg.eigvalsh(jnp.eye(3) + jnp.outer(x, x))[0], "eigh"),
        (lambda x: jax.scipy.linalg.lu(jnp.eye(3) + jnp.outer(x, x))[2][0, 0], "'lu'"),
        (lambda x: jax.lax.top_k(x, 1)[1][0] * 1.0, "only the sorted values"),
        (lambda x: jnp.sin(x + 1j).real[0], "'sin' at test_enclosures.py:.* complex numbers"),
        (lambda x: jax.lax.scan(lambda c, v: (c * v, v), 1j, x)[0].real, "'scan' at .* complex numbers"),
        (lambda x: jnp.interp(0.3, x, jnp.arange(3.0)), "its table is not constant and sorted"),
    ):
        with pytest.raises(Refused, match=word):
            modelled(fun, np.zeros(3))
