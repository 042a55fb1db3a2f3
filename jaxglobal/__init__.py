"""jaxglobal finds the global minimum of a JAX function in a box.

Start at `minimize`; `driver.py` is the loop behind it.
"""

from jaxglobal import problems as problems
from jaxglobal import processes as processes
from jaxglobal.adaptive import Adaptive as Adaptive
from jaxglobal.argmin import Argmin as Argmin
from jaxglobal.argmin import argmin as argmin
from jaxglobal.asynchronous import alevels as alevels
from jaxglobal.asynchronous import aminimize as aminimize
from jaxglobal.bfgs import BFGS as BFGS
from jaxglobal.derivative import Derivative as Derivative
from jaxglobal.derivative import derivative as derivative
from jaxglobal.driver import levels as levels
from jaxglobal.driver import minimize as minimize
from jaxglobal.host import host as host
from jaxglobal.many import minimize_many as minimize_many
from jaxglobal.objective import Box as Box
from jaxglobal.result import Level as Level
from jaxglobal.result import LocalStatus as LocalStatus
from jaxglobal.result import Minimum as Minimum
from jaxglobal.result import Result as Result
from jaxglobal.result import Results as Results
from jaxglobal.result import Status as Status
from jaxglobal.search import Search as Search
from jaxglobal.starts import Grid as Grid
from jaxglobal.starts import Halves as Halves
from jaxglobal.starts import Sobol as Sobol

__version__ = "0.1.0"
