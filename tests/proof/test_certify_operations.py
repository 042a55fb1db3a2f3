"""certify: what operations say of their results in a box, alone and together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from proving import check, prove

from jaxglobal.problem.linear_algebra import one_at_a_time

pytestmark = float64_only


@pytest.mark.parametrize("n", [5, 300])
def test_sums_of_functions_of_one_variable(n):
    weights = np.arange(1.0, n + 1) / n

    def fun(x):
        return 2 - jnp.sum(x * jnp.sin(jnp.sqrt(jnp.abs(x)))) - jnp.sum(weights * x) / 9

    certificate = prove(fun, [(-500, 500)] * n, result=np.full(n, 420.0))
    assert certificate.proven and certificate.complete and certificate.nboxes == 1 and certificate.minimizers[0].unique
    grid = np.linspace(380, 460, 800_001)
    alone = [np.min(-grid * np.sin(np.sqrt(grid)) - w * grid / 9) for w in weights[:: max(n // 5, 1)]]
    if n == 5:
        assert abs(2 + sum(alone) - certificate.upper) < 1e-5 and certificate.lower <= 2 + sum(alone)
    assert fun(jnp.asarray(certificate.x)) <= certificate.upper + 1e-9 * n
    ties = prove(lambda x: jnp.sum((x**2 - 1) ** 2), [(-2, 3)] * 5, result=np.ones(5))  # 32 minimisers
    assert ties.proven and ties.lower <= 0 <= ties.upper


SHIFT = np.array([0.0, 0.3, 2.0, 2.2])
EASY = {  # what a rule for each operation alone does not bound, or only in a hundred thousand boxes
    "x log x": lambda x: jnp.sum(jax.scipy.special.xlogy(x, x)) + (x[0] - x[1]) ** 2,
    "sin x / x": lambda x: jnp.sin(x[0] - 1) / (x[0] - 1) + jnp.sinc(x[1] - 1),
    "expm1 x / x": lambda x: (jnp.exp(x[0] - 1) - 1) / (x[0] - 1) + (x[0] - 1) ** 2 + (x[1] - 1) ** 2,
    "logsumexp": lambda x: jax.nn.logsumexp(x) + jnp.sum(x**2),
    "logaddexp": lambda x: jnp.logaddexp(x[0], x[1]) + jnp.sum((x - 1) ** 2),
    "mixture": lambda x: -jnp.sum(jnp.logaddexp(-((x[0] - SHIFT) ** 2), -((x[1] - SHIFT) ** 2))),
    "gamma functions": lambda x: jnp.sum(jax.scipy.special.gammaln(x + 1) + (x - 1) ** 2 / 9) - jnp.prod(x + 1) ** 0.5,
    "cumlogsumexp": lambda x: jax.lax.cumlogsumexp(2 * x) @ jnp.array([1.0, -0.5]) + jnp.sum((x - 1) ** 2),
    "shares": lambda x: jax.nn.softmax(3 * x)[0] - jax.nn.log_softmax(x)[0] + jnp.sum((x - 1) ** 2) / 5,
}


@pytest.mark.parametrize("name", EASY)
def test_operations_that_say_more_together(name):
    fun = EASY[name]
    certificate = prove(fun, [(0, 3.3)] * 2, result=np.full(2, 0.7), max_boxes=3000)
    points = jnp.asarray(np.random.default_rng(0).uniform(0, 3.3, (4000, 2)))
    assert certificate.proven and certificate.complete and all(m.unique for m in certificate.minimizers)
    assert certificate.lower <= np.min(one_at_a_time(jax.vmap(fun), "cpu")(points)) < certificate.upper + 0.1


T = np.linspace(-2, 3, 16)


@pytest.mark.parametrize(
    ("fun", "fmin"),
    [
        (lambda x: jnp.sum((jnp.convolve(jnp.array([1.0, 2, -1]), x) - jnp.array([1.0, 1, 0, 1])) ** 2), 1.5),
        (lambda x: jnp.sum(jnp.linalg.solve(2 * jnp.eye(2) + jnp.outer(x, x), x)), -0.5),
        (lambda x: -jax.scipy.stats.multivariate_normal.logpdf(x, jnp.zeros(2), jnp.eye(2) * (1 + x[0] ** 2)), None),
        (lambda x: jnp.linalg.det(3 * jnp.eye(4) + jnp.outer(jnp.append(x, x), jnp.arange(4.0))) + 9 * x @ x, None),
        (
            lambda x: (
                jnp.linalg.slogdet(jnp.exp(-(x[0] ** 2) * (T - T[:, None]) ** 2)[:8, :8] + 2 * jnp.eye(8))[1] + x @ x
            ),
            None,
        ),
        (lambda x: jnp.sum(jnp.abs(jnp.fft.rfft(jnp.exp(-((T - x[0]) ** 2)) * x[1])[1:4]) ** 2) - x[1], None),
        (lambda x: x[1] ** 2 - jnp.abs(jnp.sum(jnp.sin(2.2 * T) * jnp.exp(-1j * x[0] * T))) ** 2, None),
        (lambda x: jnp.median(jnp.concatenate([x, 2 * x])) + jnp.sum(x**2), None),
    ],
)
def test_operations_on_arrays(fun, fmin):
    certificate = prove(fun, [(-2, 3)] * 2, max_boxes=5000)
    check(certificate, float(certificate.upper) if fmin is None else fmin)
    points = jnp.asarray(np.random.default_rng(0).uniform(-2, 3, (2000, 2)))
    values = one_at_a_time(jax.vmap(fun), "cpu")(points)  # a batch of factorisations may stand for ever
    assert certificate.gap < 1e-3 and certificate.lower <= np.min(values)


@pytest.mark.parametrize(
    ("fun", "unique"),
    [
        (lambda x: jnp.sort(x) @ jnp.array([3.0, 2.0]) + jnp.sum(x**2), True),
        (lambda x: jnp.sum(jnp.sort((np.sin(9 * T) + T - x[0] - x[1] * T) ** 2)[:11]), True),
        (lambda x: jnp.percentile(jnp.abs(np.sin(9 * T) - x[0] - x[1] * T), 80.0), False),  # least at a tie
    ],
)
def test_what_is_sorted(fun, unique):
    certificate = prove(fun, [(-2, 3)] * 2, max_boxes=10_000)
    points = jax.vmap(fun)(jnp.asarray(np.random.default_rng(0).uniform(-2, 3, (2000, 2))))
    assert certificate.proven and certificate.lower <= np.min(points)
    assert not unique or all(m.unique for m in certificate.minimizers)


TABLE = np.array([3.0, 1.0, 2.0, 5.0, 0.5])


@pytest.mark.parametrize(
    ("fun", "fmin"),
    [
        (lambda n, y: jnp.asarray(TABLE)[n.astype(int)] * (y - n / 4) ** 2 + y, -1 / 12),
        (lambda n, y: jnp.where(n.astype(int) % 2 == 0, y**2 + 1, 2 * (y - 1) ** 2 + 0.5) - 0.01 * n, 0.47),
        (lambda n, y: jax.lax.switch(n.astype(int) // 2, [lambda v: v**2 + 1, jnp.sin, lambda v: 2 + v], y), -1.0),
        (lambda n, y: jnp.sum(jnp.where(jnp.arange(4) < n, (y - 0.3 * jnp.arange(4)) ** 2, 0.5)), 0.45),
    ],
)
def test_tables_of_whole_numbers(fun, fmin):
    """A step in a whole number is no jump: the slopes in the other variables count on both of its sides."""
    prob = lambda x: fun(x[0], x[1])  # noqa: E731
    certificate = prove(prob, [(0, 4), (-2, 2)], result=np.zeros(2), integrality=[True, False], max_boxes=2000)
    check(certificate, fmin)
    assert certificate.proven and certificate.complete and all(m.unique for m in certificate.minimizers)


NODES = np.linspace(-1, 4, 26)
SPECTRUM = np.exp(-((NODES - 1.3) ** 2) / 0.3) + 0.5 * np.exp(-((NODES - 2.7) ** 2) / 0.2) + 0.05 * np.sin(5 * NODES)
TIMES = np.linspace(0, 2.4, 20)
SEEN = 1.7 * np.interp(0.9 * TIMES + 0.4, NODES, SPECTRUM) + 0.02 * np.cos(7 * np.arange(20))


def smooth_curve(v):
    """By cubics whose values and slopes meet at the nodes, found by `searchsorted`."""
    i = jnp.clip(jnp.searchsorted(NODES, v, side="right") - 1, 0, len(NODES) - 2)
    x, y, slope = map(jnp.asarray, (NODES, SPECTRUM, np.gradient(SPECTRUM, NODES)))
    h = x[i + 1] - x[i]
    t = (v - x[i]) / h
    low, high = (1 + 2 * t) * (1 - t) ** 2 * y[i], t**2 * (3 - 2 * t) * y[i + 1]
    return low + high + h * t * (1 - t) * ((1 - t) * slope[i] - t * slope[i + 1])


@pytest.mark.parametrize(
    ("fun", "bounds", "unique"),
    [
        (lambda x: -jnp.interp(x[0], NODES, SPECTRUM), [(-2, 5)], False),  # least at a node
        (lambda x: -jnp.interp(x[0], jnp.linspace(-1.0, 4.0, 26), SPECTRUM), [(-2, 5)], False),
        (lambda x: jnp.sum((x[2] * jnp.interp(x[0] * TIMES + x[1], NODES, SPECTRUM) - SEEN) ** 2),
         [(0.5, 1.5), (0, 1), (1, 3)], True),
        (lambda x: jnp.sum((jnp.interp(TIMES, jnp.linspace(0.0, 2.4, 4), x) - SEEN) ** 2), [(-2, 3)] * 4, True),
        (lambda x: jnp.sum((jax.vmap(smooth_curve)(x[0] * TIMES + x[1]) - SEEN / 1.7) ** 2),
         [(0.5, 1.5), (0, 1)], True),
        (lambda x: -smooth_curve(x[0]) + x[1] ** 2, [(-1, 4), (-1, 1)], True),
    ],
)  # fmt: skip
def test_tables_with_nodes(fun, bounds, unique):
    certificate = prove(fun, bounds, max_boxes=2000)
    assert certificate.proven and certificate.complete
    assert not unique or [m.unique for m in certificate.minimizers] == [True]
    points = np.random.default_rng(0).uniform(*np.array(bounds).T, (2000, len(bounds)))
    assert certificate.lower <= np.min(jax.lax.map(fun, jnp.asarray(points), batch_size=100))


@pytest.mark.long
def test_functions_that_switch_without_a_jump():
    t = np.linspace(0, 4, 40)
    y = 3 * np.exp(-1.3 * t) + 0.7 + 0.1 * np.random.default_rng(1).standard_normal(40) + 3.0 * (np.arange(40) % 9 == 0)

    def huber(p):
        r = p[0] * jnp.exp(-p[1] * t) + p[2] - y
        a = jnp.abs(r)
        return jnp.sum(jnp.where(a < 0.3, 0.5 * r * r, 0.3 * (a - 0.15)))

    certificate = prove(huber, [(0, 10), (0, 5), (-5, 5)], result=np.array([3.03, 1.35, 0.74]))
    assert certificate.proven and certificate.nboxes < 30_000 and certificate.minimizers[0].unique


def test_an_entry_that_is_gathered_may_be_in_another_piece():
    table = jnp.array([0.5])
    certificate = prove(lambda x: -x[jnp.searchsorted(table, x)][1], [(0, 1), (0, 0.4)], max_boxes=2000)
    check(certificate, -1.0)  # at (1, 0.2), whose places are 1 and 0: not at x[1] = 0.4


def test_functions_of_the_user_with_the_names_of_jax():
    @jax.jit
    def det(a):
        return jnp.sum(a * a) - 0.5

    for fun in (lambda x: det(x[0]), lambda x: det(x), lambda x: det(jnp.outer(x, jnp.arange(1, 4)))):
        check(prove(fun, [(-1, 1)] * 2), -0.5)
