"""jaxglobal finds the global minimum of a JAX function in a box.

Start at `minimize`; `driver.py` is the loop behind it.
"""

from jaxglobal import problems as problems
from jaxglobal.bfgs import BFGS as BFGS
from jaxglobal.driver import levels as levels
from jaxglobal.driver import minimize as minimize
from jaxglobal.objective import Box as Box
from jaxglobal.result import Level as Level
from jaxglobal.result import LocalStatus as LocalStatus
from jaxglobal.result import Minimum as Minimum
from jaxglobal.result import Result as Result
from jaxglobal.result import Status as Status
from jaxglobal.starts import Grid as Grid
from jaxglobal.starts import Sobol as Sobol

__version__ = "0.1.0"
