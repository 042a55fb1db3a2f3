"""Who calls a Python function: this thread, the user's executor, or a crew of processes that can be killed.

A call goes in by `submit` and its outcome comes back by `outcomes`, in the order of completion. A call that raises,
that takes too long or whose worker dies has an outcome as well. The workers call the user's function itself: what they
import is what its module imports.
"""

import concurrent.futures as futures
import multiprocessing
import os
import queue
import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What became of a call."""

    key: Any
    value: Any = None
    error: str = ""
    """What went wrong: "", "failed", "timed out" or "died"."""
    traceback: str = ""


class Inline:
    """This thread: a call is made when it is submitted."""

    def __init__(self):
        """Idle."""
        self._outcomes: list[Outcome] = []

    @property
    def room(self) -> int:
        """Calls that can be submitted now; one, so that somebody looks at the clock between two."""
        return 1 - len(self._outcomes)

    def submit(self, key: Any, call: Callable[..., Any], *args: Any) -> None:
        """Makes the call."""
        try:
            self._outcomes.append(Outcome(key, call(*args)))
        except Exception:
            self._outcomes.append(Outcome(key, None, "failed", traceback.format_exc()))

    def outcomes(self, wait: float) -> list[Outcome]:
        """The calls that are done."""
        done, self._outcomes = self._outcomes, []
        return done

    def close(self) -> None:
        """Nothing is running."""


class Pool:
    """An executor of the user's, which stays open: anything with the interface of `concurrent.futures`."""

    def __init__(self, executor: Any, workers: int | None, timeout: float | None):
        """workers: calls under way at a time, None for as many as there are."""
        self._executor, self._workers, self._timeout = executor, workers, timeout
        self._done: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self._running: dict[int, tuple[Any, Any, float]] = {}
        self._serial = 0

    @property
    def room(self) -> int:
        """Calls that can be submitted now."""
        return 2**31 if self._workers is None else self._workers - len(self._running)

    def submit(self, key: Any, call: Callable[..., Any], *args: Any) -> None:
        """Hands the call over.

        Raises:
            ValueError: the executor takes no calls.
        """
        self._serial += 1
        number = self._serial
        try:
            future = self._executor.submit(call, *args)
        except RuntimeError as error:
            raise ValueError(f"`executor` must be open; it takes no calls: {error}.") from error
        self._running[number] = key, future, time.monotonic()
        future.add_done_callback(lambda future: self._done.put((number, future)))

    def outcomes(self, wait: float) -> list[Outcome]:
        """The calls that are done, or have taken too long; waits for the first of them, so many seconds at most."""
        done: list[Outcome] = []
        try:
            done += self._outcome(*self._done.get(timeout=wait))
            while True:
                done += self._outcome(*self._done.get_nowait())
        except queue.Empty:
            pass
        if self._timeout is not None:
            now = time.monotonic()
            late = [n for n, (_, _, began) in self._running.items() if now - began > self._timeout]
            for number in late:
                key, future, _ = self._running.pop(number)
                future.cancel()
                done.append(Outcome(key, None, "timed out"))
        return done

    def _outcome(self, number: int, future: Any) -> list[Outcome]:
        if number not in self._running:
            return []  # it had been given up
        key, _, _ = self._running.pop(number)
        return [outcome(key, future)]

    def close(self) -> None:
        """Gives up what has not begun; the executor is the user's."""
        for _, future, _ in self._running.values():
            future.cancel()
        self._running.clear()


class Crew:
    """Processes of our own, one call each at a time, so that one that hangs or dies takes no other call with it."""

    def __init__(self, workers: int, timeout: float | None):
        """The processes begin at once. They are spawned: a fork would copy JAX's threads in the midst of their work."""
        self._timeout = timeout
        self._context = multiprocessing.get_context("spawn")
        self._done: queue.SimpleQueue[tuple[int, Any, Any]] = queue.SimpleQueue()
        self._members = [self._hire() for _ in range(workers)]
        self._running: dict[int, tuple[Any, float]] = {}  # of a member: the key of its call, and since when

    def _hire(self) -> tuple[futures.ProcessPoolExecutor, Any]:
        executor = futures.ProcessPoolExecutor(1, mp_context=self._context)
        return executor, executor.submit(os.getpid)

    @property
    def room(self) -> int:
        """Members without a call."""
        return len(self._members) - len(self._running)

    def submit(self, key: Any, call: Callable[..., Any], *args: Any) -> None:
        """Hands the call to an idle member."""
        member = next(i for i in range(len(self._members)) if i not in self._running)
        executor = self._members[member][0]
        self._running[member] = key, time.monotonic()
        try:
            future = executor.submit(call, *args)
        except futures.BrokenExecutor:  # it died while it was idle
            self._members[member] = self._hire()
            executor = self._members[member][0]
            future = executor.submit(call, *args)
        future.add_done_callback(lambda future: self._done.put((member, executor, future)))

    def outcomes(self, wait: float) -> list[Outcome]:
        """As `Pool.outcomes`; a member that takes too long is killed and replaced."""
        done: list[Outcome] = []
        try:
            done += self._outcome(*self._done.get(timeout=wait))
            while True:
                done += self._outcome(*self._done.get_nowait())
        except queue.Empty:
            pass
        if self._timeout is not None:
            now = time.monotonic()
            # A member that is still starting has not begun its call.
            ready = {i for i in self._running if self._members[i][1].done()}
            for member in [i for i in ready if now - self._running[i][1] > self._timeout]:
                key, _ = self._running.pop(member)
                self._dismiss(member)
                self._members[member] = self._hire()
                done.append(Outcome(key, None, "timed out"))
            for member in self._running.keys() - ready:
                self._running[member] = self._running[member][0], now
        return done

    def _outcome(self, member: int, executor: Any, future: Any) -> list[Outcome]:
        if self._members[member][0] is not executor or member not in self._running:
            return []  # of a member that has been dismissed
        key, _ = self._running.pop(member)
        result = outcome(key, future)
        if result.error == "died":
            self._members[member] = self._hire()
        return [result]

    def _dismiss(self, member: int) -> None:
        executor, pid = self._members[member]
        if pid.done() and not pid.cancelled() and pid.exception() is None:
            try:
                os.kill(pid.result(), getattr(signal, "SIGKILL", signal.SIGTERM))
            except ProcessLookupError:
                pass
        executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Kills the processes that are at work and ends the others."""
        for member in range(len(self._members)):
            if member in self._running:
                self._dismiss(member)
            else:
                self._members[member][0].shutdown(wait=True, cancel_futures=True)
        self._running.clear()
        self._members = []


def outcome(key: Any, future: Any) -> Outcome:
    """The outcome of a future that is done."""
    try:
        return Outcome(key, future.result())
    except (futures.BrokenExecutor, futures.CancelledError) as error:
        return Outcome(key, None, "died", f"{type(error).__name__}: {error}")
    except Exception as error:
        return Outcome(key, None, "failed", "".join(traceback.format_exception(error)))
