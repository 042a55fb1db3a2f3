"""A function that JAX cannot trace, in one sentence that names it: what JAX and Python say of it is about tracers."""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import jax

NOT_JAX = (
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
)
OF_ARGUMENTS = re.compile("(positional|keyword-only) argument")
OF_TRACERS = re.compile(r"\w+Tracer\b|Only (integer )?scalar arrays")  # in errors of Python's, and of JAX's


@contextlib.contextmanager
def explained(
    fun: Any, name: str, takes: str, returns: str, count: int, of: str = "x", host: bool = True
) -> Iterator[None]:  # fmt: skip
    """Within, `fun` is traced.

    name: how the user knows it. takes, returns: what it is to take and to return. count: how many arguments it is
    given. of: what it must make no Python value of. host: whether a host function would do instead.

    Raises:
        TypeError: it is no JAX function, does not take what it is given, or returns what no array is made of; other
            errors are the user's own, and left as they are.
    """
    try:
        yield
    except NOT_JAX as error:
        raise _of_python(name, of, host, error) from error
    except Exception as error:  # whatever fun raises; what is not named here is raised as it is
        said = str(error)
        if isinstance(fun, type) or inspect.isbuiltin(fun):
            kind = "class" if isinstance(fun, type) else "builtin"
            raise TypeError(
                f"`{name}` must be a function that takes {takes}; got the {kind} {fun.__name__}."
            ) from error
        if not isinstance(error, TypeError):
            raise
        if "not a valid JAX type" in said:
            kind = said.partition("returned a value of type ")[2].partition(",")[0]
            raise TypeError(f"`{name}` must return {returns}; got {kind}.") from error
        if OF_ARGUMENTS.search(said) and not _binds(fun, count, otherwise="positional" not in said):
            raise TypeError(f"`{name}` must take {takes}; got: {error}.") from error
        if OF_TRACERS.search(said):
            raise _of_python(name, of, host, error) from error
        raise


def _binds(fun: Any, count: int, otherwise: bool) -> bool:
    """Whether the function can be called with so many arguments; otherwise: where it does not say what it takes."""
    try:
        signature = inspect.signature(fun)
    except (TypeError, ValueError):
        return otherwise
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _of_python(name: str, of: str, host: bool, error: Exception) -> TypeError:
    instead = ", or wrap it in jaxglobal.host(...)" if host else ""
    first = str(error).split("\n")[0]
    return TypeError(
        f"`{name}` must be a JAX function, but makes a Python or NumPy value of {of}: use jax.numpy in it{instead} "
        f"({first})"
    )
