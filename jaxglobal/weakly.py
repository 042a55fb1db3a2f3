"""A cache that lives as long as the user's function: compiled programs do not keep it alive."""

import inspect
import weakref
from collections.abc import Callable
from typing import Any

_caches: dict[tuple[int, int], tuple[Any, dict[Any, Any]]] = {}


def cache_of(fun: Callable[..., Any]) -> dict[Any, Any]:
    """What is kept as long as the function lives; nothing in it may refer to the function.

    Two looks at the same method of the same object share a cache. A function that cannot be referred to weakly has a
    new cache each time.
    """
    method = inspect.ismethod(fun)
    owner, name = (fun.__self__, id(fun.__func__)) if method else (fun, 0)
    key = (id(owner), name)
    try:
        alive = weakref.ref(owner, lambda _: _caches.pop(key, None))
    except TypeError:
        return {}
    return _caches.setdefault(key, (alive, {}))[1]
