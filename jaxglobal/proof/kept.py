"""The state of a proof as arrays, for a checkpoint."""

from typing import Any

import numpy as np

from jaxglobal.proof.branch import Search
from jaxglobal.proof.leaves import Leaf
from jaxglobal.proof.pool import Pool
from jaxglobal.proof.region import Region


def save(search: Search) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The boxes that are left, and what has been proven about the others."""
    n = search.model.n
    lo, hi, low = search.left
    leaves, regions = search.leaves, search.regions
    stack = lambda rows: np.array(rows, float).reshape(-1, n)  # noqa: E731
    arrays = {
        "lo": lo, "hi": hi, "low": low,
        "leaf_lo": stack([leaf.lo for leaf in leaves]), "leaf_hi": stack([leaf.hi for leaf in leaves]),
        "leaf_low": np.array([leaf.low for leaf in leaves], float),
        "x": np.full(n, np.nan) if search.x is None else search.x,
        "region": stack([part for r in regions for part in (r.low, r.high, *r.tiny)]),
        "region_values": np.array([(r.least, r.most) for r in regions], float).reshape(-1, 2),
        "cut": np.array([search.cut, search.noise]),
    }  # fmt: skip
    return {"boxes": search.boxes, "valued": search.valued}, arrays


def load(search: Search, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """The inverse, into a search that has just begun."""
    search.boxes, search.valued = state["boxes"], state["valued"]
    cut, noise = (float(value) for value in arrays["cut"])
    if cut <= search.cut and cut < np.inf:
        search.cut, search.noise, search.x = cut, noise, arrays["x"]
        search.weigh()
    search.pool = Pool(search.model.n)
    search.pool.add(arrays["lo"], arrays["hi"], arrays["low"])
    leaves = zip(arrays["leaf_lo"], arrays["leaf_hi"], arrays["leaf_low"], strict=True)
    search.leaves = [Leaf(lo, hi, float(low)) for lo, hi, low in leaves]
    ends = arrays["region"].reshape(-1, 4, search.model.n)
    search.regions = [
        Region(low, high, (a, b), float(least), float(most))
        for (low, high, a, b), (least, most) in zip(ends, arrays["region_values"], strict=True)
    ]
