"""Lanes: any number of them, how busy they are, and memory that is short."""

import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import check_counts, check_minimum
from drivers import BOX, endless, rastrigin

import jaxglobal as jg
from jaxglobal.engine import devices, fused, streams
from jaxglobal.engine.stream import Stream
from jaxglobal.engine.streams import Streams
from jaxglobal.starts.candidates import LARGEST_ROUND


@pytest.mark.parametrize("lanes", [1, 16, 64, 1024])
def test_any_number_of_lanes_finds_the_same(lanes, x64):
    result = jg.minimize(jg.problems.himmelblau, [(-5, 5)] * 2, lanes=lanes, starts=jg.Grid(), progress=False)
    check_minimum(result, 0)
    assert [level.nstarts for level in result.levels[:4]] == [1, 4, 16, 64]
    # In float32 some ends lie beside the four minima.
    assert len(result.minima) == 4 if x64 else len(result.minima) >= 4
    assert sum(m.count for m in result.minima) == result.nstarts


def test_the_same_bits_for_any_number_of_threads(monkeypatch):
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr("jaxglobal.engine.devices.threads", lambda threads=threads: threads)
        results.append(jg.minimize(rastrigin, [(-3.9, 5.0)] * 2, progress=False, max_levels=6, lanes=64))
    for result in results[1:]:
        assert np.array_equal(result.x, results[0].x) and result.fun == results[0].fun
        assert [(m.fun, m.count, m.x.tolist()) for m in result.minima] == [
            (m.fun, m.count, m.x.tolist()) for m in results[0].minima
        ]


@pytest.mark.parametrize("sequence", ["auto", jg.Grid()])
def test_lanes_are_busy_on_a_large_level(sequence, monkeypatch):
    drains, run = [], Streams.run

    def noting(lanes, rules, drain, *left):
        drains.append(drain)
        return run(lanes, rules, drain, *left)

    monkeypatch.setattr(Streams, "run", noting)
    starts = np.random.default_rng(0).uniform(*np.array(BOX).T, (65536, 2))
    result = endless(x0=starts, max_starts=65536, lanes=256, starts=sequence)
    assert result.levels[0].nstarts == 65536
    assert result.lane_efficiency > 0.95
    assert not drains[0] and drains[-1]  # a lane that is idle does not wait for the others while starts are left


@pytest.mark.timing
def test_what_is_done_once_a_chunk_does_not_shorten_the_next(monkeypatch):
    chunks, move = [], Stream.move

    def slow(stream, *chunk):
        time.sleep(1.5 * streams.CHUNK_TIME)  # bookkeeping that takes longer than a chunk is meant to
        chunks.append(stream)
        move(stream, *chunk)

    monkeypatch.setattr(Stream, "move", slow)
    starts = np.random.default_rng(0).uniform(*np.array(BOX).T, (4096, 2))
    result = endless(x0=starts, max_starts=4096, lanes=4096)
    assert result.levels[0].nstarts == 4096 and len(chunks) < 12  # of one tick each, they would be some forty


@pytest.mark.parametrize(
    "platform, most, together, lanes",
    [
        ("cpu", 256, 1, 8),
        ("cpu", 256, 256, 256),
        ("gpu", 16384, LARGEST_ROUND, 4096),
        ("gpu", 16384, math.inf, 16384),
        ("any", 16384, 1, 16384),
    ],
)
def test_few_lanes_where_few_searches_come_together(platform, most, together, lanes):
    assert devices.narrow(most, together, platform) == lanes


def test_a_stream_knows_which_search_is_where():
    numbers = np.arange(4)[:, None] + [10, 0]
    stream = Stream(None, np.ones((4, 1)), np.ones(4), numbers, np.array([[5, 0], [-1, -1]]), np.array([[7.0], [0.0]]))
    assert stream.searches(np.array([2, 4])).tolist() == [[12, 2], [5, 0]]  # of the queue, of a lane
    stream.move(None, np.array([6, 1]), first=2)  # the first lane is idle now, the second has start 1
    assert stream.at_work.tolist() == [[-1, -1], [11, 1]] and stream.begun.tolist() == [[0], [1]] and stream.first == 2


@pytest.mark.parametrize("starts", ["auto", jg.Grid()])  # a tick at a time, and in chunks
def test_lanes_are_halved_when_memory_runs_out(monkeypatch, starts):
    from jaxglobal.engine import stepped

    engines = []

    def scarce(real, position):
        def engine(*args):
            engines.append(args[position])
            if args[position] > 32:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
            return real(*args)

        return engine

    monkeypatch.setattr(fused, "engine", scarce(fused.engine, 3))
    monkeypatch.setattr(stepped, "engine", scarce(stepped.engine, 4))
    options = dict(starts=starts, lanes=128, max_levels=3, progress=False)
    result = jg.minimize(lambda x: jnp.sum(x**2), [(-1, 2)] * 2, **options)
    assert engines == [128, 64, 32] and result.fun < 1e-6


def test_calls_for_values_shrink_when_their_memory_runs_out(monkeypatch):
    from jaxglobal.engine import looks

    sizes, real = [], looks.Looks.run

    def run(self, calls, allowed, *rest):
        sizes.append(self.width)
        if len(sizes) < 3:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return real(self, calls, allowed, *rest)

    monkeypatch.setattr(looks.Looks, "run", run)
    result = jg.minimize(rastrigin, BOX, max_levels=3, same=50, lanes=64, progress=False)
    assert sizes[1] == sizes[0] // 2 and sizes[2] == sizes[0] // 4
    check_counts(result)


def test_memory_that_is_short_even_for_one_lane_is_an_error(monkeypatch):
    def engine(*_, **__):
        raise MemoryError("short")

    monkeypatch.setattr("jaxglobal.engine.stepped.engine", engine)
    with pytest.raises(MemoryError):
        jg.minimize(lambda x: jnp.sum(x**2), [(-1, 2)], lanes=2, progress=False)
