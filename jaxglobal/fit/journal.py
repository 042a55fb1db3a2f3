"""A checkpoint of many fits: their state between two steps, and what the programs have returned since.

A step is the first searches of a group of data sets, or a round of further ones. All that is done with what programs
return is the same every time, so that a step that a limit has cut is made again from the state before it, and what the
file has of the blocks that had been run is taken from there.
"""

from typing import Any

import numpy as np

from jaxglobal.search.checkpoint import Checkpoint


class Journal:
    """Where the state of many fits is kept; nowhere without a checkpoint."""

    def __init__(self, kept: Checkpoint | None):
        """kept: the file."""
        self._kept, self._turn = kept, 0
        self._state: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._parts: list[tuple[np.ndarray, list[np.ndarray]]] = []

    def load(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The state between two steps, if the file has one; what has been run of the next step is at hand then."""
        read = None if self._kept is None else self._kept.read()
        if read is None:
            return None
        state, arrays = read
        counts = state.pop("parts")
        self._parts = [
            (arrays.pop(f"there_{i}"), [arrays.pop(f"part_{i}_{k}") for k in range(count)])
            for i, count in enumerate(counts)
        ]
        self._state, self._arrays = state, {name: array.copy() for name, array in arrays.items()}
        return state, arrays

    def commit(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """The state after a step."""
        if self._kept is None:
            return
        self._state, self._arrays = state, {name: array.copy() for name, array in arrays.items()}
        self._parts, self._turn = [], 0
        if self._kept.due:
            self.write()

    def noted(self) -> tuple[np.ndarray, list[np.ndarray]] | None:
        """Of the next program of the step, which data sets the file has, and what was returned for them."""
        return self._parts[self._turn] if self._turn < len(self._parts) else None

    def note(self, there: np.ndarray, fields: list[np.ndarray]) -> None:
        """There is more of what this program returns."""
        if self._kept is None:
            return
        self._parts[self._turn :] = [(there, fields)]
        if self._kept.due:
            self.write()

    def turn(self) -> None:
        """The next program follows."""
        self._turn += 1

    def write(self) -> None:
        """Writes the file."""
        if self._kept is None or not self._arrays:
            return
        arrays = dict(self._arrays)
        for i, (there, fields) in enumerate(self._parts):
            arrays |= {f"there_{i}": there} | {f"part_{i}_{k}": field for k, field in enumerate(fields)}
        self._kept.write(self._state | {"parts": [len(fields) for _, fields in self._parts]}, arrays)
