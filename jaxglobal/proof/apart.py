"""Separable functions, fun = offset + sum of phi_v(x_v): the minimum of each phi_v is proven by itself.

All variables are searched side by side, each in pieces of its own: the program of fun is run on columns of pieces, in
which an entry that depends on x_v alone is enclosed for the piece of x_v. Its derivative in x_v is that of the program
in the direction (1, ..., 1).
"""

from typing import NamedTuple

import numpy as np

from jaxglobal.proof import enclose, moves
from jaxglobal.proof import intervals as iv
from jaxglobal.proof.enclosure import Enclosure, either
from jaxglobal.proof.flat import Program
from jaxglobal.proof.intervals import EPS, INF, Interval
from jaxglobal.proof.model import Model
from jaxglobal.proof.node import BY_ENTRY
from jaxglobal.proof.region import Region
from jaxglobal.proof.stacks import Stack
from jaxglobal.proof.tangents import Tangents

LEAST = 4  # variables: of fewer all boxes are soon tested, and make a picture
FIRST = 16  # pieces of each variable at the beginning
MOST = 4096  # pieces of one variable, beyond which this is given up
ROUNDS = 80
MANY = -2  # the label of an entry that depends on several variables; -1 of one that depends on none


class Terms(NamedTuple):
    """fun as a constant and values, each entry of which depends on one variable.

    Attributes:
        offset: bounds of the constant.
        values: their numbers, factors and the variables of their entries.
    """

    offset: Interval
    values: list[tuple[int, Interval, np.ndarray]]


def find(p: Program, f: int, n: int) -> Terms | None:
    """The terms of value f; None where it is not such a sum, or of one variable alone."""
    labels: dict[int, np.ndarray] = {}

    def label(i: int) -> np.ndarray:
        if i not in labels:
            node = p.nodes[i]
            if node.op == "x":
                labels[i] = np.arange(n)
            elif node.value is not None:
                labels[i] = np.full(node.shape, -1)
            elif node.op == "move":
                labels[i] = moves.forward(node, [label(j)[..., None] for j in node.ins])[..., 0]
            elif node.op not in BY_ENTRY:
                labels[i] = np.full(node.shape, MANY)
            else:
                out = np.full(node.shape, -1)
                ins = node.ins[:1] if node.op == "pick" else node.ins  # its stack depends on no more than its index
                for part in (np.broadcast_to(label(j), node.shape) for j in ins):
                    out = np.where(part == -1, out, np.where((out == -1) | (out == part), part, MANY))
                labels[i] = out
        return labels[i]

    values: list[tuple[int, Interval, np.ndarray]] = []
    offset = Interval(np.zeros(1), np.zeros(1))

    def walk(i: int, factor: Interval) -> bool:
        nonlocal offset
        node = p.nodes[i]
        if node.value is not None:
            part = iv.mul(iv.total(Interval(*node.value), tuple(range(len(node.shape)))), factor)
            offset = iv.add(offset, part)
            return not node.undefined
        own = label(i)
        if np.all(own != MANY) and node.op != "sum":
            values.append((i, factor, own))
            return True
        if node.op in ("add", "sub"):
            if any(p.shape(j) != node.shape for j in node.ins):
                return False
            return walk(node.ins[0], factor) and walk(node.ins[1], factor if node.op == "add" else iv.neg(factor))
        if node.op == "neg":
            return walk(node.ins[0], iv.neg(factor))
        if node.op == "mul":
            for j, k in (node.ins, node.ins[::-1]):
                c = p.nodes[j].value
                if c is not None and c.lo.size == 1 and p.shape(k) == node.shape:
                    return walk(k, iv.mul(factor, Interval(c.lo.reshape(1), c.hi.reshape(1))))
            return False
        if node.op == "sum" or node.op == "move" and node.params["how"] == "reshape":
            return walk(node.ins[0], factor)
        return False

    for i in range(f + 1):
        label(i)  # in order, so that nothing recurses deeply
    found = n >= LEAST and walk(f, Interval(np.ones(1), np.ones(1)))
    return Terms(offset, values) if found and values else None


class Apart:
    """The functions phi_v and their derivatives."""

    def __init__(self, model: Model, terms: Terms):
        """Of a model and its terms."""
        self.model, self.terms, p = model, terms, model.program
        self.n = model.n
        along = Tangents(p, Stack((0,), p.const(np.ones((1, model.n)))))
        self._first = [along.first(i) for i, _, _ in terms.values]
        self._second = [along.second(i) for i, _, _ in terms.values]
        self._plan = p.needed([i for i, _, _ in terms.values])
        stacks = [s.id for s in [*self._first, *self._second] if s is not None]
        self._more = p.needed(stacks, {p.x, *self._plan})

    def _summed(self, parts: list[Interval | None], K: int) -> Interval:
        """Entries of all terms, added up by variable, (n, K)."""
        total = Interval(np.zeros((self.n, K)), np.zeros((self.n, K)))
        for part, (i, factor, own) in zip(parts, self.terms.values, strict=True):
            if part is None:
                continue
            shape = (*self.model.program.shape(i), K)
            lo, hi = (np.broadcast_to(end, shape).reshape(-1, K) for end in iv.mul(part, factor))
            flat = own.ravel()
            order = np.argsort(flat, kind="stable")
            rank = np.arange(len(flat)) - np.searchsorted(flat[order], flat[order])
            for k in range(int(rank.max(initial=-1)) + 1):  # each variable once in a round
                pick = order[rank == k]
                to = flat[pick]
                pick, to = pick[to >= 0], to[to >= 0]
                new = iv.add(Interval(total.lo[to], total.hi[to]), Interval(lo[pick], hi[pick]))
                total.lo[to], total.hi[to] = new
        return total

    def constant(self) -> Interval:
        """What the entries without a variable add up to, with the offset."""
        p, x = self.model.program, np.zeros((self.n, 1))
        values = {p.x: Enclosure(x, x)}
        enclose.run(p.nodes, self._plan, values)
        out = self.terms.offset
        for i, factor, own in self.terms.values:
            mask = own.ravel() == -1
            if mask.any():
                lo, hi = (np.broadcast_to(e, (*p.shape(i), 1)).reshape(-1, 1)[mask] for e in values[i].interval)
                out = iv.add(out, iv.mul(iv.total(Interval(lo, hi), (0,)), factor))
        return out

    def look(self, X: Interval, derive: bool) -> tuple[Interval, Interval, Interval, np.ndarray, np.ndarray]:
        """phi, its derivatives, where it is surely defined, and where the second derivative holds: (n, K), and (K,)."""
        p, K = self.model.program, X.lo.shape[-1]
        values = {p.x: Enclosure(*X)}
        enclose.run(p.nodes, self._plan, values)
        if derive:
            enclose.run(p.nodes, self._more, values)
        safe, smooth, curved = np.ones(K, bool), np.ones(K, bool), np.ones(K, bool)
        for i, _, _ in self.terms.values:
            out = values[i]
            safe &= ~np.broadcast_to(out.nans, K)
            smooth &= ~np.broadcast_to(either(out.jump, out.edge), K)
        phi = self._summed([values[i].interval for i, _, _ in self.terms.values], K)
        if not derive:
            return phi, phi, phi, safe, curved
        rows = []
        for stacks in (self._first, self._second):
            parts: list[Interval | None] = []
            for stack in stacks:
                if stack is None:
                    parts.append(None)
                    continue
                node = p.nodes[stack.id]
                out = Enclosure(*node.value) if node.value is not None else values[stack.id]
                parts.append(Interval(*(np.broadcast_to(e, (*node.shape, K))[0] for e in out.interval)))
                if stacks is self._first:
                    smooth &= ~np.broadcast_to(out.nans, K)
                    curved &= ~np.broadcast_to(either(out.jump, out.edge), K)
                else:
                    curved &= ~np.broadcast_to(out.nans, K)
            rows.append(self._summed(parts, K))
        good, curved = safe & smooth, safe & smooth & curved
        G = Interval(np.where(good, rows[0].lo, -INF), np.where(good, rows[0].hi, INF))
        H = Interval(np.where(curved, rows[1].lo, -INF), np.where(curved, rows[1].hi, INF))
        return phi, G, H, safe, curved


def columns(pieces: list[np.ndarray], low: np.ndarray) -> tuple[Interval, np.ndarray]:
    """Pieces of each variable, (k, 2), side by side, and which places of the array (n, K) hold one."""
    K = max(len(piece) for piece in pieces)
    X = np.repeat(low[:, None, None], K, 1).repeat(2, 2)
    real = np.zeros((len(pieces), K), bool)
    for v, piece in enumerate(pieces):
        X[v, : len(piece)], real[v, : len(piece)] = piece, True
        X[v, len(piece) :] = piece[0]  # a copy, so that it says nothing of places where the function is not looked at
    return Interval(X[..., 0], X[..., 1]), real


def prove(model: Model, low: np.ndarray, high: np.ndarray, tol: float) -> Region | None:
    """The minimiser of a sum of functions of one variable each, proven to be the only one; else None."""
    terms = find(model.program, model.f, model.n)
    if terms is None:
        return None
    apart, free = Apart(model, terms), low < high
    edges = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, FIRST + 1)
    edges[:, -1] = high
    pieces = [np.stack([e[:-1], e[1:]], 1) if f else np.array([[e[0], e[0]]]) for e, f in zip(edges, free, strict=True)]
    best = np.full(model.n, INF)
    for _ in range(ROUNDS):
        X, real = columns(pieces, low)
        if X.lo.shape[1] > MOST:
            return None
        c = np.clip(0.5 * X.lo + 0.5 * X.hi, X.lo, X.hi)
        at, g, _, safe, _ = apart.look(Interval(c, c), True)
        phi, G, H, _, _ = apart.look(X, True)
        best = np.minimum(best, np.where(safe & real, at.hi, INF).min(1))
        rise = iv.add(at, iv.mul(G, iv.sub(X, Interval(c, c))))
        lower = np.fmax(phi.lo, np.where(safe, rise.lo, -INF))
        lo, hi = X.lo.copy(), X.hi.copy()
        L, U = low[:, None], high[:, None]
        dead = (lower > best[:, None]) | ((G.lo > 0) & (lo > L) | (G.hi < 0) & (hi < U)) & free[:, None]
        hi = np.where((G.lo > 0) & (lo <= L), L, hi)
        lo = np.where((G.hi < 0) & (hi >= U), U, lo)
        inner = (X.lo > L) & (X.hi < U) & np.isfinite(H.lo) & np.isfinite(H.hi) & safe
        step = iv.sub(Interval(c, c), iv.quotient(g, Interval(np.where(inner, H.lo, -1.0), np.where(inner, H.hi, 1.0))))
        lo, hi = np.where(inner, np.fmax(lo, step.lo), lo), np.where(inner, np.fmin(hi, step.hi), hi)
        dead |= lo > hi
        keep = real & ~dead
        if not keep.any(1).all():
            return None
        slack = tol * (1 + abs(float(best.sum()))) / (2 * model.n)
        width = 1e-9 * np.maximum(U - L, abs(c)) + 8 * EPS * abs(c)
        done = (hi - lo <= width) & (lower >= best[:, None] - slack) | (
            hi - lo <= 8 * EPS * np.maximum(abs(lo), abs(hi))
        )
        if done[keep].all():
            return finished(model, apart, low, high, lo, hi, lower, keep)
        pieces = [split(lo[v], hi[v], keep[v], done[v]) for v in range(model.n)]
    return None


def split(lo: np.ndarray, hi: np.ndarray, keep: np.ndarray, done: np.ndarray) -> np.ndarray:
    """The pieces that are left, in halves where they are not done."""
    whole, half = keep & done, keep & ~done
    mid = 0.5 * (lo[half] + hi[half])
    ends = (np.concatenate([lo[whole], lo[half], mid]), np.concatenate([hi[whole], mid, hi[half]]))
    return np.stack(ends, 1)


def finished(model: Model, apart: Apart, low, high, lo, hi, lower, keep) -> Region | None:
    """The hull of the pieces of each variable, if there is one minimiser in it."""
    a, b = np.where(keep, lo, INF).min(1), np.where(keep, hi, -INF).max(1)
    wide = 1e-6 * np.maximum(high - low, np.abs(a)) + 1e-300
    if np.any(b - a > wide):  # several minimisers with one value
        return None
    a, b = np.maximum(a - 1e-2 * wide, low), np.minimum(b + 1e-2 * wide, high)
    ends = Interval(np.stack([a, a, b], 1), np.stack([b, a, b], 1))
    _, G, H, _, curved = apart.look(ends, True)
    at_low, at_high = (a <= low) & (G.lo[:, 0] > 0), (b >= high) & (G.hi[:, 0] < 0)
    zero = (H.lo[:, 0] > 0) & (G.hi[:, 1] < 0) & (G.lo[:, 2] > 0) & curved[0]
    if not np.all(zero | at_low | at_high | (low == high)):
        return None
    c = np.clip(0.5 * (a + b), a, b)[:, None]
    at, _, _, safe, _ = apart.look(Interval(c, c), True)
    rise = iv.add(
        at, iv.mul(Interval(G.lo[:, :1], G.hi[:, :1]), iv.sub(Interval(a[:, None], b[:, None]), Interval(c, c)))
    )
    least = np.fmax(np.where(keep, lower, INF).min(1), np.where(safe[0], rise.lo[:, 0], -INF))
    total = iv.add(apart.constant(), iv.total(Interval(least[:, None], least[:, None]), (0,)))
    tiny = (np.where(at_high, high, a), np.where(at_low, low, b))
    seen = model.value(Interval(tiny[0][:, None], tiny[1][:, None]))
    return Region(a, b, tiny, float(total.lo[0]), float(seen.f.hi[0]))
