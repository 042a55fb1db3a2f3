"""What comes back of many problems: their minimisers to the last digits, and the `Results`."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints.binding import LIMITED
from jaxglobal.engine import sweep
from jaxglobal.engine.lanes import Lanes
from jaxglobal.local.implicit import Polished
from jaxglobal.problem import keys
from jaxglobal.problem.family import Family
from jaxglobal.problem.powers import power_above
from jaxglobal.problem.programs import undisturbed
from jaxglobal.problem.region import within
from jaxglobal.results import Results
from jaxglobal.search import polish_many
from jaxglobal.search.incumbents import Incumbents
from jaxglobal.search.limits import PAUSES, STATUSES
from jaxglobal.status import Status

POLISHED = 2**12  # problems polished in one call
SURE = (Status.SAME, Status.TARGET, Status.COVERED)  # a search that has ended so is a success


def compiled(run: Callable[..., Any], *args: Any) -> Callable[..., Any]:
    """The program of `run` for arguments of these shapes."""
    return jax.jit(run).lower(*args).compile()


def last_digits(
    problems: Family, found: Incumbents, own: tuple[bool, ...], lanes: Lanes | None
) -> tuple[Polished, Any, float]:
    """All minimisers to their last digits, the auxiliary outputs there, and seconds of compilation.

    own: as `Slots.own`. lanes: None where Ctrl-C came before them.
    """
    if lanes is None or not lanes.exact:  # such gradients are not good enough, or dear
        no = np.zeros(problems.count, bool)
        fields: Any = found.x, found.f, np.full_like(found.x, np.nan), no, no
        return Polished(*fields), None, 0.0
    count, size, closed, seconds = problems.count, min(power_above(problems.count), POLISHED), problems.closed, 0.0
    own_box, has_aux = problems.box.ndim == 3, problems.has_aux
    key = ("polish", own_box, problems.open.tobytes(), problems.whole.tobytes(), size)

    def block(first: int) -> tuple[Any, ...]:
        """The minimisers, values, bounds and args of the problems from this one on; the last fills up the block."""
        which = np.minimum(np.arange(first, first + size), count - 1)
        leaves = [np.asarray(leaf)[which] for leaf in problems.leaves]
        box = problems.box[which] if own_box else problems.box
        return found.x[which], found.f[which], box, [*leaves, *closed.constants]

    if key not in closed.programs:
        open, whole, value, jumps, differ = problems.open, problems.whole, closed.value, closed.jumps, problems.own

        def polish(x, f, box, leaves):
            region = within(box[..., 0, :], box[..., 1, :], open, whole)
            polished = polish_many.polish_all(value, x, f, sweep.Problems(region, leaves), own, jumps)
            axes = [0 if differs else None for differs in differ]
            return polished, jax.vmap(closed.auxiliary, (0, axes))(polished.x, leaves) if has_aux else None

        began = time.perf_counter()
        closed.programs[key] = compiled(closed.safe(polish, jax.default_backend()), *block(0))
        seconds = time.perf_counter() - began

    with undisturbed():
        parts = [closed.programs[key](*block(first)) for first in range(0, count, size)]

    def joined(*leaves: Any) -> Any:
        return (jnp if keys.is_key(leaves[0]) else np).concatenate(leaves)[:count]

    polished, aux = jax.tree.map(joined, *parts)
    return polished, aux, seconds


def results(
    problems: Family, found: Incumbents, polished: Polished, aux: Any, lanes: Lanes | None, times: list[float],
    unseen: np.ndarray,
) -> Results:  # fmt: skip
    """What has been found. times: seconds from the call, and of compilation."""
    structure, finite = problems.structure, np.isfinite(np.asarray(polished.f))
    status = np.array(STATUSES, object)[found.status]
    stopped = ~np.isin(found.status, [STATUSES.index(s) for s in PAUSES])
    early = np.array([one in LIMITED for one in status]) & np.all(np.isfinite(polished.g), axis=1)
    none = stopped & ~found.begun & ~(finite & (early | (found.nstarts == 0)))  # a limit may come before a search
    status[none] = Status.NO_FINITE_VALUE
    status[none & finite] = Status.NO_FINITE_GRADIENT
    minima = found.minima()
    minima.x[finite, 0], minima.fun[finite, 0] = np.asarray(polished.x)[finite], np.asarray(polished.f)[finite]
    minima = type(minima)(
        structure.point(minima.x),
        minima.fun,
        np.where(np.isfinite(minima.fun), np.maximum(minima.count, 1), 0),
    )
    return Results(
        x=structure.point(polished.x),
        fun=np.where(finite, polished.f, np.nan),
        jac=structure.unflatten(np.where(finite[:, None], polished.g * (problems.free & ~problems.whole), np.nan)),
        aux=aux,
        success=finite & sure(found),
        status=status,
        nit=found.nit,
        nfev=found.nfev,
        njev=found.nfev.copy(),
        calls=None if lanes is None else lanes.calls,
        nstarts=found.nstarts,
        singular=polished.singular,
        touching=polished.touching,
        tied=found.tied,
        minima=minima,
        lane_efficiency=0.0 if lanes is None else lanes.spent.efficiency,
        time=times[0],
        compile_time=times[1],
        violation=np.zeros(problems.count),
        unseen=unseen,
    )


def sure(found: Incumbents) -> np.ndarray:
    """(P,) Which searches have ended as a success does."""
    return found.begun & np.isin(found.status, [STATUSES.index(s) for s in SURE])
