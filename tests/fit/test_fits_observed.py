"""Many fits: evaluations of each data set, the callback, and the file from which they go on."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.fit.limits import Limits
from jaxglobal.search.interrupt import Interrupt

T = np.linspace(0, 1, 40)
BOX = [(1.0, 40.0)] * 2  # two alike: searches go on until some agree
FREQUENCIES = np.random.default_rng(0).uniform(5, 30, (2, 20, 1))
Y = np.sin(FREQUENCIES[0] * T) + 0.7 * np.sin(FREQUENCIES[1] * T) + 0.02 * np.cos(50 * T)


def beats(t, v, w):
    return jnp.sin(w * t) + 0.7 * jnp.sin(v * t)


def fits(**options):
    return jg.curve_fit_many(beats, T, Y, BOX, **{"progress": False} | options)


def the_same(some, others):
    for name in ("popt", "pcov", "fun", "success", "nfev", "searches"):
        np.testing.assert_array_equal(getattr(some, name), getattr(others, name), name)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Five blocks, three groups."""
    monkeypatch.setattr("jaxglobal.fit.blocks.MOST", 4)
    monkeypatch.setattr("jaxglobal.fit.rounds.GROUP", 8)


@pytest.fixture(scope="module")
def whole():
    """Of all data sets in one group, and what a callback hears."""
    heard = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxglobal.fit.blocks.MOST", 4)
        patch.setattr("jaxglobal.fit.rounds.GROUP", 8)
        return fits(), fits(callback=heard.append), heard


@pytest.mark.long
def test_a_callback_hears_of_each_data_set_once(whole):
    alone, told, heard = whole
    assert told.success.all() and len(heard) > 3
    assert sorted(int(i) for news in heard for i in news.problems) == list(range(20))
    assert [news.done for news in heard] == np.cumsum([len(news.problems) for news in heard]).tolist()
    for news in heard:
        assert news.count == 20
        np.testing.assert_array_equal(news.fun, told.fun[news.problems])
        np.testing.assert_array_equal(news.x, told.popt[news.problems])
    for name in ("popt", "fun", "pcov", "success", "searches"):  # in groups or not
        np.testing.assert_array_equal(getattr(told, name), getattr(alone, name), name)


def test_it_goes_on_from_its_file_after_a_callback_has_ended_it(whole, tmp_path):
    heard = []

    def stop(news):
        heard.extend(news.problems.tolist())
        raise StopIteration

    for _ in range(99):
        part = fits(callback=stop, checkpoint=tmp_path / "fits.npz")
        found = np.isfinite(part.fun)
        assert part.success[heard].all() and found[heard].all() and not part.success[~found].any()
        if len(heard) == 20:
            break
    assert sorted(heard) == list(range(20))
    the_same(part, whole[1])
    the_same(fits(checkpoint=tmp_path / "fits.npz"), whole[1])  # has ended: at once


@pytest.mark.long
def test_it_goes_on_from_the_middle_of_a_round(whole, tmp_path, monkeypatch):
    blocks = [0]

    def third(*_):
        blocks[0] += 1
        return blocks[0] > 3

    calls, part = 0, None
    while part is None or not part.success.all():
        blocks[0], calls = 0, calls + 1
        with monkeypatch.context() as patch:
            patch.setattr(Limits, "asked", third)
            part = fits(checkpoint=tmp_path / "fits.npz")
    assert calls > 10
    the_same(part, whole[1])


@pytest.mark.parametrize("most", [1, 37, 1500])
def test_no_data_set_has_more_evaluations_than_it_may(most, whole, tmp_path):
    part = fits(max_evals=most)
    assert part.nfev.max() == most
    assert np.isfinite(part.fun).all() and np.isfinite(part.popt).all()
    assert np.all(part.nfev[~part.success] == most)
    sure = part.success
    assert sure.any() == (most > 37) and not sure.all()
    np.testing.assert_array_equal(part.searches[sure], whole[0].searches[sure])
    np.testing.assert_allclose(part.popt[sure], whole[0].popt[sure], rtol=1e-4)
    if most == 37:
        the_same(fits(max_evals=most, checkpoint=tmp_path / "fits.npz"), part)
        the_same(fits(max_evals=most, checkpoint=tmp_path / "fits.npz"), part)


def test_as_many_searches_go_side_by_side_as_there_are_evaluations_for():
    limits = Limits(8, Interrupt(), max_evals=40)
    limits.spent[[2, 5, 7]] = 5, 31, 40
    assert limits.afforded(np.array([2, 5, 2, 2, 5, 7]), 16).tolist() == [16, 9, 16, 0, 0, 0]


def test_the_file_of_other_fits_and_wrong_arguments_are_refused(tmp_path):
    kept = dict(checkpoint=tmp_path / "fits.npz")
    fits(**kept)
    for other, words in ((dict(seed=1), "options"), (dict(max_evals=9), "options"), (dict(sigma=2.0), "args")):
        with pytest.raises(ValueError, match=f"`checkpoint` must be the file of this search.* another {words}"):
            fits(**kept | other)
    with pytest.raises(TypeError, match="`callback` must be a function"):
        fits(callback=3)
    with pytest.raises(ValueError, match="`max_evals` must be at least 1; got 0"):
        fits(max_evals=0)
    for wrong in (dict(callback=print), dict(checkpoint=tmp_path / "other.npz")):
        with pytest.raises(ValueError, match="must be None for many fits where parameters are whole"):
            fits(integrality=[True, False], bounds_axis=None, **wrong)
    with pytest.raises(ValueError, match="`checkpoint` must be None for many fits of a host model"):
        jg.curve_fit_many(jg.host(lambda t, a: a * t), T, Y, [(0, 1)], checkpoint=tmp_path / "other.npz")


def test_of_a_host_model_each_fit_has_its_evaluations_and_is_told():
    heard = []

    def stop(news):
        heard.append((news.problems.tolist(), news.done, news.x.shape))
        if len(heard) == 2:
            raise StopIteration

    model = jg.host(lambda t, a: a * t)
    part = jg.curve_fit_many(model, T, Y[:4], [(-2, 2)], max_evals=5, callback=stop, progress=False)
    assert heard == [([0], 1, (1, 1)), ([1], 2, (1, 1))] and np.isfinite(part.fun).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert part.nfev.max() <= 5 + 4
