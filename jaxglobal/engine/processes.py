"""Several processes on JAX's multi-controller runtime: how they tell each other what they found, and agree.

The same script runs in every process. Each takes the same decisions from the same values, because after every chunk of
the lanes all hear from all (`gather`), and what depends on a clock or a file is what process 0 says (`first`). What is
told are arrays; no pickle is made or loaded.
"""

import io
import re
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

HEARTBEAT = (
    20  # seconds without a sign of life after which a process counts as dead; an overloaded one may pause for 10
)
SHUTDOWN = 5  # seconds that a process which ends waits for the others
# What a ValueError of the runtime says whose cause is another process: a status of gRPC, or the transport's name.
DIED = re.compile(
    r"\b(UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|CANCELLED|INTERNAL|UNKNOWN|FAILED_PRECONDITION)\b"
    r"|(?i:gloo|socket|connection|heartbeat|coordination)"
)
FRAME = 2**12  # bytes told at a time; more are told at once in a second message


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    **options: Any,
) -> None:
    """Joins the processes of a search: `jax.distributed.initialize`, which notices within seconds that one has died.

    To be called first in every process, before anything else of JAX. Under Slurm, Open MPI and on Cloud TPUs the
    arguments are found by themselves.

    Args:
        coordinator_address: host:port of process 0, the same on every process.
        num_processes: how many there are.
        process_id: 0 for the first, 1 for the second, ...
        options: further ones of `jax.distributed.initialize`. Its time-outs are 20 s here: where a process is
            killed, the others say so and end within 30 s.

    Example:
        >>> import jaxglobal as jg
        >>> jg.processes.initialize("node0:12345", num_processes=2, process_id=0)  # doctest: +SKIP
    """
    options = {"heartbeat_timeout_seconds": HEARTBEAT, "shutdown_timeout_seconds": SHUTDOWN} | options
    jax.distributed.initialize(coordinator_address, num_processes, process_id, **options)


class Alone:
    """The only process.

    Attributes:
        count: processes that search together.
        index: of this one; process 0 writes and shows.
    """

    count, index = 1, 0

    def gather(self, tree: Any) -> list[Any]:
        """The trees of arrays of all processes, in their order; shapes may differ. Every process has to call it."""
        return [tree]

    def gather_arrays(self, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
        """The lists of arrays of all processes, in their order; lengths may differ."""
        return [arrays]

    def first(self, call: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        """What the call returns, or the error that it raises, in process 0."""
        return call()

    def same(self, parts: dict[str, str]) -> None:
        """Checks that all processes were given the same.

        Raises:
            ValueError: they were not.
        """


ALONE = Alone()


class Together(Alone):
    """All processes of `jax.distributed`."""

    def __init__(self):
        """The processes as they are."""
        self.count, self.index = jax.process_count(), jax.process_index()

    def gather(self, tree: Any) -> list[Any]:
        """See `Alone`."""
        leaves, treedef = jax.tree.flatten(tree)
        return [jax.tree.unflatten(treedef, arrays) for arrays in self.gather_arrays(leaves)]

    def gather_arrays(self, arrays: list[np.ndarray]) -> list[list[np.ndarray]]:
        """See `Alone`."""
        mine = pack(arrays)
        frames = self._exchange(np.concatenate([np.array([len(mine)]).view(np.uint8), mine[:FRAME]]), FRAME + 8)
        lengths = np.ascontiguousarray(frames[:, :8]).view(np.int64)[:, 0]
        told = frames[:, 8:]
        if np.max(lengths) > FRAME:
            told = self._exchange(mine, 1 << int(np.max(lengths) - 1).bit_length())
        return [unpack(row[:length]) for row, length in zip(told, lengths, strict=True)]

    def first(self, call: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        """See `Alone`."""
        error, arrays = "", []
        if self.index == 0:
            try:
                arrays = call()
            except (ValueError, OSError) as raised:
                error = str(raised)
        told = self.gather_arrays([text_array(error), *arrays])[0]
        if told[0].size:
            raise ValueError(array_text(told[0]))
        return told[1:]

    def same(self, parts: dict[str, str]) -> None:
        """See `Alone`."""
        names = list(parts)
        told = [
            [array_text(part) for part in row] for row in self.gather_arrays([text_array(v) for v in parts.values()])
        ]
        different = [name for i, name in enumerate(names) if len({row[i] for row in told}) > 1]
        if different:
            raise ValueError(
                f"every process must be given the same search; they were given different {', '.join(different)}."
            )

    def _exchange(self, row: np.ndarray, size: int) -> np.ndarray:
        """The bytes of every process, (count, size)."""
        from jax.experimental import multihost_utils

        padded = np.zeros(size, np.uint8)
        padded[: len(row)] = row
        try:
            return np.asarray(multihost_utils.process_allgather(padded)).reshape(self.count, size)
        except (jax.errors.JaxRuntimeError, ValueError) as error:
            if isinstance(error, ValueError) and not DIED.search(str(error)):
                raise
            raise RuntimeError(
                f"a process of this search has died, so process {self.index} ends too: start all of them again, and "
                "with a checkpoint the search goes on from it."
            ) from error


def group() -> Alone:
    """The processes that search together: all of `jax.distributed`, or this one."""
    return Together() if jax.process_count() > 1 else ALONE


def pack(arrays: list[np.ndarray]) -> np.ndarray:
    """The arrays as bytes, one after another in NumPy's file format."""
    file = io.BytesIO()
    for array in arrays:
        np.save(file, np.asarray(array), allow_pickle=False)
    return np.frombuffer(file.getvalue(), np.uint8)


def unpack(told: np.ndarray) -> list[np.ndarray]:
    """The inverse of `pack`."""
    file, arrays = io.BytesIO(told.tobytes()), []
    while file.tell() < len(told):
        arrays.append(np.load(file, allow_pickle=False))
    return arrays


def text_array(text: str) -> np.ndarray:
    """A text as an array of bytes."""
    return np.frombuffer(text.encode(), np.uint8)


def array_text(array: np.ndarray) -> str:
    """The inverse of `text_array`."""
    return array.tobytes().decode()
