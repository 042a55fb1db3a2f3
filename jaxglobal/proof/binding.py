"""What constraints add to the tests of a box: where they are loose, and sums of fun and rows where they bind."""

import numpy as np

from jaxglobal.proof import intervals as iv
from jaxglobal.proof.batch import Batch
from jaxglobal.proof.intervals import INF, Interval
from jaxglobal.proof.model import Values


class Binding(Batch):
    """A batch of boxes of a search under constraints, or without.

    Attributes:
        points: the function and the rows at the points of the boxes that were last looked at.
    """

    points: Values

    def constrained(self, seen: Values, c: np.ndarray, f: Interval, weighted: bool) -> None:
        """What the constraints allow in each box, and what is needed for sums of rows; c: points, f: fun there."""
        rows, kept, at = self.model.rows, seen.rows, self.points.rows
        if rows is None or kept is None or at is None:
            return
        J, usable = self.model.row_slopes(seen)
        above, below, fine = kept.above, kept.below, kept.smooth & usable
        apart = ~rows.depends.T[..., None]  # (n, m, 1)
        down = (apart | (below | (J.lo > 0)) & (above | (J.hi < 0))).all(1) & fine
        up = (apart | (below | (J.hi < 0)) & (above | (J.lo > 0))).all(1) & fine
        self.more = {"loose": kept.loose, "down": down, "up": up}
        if weighted:
            known = fine & at.safe
            self.more |= {
                "J.lo": np.where(known, J.lo, -INF), "J.hi": np.where(known, J.hi, INF), "c": c, "f": f.lo,
                "rows.lo": np.where(known, at.c.lo, -INF), "rows.hi": np.where(known, at.c.hi, INF),
            }  # fmt: skip

    def weighted(self, w: np.ndarray) -> None:
        """Narrows by the mean value form of w[0] fun + w[1:] (c - bound), which is at most w[0] cut."""
        rows, more, used = self.model.rows, self.more, w[1:] != 0
        if rows is None or "c" not in more or not used.any():
            return
        bound = np.where(w[1:] > 0, rows.upper, rows.lower)[used]
        b, v = (Interval(*2 * (part[:, None],)) for part in (bound, w[1:][used]))
        terms = iv.mul(v, iv.sub(Interval(more["rows.lo"][used], more["rows.hi"][used]), b))
        slopes = iv.mul(Interval(*2 * (v.lo[None],)), Interval(more["J.lo"][:, used], more["J.hi"][:, used]))
        f, G = iv.total(terms, (0,)), iv.total(slopes, (1,))
        if w[0] > 0:
            own = Interval(*2 * (np.full(1, w[0]),))
            f, G = iv.add(iv.mul(own, Interval(more["f"], more["f"])), f), iv.add(iv.mul(own, self.G), G)
        most = float(iv.up(np.asarray(w[0] * self.cut))) if w[0] > 0 else 0.0
        self.mean_value(f, more["c"], G, most, w[0] == 1)

    def feasible(self, upper: np.ndarray) -> np.ndarray:
        """The values at points that keep the constraints; where none does, that of the one that is nearest to it."""
        rows, at = self.model.rows, self.points.rows
        if rows is None or at is None:
            return upper
        value = np.where(at.all, upper, INF)
        if np.isfinite(value).any():
            return value
        lower, top = rows.lower[:, None], rows.upper[:, None]
        lack = np.maximum(np.fmax(at.c.lo - top, lower - at.c.hi), 0.0)
        lack = (lack / (1.0 + np.where(np.isfinite(lower), abs(lower), 0.0))).max(0, initial=0.0)
        lack = np.where((upper < self.cut) & at.safe & (lack == lack), lack, INF)
        if (lack == 0).any():  # as far as its enclosure tells
            return np.where(lack == 0, upper, INF)
        j = int(np.argmin(lack))
        value[j] = upper[j] if lack[j] < INF else INF
        return value
