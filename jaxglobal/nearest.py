"""Mistyped options: the error names the nearest valid one."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

CONSTRAINED = "minimize, levels, aminimize, alevels, minimize_many, argmin, Search and both fits take them"
OBSERVED = "minimize, levels, aminimize, alevels, minimize_many, Search, curve_fit and curve_fit_many do"
ELSEWHERE = {  # what some entry points take, others not
    "constraints": CONSTRAINED,
    "ctol": CONSTRAINED,
    "callback": OBSERVED,
    "checkpoint": OBSERVED,
    "max_evals": OBSERVED,
    "max_time": OBSERVED,
    "target": "minimize, levels, aminimize, alevels, minimize_many and Search do",
    "unseen": "minimize, levels, aminimize, alevels and minimize_many do",
    "devices": "minimize, levels, aminimize, alevels and minimize_many do; others run where jax.default_device says",
    "integrality": "minimize, levels, aminimize, alevels, minimize_many, argmin, derivative, Search and both fits do",
}

P = ParamSpec("P")
T = TypeVar("T")


def hint(given: object, valid: Iterable[str]) -> str:
    """A question that names the valid option that is like the given one, or nothing.

    >>> hint("hubr", ["huber", "cauchy"])
    "; did you mean 'huber'?"
    """
    like = difflib.get_close_matches(str(given), list(valid), n=1)
    return f"; did you mean {like[0]!r}?" if like else ""


def helps(function: Callable[P, T]) -> Callable[P, T]:
    """The function; an argument that it does not have is a TypeError that names the nearest one."""
    valid, called = list(inspect.signature(function).parameters), function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name in ELSEWHERE and name not in valid:
                raise TypeError(f"{called} takes no `{name}`: {ELSEWHERE[name]}.")
            if name not in valid:
                raise TypeError(f"{called} has no argument {name!r}{hint(name, valid) or '.'}")
        return function(*args, **kwargs)

    return call
