"""Many fits of a model that is not a JAX function: one after the other, each that of curve_fit.py."""

import math
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.engine.host import Host
from jaxglobal.fit import arguments
from jaxglobal.fit.arguments_many import has_axis, read_guesses, read_many, read_weights
from jaxglobal.fit.curve_fit import curve_fit
from jaxglobal.fit.fits import Fits
from jaxglobal.fit.fitted import Fit
from jaxglobal.results import Finished
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.status import Status


def one_by_one(
    began: float, until: float, model: Host, xdata: Any, ydata: Any, bounds: Any, sigma: Any, x_axis: Any, p0: Any,
    options: dict[str, Any], callback: Callable[[Finished], Any] | None,
) -> Fits:  # fmt: skip
    """The fits of a model that is not a JAX function, one after the other."""
    y, there = read_many(ydata, np.dtype(float))
    y = y if np.all(there) else np.ma.masked_array(y, ~there)
    own_x = has_axis(arguments.read_x(xdata), x_axis, y.shape[0], y.shape[1])
    _, own_w = read_weights(sigma, y.shape[0], y.shape[1])
    structure, lower, upper, _ = arguments.read_parameters(bounds, None)
    guesses = read_guesses(p0, structure, lower, upper, y.shape[0])

    def one(i: int) -> Fit:
        x = jax.tree.map(lambda leaf: np.asarray(leaf)[i], xdata) if own_x else xdata
        guess = None if p0 is None else structure.unflatten(guesses[i, 0])
        left = None if math.isinf(until) else max(until - time.perf_counter(), 0.0)
        weights = np.asarray(sigma)[i] if own_w else sigma
        return curve_fit(model, x, y[i], bounds, weights, p0=guess, max_time=left, **options)

    fits: list[Fit] = []
    with Interrupt() as interrupt:
        asked = lambda: interrupt.asked or time.perf_counter() >= until  # noqa: E731
        while len(fits) < len(y) and not (fits and asked()):
            fits.append(one(len(fits)))
            if callback is None or asked():
                continue
            x, f = jax.tree.map(lambda leaf: np.asarray(leaf)[None], fits[-1].popt), np.array([fits[-1].fun])
            try:
                callback(Finished(np.array([len(fits) - 1]), x, f, len(fits), len(y)))
            except StopIteration:
                why = Status.CALLBACK
                break
        else:
            why = Status.INTERRUPTED if interrupt.asked else Status.MAX_TIME

    def all_of(leaves: Any, missing: Any) -> np.ndarray:
        done = np.stack(leaves)
        return np.concatenate([done, np.full((len(y) - len(done), *done.shape[1:]), missing, done.dtype)])

    return Fits(
        popt=jax.tree.map(lambda *leaves: all_of(leaves, np.nan), *(fit.popt for fit in fits)),
        pcov=all_of([fit.pcov for fit in fits], np.inf),
        fun=all_of([fit.fun for fit in fits], np.nan),
        violation=np.zeros(len(y)),
        success=all_of([fit.success for fit in fits], False),
        status=np.array([fit.result.status for fit in fits] + [why] * (len(y) - len(fits)), object),
        nfev=all_of([fit.result.nfev for fit in fits], 0),
        searches=all_of([fit.result.nstarts for fit in fits], 0),
        hits=all_of([fit.fits[0].count if fit.fits else 0 for fit in fits], 0),
        nstarts=fits[0].result.nstarts,
        linear=(),
        time=time.perf_counter() - began,
        compile_time=0.0,
    )
