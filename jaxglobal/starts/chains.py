"""Chains: hops from one point each, which moves where a search ends lower; many at once, and each by itself.

A pool of the best minima (elite.py) is greedy: it gathers in the funnel that is the widest, or the soonest found. A
chain is blind to the others: it begins at random, hops, goes to whatever is lower, and so to the bottom of its own
funnel, where it stands still; then it begins anew. That is monotonic basin hopping with restarts [L], in batches.
There are few of them, so that each is at its bottom soon. They are called for where the best value of the pool has
stood still for long (candidates.py), so that they cost little where the pool is enough.

What was measured on a cluster of 38 atoms, whose lowest energy is in a narrow funnel beside a wide one (no command
repeats it; what it gives now: `python benchmarks/lennard_jones.py --sizes 38 --max-time 600 --same 1000`):
- no chains: not found in two runs of 30 million evaluations; a pool that begins from nothing in their place: in two
  runs of four;
- chains of steps in all variables: in two of three within 12 million, later than with steps in one or two beside them;
- a quarter of the searches from the cover: 73 % of the evaluations, as a search from a random point takes 820 of them,
  and one from a hop 100; so the cover has about half of the evaluations of the searches, or less, while chains hop;
- 64 chains: within 12 million evaluations at most eight of them came to a bottom; where there are 8, twenty.
On 13 hard functions of BBOB in ten variables (instances 0 to 4, 10^4 D evaluations, three seeds), 8.60 are solved
without chains, 8.33 with chains as soon as the pool stands still for one patience, 8.60 after ten.

[L] R. Leary, Global optimization on funneling landscapes, J. Global Optim. 18 (2000).
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.starts import elite, hops
from jaxglobal.starts.hops import Hops

KINDS = 2  # of hops, all and few: those that need no other point
MOST = 16  # chains
HOPS = 16  # of a round for each chain: so many more make one more chain
FIRST_STEP = 0.1  # of a search from a random point, in units of the box
MEMORY = 4000  # hops after which what was learned counts 1/e
DOUBT = 200  # tens of evaluations for which a scale is thought to yield what all do


class Chains(NamedTuple):
    """Where the chains stand, and what their hops have yielded; n free variables."""

    x: np.ndarray
    """(m, n) In the unit box."""
    f: np.ndarray
    """(m,) inf where a chain is to begin."""
    idle: np.ndarray
    """(m,) Searches of rounds since f fell."""
    gain: np.ndarray
    """(kinds, bins) Hops of each kind and scale that lowered f; older ones count less."""
    cost: np.ndarray
    """(kinds, bins) Tens of evaluations."""


def empty(n: int) -> Chains:
    """No chain yet."""
    nothing = np.zeros((KINDS, len(hops.SCALES) - 1))
    return Chains(np.zeros((0, n)), np.zeros(0), np.zeros(0, np.int64), nothing, nothing)


def patience(n: int) -> int:
    """Searches without a lower value after which a chain begins anew."""
    return 100 + 3 * n


def propose(chains: Chains, count: int, rng: np.random.Generator) -> tuple[Chains, Hops, np.ndarray]:
    """The chains, new ones among them; so many hops; and of which chain each is, (count,).

    A chain that begins has one search from a random point; the others share the hops.
    """
    n, known = chains.x.shape[1], len(chains.f)
    if not known and not count:
        none = np.zeros(0, np.int64)
        return chains, Hops(np.zeros((0, hops.CANDIDATES, n)), np.zeros(0), none, none), none
    new = max(min(count // HOPS, MOST), min(count, 1)) - known
    if new > 0:
        chains = chains._replace(
            x=np.concatenate([chains.x, np.full((new, n), 0.5)]),
            f=np.append(chains.f, np.full(new, np.inf)),
            idle=np.append(chains.idle, np.zeros(new, np.int64)),
        )
    order = rng.permutation(len(chains.f))
    begun = np.isfinite(chains.f[order])
    beginning, others = order[~begun], order[begun] if np.any(begun) else order
    chain = np.append(beginning, np.resize(others, max(count - len(beginning), 0)))[:count]
    # A scale is thought to yield what all do until it is known; a kind yields what its best scale does.
    hoped = (np.sum(chains.gain) + 1) / (np.sum(chains.cost) + 10)
    yields = (chains.gain + DOUBT * hoped) / (chains.cost + DOUBT)
    kind, bin, scale = hops.draw(np.max(yields, axis=1), yields, count, rng)
    x = hops.steps(chains.x[chain], kind, scale, rng)
    begins = np.isinf(chains.f[chain])
    x[begins] = rng.random((np.sum(begins), hops.CANDIDATES, n))
    return chains, Hops(hops.reflect(x), np.where(begins, FIRST_STEP, scale / 4), kind, bin), chain


def after(
    chains: Chains, chain: np.ndarray, hop: tuple[np.ndarray, np.ndarray], x: np.ndarray, f: np.ndarray,
    nfev: np.ndarray, same: float = elite.SAME_VALUE,
) -> Chains:  # fmt: skip
    """The chains after a round.

    chain: (k,) whose hops they were. hop: kinds, (k,), and bins, (k,). x, f, nfev: (k, n) and (k,), of the searches
    from them. same: relative difference of values that are one.
    """
    if not len(chain):
        return chains
    f = np.where(np.isfinite(f), f, np.inf)
    before = chains.f[chain]
    begun = np.isfinite(before)
    fell = f < before - np.where(begun, same * np.abs(before), 0)
    gains, costs = np.zeros_like(chains.gain), np.zeros_like(chains.cost)
    np.add.at(gains, tuple(part[begun] for part in hop), fell[begun])
    np.add.at(costs, tuple(part[begun] for part in hop), hops.tens(nfev[begun]))
    kept = np.exp(-np.sum(begun) / MEMORY)
    place, value, idle = chains.x.copy(), chains.f.copy(), chains.idle + np.bincount(chain, minlength=len(chains.f))
    for i in np.argsort(-f, kind="stable"):  # the best of a chain comes last
        if fell[i]:
            place[chain[i]], value[chain[i]], idle[chain[i]] = x[i], f[i], 0
    ended = idle > patience(x.shape[1])
    value[ended], idle[ended] = np.inf, 0
    return Chains(place, value, idle, kept * chains.gain + gains, kept * chains.cost + costs)
