"""When the search of a problem ends by what it has found: by the evidence between two rounds, or after a level."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from jaxglobal.evidence import confidence, stopping
from jaxglobal.problem import lattice
from jaxglobal.result import Unseen
from jaxglobal.search.source import MOST_STARTS, Source
from jaxglobal.status import Status


def by_evidence(source: Source, rules: stopping.Rules, nfev: int, searches: int, n: int, full: bool) -> Status | None:
    """Whether the evidence ends the search of n variables; asks for a last look where that alone is missing.

    nfev, searches: so far. full: whether more minima were found than are kept, so that `unseen` cannot be told.
    """
    counted = rules.unseen is not None and not full  # so that the share not yet seen decides
    evidence = source.evidence(nfev) if rules.same is None and not counted else None
    if evidence is None:
        return None
    left = MOST_STARTS if rules.max_starts is None else rules.max_starts - searches
    tried = source.tried
    if tried.pure and tried.all and math.isfinite(evidence.f):
        return Status.SAME
    if tried.pure and source.sweep(left):  # no evidence is as good as all of them
        return None
    if not confidence.convincing(evidence, nfev, n, tried.pure, tried.many, tried.seen is not None):
        return Status.NOISE if confidence.scattered(evidence, nfev) else None
    if evidence.looked:
        return Status.SAME if rules.unseen is None else Status.FULL
    if source.sweep(left) or source.contest(left):
        return None
    source.look(confidence.last_look(nfev), left)
    return None


def least_evaluations(tried: lattice.Tried) -> float:
    """Evaluations before which levels with the same best value say nothing of whole numbers, where starts are plain."""
    if tried.seen is None:
        return confidence.WHOLE * tried.many
    return 0 if tried.all else math.inf


def after_level(
    rules: stopping.Rules, best: Sequence[float], eps: float, nfev: int, source: Source, seen: Unseen | None,
    full: bool, dear: bool = False, believed: bool = True,
) -> Status | None:  # fmt: skip
    """Whether the search ends after a level, by its best values, one a level, after so many evaluations.

    seen: what the minima say about those not yet seen, where that is asked for. full: whether more minima were found
    than are kept. dear: whether a function without a finite value is given up whatever it took. believed: whether equal
    levels are evidence enough where starts do not learn, see `stopping.believed`.
    """
    usual = rules.same is None and rules.unseen is None and math.isfinite(best[-1])
    if usual and np.all(source.problem.values) and source.tried.all:
        return Status.SAME  # no further start is at a point that was not evaluated
    full = full and rules.unseen is not None
    told = dataclasses.replace(rules, unseen=None) if full else rules
    ended = stopping.after_level(told, best, eps, math.inf if dear else nfev, source.learns)
    if ended is Status.SAME and rules.same is None:
        tried = source.tried
        ended = ended if nfev >= least_evaluations(tried) and (believed or tried.pure) else None
    ended = ended or stopping.covered(told, seen)
    return Status.FULL if full and ended is Status.SAME else ended
