"""Factorisations and solves on a CPU: one matrix at a time, and on one thread, so that nothing waits for anything.

Up to JAX 0.11.0 a batch of LU, Cholesky, QR or Hessenberg factorisations, or of triangular solves, is split into shards
that the workers of XLA's CPU pool have to run, while the call itself holds such a worker and waits. As many of these
programs at once as the machine has cores, and none of them ends. So the batches in a program are taken apart here: each
becomes a loop over its matrices, of which nothing is handed out. (`eigh`, `svd`, `eig` and `schur` do not hang.)

LAPACK's own threads are another matter: where matrices are small they cost more than they bring, and on a busy machine
they wait for each other for seconds. `one_thread` holds them at one while a search runs.
"""

import contextlib
import functools
import importlib.metadata
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun
from threadpoolctl import ThreadpoolController

from jaxglobal import canonical

MENDED = (0, 11, 2)  # from this JAX on such batches come through, and are faster than the loop
# The primitives whose batches hang, and the rank of each operand of a single one.
RANKS: dict[str, tuple[int, ...]] = {
    "cholesky": (2,),
    "lu": (2,),
    "qr": (2,),
    "geqrf": (2,),
    "geqp3": (2, 1),
    "householder_product": (2, 1),
    "ormqr": (2, 1, 2),
    "hessenberg": (2,),
    "triangular_solve": (2, 2),
}


@functools.cache
def hangs() -> bool:
    """Whether this JAX is one that waits for ever."""
    return tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version("jaxlib"))[:3]) < MENDED


def factorises(jaxpr: Jaxpr) -> bool:
    """Whether the jaxpr, or one inside it, has such a primitive."""
    return any(eqn.primitive.name in RANKS or any(map(factorises, canonical.within(eqn))) for eqn in jaxpr.eqns)


def one_at_a_time(fun: Callable[..., Any], platform: str) -> Callable[..., Any]:
    """The function with every such batch as a loop, to be traced for this platform; elsewhere as it is."""
    if platform != "cpu" or not hangs():
        return fun

    @functools.wraps(fun)
    def call(*args: Any) -> Any:
        leaves, treedef = jax.tree.flatten(args)
        flat = lambda *leaves: fun(*jax.tree.unflatten(treedef, leaves))  # noqa: E731
        closed, shapes = jax.make_jaxpr(flat, return_shape=True)(*leaves)
        out = jaxpr_as_fun(ClosedJaxpr(_rewritten(closed.jaxpr), closed.consts))(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shapes), out)

    return call


def as_it_is(fun: Callable[..., Any], platform: str) -> Callable[..., Any]:
    """The function, where there is nothing to take apart."""
    return fun


def _rewritten(jaxpr: Jaxpr) -> Jaxpr:
    """The jaxpr, and those inside it, with a loop for each batch."""
    return jaxpr.replace(eqns=[_rewritten_equation(eqn) for eqn in jaxpr.eqns]) if factorises(jaxpr) else jaxpr


def _rewritten_equation(eqn: Any) -> Any:
    return _loop(eqn) if eqn.primitive.name in RANKS else canonical.inside(eqn, _rewritten)


def _loop(eqn: Any) -> Any:
    """The equation as a call of a loop over the batch; all its operands share their leading axes."""
    avals = [atom.aval for atom in eqn.invars]
    batch = avals[0].shape[: avals[0].ndim - RANKS[eqn.primitive.name][0]]
    if math.prod(batch) <= 1:
        return eqn

    def loop(*operands: Any) -> Any:
        flat = [operand.reshape(-1, *operand.shape[len(batch) :]) for operand in operands]
        out = lax.map(lambda one: eqn.primitive.bind(*one, **eqn.params), flat)
        return jax.tree.map(lambda leaf: leaf.reshape(*batch, *leaf.shape[1:]), out)

    (call,) = jax.make_jaxpr(jax.jit(loop))(*(jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals)).eqns
    return eqn.replace(primitive=call.primitive, params=call.params)


_lock, _holders = threading.Lock(), 0
_limits: list[Any] = []  # what to give back, the last first


@contextlib.contextmanager
def one_thread(compiled: bool = True) -> Iterator[None]:
    """Holds LAPACK's own threads at one; the last of several searches side by side gives them back.

    compiled: those of JAX's programs too, for which SciPy is loaded, as JAX itself does at the first factorisation.
    """
    global _holders
    with _lock:
        if compiled:
            import scipy.linalg  # noqa: F401
        # A library that was loaded since has threads of its own.
        _limits.append(_libraries("scipy.linalg" in sys.modules).limit(limits=1, user_api="blas"))
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            while _holders == 0 and _limits:
                _limits.pop().restore_original_limits()


@functools.cache
def _libraries(scipy: bool) -> ThreadpoolController:
    """The libraries with threads of their own, with or without SciPy's, through which JAX calls LAPACK."""
    return ThreadpoolController()
