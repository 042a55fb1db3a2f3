"""How sure a fit is: the covariance of its parameters, and the bands of what it predicts.

To first order in the errors, from the singular values of the Jacobian, with columns of norm one so that units do not
matter. A direction in which the parameters change nothing at the data is not determined: the parameters with a part in
it have an infinite variance, and so has a prediction that moves along it; the others have the variance that the data
give them, from the pseudoinverse. (In a traced fit, whose shapes are fixed, all are determined or none.) Nothing is
what rounding errors hide, however far the parameters move within the box: the rate of a decay of height 1e-16. How far
is counted in widths of the box, so that a parameter that a narrow one pins does not hold the others.

What is promised is for least squares: intervals and bands of normal errors of the stated sizes, of a model that is
nearly linear within them and whose parameters are not on a bound. For robust losses the Jacobian is that which the loss
weighs, as in SciPy; for least absolute deviations 1 / (2 density of the residuals at zero)^2 takes the place of their
variance, [KB]. There the scatter of a new observation is that which as large a share of the residuals keeps to as the
level says.

[KB] R. Koenker and G. Bassett, Regression quantiles, Econometrica 46 (1978); the bandwidth is Bofinger's.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxglobal.fit import arguments, regression
from jaxglobal.fit.data import Data
from jaxglobal.fit.regression import Regression
from jaxglobal.fit.units import Units, in_range
from jaxglobal.local.levenberg import ROUNDING
from jaxglobal.problem.closed import is_traced
from jaxglobal.problem.linear_algebra import own


class Errors(NamedTuple):
    """What the errors of a fit are made of; n parameters, N data.

    Attributes:
        pcov: (n, n) the covariance.
        root: (n, r) with pcov = size root root' in the directions that are determined.
        null: (n, k) those that are not.
        touched: (n,) the parameters with a part in these.
        size: () by which the square of the errors of the data is multiplied.
        residuals: (N,) in units of their errors.
        dof: degrees of freedom.
        known: whether the size of the errors was given.
        normal: whether the loss is that of normal errors.
    """

    pcov: Any
    root: Any
    null: Any
    touched: Any
    size: Any
    residuals: Any
    dof: int
    known: bool
    normal: bool

    def variance(self, J: np.ndarray) -> np.ndarray:
        """Of a prediction whose derivatives in the parameters are J, (M, n): (M,)."""
        with np.errstate(invalid="ignore"):
            variance = self.size * np.sum((J @ self.root) ** 2, axis=1)
        if not self.null.size:
            return np.where(np.any(J @ self.root, axis=1), variance, 0.0)
        along = np.max(np.abs(J @ self.null), axis=1)
        whole = np.max(np.abs(J) * np.max(np.abs(self.null), axis=1), axis=1)
        undetermined = along > TOUCHED * np.where(whole > 0, whole, np.inf)
        return np.where(undetermined, np.inf, np.where(np.any(J @ self.root, axis=1), variance, 0.0))

    def out_of(self, units: Units) -> "Errors":
        """The same in the user's units, of a fit in these."""
        p, r = (unit if is_traced(unit) else np.asarray(unit, float) for unit in (units.p, units.r))
        return self._replace(
            pcov=units.covariance(self.pcov),
            root=self.root * (p / r)[:, None],
            null=self.null * p[:, None],
            size=in_range(self.size, r, r),
            residuals=self.residuals * r,
        )

    def spread(self, level: float) -> float:
        """How many standard deviations of the mean keep to the level."""
        from scipy.special import ndtri, stdtrit  # takes a while to import

        if self.known and self.normal:
            return float(ndtri(0.5 + level / 2))
        return float(stdtrit(self.dof, 0.5 + level / 2)) if self.dof > 0 else np.inf

    def scatter(self, level: float) -> float:
        """The standard deviation of an observation, in units of its error."""
        if self.known:
            return 1.0
        if self.dof <= 0:
            return np.inf
        if self.normal:
            return float(np.sqrt(self.size))
        share = np.quantile(np.abs(self.residuals), level) * np.sqrt(len(self.residuals) / self.dof)
        return float(share / self.spread(level))


TOUCHED = 1e-3  # a smaller part of a direction is the rounding error of its computation


def errors(
    reg: Regression, data: Data, f: Any, y: Any, J: Any, absolute_sigma: bool, along: np.ndarray | None = None
) -> Errors:
    """Those of a fit with the cost f, the model y, (N,), and its Jacobian J, (N, n).

    along: (n, k) orthonormal directions in which alone the parameters can move, under constraints; None without.
    """
    xp: Any = jnp if is_traced((J, f, y)) else np
    free = np.flatnonzero(reg.free)
    N, n, moves = len(data.y), len(J[0]), len(free) if along is None else along.shape[1]
    dof = len(data.y) - moves
    r = regression.left(reg, data, y)
    if reg.loss == "lad":
        J = data.w @ J if reg.covariance else (data.w[:, None] if data.w.ndim else data.w) * J
        size = 1 / (2 * density_at_zero(xp, r, dof)) ** 2
    else:
        _, J = regression.weigh(reg, data, y, J)
        one = 1.0 if data.units is None else data.units.r
        size = 1 / one**2 if absolute_sigma else xp.asarray(f / dof) if dof > 0 else xp.asarray(np.inf)
    if along is not None:
        return _along(np.asarray(J, np.float64), along, Errors(None, None, None, None, size, r, dof, absolute_sigma,
                      reg.loss == "linear"), float(jnp.finfo(reg.structure.dtype).eps) * N)  # fmt: skip
    A = J[:, free] if xp is jnp else np.asarray(J, np.float64)[:, free]
    squares = xp.sum(A**2, axis=0)
    scale = xp.sqrt(xp.where(squares > 0, squares, 1))  # the root of zero has no slope
    tolerance = float(jnp.finfo(reg.structure.dtype).eps) * N
    width = (reg.upper - reg.lower)[free] / (1 if data.units is None else data.units.p[free])
    hidden = noise(reg, reg.whiten(data.w, data.y))
    reach = scale * width
    root, null = (traced_directions if xp is jnp else directions)(A / scale, tolerance, reach, hidden)
    touched = has_part(null.T, reach)
    root, null = root / scale[:, None], null / scale[:, None]
    unit = root @ root.T
    inner = xp.where(xp.isfinite(xp.asarray(size)), unit * xp.where(xp.isfinite(size), size, 1), np.inf)
    inner = xp.where(touched[:, None] | touched[None], np.inf, inner)
    embed = np.eye(n, dtype=A.dtype)[:, free]
    pcov = np.zeros((n, n))
    if xp is jnp:
        pcov = jnp.asarray(pcov, J.dtype).at[np.ix_(free, free)].set(inner)
    else:
        pcov[np.ix_(free, free)] = inner
    which = embed @ touched > 0
    return Errors(pcov, embed @ root, embed @ null, which, size, r, dof, absolute_sigma, reg.loss == "linear")


def _along(J: np.ndarray, along: np.ndarray, known: Errors, tolerance: float) -> Errors:
    """The errors of parameters that can move in these directions, (n, k), alone."""
    A = J @ along
    norms = np.sqrt(np.sum(A**2, axis=0))
    scale = np.where(norms > 0, norms, 1)
    root, null = (along @ (part / scale[:, None]) for part in directions(A / scale, tolerance))
    whole = np.max(np.abs(null), axis=0, initial=0.0)
    touched = np.any(np.abs(null) > TOUCHED * np.where(whole > 0, whole, 1), axis=1)
    unit, size = root @ root.T, known.size
    pcov = np.where(unit != 0, unit * size, 0.0) if np.isfinite(size) else np.where(unit != 0, np.inf, 0.0)
    pcov[touched] = pcov[:, touched] = np.inf
    return known._replace(pcov=pcov, root=root, null=null, touched=touched)


def noise(reg: Regression, y: Any) -> Any:
    """The rounding errors of data in units of their errors, (N,) or (N, P): () or (P,)."""
    xp: Any = jnp if is_traced(y) else np
    eps = float(jnp.finfo(reg.structure.dtype).eps)
    return ROUNDING * eps * xp.sqrt(xp.sum(xp.asarray(y) ** 2, axis=0))


def directions(A: np.ndarray, tolerance: float, reach: Any = 1.0, hidden: Any = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Of the parameters, m of them: root (m, r) with root root' the pseudoinverse of A'A, and null (m, k).

    reach: (m,) how far they can move. hidden: changes of the model that are no larger are none.
    """
    if not np.all(np.isfinite(A)):
        return np.zeros((A.shape[1], 0)), np.eye(A.shape[1])
    _, s, Vt = np.linalg.svd(np.linalg.qr(A)[1], full_matrices=True)
    s = np.concatenate([s, np.zeros(len(Vt) - len(s))])
    large = s > tolerance * np.max(s, initial=0.0)
    root, null = Vt[large].T / s[large], Vt[~large].T
    _, s, Wt = np.linalg.svd(s[large, None] * Vt[large] * reach, full_matrices=False)  # in widths of the box
    seen = s > hidden
    if np.all(seen):
        return root, null
    lost = np.where(np.abs(Wt[~seen]) > TOUCHED, Wt[~seen], 0) * reach
    null = np.concatenate([null, (lost / np.linalg.norm(lost, axis=1, keepdims=True)).T], axis=1)
    return (Wt[seen] * reach).T / s[seen], null


def has_part(Vt: Any, reach: Any) -> Any:
    """(..., m) Which parameters have a part in any of these directions, (..., r, m); reach: as in `directions`."""
    xp: Any = jnp if is_traced((Vt, reach)) else np
    share = xp.abs(Vt) / xp.where(reach > 0, reach, 1)[..., None, :]  # along a direction to the end of the box
    share = share / xp.maximum(xp.max(share, axis=-1, keepdims=True, initial=0), xp.finfo(share.dtype).tiny)
    return xp.any((xp.abs(Vt) > TOUCHED) | (share > TOUCHED), axis=-2)


def covariances(
    R: np.ndarray, size: np.ndarray, free: np.ndarray, tolerance: float, width: np.ndarray, hidden: np.ndarray
) -> np.ndarray:
    """Those of many fits, (P, n, n), from the triangular factors of their Jacobians, (P, n, n); see `errors`.

    width: (P, n) of their boxes. hidden: (P,) changes of the model that are no larger are none.
    """
    pcov = np.full(R.shape, np.inf)
    which = np.flatnonzero(np.isfinite(R).all(axis=(1, 2)) & np.isfinite(size))
    A = np.asarray(R, np.float64)[which][:, :, free]
    norms = np.sqrt(np.sum(A**2, axis=1))
    scale = np.where(norms > 0, norms, 1)
    _, s, Vt = np.linalg.svd(A / scale[:, None], full_matrices=False)
    large = s > tolerance * np.max(s, axis=1, keepdims=True, initial=0.0)
    reach = scale * width[which][:, free]
    parts, touched = Vt * (large / np.where(large, s, 1))[:, :, None], has_part(Vt * ~large[:, :, None], reach)
    least = np.min(np.where(large, s, np.inf), axis=1, initial=np.inf) * np.min(reach, axis=1, initial=np.inf)
    few = np.flatnonzero(least <= hidden[which])  # of the others no change is so small
    _, widths, Wt = np.linalg.svd((s * large)[few, :, None] * Vt[few] * reach[few, None])  # in widths of the box
    held = np.arange(s.shape[1]) < np.sum(large[few], axis=1, keepdims=True)
    seen = held & (widths > hidden[which[few], None])
    lost = np.any(held & ~seen, axis=1)
    parts[few[lost]] = (Wt * reach[few, None] * (seen / np.where(seen, widths, 1))[:, :, None])[lost]
    touched[few] |= np.any((np.abs(Wt) > TOUCHED) & (held & ~seen)[:, :, None], axis=1)
    root = np.swapaxes(parts, 1, 2) / scale[:, :, None]
    inner = root @ np.swapaxes(root, 1, 2) * size[which, None, None]
    inner[touched[:, :, None] | touched[:, None]] = np.inf
    pcov[np.ix_(which, *2 * [np.flatnonzero(free)])] = inner
    pcov[:, ~free], pcov[:, :, ~free] = 0.0, 0.0
    return pcov


def traced_directions(A: Any, tolerance: float, reach: Any, hidden: Any) -> tuple[Any, Any]:
    """Likewise, differentiable; those whose whole column is not hidden all or none, as the shapes are fixed."""
    m = A.shape[1]
    one = jnp.eye(m, dtype=A.dtype)
    if len(A) < m:
        return jnp.zeros((m, m), A.dtype), one
    aside = (reach <= hidden) | ~jnp.any(A, axis=0)
    alone = one * aside  # with a row of its own, such a column has no part in the others
    R = own(jnp.linalg.qr)(jnp.concatenate([jnp.where(aside, 0, A), alone]))[1]
    own_part = jnp.abs(jnp.diag(R))  # of a column, beside what those before it have
    determined = jnp.all(aside | ((own_part > tolerance) & (own_part * reach > hidden)))
    return jnp.where(determined, own(jnp.linalg.inv)(jnp.where(determined, R, one)), 0), jnp.where(
        determined, alone, one
    )


def density_at_zero(xp: Any, r: Any, dof: int) -> Any:
    """The density of the residuals at zero, from the share of them within a bandwidth; [KB]."""
    N = len(r)
    width = min(0.4, N**-0.2 * 0.6)
    near = xp.sort(xp.abs(r))[min(N - 1, max(int(2 * width * N), N - dof))]
    return width / xp.where(near > 0, near, xp.finfo(r.dtype).tiny ** 0.5)


def error_of_new(data: Data, matrix: bool, x: Any, sigma: Any, count: int) -> np.ndarray:
    """The errors of new observations at x, (M,) or (), in the units of sigma.

    matrix: whether the weights of the data are a matrix. sigma: the user's own for them, if any. count: how many.

    Raises:
        ValueError: those of the data say nothing about these.
    """
    if sigma is not None:
        own = arguments.read_numbers("sigma", sigma, float)
        if own.shape not in ((), (1,), (count,)) or not np.all(np.isfinite(own)) or np.any(own <= 0):
            raise ValueError(f"`sigma` must be a positive number, or {count} of them; got {sigma!r}.")
        return own
    w = np.asarray(data.w, float)
    of_data = np.sqrt(np.sum(np.linalg.inv(w) ** 2, axis=1)) if matrix else 1 / w
    if x is None or np.all(of_data == np.ravel(of_data)[0]):
        return of_data if x is None else np.ravel(of_data)[0]
    if np.ndim(x) == 1 and np.ndim(data.x) == 1:
        order = np.argsort(data.x)
        return np.interp(np.asarray(x, float), np.asarray(data.x, float)[order], of_data[order])
    raise ValueError("`sigma` must be given for new observations at other abscissae, as the data have several.")
