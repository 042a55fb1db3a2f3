"""A convolution as a sum of products: each place of the result names the entries of the left side that it takes."""

from typing import Any

import numpy as np

from jaxglobal.proof.flat import Program


def places(size: int, window: int, stride: int, padding: tuple[int, int], dilation: tuple[int, int]) -> np.ndarray:
    """(outputs, window) Which entries along one axis are taken, -1 for none; dilation: of entries, of the window."""
    wide, spread = (size - 1) * dilation[0] + 1 if size else 0, (window - 1) * dilation[1] + 1
    count = max((wide + padding[0] + padding[1] - spread) // stride + 1, 0)
    at = np.arange(count)[:, None] * stride + np.arange(window) * dilation[1] - padding[0]
    inside = (at >= 0) & (at < wide) & (at % dilation[0] == 0)
    return np.where(inside, at // dilation[0], -1)


def convolved(p: Program, a: int, b: int, params: dict[str, Any]) -> int | None:
    """The convolution of a with windows b; None where the batch is in groups."""
    how, groups = params["dimension_numbers"], params["feature_group_count"]
    if params["batch_group_count"] != 1:
        return None
    a, b = p.transpose(a, how.lhs_spec), p.transpose(b, how.rhs_spec)  # (N, C, *sizes), (O, C / groups, *window)
    (batch, channels, *sizes), (outs, inner, *window) = p.shape(a), p.shape(b)
    axes = zip(
        sizes, window, params["window_strides"], params["padding"],
        zip(params["lhs_dilation"], params["rhs_dilation"], strict=True), strict=True,
    )  # fmt: skip
    each = [places(*axis) for axis in axes]
    count = [len(index) for index in each]
    flat = np.zeros((*count, *window), np.int64)
    none = np.zeros(flat.shape, bool)
    for d, (index, size) in enumerate(zip(each, sizes, strict=True)):
        shape = [1] * flat.ndim
        shape[d], shape[len(sizes) + d] = index.shape
        flat, none = flat * size + np.maximum(index, 0).reshape(shape), none | (index < 0).reshape(shape)
    total = int(np.prod(sizes, dtype=int))
    a = p.reshape(a, (batch, channels, total))
    a = p.concatenate([a, p.const(np.zeros((batch, channels, 1)))], 2)
    flat = np.where(none, total, flat)
    rows = np.arange(batch * channels)[:, None] * (total + 1) + flat.ravel()
    taken = p.reshape(p.take(a, rows), (batch, groups, 1, inner, *count, *window))
    kernel = p.reshape(b, (1, groups, outs // groups, inner, *(1 for _ in count), *window))
    last = 4 + len(count)
    out = p.sum(p.mul(taken, kernel), [3, *range(last, last + len(window))])
    out = p.reshape(out, (batch, outs, *count))
    return p.transpose(out, [int(k) for k in np.argsort(how.out_spec)])
