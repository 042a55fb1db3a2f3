"""Sums, products and the like over axes, as a lowering writes them: of many entries a few, by trees and products."""

import math
from collections.abc import Sequence

import numpy as np

from jaxglobal.proof import convolve, patterns
from jaxglobal.proof.refused import refuse
from jaxglobal.proof.writer import LARGEST, Writer


class Reductions(Writer):
    """A rule for each primitive, by its name."""

    def folded(self, op: str, a: int, axes: Sequence[int]) -> int:
        """A reduction by a tree of pairs."""
        p = self.program
        for axis in sorted(axes, reverse=True):
            size = p.shape(a)[axis]
            while size > 1:
                half = size // 2
                pick = lambda start, stop, v=a, d=axis: p.cut(  # noqa: E731
                    v, [slice(start, stop) if k == d else slice(None) for k in range(len(p.shape(v)))]
                )
                pairs = p.emit(op, (pick(0, half), pick(half, 2 * half)))
                a = pairs if size % 2 == 0 else p.concatenate([pairs, pick(2 * half, size)], axis)
                size -= half
            a = p.reshape(a, [n for d, n in enumerate(p.shape(a)) if d != axis])
        return a

    def running(self, op: str, a: int, axis: int, reverse: bool) -> int:
        """A running sum or the like, step by step."""
        p, size = self.program, self.program.shape(a)[axis]
        pick = lambda k: p.cut(a, [slice(k, k + 1) if d == axis else slice(None) for d in range(len(p.shape(a)))])  # noqa: E731
        parts: list[int] = []
        for k in reversed(range(size)) if reverse else range(size):
            parts.append(pick(k) if not parts else p.emit(op, (parts[-1], pick(k))))
        return p.concatenate(parts[::-1] if reverse else parts, axis)

    def _cumlogsumexp(self, eqn, args, ids, shape, params):
        """Each entry by itself: log sum exp rises with all that it is made of."""
        p, axis, size = self.program, params["axis"], shape[params["axis"]]
        if math.prod(shape) * size > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} terms")
        thin, parts = [1 if d == axis else n for d, n in enumerate(shape)], []
        for k in range(size):
            some = slice(k, size) if params["reverse"] else slice(k + 1)
            part = p.cut(ids[0], [some if d == axis else slice(None) for d in range(len(shape))])
            parts.append(p.reshape(patterns.log_sum(p, part, (axis,)), thin))
        return p.concatenate(parts, axis)

    def _reduce_sum(self, eqn, args, ids, shape, params):
        return self.program.sum(ids[0], params["axes"])

    def _dot_general(self, eqn, args, ids, shape, params):
        """A product of operands that are spread out, and a sum."""
        p = self.program
        (lc, rc), (lb, rb) = params["dimension_numbers"]
        left, right = (p.shape(i) for i in ids)
        lf = [d for d in range(len(left)) if d not in (*lc, *lb)]
        rf = [d for d in range(len(right)) if d not in (*rc, *rb)]
        batch, inner = [left[d] for d in lb], [left[d] for d in lc]
        a = p.reshape(p.transpose(ids[0], (*lb, *lf, *lc)), [*batch, *(left[d] for d in lf), *(1 for _ in rf), *inner])
        b = p.reshape(p.transpose(ids[1], (*rb, *rf, *rc)), [*batch, *(1 for _ in lf), *(right[d] for d in rf), *inner])
        outer = len(lb) + len(lf) + len(rf)
        if math.prod(np.broadcast_shapes(p.shape(a), p.shape(b))) > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} products")
        return p.sum(p.mul(a, b), range(outer, outer + len(inner))) if inner else p.mul(a, b)

    def _conv_general_dilated(self, eqn, args, ids, shape, params):
        if math.prod(shape) * math.prod(self.program.shape(ids[1])[1:]) > LARGEST:
            raise refuse(eqn, f"it makes more than {LARGEST:,} products")
        if (out := convolve.convolved(self.program, ids[0], ids[1], params)) is None:
            raise refuse(eqn, "there is no rule for batches in groups")
        return out
