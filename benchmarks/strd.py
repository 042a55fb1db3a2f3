"""The 27 sets of nonlinear regression of the NIST Statistical Reference Datasets (data/nist_strd): models and boxes."""

import pathlib
import re
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

DATA = pathlib.Path(__file__).parent / "data" / "nist_strd"
ENSO_B8 = (-1.5, 1.5)  # its starting values have one sign, the certified value has the other


class Reference(NamedTuple):
    """A data set with its certified fit."""

    name: str
    model: Callable
    x: np.ndarray
    y: np.ndarray
    bounds: list[tuple[float, float]]
    parameters: np.ndarray
    deviations: np.ndarray
    rss: float


def gauss(x, b1, b2, b3, b4, b5, b6, b7, b8):
    peaks = b3 * jnp.exp(-((x - b4) ** 2) / b5**2) + b6 * jnp.exp(-((x - b7) ** 2) / b8**2)
    return b1 * jnp.exp(-b2 * x) + peaks


def lanczos(x, b1, b2, b3, b4, b5, b6):
    return b1 * jnp.exp(-b2 * x) + b3 * jnp.exp(-b4 * x) + b5 * jnp.exp(-b6 * x)


def cubic_by_cubic(x, b1, b2, b3, b4, b5, b6, b7):
    return (b1 + b2 * x + b3 * x**2 + b4 * x**3) / (1 + b5 * x + b6 * x**2 + b7 * x**3)


def enso(x, b1, b2, b3, b4, b5, b6, b7, b8, b9):
    def wave(period, a, b):
        return a * jnp.cos(2 * jnp.pi * x / period) + b * jnp.sin(2 * jnp.pi * x / period)

    return b1 + wave(12, b2, b3) + wave(b4, b5, b6) + wave(b7, b8, b9)


def chwirut(x, b1, b2, b3):
    return jnp.exp(-b1 * x) / (b2 + b3 * x)


MODELS = {
    "Bennett5": lambda x, b1, b2, b3: b1 * (b2 + x) ** (-1 / b3),
    "BoxBOD": lambda x, b1, b2: b1 * (1 - jnp.exp(-b2 * x)),
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": lambda x, b1, b2: b1 * x**b2,
    "ENSO": enso,
    "Eckerle4": lambda x, b1, b2, b3: b1 / b2 * jnp.exp(-0.5 * ((x - b3) / b2) ** 2),
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Gauss3": gauss,
    "Hahn1": cubic_by_cubic,
    "Kirby2": lambda x, b1, b2, b3, b4, b5: (b1 + b2 * x + b3 * x**2) / (1 + b4 * x + b5 * x**2),
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Lanczos3": lanczos,
    "MGH09": lambda x, b1, b2, b3, b4: b1 * (x**2 + x * b2) / (x**2 + x * b3 + b4),
    "MGH10": lambda x, b1, b2, b3: b1 * jnp.exp(b2 / (x + b3)),
    "MGH17": lambda x, b1, b2, b3, b4, b5: b1 + b2 * jnp.exp(-x * b4) + b3 * jnp.exp(-x * b5),
    "Misra1a": lambda x, b1, b2: b1 * (1 - jnp.exp(-b2 * x)),
    "Misra1b": lambda x, b1, b2: b1 * (1 - (1 + b2 * x / 2) ** -2),
    "Misra1c": lambda x, b1, b2: b1 * (1 - (1 + 2 * b2 * x) ** -0.5),
    "Misra1d": lambda x, b1, b2: b1 * b2 * x / (1 + b2 * x),
    "Nelson": lambda x, b1, b2, b3: b1 - b2 * x[0] * jnp.exp(-b3 * x[1]),
    "Rat42": lambda x, b1, b2, b3: b1 / (1 + jnp.exp(b2 - b3 * x)),
    "Rat43": lambda x, b1, b2, b3, b4: b1 / (1 + jnp.exp(b2 - b3 * x)) ** (1 / b4),
    "Roszman1": lambda x, b1, b2, b3, b4: b1 - b2 * x - jnp.arctan(b3 / (x - b4)) / jnp.pi,
    "Thurber": cubic_by_cubic,
}


def box(name: str, index: int, first: float, second: float) -> tuple[float, float]:
    """The bounds of a parameter from its two published starting values."""
    if (name, index) == ("ENSO", 7):
        return ENSO_B8
    size = 5 * max(abs(first), abs(second))
    return (-size if min(first, second) < 0 else 0.0, size if max(first, second) > 0 else 0.0)


def read(name: str) -> Reference:
    """A data set by its name."""
    lines = (DATA / f"{name}.dat").read_text().splitlines()
    rows = [re.match(r"\s*b\d+\s*=(.*)", line) for line in lines]
    numbers = np.array([[float(v) for v in row[1].split()] for row in rows if row])
    rss = float(next(line for line in lines if line.startswith("Residual Sum of Squares")).split()[-1])
    first = max(i for i, line in enumerate(lines) if line.startswith("Data:")) + 1
    table = np.array([[float(v) for v in line.split()] for line in lines[first:] if line.strip()])
    y, x = table[:, 0], table[:, 1:].T
    if name == "Nelson":
        y = np.log(y)
    bounds = [box(name, i, *row[:2]) for i, row in enumerate(numbers)]
    return Reference(name, MODELS[name], x[0] if len(x) == 1 else x, y, bounds, numbers[:, 2], numbers[:, 3], rss)
