"""What the tests of proofs share."""

import numpy as np

import jaxglobal as jg


def prove(fun, bounds, *args, **options):
    options = {"max_time": 30, "progress": False} | options
    return jg.certify(fun, bounds, *args, **options)


def check(certificate, fmin, minimizers=None, n=None):
    """The bounds hold the known minimum, and the boxes its places."""
    assert certificate.lower <= fmin <= certificate.upper, certificate
    for place in minimizers or []:
        place = np.atleast_1d(np.asarray(place, float))
        held = [np.all(m.lower - 1e-3 <= place) and np.all(place <= m.upper + 1e-3) for m in certificate.minimizers]
        left = certificate.undecided
        held += list(np.all((left.lower <= place) & (place <= left.upper), axis=1))
        assert any(held), (place, certificate)
