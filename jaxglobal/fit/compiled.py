"""Programs of a fit, compiled side by side when they are first wanted, which Ctrl-C ends."""

import dataclasses
import functools
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.engine import aside, compiling
from jaxglobal.fit.regression import Regression
from jaxglobal.problem import programs
from jaxglobal.problem.closed import x64


@dataclasses.dataclass(frozen=True)
class Program:
    """What is to be compiled.

    Attributes:
        run: the function.
        takes: its arguments, or their shapes.
        kept: where it is kept.
        key: by which, beside the shapes of what it takes.
    """

    run: Callable[..., Any]
    takes: tuple[Any, ...]
    kept: dict[Any, Any]
    key: tuple[Any, ...]

    @classmethod
    def of_model(cls, reg: Regression, name: str, run: Callable[..., Any], *takes: Any) -> "Program":
        """One that the model is part of."""
        return cls(reg.safe(run, jax.default_backend()), takes, reg.programs, (name, device(), reg.key, layout(takes)))

    @classmethod
    def of_all(cls, reg: Regression, name: str, run: Callable[..., Any], *takes: Any, packed: Any = ()) -> "Program":
        """One that knows no model; packed: what the arguments are packed of."""
        kept = programs.of(("fits", x64(), device(), reg.key))
        return cls(run, takes, kept, (name, layout(packed), layout(takes)))

    @property
    def compiled(self) -> Any:
        """The program; None before it is compiled."""
        return self.kept.get(self.key)

    def begin(self) -> Future[Any]:
        """Begins to compile it, in a thread of its own."""
        lowered, plain = jax.jit(self.run).lower(*self.takes), jax.default_backend() == "cpu"
        return aside.begin(functools.partial(compiling.compiled, lowered, plain=plain))

    def end(self, begun: Future[Any], asked: Callable[[], bool]) -> bool:
        """Keeps what has begun to be compiled; whether it was there before one was asked to end."""
        while not aside.ended(begun):
            if asked():
                return False
        self.kept[self.key] = begun.result()
        return True


def device() -> Any:
    """The one that fits are made on: JAX's default one, wherever the data are."""
    return next(iter(jnp.zeros(()).devices()))


def here(tree: Any) -> Any:
    """The arrays on that device."""
    return jax.device_put(tree, device())


def layout(of: Any) -> tuple[Any, ...]:
    """The shapes and dtypes of a pytree."""
    return jax.tree.structure(of), *((np.shape(leaf), np.dtype(leaf.dtype)) for leaf in jax.tree.leaves(of))


def compile(which: list[Program], asked: Callable[[], bool]) -> bool:
    """Compiles these side by side; whether that was done before one was asked to end."""
    begun = []
    for one in which:
        if asked():
            return False
        begun.append(one.begin())
    return all(one.end(work, asked) for one, work in zip(which, begun, strict=True))


def blocks(points: np.ndarray, lanes: int) -> list[np.ndarray]:
    """The points, (k, n), in blocks of lanes, (n, L), the last of which may repeat some."""
    parts = [points[first : first + lanes] for first in range(0, len(points), lanes)]
    return [np.resize(part, (lanes, part.shape[1])).T for part in parts]
