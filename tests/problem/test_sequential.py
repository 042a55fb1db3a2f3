"""Factorisations one matrix at a time: the same values and derivatives as JAX's own, and no batch of them is left."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64

import jaxglobal as jg
from jaxglobal.problem import canonical
from jaxglobal.problem.linear_algebra import hangs, one_thread
from jaxglobal.problem.sequential import RANKS, replay
from jaxglobal.problem.unthreaded import ROWS, THREADED

N = 6
SQUARE = np.random.default_rng(0).standard_normal((N, N))
DEFINITE = SQUARE @ SQUARE.T + N * np.eye(N)
RIGHT = np.random.default_rng(1).standard_normal(N)
DISTANCES = np.exp(-np.abs(np.subtract.outer(np.arange(40), np.arange(40))))
POINTS = np.random.default_rng(2).uniform(0.5, 1.5, (3, 2))


def matrix(p):
    return DEFINITE * (1 + p[0] ** 2) + p[1] ** 2 * jnp.eye(N)


def cholesky(p):
    factor = jnp.linalg.cholesky(matrix(p))
    z = jax.scipy.linalg.solve_triangular(factor, RIGHT, lower=True)
    return z @ z / 2 + jnp.sum(jnp.log(jnp.diag(factor)))


def solve(p):
    return RIGHT @ jnp.linalg.solve(matrix(p), RIGHT)


def slogdet(p):
    return jnp.linalg.slogdet(matrix(p))[1]


def qr(p):
    return jnp.sum(jnp.linalg.qr(matrix(p))[1] ** 3) / 100


def eigh(p):
    values, vectors = jnp.linalg.eigh(matrix(p))
    return values[0] + jnp.sum(vectors**4)


def svd(p):
    return jnp.linalg.norm(matrix(p)[:4], "nuc")


def tridiagonal(p):
    sides = jnp.ones(N) * p[0]
    return jnp.sum(
        jax.lax.linalg.tridiagonal_solve(sides.at[0].set(0), p[1] + 4 + sides, sides.at[-1].set(0), RIGHT[:, None]) ** 2
    )


def several(p):
    return jnp.sum(jnp.linalg.cholesky(jnp.stack([matrix(p), matrix(p[::-1])])) ** 3)


def transposed(p):
    return jnp.sum(jax.scipy.linalg.solve_triangular(jnp.tril(DEFINITE) * p[0], RIGHT * p[1], lower=True, trans=1) ** 2)


def batches(jaxpr):
    """The names of JAX's own primitives in the jaxpr that have a batch of matrices."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in RANKS and eqn.invars[0].aval.ndim > RANKS[eqn.primitive.name][0]:
            yield eqn.primitive.name
        for inner in canonical.within(eqn):
            yield from batches(inner)


@pytest.mark.parametrize("fun", [cholesky, solve, slogdet, qr, eigh, svd, tridiagonal, several, transposed])
def test_the_same_slopes_from_single_matrices(fun, x64):
    want = jax.vmap(jax.grad(fun))
    got = jax.vmap(lambda p: replay(jax.grad(fun), p))
    assert [*batches(jax.make_jaxpr(want)(POINTS))] and not [*batches(jax.make_jaxpr(got)(POINTS))]
    singly = jnp.stack([jax.grad(fun)(p) for p in POINTS])  # the batch may stand for ever
    np.testing.assert_allclose(jax.jit(got)(POINTS), singly, rtol=1e-12 if x64 else 1e-3, atol=1e-12 if x64 else 1e-4)


@pytest.mark.parametrize("fun", [cholesky, solve, qr, eigh, svd, several, transposed])
def test_what_is_made_of_it_keeps_to_single_matrices(fun, x64):
    """Derivatives of the second order, forward over reverse, of a function that was replayed before."""
    got = jax.vmap(jax.hessian(lambda p: replay(fun, p)))
    assert not [*batches(jax.make_jaxpr(got)(POINTS))]
    singly = jnp.stack([jax.hessian(fun)(p) for p in POINTS])
    np.testing.assert_allclose(jax.jit(got)(POINTS), singly, rtol=1e-12 if x64 else 1e-2, atol=1e-12 if x64 else 1e-3)


@pytest.mark.skipif(not hangs(), reason="batches come through with this JAX")
def test_what_the_library_factorises_itself_is_no_batch_in_a_vmap_either():
    """The function has no matrices, but the polish, the derivative of the answer and the errors of a fit have."""
    box, times = [(-2, 2)] * 3, jnp.linspace(0, 3, 20)
    lowest = lambda a, **options: jg.argmin(lambda x, a: jnp.sum((x**2 - a) ** 2), box, a, levels=1, **options).x[0]  # noqa: E731
    fit = lambda y: jg.curve_fit(lambda t, a, k: a * jnp.exp(-k * t), times, y, [(0, 5)] * 2).pcov  # noqa: E731
    for call, each in (
        (jax.grad(lowest), POINTS[:, 0]),
        (fit, POINTS[:, :1] * np.exp(-times)),
    ):
        assert not [*batches(jax.make_jaxpr(jax.vmap(call))(jnp.asarray(each, times.dtype)))]


def solves(lowered):
    """How many numbers are on the right-hand side of each solve with a triangular matrix that LAPACK is called for."""
    calls = [line for line in lowered.as_text().splitlines() if re.search("lapack_.trsm", line)]
    return [np.prod([int(size) for size in re.findall(r"tensor<(\d+)x(\d+)x", line)[1]]) for line in calls]


@pytest.mark.parametrize("left_side", [True, False])
@pytest.mark.parametrize(("rows", "sides"), [(8, 8), (40, 60), (127, 30)])
def test_a_solve_that_nobody_holds_to_one_thread_is_of_so_few_numbers_that_it_is(rows, sides, left_side):
    def solve(a, b):
        return jax.lax.linalg.triangular_solve(a, b, left_side=left_side, lower=True, transpose_a=True)

    rng = np.random.default_rng(0)
    a = np.tril(rng.standard_normal((rows, rows))) + rows * np.eye(rows)
    b = rng.standard_normal((rows, sides) if left_side else (sides, rows))
    few = jax.jit(lambda a, b: replay(solve, a, b, held=False))
    assert max(solves(few.lower(a, b))) < THREADED
    assert solves(jax.jit(lambda a, b: replay(solve, a, b)).lower(a, b)) == [rows * sides]
    with one_thread():
        want = jax.jit(solve)(a, b)
        assert np.array_equal(few(a, b), want) and np.array_equal(few(a[None], b[None])[0], want)


@pytest.mark.parametrize("flags", [*itertools.product([False, True], repeat=5)], ids=str)
def test_a_solve_of_many_rows_is_that_of_its_halves(flags):
    names = ("left_side", "lower", "transpose_a", "conjugate_a", "unit_diagonal")
    options = dict(zip(names, flags, strict=True))
    kind = complex if options["conjugate_a"] else float

    def solve(a, b):
        return jax.lax.linalg.triangular_solve(a, b, **options)

    rng, rows, sides = np.random.default_rng(1), 150, 20
    a = rng.standard_normal((rows, rows)) / rows + np.eye(rows) + (0.1j * np.eye(rows) if kind is complex else 0)
    b = rng.standard_normal((rows, sides) if flags[0] else (sides, rows)).astype(kind)
    halves = jax.jit(lambda a, b: replay(solve, a, b, held=False))
    assert max(solves(halves.lower(a, b))) < THREADED
    np.testing.assert_allclose(halves(a, b), jax.jit(solve)(a, b), rtol=0, atol=1e-13 if X64 else 1e-4)


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS, 301])
@pytest.mark.parametrize("kind", [float, complex])
def test_a_matrix_of_many_rows_is_factorised_in_halves(rows, kind):
    root = np.random.default_rng(2).standard_normal((2, rows, rows)) / np.sqrt(rows)
    a = root[0] + (1j * root[1] if kind is complex else 0)
    a = a @ a.conj().T + np.eye(rows)
    halves = jax.jit(lambda a: replay(jnp.linalg.cholesky, a, held=False))
    text = halves.lower(a).as_text()
    assert all(int(size) < ROWS for size in re.findall(r"lapack_.potrf.*?tensor<(\d+)x", text)) and "potrf" in text
    np.testing.assert_allclose(halves(a), np.linalg.cholesky(a), rtol=0, atol=1e-13 if X64 else 1e-5)
    slope = jax.jit(jax.grad(lambda a: jnp.sum(jnp.abs(replay(jnp.linalg.cholesky, a, held=False)))))
    want = jax.jit(jax.grad(lambda a: jnp.sum(jnp.abs(jnp.linalg.cholesky(a)))))
    np.testing.assert_allclose(slope(a), want(a), rtol=0, atol=1e-11 if X64 else 1e-3)
    a[-1, -1] = -1  # not positive definite: no factor
    assert np.all(np.isnan(np.asarray(halves(a))[np.tril_indices(rows)]))


@pytest.mark.parametrize("left_side", [True, False])
@pytest.mark.parametrize("rows", [40, 80])
def test_of_complex_numbers_half_as_many_take_threads(rows, left_side):
    def solve(a, b):
        return jax.lax.linalg.triangular_solve(a, b, left_side=left_side, lower=True, conjugate_a=True)

    a = np.tril(np.cos(np.arange(rows**2)).reshape(rows, rows) * (1 + 0.2j)) / rows + np.eye(rows)
    b = np.cos(np.arange(rows * 20)).reshape((rows, 20) if left_side else (20, rows)) * (1 - 2j)
    few = jax.jit(lambda a, b: replay(solve, a, b, held=False))
    assert max(solves(few.lower(a, b))) < THREADED / 2
    with one_thread():
        np.testing.assert_allclose(few(a, b), jax.jit(solve)(a, b), rtol=1e-12 if X64 else 1e-4)


def likelihood(p, y):
    covariance = DISTANCES * p[0] + jnp.eye(40)
    z = jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(covariance), y, lower=True)
    return z @ z + p @ p


def correlated(t, a):
    return jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(DISTANCES * a + jnp.eye(40)), jnp.cos(t), lower=True)


@pytest.mark.parametrize(
    "answer",
    [
        lambda y: jg.argmin(likelihood, [(0, 1)] * 2, y, levels=1).x,
        lambda y: jg.curve_fit(correlated, jnp.arange(40.0), y, [(0, 1)], max_levels=1)[:2],
    ],
)
def test_what_is_solved_in_a_users_jit_is_no_batch_and_takes_no_threads(answer):
    ys = jnp.ones((3, 40))
    answers = jax.jit(jax.vmap(answer))
    assert not hangs() or not [*batches(jax.make_jaxpr(answers)(ys))]
    numbers = solves(answers.lower(ys))
    assert 40 in numbers and max(numbers) < THREADED


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("shapes", [((0, 0), (0, 3)), ((2, 0, 0), (2, 0, 5)), ((0, 4, 4), (0, 4, 5)), ((4, 4), (4, 0))])
def test_nothing_is_solved_with_no_rows(shapes, held):
    def solve(a, b):
        return jax.lax.linalg.triangular_solve(a, b, left_side=True, lower=True)

    a, b = map(jnp.ones, shapes)
    assert jax.jit(lambda a, b: replay(solve, a, b, held=held))(a, b).shape == shapes[1]
