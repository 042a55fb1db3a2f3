"""Every picture: what it draws, on the axes that it is given; tests/pictures.py writes them for a person to look at."""

import dataclasses
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.history import History
from jaxglobal.plot.landscapes import basins, descended, evaluator

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
    fit = jg.curve_fit(line_and_wave, t, y, [(0, 3), (0, 8), (-1, 1)], progress=False)
    return {
        "one": jg.minimize(wave, [(-5, 6)], progress=False),
        "two": jg.minimize(peaks, [(-5, 5.5), (-4, 5)], progress=False),
        "fit": fit,
        "profile": jg.profile(fit, pairs=[(0, 1)], progress=False),
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
        "profile": lambda: jg.plot.profile(pictures["profile"]["k"], ax=ax)[0],
        "contour": lambda: jg.plot.profile(pictures["profile"].contours[0], ax=ax)[0],
        "pairs": lambda: jg.plot.pairs(two, ax=ax)[0],
        "slices": lambda: jg.plot.slices(pictures["one"], wave, [(-5, 6)], ax=ax)[0],
    }[name]()


NAMES = [
    "landscape1", "landscape2", "waterfall", "levels", "minima", "fit", "profile", "contour", "pairs", "slices",
]  # fmt: skip


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
    basins = descended(np.asarray([wave(v) for v in x[:, None]]))
    every = jg.minimize(wave, [(-5, 6)], starts=jg.Grid(), max_levels=7, same=99, progress=False)
    assert len(np.unique(basins)) == len(every.minima)


def test_a_variable_that_is_fixed_leaves_a_picture_of_the_other(pictures):
    ax = jg.plot.landscape(pictures["two"], peaks, [(-5, 5.5), (1.25, 1.25)])
    x, y = ax.lines[0].get_data()
    np.testing.assert_allclose(y[::99], [peaks(np.array([v, 1.25])) for v in x[::99]], rtol=1e-4)
    assert ax.get_xlabel() == "x0" and ax.get_ylabel() == "value"


def test_wrong_arguments(pictures):
    with pytest.raises(ValueError, match="one or two variables"):
        jg.plot.landscape(pictures["one"], wave, [(-1, 1)] * 3)
    several = [pictures["two"]] * 2
    for wrong, message in [
        (lambda: jg.plot.waterfall(3), "minimize or curve_fit"),
        (lambda: jg.plot.minima(several), "one of them: list"),
        (lambda: jg.plot.landscape(None, wave, [(-1, 1)]), "minimize or curve_fit returned; got NoneType"),
        (lambda: jg.plot.fit(pictures["two"]), "what curve_fit returned"),
        (lambda: jg.plot.profile(pictures["fit"]), "what jaxglobal.profile returned"),
        (lambda: jg.plot.certificate(3), "what certify returned"),
    ]:
        with pytest.raises(TypeError, match=message):
            wrong()
    with pytest.raises(ValueError, match="`starts` must be a level of the search, below"):
        jg.plot.landscape(pictures["one"], wave, [(-5, 6)], starts=99)
    with pytest.raises(ValueError, match="`bounds` must leave a variable free"):
        jg.plot.landscape(pictures["one"], wave, [(1, 1)])
    with pytest.raises(ValueError, match="those of 2 variables"):
        jg.plot.minima(pictures["two"], [(0, 1)])
    with pytest.raises(ValueError, match="at least two different"):
        jg.plot.pairs(pictures["two"], variables=[0, 0])


def test_says_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
import jaxglobal as jg
from jaxglobal.history import History
from jaxglobal.plot.landscapes import basins, descended, evaluator
result = jg.minimize(lambda x: ((x - 1) ** 2).sum(), [(-3, 4)], progress=False)
try:
    jg.plot.waterfall(result)
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 'pip install "jaxglobal[plot]"' in out.stdout, out.stderr


def test_a_curved_valley_is_one_basin():
    x = np.linspace(-2, 2, 90)
    points = np.stack(np.meshgrid(x, x + 1), axis=-1)
    values = evaluator(jg.problems.rosenbrock, [(-2, 2), (-1, 3)], ())
    z = values(points.reshape(-1, 2)).reshape(90, 90)
    assert len(np.unique(descended(z))) > 10 and len(np.unique(basins(z, values, points))) == 1


def test_pictures_of_pytrees_hosts_open_boxes_and_undefined_areas(pictures):
    import matplotlib.pyplot as plt

    def tree(p):
        return peaks(jnp.stack([p["a"], p["b"]]))

    box = jg.Box({"a": -5.0, "b": -4.0}, {"a": 5.5, "b": 5.0})
    two = dataclasses.replace(pictures["two"], x={"a": pictures["two"].x[0], "b": pictures["two"].x[1]})
    ax = jg.plot.landscape(two, tree, box)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")

    def outside(x):
        return jnp.sum((x - 6) ** 2) + jnp.log(x[0] + 4)

    far = dataclasses.replace(pictures["two"], x=np.array([6.0, 6.0]), minima=[jg.Minimum(np.array([6.0, 6]), 0, 1, 1)])
    ax = jg.plot.landscape(far, outside, [(-5, 5)] * 2)
    assert ax.get_xlim()[1] > 6 and ax.get_ylim()[1] > 6
    assert "not defined" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(ax.figure.axes) == 2  # a colour bar
    with jg.host(lambda x: float(np.sum((x - 1) ** 2))) as simulator:
        assert jg.plot.slices(pictures["one"], simulator, [(-5, 6)])[0].get_xlabel() == "x0"
    plt.close("all")


def test_axes_say_what_there_is(pictures):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2)
    left.set_xscale("log")
    t = np.geomspace(1e-3, 1, 30)
    sure = dataclasses.replace(
        pictures["fit"], data=pictures["fit"].data._replace(x=t, y=0.4 * t, w=np.full(30, 10.0)), fits=[]
    )
    jg.plot.fit(sure, ax=left)
    line = next(line for line in left.get_lines() if line.get_label() == "best fit").get_xdata()
    assert np.allclose(np.diff(np.log(line)), np.log(1e3) / 799) and left.containers  # error bars
    one = dataclasses.replace(pictures["one"], minima=pictures["one"].minima[:1])
    jg.plot.waterfall(one, ax=right)
    assert list(right.get_xticks()) == [1]
    flat = [dataclasses.replace(level, fun=5.0 + 1e-12 * level.index) for level in one.levels]
    ax = jg.plot.levels(dataclasses.replace(one, levels=flat))
    assert np.ptp(ax.get_ylim()) > 0.5
    plt.close("all")


def test_history_of_several_runs(pictures):
    import matplotlib.pyplot as plt

    for result in (pictures["two"], pictures["fit"].result):
        steps = result.history
        assert 1 <= len(steps) <= 300 and steps[-1].fun == result.fun and steps[-1].nfev == result.nfev
        assert all(a.fun >= b.fun and a.nfev <= b.nfev and a.time <= b.time for a, b in zip(steps, steps[1:]))  # noqa: B905
    left, right = jg.plot.history(
        {"mine": pictures["two"], "a peer": [(10, 0.1, 3.0), (500, 2.0, -1.9)]}, best=pictures["two"].fun
    )
    assert left.get_yscale() == "log" and (left.get_xlabel(), right.get_xlabel()) == ("evaluations", "seconds")
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["mine", "a peer"]
    with pytest.raises(TypeError, match="`results` must be"):
        jg.plot.history([3, 4])
    plt.close("all")
    kept = History()
    for k in range(5000):
        kept.note(k, 0.1 * k, -float(k))
    assert len(kept.steps) <= 256 and kept.steps[0].fun == 0 and kept.steps[-1].fun == -4999


def test_slices_of_whole_numbers_and_choices():
    def fun(x):
        assert x.shape == (3,)
        return (x[0] - 3) ** 2 + 4 * jnp.cos(3 * x[1]) + (x[2] - x[1]) ** 2

    sizes = jg.Choice([0.2, 0.5, 1.1, 2.4])
    bounds, whole = [(-2.4, 8.7), sizes, (-1.0, 3.0)], [True, False, False]
    result = jg.minimize(fun, bounds, integrality=whole, max_evals=3000, progress=False)
    drawn = jg.plot.slices(result, fun, bounds, integrality=whole)
    first, second, third = (one.get_lines()[0] for one in drawn)
    np.testing.assert_array_equal(first.get_xdata(), np.arange(-2, 9))
    np.testing.assert_allclose(second.get_xdata(), sizes.values, rtol=1e-6)
    np.testing.assert_allclose(second.get_ydata()[1], float(fun(jnp.array([3.0, 0.5, result.x[2]]))), rtol=1e-4)
    assert first.get_drawstyle() == second.get_drawstyle() == "steps-mid" and third.get_drawstyle() == "default"
    assert jg.plot.minima(result, bounds) is not None
    with pytest.raises(TypeError, match="`bounds` must be numbers here"):
        jg.plot.landscape(result, fun, bounds)
