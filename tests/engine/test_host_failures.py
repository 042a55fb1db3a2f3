"""Functions of Python that fail: what is counted and said, and how the search goes on or ends."""

import asyncio
import multiprocessing
import subprocess
import sys
import traceback

import numpy as np
import pytest
import simulators
from hosts import BOX, solve
from simulators import himmelblau

import jaxglobal as jg


def test_failures_are_counted_and_the_search_goes_on():
    calls = []

    def fails(x):
        calls.append(1)
        if len(calls) % 20 == 7:
            raise RuntimeError("out of luck")
        return himmelblau(x) if len(calls) % 31 else float("nan")

    result = solve(jg.host(fails), max_levels=4)
    assert result.fun < 1e-6 and result.calls.made == len(calls)
    assert result.calls.failed == len([k for k in range(1, len(calls) + 1) if k % 20 == 7])
    assert "RuntimeError: out of luck" in result.calls.traceback and "failed" in repr(result)


@pytest.mark.slow
def test_hanging_and_dying_workers_are_replaced():
    with jg.host(simulators.unreliable, workers=4, timeout=0.5) as unreliable:
        result = solve(unreliable)
        assert result.fun < 1e-4
        assert result.calls.failed >= result.calls.made // 40 > 0 and result.calls.timed_out >= 1
    with jg.host(simulators.suicidal, workers=2) as suicidal:
        result = solve(suicidal)
        assert result.fun < 1e-4 and result.calls.died >= 2
    for worker in multiprocessing.active_children():
        worker.join(20)  # one that had just begun in a dead one's place
    assert not multiprocessing.active_children()


def test_a_start_that_fails_ends_its_search():
    def half(x):
        if x[0] > 0:
            raise ArithmeticError("outside the model")
        return himmelblau(x)

    result = solve(jg.host(half))
    assert result.fun < 1e-6 and result.x[0] <= 0
    assert result.levels[0].statuses.keys() | result.levels[1].statuses.keys() >= {jg.LocalStatus.NONFINITE_VALUE}
    nothing = solve(jg.host(lambda x: 1 / 0), max_levels=2)
    assert nothing.status is jg.Status.NO_FINITE_VALUE and np.isnan(nothing.fun)


def test_a_program_that_always_raises_is_given_up_soon():
    """An error of the program, not of the point: with any other, a small region where it returns is looked for."""

    def typo(x):
        return undefined_name + x[0]  # noqa: F821

    result = jg.minimize(jg.host(typo), BOX, progress=False)
    assert result.status is jg.Status.NO_FINITE_VALUE and NAMED in result.message and result.calls.made < 1000
    small = jg.host(lambda x: himmelblau(x) if x[0] > 4.7 and x[1] < -4.7 else 1 / 0)
    assert np.isfinite(jg.minimize(small, BOX, progress=False, max_evals=5000).fun)


@pytest.mark.parametrize("vectorized", [False, True])
def test_looks_of_a_function_that_fails(vectorized):
    """Points where it raises or is not finite are no starts, whether calls are made one by one or all at once."""

    def half(x):
        if not vectorized and x[0] > 0:
            raise ArithmeticError("outside the model")
        a, b = x[..., 0], x[..., 1]
        return np.where(a > 0, np.nan, (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2)

    result = jg.minimize(jg.host(half, vectorized=vectorized), BOX, progress=False, max_evals=1500)
    assert result.fun < 1e-6 and result.x[0] <= 0


def raises(x, *args):
    return undefined_name + x[0]  # noqa: F821


NAMED = "every call raised; the first: NameError: name 'undefined_name' is not defined"


def test_a_function_that_always_raises_is_told_by_its_exception():
    result = solve(jg.host(raises))
    assert result.status is jg.Status.NO_FINITE_VALUE and NAMED in result.message
    assert NAMED in " ".join(repr(result).split())
    assert str(result.calls).endswith("the first: NameError: name 'undefined_name' is not defined)")
    assert NAMED in asyncio.run(jg.aminimize(jg.host(raises), BOX, max_levels=2, progress=False)).message
    many = jg.minimize_many(jg.host(raises), BOX, np.zeros(2), max_levels=2, progress=False)
    assert NAMED in repr(many) and many.calls.failed == many.calls.made > 0


def test_a_gradient_that_always_raises_is_told_by_its_exception():
    result = solve(jg.host(simulators.himmelblau, jac=raises))
    assert result.status is jg.Status.NO_FINITE_GRADIENT
    assert "calls raised; the first: NameError: name 'undefined_name' is not defined" in result.message


def test_an_exit_is_the_failure_of_that_call_alone():
    def sim(x):
        if x[0] > 3:
            sys.exit("no licence")
        return simulators.himmelblau(x)

    result = solve(jg.host(sim))
    assert np.isfinite(result.fun) and result.calls.failed > 0 and result.calls.first == "SystemExit: no licence"


def test_what_is_said_of_calls_that_return_nothing():
    calls = jg.calls.Calls(made=4)
    say = jg.calls.message
    none = jg.Status.NO_FINITE_VALUE
    assert say(none, None) == say(none, calls) == none.value  # values that are not finite
    calls.count("timed out", "")
    assert say(none, calls).endswith("1 of 4 calls timed out")
    try:
        raise ValueError("first line\nsecond line")
    except ValueError:
        calls.count("failed", traceback.format_exc())
    assert calls.first == "ValueError: first line"
    calls.add(jg.calls.Calls(1, 0, 0, 1, "BrokenProcessPool: gone"))
    assert (calls.made, calls.bad) == (5, 3) and calls.first == "ValueError: first line"
    assert say(none, calls).endswith(
        "3 of 5 calls raised or timed out or lost their workers; the first: " + calls.first
    )
    assert say(jg.Status.SAME, calls) == jg.Status.SAME.value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "error"),
    [
        (
            "",
            "TypeError: `fun` must be importable in a process: put it in a module file, or use an executor of threads",
        ),
        ("script", "RuntimeError: the workers died as they began: guard the script by"),
    ],
    ids=["-c", "unguarded"],
)
def test_a_function_that_workers_cannot_import_is_said_once(before, error, tmp_path):
    code = (
        "import jaxglobal as jg\ndef sim(x): return float((x**2).sum())\n"
        "with jg.host(sim, workers=2) as s: jg.minimize(s, [(-3, 4)] * 2, max_levels=2)\n"
    )
    (tmp_path / "script.py").write_text(code)
    command = [str(tmp_path / "script.py")] if before else ["-c", code]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1 and error in ran.stderr.splitlines()[-1], ran.stderr
    assert ran.stderr.count("Traceback") == 1 and "freeze_support" not in ran.stderr
    if not before:
        assert ran.stderr.splitlines()[-1].endswith(
            "got AttributeError: Can't get attribute 'sim' on <module '__main__' (built-in)>."
        )


class OnlyHere:
    """Can be sent, and not received."""

    def __call__(self, x):
        return 0.0

    def __reduce__(self):
        return eval, ("1 / 0",)


def test_the_workers_end_where_they_cannot_import_the_function():
    with jg.host(OnlyHere(), workers=1, timeout=60) as fun:
        with pytest.raises(TypeError, match="must be importable in a process: .*; got ZeroDivisionError"):
            solve(fun)
        assert not multiprocessing.active_children()
