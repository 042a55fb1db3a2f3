"""The 27 NIST StRD sets of nonlinear regression by `curve_fit` in wide boxes, and by two others given the same boxes.

    python benchmarks/nist.py [NAME ...]

The box of each parameter comes from the two published starting values: [0, 5m], [-5m, 0] or [-5m, 5m] by their signs, m
the larger magnitude. A set counts where parameters and standard deviations agree with the certified ones to six digits
(Lanczos1: the parameters, as its residuals are below the rounding error of float64). The others are SciPy's `curve_fit`
without a guess, and `jaxglobal.minimize` of the sum of squares, whose searches are BFGS, not Levenberg-Marquardt.
"""

import sys
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import scipy.optimize
import strd
from common import save

import jaxglobal as jg

DIGITS = 6
MOST_SECONDS = 20.0  # of a search by BFGS
MOST = 11.0  # digits that NIST certifies


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """The fewest digits to which they agree: NIST's log relative error."""
    error = float(np.max(np.abs(np.asarray(found) - certified) / np.abs(certified)))
    return float(min(MOST, -np.log10(error))) if 0 < error < np.inf else MOST if error == 0 else float("-inf")


def by_scipy(reference: strd.Reference) -> tuple[float, float, str]:
    """The digits of SciPy's parameters and deviations, with the box and no p0; what it raised."""
    from strd_numpy import numpy_model

    try:
        popt, pcov = scipy.optimize.curve_fit(
            numpy_model(reference.model), reference.x, reference.y, bounds=np.transpose(reference.bounds)
        )
    except (RuntimeError, ValueError) as error:
        return float("-inf"), float("-inf"), type(error).__name__
    return digits(popt, reference.parameters), digits(np.sqrt(np.diag(pcov)), reference.deviations), ""


def by_minimize(reference: strd.Reference) -> tuple[float, float]:
    """The digits of the parameters by BFGS searches of the sum of squares, and their seconds, compilation apart."""

    def misfit(p):
        return np.sum(reference.y**2) ** -1 * jnp.sum((reference.model(reference.x, *p) - reference.y) ** 2)

    result = jg.minimize(misfit, reference.bounds, max_time=MOST_SECONDS, progress=False)
    return digits(result.x, reference.parameters), result.time - result.compile_time


def main() -> None:
    warnings.filterwarnings("ignore")
    rows, names = [], sys.argv[1:] or list(strd.MODELS)
    head = f"{'':<10} {'parameters':>10} {'deviations':>10} {'levels':>6} {'searches':>8} {'run time':>9}"
    print(f"{head}   SciPy's digits   BFGS")
    for name in names:
        reference = strd.read(name)
        began = time.perf_counter()
        fit = jg.curve_fit(reference.model, reference.x, reference.y, reference.bounds, progress=False)
        taken = time.perf_counter() - began
        mine = digits(fit.popt, reference.parameters), digits(fit.perr, reference.deviations)
        good = mine[0] >= DIGITS and (mine[1] >= DIGITS or name == "Lanczos1")
        scipys = by_scipy(reference)
        scipy_good = scipys[0] >= DIGITS and (scipys[1] >= DIGITS or name == "Lanczos1")
        bfgs = by_minimize(reference)
        rows.append(
            {"name": name, "digits": mine, "good": bool(good), "scipy": scipys[:2], "scipy_good": bool(scipy_good),
             "bfgs": bfgs[0], "bfgs_seconds": bfgs[1],
             "error": scipys[2], "levels": fit.result.nit, "searches": fit.result.nstarts, "seconds": taken,
             "compiling": fit.result.compile_time, "status": fit.result.status.name}
        )  # fmt: skip
        print(
            f"{name:<10} {mine[0]:>10.1f} {mine[1]:>10.1f} {fit.result.nit:>6} {fit.result.nstarts:>8,} "
            f"{taken - fit.result.compile_time:>7.2f} s {'' if good else '  FAILED'}   "
            f"{scipys[0]:.1f} {scipys[1]:.1f} {scipys[2]}   {bfgs[0]:.1f} ({bfgs[1]:.2f} s)",
            flush=True,
        )
    ours, scipys = sum(row["good"] for row in rows), sum(row["scipy_good"] for row in rows)
    print(
        f"parameters to {DIGITS} digits by BFGS: {sum(row['bfgs'] >= DIGITS for row in rows)}, in "
        f"{sum(row['bfgs_seconds'] for row in rows):.0f} s against "
        f"{sum(row['seconds'] - row['compiling'] for row in rows):.0f} s by curve_fit"
    )
    print(f"to {DIGITS} digits: {ours} of {len(rows)}; scipy.optimize.curve_fit with the box and no p0: {scipys}")
    if not sys.argv[1:]:
        save("nist", rows)


if __name__ == "__main__":
    main()
