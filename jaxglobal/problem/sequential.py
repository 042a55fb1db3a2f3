"""JAX's factorisations and triangular solves as primitives of which a batch is a loop over its matrices.

`replay` evaluates a function with them in place of JAX's own. What comes of them later keeps to it: batched by `vmap`
they are loops, and their derivatives, of any order and in both modes, are made of them again. So is what a custom rule
of differentiation inside the function gives, once it has been applied. All rules are one: what JAX does with its own
primitive is traced, and replayed.

Where nobody holds LAPACK's own threads, as in a program that runs when the library's call is over, solves with
triangular matrices and Cholesky's factorisation are those of unthreaded.py.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir

from jaxglobal.problem import canonical
from jaxglobal.problem.unthreaded import UNTHREADED

# The primitives whose batches hang, all that are calls of LAPACK, and the rank of each operand of a single one.
RANKS: dict[str, tuple[int, ...]] = {
    "cholesky": (2,),
    "lu": (2,),
    "qr": (2,),
    "geqrf": (2,),
    "geqp3": (2, 1),
    "householder_product": (2, 1),
    "ormqr": (2, 1, 2),
    "eigh": (2,),
    "eig": (2,),
    "svd": (2,),
    "schur": (2,),
    "hessenberg": (2,),
    "tridiagonal": (2,),
    "tridiagonal_solve": (1, 1, 1, 2),
    "triangular_solve": (2, 2),
}


def factorises(jaxpr: Jaxpr) -> bool:
    """Whether the jaxpr, or one inside it, has such a primitive."""
    return any(eqn.primitive.name in RANKS or any(map(factorises, canonical.within(eqn))) for eqn in jaxpr.eqns)


def replay(fun: Callable[..., Any], *args: Any, held: bool = True) -> Any:
    """fun(*args), with every such primitive of it one matrix at a time. held: LAPACK's threads are, when it runs."""
    leaves, treedef = jax.tree.flatten(args)
    flat = lambda *leaves: fun(*jax.tree.unflatten(treedef, leaves))  # noqa: E731
    closed, shapes = jax.make_jaxpr(flat, return_shape=True)(*leaves)
    out = jaxpr_as_fun(ClosedJaxpr(_rewritten(closed.jaxpr, held), closed.consts))(*leaves)
    return jax.tree.unflatten(jax.tree.structure(shapes), out)


def _rewritten(jaxpr: Jaxpr, held: bool) -> Jaxpr:
    """The jaxpr, and those inside it, with these primitives for JAX's own."""
    return jaxpr.replace(eqns=[_rewritten_equation(eqn, held) for eqn in jaxpr.eqns]) if factorises(jaxpr) else jaxpr


def _rewritten_equation(eqn: Any, held: bool) -> Any:
    if eqn.primitive.name not in RANKS:
        return canonical.inside(eqn, functools.partial(_rewritten, held=held))
    avals = [atom.aval for atom in eqn.invars]
    batch = avals[0].shape[: avals[0].ndim - RANKS[eqn.primitive.name][0]]  # which all operands share
    single = sequential(eqn.primitive, held)
    if math.prod(batch) == 1:
        return eqn.replace(primitive=single)

    def loop(*operands: Any) -> Any:
        flat = [operand.reshape(math.prod(batch), *operand.shape[len(batch) :]) for operand in operands]
        out = lax.map(lambda one: single.bind(*one, **eqn.params), flat)
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), out)

    with jax.disable_jit(False):  # the loop is one call, whatever JAX is set to
        (call,) = jax.make_jaxpr(jax.jit(loop))(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals)).eqns
    return eqn.replace(primitive=call.primitive, params=call.params)


@functools.cache
def sequential(own: Primitive, held: bool) -> Primitive:
    """The primitive that is JAX's own for one matrix, and a loop for a batch of them. held: see `replay`."""
    single = Primitive(f"{own.name}_one_at_a_time")
    again = functools.partial(replay, held=held)
    single.multiple_results = own.multiple_results
    single.def_impl(functools.partial(own.bind))
    single.def_effectful_abstract_eval(own.abstract_eval)
    lowered = own.bind if held or own.name not in UNTHREADED else functools.partial(UNTHREADED[own.name], own)
    mlir.register_lowering(single, mlir.lower_fun(lowered, multiple_results=own.multiple_results))

    def as_own(params: dict[str, Any]) -> Callable[..., Any]:
        return lambda *operands: own.bind(*operands, **params)

    def push(operands: Any, moves: Any, **params: Any) -> Any:
        moves = [ad.instantiate_zeros(move) for move in moves]
        return again(functools.partial(jax.jvp, as_own(params)), tuple(operands), tuple(moves))

    def batch(operands: Any, axes: Any, **params: Any) -> Any:
        out = again(jax.vmap(as_own(params), tuple(axes)), *operands)
        return out, [0] * len(out) if own.multiple_results else 0

    def transpose(cotangent: Any, *operands: Any, **params: Any) -> Any:
        linear = [i for i, operand in enumerate(operands) if ad.is_undefined_primal(operand)]
        known = [operand for i, operand in enumerate(operands) if i not in linear]

        def back(cotangent: Any, *known: Any) -> Any:
            def forward(*moves: Any) -> Any:
                at, others = dict(zip(linear, moves, strict=True)), iter(known)
                return as_own(params)(*(at[i] if i in at else next(others) for i in range(len(operands))))

            shapes = [jax.ShapeDtypeStruct(operands[i].aval.shape, operands[i].aval.dtype) for i in linear]
            return jax.linear_transpose(forward, *shapes)(cotangent)

        given = dict(zip(linear, again(back, ad.instantiate_zeros(cotangent), *known), strict=True))
        return [given.get(i) for i in range(len(operands))]

    ad.primitive_jvps[single] = push
    batching.primitive_batchers[single] = batch
    if own in ad.primitive_transposes:
        ad.primitive_transposes[single] = transpose
    return single
