"""Who calls a Python function: this thread, the user's executor, or a crew of processes that can be killed.

A call goes in by `submit` and its outcome comes back by `outcomes`, in the order of completion. A call that raises,
that takes too long or whose worker dies has an outcome as well. The workers call the user's function itself: what they
import is what its module imports.
"""

import concurrent.futures as futures
import dataclasses
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
import weakref
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
        except (Exception, SystemExit):  # as in a process, where an exit is the failure of that call alone
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


@dataclasses.dataclass
class Member:
    """A process of a crew.

    Attributes:
        executor: that holds it.
        pid: the future of its process id; done once it has started.
        call: the future of its last call.
        since: when that call was made, or last seen to wait for the process to start.
    """

    executor: futures.ProcessPoolExecutor
    pid: Any
    call: Any = None
    since: float = 0.0

    @property
    def idle(self) -> bool:
        """Whether its last call is done."""
        return self.call is None or self.call.done()


class Crew:
    """Processes of our own, one call each at a time, so that one that hangs or dies takes no other call with it.

    It serves several searches, also side by side: each holds a `Shift`.
    """

    def __init__(self, workers: int, timeout: float | None):
        """The processes begin at once. They are spawned: a fork would copy JAX's threads in the midst of their work.

        Raises:
            SystemExit: in a worker that imports a script without a guard, of which the process that began it tells.
        """
        if is_beginning():
            raise SystemExit(1)  # in silence: multiprocessing would print the same lines in each worker
        self._timeout = timeout
        self._context = multiprocessing.get_context("spawn")
        self._lock = threading.Lock()
        self._members = [self._hire() for _ in range(workers)]
        self._killed: weakref.WeakSet[Any] = weakref.WeakSet()

    def _hire(self) -> Member:
        # Ctrl-C in a terminal goes to all processes; it is this one that decides what it means.
        ignore = signal.SIGINT, signal.SIG_IGN
        executor = futures.ProcessPoolExecutor(1, self._context, initializer=signal.signal, initargs=ignore)
        return Member(executor, executor.submit(os.getpid))

    @property
    def room(self) -> int:
        """Members without a call."""
        return sum(member.idle for member in self._members)

    def submit(self, call: Callable[..., Any], *args: Any) -> Any:
        """The future of a call by an idle member; if another search has just taken the last one, by the first."""
        with self._lock:
            which = next((i for i, member in enumerate(self._members) if member.idle), 0)
            try:
                future = self._members[which].executor.submit(call, *args)
            except futures.BrokenExecutor:  # it died
                self._members[which] = self._hire()
                future = self._members[which].executor.submit(call, *args)
            self._members[which].call, self._members[which].since = future, time.monotonic()
        return future

    def kill_late(self) -> None:
        """Kills and replaces the members whose calls take too long, whoever made them."""
        if self._timeout is None:
            return
        with self._lock:
            now = time.monotonic()
            for which, member in enumerate(self._members):
                if member.idle:
                    continue
                if not member.pid.done():
                    member.since = now
                elif now - member.since > self._timeout:
                    self._killed.add(member.call)
                    kill(member)
                    self._members[which] = self._hire()

    def was_killed(self, future: Any) -> bool:
        """Whether the call took too long."""
        return future in self._killed

    def close(self) -> None:
        """Kills the processes that are at work and ends the others."""
        members, self._members = self._members, []
        for member in members:
            if member.idle:
                member.executor.shutdown(wait=True, cancel_futures=True)
            else:
                kill(member)


def is_beginning() -> bool:
    """Whether this process is a worker that imports the user's script, and so cannot have workers of its own yet."""
    importing = sys.modules.get("__mp_main__")  # under this name, and put in the place of __main__ when that is done
    return importing is not None and importing is not sys.modules["__main__"]


class Shift(Pool):
    """The calls of one search to a crew."""

    def __init__(self, crew: Crew):
        """No call yet."""
        super().__init__(crew, None, None)
        self._crew = crew

    @property
    def room(self) -> int:
        """Calls that can be submitted now."""
        return self._crew.room

    def outcomes(self, wait: float) -> list[Outcome]:
        """As `Pool.outcomes`; a member that takes too long is killed and replaced."""
        self._crew.kill_late()
        return super().outcomes(wait)

    def _outcome(self, number: int, future: Any) -> list[Outcome]:
        late = self._crew.was_killed(future)
        return [
            Outcome(done.key, None, "timed out") if late and done.error == "died" else done
            for done in super()._outcome(number, future)
        ]


def kill(member: Member) -> None:
    """Ends a process at once."""
    pid = member.pid
    if pid.done() and not pid.cancelled() and pid.exception() is None:
        try:
            os.kill(pid.result(), getattr(signal, "SIGKILL", signal.SIGTERM))
        except ProcessLookupError:
            pass
    member.executor.shutdown(wait=False, cancel_futures=True)


def outcome(key: Any, future: Any) -> Outcome:
    """The outcome of a future that is done."""
    try:
        error = future.exception()  # not raised: an exit or a Ctrl-C in a worker is a failure of its call alone
    except futures.CancelledError as cancelled:
        error = cancelled
    if error is None:
        return Outcome(key, future.result())
    if isinstance(error, futures.BrokenExecutor | futures.CancelledError):
        return Outcome(key, None, "died", f"{type(error).__name__}: {error}")
    return Outcome(key, None, "failed", "".join(traceback.format_exception(error)))
