"""jaxglobal finds the global minimum of a JAX function in a box.

Start at `minimize`; `running.py` is the loop behind it.
"""

from jaxglobal import plot as plot
from jaxglobal import problems as problems
from jaxglobal import processes as processes
from jaxglobal.adaptive import Adaptive as Adaptive
from jaxglobal.argmin import Argmin as Argmin
from jaxglobal.argmin import argmin as argmin
from jaxglobal.asynchronous import alevels as alevels
from jaxglobal.asynchronous import aminimize as aminimize
from jaxglobal.bfgs import BFGS as BFGS
from jaxglobal.bootstrap import Bootstrap as Bootstrap
from jaxglobal.choice import Choice as Choice
from jaxglobal.constraint import Constraint as Constraint
from jaxglobal.derivative import Derivative as Derivative
from jaxglobal.derivative import derivative as derivative
from jaxglobal.distinct import Minima as Minima
from jaxglobal.driver import levels as levels
from jaxglobal.driver import minimize as minimize
from jaxglobal.first_order import Optax as Optax
from jaxglobal.fit import Fit as Fit
from jaxglobal.fit import curve_fit as curve_fit
from jaxglobal.fits import Fits as Fits
from jaxglobal.fits import curve_fit_many as curve_fit_many
from jaxglobal.host import host as host
from jaxglobal.lbfgs import LBFGS as LBFGS
from jaxglobal.many import minimize_many as minimize_many
from jaxglobal.objective import Box as Box
from jaxglobal.profiles import Contour as Contour
from jaxglobal.profiles import Curve as Curve
from jaxglobal.profiles import Profile as Profile
from jaxglobal.profiles import profile as profile
from jaxglobal.proof import Certificate as Certificate
from jaxglobal.proof import certify as certify
from jaxglobal.result import Finished as Finished
from jaxglobal.result import Level as Level
from jaxglobal.result import LocalStatus as LocalStatus
from jaxglobal.result import Minimum as Minimum
from jaxglobal.result import Outcome as Outcome
from jaxglobal.result import Result as Result
from jaxglobal.result import Results as Results
from jaxglobal.result import Status as Status
from jaxglobal.result import Unseen as Unseen
from jaxglobal.search import Search as Search
from jaxglobal.starts import Grid as Grid
from jaxglobal.starts import Halves as Halves
from jaxglobal.starts import Sobol as Sobol
from jaxglobal.versions import show_versions as show_versions

__version__ = "0.1.0"
