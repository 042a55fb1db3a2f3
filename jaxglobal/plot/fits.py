"""Pictures of a fit, with its bands, and of profiles, with their intervals and contours."""

import dataclasses
from typing import Any

import numpy as np

from jaxglobal.fit.fitted import Fit
from jaxglobal.plot import axes
from jaxglobal.plot.axes import BLUE, GREEN, ORANGE, SKY
from jaxglobal.profiles import Contour, Curve, Profile

CURVE = 800  # points of a fitted curve
MANY = 400  # data, from which on they are drawn small and under the curve
HIGH = 2.6  # thresholds: the top of the picture of a profile
BETWEEN = 16  # pieces of a profile between two of its points
FINER = 4  # pieces of a contour's grid between two of its points
WIDE = 0.7  # of the width of a set: how far beside it a profile is drawn


def fit(fit: Fit, level: float = 0.95, ax: Any = None) -> Any:
    """The data, the fitted curve with the bands of its mean and of a new observation, and the next best local fit.

    Data of which the errors were given have error bars where they are few. On a logarithmic axis the curve has its
    points evenly on it.

    Args:
        fit: what `curve_fit` returned, for one abscissa.
        level: of confidence.
        ax: axes to draw on, also with logarithmic scales; None makes new ones.

    Returns:
        The axes.

    Raises:
        TypeError: it is no fit.
        ValueError: the data have more than one abscissa.
    """
    if not isinstance(fit, Fit):
        what = "several" if type(fit).__name__ == "Fits" else type(fit).__name__
        raise TypeError(f"`fit` must be what curve_fit returned, one fit; got {what}.")
    x, y = fit.data.x, np.asarray(fit.data.y)
    if np.shape(x) != y.shape:
        raise ValueError(f"`fit` must be of data with one abscissa to be drawn; got shape {np.shape(x)} for {y.shape}.")
    ax, x = axes.made(ax), np.asarray(x)
    order, many = np.argsort(x), len(x) > MANY
    line = np.linspace(np.min(x), np.max(x), CURVE)
    if ax.get_xscale() == "log" and np.any(x > 0):
        line = np.geomspace(np.min(x[x > 0]), np.max(x), CURVE)
    smooth = fit.on_grid(line)
    if smooth:
        mean, new = fit.predict(line, level), fit.predict(line, level, new=True)
    else:  # a model that is made for its abscissae
        line = x[order]
        mean, new = (
            type(band)(*(part[order] for part in band))
            for band in (fit.predict(None, level), fit.predict(None, level, True))
        )
    ax.fill_between(line, new.lower, new.upper, color=SKY, alpha=0.18, lw=0, label=f"{100 * level:g} % of new data")
    ax.fill_between(
        line, mean.lower, mean.upper, color=SKY, alpha=0.5, lw=0, label=f"{100 * level:g} % band of the mean"
    )
    cost = f", cost {fit.fun:.3g}" if len(fit.fits) > 1 else ""
    ax.plot(line, mean.y, color=ORANGE, lw=2, label=f"best fit{cost}", zorder=4)
    if len(fit.fits) > 1:
        second = fit.fits[1]
        at, told = x[order], (y - second.residuals)[order]
        if smooth:
            at, told = line, dataclasses.replace(fit, popt=second.popt).predict(line).y
        ax.plot(
            at, told, color=GREEN, lw=1.2, ls="--", zorder=3,
            label=f"next local fit, cost {second.fun:.3g}",
        )  # fmt: skip
    size, alpha = (2.5, max(0.15, 200 / len(x))) if many else (5, 0.75)
    ax.plot(x, y, ".", color=axes.ink(ax), ms=size, alpha=alpha, label="data", zorder=1 if many else 2, rasterized=many)
    w = np.asarray(fit.data.w, float)
    if not many and (w.ndim == 1 or (w.ndim == 0 and w != 1)):
        errors = np.broadcast_to(1 / w, y.shape)
        ax.errorbar(x, y, errors, fmt="none", ecolor=axes.ink(ax), elinewidth=0.8, alpha=alpha, zorder=1)
    ax.set(xlabel="x", ylabel="y")
    axes.above(ax)
    return axes.tidy(ax)


def profile(profile: Profile | Curve | Contour, ax: Any = None) -> Any:
    """Profiles: the re-optimised cost, the threshold, the intervals below it, and the quadratic approximation beside.

    Costs are drawn as their rise above the lowest, in units of the threshold's. Contours follow, where there are any.

    Args:
        profile: what `profile` returned, or one of its curves or contours.
        ax: as many axes as curves and contours to draw on; None makes new ones.

    Returns:
        The axes, as an array.
    """
    if isinstance(profile, Profile):
        parts: list[Any] = [*(curve for curve in profile.curves if not curve.fixed), *profile.contours]
    elif isinstance(profile, Curve | Contour):
        parts = [profile]
    else:
        raise TypeError(f"`profile` must be what jaxglobal.profile returned; got {type(profile).__name__}.")
    if not parts:
        raise ValueError("`profile` must have a parameter that is not fixed.")
    drawn = axes.panels(ax, len(parts), 2 if len(parts) in (2, 4) else 3, (4.4, 3.2))
    for one, part in zip(drawn, parts, strict=True):
        contour(part, one) if isinstance(part, Contour) else curve(part, one)
    if isinstance(parts[0], Curve):
        axes.legend(drawn[0], loc="upper center")
    return drawn


def curve(part: Curve, ax: Any) -> None:
    """One profile."""
    lowest = float(np.min(part.fun))
    rise = part.threshold - lowest
    rise = rise if np.isfinite(rise) and rise > 0 else max(float(np.ptp(part.fun[np.isfinite(part.fun)])), 1e-300)
    ends = np.array([end for interval in part.intervals for end in interval] or [part.best])
    width = max(np.ptp(ends), 1e-12 * abs(part.best))
    low, high = max(np.min(ends) - WIDE * width, part.values[0]), min(np.max(ends) + WIDE * width, part.values[-1])
    for k, (a, b) in enumerate(part.intervals):
        ax.axvspan(a, b, ymax=1 / HIGH, color=SKY, alpha=0.3, lw=0, label=None if k else "confidence set")
    if np.isfinite(part.error) and part.error > 0:
        at = np.linspace(low, high, 200)
        ax.plot(at, (part.quadratic(at) - lowest) / rise, color=GREEN, ls="--", lw=1.2, label="quadratic")
    height = (part.fun - lowest) / rise
    shape = {"color": BLUE, "lw": 1.6, "ms": 4, "label": "profile"}
    ax.plot(*between(part.values, height, part.best), marker=".", markevery=BETWEEN, **shape)
    ax.axhline(1, color=axes.ink(ax), lw=0.8, ls=":", label="threshold")
    ax.plot(part.best, 0, "D", color=ORANGE, mec=axes.ink(ax), mew=0.6, ms=7, clip_on=False, zorder=5)
    margin = 0.02 * (high - low)
    ax.set(xlabel=part.name, ylabel="rise of the cost", xlim=(low - margin, high + margin), ylim=(0, HIGH))
    ax.set_title("\n".join(shown(part)), fontsize="small")
    axes.tidy(ax)


def between(values: np.ndarray, height: np.ndarray, best: float) -> tuple[np.ndarray, np.ndarray]:
    """A profile with points between its own: the root of a rise is nearly straight through the minimum."""
    share = np.arange((len(values) - 1) * BETWEEN + 1) / BETWEEN
    at, root = np.interp(share, np.arange(len(values)), values), np.sqrt(np.maximum(height, 0))
    root = np.where(values < best, -root, root)
    with np.errstate(invalid="ignore"):
        told = np.isfinite(np.interp(share, np.arange(len(root)), root))
    known = np.isfinite(root) & (np.diff(values, prepend=-np.inf) > 0)
    return at, np.where(told, smooth(values[known], root[known], at), np.nan) ** 2


def smooth(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Curves through points, y (k, ...), that turn nowhere between two of them."""
    from scipy.interpolate import PchipInterpolator  # takes a while to import

    return PchipInterpolator(x, y)(at) if len(x) > 1 else np.broadcast_to(y[:1], (len(at), *y.shape[1:]))


def shown(part: Curve) -> list[str]:
    """The intervals in few digits, two in a line."""
    texts = [
        f"[{a:.5g}{'*' * at_a}, {b:.5g}{'*' * at_b}]"
        for (a, b), (at_a, at_b) in zip(part.intervals, part.at_bound, strict=True)
    ]
    return [" or ".join(texts[i : i + 2]) for i in range(0, min(len(texts), 4), 2)]


def contour(part: Contour, ax: Any) -> None:
    """One confidence set of two parameters."""
    lowest = float(np.min(part.fun))
    rise = part.threshold - lowest
    height = np.where(np.isfinite(part.fun), (part.fun - lowest) / (rise if rise > 0 else 1), 1e6).T
    fine = [np.interp(np.arange(0, len(v) - 1 + 1 / FINER, 1 / FINER), np.arange(len(v)), v) for v in part.values]
    a, b = fine
    height = smooth(part.values[1], smooth(part.values[0], height.T, a).T, b)
    ax.contourf(a, b, height, levels=[0, 1], colors=[SKY], alpha=0.35)
    ax.contour(a, b, height, levels=[0.25, 0.5, 1], colors=[BLUE], linewidths=[0.6, 0.6, 1.6])
    ax.plot(*part.best, "D", color=ORANGE, mec=axes.ink(ax), mew=0.6, ms=7, zorder=5)
    ax.set(xlabel=part.names[0], ylabel=part.names[1])
    ax.set_title("confidence set of both together", fontsize="small")
    axes.tidy(ax)
