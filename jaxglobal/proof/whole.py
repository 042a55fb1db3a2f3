"""Whole numbers that depend on x: their arithmetic, and the entries of arrays that they name.

They are kept as real numbers; where they may leave the range of their kind, and so wrap, they are any number of it.
"""

import math
from typing import Any

import numpy as np

from jaxglobal.proof.flat import Program

MOST = 1024  # entries among which a whole number chooses
MODULAR = {"add", "sub", "mul", "neg", "abs", "square", "integer_pow", "reduce_sum", "reduce_prod", "cumsum", "cumprod",
           "dot_general"}  # fmt: skip
PLAIN = {"convert_element_type", "argmax", "argmin", "div", "rem", "max", "min", "sign", "clamp", "select_n",
         "reduce_max", "reduce_min", "cummax", "cummin", "sort", "broadcast_in_dim", "reshape", "squeeze",
         "expand_dims", "transpose", "slice", "concatenate", "gather", "dynamic_slice", "rev", "split", "stack",
         "unstack", "tile", "pad", "dynamic_update_slice", "scatter"}  # fmt: skip


def wrapped(p: Program, i: int, dtype: Any) -> int:
    """A value as whole numbers of a kind."""
    ends = np.iinfo(dtype)
    least, most = float(ends.min), float(ends.max)
    return p.emit("wrapped", (i,), key=(least, most), least=least, most=most)


def first(p: Program, rows: list[int], op: str) -> int:
    """The index of the first greatest, or least, of some values."""
    best, at = rows[0], p.const(np.zeros(p.shape(rows[0])))
    for k, row in enumerate(rows[1:], 1):
        better = p.emit("gt" if op == "max" else "lt", (row, best))
        at = p.emit("select", (better, at, p.const(np.full(p.shape(row), float(k)))))
        best = p.emit(op, (best, row))
    return at


def sliced(p: Program, a: int, starts: list[Any], sizes: tuple[int, ...]) -> int | None:
    """A part of a, from whole numbers or arrays on, that stay inside; None where there are too many places."""
    rank = len(sizes)
    for axis, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        places = p.shape(a)[axis] - size + 1
        pick = lambda k, a=a, axis=axis, size=size: p.cut(  # noqa: E731
            a, [slice(k, k + size) if d == axis else slice(None) for d in range(rank)]
        )
        if isinstance(start, np.ndarray):
            a = pick(int(np.clip(start, 0, places - 1)))
        elif places > MOST:
            return None
        else:
            a = p.emit("select", (start, *map(pick, range(places)))) if places > 1 else pick(0)
    return a


def gathered(p: Program, a: int, index: int, params: dict[str, Any]) -> int | None:
    """The entries, or rows, of a that an array of whole numbers names; None where they are anything else."""
    how, shape = params["dimension_numbers"], p.shape(a)
    named, batch = how.start_index_map, p.shape(index)[:-1]
    others = [d for d in range(len(shape)) if d not in named]
    whole = all(params["slice_sizes"][d] == (1 if d in named else shape[d]) for d in range(len(shape)))
    if tuple(sorted(named)) != tuple(how.collapsed_slice_dims) or how.operand_batching_dims or not whole:
        return None
    places = math.prod(shape[d] for d in named)
    if not 0 < places <= MOST:
        return None
    flat, inside = p.const(np.zeros(batch)), p.const(np.ones(batch))
    for k, d in enumerate(named):
        i = p.reshape(p.cut(index, [*(slice(None),) * len(batch), slice(k, k + 1)]), batch)
        for op, end in (("gt", -0.5), ("lt", shape[d] - 0.5)):
            inside = p.emit("and", (inside, p.emit(op, (i, p.const(np.full(batch, end))))))
        i = p.emit("min", (p.emit("max", (i, p.const(np.zeros(batch)))), p.const(np.full(batch, shape[d] - 1.0))))
        flat = p.add(p.mul(flat, p.const(float(shape[d]))), i)
    flat = p.emit("wrapped", (flat,), key=(0, places), least=0.0, most=places - 1.0)
    rest = [shape[d] for d in others]
    rows = p.reshape(p.transpose(a, (*named, *others)), (places, *rest))
    wide = (*batch, *rest)
    spread = lambda i: p.broadcast(p.reshape(i, (*batch, *(1 for _ in rest))), wide)  # noqa: E731
    cases = [p.broadcast(p.reshape(p.rows(rows, [k]), rest), wide) for k in range(places)]
    out = p.emit("select", (spread(flat), *cases)) if places > 1 else cases[0]
    if "CLIP" not in str(params["mode"]):  # outside it is NaN, or what is promised never to be
        out = p.emit("select", (spread(inside), p.emit("anything", (out,)), out))
    axes = list(how.offset_dims)
    order = [d for d in range(len(wide)) if d not in axes]
    back = np.argsort([*order, *axes])
    return p.transpose(out, [int(d) for d in back])
