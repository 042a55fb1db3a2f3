"""Work in a thread of its own, while that of the caller looks at the clock and hears Ctrl-C.

Python delivers Ctrl-C to the main thread alone, and not while that compiles.
"""

import contextlib
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import jax

LOOK = 0.05  # seconds between two looks
SETTINGS: dict[str, Callable[[Any], Any]] = {
    "jax_enable_x64": jax.enable_x64,
    "jax_default_matmul_precision": jax.default_matmul_precision,
    "jax_numpy_rank_promotion": jax.numpy_rank_promotion,
    "jax_numpy_dtype_promotion": jax.numpy_dtype_promotion,
    "jax_default_device": jax.default_device,
    "jax_default_prng_impl": jax.default_prng_impl,
    "jax_debug_nans": jax.debug_nans,
    "jax_debug_infs": jax.debug_infs,
}


def begin(work: Callable[[], Any]) -> Future[Any]:
    """Begins the work under the caller's settings of JAX, which belong to a thread.

    A caller that goes on without it leaves the thread to its end, for which Python waits before it exits.
    """
    settings = [(SETTINGS[name], getattr(jax.config, name)) for name in SETTINGS]

    def run() -> Any:
        with contextlib.ExitStack() as stack:
            for setting, value in settings:
                stack.enter_context(setting(value))
            return work()

    thread = ThreadPoolExecutor(1)
    begun = thread.submit(contextvars.copy_context().run, run)
    thread.shutdown(wait=False)
    return begun


def ended(work: Future[Any]) -> bool:
    """Whether it has ended, for which a moment is waited."""
    return bool(wait([work], LOOK).done)


def unless(asked: Callable[[], bool], work: Callable[[], Any]) -> Any:
    """The result of the work; None where one is asked to end before it is there: at first, it is not even begun."""
    if asked():
        return None
    begun = begin(work)
    while not ended(begun):
        if asked():
            return None
    return begun.result()
