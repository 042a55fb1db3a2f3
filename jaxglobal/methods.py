"""Which local search: what `local=` says, or what fits the number of variables."""

from typing import Any

from jaxglobal.bfgs import BFGS
from jaxglobal.descent import Local
from jaxglobal.first_order import Optax
from jaxglobal.lbfgs import LBFGS

MATRIX = 200  # variables up to which BFGS is the faster one (`python benchmarks/large.py`)


def read(given: Any, n: int) -> Local:
    """The local search for `local=`, for n variables."""
    if isinstance(given, str) and given == "auto":
        return BFGS() if n <= MATRIX else LBFGS()
    if isinstance(given, BFGS | LBFGS | Optax):
        return given
    raise TypeError(f'`local` must be "auto", a jaxglobal.BFGS, a jaxglobal.LBFGS or a jaxglobal.Optax; got {given!r}.')
