"""Factors of small matrices, and systems with them, as a lowering writes them: entry by entry; see linear.py."""

from jaxglobal.proof import linear
from jaxglobal.proof.refused import Withheld, refuse
from jaxglobal.proof.writer import Writer


class Matrices(Writer):
    """A rule for each primitive, by its name."""

    def _cholesky(self, eqn, args, ids, shape, params):
        if shape[-1] > linear.LARGEST:
            raise refuse(eqn, f"its matrix has more than {linear.LARGEST} rows")
        return linear.each(self.program, 2, ids, lambda a: linear.cholesky(self.program, a))

    def _triangular_solve(self, eqn, args, ids, shape, params):
        p, (a, b), lower = self.program, ids, params["lower"]
        if p.shape(a)[-1] > linear.LARGEST:
            raise refuse(eqn, f"its matrix has more than {linear.LARGEST} rows")
        turned = lambda i: p.transpose(i, (*range(len(p.shape(i)) - 2), len(p.shape(i)) - 1, len(p.shape(i)) - 2))  # noqa: E731
        if params["transpose_a"] == params["left_side"]:
            a, lower = turned(a), not lower
        b = b if params["left_side"] else turned(b)
        rule = lambda a, b: linear.triangular(p, a, b, lower, params["unit_diagonal"])  # noqa: E731
        out = linear.each(p, 2, (a, b), rule)
        return out if params["left_side"] else turned(out)

    def _lu(self, eqn, args, ids, shape, params):
        return [Withheld(refuse(eqn, "its factors depend on pivots, which depend on x"))] * len(eqn.outvars)
