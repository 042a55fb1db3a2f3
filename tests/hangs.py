"""What the processes of tests/engine/test_hangs.py run: searches whose functions factorise or solve systems.

Each checks its own answer and says so at its end: python tests/hangs.py NAME.
"""

import os
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

X64 = os.environ.get("JAXGLOBAL_X64", "1") != "0"
jax.config.update("jax_enable_x64", X64)

import jaxglobal as jg  # noqa: E402

TIMES = np.sort(np.random.default_rng(0).uniform(0, 10, 40))
OPTIONS = {"max_evals": 20_000, "progress": False}  # rounding in float32 leaves no two levels with the same value
BOX = [(-3, 2), (-2, 3), (-4, 1)]
SETS = np.stack([np.sin(TIMES) + 0.3 * np.random.default_rng(seed).standard_normal(40) for seed in range(1, 5)])


def gaussian_process(p, y, np=jnp, solve=jax.scipy.linalg.solve_triangular):
    """Minus the log likelihood of a Gaussian process, by a Cholesky factorisation of 40 x 40; p are logarithms."""
    amplitude, length, noise = np.exp(p)
    apart = (TIMES[:, None] - TIMES[None, :]) / length
    K = amplitude**2 * np.exp(-0.5 * apart**2) + (noise**2 + 1e-8) * np.eye(40)
    L = np.linalg.cholesky(K)
    z = solve(L, y, lower=True)
    return 0.5 * z @ z + np.sum(np.log(np.diag(L)))


def check_likelihood(p, y) -> None:
    """In float64 and by SciPy, nothing from p, or from starts spread over the box, is lower than at p."""
    fun = lambda p: float(gaussian_process(p, y, np, scipy.linalg.solve_triangular))  # noqa: E731
    low, high = np.transpose(BOX)
    starts = [np.clip(p, low, high), *np.random.default_rng(0).uniform(low, high, (10, 3))]
    best = min(scipy.optimize.minimize(fun, x0, bounds=BOX).fun for x0 in starts)
    assert fun(np.asarray(p, float)) <= best + (1e-6 if X64 else 1e-2), (p, best)


def one() -> None:
    """A likelihood, closed over its data."""
    result = jg.minimize(lambda p: gaussian_process(p, SETS[0]), BOX, **OPTIONS)
    check_likelihood(result.x, SETS[0])


def spectrum() -> None:
    """The largest eigenvalue and the sum of the singular values of a matrix of 12 x 12."""
    base = np.random.default_rng(0).standard_normal((12, 12))
    base = base @ base.T / 12

    def matrix(x):
        return base * (1 + x[0] ** 2) + jnp.eye(12) * (0.5 + jnp.abs(x[1] - 0.3))

    for fun in (
        lambda x: jnp.linalg.eigh(matrix(x))[0][-1],
        lambda x: jnp.sum(jnp.linalg.svd(matrix(x), compute_uv=False)),
    ):
        result = jg.minimize(fun, [(-1, 1)] * 2, **OPTIONS)
        np.testing.assert_allclose(result.x, [0, 0.3], atol=1e-5 if X64 else 0.02)


def many() -> None:
    """A likelihood of each of some data sets."""
    results = jg.minimize_many(gaussian_process, BOX, SETS, **OPTIONS)
    for x, y in zip(results.x, SETS, strict=True):
        check_likelihood(x, y)


def argmin() -> None:
    """The same inside a compiled program."""
    best = jax.jit(jax.vmap(lambda y: jg.argmin(gaussian_process, BOX, y)))(SETS)
    for x, y in zip(best.x, SETS, strict=True):
        check_likelihood(x, y)


def fits() -> None:
    """Forty data sets of a thousand points."""
    x = np.linspace(0, 5, 1000)
    y = 2 * np.exp(-x) + 1 + 0.1 * np.random.default_rng(0).standard_normal((40, 1000))
    bounds = [(0, 10), (0, 2), (-5, 5)]
    fits = jg.curve_fit_many(lambda x, a, k, c: a * jnp.exp(-k * x) + c, x, y, bounds, progress=False)
    assert fits.success.all()
    for i in range(40):
        popt, pcov = scipy.optimize.curve_fit(
            lambda x, a, k, c: a * np.exp(-k * x) + c, x, y[i], p0=[2, 1, 1], bounds=np.transpose(bounds)
        )
        assert np.all(np.abs(fits.popt[i] - popt) < (1e-3 if X64 else 0.05) * np.sqrt(np.diag(pcov))), i


def threads() -> None:
    """Two threads of a user's, each of which calls minimize and argmin, of programs that are compiled already."""
    found: dict = {}

    def call(k):
        for turn in range(3):
            result = jg.minimize(gaussian_process, BOX, (SETS[k],), **OPTIONS)
            found[k, turn] = [result.x, jg.argmin(gaussian_process, BOX, SETS[k]).x]

    call(2)
    started = [threading.Thread(target=call, args=(k,)) for k in (0, 1)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(found) == 9
    for (k, _), places in found.items():
        for x in places:
            check_likelihood(x, SETS[k])


def gradients() -> None:
    """Two threads that call a compiled derivative of many answers, which batches the factorisations once more."""
    lowest = lambda y: jg.argmin(gaussian_process, BOX, y, levels=2)  # noqa: E731
    derivative = jax.jit(jax.vmap(jax.value_and_grad(lambda y: lowest(y).fun)))
    f, slopes = derivative(SETS)
    found: dict = {}

    def call(k):
        for turn in range(5):
            found[k, turn] = np.asarray(derivative(SETS)[1])

    started = [threading.Thread(target=call, args=(k,)) for k in (0, 1)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert len(found) == 10 and all(np.array_equal(slope, slopes) for slope in found.values())
    step = 1e-5 if X64 else 1e-2  # along the slope itself, by the central difference
    for y, slope in zip(SETS, np.asarray(slopes), strict=True):
        along = step * slope / np.linalg.norm(slope)
        rise = float(lowest(y + along).fun) - float(lowest(y - along).fun)
        np.testing.assert_allclose(rise, 2 * slope @ along, rtol=1e-5 if X64 else 0.05)


if __name__ == "__main__":
    for program in (one, spectrum, many, argmin, fits, threads, gradients):
        if program.__name__ == sys.argv[1]:
            program()
    print("checked")
