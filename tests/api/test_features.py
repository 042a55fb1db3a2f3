"""What each entry point takes: the features that all share, and the sentence where one does not have them.

A feature is here where an entry point has it by its signature; that it works is tested with the entry point.
"""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

T = np.linspace(0, 1, 8)
BOX = [(-1.0, 2.0)] * 2
CALLS = {
    "minimize": lambda **more: jg.minimize(bowl, BOX, **more),
    "levels": lambda **more: jg.levels(bowl, BOX, **more),
    "minimize_many": lambda **more: jg.minimize_many(lambda x, a: bowl(x) + a, BOX, np.zeros(2), **more),
    "argmin": lambda **more: jg.argmin(bowl, BOX, **more),
    "Search": lambda **more: jg.Search(BOX, **more),
    "curve_fit": lambda **more: jg.curve_fit(line, T, T, BOX, **more),
    "curve_fit_many": lambda **more: jg.curve_fit_many(line, T, np.stack([T, T]), BOX, **more),
}
# y: taken. .: refused in a sentence.
TABLE = """
               minimize levels minimize_many argmin Search curve_fit curve_fit_many
max_time       y        y      y             .      y      y         y
max_evals      y        y      y             .      y      y         y
target         y        y      y             .      y      .         .
callback       y        y      y             .      y      y         y
checkpoint     y        y      y             .      y      y         y
unseen         y        y      y             .      .      .         .
devices        y        y      y             .      .      .         .
integrality    y        y      y             y      y      y         y
constraints    y        y      y             y      y      y         y
ctol           y        y      y             y      y      y         y
"""
ROWS = [row.split() for row in TABLE.strip().splitlines()]
CELLS = [(name, entry, cell) for name, *cells in ROWS[1:] for entry, cell in zip(ROWS[0], cells, strict=True)]


def bowl(x):
    return jnp.sum((x - 1) ** 2)


def line(t, a, b):
    return a + b * t


@pytest.mark.parametrize("name, entry, cell", CELLS)
def test_a_feature_is_taken_or_refused_in_a_sentence(name, entry, cell):
    if cell == "y":
        assert name in inspect.signature(getattr(jg, entry)).parameters
        return
    with pytest.raises(TypeError, match=f"^{entry} takes no `{name}`: .*minimize"):
        CALLS[entry](**{name: None})


def test_the_table_is_of_all_that_the_sentences_know():
    known = {name for name, _, _ in CELLS}
    assert known == set(jg.nearest.ELSEWHERE)
