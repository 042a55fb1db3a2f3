"""Fits of which parameters belong on their bounds, against SciPy's `least_squares` from the truth.

    python benchmarks/fits_at_bounds.py [--each 50] [--seed 0]

Ten models of one to six parameters, each with so many random data sets and boxes of which about half of the sides cut
the true value off. Fitted alone, alone inside `jit` (three levels, as there), and all of a model at once. Worse is a
cost above that of SciPy's local search, which begins at the truth moved into the box, by more than 1e-7 of it.
"""

import argparse
import functools

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from scipy.optimize import least_squares

import jaxglobal as jg

T = np.linspace(0.1, 4, 40)
WORSE = 1e-7
PEAK = [(0.5, 3.0), (0.5, 3.5), (0.2, 1.5)]
MODELS = {  # with the range of each parameter's true value
    "rate": (lambda x, k: jnp.exp(-k * x), [(0.2, 3.0)]),
    "power": (lambda x, p: x**p, [(0.3, 3.0)]),
    "decay": (lambda x, a, k: a * jnp.exp(-k * x), [(0.5, 5.0), (0.2, 3.0)]),
    "saturation": (lambda x, v, k: v * x / (k + x), [(0.5, 5.0), (0.1, 4.0)]),
    "sine": (lambda x, a, w, p: a * jnp.sin(w * x + p), [(0.5, 3.0), (0.5, 6.0), (-1.0, 1.0)]),
    "logistic": (lambda x, a, k, c: a / (1 + jnp.exp(-k * (x - c))), [(0.5, 3.0), (0.5, 6.0), (0.5, 3.5)]),
    "peak": (lambda x, a, m, s, c: a * jnp.exp(-(((x - m) / s) ** 2)) + c, [*PEAK, (-1.0, 1.0)]),
    "two decays": (
        lambda x, a, k, b, h: a * jnp.exp(-k * x) + b * jnp.exp(-h * x),
        [(0.5, 3.0), (0.1, 1.0), (0.5, 3.0), (1.5, 6.0)],
    ),
    "peak on a line": (
        lambda x, a, m, s, c, d: a / (1 + ((x - m) / s) ** 2) + c + d * x,
        [*PEAK, (-1.0, 1.0), (-1.0, 1.0)],
    ),
    "two peaks": (
        lambda x, a, m, s, b, n, t: a * jnp.exp(-(((x - m) / s) ** 2)) + b * jnp.exp(-(((x - n) / t) ** 2)),
        [(0.5, 3.0), (0.5, 1.8), (0.2, 1.0), (0.5, 3.0), (2.2, 3.6), (0.2, 1.0)],
    ),
}


def simulated(model, ranges, rng):
    """Data, (40,), a box, (n, 2), and the true parameters moved into it."""
    low, high = np.transpose(ranges)
    width, n = high - low, len(low)
    true = rng.uniform(low, high)
    y = np.asarray(model(T, *true)) + 10 ** rng.uniform(-3, -0.7) * rng.standard_normal(len(T))
    lower, upper = true - width * rng.uniform(0.3, 2, n), true + width * rng.uniform(0.3, 2, n)
    cut, below = rng.random(n) < 0.5, rng.random(n) < 0.5
    cut[rng.integers(n)] = True
    past = width * 10 ** rng.uniform(-4, -0.7, n)
    lower, upper = np.where(cut & below, true + past, lower), np.where(cut & ~below, true - past, upper)
    lower = np.where(low > 0, np.maximum(lower, 0.02), lower)  # scales and rates are positive
    upper = np.maximum(upper, lower + 0.05)
    return y, np.stack([lower, upper], axis=1), np.clip(true, lower + 1e-6, upper - 1e-6)


def scipys(model, y, box, start) -> float:
    """The sum of squares to which SciPy's local search comes from there."""
    values, slopes = programs(model)
    tight = dict(xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=2000)
    residuals = lambda p: np.asarray(values(p)) - y  # noqa: E731
    return 2 * least_squares(residuals, start, lambda p: np.asarray(slopes(p)), bounds=box.T, **tight).cost


@functools.cache
def programs(model):
    """The compiled model at `T`, and its Jacobian."""
    values = lambda p: model(T, *p)  # noqa: E731
    return jax.jit(values), jax.jit(jax.jacfwd(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    total = np.zeros(3, int)
    row = "{:16}{:>12}{:>12}{:>12}{:>12}   {:>15}".format
    print(row("", "lower", "worse alone", "in jit", "many", "success of both"))
    for number, (name, (model, ranges)) in enumerate(MODELS.items()):
        rng = np.random.default_rng([options.seed, number])
        sets = [simulated(model, ranges, rng) for _ in range(options.each)]
        ys, boxes, _ = map(np.stack, zip(*sets, strict=True))
        traced = jax.jit(lambda y, box, model=model: jg.curve_fit(model, T, y, box, progress=False).fun)
        alone = [jg.curve_fit(model, T, y, box, progress=False) for y, box, _ in sets]
        inside = [float(traced(y, jnp.asarray(box))) for y, box, _ in sets]
        many = jg.curve_fit_many(model, T, ys, boxes, bounds_axis=0, progress=False)
        known = np.array([scipys(model, *one) for one in sets])
        above = np.array([[fit.fun for fit in alone], inside, many.fun]) / known - 1
        worse = np.sum(~(above <= WORSE), axis=1)
        total += worse
        success = f"{sum(fit.success for fit in alone)}, {np.sum(many.success)}"
        print(row(name, int(np.sum(above[0] < -WORSE)), *worse, success), flush=True)
    alone, inside, many = total
    print(f"of {options.each * len(MODELS)} worse than SciPy's: {alone} alone, {inside} inside jit, {many} of many")


if __name__ == "__main__":
    main()
