"""10,000 fits of an exponential decay to 50 points each: `curve_fit_many` against a loop of SciPy's `curve_fit`.

    python benchmarks/fits.py [--quick]

SciPy starts from the true parameters, jaxglobal from nothing but a box. SciPy's loop is timed over the first fits, with
the same box (method "trf") and without one (method "lm"), with a model in NumPy. Compilation is not counted. A fit is
worse where its sum of squares is above SciPy's by more than 1e-9 of it.
"""

import argparse
import statistics
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import scipy.optimize
from common import save

import jaxglobal as jg

TIMES = np.linspace(0.0, 4.0, 50)
BOX = [(0.0, 10.0), (0.0, 10.0), (-1.0, 2.0)]
NOISE = 0.05
REPEATS = 5


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def numpy_decay(t, a, k, c):
    return a * np.exp(-k * t) + c


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the fits")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    count, looped = (1000, {"lm": 200, "trf": 20}) if quick else (10_000, {"lm": 2000, "trf": 200})
    rng = np.random.default_rng(0)
    truth = np.stack([rng.uniform(0.5, 5, count), rng.uniform(0.3, 3, count), rng.uniform(0, 1, count)], axis=1)
    y = np.stack([numpy_decay(TIMES, *p) for p in truth]) + NOISE * rng.standard_normal((count, len(TIMES)))
    fits = jg.curve_fit_many(decay, TIMES, y, BOX, progress=False)
    rows = []
    for method, number in looped.items():
        options = {"bounds": np.transpose(BOX)} if method == "trf" else {}
        worse, ratios, mine, theirs = 0, [], [], []
        for repeat in range(REPEATS):
            began = time.perf_counter()
            again = jg.curve_fit_many(decay, TIMES, y, BOX, progress=False)
            mine.append((time.perf_counter() - began) / count)
            part = range(repeat * number // REPEATS, (repeat + 1) * number // REPEATS)
            began = time.perf_counter()
            found = [scipy.optimize.curve_fit(numpy_decay, TIMES, y[i], p0=truth[i], **options)[0] for i in part]
            theirs.append((time.perf_counter() - began) / len(part))
            ratios.append(theirs[-1] / mine[-1])
            squares = [float(np.sum((numpy_decay(TIMES, *p) - y[i]) ** 2)) for i, p in zip(part, found, strict=True)]
            worse += int(np.sum(again.fun[list(part)] > np.array(squares) * (1 + 1e-9)))
        rows.append(
            {"method": method, "fits": count, "compared": number, "worse": worse, "us": 1e6 * statistics.median(mine),
             "us_scipy": 1e6 * statistics.median(theirs), "ratio": statistics.median(ratios),
             "converged": int(np.sum(again.success)), "evaluations": float(np.mean(again.nfev))}
        )  # fmt: skip
        row = rows[-1]
        print(
            f"{count:,} fits, {row['us']:.1f} us each ({row['evaluations']:.1f} evaluations); SciPy {method} "
            f"{row['us_scipy']:.0f} us, {row['ratio']:.0f} x (promised: 50 x); worse: {worse} of {number}",
            flush=True,
        )
    print(f"compiling {fits.compile_time:.1f} s")
    if not quick:
        save("fits", rows, compile_seconds=fits.compile_time)


if __name__ == "__main__":
    main()
