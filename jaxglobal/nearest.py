"""What is wrong with the arguments of a call, in a sentence: a mistyped option, a number beyond every float."""

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from jaxglobal import transfers

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


def beyond_floats(leaf: Any) -> bool:
    """Whether it is a number of Python's, or holds one, that no float holds.

    >>> beyond_floats(10**400), beyond_floats([1, 10**300])
    (True, False)
    """
    try:
        np.asarray(leaf, object).astype(float)
    except OverflowError:
        return True
    except (TypeError, ValueError):  # no number at all
        pass
    return False


def helps(function: Callable[P, T]) -> Callable[P, T]:
    """The function, in which transfers are allowed; what is wrong with its arguments is said in a sentence.

    An argument that it does not have is a TypeError that names the nearest one, a number that no float holds a
    ValueError.
    """
    valid, called = list(inspect.signature(function).parameters), function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        for name in kwargs:
            if name in ELSEWHERE and name not in valid:
                raise TypeError(f"{called} takes no `{name}`: {ELSEWHERE[name]}.")
            if name not in valid:
                raise TypeError(f"{called} has no argument {name!r}{hint(name, valid) or '.'}")
        try:
            with transfers.allowed():
                return function(*args, **kwargs)
        except OverflowError:
            for name, value in inspect.signature(function).bind(*args, **kwargs).arguments.items():
                if any(map(beyond_floats, jax.tree.leaves(value))):
                    raise ValueError(f"`{name}` must be numbers that a float holds; got one beyond 1e308.") from None
            raise

    return call
