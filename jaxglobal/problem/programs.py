"""Compiled programs, found by what they compute; those that have not been used for long are dropped.

A compiled program holds some tens of the memory maps of which a process may have 65,530, so that a bounded number of
them is kept. One that was dropped is compiled again when its function comes back.
"""

import collections
import contextlib
import threading
from collections.abc import Hashable, Iterator
from typing import Any

import jax

from jaxglobal import transfers

KEPT = 64  # functions, each with its layout of x and args, whose programs are kept

_lock = threading.Lock()
_kept: collections.OrderedDict[Hashable, dict[Any, Any]] = collections.OrderedDict()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within, a compiled program stays one, and NaN, infinities and transfers are no errors, whatever JAX is set to."""
    with jax.disable_jit(False), jax.debug_nans(False), jax.debug_infs(False), transfers.allowed():
        yield


def of(key: Hashable) -> dict[Any, Any]:
    """Where the programs of the function with this key are kept: empty if none is."""
    with _lock:
        programs = _kept.setdefault(key, {})
        _kept.move_to_end(key)
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return programs
