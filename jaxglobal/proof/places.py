"""Entries in other places, as a lowering writes them: reshaped, cut, joined, gathered and scattered."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxglobal.proof import whole
from jaxglobal.proof.constant import evaluate
from jaxglobal.proof.refused import refuse
from jaxglobal.proof.writer import LARGEST, Writer


class Places(Writer):
    """A rule for each primitive, by its name."""

    def _reshape(self, eqn, args, ids, shape, params):
        return self.program.reshape(ids[0], shape)

    _squeeze = _expand_dims = _reshape

    def _broadcast_in_dim(self, eqn, args, ids, shape, params):
        thin = [1] * len(shape)
        for d, size in zip(params["broadcast_dimensions"], self.program.shape(ids[0]), strict=True):
            thin[d] = size
        return self.program.broadcast(self.program.reshape(ids[0], thin), shape)

    def _transpose(self, eqn, args, ids, shape, params):
        return self.program.transpose(ids[0], params["permutation"])

    def _slice(self, eqn, args, ids, shape, params):
        strides = params["strides"] or (1,) * len(shape)
        return self.program.cut(
            ids[0], [slice(*c) for c in zip(params["start_indices"], params["limit_indices"], strides, strict=True)]
        )

    def _tile(self, eqn, args, ids, shape, params):
        a = self.program.shape(ids[0])
        thin = [size for old in a for size in (1, old)]
        wide = [size for many, old in zip(params["reps"], a, strict=True) for size in (many, old)]
        return self.program.reshape(self.program.broadcast(self.program.reshape(ids[0], thin), wide), shape)

    def _unstack(self, eqn, args, ids, shape, params):
        axis, rank = params["axis"], len(self.program.shape(ids[0]))
        picks = [[slice(k, k + 1) if d == axis else slice(None) for d in range(rank)] for k in range(len(eqn.outvars))]
        return [self.program.reshape(self.program.cut(ids[0], pick), shape) for pick in picks]

    def _stack(self, eqn, args, ids, shape, params):
        axis = params["axis"]
        thin = [*shape[:axis], 1, *shape[axis + 1 :]]
        return self.program.concatenate([self.program.reshape(i, thin) for i in ids], axis)

    def _rev(self, eqn, args, ids, shape, params):
        return self.program.cut(
            ids[0], [slice(None, None, -1 if d in params["dimensions"] else 1) for d in range(len(shape))]
        )

    def _concatenate(self, eqn, args, ids, shape, params):
        return self.program.concatenate(ids, params["dimension"])

    def _split(self, eqn, args, ids, shape, params):
        axis, ends = params["axis"], np.cumsum([0, *params["sizes"]])
        rank = len(self.program.shape(ids[0]))
        return [
            self.program.cut(ids[0], [slice(int(a), int(b)) if d == axis else slice(None) for d in range(rank)])
            for a, b in zip(ends[:-1], ends[1:], strict=True)
        ]

    def moved(self, eqn: Any, args: list[Any], ids: list[int], values: Sequence[int], params: dict[str, Any]) -> int:
        """Anything else that moves entries: the primitive itself is asked where from, once."""
        p, places, at, parts = self.program, list(args), 1, []
        for k in values:
            size = math.prod(p.shape(ids[k]))
            places[k] = np.arange(at, at + size, dtype=np.int64).reshape(p.shape(ids[k]))
            parts.append(p.reshape(ids[k], (size,)))
            at += size
        if not all(isinstance(place, np.ndarray) for place in places):
            raise refuse(eqn, "its index depends on x")
        if "fill_value" in params:
            params = {**params, "fill_value": 0}
        (index,) = evaluate(eqn, places, params)
        if index.min(initial=1) < 1 or index.max(initial=1) >= at:
            raise refuse(eqn, "its index is out of range")
        return p.take(p.concatenate(parts, 0), index - 1)

    def _gather(self, eqn, args, ids, shape, params):
        if isinstance(args[1], np.ndarray):
            return self.moved(eqn, args, ids, [0], params)
        if (out := whole.gathered(self.program, ids[0], ids[1], params)) is None:
            raise refuse(eqn, "its index depends on x")
        return out

    def _dynamic_slice(self, eqn, args, ids, shape, params):
        if all(isinstance(start, np.ndarray) for start in args[1:]):
            return self.moved(eqn, args, ids, [0], params)
        if (out := whole.sliced(self.program, ids[0], args[1:], params["slice_sizes"])) is None:
            raise refuse(eqn, "its index depends on x")
        return out

    def _dynamic_update_slice(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 1], params)

    def _pad(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 1], params)

    def _scatter(self, eqn, args, ids, shape, params):
        return self.moved(eqn, args, ids, [0, 2], params)

    def _scatter_add(self, eqn, args, ids, shape, params):
        """As a sum over the updates of each place; the primitive is asked where one of each goes."""
        p, size = self.program, math.prod(self.program.shape(ids[2]))
        if not isinstance(args[1], np.ndarray):
            raise refuse(eqn, "its index depends on x")
        if size * math.prod(shape) > LARGEST:
            raise refuse(eqn, "it has too many updates")
        zero, unit = np.zeros(shape), np.eye(size).reshape(size, *p.shape(ids[2]))
        place = lambda u: eqn.primitive.bind(zero, args[1], u, **params)  # noqa: E731
        with jax.ensure_compile_time_eval():
            goes = np.asarray(jax.vmap(place)(jax.numpy.asarray(unit)))
        ids[2] = p.reshape(ids[2], (size, *(1 for _ in shape)))
        spread = p.emit("mul", (p.const(goes), ids[2]), key="hides", hides=True)  # NaN goes to its own place only
        return p.add(ids[0], p.sum(spread, (0,)))
