"""Devices, processes and memory: the same result on any, none idle, and what a killed process leaves."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.engine import compiling, counts, devices, fused, opening, processes, streams, sweep
from jaxglobal.local.bfgs import BFGS
from jaxglobal.problem import objective

SCRIPT = pathlib.Path(__file__).parents[1] / "together.py"


def start(name: str, *rest: str, count: int = 1, forced: int = 2) -> list[subprocess.Popen]:
    """The processes of tests/together.py, each with so many CPU devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={forced}", "JAX_PLATFORMS": "cpu"}
    return [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), name, port, str(count), str(index), *rest],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )
        for index in range(count)
    ]  # fmt: skip


def outputs(started: list[subprocess.Popen]) -> list[str]:
    """What they print, read side by side as they wait for each other."""
    told: list = [None] * len(started)

    def read(i):
        told[i] = started[i].communicate(timeout=300)

    readers = [threading.Thread(target=read, args=(i,)) for i in range(len(started))]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    for process, (_, errors) in zip(started, told, strict=True):
        assert process.returncode == 0, errors
    # Gloo, which carries the messages of processes on CPUs, prints lines of its own.
    return ["\n".join(line for line in out.splitlines() if "Gloo" not in line and "peer ranks" not in line)
            for out, _ in told]  # fmt: skip


@pytest.mark.slow
def test_the_same_bits_on_any_devices_and_processes():
    told = [json.loads(outputs(start("search", forced=forced))[0]) for forced in (1, 2, 4)]
    pair = [json.loads(out) for out in outputs(start("search", count=2, forced=2))]
    for other in [*told[1:], *pair]:
        assert other["same"] == told[0]["same"]
    assert pair[0] == pair[1]  # times, and where limits cut, too
    *_, stopped = pair[0]["agreed"]
    assert stopped == 2


@pytest.mark.slow
def test_kill_9_of_one_process(tmp_path):
    path, levels = str(tmp_path / "c.npz"), "10"
    plain = outputs(start("kept", "", levels, forced=1))[0].splitlines()[-1]
    for victim in (1, 0):
        pair = start("kept", path, levels, count=2, forced=2)
        while not (line := pair[victim].stdout.readline()).startswith("level") or int(line.split()[1]) < 5:
            assert pair[victim].poll() is None, pair[victim].stderr.read()
        time.sleep(0.1)
        assert pair[victim].poll() is None and pair[1 - victim].poll() is None
        pair[victim].send_signal(signal.SIGKILL)
        _, errors = pair[1 - victim].communicate(timeout=60)  # it does not wait for ever
        assert pair[1 - victim].returncode != 0
        assert "a process of this search has died" in errors or "another task died" in errors, errors
        pair[victim].communicate()
        assert os.path.exists(path)
    # It goes on in another number of processes and devices.
    (resumed,) = outputs(start("kept", path, levels, forced=3))
    assert "level 4" not in resumed
    assert resumed.splitlines()[-1] == plain


def test_processes_that_are_not_given_the_same():
    for out in outputs(start("wrong", count=2, forced=1)):
        different, host, path = out.splitlines()
        assert different == "every process must be given the same search; they were given different options."
        assert host.startswith("a host function must be searched by one process")
        assert path.startswith("`checkpoint` must be a file that can be written; got /no/such/folder/c.npz")


def halves(first, count):
    """Starts of which the first half lies where a search takes ten times the evaluations."""
    index = first + np.arange(count)
    golden = np.stack([index * 0.754877666, index * 0.569840291], axis=1) % 1
    golden[:, 0] = golden[:, 0] / 2 + (index >= 2**13) / 2
    return golden


def uneven(x):
    """A bowl on the right; a bent valley on the left."""
    u, v = x
    return jnp.where(u < 0, 1e2 * (v - 2 * (u + 0.5) ** 2) ** 2 + (1 + u) ** 2, (u - 0.5) ** 2 + (v - 0.5) ** 2)


def test_work_is_dealt_so_that_no_stream_idles(monkeypatch):
    monkeypatch.setattr("jaxglobal.engine.streams.CHUNK_TIME", 5e-3)
    problem, _ = objective.check(uneven, [(-1, 1)] * 2, (), None, False, False)
    one, dtype, size, dealt, ended = sweep.one_problem(problem), problem.structure.dtype, 2**14, 0, []
    engine = fused.engine(problem.closed, BFGS().program, one, 16, lambda: None)
    lanes = streams.Streams([engine] * 2, one, lockstep=False)
    while dealt < size or lanes.busy:
        if dealt < size and lanes.room:
            count = min(lanes.room, size - dealt)
            points = np.asarray(halves(dealt, count) * 2 - 1, dtype)
            lanes.deal(points, 0.01, dealt + np.arange(count))
            dealt += count
        ended.append(lanes.run(BFGS().rules(dtype, None), dealt == size))
    numbers, nfev = (np.concatenate(parts) for parts in zip(*((part.start, part.nfev) for part in ended), strict=True))
    assert np.array_equal(np.sort(numbers), np.arange(size))
    assert np.mean(nfev[numbers < size // 2]) > 5 * np.mean(nfev[numbers >= size // 2])
    assert max(lanes.tally.worked) < 1.1 * min(lanes.tally.worked)


def test_even_shares():
    pace, waiting, room = np.array([1.0, 10.0]), np.array([0, 0]), np.array([1000, 1000])
    assert counts.even_shares(110, pace, waiting, room).tolist() == [10, 100]
    assert counts.even_shares(110, pace, np.array([10, 0]), room).tolist() == [1, 109]
    assert counts.even_shares(2000, pace, waiting, room).tolist() == [1000, 1000]
    assert counts.even_shares(1, pace, waiting, room).sum() == 1


@pytest.mark.slow
def test_a_search_that_goes_on_with_another_number_of_streams(monkeypatch, tmp_path):
    options = dict(max_levels=7, same=50, progress=False)
    plain = jg.minimize(jg.problems.eggholder, [(-512, 512)] * 2, **options)
    for k in range(1000):
        monkeypatch.setattr("jaxglobal.engine.devices.threads", lambda k=k: 1 + k % 3)
        part = jg.minimize(
            jg.problems.eggholder, [(-512, 512)] * 2, checkpoint=tmp_path / "c.npz", max_time=0.05, **options
        )
        if part.status is not jg.Status.MAX_TIME:
            break
    assert k > 0
    assert np.array_equal(part.x, plain.x) and part.fun == plain.fun and part.nstarts == plain.nstarts
    assert part.nfev == plain.nfev and [m.count for m in part.minima] == [m.count for m in plain.minima]


def test_devices_are_checked():
    fun, box, here = (lambda x: jnp.sum(x**2)), [(-1, 2)], jax.local_devices()
    result = jg.minimize(fun, box, devices=here, max_levels=2, progress=False)
    assert result.fun == jg.minimize(fun, box, max_levels=2, progress=False).fun
    assert jg.minimize_many(fun_of, box, jnp.ones(3), devices=here[0], max_levels=2, progress=False).success.shape == (
        3,
    )
    with pytest.raises(TypeError, match=r"`devices` must be a list of jax devices.*; got int, str"):
        jg.minimize(fun, box, devices=[0, "cpu"])
    with pytest.raises(ValueError, match="`devices` must name each device once"):
        jg.levels(fun, box, devices=[here[0], here[0]])
    with pytest.raises(ValueError, match="`devices` must name a device of each process"):
        jg.minimize_many(fun_of, box, jnp.ones(3), devices=[])


def fun_of(x, a):
    return jnp.sum((x - a) ** 2)


@pytest.mark.parametrize("tier", compiling.Tier)
def test_lanes_fit_into_the_memory(monkeypatch, tier):
    """An objective whose temporary arrays are large gets few lanes, by XLA's own account of the program."""
    big = np.linspace(0, 1, 2**14)

    def fun(x):
        return jnp.sum(jnp.sort(jnp.sin(big * x[0])) * big) + jnp.sum(x**2)

    problem, _ = objective.check(fun, [(-1, 2)] * 2, (), None, False, False)
    one, here, wanted, needs = sweep.one_problem(problem), jax.local_devices(), [], opening.Needs(tier=tier)

    def opened(lanes, fit=True):
        lanes = opening.open_streams(
            problem.closed, BFGS().program, one, lanes, here, lambda: wanted.append(lanes), fit=fit, needs=needs
        )
        return lanes.lanes, lanes.engine.memory

    lanes, memory = opened(64)
    assert lanes == 64 and memory > 64 * big.nbytes / 2
    monkeypatch.setattr(devices, "memory", lambda placement: memory / 4)
    fewer, less = opened(64)
    assert 1 <= fewer <= 16 and less <= memory / 4
    assert opened(64, fit=False)[0] == 64


def test_a_machine_has_memory():
    assert 2**28 < devices.machine_memory() < 2**50
    assert devices.fewer_lanes(64, 100, 100) == 64 and devices.fewer_lanes(64, 101, 100) == 32
    assert devices.fewer_lanes(64, 1000, 100) == 4 and devices.fewer_lanes(1, 1000, 100) == 1


SHARDED = """
import jax; jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, numpy as np, jaxglobal as jg
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
mesh = Mesh(np.array(jax.devices()), ("d",))
t = np.linspace(0, 1, 4000)
y = 2 * np.exp(-t) * np.cos(5 * t)
spread = [jax.device_put(v, NamedSharding(mesh, P("d"))) for v in (t, y)]
fun = lambda p, t, y: jnp.sum((p[0] * jnp.exp(-t) * jnp.cos(p[1] * t) - y) ** 2)
options = dict(max_levels=4, lanes=4, progress=False)
for args in ((t, y), tuple(spread)):
    result = jg.minimize(fun, [(0, 4), (0, 10)], args, **options)
    print(np.round(result.x, 6), result.success)
print(np.round(jg.minimize(lambda p: fun(p, *spread), [(0, 4), (0, 10)], **options).x, 6))
alone = jax.device_put(y, jax.devices()[0])
print(np.round(jg.minimize(lambda p: fun(p, t, alone), [(0, 4), (0, 10)], **options).x, 6))
A = np.random.default_rng(0).normal(size=(8, 8))
fun = lambda x, a: jnp.sum((x - 1) ** 2) + 0.01 * jnp.sum(jnp.sin(a * x[0]) ** 2)
for x64 in (True, False):
    jax.config.update("jax_enable_x64", x64)
    for axes in (P("d"), P(None, "d")):  # of one mesh, in two ways
        a = jax.device_put(A, NamedSharding(mesh, axes))
        print(round(jg.minimize(fun, [(-3, 4)] * 2, (a,), progress=False).fun, 4))
"""


@pytest.mark.slow
def test_an_objective_over_several_devices():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    told = done.stdout.replace(" False", "").replace(" True", "").split("\n")
    assert told[:4] == ["[2. 5.]"] * 4 and len(told) == 9 and len(set(told[4:8])) == 1


FITTED = """
import jax, numpy as np
import jax.numpy as jnp
import jaxglobal as jg
t = np.linspace(0, 4, 40)
both = np.stack([2 * np.exp(-t), 3 * np.exp(-2 * t)])
def decay(t, a, k):
    return a * jnp.exp(-k * t)
for device in jax.devices():
    x = jax.device_put(t, device)
    print(np.round(jg.curve_fit(decay, x, both[0], [(0, 5), (0, 5)], progress=False).popt, 3))
    print(np.round(jg.curve_fit_many(decay, x, both, [(0, 5), (0, 5)], progress=False).popt[0], 3))
"""


@pytest.mark.slow
def test_fits_of_data_on_any_device():
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", FITTED], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:4] == ["[2. 1.]"] * 4


def test_messages_of_processes():
    arrays = [np.arange(3), np.zeros((2, 0)), np.array(1.5), processes.text_array("café"), np.array(True)]
    back = processes.unpack(processes.pack(arrays))
    assert all(
        a.dtype == b.dtype and np.array_equal(a, b) and a.shape == b.shape for a, b in zip(arrays, back, strict=True)
    )
    assert processes.array_text(back[3]) == "café" and processes.group() is processes.ALONE


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("UNAVAILABLE: the coordination service is gone", RuntimeError),
        ("Gloo all-reduce failed: Connection closed by peer", RuntimeError),
        ("all input arrays must have the same shape", ValueError),
    ],
)
def test_only_what_says_so_is_the_death_of_a_process(said, error, monkeypatch):
    from jax.experimental import multihost_utils

    def fails(_):
        raise ValueError(said)

    monkeypatch.setattr(multihost_utils, "process_allgather", fails)
    with pytest.raises(error, match=said if error is ValueError else "a process of this search has died"):
        processes.Together().gather(np.zeros(1))
