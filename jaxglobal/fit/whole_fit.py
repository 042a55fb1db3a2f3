"""Fits with whole numbers, or a `Choice`, among the parameters: each assignment of these is a fit of the others.

The whole numbers of a fit are held (low == high), so that the model is called at whole numbers alone, and everything
that a fit says, its degrees of freedom and its errors, is that of the other parameters. Up to `EACH` assignments are
all fitted, and the best is the lowest of them. Where there are more, or constraints, a search of whole and other
parameters together (api/minimize.py) says which one is fitted.
"""

import dataclasses
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.problem import choice, objective
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.closed import x64
from jaxglobal.problem.objective import Objective
from jaxglobal.result import Result
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.status import Status

EACH = 16  # assignments up to which each is fitted
SETTLED = Status.SAME  # a fit that ended by itself
ASKED = Status.CALLBACK, Status.INTERRUPTED, Status.CANCELLED, Status.MAX_TIME, Status.MAX_EVALS


class Lattice(NamedTuple):
    """The parameters of a fit some of which are whole.

    Attributes:
        problem: their layout and bounds; a `Choice` has indices, whole numbers have half a step more on each side.
        guesses: (K, n) the user's own.
        named: whether the model takes them as the pytree of a `Box`.
    """

    problem: Objective
    guesses: np.ndarray
    named: bool

    @property
    def size(self) -> int:
        """Assignments."""
        return math.prod(len(values) for values in self._values)

    @property
    def _values(self) -> list[np.ndarray]:
        """What each of the whole parameters may be."""
        p = self.problem
        sides = zip(np.ceil(p.lower[p.whole]), np.floor(p.upper[p.whole]), strict=True)
        return [np.arange(low, high + 1) for low, high in sides]

    def each(self) -> Iterator[np.ndarray]:
        """The assignments, (n,), zero for the other parameters."""
        for row in itertools.product(*self._values):
            yield self._placed(np.array(row))

    def _placed(self, row: np.ndarray) -> np.ndarray:
        whole = np.zeros(self.problem.structure.n, self.problem.structure.dtype)
        whole[self.problem.whole] = row
        return whole

    def assignment(self, popt: Any) -> np.ndarray:
        """That of these parameters."""
        return np.where(self.problem.whole, np.rint(self.problem.structure.of_point(popt)), 0)

    def held(self, row: np.ndarray | None) -> tuple[Any, Any]:
        """Bounds in which the parameters have this assignment, and guesses; without one, the box around all."""
        p, structure = self.problem, self.problem.structure
        half = np.where(p.whole & (p.lower < p.upper), 0.5, 0)
        ends = [(p.lower + half).astype(structure.dtype), (p.upper - half).astype(structure.dtype)]
        guesses = self.guesses
        if row is not None:
            *ends, guesses = (np.where(p.whole, row, part).astype(structure.dtype) for part in (*ends, guesses))
        low, high = (structure.point(end) for end in ends)
        guesses = structure.point(guesses) if len(guesses) else None
        bounds = Box(low, high) if self.named else list(zip(low.tolist(), high.tolist(), strict=True))
        return bounds, guesses


def read(model: Any, bounds: Any, p0: Any, integrality: Any) -> Lattice | None:
    """What the fit is to hold; None where no parameter is whole.

    Raises:
        TypeError: bounds that are traced.
        ValueError: a wrong mask, no whole number between bounds, or a guess that is not whole.
    """
    if integrality is None and not choice.within(bounds):
        return None
    try:
        with jax.enable_x64(x64() or isinstance(model, Host)):
            problem, guesses = objective.check_box(bounds, p0, False, integrality=integrality, opens=False)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`x0`", "`p0`")) from None
    return Lattice(problem, guesses, isinstance(bounds, Box)) if np.any(problem.whole) else None


def still(model: Any, lattice: Lattice) -> Any:
    """The model without derivatives by whole parameters, of which it need not have any, nor finite ones."""
    if isinstance(model, Host) or not callable(model):
        return model
    structure, whole = lattice.problem.structure, lattice.problem.whole

    def holding(x: Any, *parameters: Any) -> Any:
        leaves, treedef = jax.tree.flatten(parameters)
        if lattice.named:
            masks = [whole[part].reshape(shape) for part, shape in zip(structure.parts, structure.shapes, strict=True)]
        else:
            masks = list(whole[: len(leaves)])
        parts = [
            jax.numpy.where(mask, jax.lax.stop_gradient(leaf), leaf) for mask, leaf in zip(masks, leaves, strict=True)
        ]
        return model(x, *jax.tree.unflatten(treedef, parts))

    try:
        holding.__signature__ = inspect.signature(model)  # type: ignore[attr-defined]  # the names of the parameters
    except (TypeError, ValueError):  # some built-in functions have none
        pass
    return holding


def best(
    lattice: Lattice, fit: Callable[..., Any], rules: dict[str, Any], began: float, found: Result | None = None
) -> Any:
    """The best fit of all assignments, or of that of a search, with what all of them took.

    fit: fit(bounds, p0, **limits) -> Fit. rules: max_time and max_evals. found: by the search.
    """
    fits: list[Any] = []
    spent, status = 0 if found is None else found.nfev, None
    rows = lattice.each() if found is None else [lattice.assignment(found.x)]
    for row in rows:
        limits = dict(rules)
        if rules["max_time"] is not None:
            limits["max_time"] = max(rules["max_time"] - (time.perf_counter() - began), 0.0)
        if rules["max_evals"] is not None:
            limits["max_evals"] = max(rules["max_evals"] - spent, 1)
        held, guesses = lattice.held(row)
        fits.append(fit(held, guesses if found is None else found.x, **limits))
        spent += fits[-1].result.nfev
        status = fits[-1].result.status if fits[-1].result.status in ASKED else None
        if status is not None and found is None and len(fits) < lattice.size:
            break
    return merged(lattice, fits, status, began, found)


def merged(lattice: Lattice, fits: list[Any], status: Status | None, began: float, found: Result | None) -> Any:
    """The best of these fits, whose search is that of all. status: of the limit that left some out."""
    costs = [float(fit.fun) if np.isfinite(fit.fun) else math.inf for fit in fits]
    which = int(np.argmin(costs))
    chosen, searches = fits[which], [fit.result for fit in fits] + ([] if found is None else [found])
    result = chosen.result
    words = result.message
    if found is not None:
        words = f"{words}; its whole numbers are those of a search of all parameters: {found.message}"
        status = None if found.status is SETTLED else found.status
    elif status is None:
        words = f"{words}; each of the {lattice.size:,} assignments of whole numbers was fitted"
    else:
        words = f"{status.value}; {len(fits):,} of {lattice.size:,} assignments of whole numbers were fitted"
    minima = sorted((m for fit in fits for m in fit.result.minima), key=lambda m: m.fun)
    result = dataclasses.replace(
        result,
        success=bool(all(search.success for search in searches)),
        status=result.status if status is None else status,
        message=words,
        nfev=sum(search.nfev for search in searches),
        njev=sum(search.njev for search in searches),
        nstarts=sum(search.nstarts for search in searches),
        minima=minima,
        time=time.perf_counter() - began,
        compile_time=sum(search.compile_time for search in searches),
    )
    return dataclasses.replace(
        chosen, result=result, fits=sorted((one for fit in fits for one in fit.fits), key=lambda one: one.fun)
    )


def best_of_many(
    lattice: Lattice, fit: Callable[..., Any], max_time: float | None, max_evals: int | None, began: float
) -> Any:
    """The best fits of many data sets, each of its own assignment. fit: fit(bounds, p0, **limits) -> Fits.

    max_evals: of a data set, which all assignments share.

    Raises:
        ValueError: there are too many assignments to fit each, or fewer evaluations.
    """
    if lattice.size > EACH:
        raise ValueError(
            f"`integrality` of many fits must leave at most {EACH} assignments of whole parameters, each of which is "
            f"fitted; got {lattice.size:,}: give each data set to curve_fit."
        )
    if max_evals is not None and max_evals < lattice.size:
        raise ValueError(
            f"`max_evals` must be at least {lattice.size}, one for each assignment of whole parameters; got "
            f"{max_evals}."
        )
    share = None if max_evals is None else max_evals // lattice.size
    each: list[Any] = []
    with Interrupt() as interrupt:
        for row in lattice.each():
            left = None if max_time is None else max(max_time - (time.perf_counter() - began), 0.0)
            if each and (left == 0.0 or interrupt.asked):
                break
            each.append(fit(*lattice.held(row), max_time=left, max_evals=share))
    costs = np.array([np.where(np.isfinite(fits.fun), fits.fun, np.inf) for fits in each])
    which = np.argmin(costs, axis=0)
    picked = lambda *parts: np.stack(parts)[which, np.arange(len(which))]  # noqa: E731
    statuses = np.array([fits.status for fits in each])
    why = statuses[np.argmax(statuses != SETTLED, axis=0), np.arange(len(which))]
    if len(each) < lattice.size:
        why[:] = Status.INTERRUPTED if interrupt.asked else Status.MAX_TIME
    return dataclasses.replace(
        each[0],
        popt=jax.tree.map(picked, *(fits.popt for fits in each)),
        pcov=picked(*(fits.pcov for fits in each)),
        fun=picked(*(fits.fun for fits in each)),
        success=why == SETTLED,
        status=why,
        nfev=sum(fits.nfev for fits in each),
        searches=sum(fits.searches for fits in each),
        hits=picked(*(fits.hits for fits in each)),
        nstarts=sum(fits.nstarts for fits in each),
        linear=tuple(sorted(set.intersection(*(set(fits.linear) for fits in each)))),
        time=time.perf_counter() - began,
        compile_time=sum(fits.compile_time for fits in each),
    )
