"""Shorthands for the operations of a program, for all that write into one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


class Writing:
    """What a program offers to those who write operations."""

    def shape(self, i: int) -> tuple[int, ...]:
        """Of a value."""
        raise NotImplementedError

    def const(self, value: Any) -> int:
        """A constant."""
        raise NotImplementedError

    def emit(
        self, op: str, ins: Sequence[int], shape: Sequence[int] | None = None, key: Any = (), **params: Any
    ) -> int:
        """The number of an operation's result."""
        raise NotImplementedError

    def add(self, a: int, b: int) -> int:
        """A + b."""
        return self.emit("add", (a, b))

    def sub(self, a: int, b: int) -> int:
        """A - b."""
        return self.emit("sub", (a, b))

    def mul(self, a: int, b: int) -> int:
        """A b."""
        return self.emit("mul", (a, b))

    def scaled(self, a: int, number: float) -> int:
        """A number that is known exactly, times a."""
        return self.mul(self.const(number), a)

    def unary(self, op: str, a: int) -> int:
        """A function of one value."""
        return self.emit(op, (a,))

    def sum(self, a: int, axes: Sequence[int]) -> int:
        """Along axes."""
        axes = tuple(sorted(int(axis) for axis in axes))
        shape = [size for d, size in enumerate(self.shape(a)) if d not in axes]
        if all(self.shape(a)[d] == 1 for d in axes):
            return self.reshape(a, shape)
        return self.emit("sum", (a,), shape, key=axes, axes=axes)

    def move(self, how: str, ins: Sequence[int], shape: Sequence[int], key: Any, **params: Any) -> int:
        """Entries in other places; see moves.py."""
        return self.emit("move", ins, tuple(shape), key=(how, tuple(shape), key), how=how, **params)

    def reshape(self, a: int, shape: Sequence[int]) -> int:
        """The same entries in another shape."""
        if tuple(shape) == self.shape(a):
            return a
        return self.move("reshape", (a,), shape, ())

    def broadcast(self, a: int, shape: Sequence[int]) -> int:
        """As NumPy does it, from the last axis on."""
        thin = (1,) * (len(shape) - len(self.shape(a))) + self.shape(a)
        return a if tuple(shape) == self.shape(a) else self.move("broadcast", (a,), shape, thin, thin=thin)

    def transpose(self, a: int, order: Sequence[int]) -> int:
        """Axes in another order."""
        order = tuple(int(d) for d in order)
        if order == tuple(range(len(order))):
            return a
        return self.move("transpose", (a,), [self.shape(a)[d] for d in order], order, order=order)

    def cut(self, a: int, cuts: Sequence[slice]) -> int:
        """Some of the entries along each axis."""
        ends = [c.indices(size) for c, size in zip(cuts, self.shape(a), strict=True)]
        shape = [len(range(*end)) for end in ends]
        if shape == list(self.shape(a)) and all(step == 1 for *_, step in ends):
            return a
        cuts = tuple(slice(start, stop if stop >= 0 else None, step) for start, stop, step in ends)
        return self.move("slice", (a,), shape, str(cuts), cuts=cuts)

    def concatenate(self, parts: Sequence[int], axis: int) -> int:
        """Along an axis."""
        if len(parts) == 1:
            return parts[0]
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(i)[axis] for i in parts)
        sizes = tuple(self.shape(i)[axis] for i in parts)
        return self.move("concatenate", parts, shape, axis, axis=axis, sizes=sizes)

    def take(self, a: int, index: np.ndarray) -> int:
        """Of the flat entries of a, those at an array of places."""
        index = np.asarray(index, np.int64)
        size = math.prod(self.shape(a))
        flat = index.ravel()
        if (
            len(flat)
            and len(flat) <= size
            and flat[0] + len(flat) <= size
            and np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat)))
        ):
            whole = self.reshape(a, (size,))
            return self.reshape(self.cut(whole, (slice(int(flat[0]), int(flat[0]) + len(flat)),)), index.shape)
        return self.move("take", (a,), index.shape, index.tobytes(), index=index)

    def rows(self, a: int, chosen: Sequence[int]) -> int:
        """Some of the entries along the first axis."""
        index = np.asarray(chosen, np.int64)
        if len(index) == self.shape(a)[0] and np.array_equal(index, np.arange(len(index))):
            return a
        if len(index) == 1:
            return self.cut(a, (slice(int(index[0]), int(index[0]) + 1), *(slice(None),) * (len(self.shape(a)) - 1)))
        return self.move("rows", (a,), (len(index), *self.shape(a)[1:]), index.tobytes(), index=index)
