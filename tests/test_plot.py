"""Every picture: what it draws, on the axes that it is given; tests/pictures.py writes them for a person to look at."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def wave(x):
    return jnp.sum(jnp.sin(3 * x) + 0.1 * (x - 1) ** 2)


def peaks(x):
    return jnp.sum(0.1 * x**2 - jnp.cos(2.5 * x)) + 0.3 * jnp.sin(x[0] * x[1])


def line_and_wave(t, a, k, c):
    return a * jnp.sin(k * t) + c * t


@pytest.fixture(scope="module")
def pictures():
    """A search in one variable, one in two, and a fit."""
    t = np.linspace(0, 6, 50)
    y = np.asarray(line_and_wave(t, 1.5, 3.1, 0.4)) + 0.3 * np.random.default_rng(0).standard_normal(50)
    return {
        "one": jg.minimize(wave, [(-5, 6)], progress=False),
        "two": jg.minimize(peaks, [(-5, 5.5), (-4, 5)], progress=False),
        "fit": jg.curve_fit(line_and_wave, t, y, [(0, 3), (0, 8), (-1, 1)], progress=False),
    }


def draw(name, pictures, ax=None):
    two, fit = pictures["two"], pictures["fit"]
    return {
        "landscape1": lambda: jg.plot.landscape(pictures["one"], wave, [(-5, 6)], ax=ax),
        "landscape2": lambda: jg.plot.landscape(two, peaks, [(-5, 5.5), (-4, 5)], ax=ax),
        "waterfall": lambda: jg.plot.waterfall(two, ax=ax),
        "levels": lambda: jg.plot.levels(two, ax=ax),
        "minima": lambda: jg.plot.minima(two, [(-5, 5.5), (-4, 5)], ax=ax),
        "fit": lambda: jg.plot.fit(fit, ax=ax),
    }[name]()


NAMES = ["landscape1", "landscape2", "waterfall", "levels", "minima", "fit"]


@pytest.mark.parametrize("style", ["default", "dark_background"])
@pytest.mark.parametrize("name", NAMES)
def test_draws_on_the_axes_that_it_is_given(name, style, pictures):
    import matplotlib.pyplot as plt

    with plt.style.context(style):
        figure, ax = plt.subplots()
        assert draw(name, pictures, ax) is ax
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        assert ax.get_xlabel() or name == "minima"
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
        dark = np.mean(pixels[0]) < 128
        assert dark == (style == "dark_background")
        plt.close(figure)
    own = draw(name, pictures)
    assert own.figure is not figure
    plt.close("all")


def test_basins_are_those_of_the_minima():
    x = np.linspace(-5, 6, 400)
    basins = jg.plot._basins(np.asarray([wave(v) for v in x[:, None]]))
    every = jg.minimize(wave, [(-5, 6)], starts=jg.Grid(), max_levels=7, same=99, progress=False)
    assert len(np.unique(basins)) == len(every.minima)


def test_wrong_arguments(pictures):
    with pytest.raises(ValueError, match="one or two variables"):
        jg.plot.landscape(pictures["one"], wave, [(-1, 1)] * 3)
    with pytest.raises(TypeError, match="minimize or curve_fit"):
        jg.plot.waterfall(3)


def test_says_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
import jaxglobal as jg
result = jg.minimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)], progress=False)
try:
    jg.plot.waterfall(result)
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "jaxglobal[plot]"' in out.stdout, out.stderr
