"""Where the minimisers are: the proven regions, and hulls of the small boxes that are left elsewhere."""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof.branch import Search
from jaxglobal.proof.leaves import Leaf
from jaxglobal.proof.region import region
from jaxglobal.proof.stationary import only_one

MANY = 4000  # small boxes, of which one hull is made


class Place(NamedTuple):
    """A box, whether it holds exactly one minimiser, and a lower bound of fun."""

    lo: np.ndarray
    hi: np.ndarray
    unique: bool
    low: float


def minimizers(search: Search) -> list[Place]:
    """Boxes that hold every global minimiser, but for what is still in the pool."""
    hulls = merged([leaf for leaf in search.leaves if not leaf.low > search.cut])
    rest: list[Leaf] = []
    for leaf in hulls if len(hulls) <= 64 else []:  # minima that the search did not list
        found = region(search.model, 0.5 * (leaf.lo + leaf.hi), search.low, search.high, search.whole)
        inside = found is not None and np.all(found.low <= leaf.lo) and np.all(leaf.hi <= found.high)
        if found is not None and inside:
            if not any(
                np.all(known.low <= found.tiny[0]) and np.all(found.tiny[1] <= known.high) for known in search.regions
            ):
                search.regions.append(found)
                search.meet(0.5 * (found.tiny[0] + found.tiny[1]))
        else:
            rest.append(leaf)
    if len(hulls) <= 64:
        search.leaves = rest
        hulls = [leaf for leaf in rest if not leaf.low > search.cut]
    proven = [Place(*r.tiny, True, r.least) for r in search.regions if not r.least > search.cut]
    return proven + bound(search, hulls)


def bound(search: Search, hulls: list[Leaf]) -> list[Place]:
    """Boxes that are left; where constraints bind, the only minimiser of some of them and of what is about it."""
    out: list[Place] = []
    while hulls:
        leaf, *hulls = hulls
        found = None
        if len(hulls) + len(out) < 64:
            found = only_one(search.model, leaf.lo, leaf.hi, search.low, search.high, search.whole)
        if found is None:
            out.append(Place(leaf.lo, leaf.hi, False, leaf.low))
            continue
        least = min([leaf.low, *(box.low for box in [*hulls, *out] if inside(box, found))])
        hulls, out = [box for box in hulls if not inside(box, found)], [box for box in out if not inside(box, found)]
        out.append(Place(*found.tiny, True, least))
    return out


def merged(leaves: list[Leaf]) -> list[Leaf]:
    """Hulls of boxes that touch; one hull of very many."""
    if len(leaves) > MANY:
        lows, highs = np.array([leaf.lo for leaf in leaves]), np.array([leaf.hi for leaf in leaves])
        return [Leaf(lows.min(0), highs.max(0), min(leaf.low for leaf in leaves))]
    lo, hi, low = np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0)
    for leaf in sorted(leaves, key=lambda leaf: tuple(leaf.lo)):
        a, b, v = leaf
        while len(low):
            hit = (a <= hi).all(1) & (lo <= b).all(1)
            if not hit.any():
                break
            a, b, v = np.minimum(a, lo[hit].min(0)), np.maximum(b, hi[hit].max(0)), min(v, float(low[hit].min()))
            lo, hi, low = lo[~hit], hi[~hit], low[~hit]
        lo, hi = (np.concatenate([side.reshape(-1, len(a)), end[None]]) for side, end in ((lo, a), (hi, b)))
        low = np.append(low, v)
    return [Leaf(a, b, float(v)) for a, b, v in zip(lo, hi, low, strict=True)]


def inside(box: Leaf | Place, around: Any) -> bool:
    """Whether a box lies within that of a minimiser which is the only one there."""
    return bool(np.all(around.low <= box.lo) and np.all(box.hi <= around.high))
