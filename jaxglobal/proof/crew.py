"""Processes that test boxes: threads of NumPy would wait for each other.

A worker imports the arithmetic alone, not JAX, so that it is ready after a fifth of a second. It is told the function
once, as a flat program, and then batches. One that dies only costs time: its batches are tested here.
"""

import contextlib
import os
import pathlib
import pickle
import queue
import subprocess
import sys
import threading
from typing import Any

from jaxglobal.proof.batch import Outcome
from jaxglobal.proof.bound import Bound

PACKAGE = pathlib.Path(__file__).parent
# The package without what its __init__ imports: JAX.
BEGIN = """
import sys, types
for name, path in (("jaxglobal", {root!r}), ("jaxglobal.proof", {proof!r})):
    sys.modules[name] = module = types.ModuleType(name)
    module.__path__ = [path]
from jaxglobal.proof.crew import work
work()
"""
# One thread of linear algebra, and memory that is kept: every operation makes arrays of the same sizes.
SETTINGS = {
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000000",
    "MALLOC_TRIM_THRESHOLD_": "4000000000", "MALLOC_TOP_PAD_": "67108864",
}  # fmt: skip


class Worker:
    """One process.

    Attributes:
        waiting: the batches that it was given and has not answered, in order.
    """

    def __init__(self, bound: bytes):
        """Starts it; bound: the pickled tests."""
        code = BEGIN.format(root=str(PACKAGE.parent), proof=str(PACKAGE))
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, **SETTINGS, "PYTHONPATH": paths}, start_new_session=True,
        )  # fmt: skip
        self.waiting: list[int] = []
        self._answers: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Somebody has to read while a batch is written, or both would wait for the other.
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._send(bound)
        except OSError:
            self.close()
            raise

    def _read(self) -> None:
        try:
            while True:
                self._answers.put(received(self._process.stdout))
        except (OSError, EOFError, ValueError):
            self._answers.put(None)

    def _send(self, content: bytes) -> None:
        pipe: Any = self._process.stdin
        pipe.write(len(content).to_bytes(8, "little"))
        pipe.write(content)
        pipe.flush()

    def give(self, number: int, batch: tuple[Any, ...]) -> None:
        """A batch to test."""
        self.waiting.append(number)
        self._send(pickle.dumps(batch, protocol=5))

    def answer(self) -> Outcome:
        """What came of the first batch that is waiting.

        Raises:
            EOFError: the process has died.
        """
        content = self._answers.get()
        if content is None:
            raise EOFError
        self.waiting.pop(0)
        return Outcome(*pickle.loads(content))

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        while self._answers.get() is not None:  # until the reader has met the end
            pass
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # it may have died before all was written
                pipe.close()  # pyright: ignore


class Crew:
    """Tests batches in the order in which they come, in processes if there are any.

    Attributes:
        most: batches that may be under way at a time.
    """

    def __init__(self, bound: Bound):
        """This process alone."""
        self._bound, self._workers, self.most = bound, [], 1
        self._batches: dict[int, Any] = {}
        self._at: dict[int, Worker] = {}
        self._next = self._first = 0

    def start(self, workers: int, most: int) -> None:
        """Starts processes; most: batches under way, of which the course of a proof depends."""
        self.most = most
        content = pickle.dumps(self._bound, protocol=5)
        with contextlib.suppress(OSError):  # where no process can be started, this one goes on
            for _ in range(workers):
                self._workers.append(Worker(content))

    @property
    def under_way(self) -> int:
        """Batches that have been given and not been taken."""
        return self._next - self._first

    def give(self, *batch: Any) -> None:
        """A batch to test: what `Bound` takes."""
        number = self._next
        self._batches[number] = batch
        self._next += 1
        free = [worker for worker in self._workers if len(worker.waiting) < 2]
        if free:
            worker = min(free, key=lambda worker: len(worker.waiting))
            self._hand(worker, number)

    def _hand(self, worker: Worker, number: int) -> None:
        try:
            worker.give(number, self._batches[number])
            self._at[number] = worker
        except OSError:
            self._lost(worker)

    def _lost(self, worker: Worker) -> None:
        self._workers.remove(worker)
        for number in worker.waiting:
            self._at.pop(number, None)
        worker.close()

    def take(self) -> Outcome:
        """What came of the first batch that has not been taken."""
        number = self._first
        while number in self._at:
            worker = self._at[number]
            try:
                outcome = worker.answer()
                break
            except (OSError, EOFError):
                self._lost(worker)
        else:
            outcome = self._bound(*self._batches[number])
        self._at.pop(number, None)
        del self._batches[number]
        self._first += 1
        waiting = sorted(set(self._batches) - set(self._at))
        for worker in self._workers:
            if waiting and len(worker.waiting) < 2:
                self._hand(worker, waiting.pop(0))
        return outcome

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers:
            worker.close()
        self._workers = []


def received(pipe: Any) -> bytes:
    """One message.

    Raises:
        EOFError: there is none.
    """
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    content = pipe.read(size) if len(head) == 8 else b""
    if len(head) < 8 or len(content) < size:
        raise EOFError
    return content


def work() -> None:
    """What a worker does, until its input ends."""
    given, gives = sys.stdin.buffer, sys.stdout.buffer
    bound = pickle.loads(received(given))
    while True:
        try:
            batch = pickle.loads(received(given))
        except EOFError:
            return
        content = pickle.dumps(tuple(bound(*batch)), protocol=5)
        gives.write(len(content).to_bytes(8, "little"))
        gives.write(content)
        gives.flush()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
