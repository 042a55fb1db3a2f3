"""The fifteen classic problems: evaluations to the default stop, with default settings and by the plain grid.

    python benchmarks/evaluations.py

Each in its box and in a box shifted off the grid (`Problem.shifted()`). Prints for each the evaluations (a value with
its gradient), whether the minimum was found, and the ratio; then how many each way found, and the ratio of the totals,
the geometric mean and the median of the ratios. "stop" is the default with searches that end where they are about to
end in a known minimum (`Adaptive(..., stop=True)`). Results go to benchmarks/results/evaluations.json.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import numpy as np
from classic import tolerance
from common import cache_compilations, code, save

import jaxglobal as jg
from jaxglobal.problems import classic

WAYS = {"default": "auto", "stop": jg.Adaptive(jg.Grid(), stop=True), "grid": jg.Grid()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    cache_compilations()
    rows = []
    for problem, shifted in [(p.shifted() if s else p, s) for s in (False, True) for p in classic]:
        row: dict = {"problem": problem.name, "shifted": shifted}
        for way, starts in WAYS.items():
            result = jg.minimize(problem.fun, problem.bounds, starts=starts, progress=False)
            row |= {
                f"{way}_nfev": result.nfev, f"{way}_searches": result.nstarts, f"{way}_levels": result.nit,
                f"{way}_error": float(result.fun - problem.fmin), f"{way}_status": result.status.name,
                f"{way}_found": bool(result.fun - problem.fmin <= tolerance(problem, False)),
                f"{way}_seconds": round(result.time - result.compile_time, 5),
            }  # fmt: skip
        rows.append(row)
        found = {way: "" if row[f"{way}_found"] else " (not found)" for way in WAYS}
        print(
            f"{problem.name:<16} {'shifted' if shifted else 'box':<8} default {row['default_nfev']:10,}"
            f"{found['default']}, stop {row['stop_nfev']:10,}{found['stop']}, "
            f"grid {row['grid_nfev']:10,}{found['grid']}: "
            f"{row['grid_nfev'] / row['default_nfev']:.2f} x fewer",
            flush=True,
        )
    ratio = np.array([row["grid_nfev"] / row["default_nfev"] for row in rows])
    total = {way: sum(row[f"{way}_nfev"] for row in rows) for way in WAYS}
    found = {way: sum(row[f"{way}_found"] for row in rows) for way in WAYS}
    lost = [f"{row['problem']}{' shifted' * row['shifted']}" for row in rows
            if row["grid_found"] and not row["default_found"]]  # fmt: skip
    summary = {
        "ratio_total": total["grid"] / total["default"], "ratio_geometric_mean": float(np.exp(np.mean(np.log(ratio)))),
        "ratio_median": float(np.median(ratio)), "found": found, "lost": lost,
    }  # fmt: skip
    print(
        f"found by default {found['default']}, by the grid {found['grid']} of {len(rows)}; lost: {lost or 'none'}; "
        f"fewer evaluations: {summary['ratio_total']:.2f} x in total, {summary['ratio_geometric_mean']:.2f} x "
        f"geometric mean, {summary['ratio_median']:.2f} x median"
    )
    saved = np.array([1 - row["stop_nfev"] / row["default_nfev"] for row in rows if row["stop_found"]])
    missed = [row["problem"] + " shifted" * row["shifted"] for row in rows if not row["stop_found"]]
    print(
        f"ending in known minima: found {found['stop']}, not {missed or 'any'}; of the others a median of "
        f"{np.median(saved):.0%} evaluations fewer, {np.min(saved):.0%} to {np.max(saved):.0%}"
    )
    save("evaluations", rows, code=code(), **summary)


if __name__ == "__main__":
    main()
