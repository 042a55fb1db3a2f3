"""Whether a function reads more variables than the box has.

JAX does not say so: `x[2]` of an x of two variables is `x[1]`, as a static index out of range is clamped. In the
jaxpr such an index is a constant, which is followed here through the arithmetic that JAX does with indices, and into
jitted functions and the bodies of scans. Arrays of the shape of x that are made of x count as x: after a change of
units the variables have the same indices. Indices that are computed from x or in a loop are not looked at, nor are
those of the modes "clip" and "fill", where the user has said what is meant, nor a list of indices that is padded by the
size of x.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend.core import Jaxpr, Literal
from jax.lax import GatherScatterMode

LARGEST = 2**16  # numbers of a constant that is followed
INLINE = tuple("jit pjit closed_call core_call remat remat2 checkpoint custom_jvp_call custom_vjp_call".split())
BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")

# The primitives that JAX makes of an index, or that a user makes of jnp.arange.
FOLDED: dict[str, Callable[..., Any]] = {
    "lt": lambda a, b: np.less(a, b),
    "ge": lambda a, b: np.greater_equal(a, b),
    "add": lambda a, b: np.add(a, b),
    "sub": lambda a, b: np.subtract(a, b),
    "mul": lambda a, b: np.multiply(a, b),
    "neg": lambda a: np.negative(a),
    "select_n": lambda which, *cases: np.choose(np.asarray(which, int), cases),
    "convert_element_type": lambda a, new_dtype, **_: np.asarray(a).astype(new_dtype),
    "broadcast_in_dim": lambda a, shape, broadcast_dimensions, **_: np.broadcast_to(
        np.reshape(a, [dict(zip(broadcast_dimensions, np.shape(a), strict=True)).get(i, 1) for i in range(len(shape))]),
        shape,
    ),
    "reshape": lambda a, new_sizes, **_: np.reshape(a, new_sizes),
    "squeeze": lambda a, dimensions: np.squeeze(a, dimensions),
    "iota": lambda dtype, shape, dimension, **_: np.indices(shape, dtype)[dimension],
    "concatenate": lambda *parts, dimension: np.concatenate(parts, dimension),
    "stop_gradient": lambda a: a,
}
PLAIN = ("lt", "ge", "add", "sub", "mul", "neg", "select_n", "stop_gradient")  # whose parameters say nothing


def check(jaxpr: Jaxpr, consts: Sequence[Any], x: Sequence[Any]) -> None:
    """Raises where a constant index is out of the range of x.

    Args:
        jaxpr: of the function.
        consts: the values of its `constvars`.
        x: the variables of the jaxpr that are the leaves of x.

    Raises:
        ValueError: it reads a variable that is not there.
    """
    follow(jaxpr, {var: known(const) for var, const in zip(jaxpr.constvars, consts, strict=True)}, set(x))


def known(const: Any) -> np.ndarray | None:
    """A small array of whole numbers or booleans; None for any other."""
    if isinstance(const, Tracer) or not hasattr(const, "dtype") or np.size(const) > LARGEST:
        return None
    whole = jnp.issubdtype(const.dtype, jnp.integer) or jnp.issubdtype(const.dtype, jnp.bool_)
    return np.asarray(const) if whole and getattr(const, "is_fully_addressable", True) else None


def follow(jaxpr: Jaxpr, values: dict[Any, np.ndarray | None], of_x: set[Any]) -> None:
    """Follows the constants, by variable, and the variables that are x, through the equations."""

    def value(atom):
        return known(np.asarray(atom.val)) if isinstance(atom, Literal) else values.get(atom)

    for equation in jaxpr.eqns:
        inputs: list[Any] = equation.invars
        name, params = equation.primitive.name, equation.params
        indexed = inputs[0] if inputs and not isinstance(inputs[0], Literal) and inputs[0] in of_x else None
        if indexed is not None:
            refuse_outside(name, params, indexed.aval.shape, [value(atom) for atom in inputs[1:]])
        if name in INLINE or name == "scan":
            enter(equation, value, of_x)
        elif name in FOLDED and len(equation.outvars) == 1:
            values[equation.outvars[0]] = fold(equation, [value(atom) for atom in inputs])
        shapes = {atom.aval.shape for atom in inputs if not isinstance(atom, Literal) and atom in of_x}
        of_x.update(var for var in equation.outvars if getattr(var.aval, "shape", None) in shapes)


def fold(equation: Any, constants: list[np.ndarray | None]) -> np.ndarray | None:
    """What an equation makes of constants; None where one is not known, or the result is no index."""
    name, params = equation.primitive.name, equation.params
    if any(constant is None for constant in constants) or equation.outvars[0].aval.size > LARGEST:
        return None
    try:
        with np.errstate(all="ignore"):  # hashes overflow
            return known(np.asarray(FOLDED[name](*constants, **({} if name in PLAIN else params))))
    except (TypeError, ValueError, IndexError, OverflowError):  # nothing that JAX makes of an index
        return None


def enter(equation: Any, value: Callable[[Any], Any], of_x: set[Any]) -> None:
    """Follows the equations of a function that is called, or of the body of a scan, whose carry is not followed."""
    body = next((equation.params[name] for name in BODIES if name in equation.params), None)
    closed = getattr(body, "jaxpr", body)
    if closed is None or len(closed.invars) != len(equation.invars):
        return
    fixed = constants_of(equation, closed) if equation.primitive.name == "scan" else len(closed.invars)
    pairs = list(zip(closed.invars, equation.invars, strict=True))[:fixed]
    inner = {var: value(atom) for var, atom in pairs}
    inner |= {var: known(const) for var, const in zip(closed.constvars, getattr(body, "consts", ()), strict=False)}
    follow(closed, inner, {var for var, atom in pairs if not isinstance(atom, Literal) and atom in of_x})


def constants_of(scan: Any, body: Any) -> int:
    """How many of the operands of a scan, the first, are the same in all its steps.

    By their shapes, as versions of JAX say it differently: what is stacked has one axis less in the body.
    """
    stacked = sum(a.aval.ndim > b.aval.ndim for a, b in zip(scan.invars, body.invars, strict=True))
    carried = sum(a.aval.ndim == b.aval.ndim for a, b in zip(scan.outvars, body.outvars, strict=True))
    return len(scan.invars) - stacked - carried


def refuse_outside(name: str, params: dict[str, Any], shape: tuple[int, ...], given: list[np.ndarray | None]) -> None:
    """Raises where a primitive that indexes an x of this shape has an index outside; given: its other operands."""
    if name == "dynamic_slice":
        for axis, index in enumerate(given[: len(shape)]):
            if index is not None:
                refuse(np.ravel(index), shape, axis, clamped=True)
    elif name == "gather" and given[0] is not None and silent(params):
        axes = params["dimension_numbers"].start_index_map
        for column, axis in enumerate(axes):
            index = np.ravel(given[0][..., column])
            if not is_padding(index, shape[axis]):
                refuse(index, shape, axis, clamped=True)
    elif name.startswith("scatter") and given[0] is not None:
        axes = params["dimension_numbers"].scatter_dims_to_operand_dims
        for column, axis in enumerate(axes):
            index = np.ravel(given[0][..., column])
            if np.all((index < 0) | (index >= shape[axis])):  # some may be dropped on purpose
                refuse(index, shape, axis, clamped=False)


def silent(params: dict[str, Any]) -> bool:
    """Whether a gather clamps without having been asked to: plain indexing, also under vmap."""
    mode = params["mode"]
    batched = mode == GatherScatterMode.CLIP and not params["dimension_numbers"].collapsed_slice_dims
    return mode == GatherScatterMode.PROMISE_IN_BOUNDS or batched


def is_padding(index: np.ndarray, size: int) -> bool:
    """Whether the indices outside look like the padding of a list: the size itself, again and again."""
    outside = index[(index < 0) | (index >= size)]
    return 1 < len(outside) < len(index) and bool(np.all(outside == size))


def refuse(index: np.ndarray, shape: tuple[int, ...], axis: int, clamped: bool) -> None:
    """Raises unless all of these are indices of the axis."""
    outside = index[(index < 0) | (index >= shape[axis])]
    if len(outside):
        i = int(outside[0])
        i -= shape[axis] if i < 0 else 0  # as it was written: JAX counts from the front
        of = f"of {shape[axis]}" + (f" along axis {axis}" if len(shape) > 1 else "")
        raise ValueError(
            f"`bounds` must have as many variables as `fun` reads; got an index {i} of an x {of} in fun, which JAX "
            f"{'clamps to another variable' if clamped else 'drops'} without a word (x.at[i].get(mode='clip') says "
            "that it is meant)."
        )
