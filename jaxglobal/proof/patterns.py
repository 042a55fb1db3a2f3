"""Groups of operations that have one rule together, which says more than each of theirs.

- u log u, by its own minimum: at zero a product of zero and infinity would be anything.
- g(u) / u with g(0) = 0: by the mean value theorem it lies in g' over the hull of u and 0, also where that has a zero.
- exp|u| times a scaled Bessel function, which is the Bessel function.
- log sum exp(x - m) + m, whatever m, which rises with every x; log(e^a + e^b) as JAX writes it; and the shares
  exp(x - m) / sum exp(x - m) of such a sum.
"""

import math
from typing import Any

import numpy as np

from jaxglobal.proof import moves
from jaxglobal.proof import slopes as derivatives

ODD = {"sin", "tan", "sinh", "tanh", "asin", "atan", "asinh", "atanh", "expm1", "log1p", "erf"}  # zero at zero


def product(p: Any, a: int, b: int) -> int | None:
    """Of a b; None where there is none."""
    of = p.nodes
    if of[b].op == "log" and p.shape(a) == p.shape(b):
        v = of[b].ins[0]
        if v == a:
            return p.emit("xlogx", (a,))
        for c, u in (of[v].ins, of[v].ins[::-1]) if of[v].op == "mul" else ():
            value = of[c].value
            if u == a and value is not None and np.all(value.lo > 0) and np.all(np.isfinite(value.hi)):
                return p.mul(p.unary("reciprocal", c), p.emit("xlogx", (v,)))
    if of[b].op in ("bessel_i0e", "bessel_i1e") and of[a].op == "exp" and p.shape(a) == p.shape(b):
        u, size = of[b].ins[0], of[a].ins[0]
        if size == p.unary("abs", u):
            return p.unary(of[b].op[:-1], u)
    if of[b].op != "reciprocal":
        return None
    return ratio(p, a, b) or share(p, a, b)


def ratio(p: Any, a: int, b: int) -> int | None:
    """Of g(u) / u."""
    of, u = p.nodes, p.nodes[b].ins[0]
    if of[a].op == "neg":
        inner = ratio(p, of[a].ins[0], b)
        return None if inner is None else p.unary("neg", inner)
    if of[a].op not in ODD or of[a].ins[0] != u or p.shape(a) != p.shape(b):
        return None
    name, plain = of[a].op, p.emit("mul", (a, b), key="plain", plain=True)
    return p.emit("both", (plain, slopes(p, name, p.emit("reach", (u,)))[0]), key=("ratio", name), of=(name, u, a, b))


def slopes(p: Any, name: str, u: int) -> tuple[int, Any]:
    """The derivatives of a function at u."""
    found = derivatives.slopes(p, name, u, p.unary(name, u), {})
    if found is None:
        raise ValueError("`name` must be that of a function with derivatives.")
    return found


def ratio_slopes(p: Any, i: int) -> tuple[int, Any]:
    """The first derivative of g(u) / u, within half of g'' on the way to zero, and a maker of the second."""
    name, u, _, b = p.nodes[i].params["of"]
    first, second = slopes(p, name, u)
    near = p.scaled(slopes(p, name, p.emit("reach", (u,)))[1](), 0.5)
    out = p.emit("both", (p.mul(p.sub(first, i), b), near), key="slope")
    return out, lambda: p.mul(p.sub(second(), p.scaled(out, 2.0)), b)


def logarithm(p: Any, a: int) -> int | None:
    """Of log a, a sum of exponentials; None where it is none."""
    of = p.nodes
    i = root(p, a)
    if of[i].op != "sum" or of[of[i].ins[0]].op != "exp" or math.prod(p.shape(i)) != math.prod(p.shape(a)):
        return None
    return p.reshape(log_sum(p, of[of[i].ins[0]].ins[0], of[i].params["axes"]), p.shape(a))


def log_sum(p: Any, x: int, axes: tuple[int, ...]) -> int:
    """Log sum exp(x) along axes."""
    return p.emit("lse", (x,), [n for d, n in enumerate(p.shape(x)) if d not in axes], key=axes, axes=axes)


def shifted(p: Any, i: int) -> tuple[int, int, tuple[int, ...]] | None:
    """The x, m and axes of log sum exp(x - m)."""
    i = root(p, i)
    d = p.nodes[i].ins[0] if p.nodes[i].op == "lse" else i
    if d == i or p.nodes[d].op != "sub" or p.shape(p.nodes[d].ins[0]) != p.shape(d):
        return None
    return (*p.nodes[d].ins, p.nodes[i].params["axes"])


def total(p: Any, a: int, b: int) -> int | None:
    """Of a + b; None where there is none."""
    of = p.nodes
    if (found := shifted(p, a)) is not None:
        x, m, axes = found
        if p.shape(a) == p.shape(b) and same(p, m, b, p.shape(x), axes) and (p.deriving or not of[m].partial):
            return p.reshape(log_sum(p, x, axes), p.shape(a))
    if of[a].op == "max" and of[b].op == "log1p" and of[of[b].ins[0]].op == "exp":
        u, v = of[a].ins
        gap = of[of[b].ins[0]].ins[0]
        between = (p.sub(u, v), p.sub(v, u))
        if of[gap].op == "neg" and of[of[gap].ins[0]].op == "abs" and of[of[gap].ins[0]].ins[0] in between:
            rows = [p.reshape(p.broadcast(i, p.shape(a)), (1, *p.shape(a))) for i in (u, v)]
            return log_sum(p, p.concatenate(rows, 0), (0,))
    return None


def difference(p: Any, a: int, b: int) -> int | None:
    """Of (x - m) - log sum exp(x - m); None where it is none."""
    of, i = p.nodes, root(p, b)
    if of[i].op != "lse" or of[i].ins[0] != a or (found := shifted(p, i)) is None:
        return None
    x, m, axes = found
    thin = [1 if d in axes else n for d, n in enumerate(p.shape(x))]
    at = np.broadcast_to(origin(p, m)[1], p.shape(x))
    first = at[tuple(slice(0, 1) if d in axes else slice(None) for d in range(at.ndim))]
    if not np.all(at == first) or not same(p, b, i, p.shape(x), axes) or (of[m].partial and not p.deriving):
        return None
    return p.sub(x, p.broadcast(p.reshape(log_sum(p, x, axes), thin), p.shape(x)))


def share(p: Any, a: int, b: int) -> int | None:
    """Of e / sum e."""
    of = p.nodes
    whole = root(p, of[b].ins[0])
    if of[a].op != "exp" or of[whole].op != "sum" or of[whole].ins[0] != a or p.nodes[a].partial:
        return None
    axes, x = of[whole].params["axes"], of[a].ins[0]
    thin = [1 if d in axes else n for d, n in enumerate(p.shape(x))]
    if not same(p, of[b].ins[0], whole, p.shape(x), axes):
        return None
    log = p.broadcast(p.reshape(log_sum(p, x, axes), thin), p.shape(x))
    return softened(p, p.unary("exp", difference(p, x, log) or p.sub(x, log)), x, axes)


def softened(p: Any, plain: int, x: int, axes: tuple[int, ...]) -> int:
    """The shares exp(x - lse x), with what is known of them."""
    return p.emit("both", (plain, p.emit("softmax", (x,), p.shape(x), key=axes, axes=axes)), key="share")


def root(p: Any, i: int) -> int:
    """The value whose entries a value has in other places."""
    while p.nodes[i].op == "move" and p.nodes[i].params["how"] in ("reshape", "broadcast"):
        i = p.nodes[i].ins[0]
    return i


def origin(p: Any, i: int) -> tuple[int, np.ndarray]:
    """The root of a value, and which entries of it, flat."""
    way, end = [], root(p, i)
    while i != end:
        way.append(p.nodes[i])
        i = p.nodes[i].ins[0]
    index = np.arange(math.prod(p.shape(i))).reshape(*p.shape(i), 1)
    for node in way[::-1]:
        index = moves.forward(node, [index])
    return i, index[..., 0]


def same(p: Any, wide: int, thin: int, shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether one value has the entries of another wherever they stand along some axes of a shape."""
    (i, at), (j, there) = origin(p, wide), origin(p, thin)
    kept = [1 if d in axes else n for d, n in enumerate(shape)]
    if i != j or math.prod(kept) != there.size:
        return False
    return bool(np.array_equal(np.broadcast_to(at, shape), np.broadcast_to(there.reshape(kept), shape)))
