"""Operations that only move entries: forward, exactly, and back, where each entry meets all places that it went to."""

import math
from typing import Any

import numpy as np

from jaxglobal.proof.intervals import INF
from jaxglobal.proof.node import Node


def forward(node: Node, ends: list[Any]) -> Any:
    """One end, or another array, of the operands, moved; the batch is the last axis."""
    how, shape = node.params["how"], node.shape
    if how == "concatenate":
        batch = max(end.shape[-1] for end in ends)
        wide = [end if end.shape[-1] == batch else np.broadcast_to(end, (*end.shape[:-1], batch)) for end in ends]
        return np.concatenate(wide, node.params["axis"])
    (a,) = ends
    batch = a.shape[-1]
    if how == "reshape":
        return a.reshape(*shape, batch)
    if how == "broadcast":
        return np.broadcast_to(a.reshape(*node.params["thin"], batch), (*shape, batch))
    if how == "transpose":
        return a.transpose(*node.params["order"], len(shape))
    if how == "slice":
        return a[node.params["cuts"]]
    if how == "rows":
        return a[node.params["index"]]
    return a.reshape(-1, batch)[node.params["index"]]


def backward(node: Node, z: Any, shapes: list[tuple[int, ...]], lower: bool) -> list[Any]:
    """What one end of the result says of that end of each operand: the greatest lower end, or the least upper one."""
    how, shape, batch = node.params["how"], node.shape, z.shape[-1]
    if how == "concatenate":
        axis, at, parts = node.params["axis"], 0, []
        for size in node.params["sizes"]:
            parts.append(z[(slice(None),) * axis + (slice(at, at + size),)])
            at += size
        return parts
    inner = shapes[0]
    if how == "reshape":
        return [z.reshape(*inner, batch)]
    if how == "broadcast":
        drop = tuple(d for d, (thin, wide) in enumerate(zip(node.params["thin"], shape, strict=True)) if thin != wide)
        out = (np.max(z, drop) if lower else np.min(z, drop)) if drop else z
        return [out.reshape(*inner, batch)]
    if how == "transpose":
        return [z.transpose(*(int(k) for k in np.argsort(node.params["order"])), len(shape))]
    empty = -INF if lower else INF
    if how == "slice":
        out = np.full((*inner, batch), empty)
        out[node.params["cuts"]] = z
        return [out]
    index = node.params["index"]
    size = inner[0] if how == "rows" else math.prod(inner)
    flat, z = index.ravel(), z.reshape(index.size, *(inner[1:] if how == "rows" else ()), batch)
    out = np.full((size, *z.shape[1:]), empty)
    if len(np.unique(flat)) == len(flat):
        out[flat] = z
    else:
        (np.maximum if lower else np.minimum).at(out, flat, z)
    return [out.reshape(*inner, batch)]
