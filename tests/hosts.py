"""What the tests of searches by Python share."""

import jaxglobal as jg

BOX = [(-5.0, 5.0)] * 2


def solve(fun, bounds=BOX, **options):
    """From plain starts, whose searches are as many as there are points."""
    return jg.minimize(fun, bounds, **({"progress": False, "max_levels": 3, "starts": jg.Grid()} | options))
