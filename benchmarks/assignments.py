"""How often a search of whole numbers ends with success at another assignment, where each has many minima of its own.

    python benchmarks/assignments.py [--problems 36] [--alone]

Random problems of one whole number and two variables, with 12 and 30 assignments: a bowl with waves for each, whose
middle, lengths and lowest value are drawn. Nothing that is found for one says anything of another. The first
twelve of each were in sight when numbers of the search were chosen (contest.py). With --alone: one whole number of
4,097 and 16,384 values, of which one alone is good, and the same function without that one.
"""

import argparse

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np

import jaxglobal as jg

SOLVED = 1e-3


def wrinkled(x, table):
    i = x[0].astype(int)
    z = x[1:] - table["middle"][i]
    return table["base"][i] + jnp.sum(2 * z**2 + 0.4 * (1 - jnp.cos(2 * jnp.pi * table["waves"][i] * z)))


def table(count: int, seed: int) -> dict[str, jax.Array]:
    """Of so many assignments."""
    rng = np.random.default_rng([seed, count, 2])
    middle, base, waves = rng.uniform(0.1, 0.9, (count, 2)), rng.uniform(0, 0.5, count), rng.uniform(4, 8, count)
    return {"middle": jnp.asarray(middle), "base": jnp.asarray(base), "waves": jnp.asarray(waves)}


def lone(x, count, good):
    """good: the value of so many that alone is good; -1 for none."""
    k, y = x
    return ((k - 7) / count) ** 2 + (y - 0.3) ** 2 - (k == good)


def alone(problems: int) -> None:
    for count in (4097, 16384):
        for name, has in (("one good value", True), ("smooth", False)):
            solved, wrong, nfev = 0, 0, []
            for seed in range(problems):
                good = int(np.random.default_rng([seed, count]).integers(100, count)) if has else -1
                box = [(0, count - 1), (-1.0, 1.0)]
                result = jg.minimize(lone, box, (count, good), integrality=[True, False], seed=seed, progress=False)
                right = int(result.x[0]) == (good if has else 7)
                solved, wrong = solved + right, wrong + (bool(result.success) and not right)
                nfev.append(int(result.nfev))
            print(
                f"{name} of {count:,}: solved {solved} of {problems}, {wrong} wrong and yet success, "
                f"{int(np.median(nfev)):,} evaluations (median)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=36, help="of each number of assignments")
    parser.add_argument("--alone", action="store_true", help="one good value among thousands")
    given = parser.parse_args()
    if given.alone:
        return alone(given.problems)
    for count in (12, 30):
        solved, wrong, nfev = 0, 0, []
        for seed in range(given.problems):
            drawn = table(count, seed)
            box = [(0, count - 1), (0.0, 1.0), (0.0, 1.0)]
            result = jg.minimize(wrinkled, box, (drawn,), integrality=[True, False, False], progress=False)
            right = float(result.fun) <= float(jnp.min(drawn["base"])) + SOLVED
            solved, wrong = solved + right, wrong + (bool(result.success) and not right)
            nfev.append(int(result.nfev))
        print(
            f"{count} assignments: solved {solved} of {given.problems}, {wrong} wrong and yet success, "
            f"{int(np.median(nfev)):,} evaluations (median)"
        )


if __name__ == "__main__":
    main()
