"""Pictures of a proof; what is drawn is in proof/picture.py."""

from typing import Any

from jaxglobal.plot import axes
from jaxglobal.proof import Certificate, picture


def certificate(certificate: Certificate, variables: tuple[int, int] = (0, 1), ax: Any = None) -> Any:
    """The boxes of a proof, coloured by when they were dropped, those that are left hatched, and the minimisers.

    Args:
        certificate: what `certify` returned.
        variables: the two that are drawn; boxes of more variables lie over each other. One of one variable is a strip,
            as is one of two of which the bounds fix one.
        ax: axes to draw on; None makes new ones.

    Returns:
        The axes.

    Raises:
        TypeError: it is no certificate.
        ValueError: these are no two variables of it, or both are fixed.
    """
    if not isinstance(certificate, Certificate):
        raise TypeError(f"`certificate` must be what certify returned; got {type(certificate).__name__}.")
    low, high = certificate.bounds
    n, chosen = len(low), (0,) if len(low) == 1 else tuple(variables)
    if n > 1 and (len(set(chosen)) != 2 or len(chosen) != 2 or not set(chosen) <= set(range(n))):
        raise ValueError(f"`variables` must be two different numbers from 0 to {n - 1}; got {variables!r}.")
    drawn = [i for i in chosen if high[i] > low[i]]
    if not drawn:
        raise ValueError(f"`certificate` must have a variable to draw that may move; {variables!r} are fixed.")
    ax = axes.made(ax)
    picture.draw(certificate, ax, axes.ink(ax), drawn, axes.names(certificate))
    if ax.get_legend_handles_labels()[0]:
        axes.legend(ax)
    return axes.tidy(ax)
