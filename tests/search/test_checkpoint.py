"""Checkpoints: whatever kills a search, the same call ends as if nothing had happened."""

import itertools
import os
import re
import subprocess
import sys
import time

import jax.numpy as jnp
import numpy as np
import pytest
import simulators

import jaxglobal as jg
from jaxglobal.search import checkpoint
from jaxglobal.search.checkpoint import Checkpoint
from jaxglobal.search.one import One

BOX = [(-4.0, 5.12)] * 2


class Killed(BaseException):
    """Stands for kill -9, just after a write."""


@pytest.fixture
def deadly(monkeypatch):
    """Writes after every chunk; the writes after which the search is killed."""
    write, writes, kills = Checkpoint.write, [], set()

    def write_and_die(self, *state):
        write(self, *state)
        writes.append(1)
        if len(writes) in kills:
            raise Killed

    monkeypatch.setattr(Checkpoint, "write", write_and_die)
    monkeypatch.setattr("jaxglobal.search.checkpoint.EVERY", 0.0)
    monkeypatch.setattr("jaxglobal.search.checkpoint.SHARE", 0.0)
    monkeypatch.setattr("jaxglobal.engine.streams.CHUNK_TIME", 1e-3)
    return kills


def until_done(call):
    """Calls until it is not killed; how often it was."""
    for kills in range(100):
        try:
            return call(), kills
        except Killed:
            pass
    raise AssertionError("killed for ever")


def check_same(a, b):
    """Bit for bit, times, idle lanes and counts of calls apart."""
    assert np.array_equal(a.x, b.x) and a.fun == b.fun and a.status is b.status
    assert np.array_equal(a.jac, b.jac, equal_nan=True)  # at a kink
    assert (a.nfev, a.nstarts, a.nit) == (b.nfev, b.nstarts, b.nit)
    assert [level.statuses for level in a.levels] == [level.statuses for level in b.levels]
    assert [level.fun for level in a.levels] == [level.fun for level in b.levels]
    assert [(m.fun, m.count, m.status) for m in a.minima] == [(m.fun, m.count, m.status) for m in b.minima]
    assert all(np.array_equal(m.x, k.x) for m, k in zip(a.minima, b.minima, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["rastrigin", "bukin6", "eggholder"])
def test_killed_again_and_again(problem, deadly, tmp_path):
    function = getattr(jg.problems, problem)
    options = dict(max_levels=7, same=50, progress=False)
    plain = jg.minimize(function, BOX, **options)
    deadly |= {1, 2, 5, 6, 9, 12, 20}
    result, kills = until_done(lambda: jg.minimize(function, BOX, checkpoint=tmp_path / "search.npz", **options))
    assert kills >= 3
    check_same(result, plain)
    # A finished file compiles nothing.
    again = jg.minimize(function, BOX, checkpoint=tmp_path / "search.npz", **options)
    check_same(again, plain)
    assert again.compile_time == 0


@pytest.mark.long
def test_own_starts_pytrees_and_limits(deadly, tmp_path):
    box = jg.Box({"u": jnp.zeros(2) - 3, "v": -1.0}, {"u": jnp.zeros(2) + 3, "v": 2.0})
    fun = lambda x, a: jnp.sum((x["u"] ** 2 - a) ** 2 + 0.3 * x["u"]) + (x["v"] - a) ** 2  # noqa: E731
    x0 = {"u": jnp.ones((3, 2)), "v": jnp.zeros(3)}
    deadly |= set(range(2, 10_000, 9))
    for number, limit in enumerate((dict(max_evals=3000), dict(max_starts=200), dict(target=-1.0), dict())):
        options = dict(x0=x0, progress=False, max_levels=4) | limit
        plain = jg.minimize(fun, box, 1.5, **options)
        options["checkpoint"] = tmp_path / f"{number}.npz"
        result, kills = until_done(lambda options=options: jg.minimize(fun, box, 1.5, **options))
        assert kills and result.status is plain.status and result.nstarts == plain.nstarts
        if "target" not in limit:  # which searches are cut then depends on the clock
            assert result.nfev == plain.nfev and np.array_equal(result.x["u"], plain.x["u"])


def test_stopped_by_time_and_continued(tmp_path):
    options = dict(max_levels=7, same=50, progress=False)
    plain = jg.minimize(jg.problems.eggholder, [(-512, 512)] * 2, **options)
    for _ in range(1000):
        part = jg.minimize(
            jg.problems.eggholder, [(-512, 512)] * 2, checkpoint=tmp_path / "c.npz", max_time=0.05, **options
        )
        if part.status is not jg.Status.MAX_TIME:
            break
    check_same(part, plain)


@pytest.mark.slow
@pytest.mark.parametrize("starts", ["auto", jg.Grid()], ids=["auto", "grid"])
def test_paused_at_any_look_at_the_limits(starts, tmp_path, monkeypatch):
    def run(pause=0, **options):
        """Whose look number `pause` at the limits says that time is over."""
        looks = itertools.count(1)

        def limited(self):
            status = limit(self)
            return jg.Status.MAX_TIME if next(looks) == pause else status

        monkeypatch.setattr(One, "_limit", limited)
        return jg.minimize(jg.problems.rastrigin, BOX, starts=starts, max_levels=5, same=3, progress=False, **options)

    limit = One._limit
    plain = run()
    for pause in itertools.count(1):
        options = dict(checkpoint=tmp_path / f"{pause}.npz")
        if run(pause, **options).status is not jg.Status.MAX_TIME:
            break
        check_same(run(**options), plain)
    assert pause > 5


@pytest.mark.parametrize("limit", [dict(target=1e-3), dict(max_evals=3000), dict(max_starts=60)])
def test_killed_after_a_limit_was_reached_and_before_its_end(limit, tmp_path, monkeypatch):
    options = dict(same=50, max_levels=6, progress=False) | limit
    plain = jg.minimize(jg.problems.rastrigin, BOX, **options)
    real = One._limit

    def limited(self):
        status = real(self)
        if status is not jg.Status.RUNNING:
            self.save()  # as it is when the limit is known
            raise Killed
        return status

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(One, "_limit", limited)
        jg.minimize(jg.problems.rastrigin, BOX, checkpoint=tmp_path / "c.npz", **options)
    check_same(jg.minimize(jg.problems.rastrigin, BOX, checkpoint=tmp_path / "c.npz", **options), plain)


def test_a_result_that_is_looked_at_changes_nothing_of_the_search(tmp_path):
    options = dict(max_levels=5, same=50, progress=False)
    plain, looked = (jg.levels(jg.problems.rastrigin, BOX, checkpoint=tmp_path / name, **options) for name in "ab")
    for _ in plain:
        pass
    evaluations = []
    for _ in looked:
        evaluations.append(looked.result.nfev)
        assert looked.result.nfev == evaluations[-1]  # the second look costs nothing
        looked.save()
    assert [level.nfev for level in plain.result.levels] == [level.nfev for level in looked.result.levels]
    assert np.array_equal(plain.result.x, looked.result.x)
    assert plain.result.nfev <= looked.result.nfev <= plain.result.nfev + len(evaluations)
    resumed = jg.minimize(jg.problems.rastrigin, BOX, checkpoint=tmp_path / "b", **options)
    assert resumed.nfev == looked.result.nfev and np.array_equal(resumed.jac, looked.result.jac)


def test_a_host_function_and_a_search_by_hand(deadly, tmp_path):
    options = dict(max_levels=3, progress=False)
    plain = jg.minimize(jg.host(simulators.himmelblau), BOX, **options)
    deadly |= {2, 5, 8}
    path = tmp_path / "host.npz"
    result, kills = until_done(lambda: jg.minimize(jg.host(simulators.himmelblau), BOX, checkpoint=path, **options))
    assert kills and result.nfev == plain.nfev and np.array_equal(result.x, plain.x)
    assert jg.minimize(jg.host(simulators.himmelblau), BOX, checkpoint=path, **options).calls == result.calls

    def by_hand(path):
        search = jg.Search(BOX, max_levels=3, checkpoint=path)
        while len(points := search.ask(16)):
            values = [simulators.both(x) for x in points.x]
            search.tell([f for f, _ in values], np.array([g for _, g in values]), points.ids)
            search.save()
        return search.result()

    deadly.clear()
    plain = by_hand(tmp_path / "plain.npz")
    deadly |= set(range(1, 400, 7))
    result, kills = until_done(lambda: by_hand(tmp_path / "hand.npz"))
    assert kills and result.nfev == plain.nfev and np.array_equal(result.x, plain.x)
    with pytest.raises(ValueError, match="`checkpoint` must be given for the search to be saved; got None"):
        jg.Search(BOX).save()


KILLED = """
import jax; jax.config.update("jax_enable_x64", True)
import sys, jaxglobal as jg
result = jg.minimize(jg.problems.bukin6, [(-15, 3)] * 2, max_levels=9, same=50, progress=False, checkpoint=sys.argv[1])
print(result.nfev, result.nstarts, result.fun.hex(), [float(v).hex() for v in result.x])
"""


@pytest.mark.slow
def test_kill_9(tmp_path, monkeypatch):
    """A process is killed at any moment, a write included, and the last one tells the same as an undisturbed one."""

    def start(name):
        return subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / name)], stdout=subprocess.PIPE, text=True)

    began = time.perf_counter()
    plain, _ = start("plain.npz").communicate()
    taken = time.perf_counter() - began
    rng = np.random.default_rng(0)
    for _ in range(4):
        process = start("killed.npz")
        try:
            process.wait(taken * rng.uniform(0.4, 0.95))
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    assert start("killed.npz").communicate()[0] == plain != ""


def test_a_file_of_another_search_is_refused(tmp_path):
    path = tmp_path / "c.npz"
    fun = lambda x, a: jnp.sum((x - a) ** 2)  # noqa: E731
    options = dict(max_levels=2, progress=False, checkpoint=path)
    jg.minimize(fun, BOX, 1.0, **options)
    for other, what in (
        (lambda: jg.minimize(fun, BOX, 2.0, **options), "args"),
        (lambda: jg.minimize(fun, [(-4, 5)] * 2, 1.0, **options), "bounds"),
        (lambda: jg.minimize(lambda x, a: jnp.sum((x - a) ** 4), BOX, 1.0, **options), "function"),
        (lambda: jg.minimize(fun, BOX, 1.0, same=3, **options), "options"),
        (lambda: jg.minimize(jg.host(simulators.himmelblau), BOX, 1.0, **options), "function"),
    ):
        with pytest.raises(ValueError, match=f"`checkpoint` must be the file of this search; .* has another .*{what}"):
            other()
    # The same function, made anew, and a longer time are the same search.
    assert jg.minimize(lambda x, a: jnp.sum((x - a) ** 2), BOX, 1.0, max_time=9.0, **options).compile_time == 0


def test_half_a_file_is_ignored(tmp_path):
    path, fun = tmp_path / "c.npz", lambda x: jnp.sum((x - 1) ** 2)
    plain = jg.minimize(fun, BOX, max_levels=2, progress=False, checkpoint=path)
    whole = path.read_bytes()
    for half in (whole[: len(whole) // 2], b"", b"text", whole[:-200] + bytes(200)):
        path.write_bytes(half)
        with pytest.warns(UserWarning, match="is no complete checkpoint and is ignored"):
            result = jg.minimize(fun, BOX, max_levels=2, progress=False, checkpoint=path)
        assert np.array_equal(result.x, plain.x)
    path.write_bytes(whole)
    assert jg.minimize(fun, BOX, max_levels=2, progress=False, checkpoint=path).fun == plain.fun


def test_an_array_file_is_no_checkpoint(tmp_path):
    path = tmp_path / "c.npy"
    np.save(path, np.zeros(3))
    with pytest.warns(UserWarning, match="is no complete checkpoint and is ignored"):
        jg.minimize(lambda x: jnp.sum(x**2), BOX, max_levels=1, progress=False, checkpoint=path)


def test_late_answers_to_an_earlier_process_are_dropped(tmp_path):
    def search():
        return jg.Search(BOX, max_levels=2, checkpoint=tmp_path / "c.npz")

    before = search()
    x = before.ask()
    before.tell(*simulators.both(x))
    early = before.ask(1)
    before.save()
    after = search()
    again = after.ask(1)
    assert np.array_equal(again.x, early.x) and again.ids[0] > early.ids[0]
    after.tell(-1e9, np.ones(2), early.ids)
    after.tell(*simulators.both(again.x[0]), again.ids)
    assert after.result().fun > -1e9


def test_a_path_that_cannot_be_written(tmp_path):
    for path in (tmp_path / "no" / "c.npz", tmp_path):
        with pytest.raises(ValueError, match=re.escape(f"`checkpoint` must be a file that can be written; got {path}")):
            jg.minimize(lambda x: jnp.sum(x**2), BOX, checkpoint=path, progress=False)
    with pytest.raises(TypeError, match="`checkpoint` must be a path; got int"):
        jg.minimize(lambda x: jnp.sum(x**2), BOX, checkpoint=3, progress=False)
    assert os.listdir(tmp_path) == []


def test_calls_of_a_host_are_counted_on_from_a_checkpoint_between_levels(tmp_path):
    def stop(level):
        if level.index == 1:
            raise StopIteration

    options = dict(max_levels=4, progress=False)
    plain = jg.minimize(jg.host(simulators.himmelblau), BOX, **options)
    kept = dict(checkpoint=tmp_path / "c.npz", **options)
    part = jg.minimize(jg.host(simulators.himmelblau), BOX, callback=stop, **kept)
    resumed = jg.minimize(jg.host(simulators.himmelblau), BOX, **kept)
    assert 0 < part.calls.made < resumed.calls.made == plain.calls.made
    assert resumed.nfev == plain.nfev


class OwnStarts:
    """Random points in levels of three."""

    def __init__(self, seed, shift=None):
        self.seed, self.shift, self.itself = seed, shift, self

    def size(self, level, n):
        return 3

    def points(self, level, first, count, n):
        return np.random.default_rng([self.seed, level, first]).random((count, n))

    def spacing(self, level, done, n):
        return 0.5


def test_objects_of_one_class_are_told_apart_by_their_state(tmp_path):
    options = dict(max_levels=2, progress=False, checkpoint=tmp_path / "c.npz")
    fun = lambda x: jnp.sum(x**2)  # noqa: E731
    result = jg.minimize(fun, BOX, starts=OwnStarts(1), **options)
    assert jg.minimize(fun, BOX, starts=OwnStarts(1), **options).nfev == result.nfev
    for other in (OwnStarts(2), OwnStarts(1, np.arange(3)), jg.Adaptive(OwnStarts(1))):
        with pytest.raises(ValueError, match="has another options"):
            jg.minimize(fun, BOX, starts=other, **options)


def test_every_kind_of_state_counts():
    class Slots:
        __slots__ = ("x",)

        def __init__(self, x):
            self.x = x

    def digest(part):
        return checkpoint.fingerprint(part=part)["part"]

    long, other = np.arange(2000), np.arange(2000)
    other[1000] = 7  # which its text leaves out
    for make, a, b in (
        (OwnStarts, 1, 2),
        (lambda x: OwnStarts(0, [x]), long, other),
        (lambda x: OwnStarts(0, OwnStarts(x)), 3, 4),
        (lambda x: OwnStarts(0, {1: 0, "a": x}), 3, 4),
        (lambda x: OwnStarts(0, {"a", "b", x}), "c", "d"),
        (lambda x: np.array([Slots(x)], object), 1, 2),
        (Slots, 1, 2),
        (np.random.default_rng, 1, 2),
    ):
        assert digest(make(a)) == digest(make(a)) != digest(make(b))


@pytest.mark.parametrize("starts", [jg.Grid(), jg.Adaptive(jg.Grid())], ids=["grid", "adaptive"])
def test_levels_of_more_starts_than_a_machine_number_counts(starts, tmp_path):
    fun, box = (lambda x: jnp.sum((x - 0.3) ** 2)), [(-1, 1)] * 70  # level 1 has 2^70 points

    def search(max_evals, name):
        options = dict(starts=starts, lanes=16, progress=False, checkpoint=tmp_path / name)
        search = jg.levels(fun, box, max_evals=max_evals, **options)
        while not search.ended:
            search.step()
            if name == "broken" and search.known.nfev > 100:
                search.save()
                break
        return search.result

    whole = search(400, "whole")
    search(400, "broken")
    again = jg.minimize(
        fun, box, max_evals=400, starts=starts, lanes=16, progress=False, checkpoint=tmp_path / "broken"
    )
    assert again.nfev == whole.nfev and np.array_equal(again.x, whole.x) and again.nit == 2
