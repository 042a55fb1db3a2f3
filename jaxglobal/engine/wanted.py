"""Points of which somebody else evaluates the value alone, as no search is there yet."""

from typing import Any, NamedTuple

import numpy as np


class Look(NamedTuple):
    """Such a point."""

    x: np.ndarray
    """(n,)"""
    number: int
    problem: int
    told: np.ndarray
    """What was told there: (1,) the value, and m constraints behind it; behind these slopes, where they are told."""


class Wanted:
    """Points whose values alone are wanted: those that wait, those that are out, and those that were told.

    Attributes:
        waiting: that nobody has been asked for.
        out: that have been asked for, by the number of the point.
        told: since the last `take`.
    """

    def __init__(self) -> None:
        """None."""
        self.waiting: list[Look] = []
        self.out: dict[int, Look] = {}
        self.told: list[Look] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self.waiting) + len(self.out) + len(self.told)

    def add(self, points: np.ndarray, number: np.ndarray, problem: Any) -> None:
        """Puts points, (k, n), behind those that wait. number: (k,). problem: of all, or (k,)."""
        of = np.broadcast_to(problem, len(points))
        self.waiting += [Look(*one, np.zeros(0)) for one in zip(points, number.tolist(), of.tolist(), strict=True)]

    def give(self, ids: np.ndarray) -> list[Look]:
        """The first that wait, which are out from now on under these numbers, (k,)."""
        given, self.waiting = self.waiting[: len(ids)], self.waiting[len(ids) :]
        self.out.update(zip(ids.tolist(), given, strict=True))
        return given

    def tell(self, ident: int, told: np.ndarray) -> None:
        """Takes what was told at a point that is out."""
        self.told.append(self.out.pop(ident)._replace(told=told))

    def take(self) -> list[Look]:
        """What was told."""
        told, self.told = self.told, []
        return told

    def drop(self, problems: np.ndarray) -> list[Look]:
        """Forgets those of these problems; returns what was told of them."""
        dropped = [look for look in self.told if look.problem in problems]
        self.waiting, self.told = (
            [look for look in kept if look.problem not in problems] for kept in (self.waiting, self.told)
        )
        self.out = {ident: look for ident, look in self.out.items() if look.problem not in problems}
        return dropped

    def save(self) -> dict[str, np.ndarray]:
        """All of them as arrays; those that are out will be asked for again."""
        return _packed([*self.out.values(), *self.waiting], "look") | _packed(self.told, "looked")

    def load(self, arrays: dict[str, np.ndarray], dtype: np.dtype) -> None:
        """The inverse of `save`. dtype: of the points."""
        self.waiting, self.told = (_unpacked(arrays, name, dtype) for name in ("look", "looked"))
        self.out = {}


def _packed(looks: list[Look], name: str) -> dict[str, np.ndarray]:
    x, told = (np.array([look[i] for look in looks]) if looks else np.zeros((0, 0)) for i in (0, 3))
    of = np.array([[look.number, look.problem] for look in looks], np.int64).reshape(-1, 2)
    return {f"{name}_x": x, f"{name}_of": of, f"{name}_told": told}


def _unpacked(arrays: dict[str, np.ndarray], name: str, dtype: np.dtype) -> list[Look]:
    fields = (arrays[f"{name}_{part}"] for part in ("x", "of", "told"))
    return [Look(x.astype(dtype), int(of[0]), int(of[1]), told) for x, of, told in zip(*fields, strict=True)]
