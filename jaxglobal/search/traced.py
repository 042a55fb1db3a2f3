"""All local searches of a fixed number of levels, for one problem or many, as one traced program.

The search i of the program is that of problem i // N from its start i % N. They pass through the lanes of sweep.py in
blocks, and lanes that are still at work when a block has been dealt go on in the next. What is kept is one row a
problem, so that no array grows with the number of starts but those starts themselves, which all problems share.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.constraints import subject
from jaxglobal.constraints.constrained_function import ConstrainedFunction
from jaxglobal.constraints.under import Under
from jaxglobal.engine import sweep
from jaxglobal.local.descent import Program
from jaxglobal.local.descent import Rules as LocalRules
from jaxglobal.problem.powers import power_above
from jaxglobal.problem.region import within
from jaxglobal.search import hopping, polish_many
from jaxglobal.search.hopping import Hopping
from jaxglobal.status import LocalStatus

SAME = 1e-8  # two values are equal within this times 1 + abs(f), as the default fatol and frtol
APART = 1e-3  # two minimisers are different from so much of the box on


class Plan(NamedTuple):
    """What is fixed when the program is traced."""

    value: Callable[..., jax.Array]
    """f(x, leaves of the args)."""
    program: Program
    """The local search."""
    platform: str
    unit: np.ndarray
    """(N, n) The starts in the unit box."""
    first_step: np.ndarray
    """(K + N,) The first step from each start, those of the user's own guesses first."""
    open: np.ndarray
    """(2, n) Whether the searches may leave the box."""
    rules: LocalRules
    lanes: int
    jumps: bool
    """Whether the function may jump."""
    whole: np.ndarray
    """(n,) Which variables are whole numbers; see lattice.py."""
    hops: Hopping | None = None
    """Which starts hop; None where all are those of the cover."""
    constrained: ConstrainedFunction | None = None
    """Under constraints, whose lower and upper bounds are then the first two leaves; the local search is of packed
    variables, see lagrangian.py."""


class Answer(NamedTuple):
    """The best minimiser of each of P problems."""

    x: jax.Array
    """(P, n)"""
    f: jax.Array
    """(P,) +inf where no value was finite."""
    status: jax.Array
    """(P,) `LocalStatus` of the search that found it."""
    nfev: jax.Array
    """(P,) Evaluations of all its local searches, polish and derivatives apart."""
    singular: jax.Array
    """(P,) See `implicit.Polished`."""
    touching: jax.Array
    """(P,) Likewise."""
    tied: jax.Array
    """(P,) Whether another search ended elsewhere at the same value."""
    lam: Any = None
    """(P, m) Multipliers under m constraints; None without. So are the next three."""
    active: Any = None
    """(P, m) Which constraints a bound holds."""
    violation: Any = None
    """(P,) The largest, in the constraints' own units."""
    kept: Any = None
    """(P,) Whether all constraints are, to their tolerance; where they are not, f is +inf."""


class Best(NamedTuple):
    """The best search of each problem so far."""

    x: jax.Array
    f: jax.Array
    start: jax.Array
    """(P,) The number of the start; of equal values the lowest counts."""
    status: jax.Array
    tied: jax.Array


class Round(NamedTuple):
    """The starts that are dealt, of each problem; all of them where none hop."""

    first: jax.Array
    starts: jax.Array
    """How many."""


def search(plan: Plan, own: tuple[bool, ...], box: jax.Array, guesses: jax.Array, *leaves: Any) -> Answer:
    """Searches from every start of every problem, and polishes the winners.

    box: (2, n) lower and upper bounds. guesses: (K, n) the user's own starts. leaves: of the args. Each has a leading
    axis of problems where `own` says so, in this order.
    """
    own_box, own_guesses, *own_leaves = own
    counts = {len(leaf) for leaf, differs in zip((box, guesses, *leaves), own, strict=True) if differs}
    (count,) = counts or {1}
    dtype = box.dtype
    K, n = guesses.shape[-2:]
    total = K + len(plan.unit)
    if count * total >= 2**31 - 2**20:
        raise ValueError(f"one program takes fewer than 2^31 local searches; got {count} problems of {total} starts.")
    first, more = (len(plan.unit), total) if plan.hops is None else (plan.hops.first, plan.hops.round)
    enough, busy = (power_above(count * starts) for starts in (max(K + first, more), more))
    lanes = min(plan.lanes, busy)  # of all rounds but the first
    lower, upper = box[..., 0, :], box[..., 1, :]
    lower = jnp.where(lower <= upper, lower, jnp.nan)  # a box that is upside down has no minimum
    region = within(lower, upper, plan.open, plan.whole)
    problems = sweep.Problems(region, list(leaves))
    differ = (own_box,) * len(region) + tuple(own_leaves)
    under = None
    if plan.constrained is not None:
        under = Under(plan.constrained, (own_box, own_box, *own_leaves), lower, upper, leaves)
    searched, packed = (problems, n) if under is None else (under.searched(problems), under.length)
    size = min(sweep.queue_size(packed, lanes), enough)
    unit, first_step = jnp.asarray(plan.unit, dtype), jnp.asarray(plan.first_step, dtype)
    pool: Any = None
    draws: Any = None
    if plan.hops is not None:
        pool, draws = hopping.empty(plan.hops, count, n, dtype), hopping.draw(plan.hops, n)

    def place(problem, start, pool):
        low, high = (side[problem] if own_box else side[None] for side in (lower, upper))
        from_cover, step = unit[jnp.maximum(start - K, 0)], first_step[start]
        if plan.hops is not None:
            row = jnp.asarray(plan.hops.cover)[jnp.maximum(start - K, 0)]
            to, reach = hopping.hop(pool, draws, problem, start)
            hops = (row < 0) & jnp.isfinite(pool.f[problem, 0])
            from_cover = jnp.where(hops[:, None], to, jnp.where((row < 0)[:, None], from_cover, unit[row]))
            step = jnp.where(hops, reach, step)
        points = jnp.clip(low + (high - low) * from_cover, low, high)
        points = jnp.where(plan.whole, jnp.rint(points), points) if np.any(plan.whole) else points
        if K:
            given = guesses[problem, jnp.minimum(start, K - 1)] if own_guesses else guesses[jnp.minimum(start, K - 1)]
            points = jnp.where((start < K)[:, None], given, points)
        return points, step

    def block(carry):
        state, at_work, best, nfev, valueless, pool, dealt, base = carry
        searches = count * dealt.starts
        index = jnp.minimum(base + jnp.arange(size, dtype=jnp.int32), searches - 1)
        problem, start = index // dealt.starts, dealt.first + index % dealt.starts
        left = searches - base
        points, step = place(problem, start, pool)
        queue = sweep.Queue(
            points if under is None else under.pack(points, problem),
            step,
            problem,
            first=jnp.int32(0),
            count=jnp.minimum(left, size),
            drain=left <= size,
            max_ticks=jnp.int32(2**31 - 1),
        )
        out = sweep.chunk(plan.value, plan.program, plan.platform, differ, state, queue, searched, plan.rules)
        who = jnp.concatenate([jnp.stack([problem, start], axis=1), at_work, jnp.full((1, 2), -1, jnp.int32)])
        rows = who[:-1]
        results = out.results if under is None else under.finish(out.results, rows[:, 0], rows[:, 1])
        ended = results[:, -2] > 0
        counted = nfev.at[jnp.where(ended, rows[:, 0], count)].add(results[:, -1].astype(jnp.int32), mode="drop")
        best = better(best, results, jnp.where(ended, rows[:, 0], count), rows[:, 1], width, own_box)
        if under is not None:
            valueless = valueless.at[jnp.where(ended, rows[:, 0], count)].max(under.valueless(results), mode="drop")
        base = base + size
        if plan.hops is not None:
            low, wide = (side if own_box else side[None] for side in (lower, upper - lower))
            at = jnp.minimum(rows[:, 0], count - 1) if own_box else jnp.zeros(len(rows), jnp.int32)
            u = (results[:, :n] - low[at]) / jnp.where(wide > 0, wide, 1)[at]
            pool = hopping.note(pool, u, results[:, n], jnp.where(ended, rows[:, 0], count), rows[:, 1])
            pool, dealt, base = lax.cond(base >= searches, following, lambda *same: same, pool, dealt, base)
        return out.state, who[out.state.slot], best, counted, valueless, pool, dealt, base

    def following(pool, dealt, base):
        first = dealt.first + dealt.starts
        return hopping.renew(pool, SAME), Round(first, jnp.full_like(first, more)), jnp.zeros_like(base)

    nobody = jnp.full((lanes, 2), -1, jnp.int32)
    centre = jnp.broadcast_to(lower + (upper - lower) / 2, (count, n))
    centre = jnp.where(plan.whole, jnp.rint(centre), centre) if np.any(plan.whole) else centre
    width = upper - lower if under is None else under.beside(upper - lower)
    nothing = Best(
        x=centre if under is None else under.beside(centre),
        f=jnp.full(count, jnp.inf, dtype),
        start=jnp.full(count, total, jnp.int32),
        status=jnp.full(count, LocalStatus.NONFINITE_VALUE, jnp.int32),
        tied=jnp.zeros(count, bool),
    )
    idle = jax.tree.map(jnp.asarray, sweep.idle_state(plan.program, packed, lanes, size, dtype))
    sampled = 0 if under is None else subject.SAMPLE
    nfev = jnp.full(count, sampled, jnp.int32)
    valueless = None if under is None else jnp.zeros(count, bool)
    carry = (idle, nobody, nothing, nfev, valueless, pool, Round(jnp.int32(0), jnp.int32(K + first)), jnp.int32(0))

    def goes_on(carry):
        *_, dealt, base = carry
        return (base < count * dealt.starts) & (dealt.first < total)

    _, _, best, nfev, valueless, *_ = lax.while_loop(goes_on, block, carry)
    if under is not None:
        return answer(under, best, nfev, valueless)
    polished = polish_many.polish_all(plan.value, best.x, best.f, problems, differ, plan.jumps)
    return Answer(polished.x, polished.f, best.status, nfev, polished.singular, polished.touching, best.tied)


def answer(under: Under, best: Best, nfev: jax.Array, valueless: Any) -> Answer:
    """The answer to all problems of a search under constraints, measured at the best points.

    valueless: (P,) whether a feasible point was met at which the function has no value.
    """
    x, sure, told, kept = under.told(best.x)
    nowhere = ~jnp.isfinite(told.f) & jnp.all(jnp.isfinite(told.c), axis=1)  # it is the function that has no value
    unfit = jnp.where(nowhere | valueless, LocalStatus.NONFINITE_VALUE, LocalStatus.INFEASIBLE)
    return Answer(
        x, jnp.where(kept, told.f, jnp.inf), jnp.where(kept, best.status, unfit), nfev,
        told.singular | ~sure, told.touching, best.tied & kept, told.lam, told.active, told.violation, kept,
    )  # fmt: skip


def better(best: Best, results: jax.Array, problem: jax.Array, start: jax.Array, width: jax.Array, own: bool) -> Best:
    """The best searches once these have ended too; rows of `problem` beyond the last do not count."""
    count, n = best.x.shape
    x, f, status = results[:, :n], results[:, n], results[:, n + 1].astype(jnp.int32)
    lowest = best.f.at[problem].min(f, mode="drop")
    here = jnp.minimum(problem, count - 1)
    equal = (problem < count) & (f == lowest[here])
    first = jnp.where(lowest < best.f, 2**31 - 1, best.start)
    first = first.at[jnp.where(equal, problem, count)].min(start, mode="drop")
    winner = jnp.where(equal & (start == first[here]), problem, count)
    new_x = best.x.at[winner].set(x, mode="drop")

    def elsewhere(x, x_best, width):
        return jnp.max(jnp.where(width > 0, jnp.abs(x - x_best), 0) - APART * width, axis=-1) > 0

    tolerance, width = SAME * (1 + jnp.abs(lowest)), width if own else width[None]
    ties = (f <= lowest[here] + tolerance[here]) & elsewhere(x, new_x[here], width[here] if own else width)
    stays = best.f <= lowest + tolerance
    tied = stays & (best.tied | elsewhere(best.x, new_x, width))
    return Best(
        x=new_x,
        f=lowest,
        start=first,
        status=best.status.at[winner].set(status, mode="drop"),
        tied=tied.at[jnp.where(ties, problem, count)].set(True, mode="drop"),
    )
