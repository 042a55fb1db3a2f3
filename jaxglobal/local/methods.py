"""Which local search: what `local=` says, or what fits the number of variables.

Measured (`python benchmarks/large.py --part crossover`): on coupled functions L-BFGS takes fewer evaluations than BFGS,
and is the faster one from some 25 variables on; on a separable function with scales from 1 to 10^4 it takes up to four
times as many, and is the faster one from some 65 on. The matrix is kept as long as it wins on one of them.
"""

from typing import Any

from jaxglobal.local.bfgs import BFGS
from jaxglobal.local.descent import Local
from jaxglobal.local.first_order import Optax
from jaxglobal.local.lbfgs import LBFGS

MATRIX = 64  # variables up to which a matrix is kept (`python benchmarks/large.py --part crossover`)


def read(given: Any, n: int) -> Local:
    """The local search for `local=`, for n variables."""
    if isinstance(given, str) and given == "auto":
        return BFGS() if n <= MATRIX else LBFGS()
    if isinstance(given, BFGS | LBFGS | Optax):
        return given
    raise TypeError(f'`local` must be "auto", a jaxglobal.BFGS, a jaxglobal.LBFGS or a jaxglobal.Optax; got {given!r}.')
