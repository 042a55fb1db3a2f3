"""What somebody tells of a search under constraints: values and slopes at points, of which none is evaluated again."""

import math
from typing import Any

import numpy as np

from jaxglobal.constraints import feasible
from jaxglobal.constraints.exact import Slopes
from jaxglobal.constraints.kkt import Frame
from jaxglobal.constraints.subject import Subject
from jaxglobal.problem.constraint import Rows
from jaxglobal.problem.objective import Objective


class Told:
    """What was told, as the slopes that a `Subject` asks for; no point is evaluated again."""

    def __init__(self, m: int, n: int):
        """Nothing is known of m rows and n variables."""
        self._m, self._n = m, n
        self.known: dict[bytes, tuple[float, np.ndarray, np.ndarray, np.ndarray]] = {}  # by x in float64

    def slopes(self, points: np.ndarray) -> Slopes:
        """Of points, (k, n), NaN where they are not known."""
        nothing = math.nan, np.full(self._m, np.nan), np.full(self._n, np.nan), np.full((self._m, self._n), np.nan)
        told = [self.known.get(key_of(x), nothing) for x in points]
        f, c, g, J = (np.array([one[i] for one in told], float) for i in range(4))
        return Slopes(f, c.reshape(-1, self._m), g.reshape(-1, self._n), J.reshape(-1, self._m, self._n))

    def add(self, x: np.ndarray, told: tuple[float, np.ndarray, np.ndarray, np.ndarray]) -> None:
        """What has been told at x: the value, the rows, and the slopes of both."""
        self.known[key_of(x)] = told

    def suppose(self, x: np.ndarray, told: np.ndarray) -> None:
        """What has been told at x, (1 + m,), or (1 + m + (1 + m) n,) with slopes, unless more is known there."""
        m, slopes = self._m, told[1 + self._m :]
        slopes = slopes.reshape(1 + m, self._n) if len(slopes) else np.full((1 + m, self._n), np.nan)
        self.known.setdefault(key_of(x), (told[0], told[1 : 1 + m], slopes[0], slopes[1:]))

    def complete(self, points: np.ndarray, other: "Told") -> None:
        """Takes what another knows of these points, (k, n), of which not all is known here."""
        for key in map(key_of, points):
            known = key in self.known and all(np.all(np.isfinite(part)) for part in self.known[key])
            if key in other.known and not known:
                self.known[key] = other.known[key]

    def keep(self, points: np.ndarray) -> None:
        """Forgets all but these points, (k, n)."""
        kept = {key_of(x) for x in points}
        self.known = {x: told for x, told in self.known.items() if x in kept}

    def save(self) -> dict[str, np.ndarray]:
        """What is known, as arrays."""
        x = np.array([np.frombuffer(key) for key in self.known]).reshape(-1, self._n)
        return {"told_x": x} | {f"told_{name}": part for name, part in self.slopes(x)._asdict().items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        """The inverse of `save`."""
        for x, f, c, g, J in zip(*(arrays[f"told_{name}"] for name in ("x", *Slopes._fields)), strict=True):
            self.add(x, (float(f), c, g, J))


def subject(rows: Rows, ctol: float, problem: Objective) -> Subject:
    """What is searched."""
    sides = (np.asarray(side, np.float64) for side in (problem.lower, problem.upper, rows.lower, rows.upper))
    told: Any = Told(rows.m, problem.structure.n)
    most = feasible.tolerance(ctol, np.float64)
    return Subject(rows, told, Frame(*sides), problem.structure.dtype, most, problem.whole)


def key_of(x: np.ndarray) -> bytes:
    """By which what was told at a point is known."""
    return np.ascontiguousarray(x, float).tobytes()


def beside(told: Any) -> tuple[np.ndarray, np.ndarray]:
    """Value and rows, (1 + m,), and their slopes, (1 + m, n), of what was told at a point."""
    f, c, g, J = told
    return np.append(f, c), np.concatenate([g[None], J])
