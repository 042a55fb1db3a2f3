"""What is compiled anew and what is not: arrays, rules, precisions, and programs that are dropped."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

import jaxglobal as jg
from jaxglobal.engine import compiling, precise
from jaxglobal.problem import canonical, objective, programs

BOX = [(-1.0, 1.0)] * 2
T = np.linspace(1, 2, 5)


def a_loss(at):
    return lambda x: jnp.sum(jnp.cosh(x - at))


@pytest.mark.long
def test_new_numbers_compile_nothing():
    """The programs of a function with an array are those of one with another."""

    def solve(at):
        jg.minimize(a_loss(at), BOX, max_levels=2, progress=False)
        jg.argmin(a_loss(at), BOX, levels=1)
        jg.minimize_many(lambda x, a: a_loss(at)(x) + a, BOX, np.zeros(3), max_levels=2, progress=False)
        jg.curve_fit(lambda t, a, k: a * jnp.exp(-k * t) + jnp.sum(at), T, np.exp(-T) + 1, BOX, progress=False)
        return set(programs._kept)

    first = solve(np.array([0.1, 0.2]))
    held = {key: set(programs._kept[key]) for key in first}
    again = solve(np.array([-0.3, 0.4]))
    assert again == first
    for key, kept in held.items():
        new = set(programs._kept[key]) - kept
        assert all(name[0] == "linear" for name in new)  # in which parameters the model is linear: no program


def test_other_arrays_abscissae_and_bounds_of_a_fit_compile_nothing(monkeypatch):
    compiled = []

    def counted(lowered, soon=False, plain=False):
        compiled.append(lowered)
        return compile(lowered, soon, plain)

    compile = compiling.compiled
    monkeypatch.setattr(compiling, "compiled", counted)

    def fit(at, t, most):
        def model(t, a, k):
            return a * jnp.exp(-k * t) + jnp.sum(at)

        box = [(0, most)] * 2
        found = jg.curve_fit(model, t, 2 * np.exp(-t) + np.sum(at), box, progress=False)
        assert found.popt == pytest.approx([2, 1], rel=1e-3) and found.linear == (0,)
        return len(compiled)

    t = np.linspace(0, 3, 43)  # no other test has so many
    first = fit(np.array([0.1, 0.2]), t, 5.0)
    assert first and fit(np.array([0.3, -0.4]), t, 5.0) == fit(np.array([0.3, -0.4]), 2 * t, 9.0) == first


def test_other_numbers_in_the_program_itself_are_another_function():
    def key(fun):
        return canonical.key(jax.make_jaxpr(lambda x: fun(x))(jnp.ones(2)))

    assert key(lambda x: 2.0 * x.sum()) == key(lambda y: 2.0 * y.sum())
    assert key(lambda x: 2.0 * x.sum()) != key(lambda x: 3.0 * x.sum())
    assert key(lambda x: jnp.sum(x)) != key(lambda x: jnp.max(x))
    assert key(lambda x: (x * np.arange(2.0)).sum()) == key(lambda x: (x * np.ones(2)).sum())
    assert key(lambda x: (x * np.arange(2.0)).sum()) != key(lambda x: (x * np.float32(2.0)).sum())
    assert key(lambda x: x[0]) != key(lambda x: x[1])
    assert key(lambda x: jax.nn.relu(x).sum()) == key(lambda x: jax.nn.relu(x).sum())


def a_jit(at):
    return jax.jit(lambda x: x - at)


def a_jit_in_a_jit(at):
    return jax.jit(lambda x: jax.jit(lambda y: y * at)(x))


@pytest.mark.parametrize("make", [a_jit, a_jit_in_a_jit])
def test_arrays_inside_a_jit_are_taken_out(make):
    def traced(fun):
        return jax.make_jaxpr(lambda x: fun(x) + fun(2 * x))(jnp.ones(2))

    a, b = make(np.array([1.0, 2.0])), make(np.array([3.0, 5.0]))
    assert canonical.key(traced(a)) == canonical.key(traced(b))
    (array,) = canonical.constants(traced(b))
    assert np.array_equal(np.asarray(array), [3, 5])
    (out,) = jaxpr_as_fun(ClosedJaxpr(canonical.lifted(traced(a)), []))(array, jnp.ones(2))
    assert np.allclose(out, b(jnp.ones(2)) + b(2 * jnp.ones(2)))


def test_a_function_of_jit_is_traced_once():
    traces = []

    @jax.jit
    def fun(x):
        traces.append(1)
        return jnp.sum((x - 0.1) ** 2)

    for _ in range(3):
        jg.minimize(fun, BOX, max_levels=2, progress=False)
    assert len(traces) <= 2  # in float32, and in float64 for the last digits


def a_reverse_rule(t, k):
    rule = jax.custom_vjp(lambda k: jnp.exp(-k * t))
    rule.defvjp(lambda k: (rule(k), k), lambda k, bar: (-jnp.sum(bar * t * jnp.exp(-k * t)),))
    return rule(k)


def a_forward_rule(t, k):
    rule = jax.custom_jvp(lambda k: jnp.exp(-k * t))
    rule.defjvp(lambda at, moved: (rule(*at), -moved[0] * t * jnp.exp(-at[0] * t)))
    return rule(k)


@pytest.mark.parametrize("model", [a_reverse_rule, a_forward_rule])
def test_a_rule_that_closes_over_an_argument_is_named(model):
    with pytest.raises(TypeError, match="must close over none of its arguments"):
        jg.curve_fit(model, T, np.exp(-T), [(0, 3)], progress=False)
    with pytest.raises(TypeError, match="must close over none of its arguments"):
        jg.minimize(lambda x, t: jnp.sum(model(t, x[0])) + x @ x, BOX, T, progress=False)
    assert np.allclose(jg.curve_fit(lambda _, k: model(T, k), T, np.exp(-T), [(0, 3)], progress=False).popt, 1)


def test_masks_and_keys_of_an_outer_trace_beside_a_rule():
    def best(mask, key):
        noise = jax.random.uniform(key)
        return jg.argmin(
            lambda x: jnp.sum(jax.nn.relu(x - noise)) + jnp.sum(jnp.where(mask, x, 1.0) ** 2), BOX, levels=1
        ).x

    assert np.all(np.isfinite(jax.jit(best)(np.array([True, False]), jax.random.key(0))))


def test_what_is_shared_stays_shared():
    """JAX compiles a jit that is called many times once, as long as its jaxpr is one object."""
    small = jax.jit(lambda x: jnp.sin(x) + 1)
    traced = jax.make_jaxpr(lambda x: small(small(small(x))).sum())(jnp.ones(2))
    inner = {id(jaxpr) for eqn in canonical.lifted(traced).eqns for jaxpr in canonical.within(eqn)}
    assert len([eqn for eqn in traced.jaxpr.eqns if canonical.within(eqn)]) == 3 and len(inner) == 1


def test_an_array_that_was_deleted_is_named():
    at = jnp.array([0.1, 0.2])
    fun = lambda x: jnp.sum((x - at) ** 2)  # noqa: E731
    at.delete()
    with pytest.raises((ValueError, RuntimeError), match="deleted"):
        jg.minimize(fun, BOX, progress=False)


def test_an_array_that_is_deleted_in_the_middle_of_a_search_is_named():
    def solve(fun, args, at):
        with pytest.raises(ValueError, match="must be kept until the search ends; one was donated or deleted"):
            jg.minimize(fun, BOX, args, callback=lambda _: at.is_deleted() or at.delete(), progress=False)

    for args in ((), (jnp.array([0.1, 0.2]),)):
        at = args[0] if args else jnp.array([0.1, 0.2])
        solve((lambda x, a: jnp.sum((x - a) ** 2)) if args else (lambda x, at=at: jnp.sum((x - at) ** 2)), args, at)


def by_a_rule(x, at):
    rule = jax.custom_vjp(lambda x: jnp.sum((x - at) ** 2))
    rule.defvjp(lambda x: (jnp.sum((x - at) ** 2), x), lambda x, g: (2 * g * (x - at),))
    return rule(x)


@pytest.mark.parametrize("loss", [lambda x, at: jnp.sum((x - at) ** 2), by_a_rule])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_numpy_arrays_are_read_anew_in_float32(loss, shape):
    """JAX rounds them once, and gives the same to every trace for as long as one of these is kept."""
    at, kept = np.zeros(shape), []
    with jax.enable_x64(False):
        for new in (0.25, -0.5):
            at[...] = new
            kept.append(jg.minimize(lambda x: loss(x, at), BOX, progress=False))
            assert np.allclose(kept[-1].x, new, atol=1e-3)


@pytest.mark.parametrize("at", [np.array(0.1), np.array([0.1, 0.2]), 0.1])
def test_the_float64_form_reads_arrays_in_float64(at):
    fun = lambda x: jnp.sum((x - at) ** 2)  # noqa: E731
    with jax.enable_x64(False):
        problem, _ = objective.check(fun, BOX, (), None, False, False)
        form = precise.traced(fun, (), problem)
        values, _ = form.evaluator(8, lambda *_: None)(np.zeros((1, 2)))
    assert values[0] == np.sum(np.broadcast_to(at, 2) ** 2)


def test_an_array_in_another_precision_is_named():
    """As with an array in a `jax.jit` that was traced before."""
    at = np.array([0.1, 0.2])
    with jax.enable_x64(False):
        kept = jax.make_jaxpr(lambda x: x - at)(jnp.zeros(2))
    fun = lambda x: jnp.sum((x - at) ** 2)  # noqa: E731
    with jax.enable_x64(True), pytest.raises(TypeError, match="mixes float32 and float64"):
        jg.minimize(fun, BOX, progress=False)
    del kept
    with jax.enable_x64(True):
        assert np.allclose(jg.minimize(fun, BOX, progress=False).x, at)


def test_programs_not_used_lately_are_dropped():
    before = list(programs._kept)
    for i in range(programs.KEPT + 3):
        programs.of(("a test", i))
    assert len(programs._kept) == programs.KEPT and not set(before) & set(programs._kept)
    assert ("a test", 0) not in programs._kept and ("a test", programs.KEPT + 2) in programs._kept
    for i in range(programs.KEPT + 3):
        programs._kept.pop(("a test", i), None)
