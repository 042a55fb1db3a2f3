"""A simulator that returns its value and what is constrained together, searched under constraints.

Value and rows come from the same calls, and so do the differences of both; how they are searched is in told_lanes.py.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.constraints import told_rows
from jaxglobal.constraints.subject import Subject
from jaxglobal.constraints.told import beside, key_of
from jaxglobal.constraints.told_lanes import ToldLanes
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes
from jaxglobal.engine.host_point import Point, number
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.constraint import Constraint, Rows
from jaxglobal.problem.region import Region


def read(given: Any, host: Host) -> Rows | None:
    """The rows of `constraints=` for a host function; None where there are none.

    Raises:
        TypeError: not one `Constraint(None, lower, upper)`.
        ValueError: bounds out of order.
    """
    if given is None or (isinstance(given, list | tuple) and not given):
        return None
    one = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
    if not isinstance(one, Constraint) or one.fun is not None:
        raise TypeError(
            "`constraints` of a host function must be a jaxglobal.Constraint(None, lower, upper), of what fun returns "
            "beside its value; others are not taken yet."
        )
    return told_rows.told(one)._replace(single=one is given)


class ConstrainedHostLanes(ToldLanes, HostLanes):
    """Lanes of a simulator under constraints; starts and ends are those of x, with ranks."""

    def __init__(
        self, host: Host, structure: Structure, arguments: Callable[[int], tuple], lanes: int, region: Region,
        program: QuasiNewton, subject: Subject,
    ):  # fmt: skip
        """See `HostLanes`."""
        super().__init__(subject, region, program, host, structure, arguments, lanes)

    @property
    def _box(self) -> Region:
        """See `HostLanes`: of x."""
        return self._plain

    def _begin(self, ident: int, x: np.ndarray, problem: int) -> None:
        """See `HostLanes`. Where the multipliers have changed, the point is one whose calls were made.

        The end of a search, which makes it feasible, takes the slopes of the rows without a value too.
        """
        key = key_of(x)
        if key not in self._seen.known:
            super()._begin(ident, x, problem)
            if int(np.flatnonzero(self._ids == ident)[0]) in self._endings:
                self._points[ident].needed = slice(1, None)
            return
        self._tell_lane(ident, *beside(self._seen.known[key]))

    def _number(self, value: Any) -> Any:
        """The value and the rows, (1 + m,), that a call returned together."""
        shape = self._subject.rows.shapes[0]
        pair = isinstance(value, tuple) and len(value) == 2
        rows = np.asarray(value[1]) if pair else np.asarray(None)
        if not pair or rows.shape != shape or rows.dtype.kind not in "biuf":
            got = f"a pair with an array of shape {rows.shape}" if pair else type(value).__name__
            raise TypeError(
                f"`fun` must return a pair (value, constraints), these of the shape {shape} of their bounds; got {got}."
            )
        return np.concatenate([[number(value[0])], np.ravel(rows).astype(float)])

    def _part(self, values: Any, k: int, count: int, is_gradient: bool) -> Any:
        """See `HostLanes`."""
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(values)] if isinstance(values, tuple) else []
        if len(values if shapes else ()) != 2 or any(shape[:1] != (count,) for shape in shapes):
            name, what = (
                ("jac", "gradients and Jacobians") if is_gradient else ("fun", "values and as many constraints")
            )
            raise TypeError(f"`{name}` must return {count} {what} with vectorized=True; got shapes {shapes}.")
        return jax.tree.map(lambda leaf: np.asarray(leaf)[k], values)

    def _gradient(self, value: Any) -> np.ndarray:
        """The slopes of the value and the rows, (1 + m, n), that a call returned as a pair (gradient, Jacobian)."""
        if not isinstance(value, tuple) or len(value) != 2:
            raise TypeError(
                "the gradient must be a pair (gradient, Jacobian of the constraints) under constraints; got "
                f"{type(value).__name__}."
            )
        shape = self._subject.rows.shapes[0]
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(value[1])]
        expected, got = [(*shape, *leaf) for leaf in self._structure.shapes], [leaf.shape for leaf in leaves]
        if got != expected or any(leaf.dtype.kind not in "biuf" for leaf in leaves):
            raise TypeError(f"the Jacobian must be real numbers of the shapes {expected}; got {got}.")
        J = self._structure.flatten(value[1], axes=len(shape)).astype(float)
        return np.concatenate([super()._gradient(value[0])[None], J.reshape(self._m, -1)])

    def _tell(self, point: Point) -> None:
        """See `HostLanes`."""
        told = np.full(1 + self._m, np.nan) if np.ndim(point.f) == 0 else point.f
        if np.any(self.value_only([point.ident])):
            self.tell_look(point.ident, told)
            return
        slopes = np.zeros((1 + self._m, len(point.x)))
        if np.all(np.isfinite(told[point.needed])):
            if point.differences:
                for i, differences in point.differences.items():
                    slopes[:, i] = differences.slope(told)
            else:
                slopes[:] = point.g  # NaN where the call has failed
            slopes = np.where(self.moves, slopes, 0)
            self._seen.add(point.x, (told[0], told[1:], slopes[0], slopes[1:]))
        self._tell_lane(point.ident, told, slopes)
