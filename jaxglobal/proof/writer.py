"""What every rule of a lowering has: the program that it writes into, and values that are numbers of it or arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxglobal.problem.keys import is_key
from jaxglobal.proof.agree import Agreement
from jaxglobal.proof.constant import known
from jaxglobal.proof.flat import Program
from jaxglobal.proof.refused import Withheld

LARGEST = 2**22  # entries of a value


class Writer:
    """Writes into a program. A value is a number of the program, or a NumPy array that is known exactly.

    Attributes:
        program: what is written into.
        narrow: whether the function rounds to less than float64 somewhere, which is left out.
    """

    def __init__(self, program: Program):
        """An empty one."""
        self.program, self.narrow, self._agree = program, False, Agreement(program)

    def closed(self, closed: Any, args: Sequence[Any]) -> list[Any]:
        """The outputs of a jaxpr with its constants, for these arguments."""
        raise NotImplementedError

    def id(self, value: Any) -> int:
        """The number of a value in the program."""
        if isinstance(value, Withheld):
            raise value.error
        return self.program.const(value) if isinstance(value, np.ndarray) else value

    def exactly(self, i: int, dtype: Any) -> Any:
        """Whole numbers that do not depend on x as an array: they may be indices."""
        number = self.program.number(i)
        if number is None or not np.all(number == np.rint(number)) or np.any(abs(number) > 2.0**53):
            return i
        return np.broadcast_to(number, (*self.program.shape(i), 1))[..., 0].astype(dtype)

    def row(self, x: Any, k: int) -> Any:
        """One entry along the first axis."""
        if isinstance(x, np.ndarray) or is_key(x):
            return known(x[k])
        p = self.program
        return p.reshape(p.rows(x, [k]), p.shape(x)[1:])

    def stacked(self, rows: Sequence[Any]) -> Any:
        """Values along a new first axis."""
        if all(isinstance(row, np.ndarray) for row in rows):
            return np.stack(rows)
        p, ids = self.program, [self.id(row) for row in rows]
        return p.concatenate([p.reshape(i, (1, *p.shape(i))) for i in ids], 0)
