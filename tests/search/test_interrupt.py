"""Ctrl-C, cancelling and looking at the result while a program compiles."""

import asyncio
import concurrent.futures
import pathlib
import signal
import subprocess
import sys
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxglobal as jg
from jaxglobal.engine import aside, opening
from jaxglobal.search import levels, many

fits = sys.modules["jaxglobal.fit.curve_fit"]

BOX = [(-3.0, 3.0)] * 2
HERE = pathlib.Path(__file__).parent


def slow_to_compile(x):
    """Takes seconds to compile, and little time to trace or to run."""
    total = jnp.sum(x**2)
    for k in range(12):
        total = jnp.sin(total * (1 + k / 12)) + jnp.cos(x[k % 2] - total)
    return total


def bowl(x):
    return jnp.sum((x - 1) ** 2)


@pytest.fixture(autouse=True)
def no_leftovers(monkeypatch):
    """Waits for what an interrupted search left to its end, which would compile, and press Ctrl-C, in another test."""
    begin, begun = aside.begin, []

    def noted(work):
        begun.append(begin(work))
        return begun[-1]

    monkeypatch.setattr(aside, "begin", noted)
    yield
    concurrent.futures.wait(begun)


@pytest.fixture
def compiles(monkeypatch):
    """Compiling takes a while, in which Ctrl-C is pressed so many times."""
    open_streams = opening.open_streams

    def takes(seconds, pressed=0):
        def opened(*args):
            for _ in range(pressed):
                time.sleep(0.3)
                signal.raise_signal(signal.SIGINT)  # of the process: the main thread hears it
            time.sleep(seconds)
            return open_streams(*args)

        monkeypatch.setattr(opening, "open_streams", opened)

    return takes


def test_ctrl_c_while_the_first_program_compiles(compiles):
    compiles(3.0, pressed=1)
    began = time.perf_counter()
    result = jg.minimize(bowl, BOX, progress=False)
    assert time.perf_counter() - began < 2.5
    assert result.status is jg.Status.INTERRUPTED and result.message == jg.Status.INTERRUPTED.value
    assert np.isnan(result.fun) and not result.success and result.nit == result.nfev == 0 and result.levels == []
    assert np.array_equal(result.x, np.zeros(2)) and "INTERRUPTED" in repr(result)


def test_the_second_ctrl_c_raises(compiles):
    handler = signal.getsignal(signal.SIGINT)
    search = jg.levels(bowl, BOX, progress=False)
    search._one._waits = lambda: True  # the first one is not looked at before the second
    compiles(1.0, pressed=2)
    with pytest.raises(KeyboardInterrupt):
        next(search)
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupted_compilation_leaves_the_checkpoint_as_it_was(compiles, tmp_path, monkeypatch):
    options = dict(max_levels=3, progress=False, checkpoint=tmp_path / "search.npz")

    def stops(level):
        raise StopIteration

    whole = jg.minimize(bowl, BOX, **options | {"checkpoint": None})
    jg.minimize(bowl, BOX, callback=stops, **options)
    before = options["checkpoint"].read_bytes()
    compiles(1.0, pressed=1)
    result = jg.minimize(bowl, BOX, **options)
    assert result.status is jg.Status.INTERRUPTED and result.nit == 1 and np.isfinite(result.fun)
    assert options["checkpoint"].read_bytes() == before
    monkeypatch.undo()
    result = jg.minimize(bowl, BOX, **options)
    assert np.array_equal(result.x, whole.x) and result.nfev == whole.nfev


def test_what_goes_wrong_in_the_thread_is_raised_as_it_is(monkeypatch):
    class Odd(Exception):
        pass

    def fails(*_):
        raise Odd("in the thread")

    monkeypatch.setattr("jaxglobal.engine.opening.open_streams", fails)
    with pytest.raises(Odd, match="in the thread"):
        jg.minimize(lambda x: jnp.sum(x**2), BOX, progress=False)


def test_settings_of_the_caller_hold_while_it_compiles(monkeypatch):
    seen, open_streams = [], opening.open_streams

    def watched(*args):
        seen.append((jax.config.jax_default_matmul_precision, jax.config.jax_numpy_dtype_promotion))
        return open_streams(*args)

    monkeypatch.setattr(opening, "open_streams", watched)
    with jax.default_matmul_precision("highest"):
        jg.minimize(lambda x: jnp.sum(x**2), BOX, max_levels=1, progress=False)
    assert seen == [("highest", jax.config.jax_numpy_dtype_promotion)]


@pytest.mark.slow
def test_python_ends_after_an_interrupted_compilation():
    # Ctrl-C is pressed when the first program is on its way to XLA, which takes a while over this function.
    code = (
        "import signal, threading, test_interrupt as t, jaxglobal as jg\n"
        "from jaxglobal.engine import compiling\n"
        "compiled, presses = compiling.compiled, [threading.Timer(0.05, signal.raise_signal, [signal.SIGINT])]\n"
        "def pressed(*args):\n"
        "    while presses: presses.pop().start()\n"
        "    return compiled(*args)\n"
        "compiling.compiled = pressed\n"
        "search = jg.levels(t.slow_to_compile, t.BOX, progress=False)\n"
        "print(list(search)); print(search.result.status.name)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE, timeout=120)
    assert ran.returncode == 0 and ran.stdout == "[]\nINTERRUPTED\n" and not ran.stderr, ran


def test_a_result_is_told_at_once_while_it_compiles_and_a_cancelled_search_ends(compiles):
    compiles(3.0)

    async def main():
        search, waits = jg.alevels(bowl, BOX, progress=False), []

        async def consume():
            async for _ in search:
                pass

        task = asyncio.create_task(consume())
        while len(waits) < 20:
            await asyncio.sleep(0.02)
            began = time.perf_counter()
            try:
                result = search.result
            except RuntimeError:  # it is being traced
                continue
            waits.append(time.perf_counter() - began)
            assert result.status is jg.Status.RUNNING and result.nit == 0
        began = time.perf_counter()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        result = search.result
        assert result.status is jg.Status.CANCELLED and np.isnan(result.fun)
        return waits, time.perf_counter() - began

    waits, ended = asyncio.run(main())
    assert np.median(waits) < 0.02 and ended < 1.5


def test_a_result_does_not_wait_for_a_step():
    search = jg.alevels(lambda x: jnp.sum((x - 1) ** 2), BOX, progress=False)

    async def main():
        return [level async for level in search]

    asyncio.run(main())
    exact = search.result
    with search._lock:
        known = search.result
    assert known.fun == exact.fun and np.array_equal(known.x, exact.x) and np.array_equal(known.jac, exact.jac)


def test_many_problems_end_while_their_program_compiles(compiles, monkeypatch):
    compiles(3.0, pressed=1)
    monkeypatch.setattr("jaxglobal.search.many.open_streams", opening.open_streams)
    began = time.perf_counter()
    results = jg.minimize_many(lambda x, a: jnp.sum((x - a) ** 2), BOX, np.arange(3.0), progress=False)
    assert time.perf_counter() - began < 2.5
    assert (
        set(results.status) == {jg.Status.INTERRUPTED} and np.all(np.isnan(results.fun)) and not results.success.any()
    )
    assert results.x.shape == (3, 2) and np.all(results.nfev == 0) and "INTERRUPTED" in repr(results)


@pytest.mark.long
@pytest.mark.parametrize("many", [False, True])
def test_fits_end_while_their_program_compiles(many, monkeypatch):
    compiled, begun = jax.stages.Lowered.compile, []

    def compile(lowered, **options):
        if threading.current_thread() is threading.main_thread():  # before the search, where Ctrl-C raises
            return compiled(lowered, **options)
        begun.append(lowered)
        if lowered is begun[0]:  # of those side by side
            time.sleep(0.3)
            signal.raise_signal(signal.SIGINT)  # of the process: the main thread hears it
        time.sleep(3)
        return compiled(lowered)

    x = np.linspace(0, 1, 20)
    y = np.exp(-2 * x) if not many else np.exp(-np.array([[1.0], [2.0]]) * x)

    def model(x, k):  # that no other test has compiled
        return jnp.exp(-k * x) * (1 + 0 * k)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile)
    began = time.perf_counter()
    fit = (jg.curve_fit_many if many else jg.curve_fit)(model, x, y, [(0, 5)], progress=False)
    assert time.perf_counter() - began < 2.5
    side_by_side = len(begun)
    time.sleep(0.5)
    assert len(begun) == side_by_side  # none after it
    assert not np.any(fit.success) and np.all(np.isnan(fit.fun)) and "nan" in repr(fit)
    if not many:
        assert fit.result.status is jg.Status.INTERRUPTED
    monkeypatch.undo()
    again = (jg.curve_fit_many if many else jg.curve_fit)(model, x, y, [(0, 5)], progress=False)
    np.testing.assert_allclose(np.ravel(again.popt), [1, 2] if many else [2], rtol=1e-3)


def pressed(function):
    """The function, with Ctrl-C at its beginning."""

    def call(*args, **options):
        signal.raise_signal(signal.SIGINT)
        return function(*args, **options)

    return call


T = np.linspace(0, 1, 20)


def decay(t, a, k):
    return a * jnp.exp(-k * t)


PUT_TOGETHER = {  # what is called when a search has ended, and a search
    "minimize": (levels.Levels.result.fget, lambda: jg.minimize(bowl, BOX, max_levels=2, progress=False)),
    "minimize_many": (
        many.Many.results,
        lambda: jg.minimize_many(lambda x, a: bowl(x) + a, BOX, np.ones(2), max_levels=2, progress=False),
    ),
    "a constrained fit": (
        fits.finish,
        lambda: jg.curve_fit(
            decay, T, 2 * np.exp(-T), BOX, constraints=jg.Constraint(lambda p: p[0] - p[1], 0.5), max_levels=2,
            progress=False,
        ),
    ),
    "a fit of a host model": (
        fits.finish,
        lambda: jg.curve_fit(
            jg.host(lambda t, a, k: a * np.exp(-k * t)), T, 2 * np.exp(-T), BOX, max_levels=2, progress=False
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUT_TOGETHER)
def test_ctrl_c_while_the_result_is_put_together_loses_nothing(name, monkeypatch):
    last, search = PUT_TOGETHER[name]
    monkeypatch.setattr(
        levels.Levels, "result", property(pressed(last)) if name == "minimize" else levels.Levels.result
    )
    monkeypatch.setattr(many.Many, "results", pressed(last) if name == "minimize_many" else many.Many.results)
    monkeypatch.setattr(fits, "finish", pressed(last) if "fit" in name else fits.finish)
    handler = signal.getsignal(signal.SIGINT)
    found = search()
    assert np.all(np.isfinite(found.fun)) and signal.getsignal(signal.SIGINT) is handler
    if "fit" in name:
        np.testing.assert_allclose(found.popt, [2, 1], rtol=1e-2)
    else:
        assert np.all(found.status == jg.Status.MAX_LEVELS) and np.all(found.x == pytest.approx(1, abs=1e-3))


def test_ctrl_c_while_the_starts_of_many_fits_are_chosen(monkeypatch):
    module = sys.modules["jaxglobal.fit.curve_fit_many"]
    monkeypatch.setattr(module, "on_sheets", pressed(module.on_sheets))
    found = jg.curve_fit_many(decay, T, 2 * np.exp(-T)[None], BOX, levels=3, progress=False)
    assert found.status.tolist() == [jg.Status.INTERRUPTED] and not found.success.any()


def test_ctrl_c_in_the_first_trace_raises_at_once():
    """There is nothing to lose yet, and nobody knows how long it takes."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    after = []

    def fun(x):
        signal.raise_signal(signal.SIGINT)
        after.append(1)
        return jnp.sum(x**2)

    try:
        with pytest.raises(KeyboardInterrupt):
            jg.minimize(fun, BOX, progress=False)
        assert not after and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert jg.minimize(bowl, BOX, max_levels=2, progress=False).status is jg.Status.MAX_LEVELS
