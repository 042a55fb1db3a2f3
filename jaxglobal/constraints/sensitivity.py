"""How a minimiser under constraints, and its value, move with args and bounds: the KKT system of what is active.

At a minimiser x with multipliers lam the gradient of the Lagrangian L = f + lam'c vanishes in the variables F that no
bound holds, and the active rows A stand at their bounds. Differentiating both gives [F]

    [[L_FF, A_F'], [A_F, 0]] [dx_F; dlam] = -[dL_F; dc_A - dbound_A] - [L_FB; A_B] dx_B,

where dx_B is the movement of the bounds that hold the other variables; and the value moves with the partial derivatives
of the Lagrangian alone: dL/dargs, its slope at a variable's bound, and minus the multiplier at a row's.

[F] A. V. Fiacco, Introduction to Sensitivity and Stability Analysis in Nonlinear Programming (1983), chapter 3.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import kkt
from jaxglobal.constraints.exact import outputs
from jaxglobal.constraints.kkt import Frame
from jaxglobal.local import balance
from jaxglobal.problem.closed import Closed

NEAR = 1e-6  # as in implicit.py: a bound is about to be reached, or left, if so much of the box does it
HELD = 1e-9  # of the box: a variable is on its bound
NEARLY = 0.5  # the system is nearly singular where its singular values fall below eps to this power


class Sensitivity(NamedTuple):
    """The derivatives at a minimiser; n variables, m rows."""

    x_args: list[Any]
    """(n, ...) Of x in each leaf of the args, None where that is no floating-point number."""
    f_args: list[Any]
    x_box: np.ndarray
    """(n, 2, n) Of x in the lower and the upper bounds of the box."""
    f_box: np.ndarray
    """(2, n)"""
    x_rows: np.ndarray
    """(n, 2, m) Of x in the lower and the upper bounds of the rows."""
    f_rows: np.ndarray
    """(2, m)"""
    singular: bool
    touching: bool


def sensitivity(
    closed: Closed, leaves: list[Any], n_args: int, x: np.ndarray, active: np.ndarray, frame: Frame
) -> Sensitivity:
    """The derivatives at a minimiser x, (n,), of which these rows are active, (m,).

    leaves: what the function takes beside x, of which the first n_args are its args.
    """
    real = [i for i in range(n_args) if jnp.issubdtype(jnp.result_type(leaves[i]), jnp.floating)]
    m, n, width, rest = len(active), len(x), frame.width, leaves[n_args:]
    moved, fixed = [jnp.asarray(leaves[i]) for i in real], [leaves[i] for i in range(n_args) if i not in real]
    program = _program(closed, m, x.dtype, real, n_args)

    def run(x: Any, moved: Any, lam: Any) -> Any:
        return program(x, moved, lam, fixed, rest)

    at = jnp.asarray(x)
    g, _, J, c, *_ = jax.device_get(run(at, moved, jnp.zeros(m, x.dtype)))
    side = np.where(active, np.where(kkt.at_upper(c, frame), 1, -1), 0)
    low, high = x - frame.low <= HELD * width, frame.high - x <= HELD * width
    lam, _ = kkt.prices(g * width, J * width, side, frame.equal, low, high, width > 0)
    g, H, J, c, f_args, g_args, c_args = jax.device_get(run(at, moved, jnp.asarray(lam, x.dtype)))

    # A variable at a bound is held if the Lagrangian falls beyond it.
    held = (width <= 0) | (low & (g > 0)) | (high & (g < 0))
    free = ~held
    A = J[active][:, free] * width[free]
    length = np.maximum(np.linalg.norm(J[active] * width, axis=1), kkt.TINY)
    inner = H[np.ix_(free, free)] * width[free][:, None] * width[free]
    unit = max(float(np.max(np.abs(inner), initial=0.0)), float(np.max(np.abs(g * width), initial=0.0)), kkt.TINY)
    rank = len(length)
    K = np.block([[inner / unit, (A / length[:, None]).T], [A / length[:, None], np.zeros((rank, rank))]])
    K = balance.without_slight(K)
    D = balance.units(K)

    def solve(of_slope: np.ndarray, of_rows: np.ndarray) -> np.ndarray:
        """How the free variables move, (k, ...), with changes of the slope, (n, ...), and of all rows, (m, ...)."""
        flat = of_slope.reshape(n, -1), of_rows.reshape(m, -1)
        above, below = flat[0][free] * width[free][:, None] / unit, flat[1][active] / length[:, None]
        b, step = -np.concatenate([above, below]), above
        if len(K):
            scaled, _, found, _ = np.linalg.lstsq(D[:, None] * K * D, D[:, None] * b, rcond=kkt.NEWTON_DEPENDENT)
            # Of a system that leaves directions open the answer is the shortest one in units of the box.
            whole = found == len(K)
            step = D[:, None] * scaled if whole else np.linalg.lstsq(K, b, rcond=kkt.NEWTON_DEPENDENT)[0]
        out = np.zeros((n, flat[0].shape[1]))
        out[free] = step[: int(np.sum(free))] * width[free][:, None]
        return out.reshape(of_slope.shape)

    on = np.stack([held & (low | (width <= 0)), held & ~low & high])  # which bound holds a variable
    x_box = np.zeros((n, 2, n))
    for which in range(2):
        moves = np.diag(on[which].astype(float))
        x_box[:, which] = moves + solve(H @ moves, J @ moves)
    upper = np.where(frame.equal, lam >= 0, side > 0)
    sides = np.stack([active & ~upper, active & upper])
    x_rows = np.stack([solve(np.zeros((n, m)), -np.diag(which.astype(float))) for which in sides], axis=1)
    x_args: list[Any] = [None] * n_args
    of_args: list[Any] = [None] * n_args
    for i, of_slope, of_rows, of_f in zip(real, g_args, c_args, f_args, strict=True):
        x_args[i], of_args[i] = solve(np.asarray(of_slope), np.asarray(of_rows)), np.asarray(of_f)

    # Where it means little.
    values = np.linalg.svd(K, compute_uv=False) if len(K) else np.ones(1)
    eps = float(np.finfo(x.dtype).eps) ** NEARLY
    Z = kkt.along(A / length[:, None])
    curvature = np.linalg.eigvalsh(Z.T @ inner @ Z) if Z.shape[1] else np.ones(1)
    singular = bool(values[-1] <= eps * values[0] or curvature[0] <= eps * unit)
    whole = np.maximum(np.linalg.norm(J * width, axis=1), kkt.TINY)
    one_sided = active & ~frame.equal
    leaves_row = np.any(np.abs(lam * whole)[one_sided] <= NEAR * unit)
    away = np.minimum(np.abs(c - frame.upper), np.abs(c - frame.lower)) / whole
    reaches_row = np.any(away[~active] <= NEAR)
    leaves_bound = np.any(np.abs(g * width)[held & (width > 0)] <= NEAR * unit)
    reaches_bound = np.any((np.minimum(x - frame.low, frame.high - x) <= NEAR * width)[free])
    touching = bool(leaves_row or reaches_row or leaves_bound or reaches_bound)
    f_box, f_rows = np.where(on, g, 0.0), np.where(sides, -lam, 0.0)
    return Sensitivity(x_args, of_args, x_box, f_box, x_rows, f_rows, singular, touching)


def _program(closed: Closed, m: int, dtype: Any, real: list[int], n_args: int) -> Any:
    """The slopes and curvature at a point, and how they move with the args that are real; kept for later calls."""
    key = ("sensitivity", m, str(dtype), tuple(real), n_args)
    if key in closed.programs:
        return closed.programs[key]
    f_of = outputs(closed, dtype)

    def told(x, moved, lam, fixed, rest):
        def both(x, moved):
            of_real, of_fixed = iter(moved), iter(fixed)
            given = [next(of_real) if i in real else next(of_fixed) for i in range(n_args)]
            return f_of(x, [*given, *rest])

        def value(x, moved):
            f, c = both(x, moved)
            return f + lam @ c

        rows = lambda x, moved: both(x, moved)[1]  # noqa: E731
        slope = jax.grad(value)
        here = slope(x, moved), jax.jacfwd(slope)(x, moved), jax.jacrev(rows)(x, moved), rows(x, moved)
        if not moved:  # jacrev takes no empty list
            return *here, [], [], []
        by_args = (jax.grad(value, argnums=1), jax.jacrev(slope, argnums=1), jax.jacrev(rows, argnums=1))
        return *here, *(part(x, moved) for part in by_args)

    closed.programs[key] = jax.jit(closed.safe(told, jax.default_backend()))
    return closed.programs[key]
