"""A fit in a file, or sent to another process: all data, and the model where it can be pickled.

Compiled programs and the functions made of the model stay behind; they are made again from the model, and where it
cannot be pickled (a lambda, a function of a notebook) the fit predicts at the abscissae of its data alone.
"""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.engine.host import Host, host
from jaxglobal.fit import hostfit, models
from jaxglobal.fit.regression import Regression
from jaxglobal.problem.bounds import Box
from jaxglobal.problem.closed import Structure


def pack(state: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `Fit` as what can be pickled."""
    state = dict(state)
    reg, model = state.pop("_regression"), state.pop("_model")
    state.pop("_call")
    layout = reg.structure.shapes, reg.structure.dtype, reg.lower, reg.upper, reg.covariance
    return {**state, "layout": layout, "model": dumped(model), "is_host": isinstance(model, Host)}


def unpack(state: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `pack`."""
    state = dict(state)
    shapes, dtype, lower, upper, covariance = state.pop("layout")
    structure = Structure(jax.tree.structure(state["popt"]), shapes, dtype)
    model, is_host = loaded(state.pop("model")), state.pop("is_host")
    data, loss, one_by_one = state["data"], state["loss"], not isinstance(state["_bounds"], Box)
    if model is not None and is_host:
        model = host(model)
        cost = hostfit.HostCost(model.fun, one_by_one, data, loss, covariance)
        reg = hostfit.regression_of(hostfit.Model(model, cost, structure, lower, upper), structure, lower, upper)
        return {**state, "_regression": reg, "_model": model, "_call": reg.model}
    call = lost if model is None else models.as_called(model, structure, one_by_one)

    def of_data(x, parts, constants):
        return jnp.broadcast_to(call(x, parts), np.shape(data.y)).astype(dtype)

    reg = Regression(of_data, structure, lower, upper, state["linear"], loss, covariance, False, {})
    return {**state, "_regression": reg, "_model": model, "_call": call}


def lost(x: Any, parts: Any) -> Any:
    """In the place of a model that could not be pickled."""
    raise ValueError(
        "`model` must be a function of a module for a fit that was pickled to evaluate it, as this one could not be "
        "pickled: the fit predicts at the abscissae of its data alone."
    )


def dumped(model: Any) -> bytes | None:
    """The model as bytes, None where it cannot be pickled."""
    try:
        return None if model is None else pickle.dumps(model.fun if isinstance(model, Host) else model)
    except Exception:  # whatever an object of the user's raises
        return None


def loaded(model: bytes | None) -> Any:
    """The model, None where it was not pickled or its module is not there."""
    try:
        return None if model is None else pickle.loads(model)
    except Exception:  # whatever an object of the user's raises
        return None
