"""Lennard-Jones clusters: in how many runs the lowest known energy is found, and at what cost.

    python benchmarks/lennard_jones.py                              # N = 2..20, 26: ten seeds, 200,000 evaluations
    python benchmarks/lennard_jones.py --sizes 13 --seeds 3
    python benchmarks/lennard_jones.py --sizes 38 --max-time 600    # ten minutes a run, no limit on evaluations
    python benchmarks/lennard_jones.py --report

Pair energies 4 (r^-12 - r^-6), all 3 N coordinates free in a cube of side 2 N^(1/3) + 1: a cluster of unit density is
about 1.3 N^(1/3) across, so that every cluster fits in every orientation, with room for atoms that have gone astray.
Run s has `seed=s`, and its cube is moved by a random tenth of its side along each coordinate of each atom, so that
nothing depends on where the centre is. A run ends at the known energy + 1e-5, at --max-evals, or after --max-time.

Results go to benchmarks/results/lennard_jones.json after each run; runs that are there are skipped.

Energies: D. J. Wales and J. P. K. Doye, Global optimization by basin-hopping and the lowest energy structures of
Lennard-Jones clusters containing up to 110 atoms, J. Phys. Chem. A 101 (1997).
"""

import argparse
import statistics

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from common import Ledger, cache_compilations, code

import jaxglobal as jg

ENERGIES = {
    2: -1.0, 3: -3.0, 4: -6.0, 5: -9.103852, 6: -12.712062, 7: -16.505384, 8: -19.821489, 9: -24.113360, 10: -28.422532,
    11: -32.765970, 12: -37.967600, 13: -44.326801, 14: -47.845157, 15: -52.322627, 16: -56.815742, 17: -61.317995,
    18: -66.530949, 19: -72.659782, 20: -77.177043, 26: -108.315616, 38: -173.928427, 55: -279.248470, 75: -397.492331,
}  # fmt: skip


def energy(x):
    """Of the atoms at x, (3 N,)."""
    atoms = x.reshape(-1, 3)
    r2 = jnp.eye(len(atoms))  # an atom is no neighbour of its own: a distance of 1 gives no energy
    for x in atoms.T:  # one coordinate after another: three times as fast as a reduction over an axis of three
        r2 = r2 + (x[:, None] - x[None]) ** 2
    attraction = 1 / r2**3
    return 2 * jnp.sum(attraction * (attraction - 1))


def box(n: int, seed: int) -> list[tuple[float, float]]:
    """The cube of run `seed`, one pair a coordinate."""
    side = 2 * n ** (1 / 3) + 1
    low = -side / 2 + 0.1 * side * np.random.default_rng(seed).uniform(-1, 1, 3 * n)
    return [(float(v), float(v + side)) for v in low]


def report(rows: list[dict]) -> None:
    """Prints runs that found the lowest known energy, by size."""
    for n in sorted({row["size"] for row in rows}):
        mine = [row for row in rows if row["size"] == n]
        found = [row for row in mine if row["found"]]
        cost = f"{statistics.median(row['nfev'] for row in found):11,.0f}" if found else f"{'':11}"
        took = statistics.median(row["seconds"] for row in mine)
        best = min(row["energy"] for row in mine)
        print(f"N = {n:2}: found in {len(found):2} of {len(mine):2} runs, median {cost} evaluations; best "
              f"{best:.6f} (known {ENERGIES[n]:.6f}); median time {took:.2f} s", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[*range(2, 21), 26], choices=[*ENERGIES], metavar="N")
    parser.add_argument("--seeds", type=int, default=10, help="runs of each size (default: 10)")
    parser.add_argument("--max-evals", type=int, default=200_000, help="evaluations a run (default: 200000)")
    parser.add_argument("--same", type=int, default=4, help="levels with the same best value that end a run")
    parser.add_argument("--max-time", type=float, help="seconds a run, instead of --max-evals")
    parser.add_argument("--anew", action="store_true", help="drop all saved runs first")
    parser.add_argument("--report", action="store_true", help="print the table and run nothing")
    options = parser.parse_args()
    cache_compilations()
    ledger = Ledger("lennard_jones", ("size", "seed"), options.anew)
    limit = {"max_time": options.max_time} if options.max_time else {"max_evals": options.max_evals}
    limit["same"] = options.same
    for n in options.sizes if not options.report else []:
        for seed in range(options.seeds):
            if (n, seed) in ledger.rows:
                continue
            target = ENERGIES[n] + 1e-5
            result = jg.minimize(energy, box(n, seed), target=target, seed=seed, progress=False, **limit)
            ledger.add(
                size=n, seed=seed, found=bool(result.fun <= target), energy=float(result.fun), nfev=result.nfev,
                searches=result.nstarts, seconds=round(result.time - result.compile_time, 4),
                compile_seconds=round(result.compile_time, 2), status=result.status.name, limit=limit, code=code(),
            )  # fmt: skip
        report([row for row in ledger.rows.values() if row["size"] == n])
    if options.report:
        report([*ledger.rows.values()])
    small = [row["found"] for row in ledger.rows.values() if row["size"] <= 20]
    if small:
        print(f"N = 2..20: {100 * np.mean(small):.1f} % of {len(small)} runs")


if __name__ == "__main__":
    main()
