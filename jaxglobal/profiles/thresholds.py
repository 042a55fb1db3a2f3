"""How far above its minimum a cost may lie for a parameter to be inside a confidence set.

Least squares with errors of unknown size: S(theta) <= S_min (1 + q F(q, N - p) / (N - p)), the likelihood ratio as an F
statistic, [BW] section 6.1, [SW] section 5.3. Errors of known size: S - S_min <= chi squared of q. A negative
log-likelihood: half of that, by Wilks' theorem, [W], for profiles [VM]. q parameters are held, all others re-optimised.

[BW] D. M. Bates and D. G. Watts, Nonlinear regression analysis and its applications (1988).
[SW] G. A. F. Seber and C. J. Wild, Nonlinear regression (1989).
[W]  S. S. Wilks, The large-sample distribution of the likelihood ratio, Ann. Math. Stat. 9 (1938).
[VM] D. J. Venzon and S. H. Moolgavkar, A method for computing profile-likelihood-based confidence intervals, Appl.
     Statist. 37 (1988).
"""

from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """What a cost means."""

    kind: str
    """"F" (squares, errors of unknown size), "chi squared" (of known size), or "likelihood" (minus its logarithm)."""
    confidence: float
    dof: int
    """Data minus free parameters; of squares."""

    def rise(self, fun: float, held: int = 1) -> float:
        """How far above the lowest cost the set ends, with so many parameters held; inf where it does not end."""
        from scipy.special import chdtri, fdtri  # takes a while to import

        if self.kind == "F":
            share = held * float(fdtri(held, self.dof, self.confidence)) / self.dof if self.dof > 0 else np.inf
            return fun * share if fun > 0 else (0.0 if np.isfinite(share) else np.inf)
        whole = float(chdtri(held, 1 - self.confidence))
        return whole if self.kind == "chi squared" else whole / 2

    def unit(self, fun: float) -> float:
        """The rise of the quadratic approximation at one standard error."""
        if self.kind == "F":
            return fun / self.dof if self.dof > 0 else np.inf
        return 1.0 if self.kind == "chi squared" else 0.5

    def __str__(self) -> str:
        """In words."""
        name = f"F, {self.dof} degrees of freedom" if self.kind == "F" else "chi squared"
        return f"{100 * self.confidence:g} %, {name}{', of the likelihood' if self.kind == 'likelihood' else ''}"
