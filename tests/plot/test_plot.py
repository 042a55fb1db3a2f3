"""Every picture: what it draws, on the axes that it is given; pictures.py writes them for a person to see."""

import dataclasses
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.history import History
from jaxglobal.plot import fits
from jaxglobal.plot.evaluated import evaluator
from jaxglobal.plot.landscapes import basins, descended

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


def wave(x):
    return jnp.sum(jnp.sin(3 * x) + 0.1 * (x - 1) ** 2)


def peaks(x):
    return jnp.sum(0.1 * x**2 - jnp.cos(2.5 * x)) + 0.3 * jnp.sin(x[0] * x[1])


RING = [jg.Constraint(lambda x: jnp.sum(x**2), 4.0, 16.0), jg.Constraint(lambda x: x[0] + 2 * x[1], 1.0, 1.0)]
SPENT = {"jaxglobal": [90, 240, 400, 700], "another": [300, np.inf, 2000, 8000], "third": [60, np.inf, 80, np.inf]}


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
        "constrained": lambda: jg.plot.landscape(two, peaks, [(-5, 5.5), (-4, 5)], ax=ax, constraints=RING),
        "data_profile": lambda: jg.plot.data_profile(SPENT, ax=ax, until=9e3),
    }[name]()


NAMES = [
    "landscape1", "landscape2", "waterfall", "levels", "minima", "fit", "profile", "contour", "pairs", "slices",
    "constrained", "data_profile",
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
        (lambda: jg.plot.minima(several), "got list, which has several"),
        (lambda: jg.plot.landscape(None, wave, [(-1, 1)]), "minimize or curve_fit returned; got NoneType"),
        (lambda: jg.plot.fit(pictures["two"]), "what curve_fit returned"),
        (lambda: jg.plot.profile(pictures["fit"]), "what jaxglobal.profile returned"),
        (lambda: jg.plot.certificate(3), "what certify returned"),
        (lambda: jg.plot.waterfall(pictures["two"], ax=3), "`ax` must be Axes of matplotlib, a single one; got int"),
        (lambda: jg.plot.slices(pictures["one"], None, [(-5, 6)]), "`fun` must be the function that was minimised"),
        (lambda: jg.plot.slices(pictures["one"], lambda x: float(x[0]), [(-5, 6)]), "`fun` must be a JAX function"),
        (lambda: jg.plot.slices(pictures["one"], jnp.sin, [(-5, 6)]), "`fun` must return a scalar"),
        (lambda: jg.plot.slices(pictures["one"], lambda x, a: x[0], [(-5, 6)]), "take x and the 0 further arguments"),
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
    with pytest.raises(ValueError, match="at least two different ones of 2 .x0, x1.; got 5"):
        jg.plot.pairs(pictures["two"], variables=5)
    with pytest.raises(ValueError, match="at least two variables for pairs; got one"):
        jg.plot.pairs(pictures["one"])
    with pytest.raises(ValueError, match="`results` must have at least one run"):
        jg.plot.history({})


@pytest.mark.long
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


def drawn_by(ax, gid):
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def is_hatched(ax, *point):
    """Whether a point lies in the infeasible area of a landscape of two variables: inside an odd number of its rims."""
    from matplotlib.contour import ContourSet
    from matplotlib.path import Path

    areas = [c for c in ax.get_children() if isinstance(c, ContourSet) and c.filled and c.hatches[0] == "\\" * 3]
    rims = [Path(rim) for area in areas for path in area.get_paths() for rim in path.to_polygons()]
    return sum(rim.contains_point(point) for rim in rims) % 2 == 1


BOX = [(-3.0, 3.0), (-2.0, 4.0)]


@pytest.fixture(scope="module")
def ringed():
    """A search in a ring of two variables, whose radii are an argument."""
    fun, ring = lambda x, r: peaks(x) + 0.0 * r, jg.Constraint(lambda x, r: jnp.sum((x / r) ** 2), 1.0, 4.0)
    return fun, ring, jg.minimize(fun, BOX, 1.0, constraints=ring, max_levels=2, progress=False)


def test_a_landscape_shows_where_constraints_are_violated(ringed):
    import matplotlib.pyplot as plt
    import scipy.optimize

    fun, ring, result = ringed
    ax = jg.plot.landscape(result, fun, BOX, 1.0, constraints=ring)
    assert "infeasible" in texts(ax) and "best minimum" in texts(ax)
    assert is_hatched(ax, 0.0, 0.0) and is_hatched(ax, 2.5, 2.5) and not is_hatched(ax, 1.5, 0.0)
    wide = jg.plot.landscape(result, fun, BOX, 0.5, constraints=ring)
    assert not is_hatched(wide, 0.7, 0.0)

    box = jg.Box({"a": -3.0, "b": -2.0}, {"a": 3.0, "b": 4.0})
    tree = dataclasses.replace(result, x={"a": result.x[0], "b": result.x[1]})
    own = jg.Constraint(lambda p: p["a"] - p["b"], upper=0.0)
    ax = jg.plot.landscape(tree, lambda p: p["a"] ** 2 + p["b"], box, constraints=[own])
    assert is_hatched(ax, 2.0, 0.0) and not is_hatched(ax, 0.0, 2.0)
    for scipys in (
        scipy.optimize.LinearConstraint([[1, -1]], -np.inf, 0),
        scipy.optimize.NonlinearConstraint(lambda x: x[0] - x[1], -np.inf, 0),
    ):
        ax = jg.plot.landscape(result, fun, BOX, 1.0, constraints=scipys)
        assert is_hatched(ax, 2.0, 0.0) and not is_hatched(ax, 0.0, 2.0)
    with pytest.raises(TypeError, match="`constraints` must be a jaxglobal.Constraint"):
        jg.plot.landscape(result, fun, BOX, 1.0, constraints=3)
    plt.close("all")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_the_infeasible_area_looks_different(style, ringed):
    import matplotlib.pyplot as plt

    fun, ring, result = ringed
    shown = []
    with plt.style.context(style):
        for constraints in (None, ring):
            ax = jg.plot.landscape(result, fun, BOX, 1.0, constraints=constraints)
            ax.figure.canvas.draw()
            shown.append(np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].astype(float))
            shape = shown[-1].shape[0]
            x, y = np.rint(ax.transData.transform((-2.6, 0.3))).astype(int)
    patch = [image[shape - y - 15 : shape - y + 15, x - 15 : x + 15] for image in shown]
    dark = style == "dark_background"
    assert np.mean(np.abs(patch[1] - patch[0])) > 20 and (np.mean(patch[1]) < np.mean(patch[0])) == dark
    plt.close("all")


def test_an_equality_is_a_line_where_it_is(ringed):
    import matplotlib.pyplot as plt

    fun, _, result = ringed
    centre = np.array([0.3, 0.4])
    square = lambda x, r: jnp.sum((x - centre) ** 2)  # noqa: E731
    for constraint in (jg.Constraint(square, 1.0, 1.0), jg.Constraint(square, 1.0, 1.0001)):
        ax = jg.plot.landscape(result, fun, BOX, 1.0, constraints=constraint)
        line = np.concatenate([path.vertices for path in drawn_by(ax, "equality")[0].get_paths()])
        np.testing.assert_allclose(np.linalg.norm(line - centre, axis=1), 1, atol=1e-4)
        assert np.ptp(line[:, 0]) > 1.99 and "equality" in texts(ax) and "infeasible" not in texts(ax)
    # a value that is touched and not crossed, and a jump, at which there is no line
    twice = jg.Constraint(lambda x, r: (x[0] - 0.5 * x[1] ** 2) ** 2, 0.0, 0.0)
    pole = jg.Constraint(lambda x, r: 1 / (x[1] - 0.5), 1.0, 1.0)
    ax = jg.plot.landscape(result, fun, BOX, 1.0, constraints=[twice, pole])
    x, y = drawn_by(ax, "touched")[0].get_data()
    np.testing.assert_allclose(x, 0.5 * y**2, atol=0.02)
    assert len(x) > 100 and np.min(y) < -1.9
    line = np.concatenate([path.vertices for path in drawn_by(ax, "equality")[1].get_paths()])
    np.testing.assert_allclose(line[:, 1], 1.5, atol=1e-3)
    plt.close("all")


def test_constraints_of_one_variable_of_a_host_and_of_nothing_feasible(pictures, ringed):
    import matplotlib.pyplot as plt

    one, box = pictures["one"], [(-5.0, 6.0)]
    both = [jg.Constraint(lambda x: x[0] ** 2, lower=4.0), jg.Constraint(lambda x: (x[0] - 3) ** 2, 1.0, 1.0)]
    ax = jg.plot.landscape(one, wave, box, constraints=both)
    np.testing.assert_allclose(sorted(line.get_xdata()[0] for line in drawn_by(ax, "equality")), [2, 4], atol=1e-4)
    (span,) = drawn_by(ax, "infeasible")
    np.testing.assert_allclose([span.get_x(), span.get_x() + span.get_width()], [-2, 2], atol=1e-3)

    fun, _, result = ringed
    calls = []

    def simulate(x, r):
        calls.append(tuple(x))
        return float(x @ x), np.array([x[0]])

    ax = jg.plot.landscape(result, jg.host(simulate), BOX, 1.0, constraints=jg.Constraint(None, [0.5], [np.inf]))
    assert is_hatched(ax, 0.0, 0.0) and not is_hatched(ax, 1.0, 0.0) and len(set(calls)) == len(calls) == 1600

    nowhere = jg.Constraint(lambda x, r: jnp.sum(x**2), lower=100.0)
    none = jg.minimize(fun, BOX, 1.0, constraints=nowhere, max_levels=1, progress=False)
    ax = jg.plot.landscape(none, fun, BOX, 1.0, constraints=nowhere)
    assert not none.minima and "least violation" in texts(ax) and is_hatched(ax, 0.0, 0.0)
    plt.close("all")


def test_a_data_profile_is_the_share_of_problems_solved():
    import matplotlib.pyplot as plt

    spent = {"first": [30.0, 200, np.inf, 90], "second": np.array([10, np.inf, np.inf, 500])}
    ax = jg.plot.data_profile(spent, until={"first": 1000, "second": 400})
    one, other = ax.get_lines()
    x, y = one.get_data()
    assert [y[np.searchsorted(x, at, "right") - 1] for at in (29, 30, 150, 999)] == [0, 0.25, 0.5, 0.75]
    assert one.get_drawstyle() == "steps-post" and one.get_xdata()[-1] == 1000
    assert (other.get_xdata()[-1], other.get_ydata()[-1]) == (400, 0.25)  # what came later does not count
    assert texts(ax) == ["first: 75 %", "second: 25 %"] and ax.get_xlabel() == "evaluations"
    assert (
        jg.plot.data_profile(dict(reversed(spent.items())), ax=plt.figure().gca(), cost="seconds").get_xscale() == "log"
    )
    for wrong, error, message in [
        ([1, 2], TypeError, "`solved` must be a mapping"),
        ({"a": ["x"]}, TypeError, "inf where unsolved; got \\['x'\\] of 'a'"),
        ({"a": [1, 2], "b": [1]}, ValueError, "as many problems"),
        ({"a": [1, np.nan]}, ValueError, "positive, inf where unsolved; got nan of 'a' at index 1"),
        ({}, ValueError, "as many problems"),
    ]:
        with pytest.raises(error, match=message):
            jg.plot.data_profile(wrong)
    with pytest.raises(ValueError, match="`until` must have every solver"):
        jg.plot.data_profile(spent, until={"first": 3})
    plt.close("all")


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
    with pytest.raises(ValueError, match="one or two variables"):
        jg.plot.landscape(result, fun, bounds)


def test_a_landscape_of_whole_numbers_has_a_cell_for_each():
    import matplotlib.pyplot as plt

    def fun(x):
        return (x[0] - 1.3) ** 2 + jnp.cos(2 * x[1]) + 0.2 * (x[0] - x[1]) ** 2

    seen = []

    def simulate(x):
        seen.append(tuple(x))
        return float(fun(x))

    bounds = [(-2, 3), jg.Choice([0.2, 0.5, 1.1])]
    result = jg.minimize(fun, bounds, integrality=[True, False], max_evals=200, progress=False)
    ax = jg.plot.landscape(result, jg.host(simulate), bounds, integrality=[True, False])
    assert len(seen) == 18 and {x for x, _ in seen} == set(range(-2, 4))
    assert ax.get_xlim() == (-2.5, 3.5) and "box" not in texts(ax)

    box, sums = [(-2, 3)] * 2, jg.Constraint(lambda x: x[0] + x[1], 1.0, 1.0)
    ax = jg.plot.landscape(result, fun, box, integrality=True, constraints=sums)
    assert is_hatched(ax, 0.0, 0.0) and not is_hatched(ax, 0.0, 1.0) and "equality" not in texts(ax)
    ax = jg.plot.landscape(result, fun, box, integrality=[True, False], constraints=sums)
    line = np.concatenate([path.vertices for path in drawn_by(ax, "equality")[0].get_paths()])
    np.testing.assert_allclose(line[:, 1], 1 - np.rint(line[:, 0]), atol=1e-3)
    plt.close("all")


def test_the_next_local_fit_is_a_curve_too(pictures):
    """Few data: lines from one to the next would be no curve of the model."""
    fit = pictures["fit"]
    assert len(fit.fits) > 1
    ax = jg.plot.fit(fit)
    drawn = next(line for line in ax.lines if str(line.get_label()).startswith("next local fit"))
    assert len(drawn.get_xdata()) > 4 * len(fit.data.x)
    known = line_and_wave(jnp.asarray(drawn.get_xdata()), *fit.fits[1].popt)
    assert np.max(np.abs(drawn.get_ydata() - known)) < 1e-3


def test_a_profile_is_smooth_between_its_points():
    """That of a linear model is a parabola, in the picture too."""
    t = np.linspace(0, 1, 20)
    fit = jg.curve_fit(lambda t, a: a * t, t, 2 * t + 0.1 * np.cos(40 * t), [(0, 5)], progress=False)
    curve = jg.profile(fit, progress=False)["a"]
    (ax,) = jg.plot.profile(curve)
    drawn = next(line for line in ax.lines if line.get_label() == "profile")
    x, height = drawn.get_xdata(), drawn.get_ydata()
    seen = height < 2.6
    known = (curve.quadratic(x) - np.min(curve.fun)) / (curve.threshold - np.min(curve.fun))
    assert np.sum(seen) > 50 and np.max(np.abs(height - known)[seen]) < 0.02


def test_curves_and_contours_have_no_corners_at_their_points():
    values = np.array([-3, -1.2, -1, -0.5, 0, 0.5, 0.9, 1, 1.5, 4])
    at, height = fits.between(values, (values - 0.1 * values**2) ** 2, 0.0)
    slopes = np.diff(np.sqrt(height)[at > 0]) / np.diff(at[at > 0])
    assert np.max(np.abs(np.diff(slopes))) < 0.06  # chords turn by 0.3 at 1.5
    x = np.linspace(-1, 1, 9)
    fine = np.linspace(-1, 1, 33)
    drawn = fits.smooth(x, fits.smooth(x, x[:, None] ** 2 + x**2, fine).T, fine)
    assert np.max(np.abs(drawn - fine[:, None] ** 2 - fine**2)) < 0.02  # chords miss it by 0.03
    gap = fits.between(np.arange(5.0), np.array([0, 1, np.inf, 9, 16]), 0.0)[1]
    assert np.isnan(gap[17:48]).all() and np.isfinite(gap[:17]).all()
