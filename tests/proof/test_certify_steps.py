"""certify where a function has steps: tables that are looked up, cells, periods, and conditions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from jax.scipy.ndimage import map_coordinates

import jaxglobal as jg

pytestmark = float64_only
TABLE = np.random.default_rng(7).standard_normal((6, 7))
BOX = [(0.1, 4.7), (0.2, 5.6)]


def cells(x):
    """A table between its entries, by the cell of x."""
    i = jnp.floor(x).astype(int)
    t, table = x - i, jnp.asarray(TABLE)
    low = (1 - t[1]) * table[i[0], i[1]] + t[1] * table[i[0], i[1] + 1]
    high = (1 - t[1]) * table[i[0] + 1, i[1]] + t[1] * table[i[0] + 1, i[1] + 1]
    return (1 - t[0]) * low + t[0] * high


def searched(x):
    i, j = (jnp.searchsorted(jnp.arange(float(n)), v, side="right") - 1 for n, v in zip((6, 7), x, strict=True))
    t, s, table = x[0] - i, x[1] - j, jnp.asarray(TABLE)
    low, high = ((1 - s) * table[i + k, j] + s * table[i + k, j + 1] for k in (0, 1))
    return (1 - t) * low + t * high


def mapped(x):
    return map_coordinates(jnp.asarray(TABLE), [x[0], x[1]], order=1)


@pytest.mark.parametrize("fun", [cells, searched, mapped])
def test_a_table_in_two_coordinates(fun):
    certificate = jg.certify(fun, BOX, result=np.array([1.0, 3.0]), max_boxes=4000, progress=False)
    inside = TABLE[1:5, 1:6]
    at = np.unravel_index(np.argmin(inside), inside.shape)
    assert certificate.proven and abs(certificate.upper - inside.min()) < 1e-7, certificate
    held = [np.all(m.lower <= np.add(at, 1)) and np.all(m.upper >= np.add(at, 1)) for m in certificate.minimizers]
    assert any(held)


def wrapped(x):
    """An angle that turns, least where it is nearly one."""
    return jnp.arctan2(jnp.sin(x[0] - 1), jnp.cos(x[0] - 1)) ** 2 + 0.01 * x[0]


def guarded(x):
    """x log x, with its argument chosen so that the logarithm has no pole."""
    return jnp.sum(jax.scipy.special.rel_entr(x, jnp.array([0.2, 0.3])))


def chosen(x):
    """Three pieces, the lowest value where two of them meet."""
    return jnp.select([x[0] < 0, x[0] < 1], [x[0] ** 2, -x[0]], 2 * (x[0] - 1) - 1)


STEPS = {  # function, box, minimiser, and boxes that are enough
    "an angle": (wrapped, [(-5, 2.4)], [0.995], 200),
    "where pieces meet": (chosen, [(-1, 3)], [1.0], 200),
    "a guarded logarithm": (guarded, [(0, 1)] * 2, [0.2 / np.e, 0.3 / np.e], 2000),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_taken_case_by_case(name):
    fun, box, x, enough = STEPS[name]
    certificate = jg.certify(fun, box, result=np.array(x), tol=1e-7, max_boxes=enough, progress=False)
    assert certificate.lower > certificate.upper - 1e-6 and any(
        np.all(m.lower - 1e-6 <= x) and np.all(x <= m.upper + 1e-6) for m in certificate.minimizers
    ), certificate


def test_a_bessel_function_of_what_may_be_infinite_is_not_cut_off():
    """SciPy's values at infinity are NaN; two minima, one of which was dropped."""

    def fun(x):
        return (x[0] * jax.scipy.special.i1(1 / x[0]) - 1) ** 2 * (x[0] - 1.9) ** 2

    certificate = jg.certify(fun, [(0.0, 2.0)], result=np.array([1.9]), max_boxes=20000, progress=False)
    for x in (0.402119, 1.9):
        assert any(
            m.lower[0] - 1e-3 <= x <= m.upper[0] + 1e-3 for m in [*certificate.minimizers, *certificate.undecided]
        )


def test_shapes_of_which_values_are_not_known_well_are_refused():
    with pytest.raises(NotImplementedError, match="in .0, 1000."):
        jg.certify(lambda x: jax.scipy.special.gammainc(3e6, x[0]), [(2.9e6, 3e6)], progress=False)
