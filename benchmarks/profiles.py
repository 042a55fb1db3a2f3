"""Profiles: ends against lmfit on NIST's sets, coverage on simulated sets, two minima that fit, time.

    python benchmarks/profiles.py [nist] [coverage] [sine] [time] [--quick]

`lmfit` and `iminuit` are compared with where they are installed (pip install lmfit iminuit).

- nist: 95 % intervals of every parameter of the 27 reference sets of nonlinear regression beside
  `lmfit.conf_interval`, which starts from the same best fit; the difference of the ends in widths of the interval.
- coverage: a parameter's truth is in its set where the cost, re-optimised with the parameter held at the truth, is not
  above the threshold: counted in 5,000 simulated sets by two batches of fits, and checked against the intervals that
  `profile` returns for the first of them.
- sine: 1,000 sets of a sine of twelve nearly even points, where an alias of the frequency fits about as well. All three
  have the same F threshold and start from the best fit; an interval that a peer does not find covers nothing.
- time: all profiles of a fit with five parameters to 100 points, the programs compiled.
"""

import argparse
import json
import statistics
import time
import warnings

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import strd
from common import RESULTS, save

import jaxglobal as jg
from jaxglobal.profiles.thresholds import Rule

CONFIDENCE = 0.95
CLOSE = 1e-3  # of the width: ends that differ by more are looked into
SETS, CHECKED, SINES = 5000, 100, 1000
SAVED = 50  # sets of a sine
REPEATS = 7


def decay(t, a, k, c):
    return a * jnp.exp(-k * t) + c


def peak(x, a, m, s, b, c):
    return a * jnp.exp(-0.5 * ((x - m) / s) ** 2) + b + c * x


def sine(t, a, w, p):
    return a * jnp.sin(w * t + p)


FAMILIES = {
    "a decay": (decay, np.linspace(0, 4, 40), [2.5, 1.3, 0.5], 0.1, [(0, 10), (0, 10), (-3, 4)]),
    "a peak on a line": (
        peak, np.linspace(0, 10, 60), [3.0, 4.0, 0.8, 1.0, 0.2], 0.4, [(0, 20), (0, 10), (0.05, 5), (-5, 7), (-2, 2)],
    ),
}  # fmt: skip
TIMES = np.arange(12) + 0.05 * np.random.default_rng(3).standard_normal(12)
TRUE_SINE, SINE_NOISE = [1.0, 2.2, 0.3], 0.4
SINE_BOX = [(0.0, 5.0), (0.2, 6.0), (0.3 - np.pi, 0.3 + np.pi)]


def lmfit_intervals(call, x, y, names, popt):
    """{name: (low, high)} of `lmfit.conf_interval`, or the name of its failure; and its seconds."""
    import lmfit

    given = lmfit.Parameters()
    for name, value in zip(names, popt, strict=True):
        given.add(name, value=float(value))

    def residuals(p):
        return call(x, *(p[name].value for name in names)) - y

    minimizer = lmfit.Minimizer(residuals, given)
    found = minimizer.minimize(method="leastsq", xtol=1e-12, ftol=1e-12)
    began = time.perf_counter()
    try:
        ends = lmfit.conf_interval(minimizer, found, sigmas=[CONFIDENCE])
    except Exception as error:
        return type(error).__name__, time.perf_counter() - began
    taken = time.perf_counter() - began
    return {name: (rows[0][1], rows[-1][1]) for name, rows in ends.items()}, taken


def nist(sets: list[str]) -> list[dict]:
    """Each set is saved when it is done, in place of its saved row."""
    for name in sets or strd.MODELS:
        reference = strd.read(name)
        fit = jg.curve_fit(reference.model, reference.x, reference.y, reference.bounds, progress=False)
        profile = jg.profile(fit, confidence=CONFIDENCE, progress=False)
        call = jax.jit(reference.model)
        theirs, _ = lmfit_intervals(lambda *a, call=call: np.asarray(call(*a)), reference.x, reference.y, fit.names,
                                    fit.popt)  # fmt: skip
        differences, none, goes_on = {}, [], {}
        for curve in profile.curves:
            low, high = next((a, b) for a, b in curve.intervals if a <= curve.best <= b)
            other = theirs.get(curve.name) if isinstance(theirs, dict) else None
            if other is None or not np.all(np.isfinite(other)):
                none.append(curve.name)
            else:
                differences[curve.name] = max(abs(other[0] - low), abs(other[1] - high)) / (high - low)
                if differences[curve.name] > CLOSE:
                    goes_on[curve.name] = is_inside(reference, fit, curve, other, (low, high))
        row = {"name": name, "parameters": len(profile), "largest": max(differences.values(), default=None),
               "differences": differences, "goes_on": goes_on, "none": none, "message": profile.message,
               "failure": theirs if isinstance(theirs, str) else None}  # fmt: skip
        largest = f"{row['largest']:.1e}" if differences else "-"
        told = f"largest difference {largest:>8}, lmfit has none of: {', '.join(none) or '-'}"
        more = row["failure"] or "", goes_on or "", profile.message
        print(f"{name:<10} {len(profile)} parameters, {told}", *more, flush=True)
        rows = merged(row)
        save("profiles_nist", rows)
    return rows


def members(model, x, y, box, truth, dof, fits):
    """(P, n) Whether the truth of each parameter is in its set."""
    rule, inside = Rule("F", CONFIDENCE, dof), []
    most = fits.fun + np.array([rule.rise(f) for f in fits.fun])
    for i, value in enumerate(truth):
        held = np.repeat(np.array([box], float), len(y), axis=0)
        held[:, i] = value
        guess = fits.popt.copy()
        guess[:, i] = value
        again = jg.curve_fit_many(model, x, y, held, p0=guess, bounds_axis=0, progress=False)
        inside.append(again.fun <= most)
    return np.stack(inside, axis=1)


def is_inside(reference, fit, curve, theirs, ours):
    """Whether a global fit with the parameter held halfway between the ends of both is below the threshold.

    If so the set goes on beyond the end that the peer has found.
    """
    i = fit.names.index(curve.name)
    told = []
    for a, b in zip(theirs, ours, strict=True):
        if abs(a - b) <= CLOSE * (ours[1] - ours[0]):
            continue
        bounds = list(reference.bounds)
        bounds[i] = (0.5 * (a + b),) * 2
        told.append(bool(jg.curve_fit(reference.model, reference.x, reference.y, bounds, progress=False).fun
                         <= curve.threshold) if ours[0] <= bounds[i][0] <= ours[1] else False)  # fmt: skip
    return all(told)


def coverage(sets: int, checked: int) -> list[dict]:
    rows = []
    for name, (model, x, truth, noise, box) in FAMILIES.items():
        clean = np.asarray(model(x, *truth))
        y = clean + noise * np.random.default_rng(1).standard_normal((sets, len(x)))
        fits = jg.curve_fit_many(model, x, y, box, progress=False)
        inside = members(model, x, y, box, truth, len(x) - len(truth), fits)
        shares = dict(zip(jg_names(model), np.mean(inside, axis=0).tolist(), strict=True))
        told = ", ".join(f"{key} {100 * share:.2f} %" for key, share in shares.items())
        print(f"{name}: {told} of {sets:,} sets", flush=True)
        agree = 0
        for k in range(checked):
            profile = jg.profile(jg.curve_fit(model, x, y[k], box, progress=False), progress=False)
            within = [any(a <= v <= b for a, b in c.intervals) for c, v in zip(profile.curves, truth, strict=True)]
            agree += int(np.array_equal(within, inside[k]))
        print(f"{agree} of {checked} sets as `profile` has them", flush=True)
        rows.append({"name": name, "sets": sets, "coverage": shares, "checked": checked, "agree": agree})
        save("profiles_coverage", rows)  # so that a run which is cut short has a table
    return rows


def jg_names(model):
    return list(model.__code__.co_varnames[1 : model.__code__.co_argcount])


def minos(y, popt, rise):
    """(low, high) of the frequency, None where MINOS fails."""
    from iminuit import Minuit

    cost = lambda a, w, p: float(np.sum((a * np.sin(w * TIMES + p) - y) ** 2))  # noqa: E731
    minuit = Minuit(cost, *map(float, popt))
    minuit.errordef, minuit.tol = rise, 1e-4
    try:
        minuit.migrad()
        minuit.minos("w")
    except (RuntimeError, ValueError):
        return None
    found = minuit.merrors["w"]
    return (minuit.values["w"] + found.lower, minuit.values["w"] + found.upper) if found.is_valid else None


def several(sets: int) -> dict:
    """Of how many sets the intervals of the frequency contain the truth."""
    rng, truth = np.random.default_rng(2), TRUE_SINE[1]
    clean = np.asarray(sine(TIMES, *TRUE_SINE))
    kinds = "jaxglobal", "jaxglobal, the interval of the best fit alone", "MINOS", "lmfit"
    hits, none, wide = dict.fromkeys(kinds, 0), dict.fromkeys(kinds, 0), 0
    peer = lambda t, a, w, p: a * np.sin(w * t + p)  # noqa: E731
    for done in range(1, sets + 1):
        y = clean + SINE_NOISE * rng.standard_normal(len(TIMES))
        fit = jg.curve_fit(sine, TIMES, y, SINE_BOX, progress=False)
        curve = jg.profile(fit, parameters=["w"], progress=False)["w"]
        wide += len(curve.intervals) > 1
        hits[kinds[0]] += any(bool(a <= truth <= b) for a, b in curve.intervals)
        hits[kinds[1]] += any(bool(a <= truth <= b and a <= curve.best <= b) for a, b in curve.intervals)
        theirs, _ = lmfit_intervals(peer, TIMES, y, ["a", "w", "p"], fit.popt)
        of_lmfit = theirs.get("w") if isinstance(theirs, dict) else None
        for kind, ends in ((kinds[2], minos(y, fit.popt, curve.threshold - fit.fun)), (kinds[3], of_lmfit)):
            if ends is None or not np.all(np.isfinite(ends)):
                none[kind] += 1
            else:
                hits[kind] += bool(ends[0] <= truth <= ends[1])
        if done % SAVED == 0 or done == sets:  # so that a run which is cut short has a table
            row = {"sets": done, "several": wide, "hits": hits, "none": none}
            save("profiles_sine", row)
            shares = ", ".join(f"{kind} {100 * hits[kind] / done:.1f} % ({none[kind]} without)" for kind in kinds)
            print(f"{done:,} sets: {shares}; several intervals in {wide}", flush=True)
    return row


def clock() -> dict:
    x = np.linspace(0, 10, 100)
    y = np.asarray(peak(x, 3.0, 4.0, 0.8, 1.0, 0.2)) + 0.3 * np.random.default_rng(1).standard_normal(100)
    fit = jg.curve_fit(peak, x, y, [(0, 20), (0, 10), (0.05, 5), (-5, 5), (-2, 2)], progress=False)
    first = jg.profile(fit, progress=False)
    call = lambda x, a, m, s, b, c: a * np.exp(-0.5 * ((x - m) / s) ** 2) + b + c * x  # noqa: E731
    mine, theirs = [], []
    for _ in range(REPEATS):
        mine.append(jg.profile(fit, progress=False).time)
        theirs.append(lmfit_intervals(call, x, y, fit.names, fit.popt)[1])
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    row = {"seconds": statistics.median(mine), "lmfit": statistics.median(theirs), "first": first.time,
           "points": sum(len(c.values) for c in first.curves), "searches": first.searches,
           "ratio": statistics.median(ratios)}  # fmt: skip
    print(f"five profiles, {row['points']} points, {row['searches']:,} searches: {row['seconds']:.3f} s")
    print(
        f"the first, with compiling: {row['first']:.1f} s; lmfit: {row['lmfit']:.3f} s, {row['ratio']:.2f} times that"
    )
    return row


def merged(row: dict) -> list[dict]:
    """The saved rows with this one in place of that of its set."""
    path = RESULTS / "profiles_nist.json"
    saved = {one["name"]: one for one in json.loads(path.read_text())["rows"]} if path.exists() else {}
    saved[row["name"]] = row
    return [saved[name] for name in strd.MODELS if name in saved]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = ["nist", "coverage", "sine", "time"]
    parser.add_argument("parts", nargs="*", default=parts, choices=[*parts, []])
    parser.add_argument("--sets", nargs="*", default=[], choices=[*strd.MODELS, []], help="of NIST, all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sets")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    tenth = 10 if options.quick else 1
    chosen = options.parts or parts
    runs = {
        "nist": lambda: nist(options.sets),
        "coverage": lambda: coverage(SETS // tenth, CHECKED // tenth),
        "sine": lambda: several(SINES // tenth),
        "time": clock,
    }
    for part in parts:
        if part in chosen:
            save(f"profiles_{part}", runs[part]())


if __name__ == "__main__":
    main()
