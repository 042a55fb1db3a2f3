"""What is made of values and slopes that were told: scales, ranks, and the augmented Lagrangian with its gradient.

What lagrangian.py and feasible.py are for a function that JAX traces, this is in NumPy, of f and the m rows at points
of n variables.
"""

import numpy as np

from jaxglobal.constraints import feasible, lagrangian
from jaxglobal.constraints.subject import Subject, spreads

LEAST_SLOPE = 1e-12  # of which a scale is made


def measure(subject: Subject, told: np.ndarray, whole: bool) -> None:
    """Takes the scales from values at many points, (k, 1 + m). whole: whether there are whole numbers."""
    size = spreads(told)
    known = np.isfinite(size) & (size > LEAST_SLOPE)
    if np.any(known) or whole:
        subject.use(np.where(known, 1 / np.where(known, size, 1), 1.0))
    if whole:
        subject.frame = subject.frame._replace(spread=np.where(known, size, 0.0)[1:])


def ranks(subject: Subject, told: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(k,) The ranks of points with these values, (k, 1 + m)."""
    frame = subject.frame
    with np.errstate(over="ignore", invalid="ignore"):
        rows = [np.asarray(side, dtype) for side in (frame.lower, frame.upper, subject.size[1:])]
        f, c = told[:, 0].astype(dtype), told[:, 1:].astype(dtype)
        return feasible.told_apart(feasible.rank(f, c, *rows, xp=np).astype(dtype))[0]


def scaled(packed: np.ndarray, slopes: np.ndarray, subject: Subject) -> np.ndarray:
    """A packed start with the scales that its own slopes, (1 + m, n), give."""
    length = np.linalg.norm(slopes * subject.frame.width, axis=1)
    size = np.where(np.isfinite(length) & (length > LEAST_SLOPE), 1 / np.maximum(length, LEAST_SLOPE), 1.0)
    parts = lagrangian.unpack(packed, subject.rows.m)
    return lagrangian.pack(parts._replace(size=size[1:], f_size=size[:1]))


def lagrangian_at(
    packed: np.ndarray, told: np.ndarray, slopes: np.ndarray, subject: Subject
) -> tuple[float, np.ndarray]:
    """Value and gradient of the augmented Lagrangian in the packed variables. told: (1 + m,). slopes: (1 + m, n)."""
    parts, frame, n = lagrangian.unpack(packed, subject.rows.m), subject.frame, slopes.shape[1]
    lam, size, f_size, rho = parts.lam, parts.size, float(parts.f_size[0]), float(parts.rho[0])
    g = np.zeros(len(packed))
    with np.errstate(invalid="ignore"):  # a row or a slope that is not finite makes a bad trial
        t = told[1:] * size + lam / rho
        d = t - np.clip(t, frame.lower * size, frame.upper * size)
        value = told[0] * f_size + rho / 2 * d @ d - lam @ lam / (2 * rho)
        g[:n] = f_size * slopes[0] + (rho * d * size) @ slopes[1:]
    g[n : n + len(lam)] = d - lam / rho
    return float(value), g
