"""Pictures of a proof; what is drawn is in proof/picture.py."""

from typing import Any

from jaxglobal.plot import axes
from jaxglobal.proof import Certificate, picture


def certificate(certificate: Certificate, variables: tuple[int, int] = (0, 1), ax: Any = None) -> Any:
    """The boxes of a proof, coloured by when they were dropped, those that are left hatched, and the minimisers.

    Args:
        certificate: what `certify` returned.
        variables: the two that are drawn; boxes of more variables lie over each other. One of one variable is a strip.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.
    """
    if not isinstance(certificate, Certificate):
        raise TypeError(f"`certificate` must be what certify returned; got {type(certificate).__name__}.")
    ax = axes.made(ax)
    picture.draw(certificate, ax, axes.ink(ax), variables)
    ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2, columnspacing=1)
    return axes.tidy(ax)
