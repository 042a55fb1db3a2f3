"""What the tests of fits share."""

import pytest


@pytest.fixture
def tol(x64):
    """Relative to the errors of the parameters."""
    return 1e-4 if x64 else 0.05
