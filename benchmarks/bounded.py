"""One bounded local search from the given start on CUTEst's bounded problems, against SciPy's L-BFGS-B.

    python benchmarks/bounded.py

The problems are those of `sif2jax` with up to 50 variables. Where a side is infinite the box ends 10 (1 + abs(y0)) from
the start, and that side is open. A search is at least as good if its value is at or below SciPy's, with 1e-6 relative.
"""

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
import sif2jax
from common import save
from scipy.optimize import minimize

import jaxglobal as jg

MOST_VARIABLES = 50


def main() -> None:
    rows = []
    for problem in sif2jax.bounded_minimisation_problems:
        n = np.size(problem.y0)
        if n > MOST_VARIABLES:
            continue
        low, high = (np.array(np.broadcast_to(side, (n,)), float) for side in problem.bounds)
        start = np.clip(np.array(problem.y0, float), low, high)
        reach = 10 * (1 + np.abs(start))
        box = np.where(np.isinf(low), start - reach, low), np.where(np.isinf(high), start + reach, high)

        def fun(y, problem=problem):
            return problem.objective(y, problem.args)

        result = jg.minimize(
            fun,
            jg.Box(*box),
            x0=start,
            max_starts=1,
            open=jg.Box(np.isinf(low), np.isinf(high)),
            progress=False,
        )
        violation = float(np.max(np.maximum(low - result.x, result.x - high)))
        value_and_grad = jax.jit(jax.value_and_grad(fun))

        def call(y, value_and_grad=value_and_grad):
            f, g = value_and_grad(y)
            return float(f), np.asarray(g, float)

        theirs = minimize(call, start, jac=True, bounds=list(zip(low, high, strict=True)), method="L-BFGS-B")
        good = bool(result.fun <= theirs.fun + 1e-6 * abs(theirs.fun))
        status = result.minima[0].status.name if result.minima else "NONE"
        name = type(problem).__name__
        rows.append(
            {"problem": name, "n": int(n), "jaxglobal": float(result.fun), "scipy": float(theirs.fun), "good": good,
             "nfev": result.nfev, "scipy_nfev": int(theirs.nfev), "status": status, "violation": violation}
        )  # fmt: skip
        mark = " " if good else "*"
        print(
            f"{mark} {name:10s} n={n:2d} {result.fun:.10g} ({result.nfev} evaluations, {status}), "
            f"SciPy {theirs.fun:.10g} ({theirs.nfev})",
            flush=True,
        )
    share = np.mean([row["good"] for row in rows])
    worst = max(row["violation"] for row in rows)
    print(
        f"at or below SciPy's value: {100 * share:.1f} % of {len(rows)}; greatest violation of a bound {max(worst, 0)}"
    )
    save("bounded", rows, share=float(share))


if __name__ == "__main__":
    main()
