"""Constraints of many problems in one traced program: their scales, packed starts, how searches end, what is told.

What subject.py and finishing.py do for one problem between two calls of its lanes, `argmin` does inside its program,
and `minimize_many` in a program of a few hundred ends at a time. Every function here is of one problem and one point,
to be vectorised by who calls it. No problem learns from another, so that which of them share a call changes nothing.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.constraints import exact, feasible, kkt, lagrangian, semismooth, subject
from jaxglobal.constraints.binding import BINDS, NEAR_BOUND
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.lagrangian import Packed
from jaxglobal.constraints.restoration import Both
from jaxglobal.constraints.semismooth import End
from jaxglobal.local.descent import Local
from jaxglobal.local.quasi_newton import QuasiNewton
from jaxglobal.problem.linear_algebra import own
from jaxglobal.starts import lastlook
from jaxglobal.status import LocalStatus

MOST = 256  # variables and rows of a problem together: each end takes an elimination of so many
TRIES = 2  # Newton's method from where a search ended, and from the feasible point nearby
SINGULAR = 0.5  # the KKT system is nearly singular where its singular values fall below eps to this power
NEAR = 1e-6  # of the box: a bound is about to be reached, or left
UNSOUND = (LocalStatus.NONFINITE_VALUE, LocalStatus.NONFINITE_GRADIENT)


def check(n: int, m: int, search: Local, where: str) -> None:
    """Raises for what this does not take."""
    if not isinstance(search.program, QuasiNewton):
        raise TypeError("`local` must be a jaxglobal.BFGS or LBFGS under constraints; got a jaxglobal.Optax.")
    if n + m > MOST:
        raise ValueError(
            f"`constraints` of {where} must be at most {MOST} together with the variables; got {m} of {n} variables: "
            "call minimize, problem after problem."
        )


class Sizes(NamedTuple):
    """The scales of a problem, of m rows."""

    size: Any
    """(1 + m,) One over the usual slopes of f and the rows, in units of the box."""
    least: Any
    """(m,) An excess of each row that is none but rounding."""
    spread: Any
    """(m,) What rows that depend on whole numbers alone change by, 0 of the others."""


class Measured(NamedTuple):
    """What the constraints say at a point, and how far it can be differentiated."""

    f: Any
    g: Any
    """(n,) Gradient of f."""
    c: Any
    """(m,) The rows."""
    J: Any
    """(m, n) Their gradients."""
    violation: Any
    """() The largest, in the constraints' own units."""
    relative: Any
    """() The largest, in the rows' own scales."""
    active: Any
    """(m,) Which rows a bound holds."""
    lam: Any
    """(m,) Multipliers of f + lam'c."""
    singular: Any
    """() The KKT system is singular, nearly so, or of no minimum."""
    touching: Any
    """() A variable or a row is about to reach or to leave a bound."""


@dataclasses.dataclass(frozen=True)
class ConstrainedFunction:
    """The functions of a problem under constraints.

    Attributes:
        outputs: outputs(x, leaves) -> f, (), and the rows, (m,).
        m: rows.
        most: the violation that counts as none.
        dtype: of x as it is given back.
        whole: (n,) which variables are whole numbers, which searches hold still.
    """

    outputs: Callable[..., tuple[jax.Array, jax.Array]]
    m: int
    most: float
    dtype: np.dtype
    whole: np.ndarray

    @property
    def key(self) -> Any:
        """What tells the programs of one function apart."""
        return self.m, self.most, self.dtype, self.whole.tobytes()

    def both(self, leaves: list[Any]) -> Both:
        """The function of x alone, whose values are f and then the rows."""

        def of(x: jax.Array) -> jax.Array:
            f, c = self.outputs(x, leaves)
            return jnp.concatenate([f[None], c]).astype(x.dtype)

        return of

    def sizes(self, frame: Frame, leaves: list[Any]) -> Sizes:
        """The scales, measured at points of the box; `subject.SAMPLE` evaluations."""
        n, box, dtype = len(frame.low), (frame.low, frame.high), frame.low.dtype
        unit = lastlook.points(subject.SAMPLE, n, np.random.default_rng(0))
        points = frame.low[None] + frame.width[None] * jnp.asarray(unit, dtype)
        if np.any(self.whole):
            whole = jnp.clip(jnp.rint(points), jnp.ceil(frame.low)[None], jnp.floor(frame.high)[None])
            points = jnp.where(self.whole[None], whole, points)
        f, c, g, J = jax.vmap(lambda x: exact.slopes_at(self.both(leaves), self.m, x, box))(points)
        slopes = jnp.linalg.norm(jnp.concatenate([g[:, None], J], axis=1) * frame.width[None, None], axis=2)
        flat = jnp.zeros(1 + self.m, bool)
        if np.any(self.whole):  # what has no slope may change with whole numbers alone
            flat = ~jnp.any(slopes > 0, axis=0)
            spread = subject.spreads(jnp.concatenate([f[:, None], c], axis=1), jnp)
            slopes = jnp.where(flat[None], spread[None], slopes)
        spread = jnp.where(flat, jnp.nan_to_num(slopes[0]), 0)[1:]
        slopes = jnp.where(jnp.isfinite(slopes) & (slopes > subject.LEAST_SLOPE), slopes, jnp.nan)
        some = jnp.any(jnp.isfinite(slopes), axis=0)
        size = jnp.where(some, 1 / subject.usual(slopes, subject.away(c, frame, jnp), jnp), 1)
        lowest = jnp.where(some, jnp.nanmin(slopes, axis=0), 0)
        return Sizes(size, feasible.ROUNDING * float(np.finfo(self.dtype).eps) * lowest[1:], spread)

    def _held(self, x: jax.Array, sizes: Sizes, frame: Frame) -> Frame:
        """The box and the bounds of the rows around x, (n,), which holds its whole numbers."""
        frame = frame._replace(steepest=feasible.steepest(sizes.size[1:], jnp))
        if not np.any(self.whole):
            return frame
        low, high = (jnp.where(self.whole, x, side) for side in (frame.low, frame.high))
        return frame._replace(low=low, high=high, spread=sizes.spread)

    def pack(
        self, x: Any, size: Any, stage: tuple[float, float, float], xp: Any = jnp, rho: Any = lagrangian.PENALTY
    ) -> Any:
        """Packed starts of searches from x, (k, n), whose problems have these scales, (k, 1 + m).

        stage: violation, projected gradient and evaluations with which the searches end. rho: with what penalty they
        begin, one for all or (k, 1).
        """
        column = lambda number: xp.full((len(x), 1), number, x.dtype)  # noqa: E731
        numbers = (column(number) for number in (rho, *stage))
        lam = xp.zeros((len(x), self.m), x.dtype)
        return xp.concatenate([x, lam, size[:, 1:], size[:, :1], *numbers], axis=1, dtype=x.dtype)

    def renewed(self, packed: Any, number: Any, low: Any, high: Any, xp: Any = jnp) -> Any:
        """Packed rows, (k, ...), at fresh points of their boxes, with no multipliers. number: (k,) of the searches.

        Whole numbers stay as they are.
        """
        n = packed.shape[1] - 2 * self.m - lagrangian.NUMBERS
        x = low + (high - low) * lastlook.scattered(number, n, xp).astype(packed.dtype)
        x = xp.where(self.whole[None], packed[:, :n], x)
        return xp.concatenate([x, xp.zeros((len(x), self.m), x.dtype), packed[:, n + self.m :]], axis=1)

    def finish(self, packed: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any], restorations: Any) -> End:
        """What becomes of a search that has ended, (n + 2 m + ...,); see `semismooth.finish`."""
        ended = self.ended(packed, sizes, frame)
        return semismooth.finish(self.both, ended, leaves, self.most, restorations, self.dtype)

    def finish_all(
        self, packed: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any], shared: list[Any], restorations: Any,
        count: Any, lanes: int,
    ) -> End:  # fmt: skip
        """The same of the first `count` of N searches, each (N, ...), in so many lanes, of which N is a multiple.

        shared: leaves that follow on those of each search, and are those of all.
        """
        ended = jax.vmap(self.ended)(packed, sizes, frame)
        rest = leaves, self.most, restorations, self.dtype, count, lanes
        return semismooth.finish_all(lambda own: self.both([*own, *shared]), ended, *rest)

    def ended(self, packed: jax.Array, sizes: Sizes, frame: Frame) -> semismooth.Ended:
        """The search that has ended there."""
        parts: Packed = lagrangian.unpack(packed, self.m)
        lam, frame = parts.lam * parts.size / parts.f_size, self._held(parts.x, sizes, frame)
        return semismooth.Ended(parts.x, lam, frame, sizes.least, sizes.size[0])

    def finish_whole(
        self, packed: jax.Array, status: jax.Array, number: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any]
    ) -> End:
        """The same with all that can be tried; nothing where the search has this status, 0, of none that has ended.

        One that ended where the violation is least nearby is tried from a fresh point of the box: the objective may
        have led it to where the rows have no slope. number: () of the search.
        """
        ended = status > 0
        if np.all(self.whole):  # no variable moves
            x, none = lagrangian.unpack(packed, self.m).x, jnp.zeros(self.m, packed.dtype)
            rank, valueless = self.ranked(x, sizes, frame, leaves)
            return End(x, none, rank, rank < feasible.above(self.dtype), jnp.ones_like(rank), valueless)
        sound = ended & jnp.all(jnp.array([status != bad for bad in UNSOUND]))
        nowhere = jnp.full_like(packed, jnp.nan)
        fresh = self.renewed(packed[None], number[None], frame.low[None], frame.high[None])[0]

        def attempt(k, before):
            given = jnp.where((k > 0) & (status == LocalStatus.INFEASIBLE), fresh, packed)
            begun = ended & (sound | (k == 0)) & ~before.sure  # that of a start without a value says if it is feasible
            given = jnp.where(begun, given, nowhere)
            limit = jnp.where(k == 0, 0, semismooth.RESTORATIONS)
            end = self.finish(given, sizes, frame, leaves, limit)
            end = end._replace(nfev=jnp.where(sound & ~before.sure, before.nfev + end.nfev, before.nfev))
            # A point that was made feasible counts more than one that is so within the tolerance, and lower for that.
            good = end.sure | (end.rank < feasible.above(self.dtype)) | ~(before.rank <= end.rank)
            better = sound & ~before.sure & good
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), end, before)
            return kept._replace(nfev=end.nfev, valueless=before.valueless | (begun & end.valueless))

        n, none = len(packed) - 2 * self.m - lagrangian.NUMBERS, jnp.asarray(jnp.inf, packed.dtype)
        no = jnp.asarray(False)
        begin = End(packed[:n], jnp.zeros(self.m, packed.dtype), none, no, jnp.zeros_like(none), no, none)
        return jax.lax.fori_loop(0, TRIES, attempt, begin)

    def multipliers(self, x: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any]) -> jax.Array:
        """(m,) Those of the active rows with which the least is left of the slope, in the variables that can move.

        Where the gradients of the active rows are independent, and x is a KKT point, they are its multipliers.
        """
        frame = self._held(x, sizes, frame)
        both, box = self.both(leaves), (frame.low, frame.high)
        _, c, g, J = exact.slopes_at(both, self.m, x, box)
        active, _ = self._active(c, J, frame)
        return semismooth.estimate(x, c, g, J, frame, active)[0]

    def _active(self, c: jax.Array, J: jax.Array, frame: Frame) -> tuple[jax.Array, jax.Array]:
        """(m,) Which rows a bound holds, and how far they are from it."""
        away = jnp.minimum(jnp.abs(c - frame.upper), jnp.abs(c - frame.lower))
        return frame.equal | (away <= BINDS * self.most * feasible.scales(c, J, frame, jnp)), away

    def ranked(self, x: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any]) -> tuple[jax.Array, jax.Array]:
        """The rank of x, (n,), as it is, and whether it is feasible and has no value."""
        frame = self._held(x, sizes, frame)
        f, c, _, J = exact.slopes_at(self.both(leaves), self.m, x, (frame.low, frame.high))
        violation = jnp.max(feasible.violations(c, J, frame, sizes.least, jnp), initial=0.0)
        rank = feasible.rank_of(f, violation, self.most, self.dtype)
        return rank, (violation <= self.most) & ~jnp.isfinite(f)

    def told(self, x: jax.Array, lam: jax.Array, sizes: Sizes, frame: Frame, leaves: list[Any]) -> Measured:
        """What is measured at x, (n,), with these multipliers, (m,)."""
        frame = self._held(x, sizes, frame)
        both, box = self.both(leaves), (frame.low, frame.high)
        f, c, g, J = exact.slopes_at(both, self.m, x, box)
        relative = feasible.violations(c, J, frame, sizes.least, jnp)
        over = jnp.where(jnp.isfinite(c), jnp.abs(kkt.excess(c, frame, jnp)), jnp.inf)
        active, away = self._active(c, J, frame)
        lam = jnp.where(active, lam, 0)
        product = semismooth.curvature_product(both, x)
        H = semismooth.curvature(both, product, x, lam, frame)
        doubts = _doubts(x, lam, c, g, J, H, active, away, frame)
        largest, most = (jnp.max(part, initial=0.0) for part in (over, relative))
        return Measured(f, g, c, J, largest, most, active, lam, *doubts)


def _doubts(
    x: jax.Array, lam: jax.Array, c: jax.Array, g: jax.Array, J: jax.Array, H: jax.Array, active: jax.Array,
    away: jax.Array, frame: Frame,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """Whether the KKT system is singular, or not of a minimum, and whether a bound is about to be reached or left.

    H in units of the box.
    """
    width, eps = frame.width, float(jnp.finfo(x.dtype).eps)
    tiny, near = float(jnp.finfo(x.dtype).tiny), NEAR_BOUND * width
    rows = J * width[None]
    length = jnp.maximum(jnp.linalg.norm(rows, axis=1), tiny)
    slope = g * width
    unit = jnp.maximum(jnp.maximum(jnp.max(jnp.abs(slope)), jnp.max(jnp.abs(H))), tiny)
    z = slope + rows.T @ lam
    low, high, movable = x - frame.low <= near, frame.high - x <= near, width > 0
    held = ~movable | (low & (z > 0)) | (high & (z < 0))
    moving = active & (frame.spread == 0)  # one of whole numbers alone holds nothing that moves
    A = jnp.where(moving[:, None] & ~held[None], rows / length[:, None], 0)
    inner = jnp.where(held[:, None] | held[None], 0, H / unit)
    # Held variables and rows that are not active neither look singular nor curved downwards.
    K = jnp.concatenate(
        [
            jnp.concatenate([inner + jnp.diag(jnp.where(held, 1.0, 0)), A.T], axis=1),
            jnp.concatenate([A, jnp.diag(jnp.where(moving, 0, -1.0))], axis=1),
        ]
    ).astype(x.dtype)
    values = own(jnp.linalg.eigvalsh)(jnp.where(jnp.isfinite(K), K, 0))
    size = jnp.abs(values)
    # Of a minimum, as many eigenvalues are positive as there are variables (N. Gould, Math. Program. 32, 1985).
    of_minimum = jnp.sum(values > 0) == len(x)
    singular = (jnp.min(size) <= eps**SINGULAR * jnp.max(size)) | ~of_minimum | ~jnp.all(jnp.isfinite(K))
    leaves_row = jnp.any(active & ~frame.equal & (jnp.abs(lam) * length <= NEAR * unit))
    reaches_row = jnp.any(~active & (away <= NEAR * length))
    leaves_bound = jnp.any(held & movable & (jnp.abs(z) <= NEAR * unit))
    reaches_bound = jnp.any(~held & (jnp.minimum(x - frame.low, frame.high - x) <= NEAR * width))
    return singular, leaves_row | reaches_row | leaves_bound | reaches_bound
