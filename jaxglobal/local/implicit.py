"""The minimiser as a function of the args and the bounds: its last digits, and its derivatives.

At a minimiser x the gradient of the free variables F vanishes and every other variable sits at a bound. Differentiating
both gives [G]

    H_FF dx_F = -(d2f / dx_F dargs) dargs - H_FB dx_B,    dx_B = the movement of the bounds,

and the value changes by the partial derivatives alone, df = (df / dargs) dargs + g_B dx_B (the envelope theorem, [MS]).
The error of dx is proportional to what is left of the gradient, so the point is polished by Newton steps first.

A singular H_FF gives the least-norm dx. Not differentiable, though a number comes out: a minimiser that is about to
reach or to leave a bound, two minimisers of equal value, a minimiser of vanishing curvature.

[G] S. Gould et al., On differentiating parameterized argmin and argmax problems (2016), arXiv:1607.05447, eq. 6 and 15.
[MS] P. Milgrom and I. Segal, Envelope theorems for arbitrary choice sets, Econometrica 70 (2002).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxglobal.local import hessians
from jaxglobal.local.descent import outward
from jaxglobal.local.hessians import Value
from jaxglobal.problem import modes
from jaxglobal.problem.linear_algebra import own
from jaxglobal.problem.region import Region, within

DENSE = 256  # free and fixed variables up to which the Hessian is a matrix; beyond, conjugate gradients
NEWTON_STEPS = 10  # at most, of a polish; two or three are usual
LONGEST = 0.01  # a Newton step beyond this, in units of the box, is not a polish
BACK = (0.0, 2.0**-8, 2.0**-6, 2.0**-4, 2.0**-2, 1.0)  # of the way from the polished point back to where it began
RISE = 8  # eps of the value, and times its noise on the way, by which a polish may raise it
ROUNDING = 64  # eps of a value: a larger difference between two programs is none of rounding
NEARLY = 0.5  # H is nearly singular where the ratio of its eigenvalues falls below eps to this power
NEAR = 1e-6  # a bound is about to be reached, or left, if a change of x by so much of the box does it


class Polished(NamedTuple):
    """A minimiser to its last digits; n variables."""

    x: Any
    """(n,)"""
    f: Any
    """()"""
    g: Any
    """(n,) The gradient in the user's coordinates."""
    singular: Any
    """() Whether H_FF is singular, or so nearly that its inverse means little, or not positive."""
    touching: Any
    """() Whether a variable is about to reach or to leave a bound."""


def polish(value: Value, x: jax.Array, f: jax.Array, region: Region) -> Polished:
    """Newton's method on the free variables from x, as long as it shrinks the gradient.

    Where it does not, variables whose curvature may be of rounding alone take no further part: one that does not act
    at all would turn or lengthen every step by chance, and keep the others from their last digits.
    value: f(x); where JAX has no second derivatives of it, they are differences of gradients (of more than `DENSE`
    variables, x is returned with its gradient). f: its value, not finite where x is no minimiser. region: each (n,).
    """
    value_and_grad = modes.value_and_grad(value)
    product = modes.curvature(value, x)

    def residual(x, g):
        return jnp.max(jnp.where(outward(x, g, region), 0, jnp.abs(g * region.width)))

    def newton(carry):
        x, f, g, size, _, all_act, k = carry
        # A variable that all but touches the bound to which it is drawn would bend the step of the others.
        H = hessians.hessian(value, product, x, region, region.width > 0) if len(x) <= DENSE else None
        unsure = jnp.zeros((), bool) if H is None else hessians.unsure(H)
        H = None if H is None else hessians.without(H, unsure & ~all_act)
        margin = _reach(H, g, region)
        drawn = outward(x, g, Region(region.lower + margin, region.upper - margin, region.width))
        step, definite = _newton_step(H, product, x, g, region, ~drawn)
        onto = jnp.where(g > 0, region.lower, region.upper)
        trial = jnp.where(drawn & (region.width > 0), onto, x - step * region.width)
        trial = jnp.clip(trial, region.lower, region.upper)
        f_trial, g_trial = value_and_grad(trial)
        better = definite & (jnp.max(jnp.abs(step)) <= LONGEST)
        better &= jnp.isfinite(f_trial) & (residual(trial, g_trial) < size)
        chosen = jax.tree.map(lambda a, b: jnp.where(better, a, b), (trial, f_trial, g_trial), (x, f, g))
        return *chosen, residual(*chosen[::2]), better | (all_act & jnp.any(unsure)), all_act & better, k + 1

    f_here, g = value_and_grad(x)
    found = jnp.isfinite(f) & jnp.isfinite(f_here)
    start = (x, jnp.where(found, f_here, f), g, residual(x, g), found, jnp.ones((), bool), jnp.int32(0))
    no = jnp.zeros((), bool)
    if product is None and len(x) > DENSE:
        return Polished(*start[:3], no, no)
    x, f, g, *_ = lax.while_loop(lambda carry: carry[-3] & (carry[-1] < NEWTON_STEPS), newton, start)
    free = ~outward(x, g, region)
    if len(x) > DENSE:
        return Polished(x, f, g, no, no)
    return Polished(x, f, g, *_doubts(hessians.hessian(value, product, x, region, free), free, x, g, region))


def kept(value: Value, x: jax.Array, f: jax.Array, polished: Polished) -> Polished:
    """The polished point, or the nearest on the way back to x, whose value is that at x, f, or lower, to rounding.

    Newton's method follows the gradient: across a jump it leaves for a higher value. That of rounding is allowed, so
    that x keeps the digits in which it moves with the args.
    """
    back = jnp.asarray(BACK, x.dtype)[:, None]
    points = jnp.where(back == 1, x[None], polished.x[None] + back * (x - polished.x)[None])
    values, slopes = jax.vmap(modes.value_and_grad(value))(points)
    here = values[-1]  # where another program gave another value, a jump is at x
    eps = jnp.finfo(f.dtype).eps
    limit = jnp.where(jnp.abs(here - f) <= ROUNDING * eps * (1 + jnp.abs(f)), f, here)
    low = values <= limit + RISE * (eps * jnp.abs(limit) + _noise(points, values, slopes))
    first = jnp.argmax(low.at[-1].set(True))
    value_there = jnp.where(first == len(BACK) - 1, limit, values[first])
    return polished._replace(x=points[first], f=jnp.where(jnp.isfinite(f), value_there, f), g=slopes[first])


def _noise(points: jax.Array, values: jax.Array, slopes: jax.Array) -> jax.Array:
    """How far values on a line, (k,), are from the trapezoidal rule of their slopes: between most, by rounding alone.

    A sum of squares that cancel has many eps of its value; a jump is between two points, so the median leaves it out.
    """
    expected = jnp.sum((slopes[1:] + slopes[:-1]) * jnp.diff(points, axis=0), axis=1) / 2
    return jnp.median(jnp.abs(jnp.diff(values) - expected))


def with_rule(find: Callable[..., Any], move: Callable[..., dict[str, Any]]) -> Callable[..., Any]:
    """find(box, start, *leaves) -> a named tuple, of which move says how some fields are differentiated.

    move: move(answer, box, leaves, d_box, d_leaves) -> the tangents of these fields, by name.
    """
    solve = jax.custom_jvp(find)

    @solve.defjvp
    def rule(primals, moves):
        box, _, *leaves = primals
        d_box, _, *d_leaves = moves
        answer = solve(*primals)
        still = jax.tree.map(_unmoved, answer)
        return answer, still._replace(**move(answer, box, leaves, d_box, d_leaves))

    return solve


def _unmoved(leaf: jax.Array) -> Any:
    """The tangent of what does not move."""
    real = jnp.issubdtype(leaf.dtype, jnp.floating)
    return jnp.zeros_like(leaf) if real else np.zeros(leaf.shape, jax.dtypes.float0)


def differentiable(
    value: Callable[..., jax.Array], open: np.ndarray, find: Callable[..., Any], safe: Callable[[Any], Any]
) -> Callable[..., Any]:
    """find(box, start, *leaves) -> a named tuple with a minimiser x and its value f; with the rule of its derivative.

    value: f(x, leaves). box: (2, n). open: (2, n) which sides of it the minimiser may leave. safe: safe(run) is the
    program of the derivative as it is to be traced; see `linear_algebra`.
    """
    tangents = safe(functools.partial(_tangents_of, value, open))

    def move(answer, box, leaves, d_box, d_leaves):
        d_x, d_f = tangents(answer.x, box, leaves, d_box, d_leaves)
        return {"x": d_x, "f": d_f}

    return with_rule(find, move)


def _tangents_of(
    value: Callable[..., jax.Array], open: np.ndarray, x: jax.Array, box: Any, leaves: Any, d_box: Any, d_leaves: Any
) -> tuple[jax.Array, jax.Array]:
    """`tangents` in a box, (2, n), of which some sides may be left."""
    return tangents(value, x, within(box[0], box[1], open), leaves, (d_box[0], d_box[1]), d_leaves)


def tangents(
    value: Callable[..., jax.Array], x: jax.Array, region: Region, args: Any, d_bounds: Any, d_args: Any,
    still: Any = False,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    """How the minimiser, (n,), and the value, (), move with the bounds and the args; linear in both.

    value: f(x, args). d_bounds: (lower, upper), each (n,). d_args: as args. still: (n,) variables that do not move.
    """
    held = outward(x, modes.grad(value)(x, args), region) | still
    d_lower, d_upper = d_bounds
    d_held = jnp.where(held, jnp.where(x <= region.lower, d_lower, d_upper), 0)
    d_f, d_g = _moved(value, x, region, args, d_held, d_args)
    d_free = solve(lambda v: value(v, args), x, region, ~held, jnp.where(held, 0, -d_g))
    return d_held + d_free, d_f


def _moved(
    value: Callable[..., jax.Array], x: jax.Array, region: Region, args: Any, d_x: jax.Array, d_args: Any
) -> tuple[jax.Array, jax.Array]:
    """How the value and its gradient in x move; linear in the moves."""
    grad, at, move = jax.grad(value), (x, args), (d_x, d_args)
    # What has no reverse mode could not be transposed, as the reverse mode of the minimiser needs it.
    transposable = modes.works(lambda: jax.vjp(grad, *at)[1](x))
    if transposable and modes.pushes(value, at, move) and modes.pushes(grad, at, move):
        return jax.jvp(value, at, move)[1], jax.jvp(grad, at, move)[1]
    return modes.by_rows(value, x, args, region)(d_x, d_args)


def solve(value: Value, x: jax.Array, region: Region, free: jax.Array, b: jax.Array) -> jax.Array:
    """The least-norm v with H_FF v_F = b_F and zero for the others; linear in b, with derivatives in x."""
    product = modes.curvature(value, x)
    if product is None:
        whole = modes.differences(modes.grad(value), x, region)
        product = lambda _, v: (whole + whole.T) / 2 @ v  # noqa: E731

    def matvec(v):
        return jnp.where(free, product(x, jnp.where(free, v, 0)), v)

    if len(x) > DENSE:
        invert = hessians.conjugate_gradients
    else:
        inverse = hessians.pseudoinverse(
            lax.stop_gradient(hessians.hessian(value, product, x, region, free)), free, region
        )
        invert = lambda _, v: inverse @ v  # noqa: E731
    # Differentiated by the rule of a linear solve, not through the eigenvalues, whose derivatives fail where two agree.
    return lax.custom_linear_solve(matvec, b, invert, symmetric=True)


def _reach(H: jax.Array | None, g: jax.Array, region: Region) -> jax.Array:
    """(n,) How near a bound touches a variable: within NEAR of the box, and within its own Newton step, doubled."""
    margin = NEAR * region.width
    if H is None:
        return margin
    curvature = jnp.diag(H)
    own_step = jnp.abs(g) * region.width**2 / jnp.where(curvature > 0, curvature, 1)
    return jnp.where(curvature > 0, jnp.minimum(margin, 2 * own_step), margin)


def _newton_step(
    H: jax.Array | None, product: Any, x: jax.Array, g: jax.Array, region: Region, free: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The Newton step in units of the box, and whether H_FF has no negative curvature where that was looked at.

    H: of all variables, None where they are too many. product: H v, for then.
    """
    slopes = jnp.where(free, g * region.width, 0)
    if H is None:
        step = hessians.conjugate_gradients(lambda v: hessians.column(product, x, region, free, v), slopes)
        return step, jnp.sum(slopes * step) > 0
    eigenvalues, V, D = hessians.balanced(jnp.where(free[:, None] & free[None, :], H, 0), free)
    null = hessians.vanishing(eigenvalues)
    step = D * (V @ jnp.where(null, 0, (V.T @ (D * slopes)) / jnp.where(null, 1, eigenvalues)))
    return step, jnp.all(null | (eigenvalues > 0))


def _doubts(H: jax.Array, free: jax.Array, x: jax.Array, g: jax.Array, region: Region) -> tuple[jax.Array, jax.Array]:
    """Whether H_FF is singular or nearly so, and whether a variable is about to reach or to leave a bound."""
    eigenvalues = own(jnp.linalg.eigvalsh)(hessians.filled(H, free))
    singular = eigenvalues[0] <= eigenvalues[-1] * jnp.finfo(H.dtype).eps ** NEARLY
    gap = jnp.minimum(x - region.lower, region.upper - x)
    reaches = free & (gap <= NEAR * region.width)
    leaves = ~free & (region.width > 0) & (jnp.abs(g * region.width) <= NEAR * eigenvalues[-1])
    return singular & jnp.any(free), jnp.any(reaches | leaves)
