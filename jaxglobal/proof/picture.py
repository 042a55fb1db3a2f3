"""The picture of a proof: what was dropped, coloured by when.

The boxes are drawn in the order in which they were tested, each with the colour of its time: what is not drawn over was
dropped by that test.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxglobal.proof.certificate import Certificate

DRAWN = 8000  # boxes


def draw(certificate: Certificate, ax: Any, ink: Any, variables: Sequence[int], names: Sequence[str]) -> None:
    """Draws the boxes of two variables, or along one; see `jaxglobal.plot.certificate`. names: of all variables."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    tested, left = certificate.tested, certificate.undecided
    low, high = certificate.bounds
    one = len(variables) == 1
    i, j = variables[0], variables[-1]
    sides = lambda lo, hi: [  # noqa: E731
        Rectangle((a[i], 0.0 if one else a[j]), b[i] - a[i], 1.0 if one else b[j] - a[j])
        for a, b in zip(lo, hi, strict=True)
    ]
    pick = np.linspace(0, len(tested.when) - 1, min(len(tested.when), DRAWN)).astype(int)
    boxes = PatchCollection(
        sides(tested.lower[pick], tested.upper[pick]), cmap="cividis", lw=0.4, edgecolor=(1, 1, 1, 0.5)
    )
    last = max(int(tested.when[-1]) if len(tested.when) else 0, 1)
    boxes.set_array(np.log1p(tested.when[pick]) / np.log1p(last))
    boxes.set_clim(0, 1)
    ax.add_collection(boxes)
    rest = PatchCollection(
        sides(left.lower[:DRAWN], left.upper[:DRAWN]), facecolor="none", edgecolor=ink, hatch="///", lw=0.3
    )
    ax.add_collection(rest)
    for unique, colour, marker, label in (
        (True, "#e69f00", "D", "one minimiser"),
        (False, "#56b4e9", "o", "undecided"),
    ):
        centres = np.array(
            [0.5 * (flat(m.lower) + flat(m.upper)) for m in certificate.minimizers if m.unique == unique]
        ).reshape(-1, len(low))
        if len(centres):
            y = np.full(len(centres), 0.5) if one else centres[:, j]
            ax.plot(
                centres[:, i], y, marker, ms=8, color=colour, mec="black", mew=0.7, ls="", label=label, clip_on=False
            )
    ax.set(xlim=(low[i], high[i]), xlabel=names[i])
    ax.set(ylim=(0, 1), yticks=[]) if one else ax.set(ylim=(low[j], high[j]), ylabel=names[j])
    bar = ax.figure.colorbar(boxes, ax=ax, ticks=[0, 1], pad=0.02)
    bar.ax.set_yticklabels(["first", "last"])
    bar.set_label("dropped")
    kind = "proven" if certificate.proven else "not proven"
    boxes = f"{certificate.nboxes:,} box{'es' * (certificate.nboxes != 1)}"
    ax.set_title(f"{kind}: {certificate.lower:.6g} to {certificate.upper:.6g}, {boxes}", fontsize="medium")


def flat(x: Any) -> np.ndarray:
    """The variables one after another."""
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(x)])
