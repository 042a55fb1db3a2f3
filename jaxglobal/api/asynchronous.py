"""aminimize and alevels: the search beside an event loop, which it never blocks.

Each chunk of the lanes, some tens of milliseconds, runs in a thread; between two chunks the event loop decides.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import jax

from jaxglobal.api import minimize
from jaxglobal.problem.closed import x64
from jaxglobal.result import Level, Result
from jaxglobal.search.levels import Levels

LAST_STEP = 0.25  # seconds that a result waits for the step in which the search was cancelled


def alevels(fun: Callable[..., Any], bounds: Any, args: Any = (), **options: Any) -> "AsyncLevels":
    """The search of `minimize` as an asynchronous iterator of `Level` records; the arguments are those of `minimize`.

    Cancelling the task that waits for a level stops the search within a chunk of the lanes (a compilation under way is
    not waited for); what was found stays in `result`, with the status CANCELLED.

    Returns:
        An asynchronous iterator; its `result` is the `Result` so far, at any time and at once: without `jac` and `aux`
        (NaN and None) while a step of the search is under way.

    Raises:
        TypeError: an argument of the wrong kind, when the first level is waited for.
        ValueError: an argument of the wrong shape or value, likewise.

    Example:
        >>> import asyncio, jaxglobal as jg
        >>> async def main():
        ...     search = jg.alevels(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)])
        ...     async for level in search:
        ...         if level.fun < 1e-6:
        ...             break
        ...     return search.result
        >>> bool(abs(asyncio.run(main()).x[0] - 1) < 1e-6)
        True
    """
    return AsyncLevels(fun, bounds, args, options)


async def aminimize(fun: Callable[..., Any], bounds: Any, args: Any = (), **options: Any) -> Result:
    """`minimize` for an event loop: `await jg.aminimize(fun, bounds)`. Several run side by side.

    Cancelling the task stops the search within a chunk of the lanes and raises `asyncio.CancelledError`, as asyncio
    expects; to keep what was found, use `alevels`.

    Returns:
        The `Result`; the arguments and the errors are those of `minimize`.

    Example:
        >>> import asyncio, jaxglobal as jg
        >>> result = asyncio.run(jg.aminimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)]))
        >>> bool(abs(result.x[0] - 1) < 1e-6)
        True
    """
    search = alevels(fun, bounds, args, **options)
    async for _ in search:
        pass
    return await asyncio.to_thread(lambda: search.result)


class AsyncLevels(AsyncIterator[Level]):
    """A running search: iterate over it with `async for`; `result` is what it has found so far."""

    def __init__(self, fun: Callable[..., Any], bounds: Any, args: Any, options: dict[str, Any]):
        """See `alevels`."""
        self._open = lambda: minimize.levels(fun, bounds, args, **options)
        self._search: Levels | None = None
        self._cancelled = False
        self._precise = x64()  # JAX's settings belong to a thread: those of the caller hold in ours too
        self._lock = threading.Lock()

    async def __anext__(self) -> Level:
        """Searches the next level.

        Raises:
            StopAsyncIteration: the search has ended.
        """
        while True:
            chunk = asyncio.get_running_loop().run_in_executor(None, self._step)
            try:
                level, ended = await asyncio.shield(chunk)
            except asyncio.CancelledError:
                self._cancelled = True
                chunk.add_done_callback(lambda chunk: chunk.cancelled() or chunk.exception())
                if self._search is not None:
                    self._search.cancel()
                raise
            if level is not None:
                return level
            if ended:
                raise StopAsyncIteration

    def _step(self) -> tuple[Level | None, bool]:
        """A chunk of the search; the level that ended with it, and whether the search has ended."""
        with self._lock, jax.enable_x64(self._precise):
            if self._search is None:
                self._search = self._open()
            if self._cancelled:
                self._search.cancel()
            return self._search.step(), self._search.ended

    @property
    def result(self) -> Result:
        """What has been found so far; a step of the search that is under way is not waited for.

        Raises:
            RuntimeError: nothing has been searched yet.
        """
        if self._search is None:
            raise RuntimeError("no level has been waited for yet: there is no result.")
        if not self._lock.acquire(timeout=LAST_STEP if self._cancelled else 0.0):
            return self._search.known
        try:
            with jax.enable_x64(self._precise):
                while self._cancelled and not self._search.ended:
                    self._search.step()  # the searches at work are cut, and count
                return self._search.result
        finally:
            self._lock.release()
