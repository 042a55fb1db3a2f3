"""When a search stops: solved, wrong successes and evaluations, by evidence, by equal levels, from plain starts.

    python benchmarks/stopping.py choosing          # the set on which the constants of stopping.py were chosen
    python benchmarks/stopping.py checking          # the set on which they are checked
    python benchmarks/stopping.py fresh             # problems that came later, of fresh.py
    python benchmarks/stopping.py checking --truth  # finds the minima anew
    python benchmarks/stopping.py checking --ways plain --cap 700000  # from every point of a grid, or of Sobol points

The problems are those of unknown.py. One is solved where its value is within 1e-5 (1 + abs(minimum)) of the minimum.
That is known by construction, or the lowest of two searches of 150,000 evaluations with different starts and of all
runs here (data/unknown.json keeps them). No run takes more than --cap evaluations. Results go to
benchmarks/results/stopping_<set>.json, those of plain starts to stopping_<set>_plain.json.
"""

import argparse
import json
import pathlib
from typing import Any

import jax

jax.config.update("jax_enable_x64", True)

import fresh
import numpy as np
from common import cache_compilations, code, save
from unknown import Unknown, problems

import jaxglobal as jg

MINIMA = pathlib.Path(__file__).parent / "data" / "unknown.json"
WAYS = ("evidence", "levels", "plain")
TOLERANCE = 1e-5
LONG = 150_000


def minima() -> dict[str, float]:
    """The minima that are known, by the names of the problems."""
    return json.loads(MINIMA.read_text()) if MINIMA.exists() else {}


def keep(known: dict[str, float]) -> None:
    """Writes them, each on a line."""
    lines = ",\n".join(f"{json.dumps(name)}: {known[name]!r}" for name in sorted(known))
    MINIMA.write_text("{\n" + lines + "\n}\n")


def long_search(problem: Unknown) -> float:
    """The minimum by construction, or the lowest value of two long searches."""
    if problem.fmin is not None:
        return problem.fmin
    other = jg.Adaptive(jg.Sobol(1024, seed=7), seed=99)
    runs = [
        jg.minimize(problem.fun, problem.bounds, problem.args, same=99, max_evals=LONG, progress=False, **options)
        for options in ({}, {"seed": 12345, "x0": problem.guesses, "starts": other})
    ]
    return min(float(run.fun) for run in runs)


def options_of(way: str, n: int) -> dict[str, Any]:
    """How a problem of n variables is searched: by the evidence, by four equal levels, or from plain starts."""
    plain = jg.Grid() if n <= 5 else jg.Sobol()
    return {"evidence": {}, "levels": {"same": 4}, "plain": {"starts": plain}}[way]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=["choosing", "checking", "fresh"])
    parser.add_argument("--truth", action="store_true", help="find the minima anew first")
    parser.add_argument("--ways", nargs="+", default=WAYS[:2], choices=WAYS)
    parser.add_argument("--cap", type=int, default=300_000, help="evaluations of a run (default: 300,000)")
    options = parser.parse_args()
    cache_compilations()
    known, rows = minima(), []
    for problem in fresh.problems() if options.which == "fresh" else problems(options.which):
        if options.truth or problem.name not in known:
            known[problem.name] = long_search(problem)
            keep(known)
        for way in options.ways:
            how = options_of(way, len(problem.bounds))
            result = jg.minimize(
                problem.fun, problem.bounds, problem.args, max_evals=options.cap, progress=False, **how
            )
            known[problem.name] = min(known[problem.name], float(result.fun))
            rows.append({
                "problem": problem.name, "way": way, "fun": float(result.fun), "nfev": result.nfev,
                "success": result.success, "status": result.status.name, "searches": result.nstarts,
                "seconds": round(result.time - result.compile_time, 4),
            })  # fmt: skip
    keep(known)
    for row in rows:
        lowest = known[row["problem"]]
        row["solved"] = bool(row["fun"] - lowest <= TOLERANCE * (1 + abs(lowest)))
    for way in options.ways:
        mine = [row for row in rows if row["way"] == way]
        wrong = [row for row in mine if row["success"] and not row["solved"]]
        nfev = [row["nfev"] for row in mine]
        print(
            f"{way:<9} {len(mine)} problems, {sum(row['solved'] for row in mine)} solved, {len(wrong)} wrong and yet "
            f"success; evaluations {sum(nfev):,} in all, {np.median(nfev):,.0f} in the median, {max(nfev):,} at most"
        )
        print("  wrong:", ", ".join(f"{row['problem']} ({row['nfev']:,})" for row in wrong) or "none")
        lost = [row for row in mine if not row["success"]]
        print("  no success:", ", ".join(f"{row['problem']} ({row['status']})" for row in lost) or "none")
    save(f"stopping_{options.which}{'_plain' * ('plain' in options.ways)}", rows, code=code(), cap=options.cap)


if __name__ == "__main__":
    main()
