"""What a traced function computes, as a key, and the arrays that it closes over, apart from it.

Two traces have the same key if they are the same program for arrays of the same shapes: so that a function is known by
what it does and not by which object it is, and new numbers in an array are no new program. Numbers that are written
into the program itself, Python's and NumPy's scalars, belong to the key.

JAX keeps the arrays of a trace beside it, but those of a `jax.jit` inside it in there; `lifted` takes these out too. It
holds nothing of the user's NumPy arrays: JAX makes its own of each but once, in the precision of that moment, and gives
the same to every trace for as long as one of them is kept.

A custom rule of differentiation is a Python function of which a trace says nothing: where there is one, the key has the
trace of the second derivatives as well, in which the rules have been applied.
"""

import contextlib
import hashlib
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

ONE_PRECISION = frozenset(  # of those that convert nothing, what an array is likely to meet first
    "abs add atan2 broadcast_in_dim cos div exp expm1 gather integer_pow log log1p logistic max min mul neg pow "
    "reduce_sum rem reshape rsqrt sin slice sqrt square squeeze sub tan tanh transpose".split()
)
CALLS = ("jit", "pjit")  # the primitive of a `jax.jit` inside a function
RULES = {  # what a custom rule is kept in, and no part of what its function computes
    "custom_jvp_call": ("jvp_jaxpr_fun",),
    "custom_vjp_call": ("fwd_jaxpr_thunk", "bwd", "out_trees"),
}


def constants(closed: ClosedJaxpr) -> list[Any]:
    """The arrays that the function closes over, those of each `jax.jit` inside it too, once each."""
    return list(_constants(closed, {}).values())


def lifted(closed: ClosedJaxpr) -> Jaxpr:
    """The jaxpr with all of `constants` as its first inputs, in their order."""
    jaxpr, found = _freed(closed.jaxpr, {}), _constants(closed, {})
    inner = len(found) > len(jaxpr.constvars)
    eqns = [_opened(eqn) for eqn in jaxpr.eqns] if inner else jaxpr.eqns
    return jaxpr.replace(constvars=[], invars=[*found, *jaxpr.invars], eqns=eqns)


def inside(eqn: Any, change: Callable[[Jaxpr], Jaxpr], done: dict[int, Any] | None = None) -> Any:
    """The equation, with the jaxprs in its parameters changed; itself if none is.

    done: what has become of those that were met before: JAX compiles a jaxpr that is shared once.
    """
    known: dict[int, Any] = {} if done is None else done

    def one(value: Any) -> Any:
        if not _is_jaxpr(value):
            return value
        if id(value) not in known:
            inner = value.jaxpr if isinstance(value, ClosedJaxpr) else value
            new = change(inner)
            closed = ClosedJaxpr(new, value.consts) if isinstance(value, ClosedJaxpr) else new
            known[id(value)] = value if new is inner else closed
        return known[id(value)]

    leaves = filter(_is_jaxpr, jax.tree.leaves([*eqn.params.values()], is_leaf=_is_jaxpr))
    if all([one(value) is value for value in leaves]):
        return eqn
    return eqn.replace(params={k: jax.tree.map(one, v, is_leaf=_is_jaxpr) for k, v in eqn.params.items()})


def within(eqn: Any) -> list[Jaxpr]:
    """The jaxprs in the parameters of an equation."""
    found = filter(_is_jaxpr, jax.tree.leaves([*eqn.params.values()], is_leaf=_is_jaxpr))
    return [value.jaxpr if isinstance(value, ClosedJaxpr) else value for value in found]


def mixed(jaxpr: Jaxpr) -> bool:
    """Whether two precisions meet in an equation: a trace with an array that JAX has made in another precision."""

    def meet(eqn: Any) -> bool:
        if inner := within(eqn):
            return any(map(mixed, inner))
        if eqn.primitive.name not in ONE_PRECISION:
            return False
        dtypes = {atom.aval.dtype for atom in [*eqn.invars, *eqn.outvars]}
        return np.dtype(np.float32) in dtypes and np.dtype(np.float64) in dtypes

    return any(map(meet, jaxpr.eqns))


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, Jaxpr | ClosedJaxpr)


def key(closed: ClosedJaxpr) -> Hashable:
    """The same for traces of the same program, of floating-point outputs.

    Raises:
        TypeError: a custom rule in it closes over one of its arguments.
    """
    found = _constants(closed, {})
    reader = _Reader(list(found))
    program = reader.jaxpr(closed.jaxpr)
    avals = tuple(_aval(var) for var in found)
    if not reader.rules:
        return program, avals
    traced = second_derivatives(closed)
    check_rules(closed, traced)
    if traced is None:  # of rules that cannot be looked into nothing is known
        return program, avals, object()
    known = {id(const): i for i, const in enumerate(found.values())}
    applied = [known.get(id(const), _content(const)) for const in traced.consts]
    return program, avals, _Reader([]).closed(traced), tuple(applied)


def second_derivatives(closed: ClosedJaxpr) -> ClosedJaxpr | None:
    """The trace of the derivatives of the sum of the first output: second ones if there are any, else first ones."""
    reals = [i for i, aval in enumerate(closed.in_avals) if jnp.issubdtype(aval.dtype, jnp.floating)]
    shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]

    def value(given, moved):
        for i, part in zip(reals, moved, strict=True):
            given[i] = part
        return jnp.sum(jaxpr_as_fun(closed)(*given)[0])

    def first(*given):
        return jax.value_and_grad(lambda moved: value(list(given), moved))([given[i] for i in reals])

    def second(*given):
        along = lambda moved: jax.grad(lambda moved: value(list(given), moved))(moved)  # noqa: E731
        here = [given[i] for i in reals]
        return first(*given), jax.jvp(along, (here,), (here,))[1]

    for derivative in (second, first):
        try:
            return jax.make_jaxpr(derivative)(*shapes)
        except Exception:  # whatever JAX, or a rule of the user's, raises for a derivative that is not to be had
            continue
    return None


def check_rules(closed: ClosedJaxpr, traced: ClosedJaxpr | None) -> None:
    """Raises where a custom rule closes over an argument: JAX calls it when the trace with that argument has ended.

    traced: the second derivatives, if there are any.
    """
    given = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in closed.in_avals]
    consts = [] if traced is None else [*traced.consts]
    for i in [i for i, leaf in enumerate(given) if traced is None and jnp.issubdtype(leaf.dtype, jnp.floating)]:
        with contextlib.suppress(Exception):  # whatever is raised for a derivative that is not to be had
            slope = jax.grad(lambda *given: jnp.sum(jaxpr_as_fun(closed)(*given)[0]), i)
            consts += jax.make_jaxpr(slope)(*given).consts
    try:
        for const in consts:
            if isinstance(const, Tracer):
                jax.lax.expand_dims(const, (0,))  # raises for one of a trace that has ended
    except jax.errors.UnexpectedTracerError as error:
        raise TypeError(
            "A custom rule of differentiation in the function must close over none of its arguments: hand them to the "
            "rule as arguments of its own, as JAX asks for in a `jax.jit`."
        ) from error


def _constants(closed: ClosedJaxpr, found: dict[Any, Any]) -> dict[Any, Any]:
    found |= dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    for eqn in closed.jaxpr.eqns:
        if eqn.primitive.name in CALLS:
            _constants(eqn.params["jaxpr"], found)
    return found


def _freed(jaxpr: Jaxpr, done: dict[int, Any]) -> Jaxpr:
    """The jaxpr, with numbers of its own where it has arrays without an axis."""

    def number(atom: Any) -> Any:
        held = isinstance(atom, Literal) and isinstance(atom.val, np.ndarray)
        return Literal(np.asarray(atom.val)[()], atom.aval) if held else atom

    def free(eqn: Any) -> Any:
        eqn = inside(eqn, lambda inner: _freed(inner, done), done)
        invars = [*map(number, eqn.invars)]
        return eqn.replace(invars=invars) if any(a is not b for a, b in zip(invars, eqn.invars, strict=True)) else eqn

    eqns, outvars = [*map(free, jaxpr.eqns)], [*map(number, jaxpr.outvars)]
    same = zip([*eqns, *outvars], [*jaxpr.eqns, *jaxpr.outvars], strict=True)
    return jaxpr if all(a is b for a, b in same) else jaxpr.replace(eqns=eqns, outvars=outvars)


def _opened(eqn: Any) -> Any:
    """The equation, with the arrays of a `jax.jit` as its operands."""
    if eqn.primitive.name not in CALLS:
        return eqn
    inner: ClosedJaxpr = eqn.params["jaxpr"]
    found = _constants(inner, {})
    if not found:
        return eqn
    jaxpr, extra = lifted(inner), list(found)

    def call(consts, args):
        return jaxpr_as_fun(ClosedJaxpr(jaxpr, []))(*consts, *args)

    shapes = [
        [jax.ShapeDtypeStruct(v.shape, v.dtype, weak_type=v.weak_type) for v in avals]
        for avals in ([var.aval for var in extra], inner.in_avals)
    ]
    (opened,) = jax.make_jaxpr(jax.jit(call))(*shapes).eqns
    return eqn.replace(primitive=opened.primitive, params=opened.params, invars=[*extra, *eqn.invars])


class _Reader:
    """Writes jaxprs as nested tuples.

    Attributes:
        rules: whether there was a custom rule of differentiation.
    """

    def __init__(self, lifted: list[Any]):
        """lifted: the constvars that are known by their place in this list."""
        self._places = {var: ("lifted", i) for i, var in enumerate(lifted)}
        self.rules = False

    def jaxpr(self, jaxpr: Jaxpr) -> Hashable:
        """The jaxpr, its variables numbered in the order in which they appear."""
        names: dict[Any, Any] = {var: self._places.get(var, i) for i, var in enumerate(jaxpr.constvars)}
        for var in jaxpr.invars:
            names[var] = len(names)
        inputs = tuple(_aval(var) for var in [*jaxpr.constvars, *jaxpr.invars])

        def read(atom: Any) -> Any:
            return _content(atom.val) if isinstance(atom, Literal) else names[atom]

        lines = []
        for eqn in jaxpr.eqns:
            name = eqn.primitive.name
            left_out = RULES.get(name, ())
            self.rules |= bool(left_out)
            params = tuple((k, self._param(v)) for k, v in eqn.params.items() if k not in left_out)
            lines.append((name, tuple(map(read, eqn.invars)), params))
            for var in eqn.outvars:
                names[var] = len(names)
        return inputs, tuple(lines), tuple(map(read, jaxpr.outvars))

    def closed(self, closed: ClosedJaxpr) -> Hashable:
        """The jaxpr; arrays that are not known by their place are known by what is in them."""
        pairs = zip(closed.jaxpr.constvars, closed.consts, strict=True)
        return self.jaxpr(closed.jaxpr), tuple(self._places.get(var) or _content(const) for var, const in pairs)

    def _param(self, value: Any) -> Hashable:
        if isinstance(value, ClosedJaxpr):
            return self.closed(value)
        if isinstance(value, Jaxpr):
            return self.jaxpr(value)
        if isinstance(value, tuple | list):
            return type(value).__name__, *map(self._param, value)
        if isinstance(value, dict):
            return "dict", *((k, self._param(v)) for k, v in value.items())
        if value is None or isinstance(value, bool | int | str):
            return type(value).__name__, value
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return _content(value)
        try:
            hash(value)
        except TypeError:
            return object()  # nothing is known to be the same
        return value


def _aval(var: Any) -> Hashable:
    aval = var.aval
    return getattr(aval, "shape", None), getattr(aval, "dtype", str(aval)), getattr(aval, "weak_type", False)


def _content(value: Any) -> Hashable:
    """An array, or a number, by its bytes."""
    if isinstance(value, Tracer):
        return id(value)
    if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
        return str(value.dtype), _content(jax.random.key_data(value))
    array = np.asarray(value)
    content = array.tobytes()
    if len(content) > 64:
        content = hashlib.blake2b(content, digest_size=16).digest()
    return str(array.dtype), array.shape, content, getattr(value, "weak_type", False)
