"""A function that is NaN wherever its constraints are kept: every entry point says so, and calls nothing infeasible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

BOX = [(-2.0, 2.0)] * 2
SAID = "no feasible point gave a finite value"


def fun(x):
    """NaN but where x[0] + x[1] is more than 1."""
    return jnp.where(x[0] + x[1] > 1, jnp.sum(x**2), jnp.nan)


def row(x):
    return x[0] + x[1]


# Bounds of the row: a region, whose points are met by looks, and a line, which only steps onto the row meet.
BOUNDS = pytest.mark.parametrize("bounds", [(-np.inf, 0.5), (0.25, 0.25)])


@BOUNDS
@pytest.mark.parametrize("starts", ["auto", jg.Grid()])
def test_of_many_problems(bounds, starts):
    """One that has no value, beside one that has; then both with a limit."""
    given = np.array([0.0, 2.0])
    constraints = jg.Constraint(lambda x, _: row(x), *bounds)
    of = lambda x, a: jnp.where(row(x) > 1 - a, jnp.sum(x**2), jnp.nan)  # noqa: E731
    results = jg.minimize_many(of, BOX, given, constraints=constraints, starts=starts, progress=False)
    assert results.status[0] is jg.Status.NO_FINITE_VALUE and results.success.tolist() == [False, True]


@BOUNDS
def test_of_a_traced_search(bounds):
    found = jg.argmin(fun, BOX, constraints=jg.Constraint(row, *bounds))
    assert int(found.status) == jg.LocalStatus.NONFINITE_VALUE and np.isnan(found.fun)


@BOUNDS
def test_of_a_search_that_is_told(bounds, tmp_path):
    """And of one that goes on from a checkpoint."""
    told = jax.jit(lambda x: (fun(x), row(x), jax.grad(fun)(x), jax.grad(row)(x)))
    path, done = tmp_path / "search", False
    while not done:
        search = jg.Search(
            BOX, constraints=jg.Constraint(None, *bounds), max_levels=3, starts=jg.Grid(), checkpoint=path, tag="nan"
        )
        for _ in range(60):
            points = search.ask(16)
            if len(points):
                f, c, g, J = (np.array(part) for part in zip(*map(told, points.x), strict=True))
                search.tell(f, g, points.ids, constraints=c, jacobian=J)
        search.save()
        done = search.done
    assert SAID in search.result().message and not search.result().success


@BOUNDS
@pytest.mark.parametrize("jac", [None, "2-point", True])
def test_of_a_simulator(bounds, jac):
    """Its rows have slopes where it has no value, so that a curve, which no look meets, is come to."""

    def simulate(x):
        value = float(x @ x if row(x) > 1 else np.nan), float(row(x) + 0.3 * x[0] ** 2)
        return (value, (2 * x, np.array([1 + 0.6 * x[0], 1.0]))) if jac is True else value

    kept = jg.Constraint(None, *bounds)
    options = dict(constraints=kept, max_levels=2, starts=jg.Grid(), max_starts=9, progress=False)
    told_of = jg.minimize(jg.host(simulate, jac=jac), BOX, **options)
    assert SAID in told_of.message and not told_of.success
    assert np.isfinite(told_of.violation)
