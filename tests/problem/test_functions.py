"""A function is what it is at the call: every kind of change is seen, and new numbers in arrays compile nothing."""

import functools
import gc
import types
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.problem import closed

BOX = [(-1.0, 1.0)] * 2
T = np.linspace(1, 2, 5)
module = types.ModuleType("a_module_of_the_user")
scale = 1.0  # a global


class Model:
    """What a user's class may look like."""

    power = 1.0

    def __init__(self, at):
        self.at, self.inner = at, types.SimpleNamespace(at=at)

    def loss(self, x):
        return jnp.sum((x - self.at) ** 2)

    def nested(self, x):
        return jnp.sum((x - self.inner.at) ** 2)

    def __call__(self, x):
        return jnp.sum((x - self.at) ** 2)


@jax.tree_util.register_pytree_node_class
class Module:
    """A pytree whose leaves are its parameters."""

    def __init__(self, at):
        self.at = at

    def __call__(self, x):
        return jnp.sum((x - self.at) ** 2)

    def tree_flatten(self):
        return (self.at,), None

    @classmethod
    def tree_unflatten(cls, _, leaves):
        return cls(*leaves)


def of_global(x):
    return jnp.sum((x - scale) ** 2)


def of_module(x):
    return jnp.sum((x - module.at) ** 2)


def a_global():
    def change(at):
        globals()["scale"] = at

    return of_global, change


def an_attribute_of_a_module():
    return of_module, lambda at: setattr(module, "at", at)


def an_array_in_place():
    at = np.zeros(2)
    return lambda x: jnp.sum((x - at) ** 2), lambda new: at.__setitem__(slice(None), new)


def a_list():
    at = [0.0]
    return lambda x: jnp.sum((x - at[0]) ** 2), lambda new: at.__setitem__(0, new)


def a_dict():
    at = {"at": 0.0}
    return lambda x: jnp.sum((x - at["at"]) ** 2), lambda new: at.update(at=new)


def a_cell():
    at = 0.0

    def change(new):
        nonlocal at
        at = new

    return lambda x: jnp.sum((x - at) ** 2), change


def an_attribute():
    model = Model(0.0)
    return model.loss, lambda new: setattr(model, "at", new)


def a_nested_attribute():
    model = Model(0.0)
    return model.nested, lambda new: setattr(model.inner, "at", new)


def a_callable_object():
    model = Model(0.0)
    return model, lambda new: setattr(model, "at", new)


def a_default():
    def fun(x, at=0.0):
        return jnp.sum((x - at) ** 2)

    return fun, lambda new: setattr(fun, "__defaults__", (new,))


def a_keyword_default():
    def fun(x, *, at=0.0):
        return jnp.sum((x - at) ** 2)

    return fun, lambda new: setattr(fun, "__kwdefaults__", {"at": new})


def a_partial():
    at = np.zeros(2)
    fun = functools.partial(lambda at, x: jnp.sum((x - at) ** 2), at)
    return fun, lambda new: at.__setitem__(slice(None), new)


def a_method_bound_anew():
    model = Model(0.0)

    def change(new):
        model.at = new

    return lambda x: model.loss(x), change


def a_nested_function():
    at = {"at": 0.0}

    def inner(x):
        return x - at["at"]

    return lambda x: jnp.sum(inner(x) ** 2), lambda new: at.update(at=new)


def a_pytree_module():
    model = Module(jnp.zeros(2))
    return model, lambda new: setattr(model, "at", jnp.full(2, new))


def a_jax_array():
    at = {"at": jnp.zeros(())}
    return lambda x: jnp.sum((x - at["at"]) ** 2), lambda new: at.update(at=jnp.array(new))


def an_array_in_a_new_jit():
    at = {"at": np.zeros(2)}

    def fun(x):
        here = np.array(at["at"])
        return jax.jit(lambda x: jnp.sum((x - here) ** 2))(x)

    return fun, lambda new: at.update(at=np.full(2, new))


def a_custom_rule():
    at = {"at": 0.0}

    def fun(x):
        here = at["at"]
        square = lambda x: jnp.sum((x - here) ** 2)  # noqa: E731
        rule = jax.custom_vjp(square)
        rule.defvjp(lambda x: (square(x), x), lambda x, g: (2 * g * (x - here),))
        return rule(x)

    return fun, lambda new: at.update(at=new)


KINDS = [
    a_global, an_attribute_of_a_module, an_array_in_place, a_list, a_dict, a_cell, an_attribute, a_nested_attribute,
    a_callable_object, a_default, a_keyword_default, a_partial, a_method_bound_anew, a_nested_function,
    a_pytree_module, a_jax_array, an_array_in_a_new_jit, a_custom_rule,
]  # fmt: skip


def by_minimize(fun):
    return jg.minimize(fun, BOX, max_levels=2, progress=False).x


def by_argmin(fun):
    return jg.argmin(fun, BOX, levels=1).x


def by_many(fun):
    def of_problem(x, a):
        return fun(x) + 0 * a

    return jg.minimize_many(of_problem, BOX, np.zeros(3), max_levels=2, progress=False).x[1]


def by_derivative(fun):
    """The slope of the minimum in a slope that is added is the sum of the minimiser, and so is argmin's own."""

    def moved(x, a):
        return fun(x) + a * jnp.sum(x)

    result = jg.minimize(moved, BOX, 0.0, max_levels=2, progress=False)
    slope = jg.derivative(result, moved, BOX, 0.0).fun[0] / 2
    assert np.isclose(jax.grad(lambda a: jg.argmin(moved, BOX, a, levels=1).fun)(0.0) / 2, slope, atol=1e-3)
    return slope


def by_profile(fun):
    def likelihood(x):
        return 50 * fun(x)

    result = jg.minimize(likelihood, BOX, max_levels=2, progress=False)
    ((low, high),) = jg.profile(result, likelihood, BOX, parameters=[0], progress=False)[0].intervals
    return (low + high) / 2


def by_certify(fun):
    (found,) = jg.certify(fun, BOX, result=np.full(2, -0.5), max_boxes=2_000, progress=False).minimizers
    assert np.all(found.lower <= found.upper) and np.all(found.upper - found.lower < 1e-2)
    return (found.lower + found.upper) / 2


def seen(kind, solve):
    fun, change = kind()
    for at in (0.25, -0.5):
        change(at)
        assert np.allclose(solve(fun), at, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_seen(kind):
    seen(kind, by_minimize)


@pytest.mark.slow
@pytest.mark.parametrize("solve", [by_argmin, by_many, by_derivative, by_profile, by_certify])
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_seen_wherever(kind, solve):
    seen(kind, solve)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_change_of_a_fit_is_seen(kind):
    fun, change = kind()

    def model(t, a):
        return a * t + fun(jnp.zeros(2)) * t**2  # 2 at^2

    for at in (0.25, -0.5):
        change(at)
        y = 3 * T + 2 * at**2 * T**2
        assert np.allclose(jg.curve_fit(model, T, y, [(0, 9)], progress=False).popt, 3, atol=1e-3)
        many = jg.curve_fit_many(model, T, np.stack([y, y + T]), [(0, 9)], progress=False)
        assert np.allclose(many.popt[:, 0], [3, 4], atol=1e-3)


def test_args_in_place_and_aux_and_hosts():
    at = np.zeros(2)

    def fun(x, a):
        return jnp.sum((x - a) ** 2), a + at[0]

    found = []
    for new in (0.25, -0.5):
        at[:] = new
        result = jg.minimize(fun, BOX, at, has_aux=True, max_levels=2, progress=False)
        found.append(result)
        assert np.allclose(result.x, new, atol=1e-3) and np.allclose(result.aux, 2 * new)
        host = jg.host(lambda x: float(np.sum((x - at) ** 2)))
        assert np.allclose(jg.minimize(host, BOX, max_levels=2, progress=False).x, new, atol=1e-3)
    assert np.allclose(found[0].aux, 0.5)  # what it was then


def test_nothing_keeps_what_a_function_closed_over():
    data = Model(0.1)
    alive, structure = weakref.ref(data), closed.Structure(jax.tree.structure(0), ((2,),), np.dtype(np.float32))
    closed.close(data.nested, structure, (), False)
    del data
    gc.collect()
    assert alive() is None
