"""Constrained problems of CUTEst with finite boxes, as `sif2jax` has them: solved, evaluations, violation.

    python benchmarks/cutest.py                       # one seed a problem, up to 20,000 evaluations
    python benchmarks/cutest.py HS19 HS106 --seeds 5
    python benchmarks/cutest.py --stops               # when searches end by themselves, and what they then say

These are the 49 of which the minimum is known, from the box alone, never from the start that CUTEst gives. sif2jax
returns what pycutest does: rows of the type "<=", and the upper sides of ranges, do not come as values of at least 0,
as its documentation says; `SIGNS` and `RANGES` are what they are here. Minima are those with exact equalities, which
are higher than the lists of sif2jax say for HS34 and others. A run is solved at a value within 1e-6 (1 + abs(minimum))
of it, or below, at a violation of at most 1e-8 in the rows' own scales. It is false where it says success above that
violation, and missed where it says success at a higher value.
"""

import argparse
import difflib
import time

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import sif2jax
from cec2006 import Problem, scaled
from common import save

import jaxglobal as jg

TOLERANCE, CTOL = 1e-6, 1e-8
MINIMA = {
    "HS18": 5, "HS19": -6961.81387558, "HS21": -99.96, "HS23": 2, "HS30": 1, "HS31": 6, "HS34": -0.834032445248,
    "HS35I": 1 / 9, "HS36": -3300, "HS37": -3456, "HS41": 1.92592592593, "HS53": 4.09302325581, "HS54": -0.908074757766,
    "HS60": 0.0325682002551, "HS62": -26272.5144873, "HS65": 0.953528856805, "HS66": 0.518163274182,
    "HS68": -0.92042500364, "HS69": -956.71288665, "HS71": 17.0140172892, "HS72": 727.67935779, "HS80": 0.0539498477703,
    "HS81": 0.0539498477703, "HS83": -30665.5386718, "HS95": 0.0156195252424, "HS96": 0.0156195252424,
    "HS97": 3.13580912281, "HS98": 3.13580912281, "HS101": 1809.76476557, "HS102": 911.88057143, "HS103": 543.667958466,
    "HS104": 3.9511634401, "HS106": 7049.24802053, "HS111": -47.7610908594, "HS114": -1768.80696372,
    "HS116": 97.5875095581, "HS119": 244.899697517, "BIGGSC4": -24.5, "DALLASS": -32393.225738,
    "PORTFL1": 0.0204862746756, "PORTFL2": 0.0296892398533, "PORTFL3": 0.0327497093429, "PORTFL4": 0.0263069509343,
    "PORTFL6": 0.025791798168, "ZECEVIC2": -4.125, "ZECEVIC3": 97.309450142, "ZECEVIC4": 7.55750776893,
    "DEGENLPA": 3.06039256, "DEGENLPB": -30.73124597,
}  # fmt: skip
SIGNS = {"ZECEVIC2": 2, "ZECEVIC3": 2, "ZECEVIC4": 2, "HS101": 6, "HS102": 6, "HS103": 6, "HS104": 4}  # rows of "<="
RANGES = {"HS83": (92.0, 20.0, 5.0), "BIGGSC4": (5.0,) * 6}  # upper sides of the first rows


def read(problem: object) -> Problem:
    """A problem of sif2jax as those of CEC 2006 are."""
    name = type(problem).__name__.upper()
    y0 = np.ravel(problem.y0)
    low, high = (np.array(np.broadcast_to(side, y0.shape), float) for side in problem.bounds)

    def rows(x):
        equalities, others = problem.constraint(x)
        return jnp.concatenate([jnp.ravel(part) for part in (equalities, others) if part is not None])

    equalities, others = problem.constraint(jnp.asarray(y0, float))
    count, more = (0 if part is None else int(np.size(part)) for part in (equalities, others))
    lower, upper = np.zeros(count + more), np.concatenate([np.zeros(count), np.full(more, np.inf)])
    turned = slice(count, count + SIGNS.get(name, 0))
    lower[turned], upper[turned] = -np.inf, 0.0
    upper[count : count + len(RANGES.get(name, ()))] = RANGES.get(name, ())
    fun = lambda x: jnp.reshape(problem.objective(x, problem.args), ())  # noqa: E731
    return Problem(name, fun, np.stack([low, high]), rows, lower, upper, MINIMA[name], y0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cap", type=int, default=20_000, help="evaluations of a run (default: 20,000)")
    parser.add_argument("--stops", action="store_true", help="let the searches end by their own rules")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results/cutest.json")
    options = parser.parse_args()
    known = {type(one).__name__.upper(): one for one in sif2jax.constrained_minimisation_problems}
    if unknown := [name for name in options.names if name not in MINIMA]:
        near = [difflib.get_close_matches(name.upper(), MINIMA, 1, 0) for name in unknown]
        parser.error(f"no such problem: {', '.join(unknown)}; perhaps {', '.join(*zip(*near, strict=True))}?")
    print("problem    n rows  solved  evaluations   scaled     f - f*  false  missed  seconds")
    kept = []
    for name in options.names or MINIMA:
        p = read(known[name])
        enough = p.fmin + TOLERANCE * (1 + abs(p.fmin))
        target = None if options.stops else enough
        began, runs = time.perf_counter(), []
        for seed in range(options.seeds):
            constraints = jg.Constraint(p.rows, p.lower, p.upper)
            runs.append(
                jg.minimize(p.fun, p.box.T, constraints=constraints, seed=seed, max_evals=options.cap, target=target,
                            progress=False)
            )  # fmt: skip
        solved = sum(r.fun <= enough and scaled(p, r.x) <= CTOL for r in runs)
        kept.append({
            "problem": name, "n": p.box.shape[1], "rows": len(p.lower), "solved": solved, "seeds": len(runs),
            "evaluations": float(np.median([r.nfev for r in runs])), "scaled": max(scaled(p, r.x) for r in runs),
            "error": max(r.fun - p.fmin for r in runs),
            "false": sum(r.success and scaled(p, r.x) > CTOL for r in runs),
            "missed": sum(r.success and r.fun > enough for r in runs), "seconds": time.perf_counter() - began,
        })  # fmt: skip
        r = kept[-1]
        print(f"{name:9s} {r['n']:2d} {r['rows']:4d}  {solved:2d}/{len(runs):2d}  {r['evaluations']:11.0f} "
              f"{r['scaled']:8.0e} {r['error']:10.1e} {r['false']:6d} {r['missed']:7d} {r['seconds']:8.1f}",
              flush=True)  # fmt: skip
        jax.clear_caches()
        if options.save:
            save("cutest_stops" if options.stops else "cutest", kept, cap=options.cap)
    print(f"solved {sum(r['solved'] for r in kept)} of {sum(r['seeds'] for r in kept)}; median evaluations "
          f"{np.median([r['evaluations'] for r in kept]):.0f}; false successes {sum(r['false'] for r in kept)}; "
          f"successes above the minimum {sum(r['missed'] for r in kept)}")  # fmt: skip


if __name__ == "__main__":
    main()
