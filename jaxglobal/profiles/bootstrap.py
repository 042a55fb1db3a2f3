"""Residual bootstrap: the fit of many data sets that the fitted model and its own residuals might have made.

Each set is the fitted curve plus residuals drawn with replacement, centred and scaled by sqrt(N / (N - p)), as a fit
makes them too small, [DH] section 7.3, in units of their errors where these differ. All sets are fitted globally at
once: where several minima fit about as well, some sets end in another one, and the intervals show it.

What is promised is what residuals can tell: equal distributions of errors in units of their sizes, and a model that is
right. Percentiles of few data are somewhat short of their level.

[DH] A. C. Davison and D. V. Hinkley, Bootstrap methods and their application (1997).
"""

import dataclasses
from typing import Any

import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.fit.curve_fit_many import curve_fit_many
from jaxglobal.fit.fits import Fits
from jaxglobal.fit.fitted import Fit
from jaxglobal.printing import table
from jaxglobal.profiles.records import nested
from jaxglobal.starts.designs import check_seed


@dataclasses.dataclass(frozen=True, eq=False)
class Bootstrap:
    """The outcome of `Fit.bootstrap`.

    Attributes:
        popt: the parameters of each set, in the structure of the fit, with a leading axis B.
        samples: (B, n) the same, one after another.
        names: of the parameters.
        fits: the `Fits` of all sets.
        fit: the `Fit` that they were made from.
    """

    popt: Any
    samples: np.ndarray
    names: list[str]
    fits: Fits
    fit: Fit = dataclasses.field(repr=False)

    @property
    def perr(self) -> np.ndarray:
        """(n,) The standard deviations of the parameters."""
        return np.std(self.samples, axis=0, ddof=1)

    @property
    def pcov(self) -> np.ndarray:
        """(n, n) Their covariance."""
        return np.atleast_2d(np.cov(self.samples, rowvar=False))

    def intervals(self, confidence: float = 0.95) -> Any:
        """The percentile interval (low, high) of each parameter, in the structure of the fit, as lists."""
        if not 0 < confidence < 1:
            raise ValueError(f"`confidence` must be between 0 and 1; got {confidence!r}.")
        low, high = np.quantile(self.samples, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0)
        pairs = list(zip(map(float, low), map(float, high), strict=True))
        structure = self.fit._regression.structure
        leaves = [nested(pairs[part], shape) for part, shape in zip(structure.parts, structure.shapes, strict=True)]
        return structure.treedef.unflatten(leaves)

    def __len__(self) -> int:
        """The number of sets."""
        return len(self.samples)

    def _rows(self) -> list[tuple[str, str]]:
        low, high = np.quantile(self.samples, [0.025, 0.975], axis=0)
        rows = [
            (name, f"{middle:.8g} +- {error:.3g}, 95 % in [{a:.6g}, {b:.6g}]")
            for name, middle, error, a, b in zip(
                self.names, np.median(self.samples, axis=0), self.perr, low, high, strict=True
            )
        ]
        return [*rows, ("sets", f"{len(self):,}, {int(np.sum(self.fits.success)):,} fitted with success")]

    def __repr__(self) -> str:
        """The medians, standard deviations and percentile intervals."""
        width = max(12, *(len(name) for name in self.names))
        return "\n".join(f"{name:>{width}}: {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        return table(self._rows())


def bootstrap(fit: Fit, count: int, seed: int, progress: bool | str) -> Bootstrap:
    """See `Fit.bootstrap`."""
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not whole or count < 2:
        raise ValueError(f"`count` must be a whole number of at least 2; got {count!r}.")
    check_seed(seed)
    if fit.result is None:
        raise TypeError("`fit` must be a finished one; got that of a traced program.")
    fit.check_unconstrained()
    if isinstance(fit._model, Host) or fit._model is None:
        raise TypeError("`fit` must be that of a JAX model that is at hand; got a host function, or none.")
    if fit.loss == "lad":
        raise ValueError("`fit` must be of another loss for many fits; got 'lad'.")
    if fit.dof <= 0:
        raise ValueError("`fit` must have more data than free parameters; it has no residuals.")
    w, y = np.asarray(fit.data.w, float), np.asarray(fit.data.y, float)
    if w.ndim == 2:
        raise ValueError("`fit` must have errors that are independent: residuals that hang together cannot be drawn.")
    residuals = w * np.asarray(fit.residuals, float)
    residuals = (residuals - np.mean(residuals)) * np.sqrt(len(y) / fit.dof)
    drawn = np.random.default_rng(seed).choice(residuals, (count, len(y)))
    sets = y - np.asarray(fit.residuals, float) + drawn / w
    guess = np.repeat(fit._regression.structure.flatten(fit.popt)[None], count, axis=0)
    structure = fit._regression.structure
    fits = curve_fit_many(
        fit._model, fit.data.x, sets, fit._bounds, None if w.ndim == 0 and w == 1 else 1 / w,
        loss=fit.loss, f_scale=float(fit.data.scale), p0=structure.unflatten(guess), x_axis=None, bounds_axis=None,
        seed=seed, progress=progress,
    )  # fmt: skip
    return Bootstrap(fits.popt, structure.flatten(fits.popt, axes=1), fit.names, fits, fit)
