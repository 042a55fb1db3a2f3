"""When many fits are believed: `curve_fit_many` of simulated data sets, and a loop of `curve_fit` beside it.

    python benchmarks/believed.py [--sets 100] [--families three four five ...]

Spectra of three to five peaks, which have many minima, and other models of two to five parameters in which they are not
linear. A fit is right where its cost is that of the search from the true parameters, or lower, to 1e-5 of it. The
loop is timed over the first fits, without compilation.
"""

import argparse
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import save

import jaxglobal as jg

LOOPED = 5
X, T = np.linspace(0, 100, 200), np.linspace(0, 10, 100)


def peaks(x, *q):
    return sum(q[i] * jnp.exp(-0.5 * ((x - q[i + 1]) / q[i + 2]) ** 2) for i in range(0, len(q), 3))


def spectrum(k):
    """k peaks of one height and width at places of their own, 0.1 of noise."""

    def draw(rng):
        return np.ravel([[8, rng.uniform(10 + 81 / k * i, 10 + 81 / k * (i + 1)), 2] for i in range(k)])

    return peaks, X, [(0, 20), (0, 100), (0.5, 6)] * k, draw, 0.1


def uneven(k):
    """k peaks of any height, place and width, which may cover each other."""

    def draw(rng):
        return np.ravel([[rng.uniform(2, 12), rng.uniform(5, 95), rng.uniform(1, 4)] for _ in range(k)])

    return peaks, X, [(0, 20), (0, 100), (0.5, 6)] * k, draw, 0.2


def uniform(model, x, box, noise, inner=None):
    sides = np.transpose(inner or box)
    return model, x, box, lambda rng: rng.uniform(*sides), noise


def damped(t, a, d, w, phase):
    return a * jnp.exp(-d * t) * jnp.cos(w * t + phase)


def tangled(t, a, b, c, d, e):
    return jnp.tanh(a * jnp.sin(b * t + c) + d * t**2 + jnp.exp(-e * t))


def peak(x, a, m, s, c):
    return a * jnp.exp(-0.5 * ((x - m) / s) ** 2) + c


def two_narrow(x, a, m, b, q):
    return a * jnp.exp(-((x - m) ** 2)) + b * jnp.exp(-((x - q) ** 2))


def sine(t, a, w, phase):
    return a * jnp.sin(w * t + phase)


def network(x, a, b, c, d, e, f, g):
    return a * jnp.tanh(b * x + c) + d * jnp.tanh(e * x + f) + g


FAMILIES = {
    "three": spectrum(3),
    "four": spectrum(4),
    "five": spectrum(5),
    "uneven three": uneven(3),
    "peak": uniform(peak, X, [(0, 20), (0, 100), (0.5, 10), (-5, 5)], 0.2, [(3, 12), (10, 90), (1, 6), (-2, 2)]),
    "two narrow": uniform(two_narrow, X, [(0, 20), (0, 100)] * 2, 0.1, [(3, 10), (5, 95)] * 2),
    "sine": uniform(sine, T / 2.5, [(0, 5), (0.1, 20), (0, 6.3)], 0.2, [(1, 3), (1, 15), (0, 6)]),
    "damped": uniform(damped, T, [(0, 5), (0, 2), (0.2, 15), (-3.2, 3.2)], 0.2, [(1, 4), (0, 0.5), (0.5, 12), (-3, 3)]),
    "tangled": uniform(tangled, T / 4, [(0, 3), (0.5, 6), (0, 6), (-1, 1), (0, 3)], 0.05),
    "network": uniform(network, T / 2 - 2, [(-5, 5)] * 7, 0.05),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=100, help="data sets of each family")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=FAMILIES)
    asked = parser.parse_args()
    rows = []
    for name in asked.families:
        model, x, box, draw, noise = FAMILIES[name]
        rng = np.random.default_rng(7)
        truth = np.stack([draw(rng) for _ in range(asked.sets)])
        y = np.stack([np.asarray(model(x, *p)) for p in truth]) + noise * rng.standard_normal((asked.sets, len(x)))
        near = jg.curve_fit_many(model, x, y, box, p0=truth, levels=1, searches=1, progress=False)
        fits = jg.curve_fit_many(model, x, y, box, progress=False)
        right = fits.fun <= near.fun * (1 + 1e-5)
        jg.curve_fit(model, x, y[0], box, progress=False)
        began = time.perf_counter()
        for row in y[:LOOPED]:
            jg.curve_fit(model, x, row, box, progress=False)
        row = {
            "family": name, "sets": asked.sets, "right": int(np.sum(right)), "success": int(np.sum(fits.success)),
            "wrong_and_success": int(np.sum(fits.success & ~right)), "searches": float(np.mean(fits.searches)),
            "seconds": (fits.time - fits.compile_time) / asked.sets,
            "seconds_curve_fit": (time.perf_counter() - began) / LOOPED,
        }  # fmt: skip
        rows.append(row)
        print(
            f"{name:>12}: {row['right']} of {row['sets']} right, {row['success']} success, "
            f"{row['wrong_and_success']} wrong and yet success; {row['searches']:.0f} searches, "
            f"{1e3 * row['seconds']:.0f} ms each; curve_fit {1e3 * row['seconds_curve_fit']:.0f} ms",
            flush=True,
        )
    if asked.sets >= 100 and len(rows) == len(FAMILIES):
        save("believed", rows)


if __name__ == "__main__":
    main()
