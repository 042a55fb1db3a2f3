"""host: an objective that is not a JAX function, evaluated by Python, by a pool, or all points at once.

What the user wraps, and who calls it; its lanes are in host_lanes.py.
"""

import atexit
import concurrent.futures as futures
import math
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxglobal.engine import devices
from jaxglobal.engine.differences import NEEDED
from jaxglobal.engine.workers import Crew, Inline, Pool, Shift
from jaxglobal.problem.powers import power_above

LANES_A_WORKER = 4  # so that no worker waits while the last calls of a gradient end
FEWEST_LANES = 16


def host(
    fun: Callable[..., Any],
    jac: Any = None,
    executor: Any = None,
    workers: int | None = None,
    vectorized: bool = False,
    *,
    timeout: float | None = None,
    step: float | None = None,
    noise: float = 0.0,
    tag: str | None = None,
) -> "Host":
    """A Python function as an objective for `minimize`, `levels` and `minimize_many`.

    A call that raises, that times out or whose worker dies counts as a value that is not finite: at a trial the step is
    shrunk, a difference is taken from the other side, a search that begins there ends; the search as a whole goes on,
    and `Result.calls` counts them. The workers live as long as the object: close it, or use it as a context manager.

    Args:
        fun: fun(x, *args) -> number; x is a NumPy array, or a pytree of them. For processes it must be importable by
            name, as for `multiprocessing`, and the script guarded by `if __name__ == "__main__":`.
        jac: a function jac(x, *args) -> gradient in the structure of x; True where fun returns (value, gradient); None
            or "3-point" for central differences, "2-point" for forward ones, one-sided at bounds. Under constraints a
            pair (gradient, Jacobian of the constraints) in place of the gradient.
        executor: anything with the interface of `concurrent.futures.Executor`; it stays open.
        workers: without an executor, processes of our own (1, the default: none, calls are made here). With one, the
            calls that are under way at a time; give it where there is a time-out, which counts from the submission.
        vectorized: fun takes all points at once, x with a leading axis, and returns (k,) values; and so does jac.
        timeout: seconds that a call may take. A process of ours is killed, a thread cannot be.
        step: of the differences, in units of the box; None takes it from the dtype, the noise and the size of x.
        noise: the error of a value, where it is more than rounding.
        tag: says which function this is, for a checkpoint, beside its name.

    Returns:
        A `Host`, which can be called like fun.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: an argument of the wrong value.

    Example:
        >>> import numpy as np, jaxglobal as jg
        >>> simulator = jg.host(lambda x: float(np.sum((x - 1) ** 2)))
        >>> result = jg.minimize(simulator, [(-3, 4)] * 2, max_levels=2)
        >>> [round(float(v), 4) for v in result.x]
        [1.0, 1.0]
    """
    return Host(fun, jac, executor, workers, vectorized, timeout, step, noise, tag)


class Host:
    """A Python function with those who call it; see `host`."""

    def __init__(self, fun, jac, executor, workers, vectorized, timeout, step, noise, tag):
        """See `host`."""
        if not callable(fun):
            raise TypeError(f"`fun` must be a function fun(x, *args); got {type(fun).__name__}.")
        if not (jac is None or jac is True or callable(jac) or isinstance(jac, str) and jac in NEEDED):
            raise ValueError(f'`jac` must be a function, True, "2-point" or "3-point"; got {jac!r}.')
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise TypeError(f"`executor` must have a method `submit`; got {type(executor).__name__}.")
        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise ValueError(f"`workers` must be a whole number of at least 1; got {workers!r}.")
        for name, value in (("timeout", timeout), ("step", step)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise ValueError(f"`{name}` must be a positive number; got {value!r}.")
        if tag is not None and not isinstance(tag, str):
            raise TypeError(f"`tag` must be a string; got {type(tag).__name__}.")
        self.fun, self.jac, self.vectorized, self.step, self.noise = fun, jac, bool(vectorized), step, read_noise(noise)
        self.name, self.tag = getattr(fun, "__qualname__", type(fun).__qualname__), tag
        self.workers = workers or 1
        self._closed, self._hinted = False, False
        self._crew: Any = None
        self._executor, self._limit, self._timeout = executor, workers, timeout

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        return self.fun(*args)

    def __enter__(self) -> "Host":
        """The object itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes it."""
        self.close()

    def of(self, fun: Callable[..., Any], tag: str) -> "Host":
        """A host like this one, for another function without a gradient of its own."""
        return Host(fun, None, self._executor, self._limit, False, self._timeout, self.step, self.noise, tag)

    @property
    def identity(self) -> Any:
        """Which function this is, for a checkpoint."""
        jac = getattr(self.jac, "__qualname__", self.jac)
        return self.name, self.tag, jac, self.vectorized, self.step, self.noise

    def open(self) -> Inline | Pool:
        """Those who make the calls; processes begin at the first use, and stay.

        Raises:
            ValueError: the object has been closed.
            TypeError: a process cannot import the function.
            RuntimeError: the processes die as they begin.
        """
        if self._closed:
            raise ValueError("`fun` must be an open host function; this one has been closed.")
        if self._executor is not None:
            return Pool(self._executor, self._limit, self._timeout)
        if self.workers == 1 and self._timeout is None:
            return Inline()
        if self._crew is None:
            sent = {name: importable(name, call) for name, call in (("fun", self.fun), ("jac", self.jac))}
            crew = Crew(self.workers, self._timeout)
            try:
                for name, pickled in sent.items():
                    check_received(name, crew, pickled)
            except BaseException:
                crew.close()
                raise
            self._crew = crew
            atexit.register(_close, weakref.ref(self))
        return Shift(self._crew)

    def close(self) -> None:
        """Ends the processes; an executor that was given stays open."""
        self._closed = True
        if self._crew is not None:
            self._crew.close()
            self._crew = None

    def lanes(self, given: int | str) -> int:
        """The number of lanes for `lanes=`."""
        if given == "auto":
            return max(FEWEST_LANES, power_above(LANES_A_WORKER * self.workers))
        return devices.read_lanes(given, 1, np.dtype(float), 0.0)

    def hint(self, value: Any) -> None:
        """Says once that a JAX function needs no host."""
        if isinstance(value, jax.Array) and not self._hinted:
            self._hinted = True
            warnings.warn(
                "`fun` returned a JAX array: without host(...) it is compiled and has exact gradients", stacklevel=2
            )


def read_noise(noise: Any) -> float:
    """The error of a value, for `noise=`."""
    if isinstance(noise, bool) or not (isinstance(noise, int | float) and 0 <= noise < math.inf):
        raise ValueError(f"`noise` must be a number of at least 0; got {noise!r}.")
    return float(noise)


def importable(name: str, call: Any) -> bytes:
    """What a worker is sent for the function; raises unless it can be."""
    try:
        return pickle.dumps(call)
    except Exception as error:  # whatever the object's own way of pickling raises
        raise TypeError(
            f"`{name}` must be importable by name to be called in a process, defined at the top of a module; "
            f"got {getattr(call, '__qualname__', type(call).__name__)}: {error}."
        ) from None


def check_received(name: str, crew: Crew, pickled: bytes) -> None:
    """Raises unless a worker finds the function that it was sent; tried apart from a call, whose worker would die."""
    # What is sent here has to be of the standard library: workers import nothing of ours.
    received = crew.submit(exec, "import pickle; pickle.loads(pickled)", {"pickled": pickled})
    error = received.exception()
    if isinstance(error, futures.BrokenExecutor):
        raise RuntimeError(
            "the workers died as they began: guard the script by `if __name__ == '__main__':`, put "
            f"`{name}` in a module file, or use an executor of threads."
        )
    if error is not None:
        raise TypeError(
            f"`{name}` must be importable in a process: put it in a module file, or use an executor of threads; "
            f"got {type(error).__name__}: {error}."
        )


def refuse(fun: Any) -> None:
    """Raises where a function has to be a JAX one."""
    if isinstance(fun, Host):
        raise TypeError("`fun` must be a JAX function here; got a host function, which only a search can call.")


def _close(reference: Any) -> None:
    host = reference()
    if host is not None:
        host.close()
