"""Minima under equalities of which a small part of the box leads there, and points that are taken onto the rows."""

import jax.numpy as jnp
import numpy as np
import pytest
from checks import X64
from jax.scipy.special import ndtr

import jaxglobal as jg
from jaxglobal.constraints.constrained import ConstrainedStreams
from jaxglobal.starts.adaptive import Adaptive
from jaxglobal.starts.designs import Grid
from jaxglobal.starts.rounds import Rounds

pytestmark = pytest.mark.skipif(not X64, reason="the rows differ by less than float32 tells")
LOWEST = -0.92042500364


def inspection(x):
    """The cost of HS68 of Hock and Schittkowski: an inspection plan."""
    gained = jnp.exp(x[0]) - 1
    return 0.0024 / x[0] - x[3] * (gained - x[2]) / (gained + x[3]) / x[0]


def risks(x):
    """Its equalities; where x[1] is large, as it is in most of the box, all of them are flat."""
    return jnp.stack([x[2] - 2 * ndtr(-x[1]), x[3] - ndtr(np.sqrt(24) - x[1]) - ndtr(-np.sqrt(24) - x[1])])


@pytest.mark.slow
def test_a_value_of_the_flat_part_is_no_success():
    box = [(1e-4, 100), (0, 100), (0, 2), (0, 2)]
    rows = jg.Constraint(risks, 0.0, 0.0)
    found = jg.minimize(inspection, box, constraints=rows, max_evals=12_000, progress=False)
    assert found.fun < 0.99 * LOWEST and found.violation < 1e-8
    assert not found.success or found.fun < LOWEST + 1e-6
    assert found.nfev <= 12_000 + 64


def test_a_look_is_blind_where_no_point_is_feasible_beside_a_best_one_that_is():
    above = 1e100
    rounds = Rounds(Adaptive(Grid()), 2, above=above)
    points, no, some = 64, np.full(64, 2 * above), np.append(np.full(63, 2 * above), 5.0)
    rounds.look(points, 8)
    assert rounds.blind(no) == 0  # nothing is known to which it could be blind
    rounds.add(np.full((1, 2), 0.5), np.zeros(1), np.ones(1, bool))
    rounds.look(points, 8)
    assert rounds.blind(no) == 2 and rounds.blind(some) == 0
    assert rounds.blind(np.full(10**6, 2 * above)) == 512  # which takes less than a second
    plain = Rounds(Adaptive(Grid()), 2)
    plain.add(np.full((1, 2), 0.5), np.zeros(1), np.ones(1, bool))
    plain.look(points, 8)
    assert plain.blind(no) == 0


def waves(**options):
    """A search on the unit sphere, of which no point of a look is feasible."""
    sphere = jg.Constraint(lambda x: x @ x, 1.0, 1.0)

    def fun(x):
        return jnp.sum((x - 0.3) ** 2) + 0.2 * jnp.sum(jnp.cos(7 * x))

    return jg.levels(fun, [(-2, 2)] * 3, constraints=sphere, progress=False, **options)


def ended(search, stop=lambda streams: False):
    """The search at its end, or saved where it was to stop; True where it was."""
    while not search.ended:
        search.step()
        streams = search._one.streams
        if streams is not None and stop(streams):
            search.save()
            return True
    return False


def test_a_look_that_goes_on_from_a_file_is_taken_onto_the_rows_too(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxglobal.engine.streams.CHUNK_TIME", 1e-7)
    counts, onto = [], ConstrainedStreams.onto_rows
    monkeypatch.setattr(ConstrainedStreams, "onto_rows", lambda *given: counts.append(1) or onto(*given))
    whole, kept = waves(), tmp_path / "search.npz"
    assert not ended(whole) and len(counts) == 1

    def amid(streams):  # the last look is the largest
        return 100 < len(streams.looks.points) < 1500 and streams.spent.nfev > 0.75 * whole.result.nfev

    assert ended(waves(checkpoint=kept), amid) and len(counts) == 1
    rest = waves(checkpoint=kept)
    ended(rest)
    assert len(counts) == 2
    assert rest.result.nfev == whole.result.nfev and np.array_equal(rest.result.x, whole.result.x)


def test_the_answer_is_as_low_as_the_points_that_were_taken_onto_the_rows(monkeypatch):
    """A search from one may end above it; what the evidence speaks for is that value."""
    onto, lowest = ConstrainedStreams.onto_rows, []

    def lower(*given):
        told = onto(*given)
        assert told is not None
        points, ranks = told
        ranks[np.argmax(ranks)] = np.min(ranks) - 1  # which no search comes to
        lowest.append(np.min(ranks))
        return points, ranks

    monkeypatch.setattr(ConstrainedStreams, "onto_rows", lower)
    search = waves(max_evals=8000)
    ended(search)
    assert lowest and search._one.best.f <= min(lowest)
