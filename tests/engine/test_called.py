"""What a host function returned at a point of whole numbers is kept, up to a bound."""

import numpy as np

from jaxglobal.engine import called


def test_the_first_points_are_forgotten_and_the_others_stored(monkeypatch):
    monkeypatch.setattr(called, "MOST", 3)
    known, points = called.Called(2), np.arange(8.0).reshape(4, 2)
    for k, x in enumerate(points):
        known.put(k % 2, x, np.array([k, -k]))
    again = called.Called(2)
    again.load(known.save())
    for one in (known, again):
        assert one.get(0, points[0]) is None and one.get(0, points[1]) is None
        assert all(one.get(k % 2, points[k])[0] == k for k in (1, 2, 3))
    empty = called.Called(2)
    empty.load(called.Called(2).save())
    assert empty.get(0, points[0]) is None
    again.clear()
    assert again.get(1, points[3]) is None
