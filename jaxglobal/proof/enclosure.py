"""What is known of a value in a box: its bounds, where it may be NaN, and where it may be discontinuous.

"Undefined" is what JAX calls NaN, and a division by zero; "jump" is a discontinuity in the box or on its face, since a
proof about a box reaches its neighbours. The bounds are those of the values where there are some.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxglobal.proof import moves
from jaxglobal.proof.intervals import Interval
from jaxglobal.proof.node import BY_ENTRY, Node

ALONG = {"sum", "lse", "ranked", "sort", "softmax"}  # operations that mix entries along some axes only


class Enclosure(NamedTuple):
    """What is known of a value in each box.

    Attributes:
        lo: lower ends, with the batch of boxes as last axis.
        hi: upper ends.
        nan: where it may be undefined somewhere in the box, by entry and box; False nowhere.
        jump: where it may jump, by box; False nowhere.
        edge: of a condition, where the two sides that it compares may be equal, by box; False nowhere.
        never: where it is NaN at every point of the box, by entry and box; False nowhere.
    """

    lo: Any
    hi: Any
    nan: Any = False
    jump: Any = False
    edge: Any = False
    never: Any = False

    @property
    def nans(self) -> Any:
        """Where an entry may be undefined, by box; False nowhere."""
        return by_box(self.nan)

    @property
    def interval(self) -> Interval:
        """The ends alone."""
        return Interval(self.lo, self.hi)


def either(p: Any, q: Any) -> Any:
    """P or q, where False is False everywhere."""
    return q if p is False else p if q is False else p | q


def by_box(mask: Any) -> Any:
    """Whether a mask holds anywhere, by box; False where it holds in none."""
    if mask is False:
        return False
    mask = mask.any(tuple(range(mask.ndim - 1))) if mask.ndim > 1 else mask
    return mask if mask.any() else False


def some(mask: Any) -> Any:
    """A mask; False where it holds nowhere."""
    return mask if mask is not False and mask.any() else False


def perhaps(a: Enclosure) -> Any:
    """Where an entry is undefined at some points of the box and not at others, by box; False nowhere."""
    return a.nans if a.never is False else by_box(a.nan & ~a.never)


def constant(node: Node) -> Enclosure:
    """That of a constant."""
    value: Any = node.value
    lo, hi = value
    return Enclosure(lo, hi, node.nan, False, False, node.never)


def filled(node: Node, mask: Any) -> Any:
    """A mask with all entries of a value."""
    return mask if mask is False else np.broadcast_to(mask, (*node.shape, mask.shape[-1]))


def carried(node: Node, ins: list[Enclosure], masks: list[Any]) -> Any:
    """Masks of the operands' entries, or False, as one of the entries of the result that are made of them."""
    if all(mask is False for mask in masks):
        return False
    if node.op == "move":
        none = (np.zeros(operand.lo[..., :1].shape, bool) for operand in ins)
        return some(moves.forward(node, [n if mask is False else mask for n, mask in zip(none, masks, strict=True)]))
    out: Any = False
    for mask in masks:
        out = either(out, mask if node.op in BY_ENTRY or node.op in ALONG else by_box(mask))
    if node.op in ("sum", "lse"):
        return some(out.any(node.params["axes"]))
    if node.op == "ranked":
        out = out.any(node.params["axis"] - 1, keepdims=True)
    if node.op in ("sort", "softmax"):
        out = out.any(node.params["axis" if node.op == "sort" else "axes"], keepdims=True)
    return filled(node, out)


def handed_on(node: Node, ins: list[Enclosure]) -> list[Any]:
    """Where the operands are never defined, of a factor only where the other one is no zero."""
    masks = [operand.never for operand in ins]
    if node.op == "mul":
        for k, other in enumerate(ins[::-1]):
            if masks[k] is not False:
                masks[k] = some(masks[k] & ((other.lo > 0) | (other.hi < 0) | other.never))
    return masks
