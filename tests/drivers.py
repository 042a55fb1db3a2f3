"""Searches that no rule ends, which tests of limits and lanes share."""

import jaxglobal as jg

BOX = [(-4.0, 5.12)] * 2


def rastrigin(x):
    return jg.problems.rastrigin(x)


def endless(**options):
    """A search that no rule ends by itself."""
    return jg.minimize(rastrigin, BOX, same=100, progress=False, **{"starts": jg.Grid()} | options)
