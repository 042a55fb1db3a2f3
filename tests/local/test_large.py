"""L-BFGS and first-order local searches: methods x problems, bounds, lanes, many variables, whoever evaluates."""

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from checks import check_counts, check_inside, check_minimum, precision

import jaxglobal as jg
from jaxglobal.local import methods, quasi_newton
from jaxglobal.local.lbfgs import Pairs
from jaxglobal.problem.region import Region
from jaxglobal.status import LocalStatus

ADAM = optax.adam(optax.cosine_decay_schedule(0.05, 300))
MOMENTUM = optax.chain(optax.scale_by_adam(), optax.scale_by_schedule(optax.cosine_decay_schedule(-0.05, 300)))
METHODS = {
    "BFGS": jg.BFGS(),
    "L-BFGS": jg.LBFGS(),
    "L-BFGS of 3 pairs": jg.LBFGS(memory=3),
    "adam": jg.Optax(ADAM, steps=300),
    "chain": jg.Optax(MOMENTUM, steps=300),
}


def bowl(x):
    """Its minimum is 1, at 0.4; scales from 1 to 10."""
    return 1 + jnp.sum(jnp.linspace(1, 10, x.size) * (x - 0.4) ** 2)


def slanted(x):
    """On [-1, 1]^n its minimum is on the faces of the first half of the variables."""
    half = x.size // 2
    return jnp.sum((x[:half] - 2) ** 2) + jnp.sum((x[half:] - 0.3) ** 2) + 0.1 * jnp.sum(x[:half] * x[half:])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 12])
def test_methods_on_a_bowl(method, n):
    result = jg.minimize(bowl, [(-1, 2)] * n, max_starts=3, local=METHODS[method], progress=False)
    check_minimum(result, 1.0, np.full(n, 0.4), atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_methods_at_the_bounds(method):
    result = jg.minimize(slanted, [(-1, 1)] * 6, max_starts=3, local=METHODS[method], progress=False)
    assert np.all(result.x[:3] == 1)
    np.testing.assert_allclose(result.x[3:], 0.25, atol=5e-3)
    assert result.x.dtype == jax.dtypes.canonicalize_dtype(float)
    check_counts(result)


@pytest.mark.parametrize("method", ["L-BFGS", "adam"])
def test_every_trial_is_inside_and_bad_values_are_no_steps(method):
    """One start by hand: NaN beyond 0.5 in a box that reaches farther, and a fixed variable."""
    local = METHODS[method]
    lower, upper = jnp.array([-1.0, -1.0, 0.25]), jnp.array([1.0, 1.0, 0.25])
    region = Region(lower, upper, upper - lower)
    rules = local.rules(lower.dtype, None)._replace(first_step=jnp.asarray(local.step(), lower.dtype))

    def fun(x):
        return jnp.where(x[0] > 0.5, jnp.nan, jnp.sum((x - jnp.array([0.45, 3.0, 1.0])) ** 2))

    value_and_grad, advance = jax.jit(jax.value_and_grad(fun)), jax.jit(local.program.advance)
    lane, trials = local.program.begin(jnp.array([-0.9, -0.9, 0.25])), []
    while lane.status[0] == LocalStatus.RUNNING:
        trials.append(np.asarray(lane.trial))
        f, g = value_and_grad(lane.trial)
        lane = advance(lane, f[None], g, region, rules)
    check_inside(np.array(trials), np.asarray(lower), np.asarray(upper))
    assert len(trials) == lane.nfev[0] and np.all(np.array(trials)[:, 2] == 0.25)
    np.testing.assert_allclose(lane.best_x, [0.45, 1.0, 0.25], atol=2e-2)
    bad = advance(local.program.begin(jnp.array([0.9, 0.0, 0.25])), jnp.array([jnp.nan]), jnp.zeros(3), region, rules)
    assert bad.status[0] == LocalStatus.NONFINITE_VALUE and np.isinf(bad.best_f[0])


def test_the_direction_is_that_of_the_matrix():
    """The two loops give -H q with H built up by [NW] 6.17 from the same pairs; the oldest is forgotten."""
    rng, n, m = np.random.default_rng(0), 7, 3
    pairs = Pairs(m)
    memory, kept = pairs.begin(jnp.zeros(n)), []
    for k in range(5):
        s = rng.standard_normal(n)
        y = s * np.arange(1, n + 1) + 0.1 * rng.standard_normal(n)
        update = k != 2  # a pair without positive curvature is none
        rho, gamma = (np.array([1 / (s @ y)]), np.array([s @ y / (y @ y)])) if update else (np.zeros(1), np.ones(1))
        q = rng.standard_normal(n)
        numbers = (jnp.asarray(v, float) for v in (s, y))
        pair = quasi_newton.Pair(*numbers, np.array([update]), np.array([k == 0]), jnp.asarray(rho), jnp.asarray(gamma))
        memory, p = pairs.turn(memory, pair, jnp.asarray(q), lambda p: p, lambda compute: compute())
        kept = [*kept, (s, y)][-m:] if update else kept
        H = np.eye(n) * (kept[-1][0] @ kept[-1][1]) / (kept[-1][1] @ kept[-1][1])
        for s, y in kept:
            V = np.eye(n) - np.outer(y, s) / (s @ y)
            H = V.T @ H @ V + np.outer(s, s) / (s @ y)
        np.testing.assert_allclose(p, -H @ q, rtol=1e-3, atol=precision()[1])


def test_lanes_find_what_single_starts_find(x64):
    starts = np.random.default_rng(1).uniform(-2, 2.5, (6, 4))
    for local in (jg.LBFGS(), jg.Optax(ADAM, steps=300)):
        options = {"local": local, "progress": False, "max_levels": 1}
        together = jg.minimize(bowl, [(-2, 2.5)] * 4, x0=starts, max_starts=6, lanes=16, **options)
        alone = [jg.minimize(bowl, [(-2, 2.5)] * 4, x0=x, max_starts=1, lanes=1, **options) for x in starts]
        assert together.levels[0].nfev == pytest.approx(sum(r.levels[0].nfev for r in alone), rel=0.1)
        assert together.fun == pytest.approx(min(r.fun for r in alone), rel=1e-6)


def test_the_default_goes_by_the_number_of_variables():
    assert methods.read("auto", methods.MATRIX) == jg.BFGS() and methods.read("auto", methods.MATRIX + 1) == jg.LBFGS()
    assert jg.LBFGS().numbers(100_000) < 1e-3 * jg.BFGS().numbers(100_000)


def test_a_thousand_variables_at_their_bounds():
    result = jg.minimize(slanted, [(-1, 1)] * 1000, max_starts=2, progress=False)
    assert np.all(result.x[:500] == 1)
    np.testing.assert_allclose(result.x[500:], 0.25, atol=20 * precision()[1])


@pytest.mark.slow
def test_whoever_evaluates():
    """The same searches where a person tells the values, for many problems, and as a pure function."""
    for local in (jg.LBFGS(), jg.Optax(ADAM, steps=300)):
        search = jg.Search([(-1, 2)] * 3, local=local, max_levels=1, lanes=2)
        while (x := search.ask()) is not None:
            search.tell(float(bowl(jnp.asarray(x))), np.asarray(jax.grad(bowl)(jnp.asarray(x))))
        np.testing.assert_allclose(search.result().x, 0.4, atol=1e-2)

    def shifted(x, a):
        return jnp.sum((x - a) ** 2)

    a = np.array([0.1, 0.7, 1.3])
    results = jg.minimize_many(shifted, [(-1, 1)] * 2, a, local=jg.LBFGS(), progress=False)
    np.testing.assert_allclose(results.x[:, 0], np.minimum(a, 1), atol=20 * precision()[1])
    best = jax.jit(lambda a: jg.argmin(shifted, [(-1, 1)] * 2, a, levels=1, local=jg.LBFGS()).x[0])
    np.testing.assert_allclose(jax.grad(best)(0.5), 1, atol=1e-3)


def test_options():
    for make, error, message in (
        (lambda: jg.LBFGS(memory=0), ValueError, "`memory` must be at least 1; got 0."),
        (lambda: jg.LBFGS(memory=2.5), TypeError, "`memory` must be a whole number; got 2.5."),
        (lambda: jg.Optax("adam"), TypeError, "`transformation` must be an optax.GradientTransformation; got str."),
        (lambda: jg.Optax(ADAM, steps=0), ValueError, "`steps` must be at least 1; got 0."),
        (lambda: jg.Optax(ADAM, gtol=-1.0), ValueError, "`gtol` must be a finite number of at least 0; got -1.0."),
        (lambda: jg.Optax(optax.lbfgs()), TypeError, "`transformation` must have an update(gradient, state, x)"),
    ):
        with pytest.raises(error, match=re.escape(message)) as caught:
            make()
        assert "\n" not in str(caught.value)


def test_steps_are_counted_and_a_status_says_so():
    options = dict(local=jg.Optax(optax.sgd(1e-6), steps=7), starts=jg.Grid(), max_levels=2, progress=False)
    result = jg.minimize(bowl, [(-1, 2)] * 2, **options)
    assert result.levels[1].statuses == {LocalStatus.EVALUATION_LIMIT: 4} and result.levels[1].nfev == 28


def test_a_checkpoint_tells_transformations_apart(tmp_path):
    path, options = tmp_path / "search.npz", {"max_levels": 1, "progress": False}
    jg.minimize(bowl, [(-1, 2)], checkpoint=path, local=jg.Optax(optax.sgd(0.01), steps=5), **options)
    jg.minimize(bowl, [(-1, 2)], checkpoint=path, local=jg.Optax(optax.sgd(0.01), steps=5), **options)
    with pytest.raises(ValueError, match="options"):
        jg.minimize(bowl, [(-1, 2)], checkpoint=path, local=jg.Optax(optax.sgd(0.02), steps=5), **options)


@pytest.mark.slow
def test_a_hundred_thousand_variables_in_bounded_memory():
    code = """
import pathlib, resource, sys
import jax.numpy as jnp
import jaxglobal as jg
def fun(x):
    return jnp.sum(jnp.cosh(x[1:] - 0.9 * x[:-1]) - 1) + jnp.sum((x - 0.2) ** 2)
result = jg.minimize(fun, [(-1, 1.5)] * 100_000, max_starts=3, max_levels=2, progress=False)
assert result.nstarts == 3 and len(result.minima) == 1, result
if sys.platform == "linux":  # where ru_maxrss is at least that of the parent
    print(int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 2**20)
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert out.returncode == 0, out.stderr
    assert float(out.stdout) < 1.5
