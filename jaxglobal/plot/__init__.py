"""Pictures of a search, of its minima, of a fit, of profiles, of a proof, and of several solvers.

Needs matplotlib, which is imported when the first picture is drawn. Every function takes the axes to draw on and
returns them. Lines and text take the colours of the current style, so that the pictures also work on a dark background;
the colours of the marks are those of [OI], which the colour-blind can tell apart, and no meaning hangs on colour alone.

[OI] M. Okabe and K. Ito, Color universal design (2008).
"""

from jaxglobal.plot.fits import fit as fit
from jaxglobal.plot.fits import profile as profile
from jaxglobal.plot.landscapes import landscape as landscape
from jaxglobal.plot.places import minima as minima
from jaxglobal.plot.places import pairs as pairs
from jaxglobal.plot.places import slices as slices
from jaxglobal.plot.proofs import certificate as certificate
from jaxglobal.plot.searches import history as history
from jaxglobal.plot.searches import levels as levels
from jaxglobal.plot.searches import waterfall as waterfall
from jaxglobal.plot.solvers import data_profile as data_profile
