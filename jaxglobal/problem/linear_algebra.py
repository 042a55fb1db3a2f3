"""Factorisations and solves on a CPU: one matrix at a time, and on one thread, so that nothing waits for anything.

Up to JAX 0.11.0 a batch of matrices that LAPACK factorises or solves with is split into shards that the workers of
XLA's CPU pool have to run, while the call itself holds such a worker and waits. As many of these programs at once as
the machine has cores, and none of them ends. So the batches in a program are taken apart: each becomes a loop over its
matrices (sequential.py), of which nothing is handed out.

LAPACK's own threads are another matter: where matrices are small they cost more than they bring, and on a busy machine
they wait for each other for seconds. `one_thread` holds them at one while a search runs; a program that runs when the
call is over, as one of `argmin` or `curve_fit` in a user's `jit`, takes matrices apart instead (unthreaded.py), with
any version of JAX.
"""

import contextlib
import functools
import importlib.metadata
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
from threadpoolctl import ThreadpoolController

from jaxglobal.problem.sequential import replay

MENDED = (0, 11, 2)  # from this JAX on such batches come through, and are faster than the loop


@functools.cache
def hangs() -> bool:
    """Whether this JAX is one that waits for ever."""
    return tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version("jaxlib"))[:3]) < MENDED


def one_at_a_time(fun: Callable[..., Any], platform: str, held: bool = True) -> Callable[..., Any]:
    """The function with every such batch as a loop, of its derivatives too, where it is traced for such a platform.

    held: whether `one_thread` holds LAPACK's threads when it runs.
    """
    if platform != "cpu" or held and not hangs():
        return fun
    return functools.wraps(fun)(functools.partial(replay, fun, held=held))


def as_it_is(fun: Callable[..., Any], platform: str, held: bool = True) -> Callable[..., Any]:
    """The function, where there is nothing to take apart."""
    return fun


def own(fun: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the library's own matrices, which are a batch in a `vmap`, on the default device."""
    return lambda *args: one_at_a_time(fun, jax.default_backend())(*args)


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
