"""Multipliers at a kink of the objective or of a row, where one slope at the point says too little.

A minimum at a kink is stationary for a mean of the slopes around it [BLO]. So slopes are taken at points close by: with
weights w of those of the objective, which sum to one, and mu of those of each row, none negative,

    sum of w_k g_k + sum over rows and k of mu_jk s_j J_jk + bounds = 0,    lam_j = s_j sum of mu_jk,

s the side of its bound, is a least-squares problem with signs, as kkt.prices has without kinks.

[BLO] J. V. Burke, A. S. Lewis and M. L. Overton, A robust gradient sampling algorithm for nonsmooth, nonconvex
      optimization, SIAM J. Optim. 15 (2005).
"""

from typing import Any

import numpy as np

from jaxglobal.constraints import kkt
from jaxglobal.constraints.exact import Slopes
from jaxglobal.constraints.kkt import Frame

AROUND = 1e-7, 0.5  # of the box: the greater of this and eps of x to this power, which x is exact to at a kink
POINTS = 4  # for each variable, and the probes
PROBES, CLOSER, JUMP = 2, 0.1, 0.5  # a slope jumps that differs by as much, to this share, so much closer
SMOOTH = 1e-3  # slopes that differ by less than this share are those of one smooth function
SUM = 1e3  # weight of the equation that the weights sum to one


def multipliers(
    exact: Any, x: np.ndarray, g: np.ndarray, J: np.ndarray, side: np.ndarray, low: np.ndarray, high: np.ndarray,
    frame: Frame, dtype: Any,
) -> np.ndarray | None:  # fmt: skip
    """(m,) Multipliers of the signs that their bounds allow, as kkt.prices has them; None where x, (n,), has no kink.

    exact: which gives slopes. g, J: those at x.
    """
    near = max(AROUND[0], float(np.finfo(dtype).eps) ** AROUND[1]) * frame.width
    signs = np.random.default_rng(0).uniform(-1, 1, (POINTS * len(x), len(x)))
    signs = np.concatenate([signs[:1], -signs[:1], signs])  # the probes are on both sides
    of = lambda steps: exact.slopes(np.clip(x + steps, frame.low, frame.high))  # noqa: E731
    probes = of(np.concatenate([near * signs[:PROBES], CLOSER * near * signs[:PROBES]]))
    slopes = np.concatenate([probes.g[:, None], probes.J], axis=1) * frame.width
    if not np.all(np.isfinite(slopes)):
        return None
    moved = np.max(np.abs(slopes - np.concatenate([g[None], J]) * frame.width), axis=2).reshape(2, PROBES, -1)
    size = np.max(np.abs(slopes), axis=(0, 2))
    farther, closer = np.max(moved, axis=1)
    if not np.any((farther > SMOOTH * size) & (closer > JUMP * farther)):
        return None
    seen = of(near * signs)
    return prices(seen, side, low, high, frame) if all(np.all(np.isfinite(part)) for part in (seen.g, seen.J)) else None


def prices(seen: Slopes, side: np.ndarray, low: np.ndarray, high: np.ndarray, frame: Frame) -> np.ndarray:
    """The same from slopes close by."""
    movable, width = frame.width > 0, frame.width
    slopes, active = (seen.g * width)[:, movable], np.flatnonzero(side)
    size = max(float(np.max(np.abs(slopes), initial=0)), kkt.TINY)
    own, of, lam = [], [], np.zeros(len(side))
    for j in active:
        rows = np.unique((seen.J[:, j] * width)[:, movable], axis=0)
        length = max(float(np.max(np.linalg.norm(rows, axis=1))), kkt.TINY)
        for sign in (1, -1) if frame.equal[j] else (side[j],):
            own.append(sign * rows / length)
            of += [(j, sign / length)] * len(rows)
    unit = np.eye(len(width))
    held = np.concatenate([-unit[low & movable], unit[high & movable]])[:, movable]
    values = np.unique(slopes / size, axis=0)
    columns = np.concatenate([values, *own, held]).T
    summed = np.zeros(columns.shape[1])
    summed[: len(values)] = SUM
    goal = np.append(np.zeros(columns.shape[0]), SUM)
    weights = kkt.signed(np.concatenate([columns, summed[None]]), goal)
    for (j, sign), weight in zip(of, weights[len(values) :], strict=False):
        lam[j] += sign * weight * size
    return lam
