"""What is to be proven: a function, its box, its constraints and whole numbers, checked and traced in float64."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxglobal.engine.precise import widened
from jaxglobal.fit.fitted import Fit
from jaxglobal.problem import choice, constraint, keys, lattice, objective
from jaxglobal.problem.bounds import Box, check_sides, read_sides, read_structure
from jaxglobal.problem.closed import Structure, close
from jaxglobal.proof.lower import model_of
from jaxglobal.proof.model import Model
from jaxglobal.proof.refused import Refused
from jaxglobal.search import checkpoint as checkpoints

LIKE = 1e-6  # values this near to the best one may belong to further global minima
POINTS = 64  # known minima about which regions are looked for


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function and its box, in float64.

    Attributes:
        model: the function, with its constraints.
        structure: the layout of x.
        low, high: (n,) the bounds; those of a variable with a list of values are of its index.
        whole: (n,) which variables are whole numbers; None where none is.
        identity: what says which function of which args this is, for a checkpoint.
    """

    model: Model
    structure: Structure
    low: np.ndarray
    high: np.ndarray
    whole: np.ndarray | None
    identity: Any

    @classmethod
    def read(cls, fun: Any, bounds: Any, args: Any, constraints: Any = None, integrality: Any = None) -> "Problem":
        """Checks the arguments, and traces the function."""
        if not callable(fun):
            raise TypeError(f"`fun` must be a function fun(x, *args) or a Fit; got {type(fun).__name__}.")
        bounds, lists = choice.indexed(bounds)
        lower, upper = read_sides(bounds, None)
        structure = read_structure(lower, upper, None, False)
        low, high = structure.flatten(lower), structure.flatten(upper)
        for side in (low, high):
            if not np.all(np.isfinite(side)):
                i = int(np.argmin(np.isfinite(side)))
                raise ValueError(
                    f"`bounds` must be finite, as a proof covers the whole box; got {side[i]} at index {i}."
                )
        check_sides(low, high)
        lists = choice.rounded(lists, structure.dtype) if lists else ()
        structure = dataclasses.replace(structure, dtype=np.dtype(np.float64), choices=lists)
        low, high = low.astype(float), high.astype(float)
        whole = lattice.read(integrality, structure)
        if np.any(whole):
            lattice.widened(low, high, whole)  # checks that there is a whole number between them
            low, high = np.where(whole, np.ceil(low), low), np.where(whole, np.floor(high), high)
        given = jax.tree.map(widened, objective.read_args(args))
        plain, chosen = dataclasses.replace(structure, choices=()), selecting(structure)
        rows = constraint.read(constraints, structure, given)
        if rows is None:
            closed = close(chosen(fun), plain, given, False)
        else:
            closed = close(chosen(constraint.beside(fun, rows, False)), plain, given, True)
        closed.refuse_captured("prove it outside")
        leaves = [*map(keys.numbers, jax.tree.leaves(given)), *closed.constants]
        flat = jax.ShapeDtypeStruct((structure.n,), np.float64)
        sides = None if rows is None else (np.asarray(rows.lower, float), np.asarray(rows.upper, float))
        if sides is None:
            jaxpr = jax.make_jaxpr(lambda x: closed.value(x, leaves))(flat)
        else:
            jaxpr = jax.make_jaxpr(lambda x: (closed.value(x, leaves), closed.auxiliary(x, leaves)[1]))(flat)
        try:
            model = model_of(jaxpr, low, sides, whole | (low == high))
        except Refused as error:
            text = str(error) if sides is None else str(error).replace("`fun`", "`fun` and `constraints`", 1)
            raise Refused(text, *error.args[1:]) from None
        identity = (closed.identity, leaves) if sides is None else (closed.identity, leaves, sides)
        return cls(model, structure, low, high, whole if np.any(whole) else None, identity)

    @property
    def box(self) -> Box:
        """The bounds in the user's structure."""
        return Box(self.structure.unflatten(self.low), self.structure.unflatten(self.high))

    def points(self, result: Any) -> list[np.ndarray]:
        """The known minima, (n,) each, the best first: of a result, or a point."""
        if isinstance(result, Fit):
            result = result.result
        x = getattr(result, "x", result)
        try:
            dataclasses.replace(self.structure, choices=()).flatten(x)
        except (TypeError, ValueError):
            found = []
        else:
            found = [self.structure.of_point(x, name="result")]
        if not found or found[0].shape != (self.structure.n,):
            raise ValueError("`result` must be what minimize returned, or a point of the structure of the bounds.")
        least = float(getattr(result, "fun", np.inf))
        for minimum in getattr(result, "minima", []):
            if minimum.fun <= least + LIKE * (1 + abs(least)):
                found.append(self.structure.of_point(minimum.x))
        return [p for p in found[: POINTS + 1] if np.all(np.isfinite(p))]

    def checkpoint(self, path: Any, points: list[np.ndarray], tol: float) -> checkpoints.Checkpoint | None:
        """The file at a path, if there is one."""
        if path is None:
            return None
        parts = checkpoints.fingerprint(
            function=self.identity, bounds=(self.low, self.high, str(self.structure)),
            options=("certify", tol) if self.whole is None else ("certify", tol, self.whole),
        )  # fmt: skip
        return checkpoints.Checkpoint(path, parts)


def selecting(structure: Structure) -> Callable[[Any], Any]:
    """What makes functions of the user's x functions of the indices of its values.

    By comparisons, which have rules; the switches lie between the whole numbers.
    """
    if not structure.choices:
        return lambda fun: fun
    plain = dataclasses.replace(structure, choices=())

    def value(i: jax.Array, values: tuple[float, ...]) -> jax.Array:
        out = jnp.full((), values[-1], structure.dtype) if values else i
        for k in reversed(range(len(values) - 1)):
            out = jnp.where(i < k + 0.5, values[k], out)
        return out

    def picked(x: Any) -> Any:
        flat = plain.flatten(x)
        return plain.unflatten(jnp.stack([value(flat[i], own) for i, own in enumerate(structure.choices)]))

    return lambda fun: lambda x, *args: fun(picked(x), *args)
