"""Compiled programs, found by what they compute; those that have not been used for long are dropped.

A compiled program holds some tens of the memory maps of which a process may have 65,530, so that a bounded number of
them is kept. One that was dropped is compiled again when its function comes back.
"""

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

KEPT = 64  # functions, each with its layout of x and args, whose programs are kept

_lock = threading.Lock()
_known: collections.OrderedDict[Hashable, Any] = collections.OrderedDict()


def known(key: Hashable, make: Callable[[], T]) -> T:
    """What is kept for this key, made at its first use; it holds the compiled programs."""
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    made = make()
    with _lock:
        kept = _known.setdefault(key, made)
        _known.move_to_end(key)
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return kept
