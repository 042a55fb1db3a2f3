"""A cache that lives as long as the user's function: compiled programs do not keep it alive."""

import inspect
import weakref
from collections.abc import Callable
from typing import Any


class Weakly:
    """A function held weakly: `ref()` is the function, and `cache` lives as long as the function does.

    Two looks at the same method of the same object share a cache. A function that cannot be held weakly is held
    strongly and has a cache of its own each time.
    """

    _caches: dict[tuple[int, int], tuple[Any, dict[Any, Any]]] = {}

    def __init__(self, fun: Callable[..., Any]):
        """Finds the cache of the function, or begins one."""
        self.ref: Callable[[], Any]
        self.cache: dict[Any, Any]
        method = inspect.ismethod(fun)
        owner, name = (fun.__self__, id(fun.__func__)) if method else (fun, 0)
        key = (id(owner), name)
        try:
            caches = Weakly._caches
            alive = weakref.ref(owner, lambda _: caches.pop(key, None))
        except TypeError:
            self.ref, self.cache = lambda: fun, {}
            return
        self.ref = weakref.WeakMethod(fun) if inspect.ismethod(fun) else alive
        self.cache = caches.setdefault(key, (alive, {}))[1]
