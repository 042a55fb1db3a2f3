"""The first searches of a fit, a step at a time: of what is compiled only the values and slopes know the model.

They are a small program, which a new model has in a tenth of a second. What is made of them, the best values of the
linear parameters and the steps of Levenberg-Marquardt, takes many times as long to compile, but once in a process for
fits of the same kind. Python calls these in turn, which takes it some tens of microseconds each: as much as a step of
few data. A search that goes on for long does so in programs of all together (fused.py).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.engine.stepped import Packing
from jaxglobal.fit.compiled import Program, blocks, compile, here
from jaxglobal.fit.data import Data
from jaxglobal.fit.descent import Ends, lanes, region
from jaxglobal.fit.regression import Regression
from jaxglobal.local import levenberg
from jaxglobal.problem.programs import undisturbed
from jaxglobal.status import LocalStatus


def seeing(reg: Regression, data: Data) -> Program:
    """see(p, data) -> the model's values, (N, L), and slopes, (n, N, L), at p, (n, L), of `Data.of_model`."""

    def see(p: Any, data: Data) -> tuple[Any, Any]:
        return reg.values(data, list(p)), jnp.stack(reg.slopes(data, list(p), list(range(len(p)))))

    p = jax.ShapeDtypeStruct((reg.structure.n, lanes(reg, len(data.y))), reg.structure.dtype)
    return Program.of_model(reg, "see", see, p, data.of_model)


def evaluate(reg: Regression, data: Data, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The model's values, (k, N), and slopes, (k, N, n), at these points, (k, n), in the units of the data."""
    data = data._replace(x=here(data.x), constants=here(data.constants))
    see = seeing(reg, data)
    if see.compiled is None:
        compile([see], lambda: False)
    with undisturbed():
        run: Any = see.compiled
        parts = [run(block, data.of_model) for block in blocks(points, lanes(reg, len(data.y)))]
    y, J = (np.concatenate([np.asarray(part[i]) for part in parts], axis=-1)[..., : len(points)] for i in (0, 1))
    return np.moveaxis(y, -1, 0), np.moveaxis(J, -1, 0).swapaxes(1, 2)


class Stepped:
    """The programs of so many lanes, and what they are called with.

    Attributes:
        lanes: searches side by side.
        screens: starts that one call screens.
        queued: searches that one call makes.
        programs: what must be compiled.
    """

    def __init__(self, reg: Regression, data: Data, box: Any):
        """data, box: as they are searched."""
        self.data = data
        n, N, dtype = reg.structure.n, len(data.y), reg.structure.dtype
        self._reg, self.lanes = reg, lanes(reg, N)
        self.screens = self.queued = L = self.lanes
        self._given: Any = data.of_cost, *box, np.zeros((), dtype), np.zeros((), np.int32)
        p, y, J = (jax.ShapeDtypeStruct(shape, dtype) for shape in ((n, L), (N, L), (n, N, L)))
        state = levenberg.begin(np.zeros((n, L), dtype), np)
        self._of_state, self._of_given = Packing(state), Packing(self._given)
        given = self._of_given.pack(self._given, np)
        self._model, self._packed = here((data.of_model, given))
        packed = self._of_state.pack(state, np)
        self._see = seeing(reg, data._replace(x=self._model.x, constants=self._model.constants))
        self._project = Program.of_all(reg, "project", self._projected, p, y, J, *given, packed=self._given)
        self._advance = Program.of_all(reg, "advance", self._advanced, *packed, p, y, J, *given, packed=self._given)
        self.programs = [self._see, self._project, self._advance]

    def _projected(self, p: Any, y: Any, J: Any, *given: Any) -> tuple[Any, Any]:
        """The points with their linear parameters at their best, and the costs."""
        data, lower, upper, *_ = self._of_given.unpack(*given)
        columns = [self._reg.whiten(data.w, J[i]) for i in self._reg.linear]
        return self._reg.at_best(data, p, self._reg.left(data, y), columns, region(lower, upper))

    def _advanced(self, floats: Any, whole: Any, p: Any, y: Any, J: Any, *given: Any) -> tuple[Any, ...]:
        """The searches, packed, after the evaluation at p, and the next points."""
        data, lower, upper, tol, max_nfev = self._of_given.unpack(*given)
        r = self._reg.left(data, y)
        J = jnp.stack([self._reg.whiten(data.w, column) for column in J])
        seen = levenberg.Seen(p, self._reg.cost_of(data, r), *self._reg.weighted(data, J, r))
        rules = levenberg.Rules(tol, self._reg.exact(data), max_nfev)
        state = levenberg.advance(self._of_state.unpack(floats, whole), seen, region(lower, upper), rules)
        return *self._of_state.pack(state), state.trial

    def screen(self, points: np.ndarray) -> tuple[Any, Any]:
        """As `Fused.screen`."""
        return self._project.compiled(points, *self._see.compiled(points, self._model), *self._packed)

    def descend(
        self, points: np.ndarray, count: int, tol: float, max_nfev: int, left: Callable[[int], float]
    ) -> tuple[Ends, int]:
        """As `Fused.descend`."""
        see, project, advance = (program.compiled for program in self.programs)
        given = *self._given[:-2], np.asarray(tol, self._reg.structure.dtype), np.int32(max_nfev)
        given = here(self._of_given.pack(given, np))
        state, at, running, made, steps = self._of_state.pack(levenberg.begin(points, np), np), points, count, 0, 0
        while not steps or (running and left(made) > 0):
            seen = see(at, self._model)
            if self._reg.linear:
                at, _ = project(at, *seen, *given)
                seen = see(at, self._model)
            *state, at = advance(*state, at, *seen, *given)
            made, steps = made + running, steps + 1
            status = np.asarray(state[1])[-self.lanes :]
            running = int(np.sum(status[:count] == LocalStatus.RUNNING))
        return Ends.of(self._of_state.unpack(*map(np.asarray, state)), count), steps
