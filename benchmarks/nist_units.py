"""The 27 NIST sets in other units of y, x and the parameters: digits of the certified fit in each.

    python benchmarks/nist_units.py [NAME ...]
    python benchmarks/nist_units.py --float32

Of each set: the fewest digits of the parameters in all units (nist.py), those of their deviations, the largest
difference between the sums of squares relative to the certified one, and in how many units the fit says success. Every
second parameter has the unit, the others its inverse. In float32 the units go to 1e6, and a fit is the same where its
sum of squares is; of Lanczos1 and 2 these are below the rounding errors of float32.
"""

import argparse

import jax

OPTIONS = argparse.ArgumentParser(description=__doc__.splitlines()[0])
OPTIONS.add_argument("names", nargs="*")
OPTIONS.add_argument("--float32", action="store_true")
options = OPTIONS.parse_args()

import jax.numpy as jnp
import numpy as np
import strd
from nist import digits

import jaxglobal as jg

jax.config.update("jax_enable_x64", not options.float32)  # nist.py switches it on
MOST = 6 if options.float32 else 18
UNITS = [(0, 0, 0), (-MOST, 0, 0), (MOST, 0, 0), (0, -MOST, 0), (0, MOST, 0), (0, 0, -MOST), (0, 0, MOST),
         (-MOST, MOST // 2, -MOST), (MOST, -MOST, MOST // 2)]  # fmt: skip


def in_units(reference: strd.Reference, of_y: int, of_x: int, of_p: int) -> tuple[jg.Fit, np.ndarray, float]:
    """The fit in units of these powers of ten; the units of the parameters, and that of y."""
    signs = np.where(np.arange(len(reference.parameters)) % 2, 1.0, -1.0)
    y_unit, x_unit, p_units = 10.0**of_y, 10.0**of_x, 10.0 ** (of_p * signs)
    units = [jnp.asarray(unit) for unit in (y_unit, x_unit, *p_units)]  # arrays, so that no unit compiles anew

    def model(x, *p):
        return units[0] * reference.model(x / units[1], *(one / unit for one, unit in zip(p, units[2:], strict=True)))

    box = np.array(reference.bounds, float) * p_units[:, None]
    fit = jg.curve_fit(model, reference.x * x_unit, reference.y * y_unit, box, progress=False)
    return fit, p_units, y_unit


def main() -> None:
    print(f"{'':<10} parameters  deviations  squares  success of {len(UNITS)}")
    fewest = []
    for name in options.names or strd.MODELS:
        reference, rows = strd.read(name), []
        for units in UNITS:
            fit, p_units, y_unit = in_units(reference, *units)
            of_p = digits(fit.popt / p_units, reference.parameters)
            of_deviations = digits(np.asarray(fit.perr) / p_units, reference.deviations)
            rows.append((of_p, of_deviations, float(fit.fun) / y_unit / y_unit / reference.rss - 1, bool(fit.success)))
        of_p, of_deviations, squares, success = map(np.array, zip(*rows, strict=True))
        fewest.append(np.min(of_p))
        shown = (name, np.min(of_p), np.min(of_deviations), np.max(np.abs(squares)), sum(success))
        print("{:<10} {:10.1f} {:11.1f} {:8.0e} {:8}".format(*shown), flush=True)
    if not options.float32:
        print(f"parameters to six digits in every unit: {sum(digits >= 6 for digits in fewest)} of {len(fewest)}")


if __name__ == "__main__":
    main()
