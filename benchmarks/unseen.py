"""The estimate of minima not yet seen, on ten functions with a known number of minima: python benchmarks/unseen.py

Each is searched from 30 to 4000 starts, of a grid and of four Sobol sequences, and by the default. The number known is
that of one-dimensional scans where the function is a sum over its variables, that of the wells whose bottoms no other
well undercuts, and else from the literature: M. Jamil and X.-S. Yang, A literature survey of benchmark functions,
Int. J. Math. Model. Numer. Optim. 4 (2013).
"""

import math

import common
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

import jaxglobal as jg

STARTS = (30, 100, 300, 1000, 4000)
SEEDS = 4


def minima_on(g, low, high, points=400_001):
    """The number of local minima of g on a line, its ends included."""
    v = np.asarray(jax.vmap(g)(np.linspace(low, high, points)))
    inside = np.sum((v[1:-1] < v[:-2]) & (v[1:-1] <= v[2:]))
    return int(inside + (v[0] < v[1]) + (v[-1] < v[-2]))


def summed(g, n, low, high):
    """The sum of g over n variables."""
    return lambda x: jnp.sum(jax.vmap(g)(x)), [(low, high)] * n, minima_on(g, low, high) ** n


def wells(count, n, seed, spread):
    """The lowest of many bowls of different widths."""
    rng = np.random.default_rng(seed)
    centre, narrow, depth = (
        rng.uniform(0, 1, (count, n)),
        np.exp(rng.normal(0, spread, count)),
        rng.uniform(0, 0.01, count),
    )
    distance = np.sum((centre[:, None] - centre) ** 2, axis=-1)
    others = narrow * distance + depth + np.where(np.eye(count), np.inf, 0)
    kept = np.min(others, axis=1) > depth + 1e-6
    centre, narrow, depth = centre[kept], narrow[kept], depth[kept]
    return lambda x: jnp.min(narrow * jnp.sum((x - centre) ** 2, axis=1) + depth), [(0, 1)] * n, int(np.sum(kept))


def camel(x):
    u, v = x
    return (4 - 2.1 * u**2 + u**4 / 3) * u**2 + u * v + (4 * v**2 - 4) * v**2


def shubert(x):
    k = jnp.arange(1, 6)
    return jnp.prod(jnp.sum(k * jnp.cos((k + 1) * x[:, None] + k), axis=1))


def ripple(t):
    return t**2 - 10 * jnp.cos(2 * jnp.pi * t)


def problems():
    return {
        "rastrigin 2-D": summed(ripple, 2, -4, 5.12),
        "rastrigin 3-D": summed(ripple, 3, -2.2, 2.6),
        "styblinski-tang 4-D": summed(lambda t: (t**4 - 16 * t**2 + 5 * t) / 2, 4, -5, 5),
        "chirp 2-D": summed(lambda t: jnp.sin(6 * t**2) + 0.1 * t, 2, 0, 3),
        "chirp 1-D": summed(lambda t: jnp.sin(jnp.exp(t)) + 0.01 * t, 1, 0, 5),
        "himmelblau": (jg.problems.himmelblau, [(-5, 5)] * 2, 4),
        "six-hump camel": (camel, [(-2.9, 3.1), (-2, 2.1)], 6),
        "wells 2-D": wells(60, 2, 1, 1.0),
        "wells 5-D": wells(100, 5, 2, 0.5),
        "shubert": (shubert, [(-10, 10.1)] * 2, 760),
    }


def boender(seen, searches):
    """The estimate of Boender and Rinnooy Kan, minus those seen."""
    return seen * (searches - 1) / max(searches - seen - 2, 1) - seen


def main():
    rows, inside = [], {}
    for name, (fun, box, known) in problems().items():
        for kind in ("grid", *(f"sobol {seed}" for seed in range(SEEDS)), "auto"):
            sequence = jg.Sobol(seed=int(kind[-1])) if kind[0] == "s" else jg.Grid() if kind == "grid" else "auto"
            for starts in STARTS:
                result = jg.minimize(fun, box, starts=sequence, max_starts=starts, same=99, progress=False)
                seen = len(result.minima)
                told, true = result.unseen, max(known - seen, 0)
                if told is None:
                    continue
                high = math.ceil(told.high) if math.isfinite(told.high) else None  # too few searches to say
                hit = math.floor(told.low) <= true and (high is None or true <= high)
                inside.setdefault((kind == "auto", name), []).append((hit, high is not None))
                rows.append(
                    {"problem": name, "known": known, "starts": kind, "searches": starts, "seen": seen, "true": true,
                     "minima": told.minima, "low": told.low, "high": high, "share": told.share,
                     "most": told.most, "even": told.searches, "boender": boender(seen, starts)}
                )  # fmt: skip
        grid = [row for row in rows if row["problem"] == name and row["starts"] == "grid"]
        intervals = ", ".join(f"{r['true']} ({r['low']:.0f} to {r['high']}, B&RK {r['boender']:.0f})" for r in grid)
        shares = [f"{np.mean(inside[auto, name], axis=0)[0]:.0%}" for auto in (False, True)]
        print(f"{name:20} {known:4} minima; right: {shares[0]}, default starts {shares[1]}; grid: {intervals}")
    for auto, kind in ((False, "even starts"), (True, "default starts")):
        of_each = [np.array(hits) for (which, _), hits in inside.items() if which is auto]
        most = sum(np.mean(hits[:, 0]) >= 0.5 for hits in of_each)
        right, limited = np.concatenate(of_each).T
        print(
            f"{kind}: within the stated error in most searches: {most} of {len(of_each)} functions (promised: 9), in "
            f"{np.mean(right):.0%} of all searches, and in {np.mean(right[limited]):.0%} of those with an upper limit "
            f"({np.mean(limited):.0%})"
        )
    common.save("unseen", rows)


if __name__ == "__main__":
    main()
