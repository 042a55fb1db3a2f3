"""jaxglobal finds the global minimum of a JAX function in a box.

Start at `minimize`; `search/loop.py` is the loop behind it.
"""

from jaxglobal import plot as plot
from jaxglobal import problems as problems
from jaxglobal.api.argmin import Argmin as Argmin
from jaxglobal.api.argmin import argmin as argmin
from jaxglobal.api.ask_tell import Search as Search
from jaxglobal.api.asynchronous import alevels as alevels
from jaxglobal.api.asynchronous import aminimize as aminimize
from jaxglobal.api.derivative import Derivative as Derivative
from jaxglobal.api.derivative import derivative as derivative
from jaxglobal.api.minimize import levels as levels
from jaxglobal.api.minimize import minimize as minimize
from jaxglobal.api.minimize_many import minimize_many as minimize_many
from jaxglobal.engine import processes as processes
from jaxglobal.engine.host import host as host
from jaxglobal.evidence.distinct import Minima as Minima
from jaxglobal.fit.curve_fit import curve_fit as curve_fit
from jaxglobal.fit.curve_fit_many import curve_fit_many as curve_fit_many
from jaxglobal.fit.fits import FitOutcome as FitOutcome
from jaxglobal.fit.fits import Fits as Fits
from jaxglobal.fit.fitted import Fit as Fit
from jaxglobal.local.bfgs import BFGS as BFGS
from jaxglobal.local.first_order import Optax as Optax
from jaxglobal.local.lbfgs import LBFGS as LBFGS
from jaxglobal.problem.bounds import Box as Box
from jaxglobal.problem.choice import Choice as Choice
from jaxglobal.problem.constraint import Constraint as Constraint
from jaxglobal.profiles import Contour as Contour
from jaxglobal.profiles import Curve as Curve
from jaxglobal.profiles import Profile as Profile
from jaxglobal.profiles import profile as profile
from jaxglobal.profiles.bootstrap import Bootstrap as Bootstrap
from jaxglobal.proof import Certificate as Certificate
from jaxglobal.proof import certify as certify
from jaxglobal.result import Level as Level
from jaxglobal.result import Minimum as Minimum
from jaxglobal.result import Result as Result
from jaxglobal.result import Unseen as Unseen
from jaxglobal.results import Finished as Finished
from jaxglobal.results import Outcome as Outcome
from jaxglobal.results import Results as Results
from jaxglobal.starts.adaptive import Adaptive as Adaptive
from jaxglobal.starts.designs import Grid as Grid
from jaxglobal.starts.designs import Halves as Halves
from jaxglobal.starts.designs import Sobol as Sobol
from jaxglobal.status import LocalStatus as LocalStatus
from jaxglobal.status import Status as Status
from jaxglobal.versions import show_versions as show_versions

__version__ = "0.1.0"
