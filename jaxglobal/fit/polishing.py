"""The distinct minima of a fit: the best to their last digits, and that one first which counts as the fit."""

import itertools

import numpy as np

from jaxglobal.evidence import minima
from jaxglobal.evidence.minima import Archive
from jaxglobal.fit import regression
from jaxglobal.fit.descent import MAX_NFEV, POLISH_NFEV, POLISH_TOL, SHARPENED
from jaxglobal.fit.equal import Equal, comes_before, first_of
from jaxglobal.fit.runs import Runs

LISTED = 64  # minima that are searched from again, at most


def polished(runs: Runs, archive: Archive, equal: Equal) -> Archive:
    """The minima of the archive, as far as the limits leave room for that."""
    merged = _merged(runs, archive, equal)
    if not len(merged.f):
        return merged
    x, f, status = merged.x.copy(), merged.f.copy(), merged.status.copy()
    if runs.limit() is None:
        count = min(LISTED, len(f))
        ended = runs.descend(x[:count], POLISH_TOL, POLISH_NFEV)
        lower = np.flatnonzero(ended.f < f[:count])
        x[lower], f[lower], status[lower] = ended.x[lower], ended.f[lower], ended.status[lower]
    for _ in range(SHARPENED):
        if not _sharpens(runs, x[np.argmin(f)]):
            break
        ended = runs.descend(x, POLISH_TOL, POLISH_NFEV)  # costs below are those of another bend
        x, f, status = ended.x, ended.f, ended.status
    again = _merged(runs, merged._replace(x=x, f=f, status=status), equal)
    first = first_of(again, runs.regression.searched, equal)
    again.x[first], again.f[first] = _exchanged(runs, again.x[first], float(again.f[first]), equal)
    order = [first, *(i for i in range(len(again.f)) if i != first)]
    return Archive(*(field[order] for field in again))


def _merged(runs: Runs, archive: Archive, equal: Equal) -> Archive:
    """The distinct ones."""
    lower, upper = runs.box
    return minima.merge(archive, lower, upper - lower, equal.least, equal.frtol)


def _sharpens(runs: Runs, x: np.ndarray) -> bool:
    """Narrows the bend of least absolute deviations where the residuals of the best fit ask for that."""
    if runs.regression.loss != "lad" or runs.limit() is not None:
        return False
    before, r = runs.data.scale, regression.left(runs.regression, runs.data, runs.values(x))
    runs.data = runs.data._replace(scale=np.asarray(runs.regression.sharper(runs.data, r).scale))
    return bool(runs.data.scale < before)


def _exchanged(runs: Runs, x: np.ndarray, f: float, equal: Equal) -> tuple[np.ndarray, float]:
    """The fit with equal parts of a sum in ascending order, where exchanging parameters gives an equal fit."""
    searched, (lower, upper) = runs.regression.searched, runs.box
    pairs = list(itertools.combinations(searched, 2))
    moves = [(pair,) for pair in pairs]
    moves += [both for both in itertools.combinations(pairs, 2) if len({*both[0], *both[1]}) == 4]
    for _ in range(len(searched)):
        tried = np.repeat(x[None], len(moves), axis=0)
        for row, move in zip(tried, moves, strict=True):
            for i, j in move:
                row[[i, j]] = row[[j, i]]
        inside = np.all((tried >= lower) & (tried <= upper), axis=1)
        earlier = np.array([comes_before(row[searched], x[searched]) for row in tried], bool)
        tried = tried[inside & earlier][:LISTED]
        if not len(tried) or runs.limit() is not None:
            break
        ended = runs.descend(tried, POLISH_TOL, MAX_NFEV)
        rows = ended.x[ended.f <= equal.highest(f)]
        rows = [row for row in rows if comes_before(row[searched], x[searched])]
        if not rows:
            break
        for row in rows:
            x = row if comes_before(row[searched], x[searched]) else x
        f = float(ended.f[np.argmin(np.max(np.abs(ended.x - x), axis=1))])
    return x, f
