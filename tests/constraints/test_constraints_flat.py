"""Feasible problems whose objective leads searches to where the violation has no slope: never called infeasible."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64

import jaxglobal as jg

SEEDS = 10  # even: at a corner of the box; odd: inside
FORCE = 1.0, 1e4  # of the objective, towards the point of no slope
ROUND = 1e-4  # of its tip, where that lies inside the box


def objective(x, centre, force, level, tip):
    d = x - centre
    return force * jnp.sum(jnp.where(tip > 0, jnp.sqrt(d**2 + jnp.maximum(tip, ROUND)), d))


def least_of_square(v, e):
    """x**2 = v - z for z in [0, 1.25]."""
    x2 = np.linspace(max(v - 1.25, 0), v, 1_000_001)
    return np.min(np.sqrt(x2 + e) + np.sqrt((v - x2) ** 2 + e))


# name: (variables, row of the distance from the point of no slope, range of its bound, equality, least value)
PROBLEMS = {
    "square": (2, lambda d: d[0] ** 2 + d[1], (1.3, 2.0), True, least_of_square),
    "outside a ball": (2, lambda d: (d**2).sum(), (0.2, 1.5), False, lambda v, e: (v + e) ** 0.5 + e**0.5),
    "cube": (1, lambda d: d[0] ** 3, (0.1, 1.0), True, lambda v, e: (v ** (2 / 3) + e) ** 0.5),
    "product": (2, lambda d: d[0] * d[1], (0.2, 1.5), True, lambda v, e: 2 * (v + e) ** 0.5),
    "fourth powers": (4, lambda d: (d**4).sum(), (0.2, 1.5), True, lambda v, e: (v**0.5 + e) ** 0.5 + 3 * e**0.5),
    "three": (3, lambda d: d[0] * d[1] * d[2], (0.1, 1.0), False, lambda v, e: 3 * (v ** (2 / 3) + e) ** 0.5),
}


def problems(name):
    """Boxes, args, bounds and least values, of SEEDS problems."""
    n, _, (low, high), equality, least = PROBLEMS[name]
    rng = np.random.default_rng(sorted(PROBLEMS).index(name))
    force = np.exp(rng.uniform(np.log(FORCE[0]), np.log(FORCE[1]), SEEDS))
    level, centre = rng.uniform(low, high, SEEDS), rng.uniform(-0.4, 0.4, (SEEDS, n))
    tip = np.where(np.arange(SEEDS) % 2, ROUND, 0.0)
    box = np.stack([np.where(tip[:, None] > 0, -2.0, centre), np.full((SEEDS, n), 2.0)], axis=-1)
    if name == "square":
        box[:, 1] = centre[:, 1:] + [0.0, 1.25]
    upper = level if equality else np.full(SEEDS, np.inf)
    value = np.array([a * least(v, e) for a, v, e in zip(force, level, tip, strict=True)])
    return box, (centre, force, level, tip), level, upper, value


@functools.cache
def row_of(name):
    row = PROBLEMS[name][1]
    return lambda x, centre, *_: row(x - centre)


def by_minimize(name, **options):
    box, args, lower, upper, _ = problems(name)
    for i in range(SEEDS):
        rows = jg.Constraint(row_of(name), lower[i], upper[i])
        given = tuple(part[i] for part in args)
        yield jg.minimize(objective, box[i], given, constraints=rows, progress=False, **options)


def by_many(name, **options):
    box, args, lower, upper, _ = problems(name)
    rows = jg.Constraint(row_of(name), lower, upper)
    results = jg.minimize_many(objective, box, args, constraints=rows, progress=False, **options)
    yield from (results[i] for i in range(SEEDS))


def by_host(name, **options):
    box, args, lower, upper, _ = problems(name)
    row = PROBLEMS[name][1]
    for i in range(SEEDS):
        centre, force, _, tip = (part[i] for part in args)

        def simulate(x, centre=centre, force=force, tip=tip):
            d = x - centre
            return float(force * np.sum(np.sqrt(d**2 + tip) if tip > 0 else d)), np.array(float(row(d)))

        rows = jg.Constraint(None, lower[i], upper[i])
        yield jg.minimize(jg.host(simulate), box[i], constraints=rows, progress=False, **options)


def by_argmin(name):
    box, args, lower, upper, _ = problems(name)

    @jax.jit
    def solve(box, args, lower, upper):
        rows = jg.Constraint(row_of(name), lower, upper)
        return jg.argmin(objective, box, args, 2, constraints=rows, lanes=16)

    for i in range(SEEDS):
        yield solve(box[i], tuple(part[i] for part in args), lower[i], upper[i])


def infeasible(result):
    """Whether this was said, by a result or by an answer of argmin."""
    status = result.status
    return status is jg.Status.INFEASIBLE or (not isinstance(status, jg.Status) and not np.isfinite(result.fun))


def failures(name, results):
    """How many are called infeasible, and how many a success that is none; and the evaluations in all."""
    value, false, wrong, nfev = problems(name)[-1], 0, 0, 0
    tolerance = 1e-6 if X64 else 1e-3
    for result, least in zip(results, value, strict=True):
        no = infeasible(result)
        success = getattr(result, "success", not no)
        false, nfev = false + no, nfev + int(result.nfev)
        wrong += bool(success) and not (abs(result.fun - least) <= tolerance * (1 + least))
    return false, wrong, nfev


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("entry", [by_minimize, by_many], ids=["minimize", "minimize_many"])
def test_feasible_is_found(entry, name):
    """No feasible problem is called infeasible, and no success is another value."""
    false, wrong, nfev = failures(name, entry(name))
    assert not false and (not wrong or not X64), (false, wrong, nfev)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cube", "fourth powers"])
def test_traced_is_feasible(name):
    """`argmin` claims no global minimum; its points are feasible."""
    assert failures(name, by_argmin(name))[0] == 0


@pytest.mark.long
def test_one_of_each():
    """One that was called infeasible, searched alone and with others."""
    box, args, lower, upper, value = problems("cube")
    rows = jg.Constraint(row_of("cube"), lower[0], upper[0])
    one = jg.minimize(objective, box[0], tuple(part[0] for part in args), constraints=rows, progress=False)
    tolerance = 1e-7 if X64 else 1e-4
    assert one.success and abs(one.fun - value[0]) <= tolerance * value[0], one
    rows = jg.Constraint(row_of("cube"), lower[:2], upper[:2])
    many = jg.minimize_many(objective, box[:2], tuple(p[:2] for p in args), constraints=rows, progress=False)
    assert np.all(many.success) and np.allclose(many.fun, value[:2], rtol=tolerance)
