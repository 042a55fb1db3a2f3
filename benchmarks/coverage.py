"""How often the intervals and bands of fits contain the truth, in simulated data sets.

    python benchmarks/coverage.py [--sets 10000] [--seed 0]

A line, a decay and a sigmoid at 16 abscissae, parameters off their bounds and errors of normal distribution: equal,
unequal and known but for a factor, or known. Intervals are those of `curve_fit_many`. Its fits have no bands, so they
are made here of its covariances by the formulas of `Fit.predict`, and compared with the bands of `curve_fit` for the
first data sets. Each row has the least and the greatest share, in percent, over the parameters or the abscissae.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from scipy.stats import norm, t

import jaxglobal as jg

X = np.linspace(0.0, 4.0, 16)
UNEVEN = np.linspace(0.5, 2.0, 16)
SIZE = 0.02  # of the errors, times `UNEVEN` where they differ
FACTOR = 7.0  # by which relative errors are misstated
COMPARED = 5
MODELS = {  # with the true parameters and the box
    "line": (lambda x, a, b: a + b * x, (2.5, 0.4), [(0, 10), (0, 2)]),
    "decay": (lambda x, a, k, c: a * jnp.exp(-k * x) + c, (2.5, 1.2, 0.5), [(0, 10), (0.1, 5), (-2, 2)]),
    "sigmoid": (lambda x, a, k, m: a / (1 + jnp.exp(-k * (x - m))), (1.5, 3.0, 1.8), [(0, 10), (0.2, 10), (0, 4)]),
}
ERRORS = {"equal": (False, False), "sigma": (True, False), "absolute": (True, True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    row = "{:10}{:10}{:>16}{:>16}{:>18}{:>12}".format
    print(row("model", "errors", "intervals", "band of mean", "new observation", "success"))
    for number, (name, (model, true, box)) in enumerate(MODELS.items()):
        for errors, (uneven, absolute) in ERRORS.items():
            rng = np.random.default_rng([options.seed, number])
            shares, success = covered(model, true, box, uneven, absolute, options.sets, rng)
            texts = [f"{100 * np.min(share):.1f} to {100 * np.max(share):.1f}" for share in shares]
            print(row(name, errors, *texts, success), flush=True)


def covered(model, true, box, uneven, absolute, count, rng):
    """Shares of the data sets in which each parameter, mean and new observation is inside; how many succeeded."""
    size = SIZE * (UNEVEN if uneven else np.ones_like(X))
    sigma = size * (1.0 if absolute else FACTOR) if uneven else None
    mean = np.asarray(model(X, *true))
    y = mean + size * rng.standard_normal((count, len(X)))
    fits = jg.curve_fit_many(model, X, y, box, sigma, absolute, progress=False)
    freedom = len(X) - len(true)
    reach = norm.ppf(0.975) if absolute else t.ppf(0.975, freedom)
    predicted, variance = bands(model, fits)
    scale = 1.0 if absolute else (fits.fun / freedom)[:, None]
    of_new = variance + scale * (1.0 if sigma is None else sigma) ** 2
    for i in range(min(count, COMPARED)):
        fit = jg.curve_fit(model, X, y[i], box, sigma, absolute, progress=False)
        np.testing.assert_allclose(np.sqrt(variance[i]), fit.predict().error, rtol=1e-3)
        np.testing.assert_allclose(np.sqrt(of_new[i]), fit.predict(new=True).error, rtol=1e-3)
    new = mean + size * rng.standard_normal(y.shape)
    shares = [
        np.mean(np.abs(off) < reach * error, axis=0)
        for off, error in (
            (fits.popt - np.array(true), fits.perr),
            (predicted - mean, np.sqrt(variance)),
            (predicted - new, np.sqrt(of_new)),
        )
    ]
    return shares, int(np.sum(fits.success))


def bands(model, fits):
    """The fitted values at `X`, (P, 16), and their variances to first order in the parameters."""

    @jax.jit
    @jax.vmap
    def one(p, pcov):
        J = jnp.stack(jax.jacfwd(lambda p: model(X, *p))(p), axis=0)
        return model(X, *p), jnp.sum((J @ pcov) * J, axis=1)

    return map(np.asarray, one(fits.popt, fits.pcov))


if __name__ == "__main__":
    main()
