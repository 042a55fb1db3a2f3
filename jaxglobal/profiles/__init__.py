"""Profile likelihoods on top of the searches: how sure each parameter is. Start at entry.py; study.py is the loop."""

from jaxglobal.profiles.entry import profile as profile
from jaxglobal.profiles.records import Contour as Contour
from jaxglobal.profiles.records import Curve as Curve
from jaxglobal.profiles.records import Profile as Profile
