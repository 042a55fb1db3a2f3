"""argmin: the answer inside jit, vmap, scan and grad, and its derivatives against differences of the search itself."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import float64_only, precision

import jaxglobal as jg
from jaxglobal.problem import programs
from jaxglobal.search import hopping

RNG = np.random.default_rng(0)
COUPLING = RNG.standard_normal((20, 20)) / 5
TIMES = np.linspace(0, 4, 30)
NOISE = 0.05 * RNG.standard_normal(30)


def flat(x):
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(x)])


def double_well(t):
    return jg.argmin(lambda x, a: (x[0] ** 2 - a) ** 2 + 0.3 * x[0], [(-3, 3)], t[0])


def tilted_rastrigin(t):
    fun = lambda x, a: jnp.sum((x - a) ** 2 - 2 * jnp.cos(2 * (x - a)) + 0.3 * a[0] * x)  # noqa: E731
    return jg.argmin(fun, [(-4, 5)] * 3, t)


def valley(t):
    return jg.argmin(lambda x: (t[0] - x[0]) ** 2 + 100 * (x[1] - t[1] * x[0] ** 2) ** 2 + x[1], [(-2, 3)] * 2)


def face(t):
    fun = lambda x, a: (x[0] - 2 - a) ** 2 + (x[1] - a * x[0]) ** 2 + x[0] * x[1]  # noqa: E731
    return jg.argmin(fun, [(-1.0, t[1]), (-4.0, 4.0)], t[0])


def corner(t):
    fun = lambda x: jnp.sum((x - jnp.array([5.0, -7.0])) ** 2 * t[2])  # noqa: E731
    return jg.argmin(fun, jg.Box(jnp.array([-1.0, t[0]]), jnp.array([t[1], 3.0])))


def pytree(t):
    def fun(x, p):
        return jnp.sum((x["u"] - p["a"]) ** 4 + x["u"] ** 2) + (x["v"] - jnp.sum(x["u"]) * p["b"]) ** 2

    box = jg.Box({"u": -2 * jnp.ones(2), "v": -3.0}, {"u": 2 * jnp.ones(2), "v": 3.0})
    return jg.argmin(fun, box, ({"a": t[:2], "b": t[2]},))


def twenty(t):
    fun = lambda x: jnp.sum((x - t[0]) ** 2 + jnp.sin(x * t[1])) + jnp.sum((COUPLING @ x) ** 2)  # noqa: E731
    return jg.argmin(fun, [(-2, 2)] * 20, levels=2)


def sinusoid(t):
    data = 2 * jnp.exp(-0.3 * TIMES) * jnp.cos(3 * TIMES + 0.2) + t[0] * NOISE

    def misfit(p, y):
        return jnp.sum((p[0] * jnp.exp(-p[1] * TIMES) * jnp.cos(p[2] * TIMES + p[3]) - y) ** 2) + t[1] * p[1] ** 2

    return jg.argmin(misfit, [(0.1, 4), (0, 3), (0.5, 6), (-1.5, 1.5)], data)


def fixed(t):
    fun = lambda x, a: jnp.sum((x - a) ** 2) + x[0] * x[1] + jnp.cos(x[2])  # noqa: E731
    return jg.argmin(fun, jg.Box(jnp.array([-1.0, t[0], -2.0]), jnp.array([1.0, t[0], 2.0])), t)


def open_side(t):
    return jg.argmin(lambda x, a: jnp.sum((x - a) ** 2 + 0.1 * x**4), [(-1, 1)] * 2, t, open=True)


SOLVED = {
    double_well: [1.3],
    tilted_rastrigin: [0.7, -0.4, 1.1],
    valley: [1.1, 0.9],
    face: [0.3, 1.2],
    corner: [-2.0, 1.5, 0.7],
    pytree: [0.9, -0.6, 0.8],
    twenty: [0.4, 1.3],
    sinusoid: [1.0, 0.5],
    fixed: [0.2, 0.4, 0.7],
    open_side: [2.5, -3.0],
}


@pytest.mark.slow
@float64_only
@pytest.mark.parametrize("solve", SOLVED, ids=lambda solve: solve.__name__)
def test_derivatives_against_differences_of_the_search(solve):
    t = jnp.array(SOLVED[solve])

    def x_and_value(t):
        best = solve(t)
        return (flat(best.x), best.fun), best

    forward, reverse = (jax.jit(mode(x_and_value, has_aux=True)) for mode in (jax.jacfwd, jax.jacrev))
    (x_forward, f_forward), best = forward(t)
    (x_reverse, f_reverse), _ = reverse(t)
    h = 2e-5
    pairs = [[forward(t + sign * h * unit)[1] for sign in (1, -1)] for unit in np.eye(len(t))]
    x_apart = np.array([(flat(up.x) - flat(down.x)) / (2 * h) for up, down in pairs]).T
    f_apart = np.array([(up.fun - down.fun) / (2 * h) for up, down in pairs])
    for found, expected in ((x_forward, x_apart), (x_reverse, x_apart), (f_forward, f_apart), (f_reverse, f_apart)):
        assert np.max(np.abs(found - expected)) <= 1e-6 * np.max(np.abs(expected)), (found, expected)
    assert not (best.tied | best.touching | best.singular)


@pytest.mark.long
@float64_only
def test_a_singular_hessian_gives_the_least_norm_answer():
    # The width of the box must not weigh: the norm is that of the user's coordinates.
    box = [(-1, 3), (-30, 20), (-4, 5)]
    slope = jnp.array([1.0, 2.0, -1.0])
    x = lambda a: jg.argmin(lambda x: (x @ slope - a) ** 2, box).x  # noqa: E731
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(mode(x)(1.7), slope / 6, rtol=1e-6)
    best = jg.argmin(lambda x, a: (x[0] - a) ** 2, [(-1, 2)] * 2, 0.3)
    np.testing.assert_allclose(jax.grad(lambda a: jg.argmin(lambda x: (x[0] - a) ** 2, [(-1, 2)] * 2).x[1])(0.3), 0)
    assert best.singular and jg.argmin(lambda x: (x @ slope - 1.7) ** 2, box).singular


@pytest.mark.long
@float64_only
def test_hessian_of_the_value():
    value = lambda t: tilted_rastrigin(t).fun  # noqa: E731
    t, h = jnp.array(SOLVED[tilted_rastrigin]), 1e-5
    slopes = jax.jit(jax.grad(value))
    apart = [(slopes(t + h * e) - slopes(t - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(jax.hessian(value)(t), apart, rtol=1e-6, atol=1e-6)


@pytest.mark.long
@float64_only
def test_second_derivative_of_the_minimiser():
    x = lambda a: jg.argmin(lambda x: (x[0] - a**3) ** 2 + 0.1 * x[0] ** 4, [(-3, 3)]).x[0]  # noqa: E731
    h = 1e-4
    apart = (x(0.8 + h) - 2 * x(0.8) + x(0.8 - h)) / h**2
    np.testing.assert_allclose(jax.grad(jax.grad(x))(0.8), apart, rtol=1e-5)


@float64_only
def test_many_variables_by_conjugate_gradients():
    n = 300
    scale = jnp.linspace(1, 3, n)
    x = lambda a: jg.argmin(lambda x: jnp.sum(scale * (x - a) ** 2) + jnp.sum(x) ** 2 / n, [(-2, 2)] * n, levels=1).x  # noqa: E731
    H = 2 * np.diag(scale) + 2 * np.ones((n, n)) / n
    np.testing.assert_allclose(jax.jacfwd(x)(0.5), np.linalg.solve(H, 2 * scale), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda a: jnp.sum(x(a)))(0.5), np.sum(np.linalg.solve(H, 2 * scale)), rtol=1e-6)


def wells(x, a):
    return jnp.sum((x**2 - a) ** 2 + 0.3 * x)


BOX = [(-3, 3)] * 2


@pytest.mark.long
def test_inside_jit_vmap_and_scan_as_outside():
    values = jnp.array([[1.0, 1.5], [2.0, 2.5]])
    alone = np.array([[jg.argmin(wells, BOX, a).x for a in row] for row in values])
    minimised = np.array([[jg.minimize(wells, BOX, a, progress=False).x for a in row] for row in values])
    x = lambda a: jg.argmin(wells, BOX, a).x  # noqa: E731
    tolerance = 1e-10 if jax.config.jax_enable_x64 else precision()[1]
    for found in (
        minimised,
        jax.vmap(jax.vmap(x))(values),
        jax.jit(jax.vmap(jax.vmap(x)))(values),
        jax.vmap(jax.jit(jax.vmap(x)), in_axes=1, out_axes=1)(values),
        jax.lax.scan(lambda carry, row: (carry, jax.vmap(x)(row)), 0.0, values)[1],
    ):
        np.testing.assert_allclose(found, alone, rtol=0, atol=tolerance)


@pytest.mark.long
def test_vmap_of_bounds_and_of_closures():
    tops, targets = jnp.array([0.5, 1.0, 9.0]), jnp.array([2.0, 3.0, 4.0])

    def one(top, a):
        return jg.argmin(lambda x: jnp.sum((x - a) ** 2), [(-1.0, top), (0.0, 10.0)])

    best = jax.vmap(one)(tops, targets)
    expected = jnp.stack([jnp.minimum(targets, tops), targets], axis=1)
    np.testing.assert_allclose(best.x, expected, atol=precision()[1])
    slopes = jax.vmap(jax.grad(lambda top, a: one(top, a).x[0], argnums=(0, 1)))(tops, targets)
    np.testing.assert_allclose(slopes, [[1, 1, 0], [0, 0, 1]], atol=precision()[1])
    only_bounds = jax.vmap(one, in_axes=(0, None))(tops, 2.0)
    np.testing.assert_allclose(only_bounds.x[:, 1], 2.0, atol=precision()[1])


def test_auxiliary_output_and_counts():
    fun = lambda x, a: (jnp.sum((x - a) ** 2), {"twice": 2 * x})  # noqa: E731
    best = jg.argmin(fun, BOX, 1.5, has_aux=True)
    np.testing.assert_allclose(best.aux["twice"], [3, 3], atol=precision()[1])
    assert best.nstarts == 21 and best.nfev > 21
    assert jg.LocalStatus(int(best.status)) in (jg.LocalStatus.CONVERGED, jg.LocalStatus.CONVERGED_TO_PRECISION)
    slope = jax.grad(lambda a: jg.argmin(fun, BOX, a, has_aux=True).aux["twice"][0])(1.5)
    np.testing.assert_allclose(slope, 2, rtol=1e-4)


def test_own_starts_are_searched_too():
    fun = lambda x: jnp.sum(-jnp.exp(-((x - 0.83) ** 2) / 1e-7))  # noqa: E731
    assert jg.argmin(fun, [(-1, 1)]).fun > -0.5
    best = jax.jit(lambda x0: jg.argmin(fun, [(-1, 1)], x0=x0))(jnp.array([[0.2], [0.8301]]))
    assert best.fun < -0.99 and best.nstarts == 9


def test_what_is_not_differentiable_is_flagged():
    tied = jg.argmin(lambda x: (x[0] ** 2 - 1) ** 2, [(-3, 3.5)])
    assert tied.tied and not tied.touching
    touching = jg.argmin(lambda x, a: jnp.sum((x - a) ** 2), [(-1.0, 0.5)], 0.5)
    assert touching.touching and not touching.tied
    assert not jg.argmin(lambda x, a: jnp.sum((x - a) ** 2), [(-1.0, 0.5)], 0.6).touching


def test_what_has_no_minimum_is_nan_and_poisons_nothing():
    fun = lambda x, a: jnp.sum(jnp.log(a) + x**2)  # noqa: E731
    best = jax.vmap(lambda a: jg.argmin(fun, BOX, a))(jnp.array([-1.0, 1.0]))
    assert jnp.isnan(best.fun[0]) and abs(best.fun[1]) < 1e-6
    assert best.status[0] == jg.LocalStatus.NONFINITE_VALUE
    upside_down = jax.jit(lambda low: jg.argmin(lambda x: jnp.sum(x**2), [(low, 0.0)]))(1.0)
    assert jnp.isnan(upside_down.fun)


def test_a_function_that_can_be_differentiated_only_once():
    @jax.custom_vjp
    def square(x):
        return jnp.sum((x - 0.3) ** 2)

    def forward(x):
        return square(x), x

    def backward(x, bar):
        return (bar * jax.pure_callback(lambda x: np.asarray(2 * (x - 0.3), x.dtype), x, x, vmap_method="expand_dims"),)

    square.defvjp(forward, backward)
    best = jg.argmin(square, BOX)
    np.testing.assert_allclose(best.x, 0.3, atol=precision()[1])
    np.testing.assert_allclose(jg.minimize(square, BOX, progress=False).x, 0.3, atol=precision()[1])


@pytest.mark.long
def test_one_trace_a_call_and_one_compilation():
    traces = []

    def fun(x, a):
        traces.append(1)
        return jnp.sum((x - a) ** 2)

    jg.argmin(fun, BOX, 0.5)
    known = list(programs._kept)
    jg.argmin(fun, [(-2, 2)] * 2, 0.7)
    jg.argmin(fun, BOX, 0.5, levels=2)
    assert len(traces) == 3 and list(programs._kept) == known  # each call looks at the function
    family = jax.jit(jax.vmap(lambda a: jg.argmin(fun, BOX, a).x))
    family(jnp.arange(3.0))
    first = len(traces)
    family(jnp.arange(3.0) + 1)
    assert len(traces) == first


@pytest.mark.slow
@float64_only
def test_bilevel_regularisation_by_gradient_descent():
    """The strength of a ridge is fitted to held-out data through the global minimiser of a non-convex model."""
    t = np.linspace(0, 3, 24)
    y = np.sin(2.2 * t) + 0.8 * np.random.default_rng(0).standard_normal(24)
    train, held_out = np.arange(24) % 2 == 0, np.arange(24) % 2 == 1

    def misfit(w, rows):
        return jnp.mean((w[0] * jnp.sin(w[1] * t[rows]) + w[2] - y[rows]) ** 2)

    def outer(log_strength):
        penalised = lambda w: misfit(w, train) + jnp.exp(log_strength) * jnp.sum(w**2)  # noqa: E731
        return misfit(jg.argmin(penalised, [(-3, 3), (0.2, 5), (-2, 2)]).x, held_out)

    scan = np.linspace(-8, 0, 401)
    values = jax.jit(jax.vmap(outer))(scan)
    best = scan[np.argmin(values)]
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, 150))
    step = jax.jit(jax.value_and_grad(outer))
    log_strength, state = jnp.asarray(-5.0), optimizer.init(jnp.asarray(-5.0))
    for _ in range(150):
        _, slope = step(log_strength)
        updates, state = optimizer.update(slope, state)
        log_strength = optax.apply_updates(log_strength, updates)
    assert abs(log_strength - best) < 0.03, (log_strength, best)
    assert outer(log_strength) <= np.min(values) + 1e-6


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (dict(levels=0), ValueError, "`levels` must be at least 1; got 0."),
        (dict(levels=2.5), TypeError, "`levels` must be a whole number; got 2.5."),
        (dict(levels=12), ValueError, "`levels` must have at most 131,072 starts"),
        (dict(levels=10**9), ValueError, "of which the first 10 have 349,525: give levels=9"),
        (dict(lanes=10**9), ValueError, "`lanes` must be at most "),
        (dict(lanes=0), ValueError, '`lanes` must be "auto" or a whole number of at least 1; got 0.'),
        (dict(bounds=[(1, 0)]), ValueError, "`upper` must be greater than or equal to `lower`"),
        (dict(bounds=jnp.ones((2, 3))), ValueError, "`bounds` must be pairs (low, high)"),
        (dict(fun=lambda x: x), TypeError, "`fun` must return a scalar"),
        (dict(local="newton"), TypeError, '`local` must be "auto", a jaxglobal.BFGS'),
        (dict(fun=jg.host(float)), TypeError, "`fun` must be a JAX function here; got a host function"),
        (dict(x0=np.zeros((0, 2))), ValueError, "`x0` must have shapes [(2,)], or these with a leading axis"),
        (dict(x0=[5.0, 0.0]), ValueError, "`x0` must lie inside the bounds"),
    ],
    ids=lambda v: str(v)[:30] if isinstance(v, dict) else "",
)
def test_wrong_arguments(wrong, error, message):
    arguments = {"fun": lambda x: jnp.sum(x**2), "bounds": [(-1, 1)] * 2} | wrong
    with pytest.raises(error, match=re.escape(message)):
        jg.argmin(**arguments)


def test_wrong_traced_bounds():
    with pytest.raises(ValueError, match=r"`bounds` must be pairs \(low, high\); got a traced array of shape \(2,\)"):
        jax.jit(lambda b: jg.argmin(lambda x: jnp.sum(x**2), b).x)(jnp.ones(2))


def rotated_rastrigin(x, centre, turned):
    z = turned @ (x - centre)
    return jnp.sum(z**2 + 10 * (1 - jnp.cos(2 * jnp.pi * z)))


@pytest.mark.long
def test_later_starts_hop_from_what_was_found(x64):
    """A hundred thousand minima, and 1,057 starts: the cover alone meets the lowest of hardly any, hops of most."""
    rng, n = np.random.default_rng(0), 5
    centres = rng.uniform(-2, 2, (8, n))
    turned = np.stack([np.linalg.qr(rng.standard_normal((n, n)))[0] for _ in range(8)])
    box = [(-5.12, 5.12)] * n
    lowest = lambda starts, lanes: jax.jit(  # noqa: E731
        jax.vmap(lambda c, q: jg.argmin(rotated_rastrigin, box, (c, q), starts=starts, lanes=lanes))
    )(centres, turned)
    hopped, plain = lowest("auto", 64), lowest(jg.Grid(), 64)
    assert np.sum(plain.fun < 1e-3) <= 1
    assert np.sum(hopped.fun < 1e-3) >= 4  # 5 to 8 by the rounding of the program
    assert np.all(hopped.nstarts == plain.nstarts) and np.mean(hopped.nfev) < 1.2 * np.mean(plain.nfev)
    found = hopped.fun < 1e-3
    np.testing.assert_allclose(hopped.x[found], centres[found], atol=1e-6 if x64 else 1e-3)
    slope = jax.jacfwd(lambda c: jg.argmin(rotated_rastrigin, box, (c, turned[np.argmax(found)])).x)
    np.testing.assert_allclose(slope(centres[np.argmax(found)]), np.eye(n), atol=1e-5 if x64 else 1e-2)


@pytest.mark.long
def test_the_pool_keeps_the_best_of_each_value():
    plan = hopping.plan(128, 0)
    rng = np.random.default_rng(0)
    f = rng.choice([1.0, 2.0, 3.0, np.nan, 0.5], (3, plan.round))
    x = np.arange(3 * plan.round * 2).reshape(3, plan.round, 2) / 1000
    pool = hopping.empty(plan, 3, 2, jnp.zeros(0).dtype)
    problem, start = np.divmod(rng.permutation(3 * plan.round), plan.round)
    pool = hopping.note(pool, x[problem, start], f[problem, start], problem, start)
    pool = hopping.renew(pool, 1e-8)
    for p in range(3):
        values, first = np.unique(f[p], return_index=True)
        values, first = values[np.isfinite(values)], first[np.isfinite(values)]
        np.testing.assert_array_equal(pool.f[p, : len(values)], values)
        np.testing.assert_array_equal(pool.x[p, : len(values)], x[p, first].astype(pool.x.dtype))
        assert np.all(np.isinf(pool.f[p, len(values) :]))
    draws = hopping.draw(plan, 2)
    to, step = hopping.hop(pool, draws, np.repeat(np.arange(3), 50), np.arange(150))
    assert np.all((to >= 0) & (to <= 1)) and np.all((step > 0) & (step < 1))


@pytest.mark.parametrize("total", [64, 73, 273, 1057, 131_072])
def test_every_start_is_of_the_cover_or_hops(total):
    plan = hopping.plan(total, 0)
    assert (total - plan.first) % plan.round == 0 and len(plan.cover) == total
    stays = plan.cover >= 0
    assert np.all(stays[: plan.first]) and np.array_equal(plan.cover[stays], np.arange(np.sum(stays)))
    assert 0.3 * total > np.sum(stays[plan.first :]) > 0.1 * total
