"""The user's function as one of flat arrays: traced by every call, as it is then, and closing over nothing.

Every program is made from this one trace, and found by what is in it (canonical.py): a function that has changed is
another one, and one with other numbers in its arrays is not. The trace itself ends with the call, as a custom rule of
differentiation in it holds arrays of the user's as they were. Arrays that the function closes over are handed in beside
its args; so traced ones can be batched and differentiated like these. The trace also tells what an evaluation costs,
from which the number of lanes is chosen.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxglobal.problem import canonical, choice, extremes, keys, out_of_range, programs
from jaxglobal.problem.cost import jaxpr_cost
from jaxglobal.problem.jumps import may_jump
from jaxglobal.problem.linear_algebra import as_it_is, one_at_a_time
from jaxglobal.problem.sequential import factorises
from jaxglobal.problem.untraceable import explained


@dataclasses.dataclass(frozen=True)
class Structure:
    """How the user's x is laid out, and how it becomes a flat array and back.

    A variable with a list of values (choice.py) is its index in the flat array of a point: `point` and `of_point` are
    for points, `unflatten` and `flatten` for what has the layout of x: bounds, gradients.
    """

    treedef: Any
    shapes: tuple[tuple[int, ...], ...]
    dtype: np.dtype
    choices: choice.Lists = ()

    @property
    def n(self) -> int:
        """The number of variables."""
        return sum(math.prod(shape) for shape in self.shapes)

    def flatten(self, x: Any, axes: int = 0) -> Any:
        """The variables of x, one after another, (n,): a NumPy array unless x is traced.

        axes: so many leading axes of every leaf are kept.
        """
        xp: Any = jnp if is_traced(x) else np
        leaves = [xp.asarray(leaf, self.dtype) for leaf in jax.tree.leaves(x)]
        leaves = [leaf.reshape(*leaf.shape[:axes], math.prod(leaf.shape[axes:])) for leaf in leaves]
        return xp.concatenate(leaves, axis=-1) if leaves else np.zeros(0, self.dtype)

    def unflatten(self, flat: Any) -> Any:
        """The user's structure for a flat (..., n) array, concrete or traced."""
        axes = flat.shape[:-1]
        parts = [flat[..., part].reshape((*axes, *shape)) for part, shape in zip(self.parts, self.shapes, strict=True)]
        return jax.tree.unflatten(self.treedef, parts)

    def point(self, flat: Any) -> Any:
        """The user's x for a flat (..., n) array, concrete or traced."""
        return self.unflatten(choice.values(flat, self.choices) if self.choices else flat)

    def of_point(self, x: Any, axes: int = 0, name: str = "x") -> Any:
        """The inverse of `point`; see `flatten`. name: of x, for where it has none of the values."""
        flat = self.flatten(x, axes)
        return choice.indices(flat, self.choices, name) if self.choices else flat

    @functools.cached_property
    def parts(self) -> list[slice]:
        """Where each leaf lies in the flat array."""
        ends = itertools.accumulate(math.prod(shape) for shape in self.shapes)
        return [slice(end - math.prod(shape), end) for end, shape in zip(ends, self.shapes, strict=True)]


def _none(*_: Any) -> Any:
    raise TypeError("this problem has no JAX function")


class Closed(NamedTuple):
    """A function of flat arrays.

    Attributes:
        value: f(x, leaves), x of shape (n,), leaves those of the args and then the constants.
        auxiliary: aux(x, leaves), the auxiliary output, where there is one.
        constants: the arrays that the user's function closes over.
        cost: estimate of the cost of one value with its gradient, in multiplications.
        jumps: whether it may jump.
        safe: safe(run, platform) is a program of this function as it is to be traced there; see `linear_algebra`.
        programs: where programs of this function are kept.
        text: text() is its jaxpr in words.
        outputs: outputs(x, leaves), all that the function returns.
    """

    value: Callable[..., jax.Array]
    auxiliary: Callable[..., Any]
    constants: list[Any]
    cost: float
    jumps: bool
    safe: Callable[..., Callable[..., Any]]
    programs: dict[Any, Any]
    text: Callable[[], str]
    outputs: Callable[..., Any] = _none

    @property
    def identity(self) -> Any:
        """What says which function this is."""
        return self.text(), self.constants

    @property
    def factorises(self) -> bool:
        """Whether there is linear algebra in the function."""
        return self.safe is not as_it_is

    @property
    def held(self) -> Callable[..., jax.Array]:
        """The value, with no derivative in constants that are not traced, of which a custom rule may know nothing."""
        return self.holding(self.value)

    def holding(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """function(x, leaves), with no derivative in constants that are not traced."""
        moves = [is_traced(const) for const in self.constants]

        def still(x: jax.Array, leaves: list[Any]) -> Any:
            args, constants = leaves[: len(leaves) - len(moves)], leaves[len(leaves) - len(moves) :]
            return function(x, [*args, *hold(constants, moves)])

        return still

    @property
    def captured(self) -> bool:
        """Whether a constant is traced."""
        return is_traced(self.constants)

    def refuse_captured(self, instead: str) -> None:
        """Raises TypeError where a constant is traced, by what calls this or by an earlier call that has left it."""
        if self.captured:
            raise TypeError(
                f"`fun` must not close over a traced array: {instead}; or, if no transformation is under way, keep no "
                "array that jax.numpy has made inside fun from one call to the next, in a cache or an attribute."
            )


def hold(constants: Sequence[Any], moves: Sequence[bool]) -> list[Any]:
    """The constants, with no derivative in those that do not move."""
    return [c if move else jax.lax.stop_gradient(c) for c, move in zip(constants, moves, strict=True)]


NO_FUNCTION = Closed(_none, _none, [], math.inf, False, as_it_is, {}, str)  # where somebody else evaluates


def close(fun: Callable[..., Any], structure: Structure, args: tuple[Any, ...], has_aux: bool) -> Closed:
    """The function, as it is now, for an x of this layout and args of these shapes.

    Raises:
        TypeError: it is no JAX function of x and these args, does not return what an objective returns, or has an array
            in another precision than it would be given now.
    """
    x = jax.tree.unflatten(structure.treedef, [jax.ShapeDtypeStruct(s, structure.dtype) for s in structure.shapes])
    jaxpr, output = traced(fun, x, args)
    check_output(output, has_aux)
    check_precision(jaxpr, "fun")
    out_of_range.check(jaxpr.jaxpr, jaxpr.consts, jaxpr.jaxpr.invars[: len(structure.shapes)])
    constants = read_constants(jaxpr)
    layout = (structure.treedef, structure.shapes, structure.dtype, structure.choices, jax.tree.structure(args))
    key = (x64(), layout, has_aux, jax.tree.structure(output), canonical.key(jaxpr))
    made = _of_jaxpr(jaxpr, structure, len(jax.tree.leaves(args)), output, has_aux)
    return made._replace(constants=constants, programs=programs.of(key))


def _of_jaxpr(jaxpr: ClosedJaxpr, structure: Structure, n_args: int, output: Any, has_aux: bool) -> Closed:
    """The function that was traced, without its constants."""
    body, treedef = canonical.lifted(jaxpr), jax.tree.structure(output)
    held = len(body.invars) - len(structure.shapes) - n_args
    makers = keys.makers([*body.invars[held + len(structure.shapes) :], *body.invars[:held]])
    settled = extremes.settled(body)

    def outputs(x, leaves):
        leaves = [make(leaf) for make, leaf in zip(makers, leaves, strict=True)]
        parts = jax.tree.leaves(structure.point(x))
        call = jaxpr_as_fun(ClosedJaxpr(settled, []))
        return jax.tree.unflatten(treedef, call(*leaves[n_args:], *parts, *leaves[:n_args]))

    def value(x, leaves):
        out = outputs(x, leaves)
        return jnp.asarray(out[0] if has_aux else out).astype(structure.dtype)

    def auxiliary(x, leaves):
        return outputs(x, leaves)[1]

    cost = 3 * jaxpr_cost(body)  # reverse mode takes two to four times the work of the value
    safe = one_at_a_time if factorises(body) else as_it_is
    return Closed(value, auxiliary, [], cost, may_jump(body), safe, {}, lambda: str(body), outputs)


def read_constants(jaxpr: ClosedJaxpr, name: str = "fun") -> list[Any]:
    """The arrays that a trace closes over; NumPy's are copied, so that nobody changes them during a search.

    Raises:
        ValueError: one of them has been deleted.
    """
    constants = []
    for const in canonical.constants(jaxpr):
        if not isinstance(const, jax.Array):
            const = np.array(const)
        elif not isinstance(const, Tracer) and const.is_deleted():
            raise ValueError(
                f"`{name}` must close over arrays that exist; got one of shape {const.shape}, donated or deleted."
            )
        constants.append(keys.numbers(const))
    return constants


@contextlib.contextmanager
def arrays_last() -> Iterator[None]:
    """Within, a search reads arrays of the user's: says in a sentence that one is there no longer.

    Raises:
        ValueError: one has been donated or deleted since the call.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if not any(words in str(error) for words in ("has been deleted", "deleted or donated")):
            raise
        raise ValueError(
            "`args`, and arrays that functions close over, must be kept until the search ends; one was donated or "
            "deleted in the middle of it."
        ) from error


def traced(fun: Callable[..., Any], x: Any, args: tuple[Any, ...]) -> tuple[ClosedJaxpr, Any]:
    """The function as a jaxpr, and the shapes of its output."""

    def now(*args):  # JAX would remember the trace of `fun` itself
        return fun(*args)

    takes, returns = (
        f"x and the {len(args)} further arguments in `args`",
        "a real number, and arrays or numbers beside it",
    )
    of = "what it is given" if args else "x"
    with explained(fun, "fun", takes, returns, 1 + len(args), of):
        return jax.make_jaxpr(now, return_shape=True)(x, *args)


def check_precision(jaxpr: ClosedJaxpr, name: str) -> None:
    """Raises where JAX has kept a NumPy array of the function from when `jax_enable_x64` was otherwise."""
    if canonical.mixed(jaxpr.jaxpr):
        raise TypeError(
            f"`{name}` mixes float32 and float64 where JAX does not convert them, as JAX keeps a NumPy array that it "
            "closes over in the precision of before `jax_enable_x64` was switched: make it a jax.Array or an argument."
        )


def check_output(output: Any, has_aux: bool) -> None:
    """Raises unless these shapes are what an objective returns."""
    out = output
    if has_aux:
        if not isinstance(out, tuple) or len(out) != 2:
            raise TypeError(f"`fun` must return a pair (value, aux) with has_aux=True; got {_describe(out)}.")
        out = out[0]
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    if shape is None or dtype is None or shape != ():
        hint = "; has_aux=True takes a pair (value, aux)" if isinstance(out, tuple) and len(out) == 2 else ""
        raise TypeError(f"`fun` must return a scalar; got {_describe(out)}{hint}.")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"`fun` must return a real floating-point scalar; got {dtype}.")


def x64() -> bool:
    """Whether JAX computes in float64 in this thread."""
    return jax.dtypes.canonicalize_dtype(np.float64) == np.float64


def is_traced(tree: Any) -> bool:
    """Whether any leaf is traced."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def _describe(out: Any) -> str:
    shape, dtype = getattr(out, "shape", None), getattr(out, "dtype", None)
    return f"shape {shape}, {dtype}" if shape is not None else f"{type(out).__name__}"
