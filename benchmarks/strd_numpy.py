"""A model that is written with `jax.numpy`, computed by NumPy: what SciPy is given."""

import types
from collections.abc import Callable

import numpy as np


def numpy_model(model: Callable) -> Callable:
    """The same function with `jnp` read as NumPy, also in the functions that it calls."""
    names = dict(model.__globals__)
    for name, value in list(names.items()):
        if isinstance(value, types.FunctionType):
            names[name] = types.FunctionType(value.__code__, names, name, value.__defaults__, value.__closure__)
    names["jnp"] = np
    return types.FunctionType(model.__code__, names, model.__name__, model.__defaults__, model.__closure__)
