"""A simulator that returns its value and what is constrained together, searched under constraints.

Value and rows come from the same calls, and so do the differences of both; how they are searched is in told_lanes.py.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxglobal.constraints import told_rows
from jaxglobal.constraints.subject import Subject
from jaxglobal.constraints.told_lanes import ToldLanes, beside
from jaxglobal.engine.host import Host
from jaxglobal.engine.host_lanes import HostLanes, Point, number
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.closed import Structure
from jaxglobal.problem.constraint import Constraint, Rows
from jaxglobal.problem.region import Region


def read(given: Any, host: Host) -> Rows | None:
    """The rows of `constraints=` for a host function; None where there are none.

    Raises:
        TypeError: not one `Constraint(None, lower, upper)`, or a host whose slopes are not differences.
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
    if host.jac is True or callable(host.jac):
        raise TypeError(
            "`jac` of a host function must be left out under constraints, or name differences; not taken yet."
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
        """See `HostLanes`. Where the multipliers have changed, the point is one whose calls were made."""
        key = x.astype(float).tobytes()
        if key not in self._seen.known:
            super()._begin(ident, x, problem)
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
        shapes = [np.shape(leaf) for leaf in values] if isinstance(values, tuple) else []
        if len(shapes) != 2 or any(shape[:1] != (count,) for shape in shapes):
            raise TypeError(
                f"`fun` must return {count} values and as many constraints with vectorized=True; got shapes {shapes}."
            )
        return np.asarray(values[0])[k], np.asarray(values[1])[k]

    def _tell(self, point: Point) -> None:
        """See `HostLanes`."""
        told = np.full(1 + self._m, np.nan) if np.ndim(point.f) == 0 else point.f
        if np.any(self.value_only([point.ident])):
            self.tell_look(point.ident, told)
            return
        slopes = np.zeros((1 + self._m, len(point.x)))
        if np.all(np.isfinite(told)):
            for i, differences in point.differences.items():
                slopes[:, i] = differences.slope(told)
            self._seen.add(point.x, (told[0], told[1:], slopes[0], slopes[1:]))
        self._tell_lane(point.ident, told, slopes)
