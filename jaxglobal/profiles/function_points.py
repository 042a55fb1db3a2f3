"""Points of profiles of a negative log-likelihood: each a problem of `minimize_many` in a box of its own.

A function of the variables is held by a penalty instead: where the search of the sum ends, the likelihood is the
highest of all points with the same value of the function, whatever that is (see fit_points.py).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.api.minimize_many import minimize_many
from jaxglobal.local import balance
from jaxglobal.problem.closed import Structure
from jaxglobal.profiles.held import Held
from jaxglobal.search.interrupt import Interrupt
from jaxglobal.starts.designs import Sobol

TOGETHER = 64  # problems of a call, always: one program serves all
STARTS = 16  # of each, from the box, where its searches are wide
STIFF = 1e3  # times the curvature of the likelihood along the function: that of the penalty
ROUNDING = 1e2  # eps: values that differ by less are the same


class FunctionPoints:
    """Searches with variables held, or a function of them; arrays are (P, n).

    Attributes:
        lower: (n,) the bounds of all variables.
        upper: (n,) likewise.
        floor: values that differ by less are the same.
        held: the function that is held, if any.
        searches: local searches so far.
    """

    def __init__(
        self, fun: Callable[..., Any], structure: Structure, box: np.ndarray, args: tuple[Any, ...], x: np.ndarray,
        g: Callable[..., Any] | None, interrupt: Interrupt,
    ):  # fmt: skip
        """x: (n,) the best point. g: the function that is held, if any."""
        self._structure, self._interrupt, self.searches = structure, interrupt, 0
        self.lower, self.upper = box

        def value(x):
            return fun(structure.unflatten(x), *args)

        self._value, self.held, self._stiff = value, None, 0.0
        self._values = jax.jit(jax.vmap(value))
        self.floor = ROUNDING * float(np.finfo(structure.dtype).eps) * (1 + abs(float(self._values(x[None])[0])))
        if g is not None:
            self.held = Held(g, structure, (self.lower, self.upper), x, self.covariances(x[None])[0], args)
            self._stiff = STIFF * 0.5 / self.held.error**2

    @property
    def asked(self) -> bool:
        """Whether Ctrl-C has asked to end."""
        return self._interrupt.asked

    def noise(self, f: float) -> float:
        """What rounding does to a value near f."""
        return self.floor

    def search(
        self, boxes: np.ndarray, guesses: np.ndarray, wide: bool, c: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The lowest values, (P,), and points in boxes (P, 2, n), from guesses (P, K, n), NaN for none.

        wide: from starts of their own too. c: (P,) what g is drawn to.
        """
        value, g, parts = self._value, self.held, []
        first = guesses[:, :1]
        guesses = np.where(
            np.isnan(guesses), np.where(np.isnan(first), np.mean(boxes, axis=1)[:, None], first), guesses
        )
        guesses = np.clip(guesses, boxes[:, None, 0], boxes[:, None, 1])

        def drawn(x, c, stiff):
            return value(x) if g is None else value(x) + stiff * (g(x) - c) ** 2

        drawn_to = np.zeros(len(boxes)) if c is None else c
        stiff = np.full(len(boxes), 0.0 if c is None else self._stiff)
        for at in range(0, len(boxes), TOGETHER):
            which = np.resize(np.arange(at, min(at + TOGETHER, len(boxes))), TOGETHER)
            results = minimize_many(
                drawn, np.moveaxis(boxes[which], 1, 2), (drawn_to[which], stiff[which]), x0=guesses[which],
                starts=Sobol(STARTS), bounds_axis=0, progress=False, max_levels=2 if wide else 1,
                max_starts=None if wide else guesses.shape[1],
            )  # fmt: skip
            parts.append((results.fun, results.x))
            self.searches += int(np.sum(results.nstarts))
        f, x = (np.concatenate(field)[: len(boxes)].astype(float) for field in zip(*parts, strict=True))
        return np.where(np.isfinite(f), f, np.inf), x

    def at(self, index: np.ndarray, c: np.ndarray, guesses: np.ndarray, wide: bool) -> tuple[np.ndarray, ...]:
        """The values of what is held, at c or near, the values and points."""
        boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(c), axis=0)
        if self.held is not None:
            _, x = self.search(boxes, guesses, wide, c)
            return self.values(-1, x), self.costs(x), x
        boxes[np.arange(len(c)), :, index] = c[:, None]
        return c, *self.search(boxes, guesses, wide)

    def free(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values and points to which these lead with nothing held."""
        boxes = np.repeat(np.stack([self.lower, self.upper])[None], len(x), axis=0)
        return self.search(boxes, x[:, None], False)

    def values(self, index: int, x: np.ndarray) -> np.ndarray:
        """What is held at these points."""
        return x[:, index] if self.held is None else self.held.values(x)

    def costs(self, x: np.ndarray) -> np.ndarray:
        """The values of the function at these points."""
        return np.asarray(self._values(jnp.asarray(x, self._structure.dtype)), float)

    def reach(self, x: np.ndarray) -> np.ndarray:
        """How far what is held moves for a value higher by one, by the curvature; infinite where there is none."""
        pcov = 2 * self.covariances(x)
        if self.held is not None:
            return self.held.errors(x, pcov)
        return np.sqrt(np.maximum(np.diagonal(pcov, axis1=1, axis2=2), 0))

    def covariances(self, x: np.ndarray) -> np.ndarray:
        """(P, n, n) The inverse Hessians of what is not at a bound there."""
        H = np.asarray(jax.vmap(jax.hessian(self._value))(jnp.asarray(x, self._structure.dtype)), float)
        pcov = np.zeros_like(H)
        for one, out, at in zip(H, pcov, x, strict=True):
            free = np.flatnonzero((at > self.lower) & (at < self.upper))
            inner = one[np.ix_(free, free)]
            D = balance.units(np.where(np.isfinite(inner), inner, 0))
            inner = D[:, None] * inner * D
            good = np.all(np.isfinite(inner)) and np.all(np.linalg.eigvalsh(inner) > 0)
            out[np.ix_(free, free)] = D[:, None] * np.linalg.inv(inner) * D if good else np.inf
        return pcov
