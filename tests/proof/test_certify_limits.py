"""certify: its limits, its file, and the processes that help."""

import os
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import float64_only
from proving import prove

from jaxglobal.proof import branch, crew, kept
from jaxglobal.proof.bound import Bound
from jaxglobal.proof.leaves import parts, trimmed
from jaxglobal.proof.lower import model_of
from jaxglobal.proof.region import Region

pytestmark = float64_only


def ripples(x):
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((x.size, x.size)))[0]
    y = q @ (x - 0.3)
    return jnp.sum(y * y - 9.5 * jnp.cos(2 * jnp.pi * y)) + jnp.sum(y[1:] * jnp.sin(3 * x[:-1]))


def test_limits_keep_a_bound_that_holds():
    point = np.full(8, 0.3)
    low = -np.inf
    for boxes in (1, 300, 3000):
        certificate = prove(ripples, [(-5, 5)] * 8, result=point, max_boxes=boxes)
        assert not certificate.complete and "max_boxes" in certificate.message and certificate.lower >= low
        low = certificate.lower
        assert certificate.lower <= certificate.upper and len(certificate.undecided.bound) > 0
        assert np.min(certificate.undecided.bound) >= certificate.lower
    certificate = prove(ripples, [(-5, 5)] * 8, result=point, max_time=0.2)
    assert "max_time" in certificate.message and certificate.time < 5


def test_without_any_time_the_whole_box_has_a_bound():
    certificate = prove(lambda x: jnp.sinc(x[0]) + jnp.sum(x**2), [(0.5, 2)] * 2, max_time=0.0)
    assert not certificate.proven and -1 < certificate.lower <= 0.5 <= certificate.upper
    undefined = prove(lambda x: jnp.log(jnp.sum(x**2) - 7), [(0.5, 2)] * 2, result=np.ones(2), max_time=0.0)
    assert not undefined.proven and undefined.upper == np.inf


def test_ctrl_c_keeps_the_bound():
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    certificate = prove(ripples, [(-5, 5)] * 8, result=np.full(8, 0.3))
    timer.join()
    assert certificate.complete or "keyboard" in certificate.message


def test_a_checkpoint_goes_on(tmp_path):
    path, point = tmp_path / "proof.npz", np.full(4, 0.3)

    whole = prove(ripples, [(-5, 5)] * 4, result=point)
    part = prove(ripples, [(-5, 5)] * 4, result=point, max_boxes=50, checkpoint=path)
    assert not part.complete and path.exists()
    rest = prove(ripples, [(-5, 5)] * 4, result=point, checkpoint=path)
    assert whole.complete and rest.complete and rest.nboxes >= part.nboxes
    assert abs(rest.lower - whole.lower) < 1e-10 and abs(rest.upper - whole.upper) < 1e-10
    with pytest.raises(ValueError, match="another function"):
        prove(lambda x: jnp.sum(x**2), [(-5, 5)] * 4, result=point, checkpoint=path)


def test_a_checkpoint_has_the_boxes_that_are_being_tested():
    low, high = np.full(4, -5.0), np.full(4, 5.0)
    model = model_of(jax.make_jaxpr(ripples)(low), low)
    with np.errstate(all="ignore"):
        search, again = (branch.Search(model, low, high, [np.full(4, 0.3)], 1e-8) for _ in range(2))
        search.run(lambda: "enough" if search.boxes > 60 else "")
        count = search.pool.count
        search._given.append(search.pool.take(5))
        kept.load(again, *kept.save(search))
    assert again.pool.count == count > 5 and again.lower == search.lower and len(again.regions) == len(search.regions)


@pytest.mark.long
def test_processes_help_and_change_nothing(monkeypatch):
    monkeypatch.setattr(branch, "LONG", 1e3)
    point = np.full(8, 0.3)
    answers = []
    for workers in (0, 1, 2):
        monkeypatch.setattr("jaxglobal.proof.entry.cores", lambda workers=workers: workers or 1)
        answers.append(prove(ripples, [(-5, 5)] * 8, result=point, max_boxes=6000))
    a, *others = answers
    for b in others:
        assert (a.lower, a.upper, a.nboxes) == (b.lower, b.upper, b.nboxes)


def test_a_process_that_dies_only_costs_time(monkeypatch):
    monkeypatch.setattr(branch, "LONG", 1e3)
    monkeypatch.setattr("jaxglobal.proof.entry.cores", lambda: 2)
    monkeypatch.setattr(crew, "BEGIN", "import sys; sys.exit(1)  # {root} {proof}")
    certificate = prove(ripples, [(-5, 5)] * 8, result=np.full(8, 0.3), max_boxes=4000)
    assert certificate.nboxes >= 4000 and certificate.lower <= certificate.upper


def test_progress_in_a_log(capsys, monkeypatch):
    monkeypatch.setattr("jaxglobal.search.progress.EVERY", 0.0)
    prove(ripples, [(-5, 5)] * 8, result=np.full(8, 0.3), max_boxes=3000, progress=True)
    assert "boxes tested" in capsys.readouterr().err


def test_few_boxes_are_split_into_more_parts():
    a, b, score = np.zeros((2, 1)), np.array([[4.0], [1.0]]), np.array([[4.0], [1.5]])
    lo, hi, of = parts(a, b, score, None, 100)
    assert lo.shape == (2, 16) and np.prod(hi - lo, axis=0).sum() == 4.0 and not np.any(of)
    assert sorted({*(hi - lo)[0]}) == [0.5] and sorted({*(hi - lo)[1]}) == [0.5]  # along the sides that cost most
    assert parts(a, b, score, None, 7)[0].shape == (2, 4) and parts(a, b, score, None, -5)[0].shape == (2, 2)
    lo, hi, of = parts(np.array([[0.0, 2.0]]), np.array([[3.0, 3.0]]), np.ones((1, 2)), np.array([True]), 100)
    assert sorted(zip(lo[0], hi[0], of, strict=True)) == [(0, 1, 0), (2, 2, 1), (2, 3, 0), (3, 3, 1)]


def test_a_proof_of_few_boxes_takes_few_batches(monkeypatch):
    batches, tested = [], Bound.__call__
    monkeypatch.setattr(Bound, "__call__", lambda self, lo, *rest: batches.append(lo) or tested(self, lo, *rest))
    certificate = prove(ripples, [(-5, 5)] * 3)
    assert certificate.proven and len(batches) < 8


def test_a_small_box_at_a_region_is_split_on():
    known = Region(np.zeros(2), np.ones(2), (np.full(2, 0.5), np.full(2, 0.5)), 0.0, 0.0)
    lo = np.array([[1.5, 1.5, 0.2], [0.2, 0.2, 0.3]])
    hi = lo + np.array([[0.1, 0.01, 0.1], [0.1, 0.01, 0.1]])
    *_, alive, near = trimmed(lo, hi, [known])
    assert alive.tolist() == [True, True, False] and near.tolist() == [True, False, True]


def test_small_boxes_at_a_new_region_are_tested_again():
    model = model_of(jax.make_jaxpr(ripples)(jnp.zeros(2)), np.zeros(2))
    search = branch.Search(model, np.full(2, -5.0), np.full(2, 5.0), [], 1e-8)
    ends = search.pool.count
    place, width = np.array([0.0, 9e-6, 1e-3]), 1e-6
    search.leaves = [branch.Leaf(np.full(2, at), np.full(2, at + width), -1.0) for at in place]
    search.found(Region(np.full(2, -width), np.full(2, width), (np.zeros(2), np.zeros(2)), 0.0, 0.0))
    assert [leaf.lo[0] for leaf in search.leaves] == [1e-3] and search.pool.count == ends + 2
